# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The activation stands behind a layer's own non-linearity, whatever follows before its reader."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from tests.traced_networks import (
    VECTOR,
    Dense,
    check_flax,
    check_promise,
    pipe,
    quick_compilation,  # noqa: F401  (a fixture)
    relu,
)

KEY = jax.random.key(3)
SPACE = (1, 2)


def softmax_over_space(h):
    return nn.softmax(h, SPACE)


def soft_argmax(h):
    """The expected coordinates of every channel, as in visuomotor policies."""
    where = softmax_over_space(h)
    rows = jnp.linspace(-1, 1, h.shape[1])[:, None, None]
    columns = jnp.linspace(-1, 1, h.shape[2])[:, None]
    return jnp.concatenate([(where * rows).sum(SPACE), (where * columns).sum(SPACE)], -1)


# activations (B, height, width, channels) -> what the next layer reads; all beside the point
BEHIND_IMAGES = {
    "softmax": softmax_over_space,
    "softmax, flattened": lambda h: nn.softmax(h.reshape(h.shape[0], -1, h.shape[-1]), 1),
    "softmax by hand": lambda h: jnp.exp(h) / jnp.exp(h).sum(SPACE, keepdims=True),
    "softmax of a temperature": lambda h: softmax_over_space(h / 0.3) * 5,
    "log softmax": lambda h: nn.log_softmax(h, SPACE),
    "soft argmax": soft_argmax,
    "log of summed exponentials": lambda h: jax.nn.logsumexp(h, SPACE),
    "largest": lambda h: h.max(SPACE),
    "squeeze and excite": lambda h: h * nn.sigmoid(h.mean(SPACE, keepdims=True)),
    "instance norm": lambda h: nn.InstanceNorm(use_bias=False, use_scale=False).apply({}, h),
    "group norm": lambda h: nn.GroupNorm(2, use_bias=False, use_scale=False).apply({}, h),
    "local response": lambda h: h / (1 + jnp.square(h).sum(-1, keepdims=True)) ** 0.75,
    "squashed pool": lambda h: jnp.tanh(h.mean(SPACE)),
}


@pytest.mark.parametrize("activation", [relu, nn.elu, jnp.tanh, nn.swish, nn.gelu])
@pytest.mark.parametrize("name", BEHIND_IMAGES)
def test_activations_of_channels(name, activation):
    def hidden(params, x):
        return activation(
            jax.lax.conv_general_dilated(
                x, params["conv"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        )

    def apply(params, x):
        h = BEHIND_IMAGES[name](hidden(params, x))
        return h.reshape(h.shape[0], -1) @ params["out"]

    image = jax.random.normal(KEY, (2, 6, 5, 3))
    kernel = jax.random.normal(KEY, (3, 3, 3, 4)).at[..., 1].set(0)
    params = {"conv": kernel}
    width = jax.eval_shape(lambda h: BEHIND_IMAGES[name](h).reshape(2, -1), hidden(params, image))
    params["out"] = jax.random.normal(KEY, (width.shape[1], 2))
    graph = dormant.trace(apply, params, image)
    found = graph.activations(params, image)["conv"]
    np.testing.assert_allclose(found, hidden(params, image), rtol=1e-5, atol=1e-6)
    score = dormant.dormancy_scores({"conv": found})["conv"]
    assert score[1] == 0 and (score > 0).sum() == 3


BEHIND_VECTORS = {
    "layer norm": lambda h: nn.LayerNorm(use_bias=False, use_scale=False).apply({}, h),
    "RMS norm": lambda h: nn.RMSNorm(use_scale=False).apply({}, h),
    "standardized": jax.nn.standardize,
    "unit length": lambda h: h / jnp.linalg.norm(h, axis=-1, keepdims=True).clip(1e-6),
    "unit sum": lambda h: h / (1e-6 + h.sum(-1, keepdims=True)),
    "over the batch": lambda h: (h - h.mean(0)) / jnp.sqrt(h.var(0) + 1e-5),
    "softmax": nn.softmax,
    "log softmax": nn.log_softmax,
    "scaled": lambda h: h * 3.0 / jnp.sqrt(6.0),
    "scaled and shifted": lambda h: 3.0 * h + jnp.arange(6.0),
    "cast and scaled": lambda h: h.astype(jnp.bfloat16) / 2,
}


@pytest.mark.parametrize("activation", [relu, nn.leaky_relu, jnp.tanh, nn.swish, nn.softplus])
@pytest.mark.parametrize("name", BEHIND_VECTORS)
def test_activations_of_vectors(name, activation):
    def hidden(params, x):
        return activation(x @ params["in"])

    def apply(params, x):
        return BEHIND_VECTORS[name](hidden(params, x)) @ params["out"]

    def init(key):
        kernels = {"in": (7, 6), "out": (6, 2)}
        return {name: jax.random.normal(key, shape) for name, shape in kernels.items()}

    params = init(KEY)
    if activation is nn.softplus:  # never silent
        graph = dormant.trace(apply, params, VECTOR)
    else:
        graph = check_promise(apply, init, VECTOR)
    found = graph.activations(params, VECTOR)["in"]
    np.testing.assert_allclose(found, hidden(params, VECTOR), rtol=1e-5, atol=1e-6)


def test_a_learned_scale_behind_is_neither_place_nor_incoming():
    def function(x):
        h = relu(Dense(6)(x))
        return pipe(h, nn.LayerNorm(), Dense(2))

    graph = check_flax(function, VECTOR)
    assert {entries.path for entries in graph["Dense_0"].incoming} == {
        "params/Dense_0/kernel",
        "params/Dense_0/bias",
    }


BEFORE = {
    "layer norm": lambda h: nn.LayerNorm(use_bias=False, use_scale=False).apply({}, h),
    "over the batch": lambda h: (h - h.mean(0)) / jnp.sqrt(h.var(0) + 1e-5),
    "scaled": lambda h: h / 3,
}


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("behind", ["layer norm", "softmax", "scaled"])
def test_a_normalization_before_the_non_linearity_is_part_of_the_way_there(name, behind):
    def hidden(params, x):
        return nn.elu(BEFORE[name](x @ params["in"]))

    def apply(params, x):
        return BEHIND_VECTORS[behind](hidden(params, x)) @ params["out"]

    params = {"in": jax.random.normal(KEY, (7, 6)), "out": jnp.ones((6, 2))}
    graph = dormant.trace(apply, params, VECTOR)
    found = graph.activations(params, VECTOR)["in"]
    np.testing.assert_allclose(found, hidden(params, VECTOR), rtol=1e-5, atol=1e-6)


# Layers without a non-linearity of their own: the value that stands for them.
LINEAR = {
    "softmax over space": (softmax_over_space, lambda h: h),
    "exponentials over space": (BEHIND_IMAGES["softmax by hand"], lambda h: h),
    "softmax over channels": (nn.softmax, nn.softmax),
    "nothing": (lambda h: h, lambda h: h),
}


@pytest.mark.parametrize("name", LINEAR)
def test_layers_without_a_non_linearity(name):
    behind, expected = LINEAR[name]

    def apply(params, x):
        return (behind(x @ params["in"]).reshape(2, -1)) @ params["out"]

    image = jax.random.normal(KEY, (2, 4, 4, 3))
    params = {"in": jax.random.normal(KEY, (3, 5)), "out": jnp.ones((80, 2))}
    graph = dormant.trace(apply, params, image)
    found = graph.activations(params, image)["in"]
    np.testing.assert_allclose(found, expected(image @ params["in"]), rtol=1e-5, atol=1e-6)


def test_a_branch_is_measured_before_it_joins_a_residual_stream():
    def apply(params, x):
        h = jnp.tanh(x @ params["in"])
        h = h + relu(h @ params["up"]) @ params["down"]
        return jax.nn.standardize(h) @ params["out"]

    keys = jax.random.split(KEY, 4)
    shapes = {"in": (7, 6), "up": (6, 8), "down": (8, 6), "out": (6, 2)}
    params = {
        name: jax.random.normal(key, shape)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    graph = dormant.trace(apply, params, VECTOR)
    branch = relu(jnp.tanh(VECTOR @ params["in"]) @ params["up"]) @ params["down"]
    found = graph.activations(params, VECTOR)["down"]
    np.testing.assert_allclose(found, branch, rtol=1e-5, atol=1e-6)
    assert not graph["down"].recyclable and graph["up"].recyclable

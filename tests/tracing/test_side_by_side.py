# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Layers that lie beside each other or beside inputs, and are normalized together: each is measured
behind its own non-linearity, as it is without the others."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import dormant
from tests.traced_networks import (
    ACTION,
    IMAGE,
    VECTOR,
    Conv,
    Dense,
    Network,
    check_flax,
    flat,
    quick_compilation,  # noqa: F401  (a fixture)
    relu,
)


def l2_norm(h):
    return h / jnp.linalg.norm(h, axis=-1, keepdims=True)


def beside(*parts):
    return jnp.concatenate(parts, -1)


NORMS = {
    "layer norm": lambda h: nn.LayerNorm()(h),
    "rms norm": lambda h: nn.RMSNorm()(h),
    "l2 norm": l2_norm,
    "squares by hand": lambda h: h / (1 + jnp.square(h).sum(-1, keepdims=True)),
}


@pytest.mark.parametrize("activation", [relu, jnp.tanh], ids=["relu", "tanh"])
@pytest.mark.parametrize("norm", NORMS)
def test_a_layer_beside_inputs_is_measured_before_a_norm_over_both(norm, activation):
    def function(x, action):
        hidden = activation(Dense(6, name="hidden")(x))
        return Dense(2)(NORMS[norm](beside(hidden, action)))

    graph = check_flax(function, VECTOR, ACTION)
    params = Network(function).init(jax.random.key(0), VECTOR, ACTION)
    expected = activation(nn.Dense(6).apply({"params": params["params"]["hidden"]}, VECTOR))
    found = graph.activations(params, VECTOR, ACTION)["hidden"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_features_of_an_image_beside_proprioception():
    def function(image, state):
        features = flat(relu(Conv(4, (3, 3), strides=3, name="conv")(image)))
        hidden = relu(Dense(5, name="state")(state))
        return Dense(2)(nn.LayerNorm()(beside(features, hidden)))

    inputs = (IMAGE, VECTOR[: len(IMAGE)])
    graph = check_flax(function, *inputs)
    params = Network(function).init(jax.random.key(0), *inputs)
    found = graph.activations(params, *inputs)
    own = params["params"]
    expected = relu(nn.Conv(4, (3, 3), strides=3).apply({"params": own["conv"]}, IMAGE))
    np.testing.assert_allclose(found["conv"], expected, rtol=1e-5, atol=1e-6)
    state = relu(nn.Dense(5).apply({"params": own["state"]}, inputs[1]))
    np.testing.assert_allclose(found["state"], state, rtol=1e-6)


@pytest.mark.parametrize("other", ["inputs", "a layer"])
def test_a_non_linearity_behind_a_norm_over_both_is_the_layers_own(other):
    def function(x, action):
        own = Dense(6, name="own")(x)
        second = action if other == "inputs" else Dense(3, name="other")(x)
        return Dense(2)(relu(nn.LayerNorm(name="norm")(beside(own, second))))

    graph = check_flax(function, VECTOR, ACTION)
    params = Network(function).init(jax.random.key(0), VECTOR, ACTION)
    offsets = params["params"]["norm"]["bias"].at[:2].set(-50.0)
    params["params"]["norm"]["bias"] = offsets
    found = graph.activations(params, VECTOR, ACTION)["own"]
    assert (found >= 0).all() and (found[:, :2] == 0).all() and (found[:, 2:] > 0).any()
    # What is scaled and moved by the norm is part of what feeds the layer.
    paths = {entries.path for entries in graph["own"].incoming}
    assert {"params/norm/scale", "params/norm/bias"} <= paths
    assert not graph["own"].recyclable


def test_densely_connected_layers_are_measured_behind_their_batch_norms():
    def function(x):
        for _ in range(3):
            own = relu(nn.BatchNorm(use_running_average=False)(Dense(4)(x)))
            x = beside(x, own)
        return Dense(2)(x)

    network = Network(function)
    variables = network.init(jax.random.key(0), VECTOR)

    def apply(variables, x):
        return network.apply(variables, x, mutable=["batch_stats"])

    graph = dormant.trace(apply, variables, VECTOR)
    found = graph.activations(variables, VECTOR)
    assert len(found) == 3 and all((each >= 0).all() for each in found.values())


def test_a_norm_of_nnx_over_both():
    class Beside(nnx.Module):
        def __init__(self, rngs):
            self.hidden = nnx.Linear(7, 6, rngs=rngs)
            self.norm = nnx.LayerNorm(8, rngs=rngs)
            self.out = nnx.Linear(8, 2, rngs=rngs)

        def __call__(self, x, action):
            return self.out(self.norm(beside(relu(self.hidden(x)), action)))

    graphdef, params = nnx.split(Beside(nnx.Rngs(0)))
    graph = dormant.trace(lambda p, *a: nnx.merge(graphdef, p)(*a), params, VECTOR, ACTION)
    (found,) = graph.activations(params, VECTOR, ACTION).values()
    np.testing.assert_allclose(found, relu(nnx.merge(graphdef, params).hidden(VECTOR)), rtol=1e-6)


@pytest.mark.parametrize("norm", [nn.GroupNorm(2), nn.LayerNorm(reduction_axes=(1, 2, 3))])
def test_a_softmax_over_space_behind_a_norm_is_no_non_linearity_of_the_channels(norm):
    def function(image):
        h = norm.copy(name="norm")(Conv(4, (3, 3), name="conv")(image))
        return Dense(2)(flat(nn.softmax(h, (1, 2))))

    graph = check_flax(function, IMAGE)
    params = Network(function).init(jax.random.key(0), IMAGE)
    found = graph.activations(params, IMAGE)["conv"]
    assert (found < 0).any()  # before the softmax


def test_a_siamese_pair_is_measured_behind_what_follows_its_norm():
    def function(x):
        own = Dense(6, name="own")
        return Dense(2)(relu(nn.LayerNorm()(beside(own(x), own(-x)))))

    graph = check_flax(function, VECTOR)
    params = Network(function).init(jax.random.key(0), VECTOR)
    assert (graph.activations(params, VECTOR)["own"] >= 0).all()


BEHIND = {
    "two norms": lambda h: relu(nn.LayerNorm()(nn.LayerNorm()(h))),
    "softmax": lambda h: nn.softmax(nn.LayerNorm()(h)),
}


@pytest.mark.parametrize("name", BEHIND)
def test_what_lies_behind_a_norm_of_two_layers_is_their_own(name):
    def function(x):
        both = beside(Dense(6, name="first")(x), Dense(3, name="second")(x))
        return Dense(2)(BEHIND[name](both))

    graph = check_flax(function, VECTOR)
    params = Network(function).init(jax.random.key(0), VECTOR)
    found = graph.activations(params, VECTOR)
    assert all((each >= 0).all() for each in found.values())


def test_normalized_queries_are_not_measured_at_their_squares():
    def function(x):
        tokens = x.reshape(-1, 7, 1)
        attention = nn.MultiHeadDotProductAttention(
            2, qkv_features=8, normalize_qk=True, name="att"
        )
        return Dense(2)(flat(attention(tokens, tokens)))

    graph = check_flax(function, VECTOR)
    params = Network(function).init(jax.random.key(0), VECTOR)
    name = next(each for each in graph.names if "query" in each)
    assert (graph.activations(params, VECTOR)[name] < 0).any()


def test_layers_along_tokens_are_measured_behind_their_non_linearity():
    def function(x):
        tokens = jnp.stack([Dense(6, name="first")(x), Dense(6, name="second")(x)], 1)
        return Dense(2)(relu(nn.LayerNorm(name="norm")(tokens)).mean(1))

    params = Network(function).init(jax.random.key(0), VECTOR)
    found = check_flax(function, VECTOR).activations(params, VECTOR)
    for name in ("first", "second"):
        linear = nn.Dense(6).apply({"params": params["params"][name]}, VECTOR)
        expected = relu(nn.LayerNorm().apply({"params": params["params"]["norm"]}, linear))
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)

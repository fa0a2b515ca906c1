# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Masks and dropout between a layer and its readers: a zero stays one, whatever the mask is."""

import flax.linen as nn
import haiku as hk
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
    quick_compilation,  # noqa: F401  (a fixture)
    recyclable,
    relu,
)

KEY = jax.random.key(3)

# (activations, mask of their shape, key) -> what the next layer reads
MASKS = {
    "dropout of Flax": lambda h, mask, key: nn.Dropout(0.5, deterministic=False)(h, rng=key),
    "dropout of whole columns": lambda h, mask, key: nn.Dropout(
        0.5, broadcast_dims=(0,), deterministic=False
    )(h, rng=key),
    "dropout of Haiku": lambda h, mask, key: hk.dropout(key, 0.5, h),
    "where, 0": lambda h, mask, key: jnp.where(mask, h, 0.0),
    "where, negative zero": lambda h, mask, key: jnp.where(mask, h, -0.0),
    "where not": lambda h, mask, key: jnp.where(~mask, 0.0, h),
    "zeros_like": lambda h, mask, key: jnp.where(mask, h, jnp.zeros_like(h)),
    "select": lambda h, mask, key: jax.lax.select(mask, h, jnp.zeros_like(h)),
    "broadcast zeros": lambda h, mask, key: jnp.where(
        mask, h, jnp.broadcast_to(jnp.zeros((6,)), h.shape)
    ),
    "scaled zeros": lambda h, mask, key: jnp.where(mask, h, 0.0 * jnp.sum(h)),
    "zeros of another type": lambda h, mask, key: jnp.where(
        mask, h, jnp.zeros(h.shape, jnp.int32).astype(h.dtype)
    ),
    "zero of the neuron": lambda h, mask, key: jnp.where(mask, h, 0 * h),
    "inverted dropout": lambda h, mask, key: jnp.where(mask, h / 0.5, 0),
    "mask as a factor": lambda h, mask, key: h * mask / 0.5,
    "mask of rows": lambda h, mask, key: jnp.where(mask[:, :1], h, 0),
    "mask of neurons": lambda h, mask, key: jnp.where(mask[0], h, 0),
    "mask by the value": lambda h, mask, key: jnp.where(h > 0.1, h, 0),
    "masks in turn": lambda h, mask, key: jnp.where(
        mask, jnp.where(mask[:1], h, jnp.zeros_like(h)), jnp.zeros((), h.dtype)
    ),
    "masked mean": lambda h, mask, key: (
        jnp.where(mask[:, :1], h, 0).sum(0, keepdims=True) / mask[:, :1].sum()
    ),
    "column set to zero": lambda h, mask, key: h.at[:, 2].set(0),
    "rows set to zero": lambda h, mask, key: h.at[jnp.array([0, 3])].set(jnp.zeros((2, 6))),
    "column scaled": lambda h, mask, key: h.at[:, 2].multiply(mask[:, 0]),
    "Gaussian noise": lambda h, mask, key: h * (1 + jax.random.normal(key, h.shape)),
}


@pytest.mark.parametrize("name", MASKS)
def test_layers_behind_a_mask_are_recycled(name):
    def function(x, mask, key):
        h = relu(Dense(6)(x))
        return Dense(2)(MASKS[name](h, mask, key))

    mask = jax.random.bernoulli(jax.random.key(4), 0.6, (5, 6))
    graph = check_flax(function, VECTOR, mask, KEY)
    assert recyclable(graph) == {"Dense_0": True}
    (rows,) = graph["Dense_0"].outgoing
    assert rows.path == "params/Dense_1/kernel" and rows.index.array.tolist() == list(range(6))


@pytest.mark.parametrize(
    "name", ["dropout of Haiku", "zero of the neuron", "zeros_like", "masks in turn"]
)
def test_activations_are_those_before_the_mask(name):
    def apply(params, x, mask):
        h = MASKS[name](relu(x @ params["in"]), mask, KEY)
        return h @ params["out"]

    params = {"in": jax.random.normal(KEY, (7, 6)), "out": jnp.ones((6, 2))}
    mask = jax.random.bernoulli(KEY, 0.5, (5, 6))
    graph = dormant.trace(apply, params, VECTOR, mask)
    expected = np.maximum(VECTOR @ params["in"], 0)
    np.testing.assert_allclose(graph.activations(params, VECTOR, mask)["in"], expected, rtol=1e-5)


# Masks behind which a silent neuron still says something.
NO_ZEROS = {
    "minus infinity": lambda h, mask: jnp.where(mask, h, -jnp.inf),
    "one": lambda h, mask: jnp.where(mask, h, 1.0),
    "data": lambda h, mask: jnp.where(mask, h, jnp.ones_like(h).cumsum(0)),
    "column set to one": lambda h, mask: h.at[:, 2].set(1),
    "row shifted": lambda h, mask: h.at[0].add(1),
    "shifted": lambda h, mask: jnp.where(mask, h + 1, jnp.zeros_like(h)),
    "exponential of zeros": lambda h, mask: jnp.where(mask, h, jnp.exp(jnp.zeros_like(h))),
}


@pytest.mark.parametrize("name", NO_ZEROS)
def test_masks_that_do_not_leave_zeros_are_named(name):
    def apply(params, x, mask):
        return jnp.tanh(NO_ZEROS[name](relu(x @ params["in"]), mask) @ params["out"])

    def init(key):
        return {"in": jax.random.normal(key, (7, 6)), "out": jnp.ones((6, 2))}

    mask = jax.random.bernoulli(KEY, 0.5, (5, 6))
    graph = check_promise(apply, init, VECTOR, mask)
    assert graph["in"].obstacle == "out reads a value that is not zero where the neuron is silent"

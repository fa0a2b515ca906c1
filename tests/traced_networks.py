# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Flax networks for the tests of the trace, and the promise that every traced network must keep."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant

VECTOR = jax.random.normal(jax.random.key(1), (5, 7))
ACTION = VECTOR[:, :2]
IMAGE = jax.random.normal(jax.random.key(2), (3, 12, 12, 4))
Dense, Conv, relu = nn.Dense, nn.Conv, nn.relu


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """Many small programs: XLA's optimizations would take longer than everything else here."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


class Network(nn.Module):
    """A Flax network written as one function."""

    function: callable

    @nn.compact
    def __call__(self, *inputs):
        return self.function(*inputs)


class MLP(nn.Module):
    """Two hidden layers of 8 and 6 neurons."""

    activation: callable = nn.relu
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x):
        x = self.activation(Dense(8, dtype=self.dtype)(x))
        x = self.activation(Dense(6, dtype=self.dtype)(x))
        return Dense(3, dtype=self.dtype)(x)


class CNN(nn.Module):
    """Two convolutions of 4 and 5 channels, a flatten, an output layer."""

    @nn.compact
    def __call__(self, x):
        x = relu(Conv(4, (3, 3))(x))
        x = relu(Conv(5, (3, 3))(x))
        return Dense(2)(flat(x))


def flat(x):
    return x.reshape((x.shape[0], -1))


def silence(graph, params):
    """Zeroes the incoming entries of the first third of every recyclable layer."""
    leaves = graph.parameters.leaves("params", params)
    silenced = {}
    for layer in graph.layers:
        if layer.recyclable:
            mask = jnp.arange(layer.neurons) < max(1, layer.neurons // 3)
            silenced[layer.name] = mask
            for entries in layer.incoming:
                old = leaves[entries.path]
                zeroed = jnp.where(entries.mask(mask, old.ndim), 0, old)
                leaves[entries.path] = zeroed.astype(old.dtype)
    return graph.parameters.unflatten(leaves), silenced


def check_promise(apply, init, *inputs):
    """A recycle of silent neurons leaves the outputs unchanged to the bit; returns the graph."""
    graph = dormant.trace(apply, jax.eval_shape(init, jax.random.key(0)), *inputs)

    # Drawn and measured by programs of their own, each compiled once.
    drawn, outputs = jax.jit(init), jax.jit(apply)

    @jax.jit
    def measure_and_recycle(params, fresh, *inputs):
        activations = graph.activations(params, *inputs)
        masks = dormant.dormant_masks(dormant.dormancy_scores(activations), 0.0)
        return activations, masks, dormant.recycle(graph, params, fresh, masks)

    params, silenced = silence(graph, drawn(jax.random.key(0)))
    fresh = drawn(jax.random.key(5))
    activations, masks, recycled = measure_and_recycle(params, fresh, *inputs)
    assert {name: h.shape[-1] for name, h in activations.items()} == {
        layer.name: layer.neurons for layer in graph.layers
    }
    for name, mask in silenced.items():
        assert (masks[name] | ~mask).all(), f"{name} was silenced but is not dormant"
    before, after = outputs(params, *inputs), outputs(recycled, *inputs)
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(old, new)
    if silenced:
        changed = jax.tree.map(lambda a, b: not np.array_equal(a, b), params, recycled)
        assert any(jax.tree.leaves(changed))
    return graph


def check_flax(function, *inputs):
    network = Network(function)
    return check_promise(network.apply, lambda key: network.init(key, *inputs), *inputs)


def recyclable(graph):
    return {layer.name: layer.recyclable for layer in graph.layers}


def pipe(x, *steps):
    """Applies the steps in turn; Flax names them in that order."""
    for step in steps:
        x = step(x)
    return x


def swap(x):
    return jnp.swapaxes(x, -1, -2)

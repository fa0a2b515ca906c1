# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0


"""Kernels that are parts of larger arrays: stacked ones, slices of a flat vector."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import dormant
from tests.traced_networks import (
    ACTION,
    MLP,
    VECTOR,
    check_promise,
    quick_compilation,  # noqa: F401  (a fixture)
    recyclable,
    relu,
)

SQUARE = jax.random.normal(jax.random.key(1), (5, 6))
SHAPES = {"W": (3, 6, 6), "V": (3, 6, 6), "b": (3, 6), "last": (6, 3, 6), "out": (6, 2)}


def init(key):
    keys = jax.random.split(key, len(SHAPES))
    return {n: jax.random.normal(k, s) for k, (n, s) in zip(keys, SHAPES.items(), strict=True)}


def by_index(params, x):
    for i in range(3):
        x = relu(x @ params["W"][i] + params["b"][i])
    return x @ params["out"]


def by_iteration(params, x):
    for kernel, bias in zip(params["W"], params["b"], strict=True):
        x = relu(x @ kernel + bias)
    return x @ params["out"]


def by_slice_of_a_tree(params, x):
    for i in range(3):
        layer = jax.tree.map(lambda array, i=i: array[i], {"W": params["W"], "b": params["b"]})
        x = jnp.tanh(x @ layer["W"] + layer["b"])
    return x @ params["out"]


def by_dynamic_index(params, x):
    for i in range(3):
        x = relu(x @ jax.lax.dynamic_index_in_dim(params["W"], i, keepdims=False))
    return x @ params["out"]


def by_split(params, x):
    for kernel in jnp.split(params["W"], 3):
        x = relu(x @ kernel[0])
    return x @ params["out"]


def by_take(params, x):
    for i in (0, 1, 2):
        x = relu(x @ jnp.take(params["W"], i, axis=0))
    return x @ params["out"]


STACKED = [by_index, by_iteration, by_slice_of_a_tree, by_dynamic_index, by_split, by_take]


@pytest.mark.parametrize("apply", STACKED)
def test_stacked_kernels(apply):
    graph = check_promise(apply, init, SQUARE)
    assert recyclable(graph) == {"W[0]": True, "W[1]": True, "W[2]": True}
    assert [layer.read_by for layer in graph.layers] == [("W[1]",), ("W[2]",), ("out",)]
    masks = {"W[1]": jnp.arange(6) == 4}
    params = jax.tree.map(jnp.ones_like, init(jax.random.key(0)))
    fresh = jax.tree.map(lambda leaf: jnp.full_like(leaf, 2), params)
    recycled = dormant.recycle(graph, params, fresh, masks)
    expected = np.ones(SHAPES["W"])
    expected[1, :, 4], expected[2, 4] = 2, 0
    np.testing.assert_array_equal(recycled["W"], expected)
    if apply in (by_index, by_iteration, by_slice_of_a_tree):
        expected = np.ones(SHAPES["b"])
        expected[1, 4] = 2
        np.testing.assert_array_equal(recycled["b"], expected)
    np.testing.assert_array_equal(recycled["out"], 1)


def test_two_stacks_in_turn_are_no_ensemble():
    def apply(params, x):
        for i in range(3):
            x = relu(relu(x @ params["W"][i]) @ params["V"][i])
        return x @ params["out"]

    graph = check_promise(apply, init, SQUARE)
    assert graph.names == ("W[0]", "V[0]", "W[1]", "V[1]", "W[2]", "V[2]")
    assert all(recyclable(graph).values())
    assert all(layer.neurons == 6 for layer in graph.layers)


def test_stacks_along_another_axis():
    def apply(params, x):
        for i in range(3):
            x = relu(x @ params["last"][:, i])
        return x @ params["out"]

    graph = check_promise(apply, init, SQUARE)
    assert recyclable(graph) == {"last[:, 0]": True, "last[:, 1]": True, "last[:, 2]": True}


def test_a_stacked_kernel_read_twice_is_weight_sharing():
    def apply(params, x):
        for i in (0, 1, 1, 2):
            x = jnp.tanh(x @ params["W"][i])
        return x @ params["out"]

    graph = check_promise(apply, init, SQUARE)
    assert not graph["W[1]"].recyclable and "weight sharing" in graph["W[1]"].obstacle
    assert graph["W[2]"].recyclable  # read by `out` alone


def test_overlapping_slices_are_weight_sharing():
    def apply(params, x):
        h = relu(x @ params["W"][0][:, :4])
        return relu(x @ params["W"][0][:, 2:]) @ params["out"][:4] + h @ params["out"][2:]

    graph = check_promise(apply, init, SQUARE)
    assert set(recyclable(graph)) == {"W[0, :, 0:4]", "W[0, :, 2:6]"}
    assert not any(recyclable(graph).values())
    assert all("weight sharing" in layer.obstacle for layer in graph.layers)


def test_a_kernel_and_its_bias_in_one_matrix():
    def apply(params, x):
        x = relu(x @ params["W"][0][:5, :] + params["W"][0][5])
        return x @ params["out"]

    graph = check_promise(apply, init, SQUARE[:, :5])
    assert recyclable(graph) == {"W[0, 0:5]": True}
    kernel, bias = graph.layers[0].incoming
    assert (kernel.role, bias.role) == ("kernel", "elementwise")


def test_a_kernel_that_is_a_bias_too_is_weight_sharing():
    def apply(params, x):
        h = relu(x @ params["W"][0])
        return (relu(h @ params["W"][1] + params["W"][1][3])) @ params["out"]

    graph = check_promise(apply, init, SQUARE)
    assert not any(recyclable(graph).values())
    assert "weight sharing" in graph["W[1]"].obstacle


def test_two_parts_of_one_kernel_into_one_layer_bear_its_name():
    def apply(params, s, a):
        return relu(s @ params["W"][:7] + a @ params["W"][7:]) @ params["out"]

    def init(key):
        return {"W": jax.random.normal(key, (9, 6)), "out": jax.random.normal(key, (6, 2))}

    assert recyclable(check_promise(apply, init, VECTOR, ACTION)) == {"W": True}


def flattened(network, example):
    """The network and its initializer on one flat vector, as evolution strategies have them."""
    tree = network.init(jax.random.key(0), example)
    _, unravel = ravel_pytree(tree)
    apply = lambda vector, *inputs: network.apply(unravel(vector), *inputs)  # noqa: E731
    return apply, lambda key: ravel_pytree(network.init(key, example))[0], unravel


class Slopes(nn.Module):
    """A learned slope is one parameter for all neurons, in the same vector as their kernels."""

    @nn.compact
    def __call__(self, x):
        x = nn.PReLU()(nn.Dense(5)(x))
        x = relu(nn.LayerNorm(use_fast_variance=False)(nn.Dense(4)(x)))
        return nn.Dense(2)(x)


class Convolutions(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = relu(nn.Conv(4, (3, 3))(x.reshape(x.shape[0], 7, 1, 1)))
        x = relu(nn.Dense(6)(x.reshape(x.shape[0], -1)))
        return nn.Dense(2)(x)


@pytest.mark.parametrize("network", [MLP(), MLP(jnp.tanh), Slopes(), Convolutions()])
def test_flat_vectors_are_as_recyclable_as_the_tree(network):
    apply, init, unravel = flattened(network, VECTOR)
    graph = check_promise(apply, init, VECTOR)
    tree_graph = dormant.trace(network.apply, unravel(init(jax.random.key(0))), VECTOR)
    assert [layer.recyclable for layer in graph.layers] == [
        layer.recyclable for layer in tree_graph.layers
    ]
    assert len(set(graph.names)) == len(graph.names)
    assert all(name.startswith("[") and ":" in name for name in graph.names)

    # A recycle of the vector is that of the tree.
    vector, fresh = init(jax.random.key(1)), init(jax.random.key(2))
    masks = {name: jnp.arange(graph[name].neurons) % 2 == 0 for name in graph.names}
    renamed = dict(zip(tree_graph.names, masks.values(), strict=True))
    found = dormant.recycle(graph, vector, fresh, masks)
    expected = dormant.recycle(tree_graph, unravel(vector), unravel(fresh), renamed)
    np.testing.assert_array_equal(found, ravel_pytree(expected)[0])


def test_slices_of_a_vector_in_a_tree_bear_its_name():
    def apply(params, x):
        first, second = jnp.split(params["flat"]["kernel"], [42])
        return relu(x @ first.reshape(7, 6)) @ second.reshape(6, 2)

    params = {"flat": {"kernel": jnp.ones(54)}}
    graph = dormant.trace(apply, params, VECTOR)
    assert recyclable(graph) == {"flat[0:42]": True} and graph.output_layers == ("flat[42:54]",)


def test_a_deep_stack():
    def apply(params, x):
        for i in range(100):
            x = relu(x @ params["W"][i] + params["b"][i])
        return x

    shapes = {"W": jax.ShapeDtypeStruct((100, 8, 8), "float32"),
              "b": jax.ShapeDtypeStruct((100, 8), "float32")}  # fmt: skip
    graph = dormant.trace(apply, shapes, jax.ShapeDtypeStruct((2, 8), "float32"))
    assert len(graph.layers) == 99 and all(recyclable(graph).values())

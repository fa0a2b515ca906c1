# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Layers that are split, each part with a non-linearity and readers of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from tests.traced_networks import (
    VECTOR,
    check_promise,
    quick_compilation,  # noqa: F401  (a fixture)
    recyclable,
    relu,
)

SHAPES = {"w": (7, 16), "b": (16,), "pi": (8, 4), "v": (8, 1), "head": (16, 2), "a_bias": (8,)}


def init(key):
    keys = jax.random.split(key, len(SHAPES))
    return {
        name: jax.random.normal(each, shape)
        for each, (name, shape) in zip(keys, SHAPES.items(), strict=True)
    }


def pre_activation(params, x):
    return x @ params["w"] + params["b"]


def halves(params, x):
    first, second = jnp.split(pre_activation(params, x), 2, axis=-1)
    return relu(first) @ params["pi"], relu(second) @ params["v"]


def slices_with_other_functions(params, x):
    z = pre_activation(params, x)
    return jnp.tanh(z[:, ::2] + params["a_bias"]) @ params["pi"], relu(z[:, 1::2]) @ params["v"]


def one_part_linear(params, x):
    z = pre_activation(params, x)
    return relu(z[:, :8]) @ params["pi"], z[:, 8:] @ params["v"]


def heads_on_an_axis(params, x):
    z = pre_activation(params, x).reshape(-1, 2, 8)
    return relu(z[:, 0]) @ params["pi"], jnp.tanh(z[:, 1]) @ params["v"]


def joined_again(params, x):
    first, second = jnp.split(pre_activation(params, x), 2, axis=-1)
    return jnp.concatenate([relu(first), jnp.tanh(second)], axis=-1) @ params["head"]


def one_neuron_apart(params, x):
    z = pre_activation(params, x)
    return relu(z[:, :15]) @ params["head"][:15] + jnp.tanh(z[:, 15:]) @ params["head"][15:]


def expected_halves(params, x):
    return relu(pre_activation(params, x))


def expected_slices(params, x):
    z = pre_activation(params, x)
    z = z.at[:, ::2].set(jnp.tanh(z[:, ::2] + params["a_bias"]))
    return z.at[:, 1::2].set(relu(z[:, 1::2]))


def expected_linear_part(params, x):
    z = pre_activation(params, x)
    return z.at[:, :8].set(relu(z[:, :8]))


def expected_two_functions(params, x):
    z = pre_activation(params, x)
    return jnp.concatenate([relu(z[:, :8]), jnp.tanh(z[:, 8:])], axis=-1)


def expected_one_apart(params, x):
    z = pre_activation(params, x)
    return jnp.concatenate([relu(z[:, :15]), jnp.tanh(z[:, 15:])], axis=-1)


NETWORKS = {
    halves: expected_halves,
    slices_with_other_functions: expected_slices,
    one_part_linear: expected_linear_part,
    heads_on_an_axis: expected_two_functions,
    joined_again: expected_two_functions,
    one_neuron_apart: expected_one_apart,
}


@pytest.mark.parametrize("apply", NETWORKS)
def test_each_part_is_measured_behind_its_own_non_linearity(apply):
    graph, params = check_promise(apply, init, VECTOR), init(jax.random.key(3))
    assert recyclable(graph) == {"w": True}
    found = graph.activations(params, VECTOR)["w"]
    np.testing.assert_allclose(found, NETWORKS[apply](params, VECTOR), rtol=1e-6)


def test_dead_neurons_of_a_split_layer_are_dormant():
    params = init(jax.random.key(0))
    params["b"] = params["b"].at[jnp.array([1, 9])].set(-100)
    scores = dormant.dormancy_scores(
        dormant.trace(halves, params, VECTOR).activations(params, VECTOR)
    )["w"]
    assert set(np.flatnonzero(scores == 0)) >= {1, 9}


def test_a_part_that_is_read_before_its_non_linearity_too_is_not_recycled():
    def apply(params, x):
        first, second = jnp.split(pre_activation(params, x), 2, axis=-1)
        policy = relu(first) @ params["pi"]
        return policy, relu(second) @ params["v"], second @ params["head"][:8]

    graph = check_promise(apply, init, VECTOR)
    assert "not zero where the neuron is silent" in graph["w"].obstacle


@pytest.mark.parametrize("function", [relu, jnp.tanh])
def test_a_layer_of_which_a_part_is_read_too_is_measured_where_all_of_it_is_read(function):
    def apply(params, x):
        z = pre_activation(params, x)
        return function(z[:, :8]) @ params["pi"], relu(z) @ params["head"]

    graph, params = check_promise(apply, init, VECTOR), init(jax.random.key(3))
    found = graph.activations(params, VECTOR)["w"]
    np.testing.assert_allclose(found, relu(pre_activation(params, VECTOR)), rtol=1e-6)
    assert "not zero where the neuron is silent" in graph["w"].obstacle


def test_members_of_an_ensemble_that_are_split():
    def apply(params, x):
        return jax.vmap(halves, in_axes=(0, None))(params, x)

    def init_all(key):
        return jax.vmap(init)(jax.random.split(key, 3))

    graph, params = check_promise(apply, init_all, VECTOR), init_all(jax.random.key(1))
    found = graph.activations(params, VECTOR)
    assert set(found) == {"w[0]", "w[1]", "w[2]"}
    for member, name in enumerate(found):
        own = jax.tree.map(lambda leaf, member=member: leaf[member], params)
        np.testing.assert_allclose(found[name], expected_halves(own, VECTOR), rtol=1e-5)


def test_parts_of_a_convolution():
    def init_convolution(key):
        keys = jax.random.split(key, 3)
        shapes = {"kernel": (3, 3, 2, 6), "first": (3, 4), "second": (3 * 16, 2)}
        return {n: jax.random.normal(k, s) for k, (n, s) in zip(keys, shapes.items(), strict=True)}

    def convolved(params, x):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, params["kernel"], (1, 1), "VALID", dimension_numbers=numbers
        )

    def apply(params, x):
        first, second = jnp.split(convolved(params, x), 2, axis=-1)
        pooled = relu(first).mean((1, 2)) @ params["first"]
        return pooled, relu(second).reshape(len(x), -1) @ params["second"]

    images = jax.random.normal(jax.random.key(8), (5, 6, 6, 2))
    graph = check_promise(apply, init_convolution, images)
    params = init_convolution(jax.random.key(4))
    found = graph.activations(params, images)["kernel"]
    np.testing.assert_allclose(found, relu(convolved(params, images)), rtol=1e-5)

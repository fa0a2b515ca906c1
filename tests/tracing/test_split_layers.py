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


SEQUENCES = jax.random.normal(jax.random.key(9), (5, 6, 7))


def pooled(z):
    return z.mean(1)


def last(z):
    return z[:, -1]


def padded(z):
    return jnp.pad(z, ((0, 0), (1, 0), (0, 0)))


def time_major(z):
    return z.swapaxes(0, 1)


@pytest.mark.parametrize("change", [pooled, last, padded, time_major])
def test_parts_of_different_shapes(change):
    def parts(params, x):
        z = pre_activation(params, x)
        return relu(change(z[..., :8])), jnp.tanh(z[..., 8:])

    def apply(params, x):
        first, second = parts(params, x)
        return first @ params["pi"], second @ params["v"]

    graph, params = check_promise(apply, init, SEQUENCES), init(jax.random.key(3))
    assert recyclable(graph) == {"w": True}
    found = jnp.abs(graph.activations(params, SEQUENCES)["w"]).reshape(-1, 16)
    means = [jnp.abs(part).reshape(-1, 8).mean(0) for part in parts(params, SEQUENCES)]
    np.testing.assert_allclose(found.mean(0), jnp.concatenate(means), rtol=1e-5)


def test_a_part_inside_of_a_loop_and_one_behind_it():
    def apply(params, x):
        def step(carry, row):
            z = pre_activation(params, row)
            return carry, (z[:, :8], jnp.tanh(z[:, 8:]) @ params["v"])

        _, (first, second) = jax.lax.scan(step, 0.0, x.swapaxes(0, 1))
        return relu(first) @ params["pi"], second

    graph, params = check_promise(apply, init, SEQUENCES), init(jax.random.key(3))
    assert recyclable(graph) == {"w": True}
    found = jnp.abs(graph.activations(params, SEQUENCES)["w"]).reshape(-1, 16).mean(0)
    z = pre_activation(params, SEQUENCES).reshape(-1, 16)
    wanted = jnp.concatenate([relu(z[:, :8]), jnp.abs(jnp.tanh(z[:, 8:]))], axis=1)
    np.testing.assert_allclose(found, wanted.mean(0), rtol=1e-5)


def test_parts_of_24_and_of_23_time_steps():
    def parts(params, x):
        z = pre_activation(params, x)
        return relu(z[..., :8]), jnp.tanh(z[:, 1:, 8:])

    def apply(params, x):
        first, second = parts(params, x)
        return first @ params["pi"], second @ params["v"]

    def mean_of(part):
        return jnp.abs(part).mean((0, 1))

    graph, params = check_promise(apply, init, SEQUENCES), init(jax.random.key(3))
    assert recyclable(graph) == {"w": True}
    longer = jax.random.normal(jax.random.key(10), (5, 24, 7))
    found = mean_of(graph.activations(params, longer)["w"])
    means = jnp.concatenate([mean_of(part) for part in parts(params, longer)])
    np.testing.assert_allclose(found, means, rtol=0.02)


def test_a_neuron_of_two_parts_is_not_recycled():
    def apply(params, x):
        z = pre_activation(params, x)
        return relu(z[:, :10]) @ params["head"][:10], jnp.tanh(z[:, 8:]) @ params["pi"]

    graph, params = check_promise(apply, init, VECTOR), init(jax.random.key(3))
    assert "not zero where the neuron is silent" in graph["w"].obstacle
    z = pre_activation(params, VECTOR)
    wanted = jnp.concatenate([relu(z[:, :10]), jnp.tanh(z[:, 10:])], axis=1)
    np.testing.assert_allclose(graph.activations(params, VECTOR)["w"], wanted, rtol=1e-6)


def test_neurons_that_nothing_reads_are_no_obstacle():
    def apply(params, x):
        return relu(pre_activation(params, x)[:, :8]) @ params["pi"]

    graph, params = check_promise(apply, init, VECTOR), init(jax.random.key(3))
    assert recyclable(graph) == {"w": True}
    z = pre_activation(params, VECTOR)
    np.testing.assert_allclose(
        graph.activations(params, VECTOR)["w"], z.at[:, :8].set(relu(z[:, :8])), rtol=1e-6
    )


def of_two_inputs(params, x):
    """The policy of one input and the value of another."""
    policy = relu(pre_activation(params, x)[:, :8]) @ params["pi"]
    return policy, jnp.tanh(pre_activation(params, 2 - x)[:, 8:]) @ params["v"]


def test_a_neuron_is_measured_in_the_uses_that_read_it():
    graph, params = check_promise(of_two_inputs, init, VECTOR), init(jax.random.key(3))
    assert recyclable(graph) == {"w": True}
    first, second = pre_activation(params, VECTOR), pre_activation(params, 2 - VECTOR)
    wanted = jnp.concatenate([relu(first[:, :8]), jnp.tanh(second[:, 8:])], axis=1)
    np.testing.assert_allclose(graph.activations(params, VECTOR)["w"], wanted, rtol=1e-5)


def test_gradients_are_of_the_uses_that_read_a_neuron():
    graph, params = (
        dormant.trace(of_two_inputs, init(jax.random.key(3)), VECTOR),
        init(jax.random.key(3)),
    )

    def loss(outputs):
        return sum(jnp.sum(output) for output in outputs)

    found = graph.pre_activation_gradients(loss, params, VECTOR)["w"]
    first, second = pre_activation(params, VECTOR), pre_activation(params, 2 - VECTOR)
    wanted = jnp.concatenate(
        [
            (first[:, :8] > 0) * params["pi"].sum(1),
            (1 - jnp.tanh(second[:, 8:]) ** 2) * params["v"].sum(1),
        ],
        axis=1,
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_activations_of_all_uses_that_read_a_neuron_count_alike():
    """Five of one and thirty of the other, as where all neurons are read in both."""

    def apply(params, x, sequences):
        few = relu(pre_activation(params, x)[:, :8]) @ params["pi"]
        return few, relu(pre_activation(params, sequences)) @ params["head"]

    params, x = init(jax.random.key(3)), VECTOR[:5]
    graph = dormant.trace(apply, params, x, SEQUENCES)
    found = jnp.abs(graph.activations(params, x, SEQUENCES)["w"]).reshape(-1, 16).mean(0)
    few, many = relu(pre_activation(params, x)), relu(pre_activation(params, SEQUENCES))
    both = jnp.concatenate([few, many.reshape(-1, 16)]).mean(0)
    np.testing.assert_allclose(found, both.at[8:].set(many.mean((0, 1))[8:]), rtol=1e-5)


def test_a_part_that_is_read_in_one_position_and_in_all_is_measured_in_all():
    def apply(params, x):
        h = relu(pre_activation(params, x))
        return h[:, 0, :8] @ params["pi"], h[..., :8] @ params["pi"], jnp.tanh(h[..., 8:]).mean(1)

    params = init(jax.random.key(3))
    found = dormant.trace(apply, params, SEQUENCES).activations(params, SEQUENCES)["w"]
    np.testing.assert_allclose(
        found[..., :8], relu(pre_activation(params, SEQUENCES))[..., :8], rtol=1e-5
    )


@pytest.mark.parametrize("between", [lambda h: 0.5 * h, jax.nn.relu, lambda h: h])
def test_parts_behind_one_function_and_a_second_one_of_some(between):
    def apply(params, x):
        h = between(relu(pre_activation(params, x)))
        return h[:, :8] @ params["pi"], jnp.tanh(h[:, 8:]) @ params["v"]

    graph = check_promise(apply, init, VECTOR)
    assert recyclable(graph) == {"w": True}


def test_three_parts_of_which_two_are_linear():
    def apply(params, x):
        z = pre_activation(params, x)
        rest = z[:, 4:8] @ params["head"][:4], jnp.tanh(z[:, 8:]) @ params["v"]
        return z[:, :4] @ params["pi"][:4], *rest

    graph = check_promise(apply, init, VECTOR)
    assert recyclable(graph) == {"w": True}


def test_a_part_that_no_layer_reads_is_measured_behind_its_function():
    def apply(params, x):
        z = pre_activation(params, x)
        return relu(z[:, :8]) @ params["pi"], jnp.tanh(z[:, 8:])

    params = init(jax.random.key(3))
    found = dormant.trace(apply, params, VECTOR).activations(params, VECTOR)["w"]
    z = pre_activation(params, VECTOR)
    wanted = jnp.concatenate([relu(z[:, :8]), jnp.tanh(z[:, 8:])], axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_uses_that_are_joined_before_their_function(axis):
    """As of observations and next observations that go through the rest together."""

    def apply(params, x):
        z = [pre_activation(params, x), pre_activation(params, 2 - x)]
        if axis == 1:
            z = [z[0][:, :8], z[1][:, 8:]]
        return relu(jnp.concatenate(z, axis) - 4) @ params["head"]

    graph, params = check_promise(apply, init, VECTOR), init(jax.random.key(3))
    found = graph.activations(params, VECTOR)["w"].reshape(-1, 16).mean(0)
    first, second = (relu(pre_activation(params, x) - 4).mean(0) for x in (VECTOR, 2 - VECTOR))
    wanted = (first + second) / 2 if axis == 0 else first.at[8:].set(second[8:])
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_neurons_of_one_value_with_23_and_with_24_positions_each():
    """As of windows over time of different lengths that lie flat beside each other."""

    def apply(params, x):
        z = pre_activation(params, x)
        flat = [part.reshape(len(x), -1) for part in (z[:, 1:, :8], z[..., 8:])]
        return relu(jnp.concatenate(flat, axis=1)) @ params["flat"]

    def init_flat(key):
        return init(key) | {"flat": jax.random.normal(key, (47 * 8, 2))}

    x = jax.random.normal(jax.random.key(10), (5, 24, 7))
    graph, params = check_promise(apply, init_flat, x), init_flat(jax.random.key(3))
    assert recyclable(graph) == {"w": True}
    found = graph.activations(params, x)["w"].reshape(-1, 16)
    h = relu(pre_activation(params, x))
    assert len(found) <= 16 * 5 * 24
    wanted = jnp.concatenate([h[:, 1:, :8].mean((0, 1)), h[..., 8:].mean((0, 1))])
    np.testing.assert_allclose(found.mean(0), wanted, rtol=0.03)

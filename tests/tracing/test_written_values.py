# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Layers that are written or added into another value: messages between nodes, memories."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import dormant
from tests.traced_networks import (
    VECTOR,
    Dense,
    check_flax,
    flat,
    quick_compilation,  # noqa: F401  (a fixture)
    recyclable,
    relu,
)

NODES = jax.random.normal(jax.random.key(0), (6, 5))
SENDERS, RECEIVERS = jnp.array([0, 1, 2, 3, 4, 5, 0]), jnp.array([1, 2, 3, 4, 5, 0, 3])
MEMORY = jax.random.normal(jax.random.key(1), (5, 4, 6))


def passed(nodes, senders, receivers):
    """Two rounds of messages, summed at their receivers."""
    h = relu(Dense(8, name="encoder")(nodes))
    for number in range(2):
        sent = relu(Dense(6, name=f"message_{number}")(h[senders]))
        received = jax.ops.segment_sum(sent, receivers, len(nodes))
        h = relu(Dense(7, name=f"node_{number}")(received))
    return Dense(2)(h.mean(0))


def test_messages_between_nodes_are_summed_where_they_arrive():
    graph = check_flax(passed, NODES, SENDERS, RECEIVERS)
    assert recyclable(graph) == dict.fromkeys(
        ("encoder", "message_0", "node_0", "message_1", "node_1"), True
    )
    assert graph["message_0"].read_by == ("node_0",)


@pytest.mark.parametrize("start", ["constant", "data"])
def test_a_memory_takes_up_what_a_layer_says(start):
    def function(x, memory, step):
        at = 1 if start == "constant" else step
        said = relu(Dense(6, name="said")(x))
        memory = jax.lax.dynamic_update_slice(memory, said[:, None], (0, at, 0))
        return Dense(2)(relu(Dense(4, name="read")(memory)).mean(1))

    graph = check_flax(function, VECTOR, MEMORY, jnp.array(2))
    # What was in the memory before is read by the same weights.
    assert recyclable(graph) == {"said": False, "read": True}


def test_a_memory_of_zeros_stays_zero_where_neurons_are_silent():
    def function(x, step):
        said = relu(Dense(6, name="said")(x))
        memory = jnp.zeros((len(x), 4, 6)).at[:, step].set(said)
        return Dense(2)(flat(relu(Dense(4, name="read")(memory))))

    graph = check_flax(function, VECTOR, jnp.array(2))
    assert recyclable(graph) == {"said": True, "read": True}


def test_two_layers_written_side_by_side():
    def function(x):
        first, second = relu(Dense(8, name="first")(x)), relu(Dense(3, name="second")(x))
        both = jnp.zeros((len(x), 12)).at[:, :8].set(first)
        return Dense(2, name="out")(both.at[:, 9:].set(second))

    graph = check_flax(function, VECTOR)
    assert recyclable(graph) == {"first": True, "second": True}
    (entries,) = graph["second"].outgoing
    assert entries.index.array.tolist() == [-1] * 9 + [0, 1, 2]


def test_neurons_along_the_axis_of_places_that_data_choose_are_an_error():
    def function(x, order):
        return Dense(2)(jnp.zeros((len(x), 6)).at[:, order].set(relu(Dense(6, name="own")(x))))

    with pytest.raises(dormant.TraceError, match="own.*through the primitive 'scatter'"):
        check_flax(function, VECTOR, jnp.arange(6))


def test_layers_added_into_one_another_are_not_told_apart():
    def function(x, to):
        first, second = relu(Dense(6, name="first")(x)), relu(Dense(6, name="second")(x))
        return Dense(2)(first.at[to].add(second))

    graph = check_flax(function, VECTOR, jnp.array([1, 0, 2, 3, 4]))
    assert recyclable(graph) == {"first": False, "second": False}


def test_a_normalization_of_what_nodes_received():
    def function(nodes, senders, receivers):
        sent = relu(Dense(6, name="message")(nodes[senders]))
        received = jax.ops.segment_sum(sent, receivers, len(nodes))
        return Dense(2)(nn.LayerNorm()(received))

    graph = check_flax(function, NODES, SENDERS, RECEIVERS)
    assert recyclable(graph) == {"message": False}


@pytest.mark.parametrize("at", [3, 9])
def test_a_write_that_may_be_out_of_bounds_or_twice_in_one_place(at):
    def once(x, memory, at):
        said = relu(Dense(6, name="said")(x))
        return Dense(2)(relu(Dense(4)(memory.at[:, at].set(said))).mean(1))

    graph = check_flax(once, VECTOR, MEMORY[:, :1], jnp.array(at))
    assert not graph["said"].recyclable

    def rows(x, memory, places):
        return Dense(2)(memory.at[places].set(relu(Dense(6, name="said")(x))))

    graph = check_flax(rows, VECTOR, MEMORY[:, 0], jnp.array([0, 0, 1, 2, at]))
    assert not graph["said"].recyclable


def test_a_function_applied_in_some_places_is_not_followed():
    def function(x):
        return Dense(2)(relu(Dense(6, name="own")(x)).at[:, :3].apply(jnp.exp))

    with pytest.raises(dormant.TraceError, match="own.*through the primitive 'scatter'"):
        check_flax(function, VECTOR)

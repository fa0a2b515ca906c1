# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Loops and branches: layers before, inside and after them, compared with unrolled loops."""

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
    check_promise,
    quick_compilation,  # noqa: F401  (a fixture)
    recyclable,
    relu,
)
from tests.tracing.networks_over_time import KEY, SEQUENCE, after, init, over_time

CARRIED = "carried from step to step"


# -- layers around a loop -------------------------------------------------------------------------


class Recurrent(nn.Module):
    """Encoder, recurrent cell, a layer behind it, head."""

    cell: nn.Module
    last_only: bool = False

    @nn.compact
    def __call__(self, x):
        h = relu(nn.Dense(6, name="encoder")(relu(nn.Dense(5, name="first")(x))))
        h = nn.RNN(self.cell, name="rnn")(h)
        h = h[:, -1] if self.last_only else h
        return nn.Dense(2, name="head")(relu(nn.Dense(6, name="post")(h)))


CELLS = {
    "gru": nn.GRUCell(6),
    "lstm": nn.LSTMCell(6),
    "optimized lstm": nn.OptimizedLSTMCell(6),
    "simple": nn.SimpleCell(6),
    "mgu": nn.MGUCell(6),
}


@pytest.mark.parametrize("name", CELLS)
def test_layers_around_a_flax_cell(name):
    network = Recurrent(CELLS[name], last_only=name == "gru")
    graph = check_promise(network.apply, lambda key: network.init(key, SEQUENCE), SEQUENCE)
    around = {"first", "encoder", "post"}
    assert {layer.name for layer in graph.layers if layer.recyclable} == around
    assert graph.output_layers == ("head",)
    inside = [layer for layer in graph.layers if layer.name not in around]
    assert inside and all(CARRIED in layer.obstacle for layer in inside)
    params = network.init(KEY, SEQUENCE)
    activations = graph.activations(params, SEQUENCE)
    assert all(activations[layer.name].shape[:2] == (3, 4) for layer in inside)
    first = relu(SEQUENCE @ params["params"]["first"]["kernel"])
    np.testing.assert_allclose(activations["first"], first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("core", [hk.GRU, hk.LSTM, hk.VanillaRNN])
def test_layers_around_a_haiku_core(core):
    def function(x):
        x = relu(hk.Linear(6, name="encoder")(x))
        recurrent = core(5)
        outputs, _ = hk.dynamic_unroll(recurrent, x, recurrent.initial_state(x.shape[1]))
        return hk.Linear(2, name="head")(relu(hk.Linear(4, name="post")(outputs)))

    network = hk.without_apply_rng(hk.transform(function))
    graph = check_promise(network.apply, lambda key: network.init(key, SEQUENCE), SEQUENCE)
    assert graph["encoder"].recyclable and graph["post"].recyclable
    inside = [layer for layer in graph.layers if layer.name not in ("encoder", "post")]
    assert inside and all(CARRIED in layer.obstacle for layer in inside)


def test_the_last_valid_step_and_lengths_are_followed():
    class Masked(nn.Module):
        @nn.compact
        def __call__(self, x, lengths):
            h = relu(nn.Dense(6, name="encoder")(x))
            rnn = nn.Bidirectional(nn.RNN(nn.GRUCell(4)), nn.RNN(nn.GRUCell(4)))
            h = jnp.concatenate([rnn(h, seq_lengths=lengths), h], -1)
            last = jnp.take_along_axis(h, lengths[:, None, None] - 1, axis=1)[:, 0]
            return nn.Dense(2, name="head")(relu(nn.Dense(6, name="post")(last)))

    network, inputs = Masked(), (SEQUENCE, jnp.array([2, 4, 1]))
    graph = check_promise(network.apply, lambda key: network.init(key, *inputs), *inputs)
    assert graph["post"].recyclable and graph["encoder"].neurons == 6


def test_the_initial_carry_is_named():
    def apply(params, x):
        start = jnp.tanh(x[0] @ params["encoder"])

        def step(carry, _):
            return jnp.tanh(relu(carry @ params["inner"]) @ params["square"]), None

        final, _ = jax.lax.scan(step, start, None, length=3)
        return final @ params["head"]

    make = lambda key: init(key, square=(5, 6))  # noqa: E731
    graph = check_promise(apply, make, SEQUENCE)
    assert CARRIED in graph["encoder"].obstacle and CARRIED in graph["square"].obstacle
    assert graph["inner"].recyclable


# -- layers inside a loop -------------------------------------------------------------------------


def dense_step(scanned):
    """A hidden layer inside of a step, whose reader is inside of it too."""

    def apply(params, x):
        def step(carry, x):
            h = relu(relu(x @ params["encoder"]) @ params["inner"])
            carry = jnp.tanh(h @ params["out"] + carry)
            return carry, carry

        _, ys = over_time(step, jnp.zeros((x.shape[0], 4)), x.swapaxes(0, 1), scanned)
        return after(params, ys)

    return apply


def memory_step(scanned):
    """A layer before the loop that every step reads again."""

    def apply(params, x):
        memory = relu(x[:, 0] @ params["encoder"])

        def step(carry, x):
            carry = jnp.tanh(relu(memory @ params["inner"]) @ params["out"] * x[:, :4] + carry)
            return carry, carry

        _, ys = over_time(step, jnp.zeros((x.shape[0], 4)), x.swapaxes(0, 1), scanned)
        return after(params, ys)

    return apply


def carry_reader(scanned):
    """A hidden layer that reads the carry."""

    def apply(params, x):
        def step(carry, x):
            h = relu(jnp.concatenate([carry, x], -1) @ params["wide"])
            carry = jnp.tanh(relu(h @ params["inner"]) @ params["out"])
            return carry, carry

        _, ys = over_time(step, jnp.zeros((x.shape[0], 4)), x.swapaxes(0, 1), scanned)
        return after(params, ys)

    return apply


def stacked_outputs(scanned):
    """A layer inside of the loop that is read behind it."""

    def apply(params, x):
        def step(count, x):
            h = relu(x @ params["encoder"])
            return count + 1, relu(h @ params["inner"])

        _, ys = over_time(step, 0, x.swapaxes(0, 1), scanned)
        return relu(ys @ params["out"]) @ params["post"]

    return apply


INSIDE = {
    "dense step": (dense_step, {"encoder", "inner", "post"}),
    "memory": (memory_step, {"encoder", "inner", "post"}),
    "reads the carry": (carry_reader, {"wide", "inner", "post"}),
    "read behind the loop": (stacked_outputs, {"encoder", "inner", "out"}),
}


@pytest.mark.parametrize("name", INSIDE)
def test_layers_inside_a_loop_are_those_of_the_unrolled_loop(name):
    make, expected = INSIDE[name]
    params = init(KEY, wide=(11, 6))
    graph = check_promise(make(True), lambda key: init(key, wide=(11, 6)), SEQUENCE)
    assert {layer.name for layer in graph.layers if layer.recyclable} == expected
    unrolled = dormant.trace(make(False), params, SEQUENCE)
    found = graph.activations(params, SEQUENCE)
    by_hand = unrolled.activations(params, SEQUENCE)
    scores, expected_scores = dormant.dormancy_scores(found), dormant.dormancy_scores(by_hand)
    for layer in expected:
        # `memory` reads the same values at every step, and the unrolled loop once.
        np.testing.assert_allclose(scores[layer], expected_scores[layer], rtol=1e-4, atol=1e-5)
        assert set(graph[layer].incoming) == set(unrolled[layer].incoming)
        assert set(graph[layer].outgoing) == set(unrolled[layer].outgoing)


def test_steps_lie_before_the_neurons():
    params = init(KEY)
    graph = dormant.trace(dense_step(True), params, SEQUENCE)
    found = graph.activations(params, SEQUENCE)["encoder"]
    np.testing.assert_allclose(found, relu(SEQUENCE @ params["encoder"]), rtol=1e-5, atol=1e-6)
    longer = jnp.concatenate([SEQUENCE, SEQUENCE], 1)[:2]
    assert graph.activations(params, longer)["inner"].shape == (2, 8, 5)


def test_a_neuron_that_fires_in_one_step_is_not_dormant():
    params = init(KEY)
    params["encoder"] = params["encoder"].at[:, 0].set(0).at[0, 0].set(1).at[:, 1].set(0)
    x = -jnp.abs(SEQUENCE)
    x = x.at[1, 2, 0].set(3.0)
    graph = dormant.trace(dense_step(True), params, x)
    masks = dormant.dormant_masks(dormant.dormancy_scores(graph.activations(params, x)), 0.0)
    assert not masks["encoder"][0] and masks["encoder"][1]


LOOPS = {
    "lax.map": (
        lambda p, x: jax.lax.map(lambda x: relu(x @ p["encoder"]) @ p["inner"], x) @ p["out"],
        {"encoder", "inner"},
    ),
    "reverse": (
        lambda p, x: jax.lax.scan(
            lambda c, x: (c + relu(x @ p["encoder"]) @ p["inner"], c),
            jnp.zeros((3, 5)),
            x.swapaxes(0, 1),
            reverse=True,
        ),
        {"encoder"},
    ),
    "nested": (
        lambda p, x: jax.lax.map(
            lambda row: jax.lax.map(lambda v: relu(v @ p["encoder"]) @ p["inner"], row).sum(0), x
        ),
        {"encoder"},
    ),
    "fori": (
        lambda p, x: jax.lax.fori_loop(
            0, 3, lambda i, c: jnp.tanh(relu(c @ p["encoder"]) @ p["back"]), x[:, 0]
        ),
        {"encoder"},
    ),
    "while": (
        lambda p, x: jax.lax.while_loop(
            lambda c: c[0] < 3,
            lambda c: (c[0] + 1, jnp.tanh(relu(c[1] @ p["encoder"]) @ p["back"])),
            (0, x[:, 0]),
        )[1],
        {"encoder"},
    ),
    "remat": (
        lambda p, x: jax.lax.scan(
            jax.checkpoint(lambda c, x: (c, relu(x @ p["encoder"]) @ p["inner"])), 0, x
        )[1],
        {"encoder"},
    ),
    "in front and behind": (
        lambda p, x: relu(jax.lax.map(lambda h: h @ p["inner"], relu(x @ p["encoder"]))) @ p["out"],
        {"encoder", "inner"},
    ),
    "vmap of a scan": (
        lambda p, x: jax.vmap(
            lambda row: jax.lax.scan(
                lambda c, v: (c, relu(v @ p["encoder"]) @ p["inner"]), jnp.zeros(2), row
            )[1]
        )(x),
        {"encoder"},
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_kinds_of_loops(name):
    apply, expected = LOOPS[name]
    graph = check_promise(apply, lambda key: init(key, back=(6, 7)), SEQUENCE)
    assert {layer.name for layer in graph.layers if layer.recyclable} == expected


def test_a_while_loop_is_measured_over_the_steps_that_ran():
    def apply(params, x, steps):
        def step(carry):
            count, x = carry
            return count + 1, jnp.tanh(relu(x @ params["encoder"]) @ params["back"])

        return jax.lax.while_loop(lambda carry: carry[0] < steps, step, (0, x))[1]

    params = init(KEY, back=(6, 7))
    graph = dormant.trace(apply, params, VECTOR, 3)
    x, sizes = VECTOR, []
    for _ in range(3):
        h = relu(x @ params["encoder"])
        x = jnp.tanh(h @ params["back"])
        sizes.append(h)
    found = graph.activations(params, VECTOR, 3)["encoder"]
    np.testing.assert_allclose(found, np.mean(sizes, 0), rtol=1e-5, atol=1e-6)
    # No step, no evidence: nothing looks silent.
    scores = dormant.dormancy_scores(graph.activations(params, VECTOR, 0))
    assert not dormant.dormant_masks(scores, 0.0)["encoder"].any()


def test_what_a_while_condition_reads_is_not_recycled():
    def apply(params, x):
        h = relu(x @ params["encoder"])
        final = jax.lax.while_loop(lambda c: c < h.sum(), lambda c: c + 1.0, 0.0)
        return h @ params["inner"] + final

    graph = check_promise(apply, init, VECTOR)
    assert graph["encoder"].obstacle == "the condition of a `while` loop reads its activations"

    def halting(params, x):
        def step(carry):
            x, seen, _ = carry
            h = relu(x @ params["encoder"])
            return jnp.tanh(h @ params["back"]), seen + h.sum(), h

        start = (x, 0.0, jnp.zeros((5, 6)))
        return jax.lax.while_loop(lambda carry: carry[1] + carry[2].sum() < 9, step, start)[0]

    graph = check_promise(halting, lambda key: init(key, back=(6, 7)), VECTOR)
    assert graph["encoder"].obstacle == "the condition of a `while` loop reads its activations"


def test_an_associative_scan_keeps_silent_neurons_silent():
    def apply(params, x):
        def decayed_sum(left, right):
            return left[0] * right[0], right[0] * left[1] + right[1]

        h = relu(x.swapaxes(0, 1) @ params["encoder"])
        _, h = jax.lax.associative_scan(decayed_sum, (jnp.full(h.shape, 0.9), h))
        return h @ params["inner"]

    graph = check_promise(apply, init, SEQUENCE)
    assert recyclable(graph) == {"encoder": True}


# -- stacked parameters ---------------------------------------------------------------------------


def test_a_scan_over_layers_is_unrolled():
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return relu(Dense(6)(x)), None

    class Deep(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = relu(Dense(6, name="encoder")(x))
            blocks = nn.scan(Block, {"params": 0}, split_rngs={"params": True}, length=3)
            x, _ = blocks(name="blocks")(x, None)
            return Dense(2, name="head")(x)

    network = Deep()
    graph = check_promise(network.apply, lambda key: network.init(key, VECTOR), VECTOR)
    assert len(graph.layers) == 4 and graph.layers[0].name == "encoder"
    params = network.init(KEY, VECTOR)
    x = relu(VECTOR @ params["params"]["encoder"]["kernel"])
    found = graph.activations(params, VECTOR)
    for layer, kernel in zip(
        graph.layers[1:], params["params"]["blocks"]["Dense_0"]["kernel"], strict=True
    ):
        x = relu(x @ kernel)
        np.testing.assert_allclose(found[layer.name], x, rtol=1e-5, atol=1e-6)


def test_a_scan_over_attention_blocks_is_unrolled():
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            x = x + nn.MultiHeadDotProductAttention(2)(nn.LayerNorm()(x))
            return x + Dense(8, name="down")(relu(Dense(10, name="up")(nn.LayerNorm()(x)))), None

    class Transformer(nn.Module):
        @nn.compact
        def __call__(self, x):
            blocks = nn.scan(Block, {"params": 0}, split_rngs={"params": True}, length=2)
            x, _ = blocks(name="blocks")(Dense(8, name="embed")(x), None)
            return Dense(2, name="head")(x)

    network = Transformer()
    graph = check_promise(network.apply, lambda key: network.init(key, SEQUENCE), SEQUENCE)
    up = [layer for layer in graph.layers if "up" in layer.name]
    assert [layer.neurons for layer in up] == [10, 10] and all(layer.recyclable for layer in up)


def test_a_loop_that_picks_its_own_kernel_is_unrolled():
    def apply(params, x):
        h = relu(x @ params["encoder"])
        h = jax.lax.fori_loop(0, 3, lambda i, h: relu(h @ params["stack"][i]), h)
        return h @ params["head"]

    graph = check_promise(apply, lambda key: init(key, stack=(3, 6, 6)), VECTOR)
    assert len(graph.layers) == 4


# -- recycled all the same ------------------------------------------------------------------------


def test_also_cuts_what_reads_a_carried_neuron_in_the_next_step():
    def apply(params, x):
        def step(carry, x):
            carry = relu(x @ params["encoder"] + carry @ params["recurrent"])
            return carry, carry

        _, ys = jax.lax.scan(step, jnp.zeros((x.shape[0], 6)), x.swapaxes(0, 1))
        return ys @ params["head"]

    make = lambda key: init(key, recurrent=(6, 6))  # noqa: E731
    params = make(KEY)
    for name in ("encoder", "recurrent"):
        params[name] = params[name].at[:, :2].set(0)
    graph = dormant.trace(apply, params, SEQUENCE)
    (layer,) = graph.layers  # one layer with two kernels
    assert layer.name == "encoder+recurrent" and CARRIED in layer.obstacle
    masks = dormant.dormant_masks(dormant.dormancy_scores(graph.activations(params, SEQUENCE)), 0.0)
    mask = masks[layer.name]
    assert mask.tolist() == [True] * 2 + [False] * 4
    recycled = dormant.recycle(graph, params, make(jax.random.key(1)), masks, also=[layer.name])
    np.testing.assert_array_equal(recycled["recurrent"][:2], 0)
    np.testing.assert_array_equal(recycled["head"][:2], 0)
    np.testing.assert_array_equal(apply(params, SEQUENCE), apply(recycled, SEQUENCE))


def test_the_readers_of_a_gated_cell_are_known():
    network = Recurrent(nn.GRUCell(6))
    graph = dormant.trace(network.apply, jax.eval_shape(network.init, KEY, SEQUENCE), SEQUENCE)
    # `CELLS` has the same cell; here its layers are named after the attribute.
    (name,) = [name for name in graph.names if name.endswith("/in")]
    cell = name.removesuffix("/in")
    paths = {entries.path for entries in graph[name].outgoing}
    assert paths == {
        f"params/{part}/kernel" for part in (f"{cell}/hr", f"{cell}/hz", f"{cell}/hn", "post")
    }
    for entries in graph[name].outgoing:
        assert entries.axes == (0,) and entries.index.array.tolist() == list(range(6))

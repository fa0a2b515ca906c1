# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Several kernels into one layer, and layers that only look so: each with its true reason."""

from dataclasses import replace

import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from tests.traced_networks import (
    ACTION,
    IMAGE,
    VECTOR,
    Conv,
    Dense,
    check_flax,
    check_promise,
    flat,
    quick_compilation,  # noqa: F401  (a fixture)
    recyclable,
    relu,
)

KEY = jax.random.key(3)
NOISE = jax.random.normal(KEY, (2,))

# Pre-activations of six neurons from the state and the action, by parameters of `SHAPES`.
SHAPES = {"A": (7, 6), "B": (2, 6), "C": (2, 6), "bias": (6,), "out": (6, 3)}
JOINED = {
    "sum": (lambda p, s, a: s @ p["A"] + a @ p["B"], "AB"),
    "sum with a bias": (lambda p, s, a: s @ p["A"] + a @ p["B"] + p["bias"], "AB"),
    "bias in between": (lambda p, s, a: (s @ p["A"] + p["bias"]) + a @ p["B"], "AB"),
    "difference": (lambda p, s, a: s @ p["A"] - a @ p["B"], "AB"),
    "three": (lambda p, s, a: a @ p["B"] + s @ p["A"] + a @ p["C"], "BAC"),
    "scaled": (lambda p, s, a: (s @ p["A"]) / 2 + 3 * (a @ p["B"]), "AB"),
    "noisy": (lambda p, s, a: a @ p["B"] + (a * NOISE) @ p["C"] + p["bias"], "BC"),
    "bilinear": (lambda p, s, a: (s @ p["A"]) * (a @ p["B"]), "AB"),
    "bilinear with a bias": (lambda p, s, a: (s @ p["A"]) * (a @ p["B"]) + p["bias"], "AB"),
    "modulated": (lambda p, s, a: (s @ p["A"]) * (1 + a @ p["B"]) + a @ p["C"], "ABC"),
    "reversed": (lambda p, s, a: s @ p["A"] + (a @ p["B"])[:, ::-1], "AB"),
    "every pair": (lambda p, s, a: (s @ p["A"])[:, None] + (a @ p["B"])[None], "AB"),
}


@pytest.mark.parametrize("name", JOINED)
def test_kernels_that_meet_before_the_non_linearity_are_one_layer(name):
    function, kernels = JOINED[name]

    def hidden(params, s, a):
        return relu(function(params, s, a))

    def apply(params, s, a):
        return hidden(params, s, a) @ params["out"]

    def init(key):
        keys = jax.random.split(key, len(SHAPES))
        return {n: jax.random.normal(k, s) for k, (n, s) in zip(keys, SHAPES.items(), strict=True)}

    graph = check_promise(apply, init, VECTOR, ACTION)
    (layer,) = graph.layers
    assert layer.name == "+".join(kernels) and layer.recyclable and layer.fed_by == ("input",)
    params = init(KEY)
    found = graph.activations(params, VECTOR, ACTION)[layer.name]
    np.testing.assert_allclose(found, hidden(params, VECTOR, ACTION), rtol=1e-5, atol=1e-6)

    # The same layer by hand, whose recycle must write the same entries.
    feeding = [*kernels, "bias"] if name in WITH_BIAS else [*kernels]
    by_hand = dormant.manual_graph(
        params,
        lambda params, s, a: {layer.name: hidden(params, s, a)},
        {layer.name: (feeding, ["out"])},
    )
    if name != "reversed":  # a graph by hand knows no permutation
        assert set(layer.incoming) == set(by_hand.layers[0].incoming)
    assert layer.outgoing == by_hand.layers[0].outgoing


WITH_BIAS = {name for name in JOINED if "bias" in name or name == "noisy"}


def test_a_permuted_kernel_is_drawn_anew_where_it_feeds_the_neuron():
    def apply(params, s, a):
        return relu(s @ params["A"] + (a @ params["B"])[:, ::-1]) @ params["out"]

    params = {name: jnp.ones(SHAPES[name]) for name in ("A", "B", "out")}
    graph = dormant.trace(apply, params, VECTOR, ACTION)
    masks = {"A+B": jnp.arange(6) == 1}
    recycled = dormant.recycle(graph, params, jax.tree.map(jnp.zeros_like, params), masks)
    assert (np.flatnonzero((recycled["A"] == 0).all(0)) == [1]).all()
    assert (np.flatnonzero((recycled["B"] == 0).all(0)) == [4]).all()
    assert (np.flatnonzero((recycled["out"] == 0).all(1)) == [1]).all()


# Six neurons of a kernel with an axis for each of two inputs.
BILINEAR = {
    "einsum": lambda w, b, s, a: jnp.einsum("bi,bj,ijk->bk", s, a, w) + b,
    "state first": lambda w, b, s, a: (
        jnp.einsum("bjk,bj->bk", jnp.einsum("bi,ijk->bjk", s, w), a) + b
    ),
    "action first": lambda w, b, s, a: (
        jnp.einsum("bik,bi->bk", jnp.einsum("bj,ijk->bik", a, w), s) - b
    ),
    "summed": lambda w, b, s, a: (jnp.einsum("bi,ijk->bjk", s, w) * a[:, :, None]).sum(1) + b,
    "summed with a bias": lambda w, b, s, a: (
        (jnp.einsum("bi,ijk->bjk", s, w) + b) * a[:, :, None]
    ).sum(1),
    "reshaped": lambda w, b, s, a: (
        jnp.einsum("bjk,bj->bk", (s @ w.reshape(7, 12)).reshape(-1, 2, 6), a) + b
    ),
    "vmapped": lambda w, b, s, a: (
        jax.vmap(lambda s, a: jnp.tensordot(a, jnp.tensordot(s, w, 1), 1))(s, a) + b
    ),
}


@pytest.mark.parametrize("name", BILINEAR)
def test_a_kernel_with_two_inputs_is_one_layer(name):
    def hidden(params, s, a):
        return relu(BILINEAR[name](params["W"], params["b"], s, a))

    def apply(params, s, a):
        return hidden(params, s, a) @ params["out"]

    def init(key):
        shapes = {"W": (7, 2, 6), "b": (6,), "out": (6, 3)}
        return {name: jax.random.normal(key, shape) for name, shape in shapes.items()}

    graph = check_promise(apply, init, VECTOR, ACTION)
    assert recyclable(graph) == {"W": True}
    params = init(KEY)
    found = graph.activations(params, VECTOR, ACTION)["W"]
    np.testing.assert_allclose(found, hidden(params, VECTOR, ACTION), rtol=1e-4, atol=1e-5)
    by_hand = dormant.manual_graph(
        params, lambda params, s, a: {"W": hidden(params, s, a)}, {"W": (["W", "b"], ["out"])}
    )
    # By hand, three axes are a convolution's.
    incoming = (replace(each, window=()) for each in by_hand.layers[0].incoming)
    assert graph.layers[0].incoming == tuple(incoming)
    assert graph.layers[0].outgoing == by_hand.layers[0].outgoing


def test_units_that_are_read_before_they_are_summed_stay_neurons():
    def apply(params, s, a):
        h = (s @ params["W"]).reshape(-1, 2, 6)
        summed = relu(jnp.einsum("bjk,bj->bk", h, a))
        return summed @ params["out"] + relu(h).reshape(-1, 12) @ params["other"]

    params = {"W": jnp.ones((7, 12)), "out": jnp.ones((6, 2)), "other": jnp.ones((12, 2))}
    graph = dormant.trace(apply, params, VECTOR, ACTION)
    assert graph["W"].neurons == 12 and not graph["W"].recyclable


def _noisy(x):
    """Flax's way to write a noisy layer: mean and deviation are modules of their own."""
    return Dense(6, name="mean")(x) + Dense(6, use_bias=False, name="deviation")(x) * NOISE[0]


def _projected(x):
    """A residual block whose shortcut has a kernel too."""
    h = relu(Conv(4, (3, 3), name="first")(x))
    h = relu(Conv(5, (3, 3), name="second")(h) + Conv(5, (1, 1), name="shortcut")(x))
    return Dense(2, name="out")(flat(h))


@pytest.mark.parametrize(
    ("function", "inputs", "names"),
    [
        (lambda x: Dense(2, name="out")(relu(_noisy(x))), VECTOR, {"mean+deviation"}),
        (_projected, IMAGE, {"first", "second+shortcut"}),
    ],
    ids=["noisy", "projected shortcut"],
)
def test_joined_modules_of_flax(function, inputs, names):
    assert recyclable(check_flax(function, inputs)) == dict.fromkeys(names, True)


def test_a_layer_that_both_kernels_read_has_both_cut():
    def function(x):
        h = relu(Dense(5, name="hidden")(x))
        return Dense(2, name="out")(relu(_noisy(h)))

    graph = check_flax(function, VECTOR)
    assert recyclable(graph) == {"hidden": True, "mean+deviation": True}
    paths = {entries.path for entries in graph["hidden"].outgoing}
    assert paths == {"params/mean/kernel", "params/deviation/kernel"}
    assert graph["hidden"].read_by == ("mean+deviation",)


def test_joined_modules_of_haiku():
    @hk.without_apply_rng
    @hk.transform
    def network(s, a):
        h = hk.Linear(6, name="state")(s) + hk.Linear(6, name="action")(a)
        return hk.Linear(2, name="out")(jnp.tanh(h))

    graph = check_promise(network.apply, lambda key: network.init(key, VECTOR, ACTION),
                          VECTOR, ACTION)  # fmt: skip
    assert recyclable(graph) == {"state+action": True}


def test_kernels_of_one_module_bear_its_name():
    def apply(params, x):
        mean, deviation = params["noisy"]["mean"], params["noisy"]["deviation"]
        return relu(x @ mean + (x @ deviation) * NOISE[0]) @ params["out"]

    params = {"noisy": {"mean": jnp.ones((7, 4)), "deviation": jnp.ones((7, 4))}}
    graph = dormant.trace(apply, params | {"out": jnp.ones((4, 2))}, VECTOR)
    assert graph.names == ("noisy",)


def test_outputs_that_are_summed_keep_their_names():
    def function(x):
        h = relu(Dense(5, name="hidden")(x))
        return Dense(3, name="one")(h) + Dense(3, name="other")(h)

    assert check_flax(function, VECTOR).output_layers == ("one", "other")


def _read_before(x):
    h = Dense(6, name="first")(x)
    h = h + Dense(6, name="second")(h)
    return Dense(2, name="out")(relu(h))


def _skipped(x):
    h = relu(Dense(6, name="first")(x))
    return Dense(2, name="out")(h + relu(Dense(6, name="second")(h)))


def _parallel(x):
    return Dense(2, name="out")(relu(Dense(6, name="first")(x)) + relu(Dense(6, name="second")(x)))


def _maximum(x):
    return Dense(2, name="out")(
        jnp.maximum(relu(Dense(6, name="first")(x)), relu(Dense(6, name="second")(x)))
    )


def _open_gate(x):
    gate = jnp.tanh(Dense(6, name="first")(x))
    return Dense(2, name="out")((1 + gate) * relu(Dense(6, name="second")(x)))


def _halves(x):
    gate, value = jnp.split(Dense(12, name="first")(x), 2, -1)
    return Dense(2, name="out")(nn.gelu(gate) * value)


REASONS = {
    "read before the sum": (_read_before, "residual stream", {"first", "second"}),
    "skipped": (_skipped, "residual stream", {"first", "second"}),
    "activations summed": (_parallel, "sum of layers", {"first", "second"}),
    "largest of two": (_maximum, "several layers in one place", {"first", "second"}),
    "gate around one": (_open_gate, "gated product", {"first"}),
    "halves of one layer": (_halves, "a gated product", {"first"}),
}


@pytest.mark.parametrize("name", REASONS)
def test_reasons_say_what_is_true(name):
    function, reason, expected = REASONS[name]
    graph = check_flax(function, VECTOR)
    found = {layer.name: layer.obstacle for layer in graph.layers if not layer.recyclable}
    assert set(found) == expected
    assert all(reason in obstacle for obstacle in found.values()), found


GATES = {
    "relu": lambda gate, value: relu(gate) * value,
    "swish": lambda gate, value: nn.swish(gate) * value,
    "both": lambda gate, value: relu(gate) * jnp.tanh(value),
}


@pytest.mark.parametrize("name", GATES)
def test_gated_products_of_two_layers_are_recycled_each_by_itself(name):
    """A product is zero where either factor is: to cut its readers then changes nothing."""

    def function(x):
        h = GATES[name](Dense(6, name="gate")(x), Dense(6, name="value")(x))
        return Dense(2, name="out")(h)

    graph = check_flax(function, VECTOR)
    assert recyclable(graph) == {"gate": True, "value": True}
    gate, value = graph.layers
    assert gate.outgoing == value.outgoing
    assert {entries.path for entries in gate.incoming} == {
        "params/gate/kernel",
        "params/gate/bias",
    }

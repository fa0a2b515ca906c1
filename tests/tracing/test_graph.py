# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The neuron graph as an object: written by hand, compared, hashed, restricted and printed.
What `dormant.trace` finds in a network is tested in test_trace.py."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from dormant.graph import layer_name

KEY = jax.random.key(0)
STATES = jax.random.normal(jax.random.key(5), (8, 3))


class NatureCNN(nn.Module):
    @nn.compact
    def __call__(self, pixels):
        x = pixels.astype(jnp.float32) / 255.0
        for features, size, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
            x = nn.relu(nn.Conv(features, (size, size), (stride, stride))(x))
        x = nn.relu(nn.Dense(512)(x.reshape((x.shape[0], -1))))
        return nn.Dense(6, name="final_layer")(x)


def mlp(params, states):
    """Two hidden layers of 5 and 4 neurons, two heads that both read the second."""
    x = jax.nn.relu(states @ params["first"]["w"] + params["first"]["b"])
    x = jnp.tanh(x @ params["second"]["w"])
    return x @ params["value"]["w"], x @ params["advantage"]["w"]


def mlp_activations(params, states):
    first = jax.nn.relu(states @ params["first"]["w"] + params["first"]["b"])
    return {"first": first, "second": jnp.tanh(first @ params["second"]["w"])}


def mlp_init(key):
    shapes = {"first": (3, 5), "second": (5, 4), "value": (4, 1), "advantage": (4, 2)}
    keys = dict(zip(shapes, jax.random.split(key, 4), strict=True))
    params = {name: {"w": jax.random.normal(keys[name], shapes[name])} for name in shapes}
    params["first"]["b"] = jnp.zeros(5)
    return params


MLP_WIRING = {
    "first": (("first/w", "first/b"), ("second/w",)),
    "second": (("second/w",), ("value/w", "advantage/w")),
}


def traced_mlp():
    return dormant.trace(mlp, jax.eval_shape(mlp_init, KEY), STATES)


def manual_mlp(**changes):
    params = jax.eval_shape(mlp_init, KEY)
    outputs = ("value", "advantage")
    return dormant.manual_graph(
        params, mlp_activations, {**MLP_WIRING, **changes}, output_layers=outputs
    )


# -- written by hand ------------------------------------------------------------------------------


def test_a_manual_graph_of_the_nature_cnn_equals_the_traced_one():
    network = NatureCNN()
    pixels = jax.ShapeDtypeStruct((2, 84, 84, 4), jnp.uint8)
    params = jax.eval_shape(network.init, KEY, pixels)
    traced = dormant.trace(network.apply, params, pixels)
    names = ["Conv_0", "Conv_1", "Conv_2", "Dense_0", "final_layer"]
    wiring = {
        name: (
            (f"params/{name}/kernel", f"params/{name}/bias"),
            (f"params/{reader}/kernel",),
        )
        for name, reader in zip(names, names[1:], strict=False)
    }
    manual = dormant.manual_graph(params, traced.measure, wiring, output_layers=["final_layer"])
    assert manual.layers == traced.layers
    assert manual == traced and hash(manual) == hash(traced)
    assert [layer.neurons for layer in manual.layers] == [32, 64, 64, 512]
    flatten = manual["Conv_2"].outgoing[0]
    np.testing.assert_array_equal(flatten.index.array, np.tile(np.arange(64), 11 * 11))


def test_a_manual_graph_of_an_mlp_equals_the_traced_one():
    traced, manual = traced_mlp(), manual_mlp()
    assert manual.layers == traced.layers
    assert manual.output_layers == traced.output_layers == ("value", "advantage")
    assert str(manual) == str(traced)
    params = mlp_init(KEY)
    expected = traced.activations(params, STATES)
    found = manual.activations(params, STATES)
    assert list(found) == list(expected) == ["first", "second"]
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


def test_a_manual_graph_recycles():
    graph, params = manual_mlp(), mlp_init(KEY)
    params["first"]["w"] = params["first"]["w"].at[:, 2].set(0.0)
    scores = dormant.dormancy_scores(graph.activations(params, STATES))
    masks = dormant.dormant_masks(scores, tau=0.0)
    assert masks["first"].tolist() == [False, False, True, False, False]
    recycled = dormant.recycle(graph, params, mlp_init(jax.random.key(1)), masks)
    for before, after in zip(mlp(params, STATES), mlp(recycled, STATES), strict=True):
        np.testing.assert_array_equal(before, after)
    assert np.all(np.asarray(recycled["first"]["w"])[:, 2] != 0)


def test_a_layer_of_one_neuron():
    params = {"in": jnp.ones((3, 1)), "bias": jnp.zeros(1), "out": jnp.ones((1, 2))}
    graph = dormant.manual_graph(params, None, {"layer": (("in", "bias"), ("out",))})
    fresh = jax.tree.map(lambda leaf: leaf + 1, params)
    recycled = dormant.recycle(graph, params, fresh, {"layer": jnp.array([True])})
    assert np.all(np.asarray(recycled["in"]) == 2) and recycled["bias"] == 1
    assert np.all(np.asarray(recycled["out"]) == 0)

    def apply(params, states):
        return jax.nn.relu(states @ params["in"] + params["bias"]) @ params["out"]

    (layer,) = dormant.trace(apply, params, STATES).layers
    assert (layer.incoming, layer.outgoing) == (graph.layers[0].incoming, graph.layers[0].outgoing)


@pytest.mark.parametrize(
    "changes, named, ending",
    [
        ({"first": (("first/kernel",), ())}, "first/w", "got 'first/kernel'"),
        ({"first": (("first/w",), ("third/w",))}, "`wiring` must be", "got 'third/w'"),
        ({"first": ((), ("second/w",))}, "'first'", "got ()"),
        ({"first": (("first/w", "second/w"), ())}, "'second/w'", "got (5, 4)"),
        ({"first": (("first/w",), ("value/w",))}, "'value/w'", "got (4, 1)"),
        ({"first": (("first/w",), ("first/b",))}, "'first/b'", "got (5,)"),
    ],
)
def test_manual_graph_errors_name_the_path_and_end_with_the_value(changes, named, ending):
    with pytest.raises(ValueError) as error:
        manual_mlp(**changes)
    assert named in str(error.value) and str(error.value).endswith(ending)


@pytest.mark.parametrize(
    "path, expected",
    [
        ("params/Dense_0/kernel", "Dense_0"),
        ("params/Stack_0/Conv_1/kernel", "Stack_0/Conv_1"),
        ("linear/w", "linear"),
        ("layers/0/kernel/value", "layers/0"),
        ("0/1", "0"),
        ("w1", "w1"),
        ("params/alpha", "alpha"),
    ],
)
def test_layer_names_come_from_parameter_paths(path, expected):
    assert layer_name(path) == expected


# -- compared and hashed --------------------------------------------------------------------------


def test_two_traces_of_one_network_are_equal():
    assert traced_mlp() == traced_mlp()
    assert hash(traced_mlp()) == hash(traced_mlp())
    assert len({traced_mlp(), traced_mlp(), manual_mlp()}) == 2


def test_graphs_of_different_widths_differ():
    def init(key):
        params = mlp_init(key)
        params["value"]["w"] = jnp.zeros((4, 3))
        return params

    assert dormant.trace(mlp, jax.eval_shape(init, KEY), STATES) != traced_mlp()
    fewer = {"second": (("second/w",), ("value/w",))}
    assert manual_mlp() != manual_mlp(**fewer)


def test_a_graph_is_a_static_argument():
    traces = []

    def fraction_of_silent(graph, params, states):
        traces.append(graph)
        scores = dormant.dormancy_scores(graph.activations(params, states))
        return dormant.dormant_fraction(dormant.dormant_masks(scores, 0.0))

    jitted = jax.jit(fraction_of_silent, static_argnums=0)
    jitted(traced_mlp(), mlp_init(KEY), STATES)
    jitted(traced_mlp(), mlp_init(KEY), STATES)
    assert len(traces) == 1


def test_a_graph_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        traced_mlp().layers = ()
    with pytest.raises(ValueError, match="read-only"):
        traced_mlp()["first"].outgoing[0].index.array[0] = 1


def test_unknown_layers_are_named():
    with pytest.raises(KeyError, match="first, second.*'third'"):
        traced_mlp()["third"]


# -- restricted -----------------------------------------------------------------------------------


def test_select_measures_and_recycles_the_named_layers_only():
    graph = traced_mlp()
    second = graph.select(["second"])
    assert second.names == ("second",) and second["second"] == graph["second"]
    assert second == graph.select(("second",)) and hash(second) == hash(graph.select(("second",)))
    assert second != graph.select(["first"])
    params = mlp_init(KEY)
    found = second.activations(params, STATES)
    assert list(found) == ["second"]
    np.testing.assert_array_equal(found["second"], graph.activations(params, STATES)["second"])
    with pytest.raises(ValueError, match="'first'"):
        dormant.recycle(second, params, params, {"first": jnp.ones(5, bool)})
    recycled = dormant.recycle(
        second, params, mlp_init(jax.random.key(1)), {"second": jnp.ones(4, bool)}
    )
    np.testing.assert_array_equal(recycled["first"]["w"], params["first"]["w"])


def test_one_name_may_stand_alone():
    graph, params = traced_mlp(), mlp_init(KEY)
    assert graph.select("second") == graph.select(["second"])
    without = dormant.trace(mlp, params, STATES, leave_out="first")
    assert without.names == ("second",)
    assert without == dormant.trace(mlp, params, STATES, leave_out=["first"])
    with pytest.raises(ValueError, match="`names` must be a name or several of them; got 3"):
        graph.select(3)
    with pytest.raises(ValueError, match="`leave_out` must be a name or several of them"):
        dormant.trace(mlp, params, STATES, leave_out=[("first",)])


def test_select_keeps_the_given_order_and_can_be_repeated():
    graph = traced_mlp().select(["second", "first"])
    assert graph.names == ("second", "first")
    assert list(graph.activations(mlp_init(KEY), STATES)) == ["second", "first"]
    assert graph.select(["first"]).names == ("first",)
    with pytest.raises(ValueError, match="`names` must name layers among second; got 'first'"):
        graph.select(["second"]).select(["first"])


# -- what feeds each layer, output layers too -----------------------------------------------------


def test_penultimate_layers_are_those_that_an_output_layer_reads():
    assert traced_mlp().penultimate == ("second",)
    assert traced_mlp().select(["first"]).penultimate == ()


def test_every_parameter_feeds_exactly_one_layer():
    graph = traced_mlp()
    assert list(graph.incoming) == ["first", "second", "value", "advantage"]
    fed = [entries.path for layer in graph.incoming.values() for entries in layer]
    assert sorted(fed) == sorted(graph.parameters.paths)
    for name, layer in graph.incoming.items():
        assert all(entries.path.startswith(name) for entries in layer)
        assert all((entries.index.array >= 0).all() for entries in layer)


def test_sums_by_neuron():
    entries = dormant.parts.Entries("w", (0,), dormant.parts.IndexMap.of(np.array([1, -1, 0, 1])))
    np.testing.assert_array_equal(entries.sums(jnp.array([1.0, 2.0, 4.0, 8.0]), 3), [4, 9, 0])


# -- printed --------------------------------------------------------------------------------------


def test_print_is_a_table():
    assert str(traced_mlp()) == (
        "layer   neurons  fed by  read by           recyclable\n"
        "------  -------  ------  ----------------  ----------\n"
        "first   5        input   second            yes\n"
        "second  4        first   value, advantage  yes\n"
        "output layers: value, advantage"
    )


def test_print_says_why_a_layer_is_not_recycled():
    def tied(params, states):
        x = jax.nn.relu(states @ params["w1"])
        return jax.nn.relu(x @ params["w2"]) @ params["w2"]

    params = {"w1": jnp.ones((3, 4)), "w2": jnp.ones((4, 4))}
    graph = dormant.trace(tied, params, STATES)
    reason = "weight sharing: w2 reads other values with the same weights"
    assert [layer.obstacle for layer in graph.layers] == [reason, reason]
    assert not graph["w1"].recyclable
    lines = str(graph).splitlines()
    assert lines[2].split() == ["w1", "4", "input", "w2", "no:", *reason.split()]
    assert lines[3].split() == ["w2", "4", "w1,", "w2", "w2", "no:", *reason.split()]
    assert lines[-2:] == ["output layers: none", "recyclable: 0 of 2 layers"]
    assert graph.obstacles == {reason: ("w1", "w2")}


@pytest.mark.parametrize("blocks", [21, 100])
def test_print_of_a_deep_network_is_short(blocks):
    def residual(params, x):
        for number in range(blocks):
            x = x + jax.nn.relu(x @ params[f"in{number}"]) @ params[f"out{number}"]
        return x @ params["head"]

    names = [f"{kind}{number}" for number in range(blocks) for kind in ("in", "out")]
    graph = dormant.trace(residual, {name: jnp.ones((3, 3)) for name in (*names, "head")}, STATES)
    text = str(graph)
    assert len(graph.layers) >= 2 * blocks - 1
    assert len(text.splitlines()) <= 44 and len(text) < 8_000
    left = len(graph.layers) - 32
    assert f"... {left} more, " in text and "`graph.layers` has all" in text
    able = sum(layer.recyclable for layer in graph.layers)
    assert text.endswith(f"recyclable: {able} of {len(graph.layers)} layers")
    reasons = [name for names in graph.obstacles.values() for name in names]
    assert sorted(reasons) == sorted(x.name for x in graph.layers if not x.recyclable)


def test_repr_of_an_index_map_is_short():
    assert repr(traced_mlp()["first"].outgoing[0].index) == "IndexMap(shape=(5,))"


# -- masks over parameter arrays ------------------------------------------------------------------


def test_entries_spread_a_mask_over_an_array():
    def spread(axes, index, ndim):
        entries = dormant.parts.Entries("w", axes, dormant.parts.IndexMap.of(np.array(index)))
        return np.asarray(entries.mask(jnp.array([True, False, True]), ndim))

    np.testing.assert_array_equal(spread((1,), [0, 1, 2], 2), [[True, False, True]])
    np.testing.assert_array_equal(
        spread((0,), [0, 1, 2, 0, 1, 2], 2)[:, 0], [True, False, True, True, False, True]
    )
    np.testing.assert_array_equal(spread((0,), [-1, 2, 1, -1], 1), [False, True, False, False])
    np.testing.assert_array_equal(
        spread((0, 2), [[0, -1], [1, 2]], 3), [[[True, False]], [[False, True]]]
    )


def test_matrices_that_no_layer_holds_are_named():
    params = {
        "table": jnp.ones((9, 5)),
        "first": jnp.ones((5, 4)),
        "head": jnp.ones((4, 2)),
        "factor": jnp.ones((4, 2)),
        "made": jnp.ones((3, 4, 2)),
        "log_std": jnp.ones(2),
        "steps": jnp.ones((2, 2), jnp.int32),
    }

    def apply(params, tokens, weights):
        hidden = jax.nn.relu(params["table"][tokens] @ params["first"])
        made = jnp.einsum("bk,kij->bij", jax.nn.relu(weights), jnp.tanh(params["made"]))
        outputs = hidden @ (params["head"] * params["factor"])
        return outputs + jnp.einsum("bi,bij->bj", hidden, made) * jnp.exp(params["log_std"])

    inputs = jnp.zeros(6, jnp.int32), jnp.ones((6, 3))
    graph = dormant.trace(apply, params, *inputs)
    assert graph.in_no_layer == ("table",)
    assert "in no layer: table\n" in str(graph)
    assert dormant.trace(apply, params, *inputs, leave_out="table").in_no_layer == ()


def test_keys_with_slashes_that_spell_one_path_are_told_apart():
    keys = jax.random.split(jax.random.key(0), 3)
    first, second = (jax.random.normal(key, (8, 8)) for key in keys[:2])
    params = {"a/w": first, "a": {"w": second}, "net/~/head": jax.random.normal(keys[2], (8, 2))}

    def apply(params, x):
        hidden = jax.nn.relu(jax.nn.relu(x @ params["a/w"]) @ params["a"]["w"])
        return hidden @ params["net/~/head"]

    graph = dormant.trace(apply, params, jnp.ones((4, 8)))
    assert graph.names == ("['a/w']", "['a']['w']")
    assert graph.output_layers == ("net/~/head",)
    masks = {"['a/w']": jnp.arange(8) == 3}
    recycled = dormant.recycle(graph, params, jax.tree.map(jnp.zeros_like, params), masks)
    np.testing.assert_array_equal(recycled["a/w"], np.where(masks["['a/w']"], 0, first))
    np.testing.assert_array_equal(recycled["a"]["w"][4:], second[4:])
    np.testing.assert_array_equal(recycled["a"]["w"][3], 0)

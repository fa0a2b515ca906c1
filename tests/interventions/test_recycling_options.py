# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Options of a recycle: norms of the living, layers with an obstacle, touched entries, errors.
What a recycle writes by default is tested in test_recycling.py."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from tests.small_networks import (
    CNN,
    MLP,
    RESIDUAL,
    STATES,
    assert_same_bits,
    cnn_graph,
    copy,
    draw,
    mask,
    mlp_graph,
    residual_graph,
)

recycle = jax.jit(
    dormant.recycle,
    static_argnums=0,
    static_argnames=("incoming_scale", "flatten_layout", "also"),
)


# -- live_norm ------------------------------------------------------------------------------------


def column_norms(kernel):
    kernel = np.asarray(kernel, np.float64)
    return np.sqrt((kernel**2).reshape(-1, kernel.shape[-1]).sum(0))


@pytest.mark.parametrize("graph, shapes, layer", [(mlp_graph, MLP, "w2"), (cnn_graph, CNN, "k1")])
def test_live_norm_scales_fresh_columns_to_the_mean_norm_of_the_living(graph, shapes, layer):
    params, fresh = draw(shapes, 0), draw(shapes, 1)
    neurons = shapes[layer][-1]
    masks = {layer: mask(neurons, 0, 2)}
    plain = recycle(graph(), params, fresh, masks)
    found = recycle(graph(), params, fresh, masks, incoming_scale="live_norm")
    mean_norm = column_norms(params[layer])[~masks[layer]].mean()
    scaled = fresh[layer] * (mean_norm / column_norms(fresh[layer]))
    np.testing.assert_allclose(
        found[layer][..., masks[layer]], scaled[..., masks[layer]], rtol=1e-5
    )
    np.testing.assert_allclose(column_norms(found[layer])[masks[layer]], mean_norm, rtol=1e-5)
    # Everything but the fresh columns is as without scaling: biases, outgoing, the living.
    expected = {name: np.array(leaf) for name, leaf in plain.items()}
    expected[layer][..., masks[layer]] = np.asarray(found[layer])[..., masks[layer]]
    assert_same_bits(found, expected)


def test_live_norm_without_living_neurons_or_with_a_zero_column():
    params, fresh = draw(MLP, 0), draw(MLP, 1)
    masks = {"w1": np.ones(4, bool)}
    found = recycle(mlp_graph(), params, fresh, masks, incoming_scale="live_norm")
    np.testing.assert_array_equal(found["w1"], fresh["w1"])
    fresh["w1"][:, 1] = 0
    found = recycle(mlp_graph(), params, fresh, {"w1": mask(4, 1)}, incoming_scale="live_norm")
    np.testing.assert_array_equal(found["w1"][:, 1], np.zeros(3))


def test_live_norm_in_bfloat16():
    params, fresh = draw(MLP, 0, "bfloat16"), draw(MLP, 1, "bfloat16")
    dead = mask(5, 4)
    found = recycle(mlp_graph(), params, fresh, {"w2": dead}, incoming_scale="live_norm")["w2"]
    assert found.dtype == jnp.bfloat16
    mean_norm = column_norms(params["w2"])[~dead].mean()
    np.testing.assert_allclose(column_norms(found)[dead], mean_norm, rtol=1e-2)


def test_live_norm_in_an_ensemble_looks_at_the_own_member_only():
    def critic(params, states):
        return jax.nn.relu(states @ params["w1"]) @ params["w2"]

    shapes = {"w1": (2, 3, 4), "w2": (2, 4, 1)}
    params, fresh = draw(shapes, 0), draw(shapes, 1)
    params["w1"][1] *= 1_000
    graph = dormant.trace(jax.vmap(critic, (0, None)), params, STATES)
    masks = {"w1[0]": mask(4, 1), "w1[1]": mask(4, 3)}
    found = recycle(graph, params, fresh, masks, incoming_scale="live_norm")["w1"]
    for member, neuron in ((0, 1), (1, 3)):
        living = np.delete(column_norms(params["w1"][member]), neuron).mean()
        np.testing.assert_allclose(column_norms(found[member])[neuron], living, rtol=1e-5)


# -- layers with an obstacle ----------------------------------------------------------------------


def test_layers_with_an_obstacle_are_left_alone_unless_asked_for():
    params, fresh = draw(RESIDUAL, 0), draw(RESIDUAL, 1)
    graph = residual_graph()
    assert [layer.name for layer in graph.layers if layer.recyclable] == ["w2"]
    masks = {"w1": mask(4, 1), "w2": mask(5), "w3": mask(4, 1)}
    assert_same_bits(recycle(graph, params, fresh, masks), params)
    found = recycle(graph, params, fresh, masks, also=("w1",))
    expected = copy(params)
    expected["w1"][:, 1] = fresh["w1"][:, 1]
    expected["w2"][1] = 0
    expected["w4"][1] = 0
    assert_same_bits(found, expected)


# -- touched entries ------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["channels_last", "released_code"])
def test_touched_entries_are_those_that_recycle_rewrites(layout):
    params, fresh = draw(CNN, 0), draw(CNN, 1)
    masks = {"k1": mask(3, 2), "k2": mask(2, 0), "w3": mask(4, 1)}
    touched = dormant.parts.touched_entries(cnn_graph(), masks, flatten_layout=layout)
    found = recycle(cnn_graph(), params, fresh, masks, flatten_layout=layout)
    for name, shape in CNN.items():
        incoming = np.broadcast_to(touched.incoming[name], shape)
        outgoing = np.broadcast_to(touched.outgoing[name], shape)
        np.testing.assert_array_equal(incoming | outgoing, np.asarray(found[name]) != params[name])
        np.testing.assert_array_equal(outgoing, np.asarray(found[name]) == 0)


def test_touched_entries_leave_out_layers_with_an_obstacle():
    graph = residual_graph()
    masks = {"w1": mask(4, 1)}
    assert not any(
        leaf.any() for leaf in jax.tree.leaves(dormant.parts.touched_entries(graph, masks))
    )
    touched = dormant.parts.touched_entries(graph, masks, also=["w1"])
    assert {name for name, leaf in touched.incoming.items() if leaf.any()} == {"w1"}
    assert {name for name, leaf in touched.outgoing.items() if leaf.any()} == {"w2", "w4"}


# -- transformations and errors -------------------------------------------------------------------


def test_under_vmap_each_network_has_its_own_masks():
    def stack(*networks):
        return jax.tree.map(lambda *leaves: np.stack(leaves), *networks)

    stacks = [stack(draw(MLP, 0), draw(MLP, 1)), stack(draw(MLP, 2), draw(MLP, 3))]
    masks = {"w1": np.stack([mask(4, 1), mask(4, 0, 2)])}
    found = jax.vmap(lambda *args: dormant.recycle(mlp_graph(), *args))(*stacks, masks)
    for network in range(2):
        one = jax.tree.map(lambda leaf, i=network: leaf[i], (*stacks, masks))
        alone = {name: np.asarray(leaf) for name, leaf in recycle(mlp_graph(), *one).items()}
        assert_same_bits({name: leaf[network] for name, leaf in found.items()}, alone)


MASK = "`masks['w1']` must be a boolean array"


@pytest.mark.parametrize(
    "options, named, ending",
    [
        ({"outgoing": "one"}, "`outgoing` must be one of 'zero', 'fresh'", "got 'one'"),
        ({"incoming_scale": None}, "`incoming_scale` must be one of", "got None"),
        ({"flatten_layout": "tile"}, "`flatten_layout` must be one of", "got 'tile'"),
        ({"also": ("w9",)}, "`also` must name layers among w1, w2", "got 'w9'"),
        ({"masks": {"w3": mask(2)}}, "`masks` must name layers among w1, w2", "got 'w3'"),
        ({"masks": {"w1": mask(5)}}, f"{MASK} of shape (4,)", "got bool (5,)"),
        ({"masks": {"w1": np.True_}}, f"{MASK} of shape (4,)", "got bool ()"),
        ({"masks": {"w1": np.ones(4)}}, f"{MASK} of shape (4,)", "got float64 (4,)"),
        ({"masks": {"w1": [0, 1, 0, 0]}}, f"{MASK} of shape (4,)", "got list of shape (4,)"),
    ],
)
def test_errors_name_the_input_and_end_with_the_value(options, named, ending):
    options = {"masks": {"w1": mask(4)}, **options}
    with pytest.raises(ValueError) as error:
        dormant.recycle(mlp_graph(), draw(MLP, 0), draw(MLP, 1), **options)
    assert named in str(error.value) and str(error.value).endswith(ending)


@pytest.mark.parametrize("call", [dormant.recycle, jax.jit(dormant.recycle, static_argnums=0)])
def test_scores_are_no_masks_traced_or_not(call):
    """Every score that is not 0 would count as True: all live neurons would be recycled."""
    scores = {"w1": jnp.asarray([0.0, 1.2, 0.8, 2.0])}
    with pytest.raises(ValueError, match=rf"{re.escape(MASK)} .* got float32 \(4,\)"):
        call(mlp_graph(), draw(MLP, 0), draw(MLP, 1), scores)
    with pytest.raises(ValueError, match=rf"{re.escape(MASK)} .* got float32 \(4,\)"):
        dormant.parts.touched_entries(mlp_graph(), scores)


@pytest.mark.parametrize("name", ["params", "fresh"])
def test_trees_of_another_structure_or_shape_are_refused(name):
    trees = {"params": draw(MLP, 0), "fresh": draw(MLP, 1)}
    for change in ({"w1": np.ones((3, 5), np.float32)}, {"extra": np.ones(1, np.float32)}):
        changed = {**trees, name: {**trees[name], **change}}
        with pytest.raises(ValueError, match=f"^`{name}` must have the structure and shapes"):
            dormant.recycle(mlp_graph(), masks={}, **changed)


def test_a_network_of_which_nothing_can_be_recycled_is_named_once():
    def normalized(params, states):
        hidden = states @ params["w1"]
        return jax.nn.relu(hidden / jnp.std(hidden, axis=-1, keepdims=True)) @ params["w2"]

    params = {"w1": jnp.ones((3, 4)), "w2": jnp.ones((4, 2))}
    graph = dormant.trace(normalized, params, STATES)
    with pytest.warns(UserWarning, match="^no layer of this network can be recycled, .*: w1: "):
        dormant.redo(graph, lambda key: params, optax.sgd(0.1))
    # Whoever asks for it all the same is not warned.
    dormant.parts.recycling(graph, lambda key: params, optax.sgd(0.1), also=("w1",))


def test_a_layer_that_is_asked_for_and_has_nothing_to_zero_is_named():
    def gated(params, states):
        hidden, gate = jnp.split(states @ params["w1"], 2, axis=-1)
        return (hidden * jax.nn.sigmoid(gate)) @ params["w2"]

    params = {"w1": jnp.ones((3, 8)), "w2": jnp.ones((4, 2))}
    graph = dormant.trace(gated, params, STATES)
    said = "^`also`: of w1 no weights are known that read single neurons: incoming weights are"
    with pytest.warns(UserWarning, match=said):
        fresh = jax.tree.map(lambda ones: 2 * ones, params)
        new = dormant.recycle(graph, params, fresh, {"w1": mask(8, 1)}, also=["w1"])
    assert (np.asarray(new["w1"][:, 1]) == 2).all() and (np.asarray(new["w2"]) == 1).all()

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Recycling, entry by entry: what must change is written out in NumPy, all else compared bitwise.
Networks are plain functions of a few neurons; every parameter is random, biases too."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from tests.small_networks import (
    CNN,
    IMAGES,
    MLP,
    STATES,
    assert_same_bits,
    cnn,
    cnn_graph,
    convolve,
    copy,
    draw,
    mask,
    mlp_graph,
)

ACTIONS = jax.random.normal(jax.random.key(9), (6, 2))

recycle = jax.jit(
    dormant.recycle,
    static_argnums=0,
    static_argnames=("outgoing", "flatten_layout"),
)


# -- dense layers ---------------------------------------------------------------------------------


def test_incoming_becomes_fresh_outgoing_zero_and_nothing_else_changes():
    params, fresh = draw(MLP, 0), draw(MLP, 1)
    found = recycle(mlp_graph(), params, fresh, {"w1": mask(4, 1), "w2": mask(5, 0, 3)})
    expected = copy(params)
    expected["w1"][:, 1] = fresh["w1"][:, 1]
    expected["b1"][1] = fresh["b1"][1]
    expected["w2"][:, [0, 3]] = fresh["w2"][:, [0, 3]]
    expected["b2"][[0, 3]] = fresh["b2"][[0, 3]]
    expected["w2"][1, :] = 0  # also where it feeds the recycled neurons 0 and 3
    expected["w3"][[0, 3], :] = 0
    assert_same_bits(found, expected)


def test_outgoing_fresh():
    params, fresh = draw(MLP, 0), draw(MLP, 1)
    masks = {"w1": mask(4, 1), "w2": mask(5, 0, 3)}
    found = recycle(mlp_graph(), params, fresh, masks, outgoing="fresh")
    expected = copy(params)
    expected["w1"][:, 1] = fresh["w1"][:, 1]
    expected["b1"][1] = fresh["b1"][1]
    expected["w2"][:, [0, 3]] = fresh["w2"][:, [0, 3]]
    expected["b2"][[0, 3]] = fresh["b2"][[0, 3]]
    expected["w2"][1, :] = fresh["w2"][1, :]
    expected["w3"][[0, 3], :] = fresh["w3"][[0, 3], :]
    assert_same_bits(found, expected)


@pytest.mark.parametrize("masks", [{}, {"w1": mask(4)}, {"w1": mask(4), "w2": mask(5)}])
def test_nothing_changes_without_a_dormant_neuron(masks):
    params = draw(MLP, 0)
    assert_same_bits(recycle(mlp_graph(), params, draw(MLP, 1), masks), params)


def test_a_wholly_dormant_network():
    params, fresh = draw(MLP, 0), draw(MLP, 1)
    found = recycle(mlp_graph(), params, fresh, {"w2": np.ones(5, bool), "w1": np.ones(4, bool)})
    zeros = {name: np.zeros_like(params[name]) for name in ("w2", "w3")}
    assert_same_bits(found, {**fresh, **zeros, "b3": params["b3"]})


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_dtypes_are_kept_and_fresh_values_are_cast(dtype):
    params, fresh = draw(MLP, 0, dtype), draw(MLP, 1)
    found = recycle(mlp_graph(), params, fresh, {"w1": mask(4, 2)})
    expected = copy(params)
    expected["w1"][:, 2] = fresh["w1"][:, 2].astype(dtype)
    expected["b1"][2] = fresh["b1"][2].astype(dtype)
    expected["w2"][2] = 0
    assert_same_bits(found, expected)


def test_containers_are_kept():
    def apply(params, states):
        (w1, w2), rest = params
        return jnp.tanh(states @ w1) @ (w2 * rest["scale"])

    shapes = {"w1": (3, 4), "w2": (4, 2)}
    old, new = draw(shapes, 0), draw(shapes, 1)
    scale = flax.core.freeze({"scale": np.ones((), np.float32)})
    params, fresh = ([(d["w1"], d["w2"]), scale] for d in (old, new))
    graph = dormant.trace(apply, params, STATES)
    found = dormant.recycle(graph, params, fresh, {graph.names[0]: mask(4, 0)})
    assert jax.tree.structure(found) == jax.tree.structure(params)
    np.testing.assert_array_equal(found[0][0][:, 0], new["w1"][:, 0])
    np.testing.assert_array_equal(found[0][1][0], np.zeros(2))
    assert found[1]["scale"] == 1


# -- convolutions and layouts ---------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["channels_last", "released_code"])
def test_a_convolution_and_its_flatten(layout):
    params, fresh = draw(CNN, 0), draw(CNN, 1)
    masks = {"k1": mask(3, 2), "k2": mask(2, 0)}
    found = recycle(cnn_graph(), params, fresh, masks, flatten_layout=layout)
    expected = copy(params)
    expected["k1"][..., 2] = fresh["k1"][..., 2]
    expected["b1"][2] = fresh["b1"][2]
    expected["k2"][..., 0] = fresh["k2"][..., 0]
    expected["b2"][0] = fresh["b2"][0]
    expected["k2"][:, :, 2, :] = 0
    # 16 positions of 2 channels: channels vary fastest; the released code takes blocks instead.
    rows = np.arange(32) % 2 == 0 if layout == "channels_last" else np.arange(32) < 16
    expected["w3"][rows] = 0
    assert_same_bits(found, expected)


def test_the_released_layout_moves_outputs_where_the_correct_one_does_not():
    params, fresh = draw(CNN, 0), draw(CNN, 1)
    params["k2"][..., 0], params["b2"][0] = 0, -1
    masks = {"k2": mask(2, 0)}
    apply = jax.jit(cnn)
    before = apply(params, IMAGES)
    correct = recycle(cnn_graph(), params, fresh, masks)
    released = recycle(cnn_graph(), params, fresh, masks, flatten_layout="released_code")
    np.testing.assert_array_equal(apply(correct, IMAGES), before)
    assert np.max(np.abs(apply(released, IMAGES) - before)) > 0.1


def test_the_released_layout_is_the_correct_one_away_from_a_flatten():
    params, fresh = draw(MLP, 0), draw(MLP, 1)
    masks = {"w1": mask(4, 1), "w2": mask(5, 0, 3)}
    found = recycle(mlp_graph(), params, fresh, masks, flatten_layout="released_code")
    expected = recycle(mlp_graph(), params, fresh, masks)
    assert_same_bits(found, {name: np.asarray(leaf) for name, leaf in expected.items()})


def test_a_channels_first_flatten_and_transposed_kernels():
    def apply(params, images):  # PyTorch's layouts
        numbers = ("NCHW", "OIHW", "NCHW")
        x = jax.nn.relu(convolve(images.transpose(0, 3, 1, 2), params["k1"], numbers=numbers))
        x = jax.nn.relu(x.reshape(x.shape[0], -1) @ params["w2"].T)
        return x @ params["w3"].T

    shapes = {"k1": (3, 2, 3, 3), "w2": (4, 48), "w3": (2, 4)}
    params, fresh = draw(shapes, 0), draw(shapes, 1)
    graph = dormant.trace(apply, params, IMAGES)
    found = recycle(graph, params, fresh, {"k1": mask(3, 1), "w2": mask(4, 3)})
    expected = copy(params)
    expected["k1"][1] = fresh["k1"][1]
    expected["w2"][3] = fresh["w2"][3]
    expected["w2"][:, 16:32] = 0
    expected["w3"][:, 3] = 0
    assert_same_bits(found, expected)


def test_a_grouped_convolution():
    def apply(params, images):
        x = jnp.tanh(convolve(images, params["k1"]))
        x = jnp.tanh(convolve(x, params["k2"], groups=2))
        return x.mean((1, 2)) @ params["w3"]

    shapes = {"k1": (1, 1, 2, 4), "k2": (3, 3, 2, 6), "w3": (6, 2)}
    params, fresh = draw(shapes, 0), draw(shapes, 1)
    graph = dormant.trace(apply, params, IMAGES)
    found = recycle(graph, params, fresh, {"k1": mask(4, 3), "k2": mask(6, 0)})
    expected = copy(params)
    expected["k1"][..., 3] = fresh["k1"][..., 3]
    expected["k2"][..., 0] = fresh["k2"][..., 0]
    expected["k2"][:, :, 1, 3:] = 0  # channel 3 is the second of the second group
    expected["w3"][0] = 0
    assert_same_bits(found, expected)


# -- branches, heads, ensembles, element-wise parameters ------------------------------------------


def test_concatenated_branches_and_a_second_input():
    def apply(params, states, actions):
        one = jax.nn.relu(states @ params["w1"])
        other = jnp.tanh(states @ params["w2"])
        joined = jnp.concatenate([one, actions, other], axis=-1)
        return jax.nn.relu(joined @ params["w3"]) @ params["w4"]

    shapes = {"w1": (3, 2), "w2": (3, 3), "w3": (7, 4), "w4": (4, 1)}
    params, fresh = draw(shapes, 0), draw(shapes, 1)
    graph = dormant.trace(apply, params, STATES, ACTIONS)
    found = recycle(graph, params, fresh, {"w1": mask(2, 1), "w2": mask(3, 0)})
    expected = copy(params)
    expected["w1"][:, 1] = fresh["w1"][:, 1]
    expected["w2"][:, 0] = fresh["w2"][:, 0]
    expected["w3"][[1, 4]] = 0  # rows 2 and 3 read the actions
    assert_same_bits(found, expected)


def test_every_reader_of_a_layer_loses_it():
    def dueling(params, states):
        trunk = jax.nn.relu(states @ params["w1"])
        value = jax.nn.relu(trunk @ params["w2"]) @ params["w3"]
        advantage = trunk @ params["w4"]
        return value + advantage - advantage.mean(-1, keepdims=True)

    shapes = {"w1": (3, 4), "w2": (4, 2), "w3": (2, 1), "w4": (4, 3)}
    params, fresh = draw(shapes, 0), draw(shapes, 1)
    graph = dormant.trace(dueling, params, STATES)
    assert graph["w1"].read_by == ("w2", "w4")
    found = recycle(graph, params, fresh, {"w1": mask(4, 0, 2)})
    expected = copy(params)
    expected["w1"][:, [0, 2]] = fresh["w1"][:, [0, 2]]
    expected["w2"][[0, 2]] = 0
    expected["w4"][[0, 2]] = 0
    assert_same_bits(found, expected)


def test_one_of_two_vmapped_critics():
    def critic(params, states, actions):
        x = jnp.concatenate([states, actions], -1)
        x = jax.nn.relu(x @ params["w1"] + params["b1"])
        return jax.nn.relu(x @ params["w2"]) @ params["w3"]

    shapes = {"w1": (2, 5, 4), "b1": (2, 4), "w2": (2, 4, 3), "w3": (2, 3, 1)}
    params, fresh = draw(shapes, 0), draw(shapes, 1)
    graph = dormant.trace(jax.vmap(critic, (0, None, None)), params, STATES, ACTIONS)
    assert set(graph.names) == {"w1[0]", "w1[1]", "w2[0]", "w2[1]"}
    found = recycle(graph, params, fresh, {"w1[1]": mask(4, 2), "w2[0]": mask(3, 1)})
    expected = copy(params)
    expected["w1"][1, :, 2] = fresh["w1"][1, :, 2]
    expected["b1"][1, 2] = fresh["b1"][1, 2]
    expected["w2"][1, 2] = 0
    expected["w2"][0, :, 1] = fresh["w2"][0, :, 1]
    expected["w3"][0, 1] = 0
    assert_same_bits(found, expected)


def test_gains_and_biases_belong_to_their_neuron_and_shared_scalars_to_none():
    def apply(params, states):
        x = jax.nn.relu(params["gain"] * (states @ params["w1"]) * params["scale"] + params["b1"])
        return x @ params["w2"]

    shapes = {"w1": (3, 4), "gain": (1, 4), "scale": (), "b1": (4,), "w2": (4, 2)}
    params, fresh = draw({**shapes, "scale": (1,)}, 0), draw({**shapes, "scale": (1,)}, 1)
    graph = dormant.trace(apply, params, STATES)
    found = recycle(graph, params, fresh, {"w1": mask(4, 1)})
    expected = copy(params)
    expected["w1"][:, 1] = fresh["w1"][:, 1]
    expected["gain"][:, 1] = fresh["gain"][:, 1]
    expected["b1"][1] = fresh["b1"][1]
    expected["w2"][1] = 0
    assert_same_bits(found, expected)

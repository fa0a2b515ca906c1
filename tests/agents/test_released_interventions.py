# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Budgets, the contribution utility and layer resets against the released `weight_recyclers`.
Two convolutions, a flatten and two dense layers, in Flax's layout and with its names."""

import functools
import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from benchmarks import released_redo

with warnings.catch_warnings():
    # Gym and tensorflow-probability warn about themselves while they are imported.
    warnings.simplefilter("ignore")
    released_redo.install_released_redo()
    from dopamine.labs.redo import weight_recyclers

KEY = jax.random.PRNGKey(3)
IMAGES = jax.random.normal(jax.random.key(1), (8, 6, 6, 2))
NAMES = ["Conv_0", "Conv_1", "Dense_0", "Dense_1"]
ADAM = optax.adam(1e-3)
END_STEP = 1_000


class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(8, (3, 3), strides=2)(x))
        x = nn.relu(nn.Conv(12, (2, 2))(x))
        x = nn.relu(nn.Dense(20)(x.reshape(x.shape[0], -1)))
        return nn.Dense(4)(x)


def init(key):
    return Network().init(key, IMAGES)


@functools.cache
def traced():
    params = jax.jit(init)(KEY)
    graph = dormant.trace(Network().apply, params, IMAGES)
    return params, graph, jax.jit(graph.activations)(params, IMAGES)


def released_masks(score_type, fraction, step):
    """What the released scheduled recycler selects, layer by layer."""
    params, _, activations = traced()
    recycler = weight_recyclers.NeuronRecyclerScheduled(
        NAMES, score_type=score_type, recycle_rate=fraction, reset_end_step=END_STEP
    )
    recycler._last_update_step = step
    kernels = [params["params"][name]["kernel"] for name in NAMES]
    return {
        name: np.asarray(recycler._score2mask(activations[name], kernel, reading, KEY), bool)
        for name, kernel, reading in zip(NAMES[:-1], kernels[:-1], kernels[1:], strict=True)
    }


@pytest.mark.parametrize("step", [0, 500, 900, 999])
@pytest.mark.parametrize(
    "score_type, score, order",
    [
        ("redo", dormant.parts.activation_score, "lowest"),
        ("redo_inverted", dormant.parts.activation_score, "highest"),
        ("cbp", dormant.parts.contribution_utility, "lowest"),
        ("random", dormant.parts.activation_score, "random"),
    ],
)
def test_a_scheduled_budget_selects_what_the_released_recycler_does(score_type, score, order, step):
    params, graph, activations = traced()
    selection = dormant.parts.budget(dormant.cosine_fraction(0.3, END_STEP), order)
    masks, _ = selection.select(score(graph, params, activations), (), jnp.int32(step), KEY)
    expected = released_masks(score_type, 0.3, step)
    assert masks.keys() == expected.keys()
    for name, mask in expected.items():
        assert 0 < mask.sum() == masks[name].sum()
        if order != "random":  # another generator draws there
            np.testing.assert_array_equal(masks[name], mask, err_msg=name)


def test_ties_are_the_stated_deviation():
    silent = jnp.zeros((4, 10))
    recycler = weight_recyclers.NeuronRecyclerScheduled(NAMES, recycle_rate=0.3)
    recycler._last_update_step = 0
    assert recycler._score2mask(silent, None, None, KEY).sum() == 10  # all that tie
    scores = dormant.dormancy_scores({"layer": silent})
    masks, _ = dormant.parts.budget(0.3).select(scores, (), 0, KEY)
    assert masks["layer"].sum() == 3


@pytest.mark.parametrize("first", [2, 0])
def test_a_reset_changes_what_the_released_reset_does(first):
    params, graph, _ = traced()
    params = jax.tree.map(lambda leaf: leaf + 0.5, params)
    _, opt_state = jax.jit(ADAM.update)(params, ADAM.init(params))
    released = weight_recyclers.LayerReset(NAMES, reset_start_layer_idx=first, reset_period=1)
    expected, expected_opt_state = released.maybe_update_weights(1, None, params, KEY, opt_state)
    reset = dormant.layer_reset(graph, init, ADAM, NAMES[first:], period=1)
    found, found_opt_state, _ = jax.jit(reset.update)(params, opt_state, reset.init(KEY), IMAGES)

    def changed(before, after):
        leaves = zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True)
        return [jax.tree_util.keystr(path) for (path, old), new in leaves if (old != new).any()]

    assert changed(params, found) == changed(params, expected) != []
    biases = {path for path in changed(params, found) if "bias" in path}
    moments = changed(opt_state[0].mu, found_opt_state[0].mu)
    # The released code leaves the moments of biases as they are.
    assert set(moments) - biases == set(changed(opt_state[0].mu, expected_opt_state[0].mu))
    assert biases and set(moments) == set(changed(params, found))

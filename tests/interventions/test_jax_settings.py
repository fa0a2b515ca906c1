# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Settings of JAX that people train or look for mistakes with."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import interventions, measures, parts
from dormant.interventions.intervention import state_at_start
from dormant.measures.catalog import BY_NAME

ADAM = optax.adam(1e-2)
STATES = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)


def mlp(params, states):
    return jax.nn.relu(states @ params["w1"] + params["b1"][None]) @ params["w2"]


def init(key):
    one, two = jax.random.split(key)
    w1 = jax.random.normal(one, (3, 4), jnp.float32)
    return {
        "w1": w1,
        "b1": jnp.zeros(4, jnp.float32),
        "w2": jax.random.normal(two, (4, 2), jnp.float32),
    }


def loss(params, states):
    return jnp.mean(mlp(params, states) ** 2)


def made(name):
    graph = dormant.trace(mlp, init(jax.random.key(0)), STATES)
    if name == "redo":
        return dormant.redo(graph, init, ADAM, period=1)
    if name in SCORES:
        return dormant.redo(graph, init, ADAM, period=1, score=SCORES[name]())
    if name == "track":
        own = [measures.hessian_eigenvalue(loss)]
        return dormant.track(graph, period=1, measures=[*BY_NAME, *own])
    if name == "fire":
        return interventions.fire(graph, ADAM, period=1)
    options = {} if name == "self_normalized_resets" else {"period": 1}
    return getattr(interventions, name)(graph, init, ADAM, **options)


SCORES = {
    "inter-firing": parts.inter_firing_score,
    "stagnation": parts.stagnation_score,
}
NAMES = (
    "redo", "track", "self_normalized_resets", "continual_backprop", "partial_resets", "reborn",
    "shrink_and_perturb", "interpolated_reset", "fire", "selective_weight_reinitialization",
    *SCORES,
)  # fmt: skip


def steps(name):
    """Two updates, as a compiled loop carries the state of one to the next."""
    method, params = made(name), init(jax.random.key(1))
    state = state_at_start(method, jax.random.key(2), params)
    carried = params, ADAM.init(params), state
    gradient = {"gradient": params} if method.needs else {}

    @jax.jit
    def update(carried):
        return jax.lax.fori_loop(
            0, 2, lambda _, each: method.update(*each, STATES, **gradient), carried
        )

    return jax.tree.leaves(update(carried)[0])


@pytest.mark.parametrize("name", NAMES)
def test_double_precision_changes_no_types(name):
    """Parameters stay float32, and so does what a loop carries."""
    with jax.enable_x64(True):
        assert {leaf.dtype for leaf in steps(name)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_broadcast_that_is_not_meant_to_be(name):
    with jax.numpy_rank_promotion("raise"):
        assert all(np.isfinite(leaf).all() for leaf in steps(name))


def test_a_search_for_nans_is_refused_in_words():
    graph = dormant.trace(mlp, init(jax.random.key(0)), STATES)
    said = "`jax_debug_nans` must be False, as"
    with jax.debug_nans(True), pytest.raises(ValueError, match=said):
        dormant.redo(graph, init, ADAM)

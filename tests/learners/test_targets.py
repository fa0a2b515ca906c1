# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Target parameters: when each rule moves them, to where, and what the rules refuse.
A quadratic loss on one small array lets every number be worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dormant.learners import periodic_target, soft_target
from tests.learners.quadratic_learner import (
    INPUTS,
    KEY,
    LEARNING_RATE,
    build,
    init_params,
    quadratic,
    recorder,
)


@pytest.mark.parametrize("period", [1, 2, 3, np.int64(3)])
def test_periodic_target_follows_on_multiples_of_the_period(period):
    learner = build(target_rule=periodic_target(period))
    update = jax.jit(learner.update)
    state = learner.init(KEY)
    synced = state.params["w"]
    for step in range(1, 8):
        state, _ = update(state, jnp.ones(3))
        synced = state.params["w"] if step % period == 0 else synced
        np.testing.assert_array_equal(state.target_params["w"], synced)


def test_without_a_target_rule_only_sync_target_moves_the_target():
    learner = build()
    first = learner.init(KEY)
    state, _ = learner.update(first, jnp.ones(3))
    np.testing.assert_array_equal(state.target_params["w"], first.params["w"])
    synced = learner.sync_target(state)
    np.testing.assert_array_equal(synced.target_params["w"], state.params["w"])
    assert synced.gradient_step == 1


def test_target_intervention_comes_before_the_target_rule_and_only_with_inputs():
    def mark(params, target_params, state):
        return {"w": target_params["w"] + 10 * state.calls + params["w"]}

    learner = build(
        intervention=recorder(100.0), target_intervention=mark, target_rule=soft_target(0.5)
    )
    update, state = jax.jit(learner.update), learner.init(KEY)
    for inputs in (None, (INPUTS,)):
        before = state.target_params["w"]
        state, _ = update(state, jnp.zeros(3), inputs)
        marked = before if inputs is None else before + 10 * 2 + state.params["w"]
        expected = 0.5 * (marked + state.params["w"])
        np.testing.assert_allclose(state.target_params["w"], expected, rtol=1e-5)


def test_two_optimizers_and_a_soft_target():
    """What an actor-critic with a learned temperature needs: one tree, one optimizer per branch."""

    def loss(params, target_params, batch, key):
        network_loss, _ = quadratic(params["network"], None, batch, key)
        return network_loss + params["log_alpha"], {"network_loss": network_loss}

    learner = build(
        init=lambda key: {"network": init_params(key), "log_alpha": jnp.zeros(())},
        optimizer=optax.partition(
            {"network": optax.sgd(LEARNING_RATE), "log_alpha": optax.sgd(0.5)},
            lambda params: {"network": {"w": "network"}, "log_alpha": "log_alpha"},
        ),
        loss=loss,
        target_rule=soft_target(0.25),
    )
    state = learner.init(KEY)
    new, _ = jax.jit(learner.update, donate_argnums=0)(learner.init(KEY), jnp.zeros(3))
    before = np.asarray(state.params["network"]["w"])
    np.testing.assert_allclose(new.params["network"]["w"], 0.9 * before, rtol=1e-6)
    np.testing.assert_allclose(new.params["log_alpha"], -0.5)
    expected = 0.75 * before + 0.25 * 0.9 * before
    np.testing.assert_allclose(new.target_params["network"]["w"], expected, rtol=1e-6)


@pytest.mark.parametrize("period", [0, -1, 2.0, True, "often"])
def test_period_errors(period):
    with pytest.raises(ValueError, match=f"whole number of gradient steps >= 1; got {period!r}$"):
        periodic_target(period)


@pytest.mark.parametrize("smoothing", [-0.1, 1.5, None, True, float("nan")])
def test_smoothing_errors(smoothing):
    message = rf"`target_smoothing` must be a number in \[0, 1\]; got {smoothing!r}$"
    with pytest.raises(ValueError, match=message):
        soft_target(smoothing)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Figures 4 and 8: the data stay, random targets stay, distillation comes closer to its teacher."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant import vectorized
from dormant.checks import ConfigurationError
from dormant.learners import epsilon_greedy
from dormant.studies.distillation import TaughtBatch, distilling_loss
from dormant.studies.episodes import evaluation, evaluation_entries


@pytest.fixture(scope="module")
def data_of(study_of):
    """`data_of(name)`: what a short run prepares, made once."""

    @functools.cache
    def data(name):
        study, _ = study_of(name)
        return study.prepare(jax.random.key(0), lambda text: None)

    return data


def same(one, other):
    equal = jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), one, other)
    return jax.tree.all(equal)


def copied(tree):
    return jax.tree.map(np.array, tree)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fig04", "fig08"])
def test_what_is_prepared_has_the_shapes_that_were_announced(name, study_of, data_of):
    study, _ = study_of(name)
    forms = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), data_of(name))
    assert jax.tree.structure(forms) == jax.tree.structure(study.prepared)
    pairs = zip(jax.tree.leaves(forms), jax.tree.leaves(study.prepared), strict=True)
    assert all((one.shape, one.dtype) == (other.shape, other.dtype) for one, other in pairs)


@pytest.mark.parametrize("targets", ["periodic", "random"])
def test_offline_data_never_change_and_random_targets_never_sync(study_of, data_of, targets):
    _, fit = study_of("fig04", {"OfflineDQN.targets": f"'{targets}'"})
    data = data_of("fig04")
    # All that the online run saw, in the order of its steps: no row is empty.
    assert data.kept.reward.shape == (400,) and np.all(np.asarray(data.kept.reward) == 1)
    before = copied(data)
    state = fit.init(jax.random.key(7), data)
    start, target = copied(state.learner.params), copied(state.learner.target_params)
    assert same(start, target) == (targets == "periodic")
    for step in (20, 40):
        state, metrics = fit.advance(state, data, 20, True)
        assert int(state.learner.gradient_step) == step and np.isfinite(metrics["loss"])
    assert same(data, before) and not same(state.learner.params, start)
    # Periodic targets sync every 20 gradient steps here.
    assert same(state.learner.target_params, target) == (targets == "random")
    assert same(state.learner.target_params, state.learner.params) == (targets == "periodic")


def test_a_network_that_does_not_scale_its_pixels_is_refused(study_of):
    changes = {"VectorizedDQN.network": "'mlp'", "VectorizedDQN.width": 1}
    with pytest.raises(ConfigurationError, match="'nature' or 'impala' for Pong, whose observat"):
        study_of("fig04_atari", changes)


@pytest.mark.parametrize("student", ["pretrained", "fresh"])
def test_distillation_lowers_the_loss_on_the_teachers_states(study_of, data_of, student):
    changes = {"Distillation.student": f"'{student}'", "VectorizedDQN.learning_rate": 0.003}
    study, fit = study_of("fig08", changes)
    pretrained, data = student == "pretrained", data_of("fig08")
    assert data.start != () and not same(data.start, data.teacher)
    if not pretrained:
        data = data._replace(start=())
    before = copied(data)
    state = fit.init(jax.random.key(7), data)
    assert same(state.learner.params, data_of("fig08").start) == pretrained
    batch = study.draw(data, jax.random.key(9), jnp.int32(0))
    step = jax.jit(study.learner.step)
    first = float(step(state.learner, batch)[1]["loss"])
    for _ in range(5):
        state, _ = fit.advance(state, data, 40, False)
    assert float(step(state.learner, batch)[1]["loss"]) < 0.5 * first
    assert same(data, before)


def test_the_loss_is_the_mean_squared_error_of_all_actions():
    loss = distilling_loss(lambda params, state: params * state, "mse")
    batch = TaughtBatch(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 1.0]]))
    value, metrics = loss(jnp.float32(2), None, batch, None)
    assert float(value) == (2**2 + 3**2) / 2 and float(metrics["q_mean"]) == 3


@pytest.mark.slow
def test_a_pretrained_student_trained_at_its_own_replay_ratio(study_of, data_of):
    data = data_of("fig08")
    study, _ = study_of("fig08", {"Distillation.student_replay_ratio": 1})
    other = study.prepare(jax.random.key(0), lambda text: None)
    assert same(other.teacher, data.teacher) and not same(other.start, data.start)


@pytest.mark.slow
def test_steps_one_by_one_are_the_steps_of_one_call(study_of, data_of):
    _, fit = study_of("fig04", {"OfflineDQN.targets": "'random'"})
    data = data_of("fig04")
    together, _ = fit.advance(fit.init(jax.random.key(1), data), data, 3, False)
    state = fit.init(jax.random.key(1), data)
    for _ in range(3):
        state, _ = fit.advance(state, data, 1, False)
    for one, other in zip(
        jax.tree.leaves(together.learner.params), jax.tree.leaves(state.learner.params), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_evaluation_plays_whole_first_episodes():
    environment = vectorized.gymnax_environment("CartPole-v1")
    # Always to the left: the pole falls within 8 to 11 steps, and each is worth 1.
    policy = epsilon_greedy(lambda params, observation: jnp.array([1.0, 0.0]))
    returns, lengths = evaluation(environment, policy, 5)((), jax.random.key(0))
    assert returns.tolist() == lengths.tolist() and 8 <= min(lengths) <= max(lengths) <= 11
    given_up = evaluation_entries(jnp.array([jnp.nan, 3.0]), jnp.array([9, 4]))
    assert given_up["eval_returns"] == [3.0] and given_up["eval_episode_lengths"] == [4]
    entries = evaluation_entries(returns, lengths)
    assert entries["eval_average_return"] == pytest.approx(np.mean(entries["eval_returns"]))

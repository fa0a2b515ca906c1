# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The DQN learner against Dopamine's own code and the released ReDo agent, on the same inputs.
Networks, losses, updates, actions and the exploration schedule must agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant.agents import dopamine_compat
from dormant.learners import (
    Batch,
    ImpalaResNet,
    NatureCNN,
    dqn,
    huber_loss,
    linearly_decaying_epsilon,
    mse_loss,
)

dopamine_compat.install()
from dopamine.jax import losses as dopamine_losses  # noqa: E402
from dopamine.jax.agents.dqn import dqn_agent  # noqa: E402
from dopamine.labs.redo import networks as redo_networks  # noqa: E402
from dopamine.labs.redo import recycled_dqn_agents  # noqa: E402

ACTIONS, BATCH = 6, 8
DISCOUNT = 0.99**3
PIXELS = jnp.zeros((84, 84, 4), jnp.uint8)
# A quarter of the width keeps the file fast; the networks at full width are compared on their own.
OURS = NatureCNN(ACTIONS, width=1 / 4)
THEIRS = redo_networks.ScalableNatureDQNNetwork(ACTIONS, width=1 / 4)


def batches(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield Batch(
            state=rng.integers(0, 256, (BATCH, 84, 84, 4), dtype=np.uint8),
            action=rng.integers(0, ACTIONS, BATCH, dtype=np.int32),
            reward=(2 * rng.normal(size=BATCH)).astype(np.float32),
            next_state=rng.integers(0, 256, (BATCH, 84, 84, 4), dtype=np.uint8),
            terminal=rng.integers(0, 2, BATCH, dtype=np.uint8),
        )


def paths(tree):
    return {
        jax.tree_util.keystr(path): (leaf.shape, leaf.dtype)
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


def assert_close(ours, theirs, rtol=1e-5, atol=1e-7):
    assert paths(ours) == paths(theirs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol, atol), ours, theirs)


@pytest.fixture
def optimizer():
    return dqn_agent.create_optimizer("adam")


@pytest.fixture
def make_learner(optimizer):
    return lambda **options: dqn(
        OURS.apply, lambda key: OURS.init(key, PIXELS), optimizer, discount=DISCOUNT, **options
    )


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (NatureCNN(ACTIONS), redo_networks.ScalableNatureDQNNetwork(ACTIONS)),
        pytest.param(
            NatureCNN(4, width=0.3),
            redo_networks.ScalableNatureDQNNetwork(4, width=0.3),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ImpalaResNet(ACTIONS),
            redo_networks.ScalableDQNResNet(ACTIONS, width=1),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["nature", "nature_width_0.3", "impala"],
)
def test_networks_initialize_and_compute_alike(ours, theirs):
    key = jax.random.PRNGKey(0)
    params = jax.jit(ours.init)(key, PIXELS)
    assert_close(params, jax.jit(theirs.init)(key, PIXELS), rtol=0, atol=0)
    states = next(batches(1)).state
    expected = jax.jit(jax.vmap(lambda x: theirs.apply(params, x).q_values))(states)
    found = jax.jit(ours.apply)(params, states)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_losses():
    targets = jnp.linspace(-3, 3, 25)
    predictions = jnp.full(25, 0.5)
    for ours, theirs in (
        (huber_loss, dopamine_losses.huber_loss),
        (mse_loss, dopamine_losses.mse_loss),
    ):
        np.testing.assert_array_equal(ours(targets, predictions), theirs(targets, predictions))
        slope = jax.vmap(jax.grad(ours, argnums=1))(targets, predictions)
        expected = jax.vmap(jax.grad(theirs, argnums=1))(targets, predictions)
        np.testing.assert_array_equal(slope, expected)


@pytest.mark.parametrize("loss", ["huber", "mse"])
def test_updates_equal_dopamines_train(make_learner, optimizer, loss):
    """One update, a target sync by the caller, then two more."""
    learner = make_learner(loss=loss)
    update = jax.jit(learner.update)
    state = learner.init(jax.random.PRNGKey(0))
    online, target, opt_state = state.params, state.target_params, state.opt_state
    for step, batch in enumerate(batches(3), start=1):
        state, metrics = update(state, batch)
        opt_state, online, expected_loss = dqn_agent.train(
            THEIRS, online, target, optimizer, opt_state,
            batch.state, batch.action, batch.next_state, batch.reward, batch.terminal,
            DISCOUNT, loss,
        )  # fmt: skip
        np.testing.assert_allclose(metrics["loss"], expected_loss, rtol=1e-5)
        assert_close(state.params, online)
        assert_close(state.opt_state, opt_state)
        if step == 1:
            state, target = learner.sync_target(state), online
        assert_close(state.target_params, target)


def test_updates_equal_the_released_redo_agents(make_learner, optimizer):
    """Three updates with a sync by gradient steps after the second."""
    learner = make_learner(target_period=2)
    update = jax.jit(learner.update)
    state = learner.init(jax.random.PRNGKey(1))
    online, target, opt_state = state.params, state.target_params, state.opt_state
    for step, batch in enumerate(batches(3), start=1):
        state, metrics = update(state, batch)
        expected_loss, gradient = recycled_dqn_agents.get_gradients(
            online, THEIRS.apply, target, batch._asdict(), DISCOUNT
        )
        online, opt_state = recycled_dqn_agents.apply_updates_jitted(
            online, gradient, opt_state, optimizer
        )
        target = online if step == 2 else target
        np.testing.assert_allclose(metrics["loss"], expected_loss, rtol=1e-5)
        assert_close(state.params, online)
        assert_close(state.opt_state, opt_state)
        assert_close(state.target_params, target)


@pytest.mark.parametrize("eval_mode, epsilon", [(False, 0.3), (True, 0.6)])
def test_actions_equal_dopamines_for_the_same_keys(make_learner, eval_mode, epsilon):
    learner = make_learner()
    state = learner.init(jax.random.PRNGKey(0))
    act = jax.jit(learner.act)
    key, random_actions = jax.random.PRNGKey(3), 0
    observation = next(batches(1)).state[0]
    greedy = int(jnp.argmax(OURS.apply(state.params, observation)))
    for _ in range(100):
        action = act(state, observation, key, epsilon)
        key, expected = dqn_agent.select_action(
            THEIRS, state.params, observation, key, ACTIONS, eval_mode,
            0.6, 0.3, 1.0, 10**6, 0.0, dqn_agent.linearly_decaying_epsilon,
        )  # fmt: skip
        assert action == expected
        random_actions += int(action) != greedy
    assert 0 < random_actions < 100


def test_exploration_schedule():
    for options in ((250_000, 20_000, 0.01), (5_000, 1_600, 0.01), (1_000_000, 0, 0.1)):
        decay_period, warmup, epsilon = options
        for step in [*range(0, 1_300_000, 49_999), warmup, warmup + 1, warmup + decay_period]:
            found = linearly_decaying_epsilon(decay_period, step, warmup, epsilon)
            expected = dqn_agent.linearly_decaying_epsilon(decay_period, step, warmup, epsilon)
            np.testing.assert_allclose(found, expected, rtol=1e-6)

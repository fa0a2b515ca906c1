# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The DQN learner on CartPole-size networks: updates by hand, ReDo, exploration, options.
Equality with Dopamine's updates is tested in tests/agents/test_dqn_parity.py."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant.learners import (
    Batch,
    Interventions,
    dqn,
    epsilon_greedy,
    huber_loss,
    linearly_decaying_epsilon,
    mse_loss,
)
from tests.learners.comparing import bundled, close
from tests.learners.small_networks import ACTIONS, BATCH, FEATURES, MLP, discrete_batches

DISCOUNT = 0.9


def init_mlp(key):
    return MLP().init(key, jnp.zeros(FEATURES))


def linear_q(params, observation):
    return observation @ params


def init_linear(key):
    return jax.random.normal(key, (FEATURES, ACTIONS))


def numpy_gradient(params, target_params, batch, loss):
    """Loss, gradient and mean chosen Q of a linear Q-function, one transition at a time."""
    total, chosen, gradient = 0.0, [], np.zeros_like(params)
    for s, a, r, s2, done in zip(*batch, strict=True):
        target = r + DISCOUNT * np.max(s2 @ target_params) * (1 - done)
        error = (s @ params)[a] - target
        chosen.append((s @ params)[a])
        if loss == "mse":
            total, slope = total + error**2, 2 * error
        elif abs(error) <= 1:
            total, slope = total + 0.5 * error**2, error
        else:
            total, slope = total + abs(error) - 0.5, np.sign(error)
        gradient[:, a] += slope * s
    return total / BATCH, gradient / BATCH, np.mean(chosen)


@pytest.mark.parametrize("loss", ["huber", "mse"])
def test_one_update_by_hand(loss):
    learner = dqn(linear_q, init_linear, optax.sgd(0.5), discount=DISCOUNT, loss=loss)
    state = learner.init(jax.random.key(0))
    state = state._replace(target_params=init_linear(jax.random.key(1)))
    batch = discrete_batches()
    new, metrics = jax.jit(learner.update)(state, batch)
    params = np.asarray(state.params, np.float64)
    value, gradient, q_mean = numpy_gradient(
        params, np.asarray(state.target_params, np.float64), batch, loss
    )
    close(new.params, params - 0.5 * gradient)
    close(metrics["loss"], value)
    close(metrics["q_mean"], q_mean)
    close(new.target_params, state.target_params, 0, 0)
    assert new.gradient_step == 1 and new.gradient_step.dtype == jnp.int32


def test_losses_at_and_around_the_corner():
    targets = jnp.array([0.0, 0.5, 1.0, -1.0, 3.0])
    close(huber_loss(targets, jnp.zeros(5)), [0, 0.125, 0.5, 0.5, 2.5])
    close(mse_loss(targets, jnp.zeros(5)), [0, 0.25, 1, 1, 9])
    slopes = jax.vmap(jax.grad(huber_loss, argnums=1))(targets, jnp.zeros(5))
    close(slopes, [0, -0.5, -1, 1, -1])


@pytest.mark.parametrize(
    "cast",
    [
        {"terminal": bool},
        {"terminal": np.float32},
        {"action": np.int64},
        {"action": np.uint8},
    ],
)
def test_dtypes_of_replay(cast):
    learner = dqn(linear_q, init_linear, optax.sgd(0.5), discount=DISCOUNT)
    state, batch = learner.init(jax.random.key(0)), discrete_batches()
    ((name, dtype),) = cast.items()
    other = batch._replace(**{name: getattr(batch, name).astype(dtype)})
    close(jax.jit(learner.update)(state, other), jax.jit(learner.update)(state, batch), 0, 0)


@pytest.mark.parametrize("target_period", [None, 2])
def test_target_sync_by_gradient_steps_or_by_the_caller(target_period):
    learner = dqn(
        linear_q, init_linear, optax.sgd(0.1), discount=DISCOUNT, target_period=target_period
    )
    update, state = jax.jit(learner.update), learner.init(jax.random.key(0))
    target = state.params
    for step in range(1, 5):
        state, _ = update(state, discrete_batches(seed=step))
        target = state.params if target_period and step % target_period == 0 else target
        close(state.target_params, target, 0, 0)
    close(learner.sync_target(state).target_params, state.params, 0, 0)


def test_learns_the_values_of_a_bandit():
    learner = dqn(MLP().apply, init_mlp, optax.adam(1e-2), discount=0.0, loss="mse")
    data = discrete_batches(1_000)
    data = data._replace(reward=data.action.astype(np.float32))
    state, metrics = jax.lax.scan(learner.update, learner.init(jax.random.key(0)), data)
    assert metrics["loss"][-1] < 0.01 < metrics["loss"][0]
    q_values = MLP().apply(state.params, discrete_batches(seed=999).state)
    np.testing.assert_allclose(q_values, np.tile(np.arange(ACTIONS), (BATCH, 1)), atol=0.2)


def redo_learner(**options):
    """Tracks after every gradient step, recycles and then syncs the target after every second."""
    optimizer = optax.adam(1e-2)
    params = jax.eval_shape(init_mlp, jax.random.key(0))
    graph = dormant.trace(MLP().apply, params, jnp.zeros((BATCH, FEATURES)))
    defaults = {
        "tracker": dormant.track(graph, period=1),
        "intervention": dormant.redo(graph, init_mlp, optimizer, tau=0.0, period=2),
        "target_period": 2,
    }
    options = bundled("interventions", Interventions, defaults | options)
    return dqn(MLP().apply, init_mlp, optimizer, discount=DISCOUNT, **options)


def silence(state, neuron):
    bias = state.params["params"]["Dense_0"]["bias"]
    layer = state.params["params"]["Dense_0"] | {"bias": bias.at[neuron].set(-100.0)}
    return state._replace(params={"params": state.params["params"] | {"Dense_0": layer}})


def test_redo_recycles_after_tracking_and_before_the_target_sync():
    learner, silent = redo_learner(), 5
    update = jax.jit(learner.update, donate_argnums=0)
    state = silence(learner.init(jax.random.key(0)), silent)
    batch = discrete_batches()
    state, _ = update(state, batch, (batch.state,))
    assert state.tracker.report.step == 1 and state.intervention.report.step == -1
    assert state.tracker.dormant["Dense_0"][0, silent]
    state, _ = update(state, batch, (batch.state,))
    # The tracker scored the neuron before it was recycled.
    assert state.tracker.report.step == state.intervention.report.step == 2
    assert state.tracker.dormant["Dense_0"][0, silent]
    assert state.intervention.report.recycled_total >= 1
    for params in (state.params["params"], state.target_params["params"]):
        assert params["Dense_0"]["bias"][silent] == 0
        assert not params["Dense_1"]["kernel"][silent].any()
    close(state.params, state.target_params, 0, 0)
    state, _ = update(state, batch)
    assert state.tracker.step == state.intervention.step == state.gradient_step == 3
    assert state.tracker.report.step == 2
    assert update._cache_size() == 2


@pytest.mark.slow
def test_seeds_recycle_independently_under_vmap():
    learner = redo_learner()
    keys, data = jax.random.split(jax.random.key(0), 4), discrete_batches(4, 4)

    def step(state, batch):
        return learner.update(state, batch, (batch.state,))[0]

    alone = [silence(learner.init(key), seed) for seed, key in enumerate(keys)]
    together = jax.tree.map(lambda *arrays: jnp.stack(arrays), *alone)
    many, one = jax.jit(jax.vmap(step)), jax.jit(step)
    for t in range(4):
        together = many(together, Batch(*(x[t] for x in data)))
        alone = [one(state, Batch(*(x[t, seed] for x in data))) for seed, state in enumerate(alone)]
    for seed, state in enumerate(alone):
        assert state.intervention.report.recycled_total >= 1
        close(
            jax.tree.map(lambda x, i=seed: x[i], together)._replace(intervention=0, tracker=0),
            state._replace(intervention=0, tracker=0),
        )
        recycled = together.intervention.report.recycled_total[seed]
        assert recycled == state.intervention.report.recycled_total


def q_is_observation(params, observation):
    return params * observation


def test_epsilon_greedy_statistics():
    policy = epsilon_greedy(q_is_observation)
    draws, best = 40_000, 2
    observation = jnp.zeros(4).at[best].set(1.0)
    keys = jax.random.split(jax.random.key(0), draws)
    act = jax.jit(jax.vmap(policy, in_axes=(None, None, 0, None)))
    for epsilon in (0.0, 0.25, 1.0):
        actions = act(jnp.float32(1), observation, keys, epsilon)
        assert actions.dtype == jnp.int32
        expected = np.full(4, epsilon / 4)
        expected[best] += 1 - epsilon
        frequency = np.bincount(actions, minlength=4) / draws
        # Five standard deviations of a frequency.
        np.testing.assert_allclose(frequency, expected, atol=5 * np.sqrt(0.25 / draws))
    np.testing.assert_array_equal(act(jnp.float32(1), observation, keys, 0.0), best)


def test_act_is_greedy_for_one_observation_and_repeatable():
    learner = dqn(linear_q, init_linear, optax.sgd(0.1), discount=DISCOUNT)
    state = learner.init(jax.random.key(0))
    act, key = jax.jit(learner.act), jax.random.key(3)
    for observation in discrete_batches().state:
        action = act(state, observation, key, 0.0)
        assert action.shape == () and action == np.argmax(observation @ state.params)
    assert act(state, observation, key, 1.0) == act(state, observation, key, 1.0)


def test_linearly_decaying_epsilon():
    steps = [0, 20_000, 20_001, 145_000, 270_000, 10**6]
    expected = [1.0, 1.0, 1 - 0.99 / 250_000, 0.505, 0.01, 0.01]
    for step, value in zip(steps, expected, strict=True):
        close(linearly_decaying_epsilon(250_000, step, 20_000, 0.01), value)
    traced = jax.jit(lambda step: linearly_decaying_epsilon(250_000, step, 20_000, 0.01))
    close(traced(jnp.array(steps)), expected)
    assert traced(jnp.array(steps)).dtype == jnp.float32


@pytest.mark.parametrize("decay_period", [0, -5])
def test_decay_period_errors(decay_period):
    message = f"`decay_period` must be a number > 0; got {decay_period}$"
    with pytest.raises(ValueError, match=message):
        linearly_decaying_epsilon(decay_period, 0, 0, 0.1)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"discount": 1.5}, r"`discount` must be a number in \[0, 1\]; got 1\.5$"),
        ({"discount": -0.1}, r"`discount` must be .* got -0\.1$"),
        ({"discount": float("nan")}, r"`discount` must be .* got nan$"),
        ({"discount": True}, r"`discount` must be .* got True$"),
        ({"discount": "0.9"}, r"`discount` must be .* got '0\.9'$"),
        ({"loss": "mae"}, r"`loss` must be one of 'huber', 'mse'; got 'mae'$"),
        ({"loss": ["huber"]}, r"`loss` must be one of .* got \['huber'\]$"),
        ({"target_period": 0}, r"`target_period` must be None or .* >= 1; got 0$"),
        ({"target_period": 2.5}, r"`target_period` must be None or .* got 2\.5$"),
        ({"tracker": 1}, r"`tracker` must be None or a pair \(init, update\); got 1$"),
        ({"intervention": 1}, r"`intervention` must be None or a pair \(init, update\); got 1$"),
        ({"apply": None}, r"`apply` must be a function .* got None$"),
        ({"init": 0}, r"`init` must be a function; got 0$"),
        ({"optimizer": None}, r"`optimizer` must be a pair \(init, update\); got None$"),
    ],
)
def test_option_errors(options, message):
    arguments = {
        "apply": linear_q, "init": init_linear, "optimizer": optax.sgd(0.1), "discount": DISCOUNT
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        dqn(**bundled("interventions", Interventions, arguments | options))


@pytest.mark.parametrize(
    "field, shape", [("reward", (BATCH, 1)), ("terminal", (1,)), ("state", (BATCH - 1, FEATURES))]
)
def test_batches_of_a_wrong_shape(field, shape):
    learner = dqn(linear_q, init_linear, optax.sgd(0.1), discount=DISCOUNT)
    state = learner.init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"`batch` must have .* shape \(B,\).* got \{"):
        learner.update(state, discrete_batches()._replace(**{field: np.zeros(shape, np.float32)}))


def test_networks_that_want_a_batch_dimension():
    learner = dqn(
        lambda params, x: linear_q(params, x)[None], init_linear, optax.sgd(0.1), discount=DISCOUNT
    )
    state = learner.init(jax.random.key(0))
    # JAX adds its own note after the message.
    message = r"q_values of shape \(A,\); got \(1, 3\)"
    with pytest.raises(ValueError, match=message):
        learner.update(state, discrete_batches())
    with pytest.raises(ValueError, match=message):
        learner.act(state, jnp.ones(FEATURES), jax.random.key(0), 0.1)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The SAC learner on tiny networks: losses and whom they train, targets, actions, options.
Equality with Dopamine's updates is tested in tests/agents/test_sac_parity.py."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant.learners import ActorCritic, Interventions, mirror_in_target, sac
from tests.learners.comparing import bundled, close, identical
from tests.learners.small_networks import (
    ACTION_SHAPE,
    BATCH,
    FEATURES,
    OBSERVATION,
    actor,
    continuous_batches,
    critic,
    init_actor_critic,
)

DISCOUNT, TARGET_ENTROPY, REWARD_SCALE = 0.9, -0.7, 0.5
KEY = jax.random.key(0)
OPTIONS = {"discount": DISCOUNT, "target_entropy": TARGET_ENTROPY, "reward_scale": REWARD_SCALE}


def steady_actor(network, observation, key):
    """Linear; what it samples is fixed, so that losses can be worked out by hand."""
    del key
    mean = observation @ network["actor"]
    return mean, mean + 0.1, -jnp.sum(mean**2)


def linear_critics(network, observation, action):
    inputs = jnp.concatenate([observation, action])
    return inputs @ network["first"], inputs @ network["second"]


def init_linear(key):
    keys = jax.random.split(key, 3)
    inputs = FEATURES + ACTION_SHAPE[0]
    network = {
        "actor": 0.3 * jax.random.normal(keys[0], (FEATURES, *ACTION_SHAPE)),
        "first": jax.random.normal(keys[1], (inputs,)),
        "second": jax.random.normal(keys[2], (inputs,)),
    }
    return {"network": network, "log_alpha": jnp.full(1, -0.5)}


def make(**options):
    arguments = {
        "actor": actor, "critic": critic, "init": init_actor_critic, "optimizer": optax.sgd(0.1)
    }  # fmt: skip
    arguments = bundled("networks", ActorCritic, arguments | OPTIONS | options)
    return sac(**bundled("interventions", Interventions, arguments))


def make_linear(**options):
    linear = {"actor": steady_actor, "critic": linear_critics, "init": init_linear}
    return make(**(linear | options))


def test_losses_by_hand():
    learner, batch = make_linear(), continuous_batches()
    state = learner.init(KEY)._replace(target_params=init_linear(jax.random.key(1)))
    _, metrics = jax.jit(learner.update)(state, batch)
    online, target = (
        {name: np.asarray(value, np.float64) for name, value in params["network"].items()}
        for params in (state.params, state.target_params)
    )
    alpha, rows = np.exp(-0.5), []
    for s, a, r, s2, done in zip(*batch, strict=True):
        next_mean = s2 @ target["actor"]
        next_inputs = np.concatenate([s2, next_mean])
        next_q = min(next_inputs @ target["first"], next_inputs @ target["second"])
        # The log-probability, -sum(mean^2), is taken from the reward-to-go with the factor alpha.
        value = next_q + alpha * np.sum(next_mean**2)
        goal = REWARD_SCALE * r + DISCOUNT * (1 - done) * value
        q = [np.concatenate([s, a]) @ online[name] for name in ("first", "second")]
        mean = s @ online["actor"]
        sampled = np.concatenate([s, mean + 0.1])
        log_probability = -np.sum(mean**2)
        actor_q = min(sampled @ online["first"], sampled @ online["second"])
        rows.append(
            {
                "critic_loss": sum((value - goal) ** 2 for value in q),
                "actor_loss": alpha * log_probability - actor_q,
                "alpha_loss": -0.5 * (-log_probability - TARGET_ENTROPY),
                "alpha": alpha,
                "q_mean": np.mean(q),
            }
        )
    expected = {name: np.mean([row[name] for row in rows]) for name in rows[0]}
    expected["loss"] = (
        0.5 * expected["critic_loss"] + expected["actor_loss"] + expected["alpha_loss"]
    )
    close(metrics, expected, rtol=1e-4)


@pytest.mark.parametrize("loss", ["critic", "actor", "alpha"])
def test_each_loss_trains_its_own_parameters(loss):
    """Without the other losses' inputs, what a loss trains moves, and nothing else does."""
    learner, batch = make_linear(discount=0.0), continuous_batches()
    state = learner.init(KEY)
    update = jax.jit(learner.update)
    changes = {
        # The rewards are read by the critics' loss alone.
        "critic": lambda state: (state, batch._replace(reward=batch.reward + 1)),
        # Where the critics see no action, the actor's loss is the entropy's alone.
        "actor": lambda state: (with_critics(state, blind), batch),
        "alpha": lambda state: (state._replace(params=hotter(state.params)), batch),
    }
    new, _ = update(state, batch)
    other_state, other_batch = changes[loss](state)
    other, _ = update(other_state, other_batch)

    def step(new, old):
        return jax.tree.map(jnp.subtract, new.params, old.params)

    ours, theirs = step(new, state), step(other, other_state)
    same = jax.tree.map(lambda a, b: bool(jnp.allclose(a, b, 1e-4, 1e-6)), ours, theirs)
    network = same["network"]
    if loss == "critic":
        assert not network["first"] and not network["second"]
        assert network["actor"] and same["log_alpha"]
    elif loss == "actor":
        assert not network["actor"] and same["log_alpha"]
    else:
        # The temperature weighs the entropy in the actor's loss; its own gradient has no alpha.
        assert not network["actor"] and same["log_alpha"]
        assert network["first"] and network["second"]


def blind(critic_weights):
    return critic_weights.at[FEATURES:].set(0.0)


def with_critics(state, change):
    network = state.params["network"]
    network = network | {name: change(network[name]) for name in ("first", "second")}
    return state._replace(params=state.params | {"network": network})


def hotter(params):
    return params | {"log_alpha": params["log_alpha"] + 1}


@pytest.mark.slow
def test_the_temperature_rises_when_the_entropy_is_below_its_target():
    batch = continuous_batches()
    for target_entropy, sign in ((100.0, 1), (-100.0, -1)):
        learner = make(target_entropy=target_entropy)
        state = learner.init(KEY)
        new, _ = jax.jit(learner.update)(state, batch)
        change = new.params["log_alpha"] - state.params["log_alpha"]
        assert np.sign(change) == sign and change.shape == (1,)


def test_soft_targets_follow_a_part_of_the_way_at_every_update():
    learner = make_linear(target_smoothing=0.25)
    update, state = jax.jit(learner.update), learner.init(KEY)
    for step in range(3):
        before = state.target_params
        state, _ = update(state, continuous_batches(seed=step))
        close(
            state.target_params,
            jax.tree.map(lambda old, new: 0.75 * old + 0.25 * new, before, state.params),
        )


@pytest.mark.parametrize("period", [None, 2])
def test_hard_targets_are_copied_by_period_or_by_the_caller(period):
    learner = make_linear(target_smoothing=None, target_period=period)
    update, state = jax.jit(learner.update), learner.init(KEY)
    target = state.params
    for step in range(1, 5):
        state, _ = update(state, continuous_batches(seed=step))
        target = state.params if period and step % period == 0 else target
        identical(state.target_params, target)
    identical(learner.sync_target(state).target_params, state.params)


def test_act_samples_and_evaluation_takes_the_mean():
    learner = make()
    state, observation = learner.init(KEY), continuous_batches().state[0]
    keys = jax.random.split(KEY, 2_000)
    acting, evaluating = (
        jax.jit(jax.vmap(act, in_axes=(None, None, 0, None)))(state, observation, keys, 0.5)
        for act in (learner.act, learner.act_in_evaluation)
    )
    mean = actor(state.params["network"], observation, KEY)[0]
    assert acting.shape == evaluating.shape == (2_000, *ACTION_SHAPE)
    close(evaluating, np.tile(mean, (2_000, 1)))
    np.testing.assert_allclose(np.mean(acting, axis=0), mean, atol=5 * np.std(acting) / 2_000**0.5)
    assert np.std(acting, axis=0).min() > 0.1


@pytest.mark.slow
def test_learns_the_best_action_of_a_bandit():
    learner = make(optimizer=optax.adam(3e-3), discount=0.0, target_entropy=-4.0)
    data = continuous_batches(1_500)
    data = data._replace(reward=-4 * jnp.sum((data.action - 0.5) ** 2, axis=-1))
    state, _ = jax.lax.scan(learner.update, jax.jit(learner.init)(KEY), data)
    actions = [learner.act_in_evaluation(state, s, KEY, 0.0) for s in data.state[-1]]
    np.testing.assert_allclose(np.mean(actions, axis=0), 0.5, atol=0.15)


def q_values(params, observations, actions):
    return jax.vmap(critic, in_axes=(None, 0, 0))(params["network"], observations, actions)


def mean_actions(params, observations, actions):
    del actions
    return jax.vmap(lambda x: actor(params["network"], x, KEY)[0])(observations)


def test_actor_and_critics_recycle_together_and_the_target_critics_with_them():
    batch, params = continuous_batches(), jax.eval_shape(init_actor_critic, KEY)
    inputs, optimizer = (batch.state, batch.action), optax.adam(1e-3)
    graphs = {
        "actor": dormant.trace(mean_actions, params, *inputs),
        "critic": dormant.trace(q_values, params, *inputs),
    }
    redo = {
        name: dormant.redo(graph, init_actor_critic, optimizer, tau=0.6, period=2)
        for name, graph in graphs.items()
    }
    recycling = dormant.parts.recycling(graphs["critic"], init_actor_critic, optimizer)
    learner = make(
        optimizer=optimizer,
        target_smoothing=None,
        intervention=dormant.combine(**redo),
        target_intervention=mirror_in_target(recycling, "critic"),
    )
    state = first = jax.jit(learner.init)(KEY)
    update = jax.jit(learner.update)
    state, _ = update(state, batch, inputs)
    identical(state.target_params, first.target_params)
    state, _ = update(state, batch, inputs)
    for name in graphs:
        assert state.intervention[name].report.recycled_total > 0
    expected = dormant.recycle(
        graphs["critic"], first.target_params, state.params, state.intervention["critic"].masks
    )
    identical(state.target_params, expected)
    layer, mask = next(iter(state.intervention["critic"].masks.items()))
    assert mask.any() and layer in graphs["critic"].names
    network, before = (s.target_params["network"]["params"] for s in (state, first))
    identical(network["policy"], before["policy"])
    # Without inputs nothing was scored, and the target stays.
    later, _ = update(state, batch)
    identical(later.target_params, state.target_params)


def test_an_action_without_a_counterpart_cannot_be_mirrored():
    batch, params = continuous_batches(), jax.eval_shape(init_actor_critic, KEY)
    graph = dormant.trace(q_values, params, batch.state, batch.action)
    action = dormant.parts.pruning(graph, optax.sgd(0.1))
    with pytest.raises(ValueError, match="^`action` must be one that can be mirrored in a target;"):
        mirror_in_target(action)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"actor": None}, r"`actor` must be a function \(network, observation, key\); got None$"),
        ({"critic": 1}, r"`critic` must be a function \(network, observation, action\); got 1$"),
        ({"init": 1}, r"`init` must be a function; got 1$"),
        ({"discount": 1.1}, r"`discount` must be a number in \[0, 1\]; got 1\.1$"),
        ({"target_entropy": None}, r"`target_entropy` must be a finite number; got None$"),
        ({"reward_scale": float("nan")}, r"`reward_scale` must be a finite number; got nan$"),
        ({"target_smoothing": 2}, r"`target_smoothing` must be a number in \[0, 1\]; got 2$"),
        ({"target_period": 5}, r"`target_period` must be None unless `target_smoothing` .* got 5$"),
        ({"target_smoothing": None, "target_period": 0}, r"`target_period` must be .* got 0$"),
        ({"target_intervention": mirror_in_target}, r"`target_intervention` must be None where "),
    ],
)
def test_option_errors(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize(
    "init, got",
    [
        (lambda key: {"network": jnp.zeros(2)}, r"\['network'\]"),
        (lambda key: jnp.zeros(2), "ArrayImpl"),
    ],
)
def test_parameters_without_the_two_branches(init, got):
    message = rf"`init` must return .* \['log_alpha', 'network'\]; got {got}$"
    with pytest.raises(ValueError, match=message):
        make(init=init).init(KEY)


@pytest.mark.parametrize("field, shape", [("reward", (BATCH, 1)), ("action", (3, 2))])
def test_batches_of_a_wrong_shape(field, shape):
    learner = make()
    batch = continuous_batches()._replace(**{field: np.ones(shape, np.float32)})
    with pytest.raises(ValueError, match=r"`batch` must have reward, terminal of shape \(B,\)"):
        learner.update(learner.init(KEY), batch)


def test_one_observation_has_no_batch_dimension():
    assert make().act(make().init(KEY), OBSERVATION, KEY, 0.0).shape == ACTION_SHAPE

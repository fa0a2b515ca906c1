# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The SAC learner against Dopamine's train and policy on the same batches and keys.
And the graphs of Dopamine's actor and twin critics, recycled in online and target networks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant.agents import dopamine_compat
from dormant.learners import ActorCritic, Batch, Interventions, mirror_in_target, sac

dopamine_compat.install()
from dopamine.jax import continuous_networks  # noqa: E402
from dopamine.jax.agents.dqn import dqn_agent  # noqa: E402
from dopamine.jax.agents.sac import sac_agent  # noqa: E402

ACTION_SHAPE, OBSERVATION, BATCH = (3,), (5, 1), 6
DISCOUNT, TARGET_ENTROPY, REWARD_SCALE = 0.97, -1.5, 0.7
LIMITS = ((-1.0, -2.0, -0.5), (1.0, 2.0, 1.5))
NETWORK = continuous_networks.ActorCriticNetwork(ACTION_SHAPE, 2, 16, LIMITS)
KEY = jax.random.PRNGKey(0)


def actor(network, observation, key):
    return NETWORK.apply(network, observation, key, method=NETWORK.actor)


def critic(network, observation, action):
    return NETWORK.apply(network, observation, action, method=NETWORK.critic)


def init(key):
    network = NETWORK.init(key, jnp.zeros(OBSERVATION), key)
    return {"network": network, "log_alpha": jnp.zeros(1)}


def mean_actions(params, observations, actions):
    """The actor on a batch, as a function to trace: the sampled action is no part of it."""
    del actions
    act = functools.partial(actor, params["network"], key=KEY)
    return jax.vmap(lambda observation: act(observation).mean_action)(observations)


def q_values(params, observations, actions):
    """The twin critics on a batch, as a function to trace."""
    return jax.vmap(critic, in_axes=(None, 0, 0))(params["network"], observations, actions)


def batches(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield Batch(
            state=rng.normal(size=(BATCH, *OBSERVATION)).astype(np.float32),
            action=rng.uniform(-0.5, 0.5, (BATCH, *ACTION_SHAPE)).astype(np.float32),
            reward=(2 * rng.normal(size=BATCH)).astype(np.float32),
            next_state=rng.normal(size=(BATCH, *OBSERVATION)).astype(np.float32),
            terminal=rng.integers(0, 2, BATCH, dtype=np.uint8),
        )


def assert_close(ours, theirs, rtol=1e-4, atol=1e-6):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol, atol), ours, theirs)


@pytest.fixture(scope="module")
def optimizer():
    return dqn_agent.create_optimizer("adam", learning_rate=1e-2)


def make_learner(optimizer, **options):
    defaults = {
        "discount": DISCOUNT, "target_entropy": TARGET_ENTROPY, "reward_scale": REWARD_SCALE
    }  # fmt: skip
    return sac(ActorCritic(init, actor, critic), optimizer, **(defaults | options))


@pytest.mark.parametrize("target", ["soft", "hard"])
def test_three_updates_equal_dopamines(optimizer, target):
    """One Adam over the tree of network and temperature gives the numbers of Dopamine's two."""
    hard = {"target_smoothing": None, "target_period": 2}
    learner = make_learner(optimizer, **(hard if target == "hard" else {}))
    update = jax.jit(learner.update)
    state = jax.jit(learner.init)(KEY)
    network, log_alpha = state.params["network"], state.params["log_alpha"]
    target_network = network
    opt_state, alpha_opt_state = optimizer.init(network), optimizer.init(log_alpha)
    for step, batch in enumerate(batches(3), start=1):
        alpha = jnp.exp(log_alpha)[0]
        state, metrics = update(state, batch)
        theirs = sac_agent.train(
            NETWORK, optimizer, optimizer, opt_state, alpha_opt_state, network, target_network,
            log_alpha, jax.random.fold_in(state.key, step), batch.state, batch.action,
            batch.next_state, batch.reward, batch.terminal, DISCOUNT, TARGET_ENTROPY, REWARD_SCALE,
        )  # fmt: skip
        network, log_alpha = theirs["network_params"], theirs["log_alpha"]
        opt_state, alpha_opt_state = theirs["optimizer_state"], theirs["alpha_optimizer_state"]
        if target == "soft":
            target_network = optax.incremental_update(network, target_network, 0.005)
        elif step == 2:
            target_network = network

        assert_close(state.params, {"network": network, "log_alpha": log_alpha})
        assert_close(state.target_params["network"], target_network)
        critics = [theirs[f"Values/CriticValues{index}"] for index in (1, 2)]
        expected = {
            "critic_loss": theirs["Losses/Critic"],
            "actor_loss": theirs["Losses/Actor"],
            "alpha_loss": theirs["Losses/Alpha"],
            "alpha": alpha,
            "q_mean": sum(critics) / 2,
            "loss": 0.5 * theirs["Losses/Critic"] + theirs["Losses/Actor"] + theirs["Losses/Alpha"],
        }
        assert metrics.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(metrics[name], value, 1e-4, 1e-6, err_msg=name)


@pytest.mark.parametrize("eval_mode", [False, True])
def test_actions_equal_dopamines_for_the_same_keys(optimizer, eval_mode):
    learner = make_learner(optimizer)
    state = jax.jit(learner.init)(KEY)
    act = jax.jit(learner.act_in_evaluation if eval_mode else learner.act)
    key, actions = jax.random.PRNGKey(3), []
    for observation in next(batches(1)).state:
        action = act(state, observation, key, 0.0)
        key, expected = sac_agent.select_action(
            NETWORK, state.params["network"], observation, key, eval_mode
        )
        np.testing.assert_allclose(action, expected, rtol=1e-5, atol=1e-6)
        actions.append(action)
    assert np.std(actions, axis=0).min() > 1e-3


@pytest.fixture(scope="module")
def graphs():
    params = jax.eval_shape(init, KEY)
    batch = next(batches(1))
    return {
        "actor": dormant.trace(mean_actions, params, batch.state, batch.action),
        "critic": dormant.trace(q_values, params, batch.state, batch.action),
    }


def test_graphs_of_actor_and_twin_critics(graphs):
    """Parameters that a graph's function does not use are no obstacle."""
    prefix = "network/params"
    assert graphs["actor"].names == tuple(f"{prefix}/_actor/Dense_{i}" for i in (0, 1))
    assert graphs["critic"].names == tuple(
        f"{prefix}/_critic{twin}/Dense_{i}" for twin in (1, 2) for i in (0, 1)
    )
    layers = [layer for graph in graphs.values() for layer in graph.layers]
    assert all(layer.recyclable and layer.neurons == 16 for layer in layers)


@pytest.fixture(scope="module")
def params():
    return jax.jit(init)(KEY)


def silence(params, network, neuron):
    """Makes one neuron of a network's first layer dormant on every input."""
    branch = params["network"]["params"]
    layer = branch[network]["Dense_0"]
    layer = layer | {"bias": layer["bias"].at[neuron].set(-100.0)}
    branch = branch | {network: branch[network] | {"Dense_0": layer}}
    return params | {"network": {"params": branch}}


@pytest.mark.parametrize("name, network", [("actor", "_actor"), ("critic", "_critic2")])
def test_recycling_at_tau_0_changes_no_output(graphs, params, optimizer, name, network):
    batch = next(batches(1))
    inputs = (batch.state, batch.action)
    params = silence(params, network, 3)
    redo = dormant.redo(graphs[name], init, optimizer, tau=0.0, period=1)
    opt_state = optimizer.init(params)
    new, _, state = jax.jit(redo.update)(params, opt_state, redo.init(KEY), *inputs)
    assert int(state.report.recycled_total) >= 1
    layer = new["network"]["params"][network]["Dense_0"]
    assert layer["bias"][3] == 0
    for outputs in map(jax.jit, (mean_actions, q_values)):
        before, after = outputs(params, *inputs), outputs(new, *inputs)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6), before, after)


def test_target_critics_are_recycled_with_the_same_masks_and_fresh_values(graphs, optimizer):
    redo = dormant.redo(graphs["critic"], init, optimizer, tau=0.0, period=2)
    learner = make_learner(
        optimizer,
        target_smoothing=None,
        interventions=Interventions(
            intervention=redo,
            target_intervention=mirror_in_target(
                dormant.parts.recycling(graphs["critic"], init, optimizer)
            ),
        ),
    )
    update = jax.jit(learner.update)
    state = jax.jit(learner.init)(KEY)
    silent = silence(state.params, "_critic1", 3)
    state = state._replace(params=silent)
    before = state.target_params["network"]["params"]
    for step, batch in enumerate(batches(3), start=1):
        state, _ = update(state, batch, (batch.state, batch.action))
        target = state.target_params["network"]["params"]
        if step == 1:
            assert_close(target, before, 0, 0)
        if step == 2:
            online = state.params["network"]["params"]["_critic1"]["Dense_0"]["kernel"]
            first, second = (target["_critic1"][f"Dense_{index}"]["kernel"] for index in (0, 1))
            first_before = before["_critic1"]["Dense_0"]["kernel"]
            np.testing.assert_array_equal(first[:, 3], online[:, 3])
            assert before["_critic1"]["Dense_1"]["kernel"][3].any() and not second[3].any()
            (changed,) = np.nonzero((first != first_before).any(axis=0))
            mask = state.intervention.masks["network/params/_critic1/Dense_0"]
            np.testing.assert_array_equal(changed, np.flatnonzero(mask))
            assert_close(target["_actor"], before["_actor"], 0, 0)
            recycled = target
    # Nothing was due at the third update.
    assert_close(target, recycled, 0, 0)

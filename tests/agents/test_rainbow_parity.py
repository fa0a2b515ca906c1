# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The Rainbow learner against Dopamine's train functions on the same batches and keys.
C51, full Rainbow (noisy, dueling, Double, distributional), DrQ, and the policies of the agents."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dormant.agents import dopamine_compat
from dormant.learners import (
    RainbowOptions,
    WeightedBatch,
    keyed_epsilon_greedy,
    project_distribution,
    rainbow,
    step_learner,
)

dopamine_compat.install()
from dopamine.jax import networks  # noqa: E402
from dopamine.jax.agents.dqn import dqn_agent  # noqa: E402
from dopamine.jax.agents.full_rainbow import full_rainbow_agent  # noqa: E402
from dopamine.jax.agents.rainbow import rainbow_agent  # noqa: E402
from dopamine.labs.atari_100k import atari_100k_rainbow_agent  # noqa: E402

ACTIONS, ATOMS, BATCH = 4, 11, 6
# Small images keep Dopamine's networks, whose widths are fixed, quick.
IMAGE = (12, 12, 2)
SUPPORT = jnp.linspace(-3.0, 3.0, ATOMS)
DISCOUNT = 0.99**3
KEY = jax.random.PRNGKey(0)


def batches(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield WeightedBatch(
            state=rng.integers(0, 256, (BATCH, *IMAGE), dtype=np.uint8),
            action=rng.integers(0, ACTIONS, BATCH, dtype=np.int32),
            reward=(2 * rng.normal(size=BATCH)).astype(np.float32),
            next_state=rng.integers(0, 256, (BATCH, *IMAGE), dtype=np.uint8),
            terminal=rng.integers(0, 2, BATCH, dtype=np.uint8),
            weight=rng.uniform(0.1, 1, BATCH).astype(np.float32),
        )


def assert_close(ours, theirs, rtol=1e-4, atol=1e-6):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol, atol), ours, theirs)


@pytest.fixture(scope="module")
def optimizer():
    return dqn_agent.create_optimizer("adam", learning_rate=1e-3)


def full_network(**options):
    return networks.FullRainbowNetwork(ACTIONS, **({"num_atoms": ATOMS} | options))


def outputs(network, field, **options):
    """`apply` as the learner wants it, and the network's initializer."""

    def apply(params, observation, key):
        found = network.apply(params, observation, support=SUPPORT, key=key, **options)
        return getattr(found, field)

    def init(key):
        return network.init(key, jnp.zeros(IMAGE, jnp.uint8), support=SUPPORT, key=key)

    return apply, init


def full_train(network, optimizer, batch, online, target, opt_state, key, *, mse=False, **kind):
    """One update of Dopamine's full Rainbow agent: its parameters, state and losses."""
    opt_state, online, losses, mean_loss, _ = full_rainbow_agent.train(
        network, online, target, optimizer, opt_state,
        batch.state, batch.action, batch.next_state, batch.reward, batch.terminal, batch.weight,
        SUPPORT, DISCOUNT, kind["double_dqn"], kind["distributional"], mse, key,
    )  # fmt: skip
    return online, opt_state, losses, mean_loss


def check_three_updates(learner, train):
    """Three updates on the same batches and keys, with a sync of the target after the first."""
    update = jax.jit(learner.update)
    state = jax.jit(learner.init)(KEY)
    online, target, opt_state = state.params, state.target_params, state.opt_state
    for step, batch in enumerate(batches(3), start=1):
        state, metrics = update(state, batch)
        key = jax.random.fold_in(state.key, step)
        online, opt_state, losses, mean_loss = train(batch, online, target, opt_state, key)
        np.testing.assert_allclose(metrics["loss"], mean_loss, rtol=1e-5)
        np.testing.assert_allclose(metrics["sample_loss"], losses, rtol=1e-4)
        assert_close(state.params, online)
        assert_close(state.opt_state, opt_state)
        if step == 1:
            state, target = learner.sync_target(state), online


def test_c51_updates_equal_dopamines(optimizer):
    network = networks.RainbowNetwork(ACTIONS, ATOMS)

    def train(batch, online, target, opt_state, key):
        opt_state, online, losses, mean_loss = rainbow_agent.train(
            network, online, target, optimizer, opt_state,
            batch.state, batch.action, batch.next_state, batch.reward, batch.terminal,
            batch.weight, SUPPORT, DISCOUNT,
        )  # fmt: skip
        return online, opt_state, losses, mean_loss

    learner = rainbow(
        lambda params, observation, key: network.apply(params, observation, SUPPORT).logits,
        lambda key: network.init(key, jnp.zeros(IMAGE, jnp.uint8), SUPPORT),
        optimizer,
        discount=DISCOUNT,
        options=RainbowOptions(support=SUPPORT),
    )
    check_three_updates(learner, train)


@pytest.mark.parametrize(
    "double",
    [True, pytest.param(False, marks=pytest.mark.slow)],
    ids=["double", "single"],
)
def test_full_rainbow_updates_equal_dopamines(optimizer, double):
    network = full_network(noisy=True, dueling=True, distributional=True)
    apply, init = outputs(network, "logits")
    options = RainbowOptions(support=SUPPORT, double=double)
    learner = rainbow(apply, init, optimizer, discount=DISCOUNT, options=options)

    def train(*arguments):
        return full_train(
            network, optimizer, *arguments, double_dqn=double, distributional=True
        )  # fmt: skip

    check_three_updates(learner, train)


@pytest.mark.parametrize("loss", ["huber", pytest.param("mse", marks=pytest.mark.slow)])
def test_drq_updates_equal_dopamines(optimizer, loss):
    """Double, dueling, Q-values; augmented as the Atari 100k agent does before `train`."""
    network = full_network(noisy=False, dueling=True, distributional=False, num_atoms=ATOMS)
    apply, init = outputs(network, "q_values")
    preprocessed = network.clone(inputs_preprocessed=True)
    augmentation = atari_100k_rainbow_agent.drq_image_augmentation
    preprocess = functools.partial(
        atari_100k_rainbow_agent.preprocess_inputs_with_augmentation, data_augmentation=True
    )

    def train(batch, online, target, opt_state, key):
        key, state_key, next_state_key = jax.random.split(key, 3)
        batch = batch._replace(
            state=preprocess(batch.state, rng=state_key),
            next_state=preprocess(batch.next_state, rng=next_state_key),
        )
        return full_train(
            preprocessed, optimizer, batch, online, target, opt_state, key,
            double_dqn=True, distributional=False, mse=loss == "mse",
        )  # fmt: skip

    learner = rainbow(
        apply,
        init,
        optimizer,
        discount=DISCOUNT,
        options=RainbowOptions(
            double=True, loss=loss, augment=lambda states, key: augmentation(key, states)
        ),
    )
    check_three_updates(learner, train)


@pytest.mark.slow
def test_dopamines_train_wrapped_as_a_step_equals_the_learner(optimizer):
    """How an algorithm that Dopamine has is wrapped: its jitted train inside of ours."""
    network = full_network(noisy=True, dueling=True, distributional=True)
    apply, init = outputs(network, "logits")
    kind = {"double_dqn": True, "distributional": True}

    def step(params, target_params, opt_state, batch, key):
        params, opt_state, losses, mean_loss = full_train(
            network, optimizer, batch, params, target_params, opt_state, key, **kind
        )
        return params, opt_state, {"loss": mean_loss, "sample_loss": losses}

    wrapped = step_learner(init, optimizer, step=step, policy=keyed_epsilon_greedy(apply))
    options = RainbowOptions(support=SUPPORT, double=True)
    learner = rainbow(apply, init, optimizer, discount=DISCOUNT, options=options)
    states = [jax.jit(learner.init)(KEY), jax.jit(wrapped.init)(KEY)]
    for batch in batches(2):
        states[0], ours = jax.jit(learner.update)(states[0], batch)
        states[1], theirs = jax.jit(wrapped.update)(states[1], batch)
        np.testing.assert_allclose(ours["sample_loss"], theirs["sample_loss"], rtol=1e-4)
    assert_close(*states)


@pytest.mark.parametrize("eval_mode", [False, True])
def test_actions_equal_dopamines_for_the_same_keys(eval_mode):
    """Noisy in training, without noise in evaluation, epsilon-greedy in both."""
    network = full_network()
    apply, init = outputs(network, "logits")
    evaluation_apply, _ = outputs(network, "logits", eval_mode=True)
    learner = rainbow(
        apply, init, optax.sgd(0.1), discount=DISCOUNT, options=RainbowOptions(support=SUPPORT),
        evaluation_apply=evaluation_apply,
    )  # fmt: skip
    state = jax.jit(learner.init)(KEY)
    act = jax.jit(learner.act_in_evaluation if eval_mode else learner.act)
    observation = next(batches(1)).state[0]
    key, actions = jax.random.PRNGKey(3), []
    for _ in range(60):
        action = act(state, observation, key, 0.3)
        key, expected = full_rainbow_agent.select_action(
            network, state.params, observation, key, ACTIONS, eval_mode,
            0.3, 0.3, 1.0, 10**6, 0.0, dqn_agent.identity_epsilon, SUPPORT,
        )  # fmt: skip
        assert action == expected
        actions.append(int(action))
    assert len(set(actions)) > 1


def test_projection_equals_dopamines():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = rng.normal(scale=3, size=ATOMS).astype(np.float32)
        probabilities = rng.dirichlet(np.ones(ATOMS)).astype(np.float32)
        found = project_distribution(values, probabilities, SUPPORT)
        expected = rainbow_agent.project_distribution(values, probabilities, SUPPORT)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)

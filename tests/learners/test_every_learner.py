# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What every learner promises: jit without recompiling, scan, vmap over seeds, donated states,
tracking that changes nothing, and the same numbers for the same key."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant.learners import ActorCritic, Interventions, Learner, RainbowOptions, dqn, rainbow, sac
from tests.learners.comparing import close, identical
from tests.learners.small_networks import (
    MLP,
    OBSERVATION,
    SUPPORT,
    NoisyMLP,
    actor,
    continuous_batches,
    critic,
    discrete_batches,
    init_actor_critic,
    weighted_batches,
)

KEY = jax.random.key(0)


def init_mlp(key):
    return MLP().init(key, OBSERVATION)


def keyed_mlp(params, observation, key):
    del key
    return MLP().apply(params, observation)


def jitter(states, key):
    return states + 0.1 * jax.random.normal(key, states.shape)


def make_dqn(**options):
    options = {"target_period": 3} | options
    return dqn(MLP().apply, init_mlp, optax.adam(1e-2), discount=0.9, **options)


def make_full_rainbow(**options):
    return rainbow(
        NoisyMLP().apply,
        lambda key: NoisyMLP().init(key, OBSERVATION, key),
        optax.adam(1e-2),
        discount=0.9,
        options=RainbowOptions(support=SUPPORT, double=True),
        evaluation_apply=NoisyMLP(noisy=False).apply,
        **({"target_period": 3} | options),
    )


def make_drq(**options):
    return rainbow(
        keyed_mlp, init_mlp, optax.adam(1e-2), discount=0.9,
        options=RainbowOptions(double=True, augment=jitter), **options,
    )  # fmt: skip


def make_sac(**options):
    return sac(
        ActorCritic(init_actor_critic, actor, critic), optax.adam(1e-2),
        discount=0.9, target_entropy=-1.0, **options,
    )  # fmt: skip


FAMILIES = {
    "dqn": (make_dqn, discrete_batches),
    "full_rainbow": (make_full_rainbow, weighted_batches),
    "drq": (make_drq, weighted_batches),
    "sac": (make_sac, continuous_batches),
}


class Family(NamedTuple):
    """A learner with its batches, and its functions compiled once for all tests."""

    make: Callable
    batches: Callable
    learner: Learner
    init: Callable
    update: Callable


@pytest.fixture(params=FAMILIES, scope="module")
def family(request):
    make, batches = FAMILIES[request.param]
    learner = make()
    return Family(make, batches, learner, jax.jit(learner.init), jax.jit(learner.update))


def at(batches, *index):
    return jax.tree.map(lambda x: x[index], batches)


@pytest.mark.slow
def test_three_seeds_in_one_vmap_equal_three_runs(family):
    seeds, steps = 3, 4
    keys, data = jax.random.split(KEY, seeds), family.batches(steps, seeds)
    update = jax.jit(jax.vmap(family.learner.update))
    together = jax.jit(jax.vmap(family.learner.init))(keys)
    for step in range(steps):
        together, metrics = update(together, at(data, step))
    assert metrics["loss"].shape == (seeds,)
    for seed in range(seeds):
        state = family.init(keys[seed])
        for step in range(steps):
            state, single = family.update(state, at(data, step, seed))
        close(at((together, metrics), seed), (state, single), rtol=1e-4)


def test_scan_equals_a_loop(family):
    data, state = family.batches(7), family.init(KEY)
    scanned, all_metrics = jax.lax.scan(family.learner.update, state, data)
    for step in range(7):
        state, metrics = family.update(state, at(data, step))
        close(at(all_metrics, step), metrics, rtol=1e-4)
    close(scanned, state, rtol=1e-4)


def test_second_call_compiles_nothing(family):
    learner = family.make()
    functions = [jax.jit(f) for f in (learner.update, learner.act, learner.act_in_evaluation)]
    update, act, act_in_evaluation = functions
    state = family.init(KEY)
    for step in range(3):
        state, _ = update(state, family.batches(seed=step))
        for acting in (act, act_in_evaluation):
            acting(state, OBSERVATION, jax.random.key(step), 0.1 * step)
    assert [function._cache_size() for function in functions] == [1, 1, 1]


def test_donated_states(family):
    donating = jax.jit(family.learner.update, donate_argnums=0)
    state, kept = (family.init(KEY) for _ in range(2))
    for step in range(4):
        given = state
        state, _ = donating(given, family.batches(seed=step))
        kept, _ = family.update(kept, family.batches(seed=step))
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given.params))
    close(state, kept)


def test_a_run_repeats_under_its_key_and_differs_under_another(family):
    def final(seed):
        state = family.init(jax.random.key(seed))
        for step in range(2):
            state, _ = family.update(state, family.batches(seed=step))
        return state

    identical(final(0), final(0))
    leaves = [jax.tree.leaves(final(seed).target_params) for seed in (0, 1)]
    assert not all(np.array_equal(a, b) for a, b in zip(*leaves, strict=True))


def tracked_function(make):
    """A function to trace and the inputs to score on, of the family's network."""
    if make is make_sac:

        def mean_actions(params, observations):
            act = jax.vmap(lambda observation: actor(params["network"], observation, KEY)[0])
            return act(observations)

        return mean_actions
    if make is make_full_rainbow:
        return jax.vmap(lambda params, x: NoisyMLP(noisy=False).apply(params, x, KEY), (None, 0))
    return MLP().apply


def test_a_tracked_run_is_bit_equal_to_a_plain_one(family):
    inputs = (family.batches().state,)
    state = plain = family.init(KEY)
    graph = dormant.trace(tracked_function(family.make), plain.params, *inputs)
    tracker = dormant.track(graph, period=1)
    step_plain, after_plain = jax.jit(family.learner.step), jax.jit(family.learner.after_step)
    learner = family.make(interventions=Interventions(tracker))
    step, after_step = jax.jit(learner.step), jax.jit(learner.after_step)
    state = state._replace(tracker=tracker.init(KEY))
    for seed in range(3):
        batch = family.batches(seed=seed)
        state = after_step(step(state, batch)[0], batch, inputs)
        plain = after_plain(step_plain(plain, batch)[0], None)
    assert state.tracker.report.step == 3
    assert np.isfinite(state.tracker.report.network.gradient_norm_total)
    identical(state._replace(tracker=()), plain)


def test_metrics_are_float32_and_learning_lowers_the_loss_of_a_fixed_batch(family):
    batch = family.batches()
    # Every transition is an episode's last: the targets are the rewards and stay where they are.
    batch = batch._replace(terminal=jnp.ones_like(batch.terminal), reward=jnp.tanh(batch.reward))
    name = "critic_loss" if family.make is make_sac else "loss"
    state, metrics = jax.lax.scan(
        lambda state, _: family.learner.update(state, batch), family.init(KEY), length=300
    )
    assert all(values.dtype == jnp.float32 for values in metrics.values())
    assert np.all(np.isfinite(metrics[name]))
    assert np.mean(metrics[name][-20:]) < 0.9 * np.mean(metrics[name][:20])

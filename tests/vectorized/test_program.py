# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Whole runs: what they count, record and learn, and that seeds do not notice each other."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant.learners import RainbowOptions, rainbow
from dormant.vectorized import RunState, make_program, take_seed
from tests.learners.comparing import close, identical
from tests.vectorized.small_environments import (
    BLANK,
    CUT_OFF_AFTER,
    NETWORK,
    SETTINGS,
    TERMINAL_AFTER,
    clock,
    graph,
    init,
    keys,
    learner_factory,
    program,
    run,
)

ROUNDS, SEEDS = 6, 3
UPDATES = ROUNDS * SETTINGS.updates_per_burst
# Compiled once with both of them, the program serves nearly every test of this file.
USUAL = {"rate": jnp.array([1e-2] * SEEDS), "tau": jnp.array([0.1] * SEEDS)}


@pytest.fixture(scope="module")
def redo_program():
    return program(learner_factory(track=4, redo=3))


@pytest.fixture(scope="module")
def three(redo_program):
    return run(redo_program, keys(SEEDS), ROUNDS, USUAL)


def test_what_a_run_counts(three):
    state, filled, progress = three
    assert state.agent_step == (SETTINGS.warm_up_rounds + ROUNDS) * SETTINGS.update_period
    assert state.learner.gradient_step == state.learner.tracker.step == UPDATES
    assert state.learner.intervention.report.step == UPDATES
    assert filled.episode_return.shape == (SEEDS, SETTINGS.warm_up_rounds, SETTINGS.update_period)
    assert progress.episode_return.shape == (SEEDS, ROUNDS, SETTINGS.update_period)
    assert progress.episode_length.dtype == jnp.int32
    assert set(progress.metrics) == set(filled.metrics) == {"loss", "q_mean"}
    assert (progress.metrics["loss"] > 0).all() and not any(filled.metrics["loss"])
    np.testing.assert_array_equal(progress.finiteness.step, [-1] * SEEDS)


def test_episodes_are_reported_where_they_end(three):
    _, filled, progress = three
    returns, lengths = (
        # (seeds, steps of each environment, environments)
        np.concatenate(both, 1).reshape(SEEDS, -1, SETTINGS.num_environments)
        for both in (
            (filled.episode_return, progress.episode_return),
            (filled.episode_length, progress.episode_length),
        )
    )
    for seed in range(SEEDS):
        for environment in range(SETTINGS.num_environments):
            length = lengths[seed, :, environment]
            ends = np.flatnonzero(length)
            assert set(length[ends]) == {TERMINAL_AFTER, CUT_OFF_AFTER}
            np.testing.assert_array_equal(np.diff(ends, prepend=-1), length[ends])
            values = returns[seed, :, environment]
            np.testing.assert_array_equal(np.isfinite(values), length > 0)
            # A hundredth per step, and the actions, which are 0, 1 or 2.
            actions = values[ends] - 0.01 * length[ends]
            np.testing.assert_allclose(actions, np.round(actions), atol=1e-4)
            assert (np.round(actions) <= 2 * length[ends]).all()


def test_replay_holds_what_happened(three):
    state = three[0]
    weights = 2 ** np.arange(8)
    observation, following = (
        np.unpackbits(np.asarray(stored), axis=-1) @ weights
        for stored in (state.replay.observation, state.replay.next_observation)
    )
    written = int(state.agent_step)
    assert written < SETTINGS.replay_capacity
    assert not observation[:, written:].any()
    time, next_time = observation[:, :written] % 16, following[:, :written] % 16
    np.testing.assert_array_equal(next_time, time + 1)
    terminal, truncated = (
        np.asarray(flags[:, :written]) for flags in (state.replay.terminal, state.replay.truncated)
    )
    is_odd = observation[:, :written] // 16 % 2 == 1
    np.testing.assert_array_equal(terminal, ~is_odd & (next_time == TERMINAL_AFTER))
    np.testing.assert_array_equal(truncated, is_odd & (next_time == CUT_OFF_AFTER))


def test_a_seed_does_not_notice_those_beside_it(redo_program, three):
    others = jnp.concatenate([keys(1), keys(2, seed=5)])
    tau = USUAL["tau"].at[1:].set(1.0)
    beside_others = run(redo_program, others, ROUNDS, {**USUAL, "tau": tau})
    identical(*(take_seed(result[0].learner, 0) for result in (three, beside_others)))
    identical(*(result[2].episode_return[0] for result in (three, beside_others)))
    recycled = [
        result[0].learner.intervention.report.recycled_total for result in (three, beside_others)
    ]
    assert recycled[1][1] > recycled[0][1]


@pytest.mark.slow
def test_a_seed_alone_does_the_same(redo_program, three):
    for seed in range(SEEDS):
        only = slice(seed, seed + 1)
        options = {name: values[only] for name, values in USUAL.items()}
        alone, filled, progress = run(redo_program, keys(SEEDS)[only], ROUNDS, options)
        # Products of other shapes are rounded otherwise.
        close(take_seed(alone.learner, 0), take_seed(three[0].learner, seed), rtol=1e-4)
        identical(filled.episode_return[0], three[1].episode_return[seed])
        identical(progress.episode_return[0], three[2].episode_return[seed])


@pytest.mark.slow
def test_one_call_or_several(redo_program, three):
    state, _ = redo_program.fill(redo_program.init(keys(SEEDS), USUAL))
    parts = []
    for _ in range(3):
        state, progress = redo_program.advance(state, ROUNDS // 3)
        parts.append(progress.episode_return)
    close(state, three[0], rtol=1e-5)
    identical(jnp.concatenate(parts, axis=1), three[2].episode_return)


def test_a_second_call_compiles_nothing_and_donates(redo_program, three):
    compiled = redo_program.advance._cache_size()
    # Of the same values with another history: JAX takes these for Python numbers' weak types.
    weak = {name: jnp.full(SEEDS, 0.1) for name in USUAL}
    given = redo_program.init(keys(SEEDS), weak)
    state, _ = redo_program.advance(given, ROUNDS)
    redo_program.advance(state, ROUNDS)
    assert redo_program.advance._cache_size() == compiled
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((given.replay, given.learner.params)))
    assert not any(leaf.is_deleted() for leaf in weak.values())


@pytest.mark.slow
def test_tracking_changes_nothing(three):
    plain = run(program(learner_factory(redo=3)), keys(SEEDS), ROUNDS, USUAL)
    close(plain[0].learner.params, three[0].learner.params, rtol=1e-4)
    close(plain[0].learner.intervention, three[0].learner.intervention, rtol=1e-4)
    identical(plain[2].episode_return, three[2].episode_return)


@pytest.mark.slow
def test_what_is_not_due_is_left_out_without_a_difference(three):
    skipping = program(
        learner_factory(track=4, redo=3), is_due=lambda step: (step % 3 == 0) | (step % 4 == 0)
    )
    state, _, progress = run(skipping, keys(SEEDS), ROUNDS, USUAL)
    close(state.learner, three[0].learner, rtol=1e-4)
    identical(progress.episode_return, three[2].episode_return)


@pytest.mark.slow
def test_learning_rates_and_taus_side_by_side(redo_program):
    rates, taus = [1e-2, 1e-3, 1e-2], [0.1, 0.1, 1.0]
    same_key = jnp.stack([keys(1)[0]] * 3)
    hyperparameters = {"rate": jnp.array(rates), "tau": jnp.array(taus)}
    together = run(redo_program, same_key, ROUNDS, hyperparameters)[0].learner
    for index in (1, 2):

        def make_learner(hyperparameters, rate=rates[index], tau=taus[index]):
            return learner_factory(track=4, redo=3, rate=rate, tau=tau)(hyperparameters)

        alone = run(program(make_learner), same_key[:1], ROUNDS)[0].learner
        close(take_seed(together, index).params, take_seed(alone, 0).params, rtol=1e-4)


def test_what_is_not_finite_is_reported_with_its_step(redo_program):
    rates = {**USUAL, "rate": jnp.array([1e-2, jnp.inf, 1e-2])}
    state, _, progress = run(redo_program, keys(SEEDS), ROUNDS, rates)
    # The first step's loss is finite, its parameters are not.
    np.testing.assert_array_equal(progress.finiteness.step, [-1, 1, -1])
    where = np.asarray(progress.finiteness.where)
    assert not where[:, 0].any() and where[1].any() and not where[[0, 2]].any()
    _, progress = redo_program.advance(state, ROUNDS)
    np.testing.assert_array_equal(progress.finiteness.step, [-1, 1, -1])
    np.testing.assert_array_equal(progress.finiteness.where, where)


def test_actions_are_random_in_the_warm_up_and_mostly_greedy_after_the_decay(redo_program):
    # A learning rate and a tau of 0: the policy stays what it was.
    zeros = {name: jnp.zeros(SEEDS) for name in USUAL}
    state, _ = redo_program.fill(redo_program.init(keys(SEEDS), zeros))
    assert_actions_are_spread(state.replay.action[:, : state.agent_step])
    for _ in range(6):
        state, _ = redo_program.advance(state, ROUNDS)
    is_greedy = []
    for seed in range(SEEDS):
        bits = np.unpackbits(np.asarray(state.replay.observation[seed]), axis=-1)
        params = take_seed(state.learner, seed).params
        q_values = NETWORK.apply(params, jnp.asarray(bits, jnp.float32))
        is_greedy.append(np.argmax(q_values, axis=-1) == state.replay.action[seed])
    # All of them but a random one in ten, of which a third is greedy by chance.
    assert 0.88 < np.mean(is_greedy) < 0.98


def assert_actions_are_spread(actions):
    counts = np.bincount(np.ravel(actions), minlength=3)
    assert counts.min() > 0.2 * counts.sum()


def test_it_learns_which_action_pays(redo_program):
    state, _, _ = run(redo_program, keys(SEEDS), ROUNDS, {**USUAL, "rate": jnp.full(SEEDS, 3e-3)})
    for _ in range(40):
        state, progress = redo_program.advance(state, ROUNDS)
    late = np.asarray(progress.episode_return / progress.episode_length)
    # At most 2.01 a step; random actions give 1.01, epsilon 0.1 leaves 1.91.
    assert np.nanmean(late) > 1.7


def test_learners_of_weighted_batches_fit_too():
    def make_learner(hyperparameters):
        del hyperparameters
        return rainbow(
            lambda params, x, key: NETWORK.apply(params, x),
            init,
            optax.adam(1e-3),
            discount=SETTINGS.discount,
            options=RainbowOptions(double=True),
            target_period=5,
        )

    of = program(make_learner)
    state = jax.eval_shape(of.init, keys(2))
    _, progress = jax.eval_shape(lambda state: of.advance(state, 1), state)
    # Its losses of single transitions are no metrics.
    assert {name: value.shape for name, value in progress.metrics.items()} == {
        "loss": (2,),
        "q_mean": (2,),
    }


def primitives(jaxpr, inside_cond=False):
    """(name, whether it stands in a branch) of every equation, those of inner programs too."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name, inside_cond
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from primitives(inner, inside_cond or equation.primitive.name == "cond")


def test_under_vmap_scoring_stays_in_a_branch(redo_program):
    state = jax.eval_shape(redo_program.init, keys(SEEDS))
    found = set(primitives(jax.make_jaxpr(redo_program.advance, static_argnums=1)(state, 2).jaxpr))
    assert ("cond", False) in found
    # The tracker's effective rank is the only singular value decomposition of the program.
    assert ("svd", True) in found and ("svd", False) not in found


def test_a_counter_with_a_seed_axis_would_lose_the_branch():
    tracker = dormant.track(graph())
    states = jax.eval_shape(jax.vmap(tracker.init), keys(2))
    params = jax.eval_shape(jax.vmap(init), keys(2))
    update = jax.vmap(lambda params, state: tracker.update(params, (), state, BLANK[None])[2])
    assert ("svd", False) in set(primitives(jax.make_jaxpr(update)(params, states).jaxpr))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((jax.random.key(0),), r"`keys` must be an array \(S,\) of keys"),
        ((jnp.zeros((2, 2), jnp.uint32),), r"`keys` must be an array \(S,\) of keys"),
        ((keys(2), {"tau": jnp.zeros(3)}), r"`hyperparameters\['tau'\]` must have .*\(2,\); got"),
    ],
)
def test_wrong_keys_and_hyperparameters_are_named(redo_program, arguments, message):
    with pytest.raises(ValueError, match=message):
        redo_program.init(*arguments)


@pytest.mark.parametrize("rounds", [0, True, 1.5])
def test_wrong_rounds_are_named(redo_program, rounds):
    state = jax.eval_shape(redo_program.init, keys(1))
    with pytest.raises(ValueError, match="`rounds` must be a whole number >= 1; got"):
        redo_program.advance(state, rounds)


def test_wrong_arguments_of_make_program_are_named():
    with pytest.raises(ValueError, match="`make_learner` must be a function"):
        make_program(clock(), None, SETTINGS)
    with pytest.raises(ValueError, match="`environment` must be an `Environment`; got None"):
        make_program(None, learner_factory(), SETTINGS)
    with pytest.raises(ValueError, match="`settings` must be a `Settings`; got None"):
        make_program(clock(), learner_factory(), None)


def test_the_state_is_a_tree_of_arrays(three):
    assert isinstance(three[0], RunState)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(three[0]))


def test_greedy_episodes_are_the_first_of_each_environment(redo_program, three):
    state = three[0]
    returns, lengths = redo_program.evaluate(state, 8)
    assert returns.shape == lengths.shape == (SEEDS, 8)
    for seed in range(SEEDS):
        params = jax.tree.map(lambda leaf, at=seed: leaf[at], state.learner.params)
        for first, length in ((0, TERMINAL_AFTER), (1, CUT_OFF_AFTER)):
            codes = first * 16 + jnp.arange(length)[:, None]
            seen = ((codes >> jnp.arange(8)) & 1).astype(jnp.float32)
            best = NETWORK.apply(params, seen).argmax(axis=1).sum() + 0.01 * length
            played = lengths[seed] == length
            assert played.any()
            np.testing.assert_allclose(returns[seed][played], best, rtol=1e-5)
    identical(redo_program.evaluate(state, 8), (returns, lengths))
    with pytest.raises(ValueError, match="`episodes` must be a whole number >= 1; got 0"):
        redo_program.evaluate(state, 0)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Environments after one another: what each sees, where it is cut off, and that it begins anew."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant.vectorized import gymnax_environment, minatar_sequence, sequence_of
from tests.vectorized.small_environments import CUT_OFF_AFTER, TERMINAL_AFTER, clock

STEPS = 11


def narrow_clock():
    """The same with its first six bits alone, and two actions."""
    whole = clock()

    def step(state, action, key):
        after = whole.step(state, action, key)
        return after._replace(
            observation=after.observation[:6], final_observation=after.final_observation[:6]
        )

    def reset(key):
        state, observation = whole.reset(key)
        return state, observation[:6]

    return whole._replace(
        name="narrow", reset=reset, step=step, num_actions=2, observation_shape=(6,)
    )


@pytest.fixture(scope="module")
def played():
    """Two environments, two and a half turns of each, always the last action."""
    environment = sequence_of([clock(), narrow_clock()], STEPS, "both")
    state, first = environment.reset(jax.random.key(0))

    def one(state, key):
        after = environment.step(state, jnp.int32(2), key)
        return after.state, after._replace(state=())

    keys = jax.random.split(jax.random.key(1), 5 * STEPS)
    return environment, first, jax.jit(lambda: jax.lax.scan(one, state, keys)[1])()


def test_it_is_as_large_as_the_largest(played):
    environment, first, after = played
    assert (environment.name, environment.num_actions) == ("both", 3)
    assert environment.observation_shape == first.shape == (8,)
    narrow = after.observation[STEPS - 1 : 2 * STEPS - 1]
    assert not narrow[:, 6:].any() and narrow.any()


def test_an_action_that_an_environment_lacks_is_its_first(played):
    actions = np.round(played[2].reward - 0.01).reshape(5, STEPS)
    np.testing.assert_array_equal(actions, [[2] * STEPS, [0] * STEPS] * 2 + [[2] * STEPS])


def test_its_episodes_are_cut_off_where_its_turn_is_over(played):
    _, first, after = played
    ended = np.flatnonzero(after.terminal | after.truncated)
    starts = np.concatenate([[0], ended[:-1] + 1])
    lengths = ended - starts + 1
    over = (ended + 1) % STEPS == 0
    assert over.sum() == 5 and after.truncated[ended[over]].all()
    assert set(lengths[~over]) <= {TERMINAL_AFTER, CUT_OFF_AFTER}
    # What the cut-off step led to is the environment's own, what comes next is the other's.
    turns = np.arange(STEPS - 1, 5 * STEPS, STEPS)
    assert not after.final_observation[turns[1::2], 6:].any()
    np.testing.assert_array_equal(after.observation[turns[1::2]], np.broadcast_to(first, (2, 8)))
    # Its time goes on from 0, and so all turns of one environment are alike.
    observations = np.asarray(after.final_observation).reshape(5, STEPS, 8)
    np.testing.assert_array_equal(observations[0], observations[2])
    np.testing.assert_array_equal(observations[1], observations[3])


def test_minatars_games_after_one_another():
    environment = minatar_sequence("Breakout-SpaceInvaders-MinAtar", 4)
    assert (environment.num_actions, environment.observation_shape) == (4, (10, 10, 6))
    assert environment.storage_dtype == jnp.dtype(bool)
    key = jax.random.key(0)
    state, observation = environment.reset(key)
    _, alone = gymnax_environment("Breakout-MinAtar").reset(jax.random.split(key, 2)[0])
    np.testing.assert_array_equal(observation[..., :4], alone)
    step = jax.jit(environment.step)
    for _ in range(4):
        after = step(state, jnp.int32(0), key)
        state = after.state
    _, alone = gymnax_environment("SpaceInvaders-MinAtar").reset(jax.random.split(key, 2)[1])
    np.testing.assert_array_equal(after.observation, alone)
    assert after.truncated and after.observation.dtype == observation.dtype


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: sequence_of([], 1, "x"), "`environments` must be at least one"),
        (lambda: sequence_of([clock()], 0, "x"), "`steps_of_each` must be a whole number >= 1"),
        (lambda: sequence_of([clock(), clock(int)], 1, "x"), "that differ in the last axis at"),
        (lambda: minatar_sequence("Breakout", 1), "`name` must be names of games and 'MinAtar'"),
        (lambda: minatar_sequence("Pong-MinAtar", 1), "an environment of gymnax.*; got 'Pong-M"),
    ],
)
def test_what_cannot_follow_one_another_is_refused(make, problem):
    with pytest.raises(ValueError, match=problem):
        make()

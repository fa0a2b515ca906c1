# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The ring against a reference that keeps whole transitions in lists, one list per environment."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormant.vectorized import Settings, Transitions, bytes_per_transition, make_replay
from tests.vectorized.small_environments import clock

STEPS = 24
GAMMA = 0.5  # powers of it are exact
# environments, rows of the ring, n, storage dtype
RINGS = [(1, 9, 1, bool), (2, 5, 2, bool), (3, 8, 3, jnp.float32), (2, 40, 4, jnp.uint8)]


def code(values):
    """The 8 bits of each value as an observation of the clock."""
    return ((np.asarray(values)[..., None] >> np.arange(8)) & 1).astype(np.float32)


class Ring:
    def __init__(self, environments, rows, horizon, storage_dtype):
        self.environments, self.rows, self.horizon = environments, rows, horizon
        self.settings = Settings(
            num_environments=environments,
            update_period=environments,
            replay_capacity=rows * environments,
            min_replay_history=horizon * environments,
            update_horizon=horizon,
            gamma=GAMMA,
        )
        self.replay = make_replay(clock(storage_dtype), self.settings)
        self.write = jax.jit(self._write)
        self.draw = jax.jit(self.replay.draw, static_argnums=2)
        self.batch, self.states = jax.jit(self.replay.batch), jax.jit(self.replay.states)

    def _write(self, stream, steps):
        def one(step, ring):
            new = jax.tree.map(lambda values: values[step], stream)
            return self.replay.add(ring, new, step * self.environments)

        return jax.lax.fori_loop(0, steps, one, self.replay.init())


@functools.cache
def ring_of(index):
    return Ring(*RINGS[index])


def stream_of(environments, terminal, truncated, seed):
    """Transitions (STEPS, N) whose observations are numbered, as are the last ones of episodes."""
    rng = np.random.default_rng(seed)
    number = np.arange(STEPS * environments).reshape(STEPS, environments)
    ended = terminal | truncated
    following = np.concatenate([number[1:], number[-1:] + environments])
    return Transitions(
        observation=code(number),
        next_observation=code(np.where(ended, 255 - number, following)),
        action=rng.integers(3, size=number.shape).astype(np.int32),
        reward=rng.integers(-8, 8, size=number.shape).astype(np.float32),
        terminal=terminal,
        truncated=truncated,
    )


def reference(stream, step, environment, horizon):
    """The transition that starts at a step of an environment, by following its episode."""
    reward, taken = 0.0, 0
    for offset in range(horizon):
        at = (step + offset, environment)
        reward += GAMMA**offset * stream.reward[at]
        taken += 1
        if stream.terminal[at] or stream.truncated[at]:
            break
    bootstrap = 0.0 if stream.terminal[at] else GAMMA**taken
    first = (step, environment)
    return (
        stream.observation[first], stream.action[first], reward, stream.next_observation[at],
        bootstrap,
    )  # fmt: skip


@pytest.mark.parametrize("index", range(len(RINGS)))
@given(data=st.data())
def test_every_row_is_what_the_reference_says(index, data):
    ring = ring_of(index)
    size = STEPS * ring.environments
    flags = data.draw(st.lists(st.sampled_from("...tcb"), min_size=size, max_size=size))
    flags = np.array(flags).reshape(STEPS, ring.environments)
    steps = data.draw(st.integers(ring.horizon, STEPS))
    terminal, truncated = np.isin(flags, ["t", "b"]), np.isin(flags, ["c", "b"])
    stream = stream_of(ring.environments, terminal, truncated, data.draw(st.integers(0, 9)))
    written = ring.write(stream, steps)
    eligible = range(max(0, steps - ring.rows), steps - ring.horizon + 1)
    starts = [(step, e) for step in eligible for e in range(ring.environments)]
    wanted = [reference(stream, *start, ring.horizon) for start in starts]
    capacity = ring.rows * ring.environments
    # Padded to one shape, so that each ring compiles once.
    rows = np.resize([(s * ring.environments + e) % capacity for s, e in starts], capacity)
    batch = jax.tree.map(lambda values: values[: len(starts)], ring.batch(written, rows))
    state, action, reward, next_state, bootstrap = (np.array(x) for x in zip(*wanted, strict=True))
    np.testing.assert_array_equal(batch.state, state)
    np.testing.assert_array_equal(batch.action, action)
    np.testing.assert_array_equal(batch.reward, reward)
    np.testing.assert_array_equal(batch.next_state, next_state)
    discount = ring.settings.discount * (1 - batch.terminal)
    np.testing.assert_array_equal(discount, bootstrap)
    np.testing.assert_array_equal(ring.states(written, rows)[: len(starts)], state)


@pytest.mark.parametrize("index", range(len(RINGS)))
@pytest.mark.parametrize("steps", [4, 5, 8, 9, 13, 100])
def test_draws_are_uniform_over_the_rows_whose_steps_are_all_there(index, steps):
    ring = ring_of(index)
    eligible = range(max(0, steps - ring.rows), steps - ring.horizon + 1)
    capacity = ring.rows * ring.environments
    wanted = {
        (step * ring.environments + e) % capacity
        for step in eligible
        for e in range(ring.environments)
    }
    rows = ring.draw(jax.random.key(steps), steps * ring.environments, (20_000,))
    drawn, counts = np.unique(rows, return_counts=True)
    assert set(drawn.tolist()) == wanted
    expected = 20_000 / len(wanted)
    chi_square = np.sum((counts - expected) ** 2 / expected)
    # Mean and standard deviation of chi-square with k degrees of freedom: k, sqrt(2 k).
    freedom = max(len(wanted) - 1, 1)
    assert chi_square < freedom + 6 * np.sqrt(2 * freedom)


def test_gamma_0_has_no_infinite_discounts():
    settings = Settings(
        num_environments=1, update_period=1, replay_capacity=8, update_horizon=3, gamma=0
    )
    replay = make_replay(clock(), settings)
    ring = replay.init()._replace(truncated=jnp.ones(8, bool), reward=jnp.ones(8))
    batch = replay.batch(ring, jnp.arange(4))
    assert np.isfinite(batch.terminal).all()
    np.testing.assert_array_equal(batch.reward, np.ones(4))


@pytest.mark.parametrize("storage_dtype", [bool, jnp.uint8, jnp.float32])
def test_bytes_per_transition_are_those_of_the_arrays(storage_dtype):
    environment = clock(storage_dtype)
    settings = Settings(
        num_environments=2, update_period=2, replay_capacity=10, min_replay_history=2
    )
    ring = make_replay(environment, settings).init()
    assert sum(leaf.nbytes for leaf in ring) == 10 * bytes_per_transition(environment)

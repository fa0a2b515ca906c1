# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The replay of one seed as a ring on the device; n-step returns are made when it is sampled.

All environments of a seed step together, so that the place to write follows from the number of
agent steps alone. Each transition keeps both its observations: with one bit for each value
(MinAtar: 50 to 125 bytes an observation) that is cheaper than the bookkeeping of the last
observations of episodes that were cut off."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.learners.batches import Batch
from dormant.vectorized.environments import Environment
from dormant.vectorized.settings import Settings


class Transitions(NamedTuple):
    """C transitions; in a ring, row (step * N + environment) modulo C. K values per observation.

    Attributes:
      observation: (C, K), storage_dtype, or uint8 with 8 booleans in each.
      next_observation: the same: what the action led to, also at an episode's end.
      action: int32 (C,).
      reward: float32 (C,).
      terminal: bool (C,), the episode ended by itself.
      truncated: bool (C,), it was cut off.
    """

    observation: jax.Array
    next_observation: jax.Array
    action: jax.Array
    reward: jax.Array
    terminal: jax.Array
    truncated: jax.Array


class Replay(NamedTuple):
    """Pure functions on the ring of one seed, which is a `Transitions`; vmap them over seeds.

    Attributes:
      init: `init() -> ring`, without transitions.
      add: `add(ring, new, agent_step) -> ring`, one step of all N environments written over the
        oldest one. `new` is a `Transitions` of N with observations as the environment gives them,
        `agent_step` int32 (), the agent steps taken before these.
      draw: `draw(key, agent_step, shape) -> rows`, int32 of that shape: uniformly, with
        replacement, where an n-step transition starts whose n steps are all there; `agent_step` are
        those taken so far. The key is consumed.
      batch: `batch(ring, rows) -> Batch` of the n-step transitions that start at rows (B,).
        The reward is the discounted sum up to the n-th step, or to the last step of the episode
        where that comes first; next_state is what that step led to. `terminal`, float32, is 1 where
        the episode ended by itself, 0 where all n steps were taken. Where it was cut off after
        k < n steps it is 1 - gamma ** (k - n), at most 0, with which the learner's discount,
        gamma ** n (1 - terminal), is gamma ** k as it must be.
      states: `states(ring, rows) -> observations (*rows.shape, ...)` as the environment gave them.
    """

    init: Callable[[], Transitions]
    add: Callable[[Transitions, Transitions, jax.Array], Transitions]
    draw: Callable[[jax.Array, int | jax.Array, tuple[int, ...]], jax.Array]
    batch: Callable[[Transitions, jax.Array], Batch]
    states: Callable[[Transitions, jax.Array], jax.Array]


def bytes_per_transition(environment: Environment) -> int:
    """Bytes of device memory for each transition of the capacity, of one seed."""
    size, dtype = _stored(environment)
    return 2 * size * dtype.itemsize + 4 + 4 + 1 + 1


def make_replay(environment: Environment, settings: Settings) -> Replay:
    """The replay's functions for an environment and its settings.

    Args:
      environment: whose observations are kept, in its storage_dtype.
      settings: replay_capacity C, num_environments N, update_horizon n and gamma.
    """
    capacity, environments = settings.replay_capacity, settings.num_environments
    horizon, gamma = settings.update_horizon, settings.gamma

    def init() -> Transitions:
        size, dtype = _stored(environment)
        return Transitions(
            observation=jnp.zeros((capacity, size), dtype),
            next_observation=jnp.zeros((capacity, size), dtype),
            action=jnp.zeros(capacity, jnp.int32),
            reward=jnp.zeros(capacity, jnp.float32),
            terminal=jnp.zeros(capacity, bool),
            truncated=jnp.zeros(capacity, bool),
        )

    def add(ring: Transitions, new: Transitions, agent_step: jax.Array) -> Transitions:
        new = new._replace(
            observation=_pack(new.observation, environment),
            next_observation=_pack(new.next_observation, environment),
        )
        start = agent_step % capacity

        def write(kept: jax.Array, rows: jax.Array) -> jax.Array:
            return jax.lax.dynamic_update_slice_in_dim(kept, rows.astype(kept.dtype), start, axis=0)

        return jax.tree.map(write, ring, new)

    def draw(key: jax.Array, agent_step: int | jax.Array, shape: tuple[int, ...]) -> jax.Array:
        # The newest n - 1 steps are not followed by n steps yet; the oldest is at the write head.
        complete = jnp.minimum(agent_step, capacity) - (horizon - 1) * environments
        oldest = jnp.where(agent_step > capacity, agent_step % capacity, 0)
        return (oldest + jax.random.randint(key, shape, 0, complete)) % capacity

    def batch(ring: Transitions, rows: jax.Array) -> Batch:
        last, reward, terminal = rows, ring.reward[rows], ring.terminal[rows]
        goes_on = ~(terminal | ring.truncated[rows])
        missing = jnp.full(rows.shape, horizon - 1)
        for offset in range(1, horizon):
            row = (rows + offset * environments) % capacity
            reward += jnp.where(goes_on, gamma**offset * ring.reward[row], 0.0)
            terminal |= goes_on & ring.terminal[row]
            last = jnp.where(goes_on, row, last)
            missing -= goes_on
            goes_on &= ~(ring.terminal[row] | ring.truncated[row])
        # With gamma 0 nothing is bootstrapped, whatever this is.
        cut_off = 1.0 - jnp.power(gamma or 1.0, -missing.astype(jnp.float32))
        return Batch(
            state=_unpack(ring.observation[rows], environment),
            action=ring.action[rows],
            reward=reward,
            next_state=_unpack(ring.next_observation[last], environment),
            terminal=jnp.where(terminal, 1.0, cut_off if horizon > 1 else 0.0),
        )

    def states(ring: Transitions, rows: jax.Array) -> jax.Array:
        return _unpack(ring.observation[rows], environment)

    return Replay(init, add, draw, batch, states)


def _is_binary(environment: Environment) -> bool:
    return jnp.issubdtype(environment.storage_dtype, jnp.bool_)


def _stored(environment: Environment) -> tuple[int, Any]:
    """Number and dtype of the values that keep one observation."""
    size = environment.observation_size
    if _is_binary(environment):
        return math.ceil(size / 8), jnp.dtype(jnp.uint8)
    return size, jnp.dtype(environment.storage_dtype)


def _pack(observation: jax.Array, environment: Environment) -> jax.Array:
    """(..., *observation_shape) -> (..., K)."""
    leading = observation.shape[: observation.ndim - len(environment.observation_shape)]
    flat = observation.reshape(*leading, environment.observation_size)
    if _is_binary(environment):
        return jnp.packbits(flat.astype(bool), axis=-1)
    return flat.astype(environment.storage_dtype)


def _unpack(stored: jax.Array, environment: Environment) -> jax.Array:
    """(..., K) -> (..., *observation_shape)."""
    if _is_binary(environment):
        stored = jnp.unpackbits(stored, axis=-1, count=environment.observation_size)
    flat = stored.astype(environment.observation_dtype)
    return flat.reshape(*stored.shape[:-1], *environment.observation_shape)

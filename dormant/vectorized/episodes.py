# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Evaluation episodes on the device: the first episode of each of several environments."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dormant.vectorized.environments import Environment


def play_episodes(
    environment: Environment,
    act: Callable[[jax.Array, jax.Array], jax.Array],
    key: jax.Array,
    episodes: int,
    most_steps: int,
) -> tuple[jax.Array, jax.Array]:
    """Plays E episodes side by side, each to its end.

    Args:
      environment: of the episodes.
      act: `act(observation, key) -> action` for one observation; the key is consumed.
      key: consumed.
      episodes: E, at least 1.
      most_steps: agent steps after which an episode that goes on is given up.

    Returns:
      Undiscounted returns, float32 (E,), NaN of an episode that was given up, and agent steps,
      int32 (E,).
    """
    act_on_all = jax.vmap(act)
    reset_key, run_key = jax.random.split(key)
    state, observation = jax.vmap(environment.reset)(jax.random.split(reset_key, episodes))

    def goes_on(carry: tuple) -> jax.Array:
        return jnp.any(~carry[-1]) & (carry[0] < most_steps)

    def one_step(carry: tuple) -> tuple:
        step, state, observation, returns, lengths, done = carry
        keys = jax.random.split(jax.random.fold_in(run_key, step), (2, episodes))
        action = act_on_all(observation, keys[0])
        after = jax.vmap(environment.step)(state, action, keys[1])
        # What comes after an environment's first episode does not count.
        returns += jnp.where(done, 0.0, after.reward)
        lengths += ~done
        done |= after.terminal | after.truncated
        return step + 1, after.state, after.observation, returns, lengths, done

    zeros = jnp.zeros(episodes, jnp.int32)
    none_done = jnp.zeros(episodes, bool)
    carry = (jnp.int32(0), state, observation, jnp.zeros(episodes), zeros, none_done)
    *_, returns, lengths, done = jax.lax.while_loop(goes_on, one_step, carry)
    return jnp.where(done, returns, jnp.nan), lengths

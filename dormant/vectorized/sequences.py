# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Environments after one another as one environment, for an agent that must go on learning."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.checks import check, check_count
from dormant.vectorized.environments import MINATAR, Environment, Step, gymnax_environment


class SequenceState(NamedTuple):
    """Where an environment of a sequence stands. G environments."""

    step: jax.Array  # int32 (), agent steps so far
    states: tuple  # of each of the G environments
    first_states: tuple  # of each at its reset
    first_observations: jax.Array  # (G, ...), padded


def sequence_of(environments: Sequence[Environment], steps_of_each: int, name: str) -> Environment:
    """Plays environments after one another, so many agent steps each, and then the first again.

    Observations have as many channels as the largest of them, filled up with zeros, and there are
    as many actions as the most of them have; one that an environment lacks is its action 0. When an
    environment's steps are over its episode is truncated; when its turn comes again it starts as it
    did the first time.

    Args:
      environments: G of them, whose observations differ in the last axis at most.
      steps_of_each: agent steps that one environment is played at a time. Those of a run are
        `Settings.num_environments` times as many.
      name: of the whole.

    Raises:
      ValueError: when there is none, their observations are of different kinds, or steps_of_each is
        not a whole number >= 1.
    """
    check_count("steps_of_each", steps_of_each, 1)
    check(len(environments) > 0, "environments", "at least one `Environment`", environments)
    kinds = {
        (each.observation_shape[:-1], each.observation_dtype, each.storage_dtype)
        for each in environments
    }
    allowed = "of observations that differ in the last axis at most"
    shapes = [each.observation_shape for each in environments]
    check(len(kinds) == 1 and all(shapes), "environments", allowed, shapes)
    largest = max(environments, key=lambda each: each.observation_shape[-1])
    channels, count = largest.observation_shape[-1], len(environments)

    def padded(observation: jax.Array) -> jax.Array:
        missing = channels - observation.shape[-1]
        return jnp.pad(observation, [(0, 0)] * (observation.ndim - 1) + [(0, missing)])

    def reset(key: jax.Array) -> tuple[SequenceState, jax.Array]:
        keys = jax.random.split(key, count)
        found = [each.reset(key) for each, key in zip(environments, keys, strict=True)]
        states = tuple(state for state, _ in found)
        observations = jnp.stack([padded(observation) for _, observation in found])
        return SequenceState(jnp.int32(0), states, states, observations), observations[0]

    def one(index: int) -> Any:
        environment = environments[index]

        def play(states: tuple, action: jax.Array, key: jax.Array) -> Step:
            action = jnp.where(action < environment.num_actions, action, 0)
            after = environment.step(states[index], action, key)
            return after._replace(
                state=(*states[:index], after.state, *states[index + 1 :]),
                observation=padded(after.observation),
                final_observation=padded(after.final_observation),
            )

        return play

    def step(state: SequenceState, action: jax.Array, key: jax.Array) -> Step:
        played = state.step // steps_of_each % count
        after = jax.lax.switch(
            played, [one(index) for index in range(count)], state.states, action, key
        )
        step = state.step + 1
        is_over = step % steps_of_each == 0
        following = step // steps_of_each % count
        states = jax.tree.map(
            lambda first, now: jnp.where(is_over, first, now), state.first_states, after.state
        )
        observation = jnp.where(is_over, state.first_observations[following], after.observation)
        return after._replace(
            state=state._replace(step=step, states=states),
            observation=observation,
            truncated=after.truncated | (is_over & ~after.terminal),
        )

    return Environment(
        name,
        reset,
        step,
        max(each.num_actions for each in environments),
        largest.observation_shape,
        largest.observation_dtype,
        largest.storage_dtype,
    )


def minatar_sequence(name: str, steps_of_each: int) -> Environment:
    """gymnax's MinAtar games after one another.

    Args:
      name: such as "SpaceInvaders-Asterix-Freeway-MinAtar".
      steps_of_each: as of `sequence_of`.

    Raises:
      ValueError: when a game is not known, or an argument is not of the kind asked for.
    """
    allowed = "names of games and 'MinAtar', such as 'SpaceInvaders-Asterix-Freeway-MinAtar'"
    is_sequence = isinstance(name, str) and name.endswith(MINATAR) and name != MINATAR
    check(is_sequence, "name", allowed, name)
    games = name.removesuffix(MINATAR).split("-")
    return sequence_of(
        [gymnax_environment(f"{game}{MINATAR}") for game in games], steps_of_each, name
    )

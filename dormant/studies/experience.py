# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Transitions that a study fits to: those of an online run on the device, or Atari's."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.checks import errors_of
from dormant.learners import Batch
from dormant.learners.learner import Policy
from dormant.memory import bytes_of, check_memory, device_memory
from dormant.runs.options import LearnerOptions
from dormant.studies.episodes import Evaluate, evaluation
from dormant.studies.online import OnlineRun
from dormant.vectorized import make_replay
from dormant.vectorized.agent import QNetwork

Kept = Any  # pytree of arrays that never change


class Experience(NamedTuple):
    """Transitions of a game as pure functions of the arrays that hold them.

    Attributes:
      game: has a name, num_actions, observation_shape and observation_dtype.
      draw: `draw(kept, key, count) -> rows`, int32 (count,), uniformly and with replacement. The
        key is consumed.
      batch: `batch(kept, rows) -> Batch`.
      states: `states(kept, rows) -> (count, ...)`, observations.
      evaluation: `evaluation(policy, episodes) -> Evaluate`.
      has_convolutions: as in `Study`, of the networks for the game.
    """

    game: Any
    draw: Callable[[Kept, jax.Array, int], jax.Array]
    batch: Callable[[Kept, jax.Array], Batch]
    states: Callable[[Kept, jax.Array], jax.Array]
    evaluation: Callable[[Policy, int], Evaluate]
    has_convolutions: bool = False

    def observations(self, data: Any, key: jax.Array, count: int) -> jax.Array:
        """As in `Study`, of data whose field `kept` holds the transitions."""
        return self.states(data.kept, self.draw(data.kept, key, count))


def check_batches(name: str, episodes: int, network: QNetwork, options: LearnerOptions) -> None:
    """Checks that the observations of a study's evaluation and the score batches fit.

    Raises:
      ConfigurationError: when they do not; `name` is the study's in gin.
    """
    available, observation = device_memory(), bytes_of(network.inputs)
    what = f"the states and observations of as many, {4 * observation} bytes of each"
    with errors_of(name):
        check_memory("evaluation_episodes", episodes, episodes * 4 * observation, what, available)
    options.check_score_batches(network.graph, network.init, network.inputs, available)


class Source(NamedTuple):
    """Where the data of a study come from.

    Attributes:
      experience: how to read the transitions among them.
      load: `load(network) -> prepare`, which is given keys and `say`. Called once, when all else
        has been checked: it may read for long.
      prepared: as in `Study`.
    """

    experience: Experience
    load: Callable[[QNetwork], Callable[..., Any]]
    prepared: Any = None


def online_experience(run: OnlineRun) -> Experience:
    """That of an online run, all of whose agent steps are over; its replay holds it."""
    replay = make_replay(run.environment, run.settings)
    return Experience(
        game=run.environment,
        draw=lambda kept, key, count: replay.draw(key, run.agent_steps, (count,)),
        batch=replay.batch,
        states=replay.states,
        evaluation=lambda policy, episodes: evaluation(run.environment, policy, episodes),
    )


def given_once(arrays: Any) -> Callable[..., Any]:
    """What prepares arrays that were read already: puts them on the device and forgets them."""
    kept = [arrays]
    return lambda *keys_and_say: jax.tree.map(jnp.asarray, kept.pop())

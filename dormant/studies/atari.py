# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Atari in a study: the game, and evaluation episodes in the ALE, side by side. No Dopamine."""

import contextlib
import dataclasses
from typing import Any, NamedTuple

import gin
import jax
import numpy as np

from dormant.checks import ConfigurationError, require, require_flag
from dormant.learners.learner import Policy
from dormant.runs.gin_files import close_matches, did_you_mean
from dormant.studies import frames
from dormant.studies.episodes import EPSILON, Evaluate
from dormant.studies.experience import Experience

_STICKY = 0.25
# 27 000 agent steps, as in the paper's runs.
_MOST_FRAMES = 108_000
_PACKAGES = "pip install 'dormant[vectorized,atari]'"


class AtariGame(NamedTuple):
    """What a network for a game must know of it."""

    name: str
    num_actions: int
    observation_shape: tuple[int, ...] = (*frames.FRAME_SHAPE, frames.STACK)
    observation_dtype: Any = np.uint8


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Atari:
    """The game of a study on Atari: `Atari.*` in gin.

    Frames, frame skip and actions are those of Dopamine's preprocessing; a lost life ends nothing.

    Attributes:
      game: such as "DemonAttack".
      sticky_actions: whether an action is repeated with probability 0.25 in evaluation.

    Raises:
      ConfigurationError: when an option is not allowed, or the ALE is not installed.
    """

    game: str = "DemonAttack"
    sticky_actions: bool = True

    def __post_init__(self) -> None:
        require_flag("Atari.sticky_actions", self.sticky_actions)
        require(isinstance(self.game, str), "Atari.game", "a name such as 'Pong'", self.game)
        games = _games()
        if self.game not in games.atari_games():
            close = did_you_mean(close_matches(self.game, games.atari_games()))
            raise ConfigurationError(f"Atari.game: the ALE has no game {self.game!r}{close}")

    def experience(self) -> Experience:
        """Its transitions as `frames.Frames`, and its evaluation."""
        with contextlib.closing(self._environments(1)) as environment:
            num_actions = int(environment.single_action_space.n)
        return Experience(
            game=AtariGame(self.game, num_actions),
            draw=frames.draw,
            batch=frames.batch,
            states=frames.states,
            evaluation=self.evaluation,
            has_convolutions=True,
        )

    def evaluation(
        self, policy: Policy, episodes: int, most_frames: int = _MOST_FRAMES
    ) -> Evaluate:
        """E episodes that are played side by side, each to its end.

        Args:
          policy: acts with epsilon 0.001.
          episodes: E, at least 1.
          most_frames: after which an episode is at its end.
        """

        @jax.jit
        def act(params: Any, state: np.ndarray, key: jax.Array, step: Any) -> jax.Array:
            keys = jax.random.split(jax.random.fold_in(key, step), episodes)
            return jax.vmap(policy, in_axes=(None, 0, 0, None))(params, state, keys, EPSILON)

        def evaluate(params: Any, key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
            seed_key, run_key = jax.random.split(key)
            # The vector environment knows no negative ones.
            seeds = np.asarray(jax.random.randint(seed_key, (episodes,), 0, 2**31 - 1))
            returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
            done = np.zeros(episodes, bool)
            with contextlib.closing(self._environments(episodes, most_frames)) as environment:
                screens, _ = environment.reset(seed=seeds)
                state = np.zeros((episodes, *frames.FRAME_SHAPE, frames.STACK), np.uint8)
                state[..., -1] = screens[:, 0]
                step = 0
                while not done.all():
                    actions = np.asarray(act(params, state, run_key, step), np.int64)
                    screens, rewards, terminated, truncated, _ = environment.step(actions)
                    # What comes after an environment's first episode does not count.
                    returns += np.where(done, 0.0, rewards)
                    lengths += ~done
                    done |= terminated | truncated
                    # A new array: the device may still read the old one.
                    state = np.concatenate([state[..., 1:], screens[:, 0, ..., None]], axis=-1)
                    step += 1
            return returns, lengths

        return evaluate

    def _environments(self, count: int, most_frames: int = _MOST_FRAMES) -> Any:
        games = _games()
        return games.vector_environment(
            games.atari_games()[self.game],
            count,
            repeat_action_probability=_STICKY if self.sticky_actions else 0.0,
            most_frames=most_frames,
        )


def _games() -> Any:
    try:
        from dormant.runs import atari_games
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error}; Atari's packages: {_PACKAGES}") from error
    return atari_games

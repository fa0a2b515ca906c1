# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Atari stepped by a thread of its own, while Python does something else: for runs side by side.
The ALE's emulator holds Python's lock while it computes, its vector environment does not."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from dormant.agents.atari import AtariEnvironment
from dormant.runs.atari_games import vector_environment


class ThreadedAtari(AtariEnvironment):
    """An `AtariEnvironment` whose frames are emulated by the ALE's vector environment of one game.

    Under the same seeds it is equal to the bit, sticky actions included, except for the observation
    after the last action of an episode, which no agent is shown. The vector environment does not
    know negative seeds of the emulator: until the next seed that is none, what was wrapped is
    stepped.
    """

    def __init__(self, wrapped: AtariEnvironment, wait: Callable[[], None]):
        """Takes the place of an environment, which must not be stepped on by itself.

        Args:
          wrapped: an environment for which `can_step_in_thread` is true.
          wait: called while frames are emulated; others may have their turn.
        """
        super().__init__(wrapped)
        self._wait = wait
        emulated = wrapped.environment.unwrapped
        self._vector = vector_environment(
            emulated._game,
            1,
            repeat_action_probability=self._ale.getFloat("repeat_action_probability"),
            most_frames=self._ale.getInt("max_num_frames_per_episode"),
            screen_size=self.screen_size,
            frame_skip=self.frame_skip,
            num_threads=1,
        )
        self._is_threaded = False
        # What `seed_environment` resets.
        self.environment = _Seeded(emulated, self._seed_vector)

    def _seed_vector(self) -> None:
        # Gymnasium has drawn it from the seed that it was given.
        seed = self._ale.getInt("random_seed")
        self._is_threaded = seed >= 0
        if self._is_threaded:
            self._vector.reset(seed=np.array([seed]))

    def reset(self) -> np.ndarray:
        if not self._is_threaded:
            return super().reset()
        screens, info = self._vector.reset()
        self.lives = int(info["lives"][0])
        return _observation(screens)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, dict[str, int]]:
        if not self._is_threaded:
            return super().step(action)
        if not 0 <= action < len(self._ale_actions):
            # The vector environment would never answer.
            most = len(self._ale_actions) - 1
            raise IndexError(f"`action` must be from 0 to {most}; got {action}")
        self._vector.send(np.array([action], np.int64))
        self._wait()
        screens, rewards, terminated, truncated, info = self._vector.recv()
        is_terminal = bool(terminated[0])
        self.game_over = is_terminal or bool(truncated[0])
        names = ("lives", "episode_frame_number", "frame_number")
        found = {name: int(info[name][0]) for name in names}
        return _observation(screens), float(rewards[0]), is_terminal, found


def can_step_in_thread(environment: Any) -> bool:
    """Whether `ThreadedAtari` can take the place of an environment.

    It can for an `AtariEnvironment` of a game in its default mode and difficulty, with its minimal
    actions, whose lost lives end nothing: the vector environment would emulate on after them.
    """
    if type(environment) is not AtariEnvironment or environment.terminal_on_life_loss:
        return False
    emulated = environment.environment.unwrapped
    is_default = emulated._game_mode is None and emulated._game_difficulty is None
    actions = emulated._action_set == emulated.ale.getMinimalActionSet()
    return is_default and actions and environment.frame_skip >= 2


class _Seeded(gymnasium.Wrapper):
    """Tells when it was seeded."""

    def __init__(self, environment: Any, on_seed: Callable[[], None]):
        super().__init__(environment)
        self._on_seed = on_seed

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        found = super().reset(seed=seed, options=options)
        if seed is not None:
            self._on_seed()
        return found


def _observation(screens: np.ndarray) -> np.ndarray:
    return screens[0, 0, :, :, None]

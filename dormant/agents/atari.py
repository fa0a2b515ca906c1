# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Dopamine's Atari environment without Gymnasium's share of every frame: the same ALE instance,
stepped directly. What it returns is equal to the bit, but for an episode that is cut off."""

from typing import Any

import numpy as np
from ale_py import AtariEnv
from dopamine.discrete_domains import atari_lib
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker

# What gymnasium.make puts around an environment to check how it is used; it changes no number.
_CHECKERS = (OrderEnforcing, PassiveEnvChecker)


class AtariEnvironment(atari_lib.AtariPreprocessing):
    """Atari as Dopamine's `AtariPreprocessing` presents it, about a quarter faster.

    Gymnasium fetches the RGB screen and makes a dict of every emulated frame, which Dopamine throws
    away. Here the emulator is asked for what is used alone: rewards, lives, ends, and the last two
    screens in grayscale. Observations, rewards and infos are those of Dopamine's wrapper under the
    same seeds, sticky actions included, as both draw from the emulator's own generator.

    `environment`, `lives`, `game_over`, `screen_buffer` and what gin binds keep their meaning. An
    episode also ends after the 100 000 frames that Dopamine gives to the emulator, 25 000 agent
    steps; that is before the 27 000 of `Runner.max_steps_per_episode`. Such an episode is cut off:
    over (`game_over`) without being terminal, and its last n steps are not learned from. Dopamine's
    wrapper calls it terminal.
    """

    def __init__(self, wrapped: atari_lib.AtariPreprocessing):
        """Takes over the emulator of an environment, which must not be stepped on by itself.

        Args:
          wrapped: an environment for which `can_step_directly` is true.
        """
        super().__init__(
            wrapped.environment,
            frame_skip=wrapped.frame_skip,
            terminal_on_life_loss=wrapped.terminal_on_life_loss,
            screen_size=wrapped.screen_size,
        )
        emulated = wrapped.environment.unwrapped
        self._ale = emulated.ale
        self._ale_actions = tuple(emulated._action_set)

    def reset(self) -> np.ndarray:
        """Starts an episode; the emulator's generator goes on where it was.

        Returns:
          The first observation: uint8 (screen_size, screen_size, 1), a new array.
        """
        self._ale.reset_game()
        self.lives = self._ale.lives()
        self._fetch_grayscale_observation(self.screen_buffer[0])
        self.screen_buffer[1].fill(0)
        return self._pool_and_resize()

    def step(self, action: int) -> tuple[np.ndarray, float, bool, dict[str, int]]:
        """Repeats an action for frame_skip frames, or fewer where the episode or a life ends.

        Args:
          action: index into the game's actions.

        Returns:
          The observation, uint8 (screen_size, screen_size, 1), a new array; the sum of the frames'
          rewards; whether the state is terminal; the lives left and the emulator's frame counts.
        """
        ale, ale_action = self._ale, self._ale_actions[action]
        first_pooled = self.frame_skip - 2
        total_reward = 0.0
        for frame in range(self.frame_skip):
            total_reward += ale.act(ale_action)
            # At the emulator's limit of frames a game is over that did not end.
            game_over, is_terminal = ale.game_over(), ale.game_over(with_truncation=False)
            if self.terminal_on_life_loss:
                lives = ale.lives()
                is_terminal = is_terminal or lives < self.lives
                self.lives = lives
            if frame >= first_pooled:
                ale.getScreenGrayscale(self.screen_buffer[frame - first_pooled])
            if game_over or is_terminal:
                break
        self.game_over = game_over
        info = {
            "lives": ale.lives(),
            "episode_frame_number": ale.getEpisodeFrameNumber(),
            "frame_number": ale.getFrameNumber(),
        }
        return self._pool_and_resize(), total_reward, is_terminal, info


def can_step_directly(environment: Any) -> bool:
    """Whether `AtariEnvironment` can take the place of an environment.

    It can for what Dopamine's `create_atari_environment` makes with Gymnasium: its own
    preprocessing, no subclass of it, straight around the ALE's environment. Continuous actions,
    PPO's preprocessing, the legacy Gym and wrappers of one's own stay as they are.
    """
    if type(environment) is not atari_lib.AtariPreprocessing or environment._use_legacy_gym:
        return False
    checker = environment.environment
    emulated = getattr(checker, "env", None)
    is_plain = type(checker) in _CHECKERS and type(emulated) is AtariEnv
    return is_plain and not emulated.continuous and emulated._frameskip == 1


def emulator_seed(seed: int) -> int:
    """The emulator's own seed, an int32, of an environment that Gymnasium seeds."""
    return int(np.random.SeedSequence(seed).generate_state(2).astype(np.int32)[1])

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Atari games without Dopamine: their names, and the ALE's vector environment with the settings
under which its frames are equal to the bit to those of Dopamine's preprocessing."""

from collections.abc import Mapping

import ale_py
import gymnasium
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode


def atari_games() -> Mapping[str, str]:
    """{name as Gymnasium has it, such as "DemonAttack": the ALE's, "demon_attack"}, sorted."""
    gymnasium.register_envs(ale_py)
    specs = [spec for spec in gymnasium.registry.values() if spec.namespace == "ALE"]
    return {spec.name: spec.kwargs["game"] for spec in sorted(specs, key=lambda spec: spec.name)}


def vector_environment(
    game: str,
    count: int,
    *,
    repeat_action_probability: float,
    most_frames: int,
    screen_size: int = 84,
    frame_skip: int = 4,
    num_threads: int = 0,
) -> AtariVectorEnv:
    """Environments of one game that step together, each with single gray frames, unclipped rewards
    and its minimal actions; no no-ops at the start, and a lost life ends nothing.

    Args:
      game: the ALE's name, such as "demon_attack".
      count: how many.
      repeat_action_probability: of sticky actions; the paper's is 0.25.
      most_frames: of an episode, which is truncated then.
      screen_size: S; observations are uint8 (count, 1, S, S).
      frame_skip: frames for which an action is repeated.
      num_threads: 0 for as many as the machine can use.
    """
    return AtariVectorEnv(
        game,
        count,
        num_threads=num_threads,
        max_num_frames_per_episode=most_frames,
        repeat_action_probability=repeat_action_probability,
        autoreset_mode=AutoresetMode.NEXT_STEP,
        img_height=screen_size,
        img_width=screen_size,
        stack_num=1,
        frameskip=frame_skip,
        noop_max=0,
        use_fire_reset=False,
        reward_clipping=False,
    )

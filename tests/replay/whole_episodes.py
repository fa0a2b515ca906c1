# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A slow replay that keeps whole episodes as lists: what the ring of frames is tested against."""

from typing import Any, NamedTuple

import numpy as np

from dormant.learners.batches import Batch
from dormant.replay import ReplayOptions


class Step(NamedTuple):
    """One agent step."""

    observation: np.ndarray
    action: Any
    reward: float
    terminal: bool
    episode_end: bool


class WholeEpisodes:
    """Every episode ever played; says which transitions the last C steps still make up."""

    def __init__(self, options: ReplayOptions):
        self.options = options
        self.episodes: list[list[Step]] = [[]]

    def add(self, *step: Any) -> None:
        self.episodes[-1].append(Step(*step))
        if self.episodes[-1][-1].terminal or self.episodes[-1][-1].episode_end:
            self.episodes.append([])

    def cut(self) -> None:
        if self.episodes[-1]:
            self.episodes.append([])

    def transitions(self) -> tuple[Batch, int]:
        """All transitions that can be drawn, the oldest first, and how many there ever were."""
        stored = sum(len(episode) for episode in self.episodes)
        overwritten = stored - self.options.capacity
        found, ever, start = [], 0, 0
        for episode in self.episodes:
            for index in range(len(episode)):
                if not self._is_whole(episode, index):
                    continue
                ever += 1
                first_frame = start + max(index - self.options.stack_size + 1, 0)
                if first_frame >= overwritten:
                    found.append(self._transition(episode, index))
            start += len(episode)
        return Batch(*map(np.array, zip(*found, strict=True))) if found else None, ever

    def _is_whole(self, episode: list[Step], index: int) -> bool:
        return episode[-1].terminal or index + self.options.update_horizon < len(episode)

    def _transition(self, episode: list[Step], index: int) -> tuple:
        horizon, discount = self.options.update_horizon, self.options.discount
        steps = episode[index : index + horizon]
        rewards = (discount**i * float(np.float32(step.reward)) for i, step in enumerate(steps))
        return (
            self._stack(episode, index),
            episode[index].action,
            np.float32(sum(rewards)),
            self._stack(episode, index + horizon),
            steps[-1].terminal,
        )

    def _stack(self, episode: list[Step], last: int) -> np.ndarray:
        nothing = np.zeros(self.options.observation_shape, self.options.observation_dtype)
        frames = [
            episode[index].observation if 0 <= index < len(episode) else nothing
            for index in range(last - self.options.stack_size + 1, last + 1)
        ]
        return np.stack(frames, axis=-1)

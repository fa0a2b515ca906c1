# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A ring of single frames, and transitions made of them when they are asked for.
It knows at every moment which transitions are whole: none is rejected when drawn."""

from typing import Any

import numpy as np

from dormant.checks import check
from dormant.learners.batches import Batch
from dormant.replay.options import ReplayOptions


class TransitionStore:
    """The last C transitions of a stream of episodes.

    A transition can be drawn, is *eligible*, once all that it consists of is stored and as long as
    it is: the frames of its stack back to the start of its episode, and the n steps after it or
    those up to a terminal. So

    - a stack at the start of an episode has zeros in place of the missing frames;
    - rewards are summed up to a terminal and not beyond; every step up to it is a transition, the
      terminal one among them;
    - of an episode cut short (`episode_end` without `terminal`, or `cut`) the last n steps are
      none, as the state that they lead to was never seen;
    - frames of a next state that lie after a terminal are zeros; `terminal` says not to look.

    Eligible transitions have consecutive keys from `first_key` to `end_key` - 1, the oldest first.
    """

    def __init__(self, options: ReplayOptions):
        """An empty store. Its arrays take up memory only as they are filled."""
        self.options = options
        arrays = {name: np.zeros(*what) for name, what in options.arrays().items()}
        self._arrays = arrays
        self._observation, self._action = arrays["observation"], arrays["action"]
        self._reward, self._terminal = arrays["reward"], arrays["terminal"]
        self._age, self._eligible = arrays["age"], arrays["eligible"]
        self.first_key, self.end_key = 0, 0
        self._stored = 0  # transitions ever added; number i is in row i % C
        self._pending = 0  # the first of this episode that is not eligible yet
        self._next_age = 0
        stack, horizon = options.stack_size, options.update_horizon
        # Frames of a state are those at offsets [1 - stack, 0], of the next state n later. Where
        # they overlap both are parts of one block, gathered once.
        state = np.arange(1 - stack, 1)
        self._offsets = np.union1d(state, state + horizon)
        self._ages_needed = np.maximum(-self._offsets, 0)
        self._steps_needed = np.maximum(self._offsets, 0)
        self._steps = np.arange(horizon)
        self._discounts = np.float64(options.discount) ** self._steps
        # (B, stack, *observation_shape) with the stack's axis moved last.
        dimensions = len(options.observation_shape)
        self._stack_last = (0, *range(2, 2 + dimensions), 1)

    def __len__(self) -> int:
        """The eligible transitions."""
        return self.end_key - self.first_key

    def add(
        self,
        observation: Any,
        action: Any,
        reward: float,
        terminal: bool,
        episode_end: bool = False,
    ) -> tuple[int, int]:
        """Adds one step, an observation, the action taken there and what came of it; it overwrites
        the oldest where all C rows are filled.

        Args:
          observation: of `observation_shape`; its dtype must be castable without loss of kind.
          action: of `action_shape`.
          reward: of the action.
          terminal: whether the action ended the episode in a terminal state.
          episode_end: whether the episode ends here for whatever reason; implied by terminal.

        Returns:
          `first_key` and `end_key` as they were: keys from the old first to the new are gone, those
          from the old end to the new are new.

        Raises:
          ValueError: when the observation or action has another shape.
          TypeError: when the observation is of another kind, such as floats for uint8.
        """
        options, before = self.options, (self.first_key, self.end_key)
        for name, value in (("observation", observation), ("action", action)):
            shape = getattr(options, f"{name}_shape")
            check(np.shape(value) == shape, name, f"of shape {shape}", np.shape(value))
        number = self._stored
        row = number % options.capacity
        # First: it may still refuse the observation.
        np.copyto(self._observation[row, ...], observation, casting="same_kind")
        if number >= options.capacity:
            self._drop(number - options.capacity)
        self._action[row] = action
        self._reward[row] = reward
        self._terminal[row] = terminal
        self._age[row] = self._next_age
        self._stored = number + 1
        self._next_age += 1
        last = number if terminal else number - options.update_horizon
        for whole in range(self._pending, last + 1):
            self._eligible[self.end_key % options.capacity] = whole
            self.end_key += 1
            self._pending = whole + 1
        if terminal or episode_end:
            self.cut()
        return before

    def cut(self) -> None:
        """Has the next step start an episode: the last one added is the last of its own.

        Where that was not terminal the episode is one cut short; where it was, or nothing is stored
        yet, nothing changes.
        """
        self._pending, self._next_age = self._stored, 0

    def _drop(self, overwritten: int) -> None:
        """Ends the eligibility of every transition that has frame number `overwritten`."""
        capacity, depth = self.options.capacity, self.options.stack_size - 1
        while self.first_key < self.end_key:
            number = int(self._eligible[self.first_key % capacity])
            if number - min(int(self._age[number % capacity]), depth) > overwritten:
                return
            self.first_key += 1

    def gather(self, keys: np.ndarray) -> Batch:
        """The transitions of those keys, in new arrays.

        Args:
          keys: (B,), integers in [first_key, end_key), which is not checked.

        Returns:
          state and next_state (B, *observation_shape, stack_size), of the observations' dtype,
          each a view with the stack's axis moved last; action (B, *action_shape); reward float32
          (B,), summed over n steps with discounting; terminal bool (B,).
        """
        options = self.options
        capacity, stack = options.capacity, options.stack_size
        numbers = self._eligible[keys % capacity]
        rows = numbers % capacity
        ages = self._age[rows]
        if options.update_horizon == 1:
            reward, terminal = self._reward[rows], self._terminal[rows]
            steps_left = np.where(terminal, 0, 1)
        else:
            reward, terminal, steps_left = self._returns(numbers)
        # `take` copies a frame at once; the rows are in range, so that none needs a check.
        frame_rows = (numbers[:, None] + self._offsets) % capacity
        frames = self._observation.take(frame_rows, axis=0, mode="clip")
        # Not of this episode: before its start, or after its terminal.
        missing = self._ages_needed > ages[:, None]
        missing |= self._steps_needed > steps_left[:, None]
        if missing.any():
            frames[missing] = 0
        return Batch(
            state=frames[:, :stack].transpose(self._stack_last),
            action=self._action[rows],
            reward=reward,
            next_state=frames[:, -stack:].transpose(self._stack_last),
            terminal=terminal,
        )

    def _returns(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """n-step rewards float32 (B,), terminals bool (B,), and steps to the last frame (B,)."""
        rows = (numbers[:, None] + self._steps) % self.options.capacity
        ended = np.logical_or.accumulate(self._terminal[rows], axis=1)
        terminal = ended[:, -1]
        # The terminal step's own reward counts, those after it do not.
        counts = np.ones_like(ended)
        counts[:, 1:] = ~ended[:, :-1]
        reward = np.where(counts, self._reward[rows], 0.0) @ self._discounts
        return reward.astype(np.float32), terminal, (~ended).sum(axis=1)

    def contents(self) -> dict[str, np.ndarray]:
        """All that is stored, and which of it can be drawn, for those who draw by themselves.

        Returns:
          The filled rows R of a ring of C, views: observation (R, *observation_shape), action
          (R, *action_shape), reward float32 (R,), terminal bool (R,), age int32 (R,), the steps
          before it in its episode; and row int64 (E,), the rows of the transitions that can be
          drawn, the oldest first. Rows count modulo C; R is C where one wraps round.
        """
        found, capacity = self.filled(), self.options.capacity
        numbers = found.pop("eligible")[np.arange(self.first_key, self.end_key) % capacity]
        return {**found, "row": numbers % capacity}

    # Checkpoints.

    def filled(self) -> dict[str, np.ndarray]:
        """The filled rows of each array, as views."""
        rows = min(self._stored, self.options.capacity)
        return {name: array[:rows] for name, array in self._arrays.items()}

    def counters(self) -> dict[str, int]:
        """All that the arrays do not hold."""
        return {
            "first_key": self.first_key,
            "end_key": self.end_key,
            "stored": self._stored,
            "pending": self._pending,
            "next_age": self._next_age,
        }

    def set_counters(self, counters: dict[str, int]) -> None:
        """Sets the counters; the arrays are then to be written through `filled`."""
        self.first_key, self.end_key = counters["first_key"], counters["end_key"]
        self._stored, self._pending = counters["stored"], counters["pending"]
        self._next_age = counters["next_age"]

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The replay buffer of one run: stores transitions and draws batches of them.
All its randomness comes from one NumPy generator, whose state is part of a checkpoint."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from dormant.checks import check
from dormant.learners.batches import Batch
from dormant.replay.memory import check_replay_memory
from dormant.replay.options import ReplayOptions
from dormant.replay.sum_tree import SumTree
from dormant.replay.transitions import TransitionStore

# Dopamine's, so that no weight is infinite.
_EPSILON = 1e-10


class Sample(NamedTuple):
    """B transitions, and how they were drawn."""

    batch: Batch
    keys: np.ndarray  # (B,), int64, for `ReplayBuffer.set_priorities`
    probabilities: np.ndarray  # (B,), float64, of each among all that could be drawn


class ReplayBuffer(TransitionStore):
    """Transitions of the past, drawn uniformly or in proportion to their priority."""

    def __init__(self, options: ReplayOptions, seed: int | np.random.SeedSequence):
        """An empty buffer. Its arrays take up memory only as they are filled.

        Args:
          options: what is stored, and how it is drawn.
          seed: of the generator that every draw comes from.

        Raises:
          ValueError: when the full buffer would not fit into the machine's memory.
        """
        self.bytes_needed = check_replay_memory(options)
        super().__init__(options)
        self._tree = SumTree(options.capacity) if options.prioritized else None
        self._generator = np.random.default_rng(seed)
        # Of transitions that were never drawn: the highest ever set, and 1 at the least.
        self._highest = 1.0

    @property
    def add_count(self) -> int:
        """How many transitions could ever be drawn, those since overwritten included."""
        return self.end_key

    def add(
        self,
        observation: Any,
        action: Any,
        reward: float,
        terminal: bool,
        episode_end: bool = False,
    ) -> tuple[int, int]:
        """`TransitionStore.add`; transitions that are new have the highest priority ever set."""
        first, end = super().add(observation, action, reward, terminal, episode_end)
        if self._tree is not None:
            for key in range(first, self.first_key):
                self._tree.set_one(key % self.options.capacity, 0.0)
            for key in range(end, self.end_key):
                self._tree.set_one(key % self.options.capacity, self._highest)
        return first, end

    # Drawing.

    def sample(self, size: int | None = None) -> Sample:
        """Draws transitions with replacement: uniformly, or in proportion to their priorities.

        Args:
          size: B; None for the batch size of the options.

        Returns:
          The batch, in new arrays whose contents never change; see `gather`.

        Raises:
          ValueError: when there are no transitions.
        """
        size = self.options.batch_size if size is None else size
        tree = self._tree
        if tree is None or tree.total == 0.0:
            keys = self.draw_uniformly(self._generator, size)
            probabilities = np.full(size, 1.0 / len(self))
        else:
            leaves = tree.find(self._generator.uniform(0.0, tree.total, size))
            probabilities = tree.get(leaves) / tree.total
            first = self.first_key
            # The one key in [first, first + C) of that leaf.
            keys = first + (leaves - first) % self.options.capacity
        return Sample(self.gather(keys), keys, probabilities)

    def draw_uniformly(self, generator: np.random.Generator, size: int) -> np.ndarray:
        """Keys of transitions, int64 (size,), drawn uniformly and with replacement.

        With a generator of one's own, nothing of the buffer changes. The first of them do not
        depend on `size`.

        Raises:
          ValueError: when there are no transitions.
        """
        if len(self) == 0:
            raise ValueError("a sample needs a transition in the replay; got none")
        return generator.integers(self.first_key, self.end_key, size)

    def set_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
        """Sets the priorities of transitions that were drawn; those since overwritten stay gone.

        Args:
          keys: (B,), of a `Sample`; of one that occurs twice, the last priority counts.
          priorities: (B,), finite and >= 0, before `priority_exponent` is applied.

        Raises:
          ValueError: when the buffer is not prioritized, or a priority is negative or not finite,
            before the exponent is applied or after.
        """
        if self._tree is None:
            raise ValueError("`prioritized` must be True to set priorities; got False")
        given, exponent = np.asarray(priorities, np.float64), self.options.priority_exponent
        allowed = np.isfinite(given) & (given >= 0.0)
        check(allowed.all(), "priorities", "finite and >= 0", given)
        with np.errstate(over="ignore"):
            # 0 ** 0 is 1, but what has no priority is not drawn.
            values = np.where(given == 0.0, 0.0, given**exponent)
        if not np.isfinite(values).all():
            raise ValueError(f"`priorities` ** {exponent} must be finite; got {given}")
        stored = keys >= self.first_key
        self._tree.set(keys[stored] % self.options.capacity, values[stored])
        self._highest = max(self._highest, values.max(initial=0.0))

    # Checkpoints.

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "ReplayBuffer":
        """A buffer like the one whose `state` this is, and in that state.

        The discount and the batch size of a draw are not stored: they are the defaults of
        `ReplayOptions`.

        Raises:
          KeyError, TypeError, ValueError: when it is not what `state` returned; the last one also
            when the full buffer would not fit into the machine's memory.
        """
        # The generator's state is restored: the seed does not matter.
        buffer = cls(ReplayOptions(**json.loads(state["fixed"])), seed=0)
        buffer.restore(state)
        return buffer

    def state(self) -> dict[str, Any]:
        """All that later draws depend on: arrays, the filled part of them as views, and values."""
        arrays = self.filled()
        if self._tree is not None:
            keys = np.arange(self.first_key, self.end_key)
            arrays["priority"] = self._tree.get(keys % self.options.capacity)
        return {
            "arrays": arrays,
            "fixed": json.dumps(self.options.fixed()),
            "counters": self.counters(),
            "highest_priority": self._highest,
            "generator": self._generator.bit_generator.state,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state` returned: all later draws are those of that buffer.

        Raises:
          ValueError: when it is of a buffer with other options; this one is then as it was.
        """
        fixed, found = self.options.fixed(), json.loads(state["fixed"])
        other = [name for name in fixed if found[name] != fixed[name]]
        if other:
            raise ValueError(
                f"the replay must be one with"
                f" {', '.join(f'{name} {found[name]}' for name in other)}, as it was saved;"
                f" got {', '.join(f'{name} {fixed[name]}' for name in other)}"
            )
        arrays = dict(state["arrays"])
        if self._tree is not None:
            keys = np.arange(state["counters"]["first_key"], state["counters"]["end_key"])
            values = np.zeros(self.options.capacity)
            values[keys % self.options.capacity] = arrays.pop("priority")
            self._tree.set_all(values)
        self.set_counters(state["counters"])
        for name, array in self.filled().items():
            array[...] = arrays[name]
        self._highest = state["highest_priority"]
        self._generator.bit_generator.state = state["generator"]


def importance_weights(probabilities: np.ndarray) -> np.ndarray:
    """Weights float32 (B,) that make up for how transitions were drawn, the largest 1.

    1 / sqrt(probability): the exponent is fixed at 0.5, as in Dopamine, where Schaul et al. (2016)
    raise it from 0.4 to 1.

    Args:
      probabilities: (B,), of a `Sample`.
    """
    weights = 1.0 / np.sqrt(probabilities + _EPSILON)
    return (weights / weights.max()).astype(np.float32)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a replay stores and how it is sampled: one frozen description, from which the arrays, the
bytes that they need and the check of a checkpoint all follow."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from dormant.checks import check, check_count, check_number, is_count


@dataclasses.dataclass(frozen=True)
class ReplayOptions:
    """What a replay stores and how it is sampled.

    Attributes:
      capacity: C, transitions stored at most, at least stack_size + update_horizon.
      observation_shape: shape of one frame, without the axis of the stack: (84, 84) for Atari.
      observation_dtype: of a frame; uint8 for Atari.
      stack_size: frames of a state, >= 1; they are its last axis.
      update_horizon: n of n-step returns, >= 1.
      discount: of one step, in [0, 1].
      action_shape: shape of one action; () for a discrete one.
      action_dtype: int32 for discrete actions, float32 for continuous ones.
      prioritized: transitions are drawn in proportion to priority ** priority_exponent (Schaul et
        al., 2016) instead of uniformly.
      priority_exponent: >= 0.
      batch_size: B, transitions of a sample where no size is given, >= 1.

    Raises:
      ValueError: when an attribute is not allowed.
    """

    capacity: int
    observation_shape: tuple[int, ...]
    observation_dtype: np.dtype = np.dtype(np.uint8)
    stack_size: int = 1
    update_horizon: int = 1
    discount: float = 0.99
    action_shape: tuple[int, ...] = ()
    action_dtype: np.dtype = np.dtype(np.int32)
    prioritized: bool = False
    priority_exponent: float = 1.0
    batch_size: int = 32

    def __post_init__(self) -> None:
        for name in ("stack_size", "update_horizon", "batch_size"):
            check_count(name, getattr(self, name), 1)
        least = self.stack_size + self.update_horizon
        allowed = f"a whole number >= {least} (stack_size + update_horizon)"
        check(is_count(self.capacity, least), "capacity", allowed, self.capacity)
        check_number("discount", self.discount, 0, 1)
        check_number("priority_exponent", self.priority_exponent, 0)
        # Frozen: the given values are replaced by their canonical forms, once.
        for name in ("observation_dtype", "action_dtype"):
            object.__setattr__(self, name, np.dtype(getattr(self, name)))
        for name in ("observation_shape", "action_shape"):
            object.__setattr__(self, name, tuple(int(size) for size in getattr(self, name)))

    def arrays(self) -> Mapping[str, tuple[tuple[int, ...], np.dtype]]:
        """{name: (shape, dtype)} of what is stored, one row a transition."""
        rows = (self.capacity,)
        return {
            "observation": (rows + self.observation_shape, self.observation_dtype),
            "action": (rows + self.action_shape, self.action_dtype),
            "reward": (rows, np.dtype(np.float32)),
            "terminal": (rows, np.dtype(np.bool_)),
            # Agent steps since the start of its episode.
            "age": (rows, np.dtype(np.int32)),
            # The count of each transition that can be drawn, in the order in which it could be.
            "eligible": (rows, np.dtype(np.int64)),
        }

    def fixed(self) -> dict[str, object]:
        """What a checkpoint's arrays depend on, as JSON can hold it."""
        return {
            "capacity": int(self.capacity),
            "observation_shape": list(self.observation_shape),
            "observation_dtype": self.observation_dtype.str,
            "action_shape": list(self.action_shape),
            "action_dtype": self.action_dtype.str,
            "stack_size": int(self.stack_size),
            "update_horizon": int(self.update_horizon),
            "prioritized": bool(self.prioritized),
        }

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Experience replay on the host, in NumPy: each frame stored once; stacks and n-step returns made
when sampled; uniform or prioritized. Pure but for NumPy and the learners' `Batch`."""

from dormant.replay.buffer import ReplayBuffer, Sample, importance_weights
from dormant.replay.memory import (
    bytes_needed,
    check_replay_memory,
    describe_memory,
    replay_shortage,
)
from dormant.replay.options import ReplayOptions
from dormant.replay.sum_tree import SumTree
from dormant.replay.transitions import TransitionStore

__all__ = (
    "ReplayBuffer",
    "ReplayOptions",
    "Sample",
    "SumTree",
    "TransitionStore",
    "bytes_needed",
    "check_replay_memory",
    "describe_memory",
    "importance_weights",
    "replay_shortage",
)

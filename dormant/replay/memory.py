# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The bytes that replays will need, and whether the machine has them."""

import math

from dormant.memory import machine_memory, may_be_used, readable, shortage
from dormant.replay.options import ReplayOptions
from dormant.replay.sum_tree import SumTree


def bytes_needed(options: ReplayOptions) -> int:
    """Bytes of all arrays of a replay once it is full: 7 077 per Atari transition, with priorities
    16 to 32 more. The operating system hands them out as transitions are added."""
    total = sum(math.prod(shape) * dtype.itemsize for shape, dtype in options.arrays().values())
    return total + (SumTree.bytes_needed(options.capacity) if options.prioritized else 0)


def check_replay_memory(options: ReplayOptions, available: int | None = None) -> int:
    """Checks that a full replay fits into what `memory.may_be_used` allows on this machine.

    Args:
      options: of the replay.
      available: bytes; None for `machine_memory()`.

    Returns:
      `bytes_needed(options)`.

    Raises:
      ValueError: when it cannot, with both numbers.
    """
    available = machine_memory() if available is None else available
    problem = replay_shortage(options, available=available)
    needed = bytes_needed(options)
    if problem is not None and available is not None:
        fits = options.capacity * may_be_used(available) // needed
        raise ValueError(
            f"`capacity` must fit into this machine's memory: {problem}, enough for {fits}"
            f" transitions; got {options.capacity}"
        )
    return needed


def replay_shortage(*replays: ReplayOptions, available: int | None = None) -> str | None:
    """Why full replays do not all fit into what `memory.may_be_used` allows on this machine; None
    where they do.

    Args:
      *replays: of one process.
      available: bytes; None for `machine_memory()`.
    """
    available = machine_memory() if available is None else available
    return shortage(sum(map(bytes_needed, replays)), available)


def describe_memory(*replays: ReplayOptions) -> str:
    """A line that says what the replays of a run take up once they are full, and of how much."""
    available = machine_memory()
    of_which = "" if available is None else f" of this machine's {readable(available)}"
    needed = readable(sum(map(bytes_needed, replays)))
    stored = sum(options.capacity for options in replays)
    kind = "a full replay" if len(replays) == 1 else f"{len(replays)} full replays"
    return f"{kind} of {stored} transitions: {needed}{of_which}"

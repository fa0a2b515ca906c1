# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The bytes that a replay will need, and whether the machine has them."""

import contextlib
import math
import os
from pathlib import Path

from dormant.replay.options import ReplayOptions
from dormant.replay.sum_tree import SumTree

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_CONTROL_GROUP = Path("/proc/self/cgroup")
# Of memory that replays may take up; the rest of the process needs some, too.
_SHARE = 0.9


def bytes_needed(options: ReplayOptions) -> int:
    """Bytes of all arrays of a replay once it is full: 7 077 per Atari transition, with priorities
    16 to 32 more. The operating system hands them out as transitions are added."""
    total = sum(math.prod(shape) * dtype.itemsize for shape, dtype in options.arrays().values())
    return total + (SumTree.bytes_needed(options.capacity) if options.prioritized else 0)


def machine_memory(
    groups: Path = _CONTROL_GROUPS, own_group: Path = _OWN_CONTROL_GROUP
) -> int | None:
    """Bytes that this process can have: physical memory, or less where its control group says so.

    None where neither can be told, as on systems without `sysconf`.
    """
    found = _control_group_limits(groups, own_group)
    with contextlib.suppress(AttributeError, OSError, ValueError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(found, default=None)


def check_memory(options: ReplayOptions, available: int | None = None) -> int:
    """Checks that a replay can become full in 90 % of this machine's memory.

    Args:
      options: of the replay.
      available: bytes; None for `machine_memory()`.

    Returns:
      `bytes_needed(options)`.

    Raises:
      ValueError: when it cannot, with both numbers.
    """
    available = machine_memory() if available is None else available
    problem = shortage(options, available=available)
    needed = bytes_needed(options)
    if problem is not None and available is not None:
        fits = int(options.capacity * _SHARE * available / needed)
        raise ValueError(
            f"`capacity` must fit into this machine's memory: {problem}, enough for {fits}"
            f" transitions; got {options.capacity}"
        )
    return needed


def shortage(*replays: ReplayOptions, available: int | None = None) -> str | None:
    """Why replays cannot all become full in 90 % of this machine's memory; None where they can.

    Args:
      *replays: of one process.
      available: bytes; None for `machine_memory()`.
    """
    needed = sum(map(bytes_needed, replays))
    available = machine_memory() if available is None else available
    if available is None or needed <= _SHARE * available:
        return None
    share = f"{100 * _SHARE:.0f} % of {_readable(available)}"
    return f"{_readable(needed)} are needed, {_readable(_SHARE * available)} may be used ({share})"


def describe_memory(*replays: ReplayOptions) -> str:
    """A line that says what the replays of a run take up once they are full, and of how much."""
    available = machine_memory()
    of_which = "" if available is None else f" of this machine's {_readable(available)}"
    needed = _readable(sum(map(bytes_needed, replays)))
    stored = sum(options.capacity for options in replays)
    kind = "a full replay" if len(replays) == 1 else f"{len(replays)} full replays"
    return f"{kind} of {stored} transitions: {needed}{of_which}"


def _readable(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.2f} MB"


def _control_group_limits(groups: Path, own_group: Path) -> list[int]:
    """The limits of the process's own group and of those above it, version 2 or 1."""
    files = [groups / "memory.max", groups / "memory" / "memory.limit_in_bytes"]
    try:
        lines = own_group.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        own = Path(path.strip("/"))
        for group in (own, *own.parents):
            if not controllers:
                files.append(groups / group / "memory.max")
            elif "memory" in controllers.split(","):
                files.append(groups / "memory" / group / "memory.limit_in_bytes")
    limits = []
    for file in files:
        # No such group, or "max": no limit.
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(file.read_text(encoding="utf-8")))
    return limits

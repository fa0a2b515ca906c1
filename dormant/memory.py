# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The bytes that arrays will need, and whether the machine has them, before they are asked for."""

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dormant import hardware
from dormant.checks import shown

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_CONTROL_GROUP = Path("/proc/self/cgroup")
# Of memory that arrays may take up; the rest of the process needs some, too.
_SHARE = 0.9
_COUNTABLE = 10**24


def bytes_of(tree: Any) -> int:
    """Bytes of a tree of arrays, or of what has their shapes and dtypes, as `jax.eval_shape`."""
    return sum(
        math.prod(leaf.shape) * _itemsize(leaf.dtype)
        for leaf in jax.tree.leaves(tree)
        if hasattr(leaf, "shape") and hasattr(leaf, "dtype")
    )


def _itemsize(dtype: Any) -> int:
    if jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
        return bytes_of(jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))))
    return np.dtype(dtype).itemsize


def machine_memory(
    groups: Path = _CONTROL_GROUPS, own_group: Path = _OWN_CONTROL_GROUP
) -> int | None:
    """Bytes that this process can have: physical memory, or less where its control group says so.

    None where neither can be told, as on systems without `sysconf`, or where programs are compiled
    for other hardware than this machine's.
    """
    if hardware.target() is not None:
        return None
    found = _control_group_limits(groups, own_group)
    with contextlib.suppress(AttributeError, OSError, ValueError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(found, default=None)


def resident_bytes() -> int | None:
    """Bytes of physical memory that this process has now; None where the system does not tell."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None


def device_memory(devices: Sequence[jax.Device] | None = None) -> int | None:
    """Bytes of the first of some devices, or of JAX's default one; a CPU's are the machine's. Where
    programs are compiled for other hardware, those of one chip of it.

    None where they cannot be told.
    """
    target = hardware.target()
    if target is not None:
        return target.chip and target.chip.memory
    device = devices[0] if devices else jax.devices()[0]
    if device.platform == "cpu":
        return machine_memory()
    return (device.memory_stats() or {}).get("bytes_limit")


def may_be_used(available: int) -> int:
    """Of so many bytes those that arrays may take up."""
    return int(_SHARE * available)


def shortage(needed: int, available: int | None) -> str | None:
    """Why so many bytes cannot be had; None where they can, or where it cannot be told."""
    if available is None or needed <= _SHARE * available:
        return None
    share = f"{100 * _SHARE:.0f} % of {readable(available)}"
    return f"{readable(needed)} are needed, {readable(_SHARE * available)} may be used ({share})"


def check_memory(name: str, value: Any, needed: int, what: str, available: int | None) -> None:
    """Checks that the arrays which an option asks for fit.

    Args:
      name, value: of the option.
      needed: bytes.
      what: needs them, in words.
      available: bytes; None where they cannot be told.

    Raises:
      ValueError: when they do not, with both numbers.
    """
    problem = shortage(needed, available)
    if problem is not None:
        raise ValueError(f"`{name}` must leave memory for {what}: {problem}; got {shown(value)}")


def check_network_memory(
    name: str, value: Any, params: Any, beside: str, available: int | None
) -> None:
    """Checks that a network's parameters fit with what training keeps beside them.

    Args:
      name, value: of the option that asks for the network.
      params: tree of its parameters, or of their shapes and dtypes.
      beside: a copy of the parameters and two moments of each, in words: "target and Adam's
        moments".
      available: bytes; None where they cannot be told.

    Raises:
      ValueError: when they do not, with both numbers.
    """
    # The parameters, their copy and the two moments.
    check_memory(name, value, 4 * bytes_of(params), f"parameters, their {beside}", available)


def readable(count: float) -> str:
    """So many bytes as a person reads them."""
    if count > _COUNTABLE:
        return f"over {readable(_COUNTABLE)}"
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

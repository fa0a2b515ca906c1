# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Kernels within larger arrays, such as `W[i]`: whether two have entries in common, their names."""

from collections.abc import Sequence

import numpy as np

from dormant.tracing.connections import EntryMap
from dormant.tracing.labels import NONE


def overlap(first: EntryMap, second: EntryMap) -> bool:
    """Whether two maps use an entry of the same array."""
    if first.leaf != second.leaf:
        return False
    ndim = max((*first.axes, *second.axes), default=-1) + 1
    return bool((_used(first, ndim) & _used(second, ndim)).any())


def any_overlap(some: Sequence[EntryMap], others: Sequence[EntryMap]) -> bool:
    """Whether entries of one sequence are entries of the other too."""
    return any(overlap(one, other) for one in some for other in others)


def within(shape: tuple[int, ...], maps: Sequence[EntryMap]) -> str:
    """Where in an array of that shape the entries of `maps` lie, as one indexes it: `[2]`,
    `[0:36]`, or nothing for the whole of it."""
    used = np.zeros((1,) * len(shape), bool)
    for entries in maps:
        used = used | _used(entries, len(shape))
    if not used.any():
        return ""
    places = []
    for axis, size in enumerate(shape):
        others = tuple(a for a in range(len(shape)) if a != axis)
        along = np.flatnonzero(np.broadcast_to(used.any(axis=others), size))
        low, high = int(along[0]), int(along[-1]) + 1
        if (low, high) == (0, size):
            places.append(":")
        else:
            places.append(str(low) if high == low + 1 else f"{low}:{high}")
    while places and places[-1] == ":":
        places.pop()
    return f"[{', '.join(places)}]" if places else ""


def _used(entries: EntryMap, ndim: int) -> np.ndarray:
    """Which entries are used: bool, with an axis of size 1 where it does not change."""
    shape = [1] * ndim
    for axis, size in zip(entries.axes, entries.index.shape, strict=True):
        shape[axis] = size
    return (entries.index != NONE).reshape(shape)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Weights that are used several times: which uses are of one layer, and what else uses them."""

from collections.abc import Iterable, Sequence

import numpy as np

from dormant.tracing.connections import Connections, EntryMap, LinearMap, Read
from dormant.tracing.labels import NONE

_Rows = frozenset[tuple]


def group_uses(maps: Sequence[LinearMap]) -> list[tuple[int, ...]]:
    """The linear maps of a program, those of one layer together, by their first use.

    A layer is used several times where the same kernel entries feed the same neurons, as when two
    methods call one torso, or a siamese network is applied to two inputs.
    """
    groups: dict[tuple, list[int]] = {}
    for number, linear_map in enumerate(maps):
        groups.setdefault(layer_key(linear_map), []).append(number)
    return [tuple(uses) for uses in groups.values()]


def layer_key(linear_map: LinearMap) -> tuple:
    """Equal for the uses of one layer."""
    columns = tuple(map(_key, linear_map.columns))
    return linear_map.neurons, linear_map.normalized, columns


class Sharing:
    """What the layers of a program share with each other; used once per analysis."""

    def __init__(self, connections: Connections, groups: Sequence[tuple[int, ...]]):
        self.group_of = {use: uses for uses in groups for use in uses}
        self.reads_by: dict[int, list[Read]] = {}
        for read in connections.reads:
            self.reads_by.setdefault(read.reader, []).append(read)

    def other_readings(self, uses: tuple[int, ...], reader: int) -> bool:
        """Whether a use of the layer `reader` reads other values with the weights that read `uses`.

        Those weights can only be cut where every use of them reads these neurons.
        """
        rows = {use: self._rows(uses, use) for use in self.group_of[reader]}
        return len(set(rows.values())) > 1

    def _rows(self, uses: tuple[int, ...], reader: int) -> _Rows:
        reads = self.reads_by.get(reader, ())
        return frozenset(_key(rows) for read in reads if read.layer in uses for rows in read.rows)


def consistent(entries: Iterable[EntryMap]) -> bool:
    """Whether no entry belongs to two different neurons of one layer."""
    seen: dict[int, list[EntryMap]] = {}
    for each in entries:
        for other in seen.setdefault(each.leaf, []):
            if other.axes != each.axes or different_neurons(other.index, each.index):
                return False
        seen[each.leaf].append(each)
    return True


def different_neurons(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two broadcastable indices put different neurons in one place."""
    both = (first != NONE) & (second != NONE)
    return bool((both & (first != second)).any())


def _key(entries: EntryMap) -> tuple:
    index = np.ascontiguousarray(entries.index)
    return entries.leaf, entries.axes, index.shape, index.tobytes(), entries.shared

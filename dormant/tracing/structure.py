# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How the layers of a program hang together: their uses, their readers, and what acts on them."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from dormant.graph import plain_path
from dormant.tracing import labels as lb
from dormant.tracing.connections import Connections, Elementwise, EntryMap, Read
from dormant.tracing.jaxpr import Program
from dormant.tracing.layer_names import unique_names
from dormant.tracing.uses import group_uses

_MASKS = ("mask", "masks")


class Structure:
    """The connections of a program, looked up from either side.

    A layer is called by the number of its first use; its uses are linear maps.
    """

    def __init__(self, program: Program, connections: Connections, paths: Sequence[str]):
        self.program, self.connections, self.paths = program, connections, tuple(paths)
        self.maps, self.labels_of = connections.maps, connections.layers_of
        self.producer = {v: op for op in program.operations for v in op.outputs}
        # Of each value that an operation makes, where that stands among all.
        self.position = {v: at for at, op in enumerate(program.operations) for v in op.outputs}
        self.uses = {uses[0]: uses for uses in group_uses(connections.maps)}
        self.layer_of = {use: number for number, uses in self.uses.items() for use in uses}
        leaf_shapes = [program.shapes[value] for value in program.parameters]
        self.names = unique_names(
            connections, self.paths, leaf_shapes, self.layer_of, self.preference
        )
        self.reads: dict[int, list[Read]] = {}
        for read in connections.reads:
            self.reads.setdefault(self.layer_of[read.layer], []).append(read)
        self.acting_on: dict[int, list[Elementwise]] = {}  # by linear map
        for each in connections.elementwise:
            self.acting_on.setdefault(each.layer, []).append(each)

    def is_mask(self, leaf: int) -> bool:
        """Whether an array is a mask, by its dtype or its name: what is pruned stays so."""
        is_number = self.program.holds_numbers(self.program.parameters[leaf])
        return not is_number or _is_named_a_mask(self.paths[leaf])

    def of_neurons(self, uses: Iterable[int], neurons: np.ndarray) -> Connections:
        """The connections as if uses of one layer had these neurons alone, bool (H,)."""
        if neurons.all():
            return self.connections
        layers_of = dict(self.labels_of)
        for use in uses:
            for value, labels in layers_of.items():
                if use in labels:
                    kept = lb.of_neurons(labels[use], neurons)
                    others = {other: label for other, label in labels.items() if other != use}
                    layers_of[value] = others if kept is None else others | {use: kept}
        return self.connections._replace(layers_of=layers_of)

    def preference(self, entries: EntryMap) -> tuple[bool, int]:
        """Greater for entries of the kernel than for those of its scale, least for its mask's."""
        shape = self.program.shapes[self.program.parameters[entries.leaf]]
        beside = math.prod(size for axis, size in enumerate(shape) if axis not in entries.axes)
        return not self.is_mask(entries.leaf), beside * int((entries.index != lb.NONE).sum())

    def is_carried(self, use: int, value: int) -> bool:
        """Whether a value holds neurons of a use as a loop carries them from step to step."""
        return self.labels_of[value][use].mixing == lb.CARRIED

    def ancestors(self, number: int, value: int) -> set[int]:
        """The values that hold the layer and lead to `value`."""
        found, pending = set(), [value]
        while pending:
            value = pending.pop()
            if value not in found and self.connections.holds(value, number):
                found.add(value)
                pending.extend(self.producer[value].inputs)
        return found

    def ancestors_of(self, values: Mapping[int, Iterable[int]]) -> set[int]:
        """The values that lead to those of any use, given as `{use: values}`."""
        found = (self.ancestors(use, value) for use, each in values.items() for value in each)
        return set().union(*found)

    def leading_to(self, values: Iterable[int]) -> set[int]:
        """All values from which the given ones are computed, and themselves."""
        found, pending = set[int](), list(values)
        while pending:
            value = pending.pop()
            if value not in found:
                found.add(value)
                if value in self.producer:
                    pending += self.producer[value].inputs
        return found


def _is_named_a_mask(path: str) -> bool:
    """By its own name, such as `kernel_mask`, or that of its tree; a layer may be called
    `mask_encoder`."""
    parts = plain_path(path).lower().split("/")
    return parts[0] in _MASKS or any(word in _MASKS for word in re.split("[^a-z]+", parts[-1]))

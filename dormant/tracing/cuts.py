# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which entries of a reader are zeroed so that it no longer reads a neuron."""

import math

from dormant.tracing.connections import EntryMap, Read
from dormant.tracing.structure import Structure
from dormant.tracing.zero_rules import zero_with_parameters


class Cuts:
    """The cut of any read of a program; used once per analysis."""

    def __init__(self, structure: Structure):
        self.structure = structure
        self.known: dict[frozenset[int], set[int]] = {}

    def of(self, read: Read) -> tuple[EntryMap, ...] | None:
        """The entries that are zeroed: those of one factor where the kernel is a product of
        several, since from two zeros no gradient leads back. None if the weights are not zero even
        where all of them are.

        Of several factors the largest is zeroed, as the kernel rather than its scales.
        """
        cut = [entries for entries in read.rows if not entries.shared]
        uncut = frozenset(entries.leaf for entries in read.rows if entries.shared)
        if not self._is_zero(read, uncut):
            return None
        for entries in sorted(reversed(cut), key=self._size):
            if len(cut) > 1 and self._is_zero(read, uncut | {entries.leaf}):
                cut.remove(entries)
                uncut |= {entries.leaf}
        return tuple(cut)

    def _size(self, entries: EntryMap) -> tuple[bool, int]:
        """By which factors are spared: integers and booleans, which are masks, then small ones."""
        program = self.structure.program
        value = program.parameters[entries.leaf]
        return program.holds_numbers(value), math.prod(program.shapes[value])

    def _is_zero(self, read: Read, uncut: frozenset[int]) -> bool:
        """Whether the kernels are zero where their parameters are, but for those `uncut`."""
        structure = self.structure
        if uncut not in self.known:
            self.known[uncut] = zero_with_parameters(
                structure.program, structure.connections, uncut
            )
        return self.known[uncut].issuperset(structure.maps[read.reader].kernels)

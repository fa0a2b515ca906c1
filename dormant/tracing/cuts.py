# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which entries of a reader are zeroed so that it no longer reads a neuron."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dormant.tracing.connections import EntryMap, Read
from dormant.tracing.jaxpr import Operation
from dormant.tracing.slopes import changing
from dormant.tracing.structure import Structure
from dormant.tracing.zero_rules import zero_with_parameters

_MOST_ARRAYS = 6  # of a kernel, for which each set of them is tried


class Cut(NamedTuple):
    """What is zeroed of a reader, and why it cannot be; None where it can."""

    entries: tuple[EntryMap, ...]
    problem: str | None = None


class Cuts:
    """The cut of any read of a program; used once per analysis."""

    def __init__(self, structure: Structure):
        self.structure = structure
        self.known: dict[frozenset[int], set[int]] = {}
        self.cuts: dict[int, Cut] = {}  # by the read's identity: the structure keeps them all

    def of(self, read: Read) -> Cut:
        """The entries that are zeroed: those of one factor where the kernel is a product of
        several, since from two zeros no gradient leads back.

        It is the largest factor that gets a gradient, the kernel rather than its scales, and a mask
        only where nothing else does.
        """
        if id(read) not in self.cuts:
            self.cuts[id(read)] = self._find(read)
        return self.cuts[id(read)]

    def _find(self, read: Read) -> Cut:
        shared = frozenset(entries.leaf for entries in read.rows if entries.shared)
        becomes_zero = False
        for entries in self._candidates(read):
            cut = {each.leaf for each in entries}
            uncut = shared | {each.leaf for each in read.rows if each.leaf not in cut}
            zero = self._zero_without(uncut)
            if zero.issuperset(self.structure.maps[read.reader].kernels):
                becomes_zero = True
                if all(self._learns(read, leaf, zero) for leaf in cut):
                    return Cut(entries)
        why = "have no gradient where their parameters are 0: no neuron would be read again"
        if not becomes_zero:
            why = "are not 0 where their parameters are"
        return Cut(read.rows, f"the weights of {self.structure.names[read.reader]} {why}")

    def _candidates(self, read: Read) -> Iterator[tuple[EntryMap, ...]]:
        """Sets of entries, those with the largest arrays first and with masks last."""
        own = [entries for entries in read.rows if not entries.shared]
        own.sort(key=self.structure.preference, reverse=True)
        if len(own) > _MOST_ARRAYS:
            yield from (tuple(own), *((entries,) for entries in own))
            return
        for chosen in itertools.product((True, False), repeat=len(own)):
            if any(chosen):
                yield tuple(itertools.compress(own, chosen))

    def _zero_without(self, uncut: frozenset[int]) -> set[int]:
        """The values that are zero where their parameters are, but for those `uncut`."""
        structure = self.structure
        if uncut not in self.known:
            self.known[uncut] = zero_with_parameters(
                structure.program, structure.connections, uncut
            )
        return self.known[uncut]

    def _learns(self, read: Read, leaf: int, zero: set[int]) -> bool:
        """Whether a gradient leads from the kernel that a leaf is a part of back to it."""
        program, bounds = self.structure.program, self.structure.connections.bounds
        start = program.parameters[leaf]
        return any(
            kernel in changing(self._leading_to(kernel), start, zero, bounds)
            for kernel in self.structure.maps[read.reader].kernels
        )

    def _leading_to(self, kernel: int) -> Sequence[Operation]:
        """The operations that make a kernel, in order."""
        structure = self.structure
        made = structure.leading_to([kernel]) & structure.producer.keys()
        places = sorted({structure.position[value] for value in made})
        return [structure.program.operations[at] for at in places]

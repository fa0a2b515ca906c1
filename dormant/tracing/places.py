# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Where a layer is measured: at one value of each use, or its neurons at several."""

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import NamedTuple

import numpy as np

from dormant.tracing import labels as lb
from dormant.tracing.activations import activation_value
from dormant.tracing.labels import MIXED, NONE
from dormant.tracing.loops import CARRY
from dormant.tracing.structure import Structure


class Part(NamedTuple):
    """Neurons of a layer that are measured at the same values; all of them, if it is not split."""

    neurons: np.ndarray  # bool (H,)
    values: dict[int, int]  # by use, of those uses that read the neurons


def values_of(parts: Iterable[Part]) -> dict[int, tuple[int, ...]]:
    """The values that a layer is measured at, by use."""
    found: dict[int, dict[int, None]] = {}
    for part in parts:
        for use, value in part.values.items():
            found.setdefault(use, {})[value] = None
    return {use: tuple(values) for use, values in found.items()}


class Places:
    """Finds the places of any layer; used once per analysis."""

    def __init__(self, structure: Structure):
        self.structure = structure

    def of(self, uses: Sequence[int]) -> tuple[Part, ...]:
        """The values after the layer's own non-linearity, before the first reader of all neurons
        or, if none reads all, the first of each.

        They are several where a layer is split and each part has a non-linearity of its own, as
        that of a shared first layer of two heads. Of several uses each neuron is measured in those
        where it is read.
        """
        read = np.array([self._read(use) for use in uses])
        read |= ~read.any(axis=0)
        places = np.full(read.shape, NONE)  # (uses, H) values
        for row, use, wanted in zip(places, uses, read, strict=True):
            for value, neurons in self._places(use, wanted):
                row[neurons] = value
        parts = []
        for column in np.unique(places, axis=1).T:
            values = {use: int(value) for use, value in zip(uses, column, strict=True)}
            held = {use: value for use, value in values.items() if value != NONE}
            parts.append(Part((places == column[:, None]).all(axis=0), held))
        return tuple(parts)

    def linear(self, part: Part) -> Part:
        """The same neurons where the linear map of each use returns them."""
        return part._replace(values={use: self.structure.maps[use].output for use in part.values})

    def _read(self, use: int) -> np.ndarray:
        """bool (H,): which neurons some layer reads in this use; all where none does, since they
        lead elsewhere then."""
        structure = self.structure
        found = np.zeros(structure.maps[use].neurons, bool)
        reads = [r for r in structure.reads[structure.layer_of[use]] if r.layer == use]
        for read in reads:
            held = self._neurons(use, read.operand)
            found |= held | (structure.is_carried(use, read.operand) or not held.any())
        return found if reads else ~found

    def _places(self, use: int, wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Where neurons of one use, bool (H,), are measured: values, each with its neurons."""
        left = wanted.copy()
        operands = self._operands(use)
        for operand in operands:
            if (self._neurons(use, operand) | ~wanted).all():
                yield self._activation(use, operand, wanted), wanted
                return
        for operand in operands:
            neurons = self._neurons(use, operand) & left
            if neurons.any():
                left &= ~neurons
                yield self._activation(use, operand, neurons), neurons
        for end, neurons in self._ends(use, operands, left):
            yield self._activation(use, end, neurons), neurons

    def _operands(self, use: int) -> list[int]:
        """What reads a use of a layer, within one step of a loop."""
        structure = self.structure
        return [
            read.operand
            for read in structure.reads[structure.layer_of[use]]
            if read.layer == use and not structure.is_carried(use, read.operand)
        ]

    def _activation(self, use: int, operand: int, neurons: np.ndarray) -> int:
        """The value of some neurons after their non-linearity on the way to `operand`."""

        def is_whole(value: int) -> bool:
            """Whether a value holds each of the neurons by itself."""
            holds = self._neurons(use, value)
            return bool((holds | ~neurons).all()) and not self._joins_uses(use, value)

        structure = self.structure
        connections = structure.of_neurons([use], neurons)
        return activation_value(
            structure.program, connections, use, operand, structure.position, is_whole
        )

    def _ends(
        self, use: int, operands: Sequence[int], left: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray]]:
        """The values with which the ways of those neurons (bool (H,)) end that are read in company,
        as gates are, or not at all: before they are mixed with others, or are carried to the next
        step of a loop."""
        left = left.copy()
        if operands:
            way = self.structure.ancestors_of({use: operands})
            yield from self._ends_on(use, left, way)
        yield from self._ends_on(use, left, None)

    def _ends_on(
        self, use: int, left: np.ndarray, way: Set[int] | None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """The last values on a way, or of all, that hold neurons which are left; on a way those
        alone that are mixed with others there. Takes them from `left`."""
        structure = self.structure
        start = structure.maps[use].output
        nothing = np.zeros_like(left)
        ahead = {start: self._neurons(use, start)}
        goes_on, mixed = dict[int, np.ndarray](), set[int]()
        for operation in structure.program.operations[structure.position[start] + 1 :]:
            if operation.name == CARRY.name or ahead.keys().isdisjoint(operation.inputs):
                continue
            for value in operation.outputs:
                if not structure.connections.holds(value, use) or (way and value not in way):
                    continue
                if structure.is_carried(use, value):
                    continue
                ahead[value] = self._neurons(use, value)
                for entering in operation.inputs:
                    goes_on[entering] = goes_on.get(entering, nothing) | ahead[value]
                    if not ahead[value].any():
                        mixed.add(entering)
        # The last first: squares of a norm end on the way to its variance.
        for value, held in reversed(ahead.items()):
            neurons = held & left & ~goes_on.get(value, nothing)
            if neurons.any() and (way is None or value in mixed):
                left &= ~neurons
                yield value, neurons

    def _neurons(self, use: int, value: int) -> np.ndarray:
        """bool (H,): which neurons a value holds; none where several are mixed.

        A statistic over them, as that of a normalization, leaves each in its place, also where it
        mixes into what lies beside them.
        """
        found = np.zeros(self.structure.maps[use].neurons, bool)
        label = self.structure.labels_of.get(value, {}).get(use)
        if label is not None:
            index = lb.trim(label.index)
            if label.mixing == lb.OVER_A_STATISTIC or not (index == MIXED).any():
                found[index[index >= 0]] = True
        return found

    def _joins_uses(self, use: int, value: int) -> bool:
        """Whether elements of a value also hold another use of the same layer, as those of a
        siamese distance do."""
        structure = self.structure
        own = lb.in_place(structure.labels_of[value][use])
        return any(
            bool((own & lb.in_place(label)).any())
            for other, label in structure.labels_of[value].items()
            if other != use and structure.layer_of[other] == structure.layer_of[use]
        )

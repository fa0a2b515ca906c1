# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Where a layer is measured: at one value of each use, or its neurons at several."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dormant.tracing import labels as lb
from dormant.tracing.activations import activation_value
from dormant.tracing.labels import MIXED, NONE
from dormant.tracing.loops import CARRY
from dormant.tracing.structure import Structure

# How often what is smaller may be repeated until each neuron has equally many activations.
_MOST_REPEATS = 16


class Place(NamedTuple):
    """Some neurons of a layer, and the value of one of its uses that holds their activations."""

    use: int
    value: int
    neurons: np.ndarray  # bool (H,)
    alone: bool = True  # whether the value holds no other neurons that are measured elsewhere


class Measured(NamedTuple):
    """Where a layer is measured, each row once for all of its neurons, and why it is not recycled;
    None where nothing about these places forbids it."""

    rows: tuple[tuple[Place, ...], ...]
    problem: str | None = None

    @property
    def activations(self) -> dict[int, tuple[int, ...]]:
        """The values that are measured, by use."""
        return self._values(self.rows)

    @property
    def silenced(self) -> dict[int, tuple[int, ...]]:
        """Those of them that are zero where the measured neurons are, by use."""
        alone = self._values([[place for place in row if place.alone] for row in self.rows])
        return {use: alone.get(use, ()) for use in self.activations}

    @staticmethod
    def _values(rows: Sequence[Sequence[Place]]) -> dict[int, tuple[int, ...]]:
        found: dict[int, dict[int, None]] = {}
        for row in rows:
            for place in row:
                found.setdefault(place.use, {})[place.value] = None
        return {use: tuple(values) for use, values in found.items()}


class Places:
    """Finds the places of any layer; used once per analysis."""

    def __init__(self, structure: Structure):
        self.structure = structure

    def of(self, uses: Sequence[int]) -> Measured:
        """The values after the layer's own non-linearity, before the first reader of each neuron.

        They are several where a layer is split and each part has a non-linearity of its own, as
        that of a shared first layer of two heads. Of several uses each neuron is measured in those
        where it is read.
        """
        read = self._read_in(uses)
        parts = [self._parts(use, held) for use, held in zip(uses, read, strict=True)]
        rows = []
        number = math.lcm(*map(int, np.unique(read.sum(axis=0))))
        turns = [np.resize(np.asarray(uses)[each], number) for each in read.T]
        for turn in np.stack(turns, axis=1):  # (H,) the use that each neuron is measured in
            places = itertools.chain.from_iterable(parts)
            kept = (p._replace(neurons=p.neurons & (turn == p.use)) for p in places)
            rows.append(tuple(place for place in kept if place.neurons.any()))
        if all(self._can_be_joined(row) for row in rows):
            return Measured(tuple(rows))
        problem = (
            "its parts have too different shapes to be measured each behind its own non-linearity"
        )
        return Measured(tuple((self.linear(use),) for use in uses), problem)

    def linear(self, use: int) -> Place:
        """What the linear map of a use returns."""
        own = self.structure.maps[use]
        return Place(use, own.output, np.ones(own.neurons, bool))

    def _read_in(self, uses: Sequence[int]) -> np.ndarray:
        """(uses, H): in which uses each neuron is read; all where that differs too much."""
        read = np.array([self._read(use) for use in uses])
        read |= ~read.any(axis=0)
        number = math.lcm(*map(int, np.unique(read.sum(axis=0))))
        return read if number <= _MOST_REPEATS * len(uses) else np.ones_like(read)

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

    def _parts(self, use: int, wanted: np.ndarray) -> tuple[Place, ...]:
        """Where neurons of one use, bool (H,), are measured."""
        left, found = wanted.copy(), dict[int, np.ndarray]()
        operands = self._operands(use)
        for operand in operands:
            neurons = self._neurons(use, operand) & left
            if neurons.any():
                left &= ~neurons
                value = self._activation(use, operand, neurons)
                found[value] = found.get(value, False) | neurons
        for end, neurons in self._ends(use, operands, left):
            value = self._activation(use, end, neurons)
            found[value] = found.get(value, False) | neurons
        parts = [Place(use, *each) for each in found.items()]
        if len(parts) > 1:
            parts = [self._apart(part) for part in parts]
        if all(part.alone for part in parts):
            return tuple(parts)
        for operand in operands:
            if (self._neurons(use, operand) | ~wanted).all():
                value = self._activation(use, operand, wanted)
                return (Place(use, value, wanted),)
        return tuple(parts)

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
        return activation_value(
            structure.program, structure.connections, use, operand, structure.position, is_whole
        )

    def _ends(
        self, use: int, operands: Sequence[int], left: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray]]:
        """The values with which the ways of those neurons (bool (H,)) end that are read in company,
        as gates are, or not at all: before they are mixed with others, or are carried to the next
        step of a loop."""
        structure = self.structure
        start = structure.maps[use].output
        way = structure.ancestors_of({use: operands}) if operands else None
        nothing = np.zeros_like(left)
        ahead, goes_on = {start: self._neurons(use, start)}, dict[int, np.ndarray]()
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
        for value, held in ahead.items():
            neurons = held & left & ~goes_on.get(value, nothing)
            if neurons.any():
                left = left & ~neurons
                yield value, neurons

    def _apart(self, place: Place) -> Place:
        """The place behind the moves that leave its neurons alone, if some do."""
        value = place.value
        for operation in self.structure.program.operations[self.structure.position[value] :]:
            if np.array_equal(self._neurons(place.use, value), place.neurons):
                return place._replace(value=value)
            if operation.name in lb.MOVING and operation.inputs == (value,):
                for output in operation.outputs:
                    if (self._neurons(place.use, output) | ~place.neurons).all():
                        value = output
        return place._replace(alone=False)

    def _neurons(self, use: int, value: int) -> np.ndarray:
        """bool (H,): which neurons a value holds; none where several are mixed."""
        found = np.zeros(self.structure.maps[use].neurons, bool)
        label = self.structure.labels_of.get(value, {}).get(use)
        if label is not None:
            index = lb.trim(label.index)
            if not (index == MIXED).any():
                found[index[index != NONE]] = True
        return found

    def _joins_uses(self, use: int, value: int) -> bool:
        """Whether a value also holds another use of the same layer, as a siamese distance does."""
        structure = self.structure
        return any(
            other != use and structure.layer_of[other] == structure.layer_of[use]
            for other in structure.labels_of[value]
        )

    def _can_be_joined(self, row: Sequence[Place]) -> bool:
        """Whether the activations of a row can be repeated until each neuron has equally many."""
        numbers = [self._activations_of_one(place) for place in row]
        return math.lcm(*numbers) <= _MOST_REPEATS * max(numbers)

    def _activations_of_one(self, place: Place) -> int:
        """How many activations each neuron has at a place: rows, positions, steps of loops."""
        program = self.structure.program
        axes, index = lb.along_varying_axes(self.structure.labels_of[place.value][place.use].index)
        positions = np.unique(index[index != NONE], return_counts=True)[1]
        rest = (size for at, size in enumerate(program.shapes[place.value]) if at not in axes)
        return math.prod((*program.loops[place.value], *rest)) * math.lcm(*map(int, positions))

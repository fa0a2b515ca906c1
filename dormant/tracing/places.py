# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Where each use of a layer is measured: at one value, or its neurons at several."""

import math
from typing import NamedTuple

import numpy as np

from dormant.tracing import labels as lb
from dormant.tracing.activations import activation_value
from dormant.tracing.labels import MIXED, NONE
from dormant.tracing.loops import CARRY
from dormant.tracing.structure import Structure


class Place(NamedTuple):
    """Some neurons of a layer, and the value that holds their activations."""

    value: int
    neurons: np.ndarray  # bool (H,)


class Places:
    """Finds the places of any use; used once per analysis."""

    def __init__(self, structure: Structure):
        self.structure = structure

    def of(self, use: int) -> tuple[Place, ...]:
        """The values after the layer's own non-linearity, before the first reader of each neuron.

        They are several where a layer is split and each part has a non-linearity of its own, as
        that of a shared first layer of two heads; there no value holds the neurons of another.
        Where they cannot be told apart, it is the value of the first reader of all of them.
        """
        everything = np.ones(self.structure.maps[use].neurons, bool)
        left, found = everything.copy(), dict[int, np.ndarray]()
        operands = self._operands(use)
        for operand in operands:
            neurons = self._neurons(use, operand) & left
            if neurons.any():
                left &= ~neurons
                value = self._activation(use, operand, neurons)
                found[value] = found.get(value, False) | neurons
        if left.any():
            value = self._activation(use, self._end_of_way(use), left)
            found[value] = found.get(value, False) | left
        if len(found) == 1:
            return (Place(*found.popitem()),)
        parts = [self._alone(use, Place(*each)) for each in found.items()]
        places = tuple(place for place in parts if place is not None)
        if len(places) == len(parts) and len({self._rest(use, p.value) for p in places}) == 1:
            return places
        whole = (operand for operand in operands if self._neurons(use, operand).all())
        operand = next(whole, self._end_of_way(use))
        return (Place(self._activation(use, operand, everything), everything),)

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

    def _end_of_way(self, use: int) -> int:
        """What reads a use of a layer first; else the last of its values before it is carried to
        the next step of a loop."""
        structure = self.structure
        operands = self._operands(use)
        if operands:
            return operands[0]
        ahead, last = {structure.maps[use].output}, structure.maps[use].output
        for operation in structure.program.operations:
            if operation.name != CARRY.name and not ahead.isdisjoint(operation.inputs):
                for value in operation.outputs:
                    if structure.connections.holds(value, use):
                        ahead.add(value)
                        last = last if structure.is_carried(use, value) else value
        return last

    def _alone(self, use: int, place: Place) -> Place | None:
        """The place behind the moves that leave its neurons alone; None if none does."""
        value = place.value
        for operation in self.structure.program.operations[self.structure.position[value] :]:
            if np.array_equal(self._neurons(use, value), place.neurons):
                return Place(value, place.neurons)
            if operation.name in lb.MOVING and operation.inputs == (value,):
                for output in operation.outputs:
                    if (self._neurons(use, output) | ~place.neurons).all():
                        value = output
        return None

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

    def _rest(self, use: int, value: int) -> tuple[int, ...]:
        """What activations have beside their neurons: loops, positions of one neuron, long axes."""
        program = self.structure.program
        axes, index = lb.along_varying_axes(self.structure.labels_of[value][use].index)
        positions = np.unique(index[index != NONE], return_counts=True)[1]
        rest = (
            size for axis, size in enumerate(program.shapes[value]) if axis not in axes and size > 1
        )
        return (program.depths[value], math.lcm(*map(int, positions)), *rest)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Where a silent neuron leaves zeros: there, cutting its readers changes nothing."""

import functools
import itertools
from collections.abc import Collection, Mapping

import numpy as np

from dormant.primitives import SCATTERS, written_by
from dormant.tracing import labels as lb
from dormant.tracing.connections import Connections
from dormant.tracing.jaxpr import Operation, Program
from dormant.tracing.labels import NONE
from dormant.tracing.uses import different_neurons
from dormant.tracing.zero_rules import keeps_zero, leaves_zero


def silenced_values(
    program: Program, connections: Connections, activations: Mapping[int, int]
) -> set[int]:
    """The values that are zero, wherever they hold neurons of a layer, once its activations are.

    `activations` are those of the layer by use. Products with zero count as zero: activations and
    parameters are assumed to be finite.
    """
    zero = set(activations.values())
    padded = set[int]()  # zero around the layer's elements too
    beside = dict[int, np.ndarray]()  # zeros around other layers: bool, where those are

    holding = {
        value
        for value, found in connections.layers_of.items()
        if not found.keys().isdisjoint(activations)
    }

    def places(
        value: int, shape: tuple[int, ...], uses: Collection[int] = activations
    ) -> np.ndarray:
        """Where a value of that shape, or broadcast to it, holds the layer, or other uses."""
        held = connections.layers_of[value]
        indices = [held[use].index for use in uses if use in held]
        found = (lb.trim(np.broadcast_to(index, shape)) != NONE for index in indices)
        return functools.reduce(np.logical_or, found)  # trimmed to shapes that broadcast

    def held(value: int, uses: Collection[int]) -> np.ndarray:
        """bool, of the value's whole shape: which elements hold one of the uses."""
        shape = program.shapes[value]
        return np.broadcast_to(places(value, shape, uses), shape)

    def sets(operation: Operation) -> bool:
        """Whether a write certainly happens where it is followed to; one out of bounds does not."""
        _, *others = operation.inputs
        known = connections.known.issuperset(others[:1]) and operation.name == "scatter"
        return known or operation.name == "dynamic_update_slice"

    def is_written_as_it_is(written: int, output: int, uses: Collection[int]) -> bool:
        """Whether what is written is the only thing in the places that hold these uses then."""
        return bool(held(written, uses).sum() == held(output, uses).sum())

    def is_written_beside(written: int, output: int) -> bool:
        """Whether layers are written whose places are known, and none of them holds this one."""
        others = connections.layers_of.get(written, {})
        if not others or not held(written, others).all():
            return False
        is_known = is_written_as_it_is(written, output, others)
        return is_known and not (held(output, others) & held(output, activations)).any()

    def holds_one(value: int) -> bool:
        """Whether the uses of the layer put the same neuron on every element that they share."""
        held = connections.layers_of[value]
        indices = [lb.trim(held[use].index) for use in activations if use in held]
        return not any(different_neurons(*pair) for pair in itertools.combinations(indices, 2))

    def covers(value: int, output: int) -> bool:
        """Whether `value` holds the layer wherever `output` does."""
        if value not in holding:
            return False
        if value in padded:
            return True
        shape = program.shapes[output]
        return bool((places(value, shape) | ~places(output, shape)).all())

    def is_beside(value: int, output: int) -> bool:
        """Whether other layers are in `value` alone where `output` does not hold this one."""
        shape = program.shapes[output]
        return value in beside and not (places(output, shape) & beside[value]).any()

    def vanishes(value: int, output: int) -> bool:
        own = value in zero and covers(value, output)
        return value in connections.zeros or own or is_beside(value, output)

    def keeps(operation: Operation, output: int) -> bool:
        if leaves_zero(operation):
            return zero.issuperset(holding.intersection(operation.inputs))
        zeros, bounds, into = connections.zeros, connections.bounds, operation.inputs[0]
        if operation.name in SCATTERS:
            written = written_by(operation.name, operation.inputs)
            if written in holding:
                # Added to what is there, or somewhere in it: then that has to be zero as well.
                is_alone = sets(operation) and is_written_as_it_is(written, output, activations)
                own = into in zero and covers(into, output)
                return written in zero and (is_alone or into in zeros or own)
            if sets(operation) and is_written_beside(written, output):
                return vanishes(into, output)
        return keeps_zero(operation, lambda value: vanishes(value, output), zeros, bounds)

    for operation in program.operations:
        if holding.isdisjoint(operation.inputs):
            if operation.name == "pad" and operation.inputs[1] in connections.zeros:
                before, after = operation.inputs[0], operation.outputs[0]
                config, shape = operation.params["padding_config"], program.shapes[after]
                beside[after] = lb.places_in_pad(program.shapes[before], config, shape)
            continue
        for output in holding.intersection(operation.outputs) - zero:
            if keeps(operation, output) and holds_one(output):
                zero.add(output)
                if operation.name == "pad" and operation.inputs[1] in connections.zeros:
                    shape = program.shapes[operation.inputs[0]]
                    if places(operation.inputs[0], shape).all():
                        padded.add(output)
    return zero

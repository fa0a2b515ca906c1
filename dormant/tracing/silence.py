# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Where a silent neuron leaves zeros: there, cutting its readers changes nothing."""

import itertools
from collections.abc import Mapping

import numpy as np

from dormant.tracing import labels as lb
from dormant.tracing.connections import Connections
from dormant.tracing.jaxpr import Operation, Program
from dormant.tracing.labels import NONE
from dormant.tracing.propagation import POOLS, REDUCTIONS, SCANS, SCATTERS
from dormant.tracing.uses import different_neurons

_KEEP_ZERO = (
    lb.MOVING
    | POOLS
    | (REDUCTIONS - {"argmax", "argmin"})
    | (SCANS - {"cumlogsumexp"})
    | frozenset(
        "neg abs sign tanh sin tan asin atan sinh asinh atanh expm1 log1p sqrt cbrt square "
        "erf floor ceil round dot_general conv_general_dilated step_input step_output".split()
    )
)
_ALL_ZERO = frozenset("add add_any sub select_n".split())


def silenced_values(
    program: Program, connections: Connections, activations: Mapping[int, int]
) -> set[int]:
    """The values that are zero, wherever they hold neurons of a layer, once its activations are.

    `activations` are those of all uses of the layer, `{use: value}`. Products with zero count as
    zero: activations and parameters are assumed to be finite.
    """
    zero = set(activations.values())
    padded = set[int]()  # zero around the layer's elements too

    holding = {
        value
        for value, found in connections.layers_of.items()
        if not found.keys().isdisjoint(activations)
    }

    def places(value: int, shape: tuple[int, ...]) -> np.ndarray:
        """Where a value of that shape, or broadcast to it, holds the layer."""
        held = connections.layers_of[value]
        indices = [held[use].index for use in activations if use in held]
        return np.logical_or.reduce([lb.trim(np.broadcast_to(i, shape)) != NONE for i in indices])

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

    def vanishes(value: int, output: int) -> bool:
        return value in connections.zeros or (value in zero and covers(value, output))

    def within(value: int, low: float, high: float) -> bool:
        """Whether a value is a constant with all elements between the two."""
        least, largest = connections.bounds.get(value, (-np.inf, np.inf))
        return low <= least and largest <= high and value in connections.bounds

    def keeps(operation: Operation, output: int) -> bool:
        name, inputs = operation.name, operation.inputs
        if name in _KEEP_ZERO:
            return zero.issuperset(holding.intersection(inputs))
        if name in SCATTERS:
            written = inputs[1] if name == "dynamic_update_slice" else inputs[2]
            kept = name == "scatter-mul" or written in connections.zeros
            return kept and vanishes(inputs[0], output)
        if name in ("mul", "and"):
            return any(vanishes(value, output) for value in inputs)
        if name in _ALL_ZERO:
            return all(vanishes(v, output) for v in (inputs[1:] if name == "select_n" else inputs))
        if name in ("max", "min"):
            low, high = (-np.inf, 0.0) if name == "max" else (0.0, np.inf)
            fine = [vanishes(value, output) for value in inputs]
            return any(fine) and all(
                zero or within(value, low, high) for value, zero in zip(inputs, fine, strict=True)
            )
        if name in ("div", "rem", "atan2"):
            return vanishes(inputs[0], output)
        if name == "integer_pow":
            return operation.params["y"] > 0 and vanishes(inputs[0], output)
        if name == "pow":
            positive = within(inputs[1], np.finfo(np.float64).tiny, np.inf)
            return positive and vanishes(inputs[0], output)
        if name == "clamp":
            low, value, high = inputs
            inside = within(low, -np.inf, 0.0) and within(high, 0.0, np.inf)
            return inside and vanishes(value, output)
        return False

    for operation in program.operations:
        if holding.isdisjoint(operation.inputs):
            continue
        for output in holding.intersection(operation.outputs) - zero:
            if keeps(operation, output) and holds_one(output):
                zero.add(output)
                if operation.name == "pad" and operation.inputs[1] in connections.zeros:
                    shape = program.shapes[operation.inputs[0]]
                    if places(operation.inputs[0], shape).all():
                        padded.add(output)
    return zero

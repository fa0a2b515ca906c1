# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Inputs that scale or shift single neurons alike for the whole batch, as running statistics do."""

from collections.abc import Iterator
from typing import NamedTuple

from dormant.primitives import ELEMENTWISE
from dormant.tracing import labels as lb
from dormant.tracing.connections import Connections
from dormant.tracing.jaxpr import Operation, Program

_SCALE_OR_SHIFT = frozenset("add add_any sub mul div".split())
_KEEP_AXES = frozenset("broadcast_in_dim reshape squeeze expand_dims transpose slice".split())


class _Made(NamedTuple):
    """What is known of a value that no layer and no batch goes into."""

    axes: frozenset[int]  # along which it may change
    of_input: bool  # rather than of constants and parameters alone
    bare: bool  # no input that it is made of has an axis of size 1, which may be a batch


def scaled_by_inputs(program: Program, connections: Connections) -> dict[int, set[int]]:
    """Where an input that changes along the neurons and along no other axis is added to or
    multiplied with the values of a linear map: `{linear map: values that result}`.

    A value without a further axis, as of a network traced without a batch, tells nothing; nor does
    a batch of one where the input has an axis of size 1 itself.
    """
    made: dict[int, _Made] = {}
    for value in (*program.constants, *program.parameters, *program.inputs):
        shape = program.shapes[value]
        axes = frozenset(axis for axis, size in enumerate(shape) if size > 1)
        of_input = value in program.inputs and program.holds_numbers(value) and bool(axes)
        made[value] = _Made(axes, of_input, not of_input or len(axes) == len(shape))
    found: dict[int, set[int]] = {}
    for operation in program.operations:
        if all(value in made for value in operation.inputs):
            result = _result(program, operation, [made[value] for value in operation.inputs])
            if result is not None:
                made[operation.outputs[0]] = result
        elif operation.name in _SCALE_OR_SHIFT:
            for layer in _scaled(program, connections, operation, made):
                found.setdefault(layer, set()).update(operation.outputs)
    return found


def _result(program: Program, operation: Operation, operands: list[_Made]) -> _Made | None:
    if len(operation.outputs) != 1:
        return None
    name, params, (output,) = operation.name, operation.params, operation.outputs
    axes: frozenset[int] | None = frozenset().union(*(operand.axes for operand in operands))
    if name in _KEEP_AXES:
        before, after = program.shapes[operation.inputs[0]], program.shapes[output]
        axes = _moved_axes(name, params, operands[0].axes, before, after)
    elif name not in ELEMENTWISE and name not in lb.IDENTITIES:
        axes = None
    if axes is None:
        return None
    # What is compared with an input is a mask.
    of_input = any(each.of_input for each in operands) and program.holds_numbers(output)
    return _Made(axes, of_input, all(operand.bare for operand in operands))


def _moved_axes(name, params, axes, before, after) -> frozenset[int] | None:
    """The axes behind a move; None for a reshape that joins or cuts axes."""
    if name == "broadcast_in_dim":
        return frozenset(params["broadcast_dimensions"][axis] for axis in axes)
    if name == "transpose":
        return frozenset(params["permutation"].index(axis) for axis in axes)
    if name == "slice":
        return frozenset(axis for axis in axes if after[axis] > 1)
    long = [[axis for axis, size in enumerate(shape) if size > 1] for shape in (before, after)]
    if [before[axis] for axis in long[0]] != [after[axis] for axis in long[1]]:
        return None
    places = dict(zip(*long, strict=True))
    return frozenset(places[axis] for axis in axes)


def _scaled(
    program: Program, connections: Connections, operation: Operation, made: dict[int, _Made]
) -> Iterator[int]:
    """The linear maps whose neurons an input meets in an operation, one by one."""
    (output,) = operation.outputs
    for value in operation.inputs:
        if value not in made or not made[value].of_input:
            continue
        for layer, label in connections.layers_of.get(output, {}).items():
            neurons = lb.along_varying_axes(label.index)[0]
            others = [s for axis, s in enumerate(program.shapes[output]) if axis not in neurons]
            is_batch = any(size > 1 for size in others) or (others and made[value].bare)
            if is_batch and made[value].axes <= set(neurons) and label.single().any():
                yield layer

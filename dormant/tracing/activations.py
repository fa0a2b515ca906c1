# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0


"""Where a layer's activation is: the value after its own non-linearity, not what comes behind."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from dormant.primitives import ELEMENTWISE, LINEAR, REDUCTIONS
from dormant.tracing import labels as lb
from dormant.tracing.connections import Connections
from dormant.tracing.jaxpr import Operation, Program
from dormant.tracing.loops import CARRY
from dormant.tracing.silence import silenced_values

_EXPONENTIALS = frozenset({"exp", "exp2"})


class Step(NamedTuple):
    """A part of a layer's way to its reader: every path leads through both of its ends."""

    start: int  # value
    end: int  # value
    operations: tuple[Operation, ...]
    nonlinear: bool  # some operation is a non-linearity of single elements
    pointwise: bool  # no element depends on another one
    softmax: bool = False  # exponentials, divided by their sum

    @property
    def is_elementwise(self) -> bool:
        """Whether it changes values, rather than only moving them."""
        return any(op.name in ELEMENTWISE for op in self.operations)


def activation_value(
    program: Program,
    connections: Connections,
    layer: int,
    operand: int,
    position: Mapping[int, int],
    is_whole: Callable[[int], bool],
) -> int:
    """The value after the non-linearity of `layer` on the way to `operand`, its first reader's.

    Normalizations may lie before the non-linearity; those behind it, a softmax over space, a
    pooling or a scaling are no part of it. Without a non-linearity it is the layer's last
    elementwise value before it is added to others. Only values that hold all of its neurons, by
    `is_whole`, are considered. `position` is that of the operation that makes a value.
    """
    linear = connections.maps[layer].output
    own: Step | None = None
    in_company = False  # from where other layers are added, as in a residual stream
    beside_own: frozenset[int] = frozenset()  # those that were added up to its own non-linearity
    steps = _with_softmax(
        _steps(program, connections, layer, operand, position), connections, layer
    )
    for step in steps:
        is_over_others = step.softmax and not _reduces_neurons(step, connections, layer)
        if not step.pointwise and (own or in_company or is_over_others):
            break
        if own and _is_multiplied_by_others(connections, layer, step):
            break
        company = _company(connections, layer, step.end)
        if own and not company <= beside_own:
            break  # what comes behind is a non-linearity of a sum, as of the new cell of an LSTM
        in_company |= bool(company)
        if not is_whole(step.end):
            continue
        if step.nonlinear and (step.pointwise or step.softmax):
            if own and _loses_silence(program, connections, layer, own, step):
                break
            own, beside_own = step, company
        elif step.is_elementwise and not in_company:
            linear = step.end
    return own.end if own else linear


def _steps(
    program: Program,
    connections: Connections,
    layer: int,
    operand: int,
    position: Mapping[int, int],
) -> list[Step]:
    """The way from the layer's linear map to `operand`, cut where all paths meet."""
    start = connections.maps[layer].output
    operations = program.operations[position[start] : position[operand] + 1]
    producer = {v: op for op in operations for v in op.outputs}

    # Within one step of a loop: what comes back through the carry lies behind, not on the way.
    ahead = {start}
    for operation in operations:
        if operation.name != CARRY.name and not ahead.isdisjoint(operation.inputs):
            ahead.update(v for v in operation.outputs if connections.holds(v, layer))

    def held(value: int) -> list[int]:
        if value == start or value not in producer:
            return []
        return [v for v in producer[value].inputs if v in ahead]

    leading, pending = {start}, [operand]
    while pending:
        value = pending.pop()
        if value not in leading:
            leading.add(value)
            pending += held(value)
    # Immediate dominators: values are numbered in the order in which they are computed, except
    # for those handed through calls, so that the order of the operations decides.
    before, depth = {start: start}, {start: 0}
    for operation in operations:
        for value in operation.outputs:
            if value in leading and value != start:
                inputs = held(value)
                meet = inputs[0]
                for other in inputs[1:]:
                    while meet != other:
                        if depth[meet] >= depth[other]:
                            meet = before[meet]
                        else:
                            other = before[other]
                before[value], depth[value] = meet, depth[meet] + 1
    steps, value = [], operand
    while value != start:
        steps.append(_step(producer, connections, layer, before[value], value))
        value = before[value]
    return steps[::-1]


def _step(producer, connections: Connections, layer: int, start: int, end: int) -> Step:
    operations: dict[int, Operation] = {}
    pending = [end]
    while pending:
        value = pending.pop()
        operation = producer[value]
        if value != start and id(operation) not in operations:
            operations[id(operation)] = operation
            pending += [
                v
                for v in operation.inputs
                if v != start and connections.holds(v, layer) and producer[v].name != CARRY.name
            ]
    found = tuple(operations.values())
    nonlinear = any(
        operation.name in ELEMENTWISE and _is_nonlinear(operation, connections, layer)
        for operation in found
    )
    pointwise = all(op.name in ELEMENTWISE or op.name in lb.MOVING for op in found)
    return Step(start, end, found, nonlinear, pointwise, not pointwise and _exponential(found))


def _exponential(operations: tuple[Operation, ...]) -> bool:
    return any(op.name in _EXPONENTIALS for op in operations)


def _only_exponentials(step: Step, connections: Connections, layer: int) -> bool:
    return all(
        operation.name in _EXPONENTIALS
        for operation in step.operations
        if operation.name in ELEMENTWISE and _is_nonlinear(operation, connections, layer)
    )


def _is_nonlinear(operation: Operation, connections: Connections, layer: int) -> bool:
    """Whether an elementwise operation is a non-linearity of the layer's values."""
    held = [connections.holds(value, layer) for value in operation.inputs]
    if operation.name == "select_n":
        return held[0]  # a mask that does not depend on the values is none
    if operation.name == "mul":
        return sum(held) > 1
    if operation.name == "div":
        return held[1]
    return operation.name not in LINEAR


def _with_softmax(steps: list[Step], connections: Connections, layer: int) -> list[Step]:
    """The steps, those of one softmax taken together: less the maximum, exponentials, their sum."""
    joined: list[Step] = []
    position = 0
    while position < len(steps):
        step = steps[position]
        last = position + 1
        if step.pointwise and step.nonlinear and _only_exponentials(step, connections, layer):
            while last < len(steps) and steps[last].pointwise and not steps[last].nonlinear:
                last += 1
            if last < len(steps) and _divides_by_sum(steps[last]):
                parts = steps[position : last + 1]
                while joined and _subtracts_maximum(joined[-1]):
                    parts = [joined.pop(), *parts]
                operations = tuple(op for part in parts for op in part.operations)
                step = Step(parts[0].start, parts[-1].end, operations, True, False, True)
                last += 1
            else:
                last = position + 1
        joined.append(step)
        position = last
    return joined


def _divides_by_sum(step: Step) -> bool:
    names = {operation.name for operation in step.operations}
    return not step.pointwise and bool(names & {"div", "mul"}) and "reduce_sum" in names


def _subtracts_maximum(step: Step) -> bool:
    names = {operation.name for operation in step.operations}
    return not step.pointwise and names >= {"sub", "reduce_max"}


def _reduces_neurons(step: Step, connections: Connections, layer: int) -> bool:
    """Whether some operation reduces an axis along which the layer's neurons lie."""
    return any(
        axis in lb.along_varying_axes(connections.layers_of[value][layer].index)[0]
        for operation in step.operations
        if operation.name in REDUCTIONS
        for value in operation.inputs
        if connections.holds(value, layer)
        for axis in operation.params["axes"]
    )


def _company(connections: Connections, layer: int, value: int) -> frozenset[int]:
    """The other layers that elements of a value hold beside the layer, as where these are added;
    not those that lie beside it."""
    held = connections.layers_of[value]
    own = lb.in_place(held[layer])
    return frozenset(
        other
        for other, label in held.items()
        if other != layer and bool((own & lb.in_place(label)).any())
    )


def _is_multiplied_by_others(connections: Connections, layer: int, step: Step) -> bool:
    """Whether neurons of another layer come in as factors, as in a gated product."""
    own = connections.layers_of[step.start]
    return any(
        other not in own and not connections.holds(value, layer)
        for operation in step.operations
        if operation.name in ("mul", "div")
        for value in operation.inputs
        for other in connections.layers_of.get(value, ())
    )


def _loses_silence(
    program: Program, connections: Connections, layer: int, own: Step, step: Step
) -> bool:
    """Whether zero is a value of the first non-linearity that the second one does not keep."""
    if step.end in silenced_values(program, connections, {layer: own.end}):
        return False
    return own.end in silenced_values(program, connections, {layer: own.start})

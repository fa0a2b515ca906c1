# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Rules of what loops are opened into: a step's inputs and outputs, carries, conditions."""

from collections.abc import Callable

import numpy as np

from dormant.primitives import ELEMENTWISE
from dormant.tracing import labels as lb
from dormant.tracing.jaxpr import Operation
from dormant.tracing.labels import MIXED, Label
from dormant.tracing.loops import CARRY, DECIDES, LAST_CARRY, LOOP_END, STEP_INPUT, STEP_OUTPUT
from dormant.tracing.product_rules import add_read, entries_that_read
from dormant.tracing.propagation_state import PropagationState


def _step_input(state: PropagationState, operation: Operation) -> None:
    (outer,), (inner,) = operation.inputs, operation.outputs
    state.data.add(inner)
    state.as_data(outer, "scan", (inner,))
    for layer, label in state.layers_of.get(outer, {}).items():
        label = label.constant_along((0,), "a loop over its neurons")
        label = label._replace(index=np.squeeze(label.index, 0))
        state.layers_of.setdefault(inner, {})[layer] = label


def _step_output(state: PropagationState, operation: Operation) -> None:
    (inner,), (outer,) = operation.inputs, operation.outputs
    state.data.add(outer)
    state.as_data(inner, "scan", (outer,))
    for layer, label in state.layers_of.get(inner, {}).items():
        index = np.broadcast_to(label.index, state.program.shapes[outer])
        state.layers_of.setdefault(outer, {})[layer] = label._replace(index=index)


def _carry(state: PropagationState, operation: Operation) -> None:
    """A carry is data, in which layers cannot be told apart."""
    (target,) = operation.outputs
    state.data.add(target)
    for value in operation.inputs:
        state.as_data(value, "the carry of a loop", (target,))
    for layer in state.sources(operation.inputs, state.layers_of):
        _mark_carried(state, operation, target, layer)


def _mark_carried(state: PropagationState, step: Operation, value: int, layer: int) -> bool:
    """Marks what a value holds of a layer as carried; whether that is news."""
    found = state.layers_of.setdefault(value, {})
    if layer in found and found[layer].mixing == lb.CARRIED:
        return False
    shape = state.program.shapes[value]
    index = np.broadcast_to(np.int32(MIXED), shape)
    in_place = step.name in ELEMENTWISE or step.name in lb.IDENTITIES
    if in_place or step.name in (CARRY.name, LAST_CARRY.name):
        # The neurons stay where they are, so that their readers are known: `also` cuts them.
        labels = [*state.labels(step.inputs, layer, state.layers_of).values()]
        index = lb.combine(labels, shape, step.name).index
    found[layer] = Label(index, mixing=lb.CARRIED)
    return True


def _loop_end(state: PropagationState, operation: Operation) -> None:
    """Follows what one step of a loop carries into the next, through the body once more."""
    body = state.program.operations[operation.params["start"] : operation.params["stop"]]
    births = {output: layer for layer, (_, _, output) in state.products.items()}
    has_news = True
    while has_news:
        has_news = False
        for step in body:
            for value in step.inputs:
                for layer, label in list(state.layers_of.get(value, {}).items()):
                    if label.mixing == lb.CARRIED or step.name == CARRY.name:
                        has_news |= _carry_through(state, step, value, layer, births)


def _carry_through(
    state: PropagationState, step: Operation, value: int, layer: int, births: dict[int, int]
) -> bool:
    has_news = False
    if step.name == DECIDES.name:
        state.deciding.add(layer)
    for target in step.outputs:
        reader = births.get(target)
        if reader is None:
            has_news |= _mark_carried(state, step, target, layer)
        elif not any(
            (read.layer, read.reader, read.operand) == (layer, reader, value)
            for read in state.reads
        ):
            product, kernel, _ = state.products[reader]
            label = state.layers_of[value][layer]
            add_read(state, layer, reader, value, *entries_that_read(state, product, kernel, label))
            has_news = True
    return has_news


def _decides(state: PropagationState, operation: Operation) -> None:
    for value in operation.inputs:
        state.as_data(value, "the condition of a `while`", ())
        state.deciding.update(state.layers_of.get(value, ()))


LOOP_RULES: dict[str, Callable[[PropagationState, Operation], None]] = {
    CARRY.name: _carry,
    LAST_CARRY.name: _carry,
    STEP_INPUT.name: _step_input,
    STEP_OUTPUT.name: _step_output,
    LOOP_END.name: _loop_end,
    DECIDES.name: _decides,
}

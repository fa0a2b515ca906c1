# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Follows neurons and parameter entries through a program, primitive by primitive.

The result are its connections: linear maps by a parameter (each makes a layer), what each of them
reads, and which parameters act on single neurons (biases, scales).
"""

from dormant.primitives import (
    ELEMENTWISE,
    LINEAR,
    POOLS,
    PRODUCTS,
    REDUCTIONS,
    SCANS,
    SCATTERS,
    is_by_any_function,
)
from dormant.tracing import labels as lb
from dormant.tracing.connections import Connections
from dormant.tracing.element_rules import (
    RANKINGS,
    follow_choice_by_data,
    follow_cumulative,
    follow_elementwise,
    follow_evaluated_move,
    follow_move,
    follow_ranking,
    follow_written,
)
from dormant.tracing.jaxpr import Operation, Program, known_values
from dormant.tracing.loop_rules import LOOP_RULES
from dormant.tracing.product_rules import find_sums, follow_product
from dormant.tracing.propagation_state import PropagationState


def propagate(program: Program, names: tuple[str, ...], left_out: frozenset[int]) -> Connections:
    """Follows every neuron of `program`, whose parameter leaves have the paths `names`.

    The leaves `left_out` are plain data. Raises TraceError if a parameter is used by a primitive
    that cannot be followed.
    """
    state = PropagationState(program, names, left_out, {})
    _follow_all(state)
    if state.sums:  # from the start, then, the neurons are the sums
        state = PropagationState(program, names, left_out, state.sums)
        _follow_all(state)
    return Connections(
        tuple(state.maps),
        tuple(state.reads),
        tuple(state.elementwise),
        state.layers_of,
        {leaf: tuple(uses) for leaf, uses in state.other_uses.items()},
        _returned(state),
        left_out,
        frozenset(state.deciding),
        state.zeros,
        state.bounds,
        frozenset(state.by_constants),
        frozenset(state.known),
    )


def _returned(state: PropagationState) -> dict[int, tuple[int, ...]]:
    """The parameter arrays in what a program returns, without those that come back as they are."""
    program = state.program
    made = set(program.outputs).difference(program.parameters)
    return {value: tuple(state.leaves_of[value]) for value in made if state.leaves_of.get(value)}


def _follow_all(state: PropagationState) -> None:
    summed = {each.output: layer for layer, each in state.known_sums.items()}
    for operation in state.program.operations:
        _follow(state, operation)
        for value in summed.keys() & set(operation.outputs):
            # The value of what is one neuron, and no statistic of several.
            found = state.layers_of[value]
            found[summed[value]] = found[summed[value]]._replace(statistic=False)


def _follow_constants(state: PropagationState, operation: Operation) -> None:
    """Notes what looks like a layer of constants: their product, then a non-linearity. A positional
    table, which is only added, does not."""
    inputs, name = operation.inputs, operation.name
    leaves = frozenset().union(*(state.of_constants.get(value, ()) for value in inputs))
    if not leaves or any(map(state.layers_of.get, inputs)):
        return
    if name in ELEMENTWISE and name not in LINEAR:
        state.by_constants.update(leaves)
    elif name not in PRODUCTS:
        state.of_constants.update(dict.fromkeys(operation.outputs, leaves))


def _follow(state: PropagationState, operation: Operation) -> None:
    inputs, outputs, name = operation.inputs, operation.outputs, operation.name
    if name in LOOP_RULES:
        LOOP_RULES[name](state, operation)
        return
    if state.known.issuperset(inputs):
        state.known.update(outputs)
        return
    if state.data.intersection(inputs):
        state.data.update(outputs)
    _follow_constants(state, operation)
    origin = next((state.from_parameters[v] for v in inputs if v in state.from_parameters), None)
    if origin is not None:
        state.from_parameters.update(dict.fromkeys(outputs, origin))
    if state.zeros.issuperset(outputs):
        return  # it says nothing of any neuron
    if name in lb.REARRANGED or (name in ELEMENTWISE and state.program.holds_numbers(outputs[0])):
        if not any(map(state.holds_any, inputs)):  # of a kernel that data chose, also scaled
            chosen = [leaf for value in inputs for leaf in state.chosen.get(value, ())]
            if chosen:
                state.chosen[outputs[0]] = tuple(dict.fromkeys(chosen))
    is_product = name in PRODUCTS and operation.params.get("batch_group_count", 1) == 1
    may_be_layer = is_product and not state.chosen.keys().isdisjoint(inputs)
    if not may_be_layer and not any(map(state.holds_any, inputs)):
        return
    if name in lb.IDENTITIES:
        for source, target in zip(inputs, outputs, strict=True):
            state.copy(source, target)
    elif name in ELEMENTWISE:
        follow_elementwise(state, operation)
    elif name in lb.MOVES:
        follow_move(state, operation)
    elif is_by_any_function(name, operation.params):
        state.lose(operation)
    elif name in SCATTERS and not any(map(state.holds_any, inputs[1:])):
        state.copy(inputs[0], outputs[0])  # what is written over still counts as the neuron's
    elif name in SCATTERS and follow_written(state, operation):
        pass
    elif name == "split":
        state.relabel(operation, lambda label, k: lb.split(operation.params, label)[k])
    elif name == "unstack":
        state.relabel(operation, lambda label, k: lb.unstack(operation.params, label)[k])
    elif name in REDUCTIONS:
        axes = operation.params["axes"]
        if name == "reduce_sum":
            find_sums(state, inputs[0], axes, outputs[0])
        state.relabel(operation, lambda label, _: lb.reduce_axes(label, axes, name))
    elif name in POOLS:
        window, shape = operation.params["window_dimensions"], state.program.shapes[outputs[0]]
        state.relabel(operation, lambda label, _: lb.pool(label, window, shape, name))
    elif name in RANKINGS and not any(map(state.leaves_of.get, inputs)):
        follow_ranking(state, operation)
    elif name in SCANS and follow_cumulative(state, operation):
        pass
    elif is_product:
        follow_product(state, operation)
    elif name in lb.EVALUATED_MOVES and state.known.issuperset(inputs[1:]):
        follow_evaluated_move(state, operation, known_values(state.program, inputs[1:]))
    elif name in ("gather", "dynamic_slice") and follow_choice_by_data(state, operation):
        pass
    else:
        state.lose(operation)

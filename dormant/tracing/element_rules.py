# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Rules of primitives that act on single elements, move them, or choose among them."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from dormant.primitives import written_by
from dormant.tracing import labels as lb
from dormant.tracing.connections import Elementwise, EntryMap
from dormant.tracing.jaxpr import Operation, apply_operation, known_values
from dormant.tracing.labels import MIXED, NONE, Label
from dormant.tracing.propagation_state import PropagationState

# {primitive that orders values: the names that its axis has, the last one where none is given}
RANKINGS: dict[str, tuple[str, ...]] = {
    "sort": ("dimension",),
    "top_k": ("axis",),
    "approx_top_k": ("reduction_dimension",),
}


def follow_elementwise(state: PropagationState, operation: Operation) -> None:
    """What lies at one place is combined; a parameter there acts on the neurons, as a bias does."""
    inputs, (output,) = operation.inputs, operation.outputs
    shape = state.program.shapes[output]

    def combined(labels: dict[int, Label]) -> Label:
        return lb.combine([*labels.values()], shape, operation.name)

    layers = state.of_each(inputs, state.layers_of, combined)
    leaves: dict[int, Label | None] = {}
    holders = [v for v in inputs if state.leaves_of.get(v)]
    whole = not layers and len(holders) == 1 and state.program.shapes[holders[0]] == shape
    norm = None if layers else _norm_of_parameters(state, operation, holders)
    for leaf in state.sources(inputs, state.leaves_of):
        labels = state.labels(inputs, leaf, state.leaves_of)
        if norm in labels:
            if len(labels) == 1:  # it scales all entries alike, as a vector of a power iteration
                state.note_other_use(leaf, output, "a norm of another kernel")
                continue
            labels[norm] = labels[norm]._replace(statistic=True)
        if whole and state.leaves_of[holders[0]][leaf] is None:
            leaves[leaf] = None  # still the whole leaf: a cast, a scaling
        else:
            leaves[leaf] = combined(labels)
    if layers:
        state.layers_of[output] = layers
    if any(label.single().any() for label in {id(x): x for x in layers.values()}.values()):
        _record_elementwise(state, operation, layers, leaves)
    elif leaves:
        state.leaves_of[output] = leaves


def _norm_of_parameters(
    state: PropagationState, operation: Operation, holders: list[int]
) -> int | None:
    """Which of the two values that are made of parameters alone is one number that the other is
    scaled with, such as the spectral norm of a kernel; None where none is."""
    if operation.name not in ("mul", "div") or len(set(holders)) != 2:
        return None

    def is_one_number(value: int) -> bool:
        labels = state.leaves_of[value].values()
        return all(label is not None and (lb.trim(label.index) == MIXED).all()
                   and lb.trim(label.index).size == 1 for label in labels)  # fmt: skip

    found = [value for value in holders if is_one_number(value)]
    return found[0] if len(found) == 1 else None


def _record_elementwise(
    state: PropagationState,
    operation: Operation,
    layers: dict[int, Label],
    leaves: dict[int, Label | None],
) -> None:
    (output,) = operation.outputs
    for leaf, label in leaves.items():
        if label is None:
            label = state.leaf_label(state.program.parameters[leaf], leaf)
        by = (label.mixing or "").removeprefix("mixed by ")
        # `all(w == v)` may choose between two values: so `injectable` chooses between roundings.
        if by and (operation.name, by) != ("select_n", "reduce_and"):
            own_way = label.mixing == lb.OVER_A_STATISTIC
            state.note_other_use(leaf, output, "a normalization of its entries" if own_way else by)
        leaf_shape = state.program.shapes[state.program.parameters[leaf]]
        made: dict[int, EntryMap] = {}
        for layer, neurons in layers.items():
            if id(neurons) not in made:
                owners = np.where(neurons.index == MIXED, np.int32(NONE), neurons.index)
                entries = lb.scatter_entries(leaf_shape, label.index, lb.compact(owners))
                made[id(neurons)] = EntryMap(leaf, *entries)
            adds = operation.name in ("add", "add_any", "sub")
            state.elementwise.append(Elementwise(output, layer, made[id(neurons)], adds))


def follow_move(state: PropagationState, operation: Operation) -> None:
    """Every element goes where the primitive puts it, as in a transposition.

    Zeros beside the positions of a neuron, as around an image, are more positions of it, where it
    is silent.
    """
    inputs, (output,) = operation.inputs, operation.outputs
    shape = state.program.shapes[output]
    moved_index = lb.MOVES[operation.name]
    operands = operation.inputs[:1] if operation.name == "pad" else operation.inputs

    def index_of(value: int, labels: dict[int, Label]) -> np.ndarray:
        if value in labels:
            return labels[value].index
        return np.broadcast_to(np.int32(NONE), state.program.shapes[value])

    def moved(labels: dict[int, Label]) -> Label:
        indices = [index_of(value, labels) for value in operands]
        index = moved_index(operation.params, indices, shape)
        return _label_of_all(labels, np.broadcast_to(index, shape))

    def beside_zeros(labels: dict[int, Label]) -> Label:
        filled = [index_of(value, labels) for value in operands if value not in state.zeros]
        index = None
        if operation.name == "pad":
            index = lb.pad_with_own(filled[0], operation.params["padding_config"], shape)
        elif filled and operation.name == "stack":
            axis = operation.params["axis"]
            index = lb.extend_along([np.expand_dims(i, axis) for i in filled], axis, shape)
        elif filled:
            index = lb.extend_along(filled, operation.params["dimension"], shape)
        return moved(labels) if index is None else _label_of_all(labels, index)

    joins = operation.name in ("pad", "concatenate", "stack")
    zero = joins and any(value in state.zeros for value in inputs)
    for table, rule in (
        (state.layers_of, beside_zeros if zero else moved),
        (state.leaves_of, moved),
    ):
        if found := state.of_each(operands, table, rule):
            table.setdefault(output, {}).update(found)


def _label_of_all(labels: dict[int, Label], index: np.ndarray) -> Label:
    """The label of what values with these labels are parts of."""
    return Label(
        index,
        all(label.statistic for label in labels.values()),
        next((label.mixing for label in labels.values() if label.mixing), None),
        next((label.lost for label in labels.values() if label.lost), None),
    )


def follow_ranking(state: PropagationState, operation: Operation) -> None:
    """Elements change places along one axis, by their values."""
    params, inputs = operation.params, operation.inputs
    axes = [params[name] for name in RANKINGS[operation.name] if name in params]
    axis = axes[0] if axes else len(state.program.shapes[inputs[0]]) - 1
    for target in operation.outputs:
        shape = state.program.shapes[target]

        def ranked(labels: dict[int, Label], shape: tuple[int, ...] = shape) -> Label:
            whole = lb.combine([*labels.values()], state.program.shapes[inputs[0]], "sort")
            return lb.rank(whole, axis, shape, operation.name)

        state.relabel_each(inputs, target, ranked)


def follow_cumulative(state: PropagationState, operation: Operation) -> bool:
    """Follows a cumulative sum, or a sort, along an axis that its neurons do not lie along.

    False for what cannot be followed.
    """
    axis = operation.params.get("axis", operation.params.get("dimension"))
    value = operation.inputs[0]
    found = state.layers_of.get(value, {}).values()
    varies = any(axis in lb.along_varying_axes(label.index)[0] for label in found)
    if varies or state.leaves_of.get(value) or len(operation.inputs) > 1:
        return False
    state.copy(value, operation.outputs[0])
    return True


def follow_choice_by_data(state: PropagationState, operation: Operation) -> bool:
    """Follows a gather or slice whose indices are data, as of an embedding or of a time step.

    A layer goes on where its neurons do not lie along the axes chosen from. A parameter becomes
    data. False for what cannot be followed.
    """
    value, *indices = operation.inputs
    if any(state.layers_of.get(v) for v in indices):
        return False
    shape = state.program.shapes[value]
    axes = lb.data_indices(operation.name, operation.params, shape)
    labels = state.layers_of.get(value, {}).values()
    if any(set(axes).intersection(lb.along_varying_axes(x.index)[0]) for x in labels):
        return False
    leaves = [leaf for v in operation.inputs for leaf in state.leaves_of.get(v, ())]
    for v in operation.inputs:
        state.as_data(v, operation.name, operation.outputs)
    if labels:
        zeros = [np.zeros(state.program.shapes[v], state.program.dtypes[v]) for v in indices]
        follow_evaluated_move(state, operation, zeros)
    for target in operation.outputs if leaves else ():
        state.leaves_of.pop(target, None)
        state.chosen[target] = tuple(dict.fromkeys(leaves))
    return True


def follow_written(state: PropagationState, operation: Operation) -> bool:
    """Follows layers that are written or added into a value, as the messages of a graph network and
    what a memory takes up. False for what cannot be followed.

    Where the places are data, neurons must lie along axes that are written whole.
    """
    name, (into, *others), (output,) = operation.name, operation.inputs, operation.outputs
    written = written_by(name, operation.inputs)
    indices = [value for value in others if value != written]
    held = [state.layers_of.get(value, {}) for value in (into, written)]
    has_parameters = any(state.leaves_of.get(value) for value in operation.inputs)
    if name == "scatter-mul" or has_parameters or any(map(state.holds_any, indices)):
        return False
    shapes = state.program.shapes
    is_known = state.known.issuperset(indices) and name != "scatter-add"
    places = {} if is_known else whole_axes(operation, shapes[into], shapes[written])
    found = {}
    for layer, label in held[1].items():
        before = held[0].get(layer)
        if is_known:
            index = _written_at(state, operation, before, label)
        else:
            axes, small = lb.along_varying_axes(label.index)
            if not set(axes) <= places.keys():
                return False
            index = lb.spread(small, [places[axis] for axis in axes], shapes[output])
            index = index if before is None else lb.merge([before.index, index])
        mixing = (before and before.mixing) or label.mixing
        if mixing is None and (lb.trim(index) == MIXED).any():
            mixing = f"mixed by {name}"
        found[layer] = state.one(label._replace(index=lb.compact(index), mixing=mixing))
    state.layers_of[output] = held[0] | found
    return True


def _written_at(
    state: PropagationState, operation: Operation, before: Label | None, label: Label
) -> np.ndarray:
    """What a value holds after a write to known places, by the primitive itself."""
    written = written_by(operation.name, operation.inputs)
    operands = []
    for place, value in enumerate(operation.inputs):
        if value == written and place:
            operands.append(np.ascontiguousarray(label.index))
        elif place:
            operands += known_values(state.program, [value])
        else:
            nothing = np.full(state.program.shapes[value], NONE, np.int32)
            operands.append(nothing if before is None else np.ascontiguousarray(before.index))
    with jax.ensure_compile_time_eval():
        (moved,) = apply_operation(operation, operands)
    return np.asarray(moved)


def whole_axes(operation: Operation, into: Sequence[int], written: Sequence[int]) -> dict[int, int]:
    """{axis of what is written: that of the value it is written into}, of those that are whole."""
    axes: Sequence[int] = range(len(into))
    windows = axes
    if operation.name != "dynamic_update_slice":
        numbers = operation.params["dimension_numbers"]
        left_out = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
        axes, windows = [axis for axis in axes if axis not in left_out], numbers.update_window_dims
    pairs = zip(windows, axes, strict=True)
    return {own: axis for own, axis in pairs if written[own] == into[axis]}


def follow_evaluated_move(
    state: PropagationState, operation: Operation, constants: list[Any]
) -> None:
    """Moves the labels as the primitive moves elements, by the operands that are known."""
    fill = operation.params.get("fill_value")
    chosen_from: list[int] = []
    if operation.name == "gather":
        # What is filled in is no neuron, or, if it is zero, a place where it is silent.
        params = {**operation.params, "fill_value": NONE}
        operation = operation._replace(params=params)
        shape = state.program.shapes[operation.inputs[0]]
        chosen_from = lb.data_indices("gather", params, shape)

    def rule(label: Label, _: int) -> Label:
        index, moving = np.ascontiguousarray(label.index), operation
        if fill == 0 and lb.constant_along(label.index, chosen_from)[1]:
            clipped = jax.lax.GatherScatterMode.CLIP
            moving = operation._replace(params={**operation.params, "mode": clipped})
        with jax.ensure_compile_time_eval():
            (moved,) = apply_operation(moving, [index, *constants])
        return label._replace(index=lb.compact(np.asarray(moved)))

    state.relabel(operation, rule)

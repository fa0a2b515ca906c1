# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Rules of products: by a parameter, where a layer is born and reads others, and of two values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dormant.graph import layer_name, some_names
from dormant.tracing import labels as lb
from dormant.tracing.connections import EntryMap, LinearMap, Read, cannot_follow
from dormant.tracing.jaxpr import Operation
from dormant.tracing.labels import MIXED, NONE, Label
from dormant.tracing.products import Convolution, DotGeneral
from dormant.tracing.propagation_state import PropagationState, Sum
from dormant.tracing.uses import layer_key


def _kernel_side(state: PropagationState, lhs: int, rhs: int) -> int | None:
    """0 or 1: which operand of a product is the kernel; None if neither is one."""

    def held_in(table: Mapping[int, Any]) -> list[int]:
        values = enumerate((lhs, rhs))
        return [side for side, v in values if table.get(v) and not state.layers_of.get(v)]

    sides = held_in(state.leaves_of)
    if not sides:
        sides = held_in(state.chosen)
    elif len(sides) == 2:
        sides = [s for s in sides if (lhs, rhs)[s] not in state.data] or [1]
    if len(sides) != 1:
        return None
    other = (rhs, lhs)[sides[0]]
    return sides[0] if other in state.data or state.layers_of.get(other) else None


def follow_product(state: PropagationState, operation: Operation) -> None:
    """A product by a parameter makes a layer, which reads what the other operand holds."""
    lhs, rhs = operation.inputs
    (output,) = operation.outputs
    shapes = [state.program.shapes[v] for v in (lhs, rhs)]
    out_shape = state.program.shapes[output]
    side = _kernel_side(state, lhs, rhs)
    product: DotGeneral | Convolution
    if operation.name == "dot_general":
        product = DotGeneral.of(operation.params, shapes, out_shape, side)
    else:
        product = Convolution.of(operation.params, shapes, out_shape)
        side = side or None  # an image is no kernel
    if side is None:
        _follow_plain_product(state, operation, product)
        return
    kernel, operand = (rhs, lhs) if side == 1 else (lhs, rhs)
    if isinstance(product, DotGeneral):
        # As `vmap` repeats what a `cond` reads for every example where the predicate differs.
        axes = [axis for axis in product.batch[side] if _repeats(state, kernel, axis)]
        product = product._replace(repeated=tuple(axes))
    for leaf in state.leaves_of.get(operand, ()):
        state.note_other_use(leaf, output, operation.name)
    layer = _new_layer(state, kernel, output, product)
    state.products[layer] = (product, kernel, output)
    made: dict[tuple[int, ...], tuple[tuple[EntryMap, ...], bool]] = {}
    for sources in _uses_in(state, operand):
        labels = [state.layers_of[operand][source] for source in sources]
        key = tuple(map(id, labels))
        if key not in made:
            # Uses of one layer that lie side by side, as along time, are read as one.
            index = lb.merge([label.index for label in labels])
            made[key] = entries_that_read(state, product, kernel, labels[0]._replace(index=index))
        for source in sources:
            add_read(state, source, layer, operand, *made[key])


def _repeats(state: PropagationState, kernel: int, axis: int) -> bool:
    """Whether a kernel holds the same entries of parameters all along an axis."""
    labels = state.kernel_leaves(kernel).values()
    return all(label and lb.constant_along(label.index, [axis])[1] for label in labels)


def _uses_in(state: PropagationState, value: int) -> list[list[int]]:
    """The layers that a value holds, the uses of one layer together."""
    groups: dict[tuple, list[int]] = {}
    for source in state.layers_of.get(value, {}):
        groups.setdefault(state.keys[source], []).append(source)
    return list(groups.values())


def _follow_plain_product(
    state: PropagationState, operation: Operation, product: DotGeneral | Convolution
) -> None:
    """A product without a parameter: attention, a fixed projection, or a second input."""
    (output,) = operation.outputs
    if state.known.intersection(operation.inputs):
        state.of_constants[output] = frozenset(state.sources(operation.inputs, state.leaves_of))
    if isinstance(product, DotGeneral):
        for side, value in enumerate(operation.inputs):
            other = operation.inputs[1 - side]
            if not (state.layers_of.get(other) or state.leaves_of.get(other)):
                find_sums(state, value, product.contract[side], output)
    for table, source, labels in state.held(operation.inputs):
        found = []
        for side, value in enumerate(operation.inputs):
            if value in labels:
                label = product.plain(labels[value], side)
                if label is None:
                    state.lose(operation)
                    return
                if label.mixing and not labels[value].mixing:
                    other = operation.inputs[1 - side]
                    label = label._replace(mixing=_summed_with(state, source, other))
                found.append(label)
        combined = lb.combine(found, state.program.shapes[output], operation.name)
        table.setdefault(output, {})[source] = combined


def _summed_with(state: PropagationState, source: int, other: int) -> str:
    """What a product with the value `other`, which sums over its neurons, does to a source."""
    layers = state.layers_of.get(other, {})
    if layers:
        leaves = [state.maps[layer].leaves[0] for layer in layers]
        names = some_names(list(dict.fromkeys(layer_name(state.names[each]) for each in leaves)))
        others = "each other" if source in layers else names
        return f"summed in products with {others}, as in attention logits,"
    if other in state.from_parameters:
        return f"mixed by weights that passed through {state.from_parameters[other]}"
    if state.leaves_of.get(other):
        return "mixed by a product with parameters"
    return f"mixed by a product with {'constants' if other in state.known else 'inputs'}"


def find_sums(state: PropagationState, value: int, axes: Sequence[int], output: int) -> None:
    """Notes where a layer is only ever summed over some of its units, as the product of a
    kernel with two inputs is."""
    held = state.layers_of.get(value, {})
    if len(held) != 1:
        return
    ((layer, label),) = held.items()
    linear_map = state.maps[layer]
    numbers = lb.summed_away(label.index, axes, linear_map.neurons)
    if numbers is None or label.mixing:
        return
    only_leads = state.ways.only_leads(state.layers_of, layer, linear_map.output, value)
    if only_leads and state.ways.reaches_a_product(output):
        state.sums[layer] = Sum(output, numbers)


def _new_layer(
    state: PropagationState, kernel: int, output: int, product: DotGeneral | Convolution
) -> int:
    leaves, is_chosen = state.kernel_leaves(kernel), kernel in state.chosen
    # Whichever of several makes the kernel what it is, as learned queries do, may be left out.
    names = " and ".join(repr(state.names[leaf]) for leaf in leaves)
    for label in leaves.values():
        kernel_name = f"the layer of kernel {names}"
        if label is not None and label.lost:
            raise cannot_follow(kernel_name, f"through the primitive '{label.lost}'")
        if label is not None and (label.index == MIXED).all() and not is_chosen:
            raise cannot_follow(kernel_name, f"whose entries are {label.mixing}")
    number = len(state.maps)
    owners = product.columns()
    if number in state.known_sums:
        owners = lb.compact(lb.renumber(owners, state.known_sums[number].numbers))
    entries = (_kernel_entries(state, kernel, leaf, owners) for leaf in leaves)
    columns = tuple(
        each._replace(window=_window(state, kernel, each, product), groups=product.groups)
        for each in entries
    )
    mixed = any(label is not None and label.mixing for label in leaves.values())
    neurons, found, starts = product.neurons, product.outputs(), output
    if number in state.known_sums:
        starts, numbers = state.known_sums[number]
        neurons, found = int(numbers.max()) + 1, lb.compact(lb.renumber(found, numbers))
    state.maps.append(
        LinearMap(starts, (kernel,), tuple(leaves), columns, neurons, mixed and not is_chosen)
    )
    state.keys.append(layer_key(state.maps[-1]))
    state.layers_of[output] = {number: state.one(Label(found))}
    state.leaves_of.pop(output, None)
    return number


def _window(
    state: PropagationState, kernel: int, entries: EntryMap, product: DotGeneral | Convolution
) -> tuple[int, ...]:
    """The axes of a parameter array along which the positions of a convolution lie, also of one
    that is computed as a product with patches: whose kernel has rows for positions and inputs."""
    if kernel in state.chosen:
        return ()
    label = state.leaves_of[kernel][entries.leaf]
    if isinstance(product, Convolution):
        axes = [a for a in range(len(product.kernel_shape)) if a not in product.kernel_axes]
        return tuple(axes) if label is None else _axes_along(state, entries.leaf, label, axes)
    if label is None:
        return ()
    for axis in product.contract[product.side]:
        rows = _axes_along(state, entries.leaf, label, [axis])
        if len(rows) > 1:  # the inputs lie next to the outputs, as in every usual layout
            return rows[:-1] if max(entries.axes, default=0) > rows[-1] else rows[1:]
    return ()


def _axes_along(
    state: PropagationState, leaf: int, label: Label, axes: Sequence[int]
) -> tuple[int, ...]:
    """The axes of a parameter array along which lies what a value holds of it along its own."""
    at = tuple(slice(None) if axis in axes else 0 for axis in range(label.index.ndim))
    entries = np.unique(label.index[at])
    shape = state.program.shapes[state.program.parameters[leaf]]
    if not shape:  # one number that scales a kernel
        return ()
    places = np.unravel_index(entries[entries >= 0], shape)
    return tuple(axis for axis, found in enumerate(places) if len(np.unique(found)) > 1)


def _kernel_entries(
    state: PropagationState, kernel: int, leaf: int, owners: np.ndarray
) -> EntryMap:
    """Entries of `leaf` by the neuron that owns each element of the kernel."""
    if kernel in state.chosen:
        return EntryMap(leaf, (), np.array(NONE, np.int32), True)
    label = state.leaves_of[kernel][leaf]
    if label is None:
        axes, index = lb.along_varying_axes(owners)
        return EntryMap(leaf, axes, index, bool((index == MIXED).any()))
    leaf_shape = state.program.shapes[state.program.parameters[leaf]]
    return EntryMap(leaf, *lb.scatter_entries(leaf_shape, label.index, owners))


def entries_that_read(
    state: PropagationState, product: DotGeneral | Convolution, kernel: int, label: Label
) -> tuple[tuple[EntryMap, ...], bool]:
    """The entries of a kernel that read a label, and whether one reads several neurons."""
    rows, shared = product.rows(label)
    entries = (_kernel_entries(state, kernel, leaf, rows) for leaf in state.kernel_leaves(kernel))
    return tuple(each._replace(groups=product.groups) for each in entries), shared


def add_read(
    state: PropagationState,
    source: int,
    reader: int,
    operand: int,
    rows: tuple[EntryMap, ...],
    shared: bool,
) -> None:
    """Notes that a layer reads another. Raises TraceError if that could not be followed so far."""
    label = state.layers_of[operand][source]
    if label.lost:
        name = state.names[state.maps[source].leaves[0]]
        raise cannot_follow(
            f"the layer of kernel {name!r}", f"through the primitive '{label.lost}'"
        )
    state.reads.append(Read(source, reader, operand, rows, shared))

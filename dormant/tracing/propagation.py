# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Follows neurons and parameter entries through a program, primitive by primitive.

The result are its connections: linear maps by a parameter (each makes a layer), what each of them
reads, and which parameters act on single neurons (biases, scales).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from dormant.graph import layer_name, some_names
from dormant.primitives import ELEMENTWISE
from dormant.tracing import labels as lb
from dormant.tracing.connections import (
    Connections,
    Elementwise,
    EntryMap,
    LinearMap,
    Read,
    cannot_follow,
)
from dormant.tracing.constants import bounds, zero_values
from dormant.tracing.jaxpr import Operation, Program, apply_operation, known_values
from dormant.tracing.labels import MIXED, NONE, Label
from dormant.tracing.linearity import Ways
from dormant.tracing.products import Convolution, DotGeneral
from dormant.tracing.uses import layer_key

# {primitive that orders values: the names that its axis has, the last one where none is given}
RANKINGS: dict[str, tuple[str, ...]] = {
    "sort": ("dimension",),
    "top_k": ("axis",),
    "approx_top_k": ("reduction_dimension",),
}
REDUCTIONS = frozenset(
    "reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor argmax "
    "argmin".split()
)
SCATTERS = frozenset("scatter scatter-mul scatter-add dynamic_update_slice".split())
POOLS = frozenset(
    "reduce_window_sum reduce_window_max reduce_window_min reduce_window reduce_window_mul".split()
)
SCANS = frozenset("cumsum cumprod cummax cummin cumlogsumexp sort".split())


def propagate(program: Program, names: tuple[str, ...], left_out: frozenset[int]) -> Connections:
    """Follows every neuron of `program`, whose parameter leaves have the paths `names`.

    The leaves `left_out` are plain data. Raises TraceError if a parameter is used by a primitive
    that cannot be followed.
    """
    found = _Propagation(program, names, left_out, {})
    found.run()
    if found.sums:  # from the start, then, the neurons are the sums
        found = _Propagation(program, names, left_out, found.sums)
        found.run()
    return Connections(
        tuple(found.maps),
        tuple(found.reads),
        tuple(found.elementwise),
        found.layers_of,
        found.other_uses,
        frozenset(found.deciding),
        found.zeros,
        bounds(program),
    )


class _Sum(NamedTuple):
    """A layer is only ever summed over some of its units: each sum is a neuron."""

    output: int  # value
    numbers: np.ndarray  # int32 (units,): the neuron that each adds to


class _Propagation:
    def __init__(
        self,
        program: Program,
        names: tuple[str, ...],
        left_out: frozenset[int],
        known_sums: dict[int, _Sum],
    ):
        self.program, self.names = program, names
        self.known_sums, self.sums = known_sums, dict[int, _Sum]()
        self.layers_of: dict[int, dict[int, Label]] = {}
        self.leaves_of: dict[int, dict[int, Label | None]] = {}  # None: the whole leaf, unmoved
        self.data: set[int] = set(program.inputs)
        self.known: set[int] = set(program.constants)
        self.zeros = zero_values(program)
        self.ways = Ways(program)
        self.maps: list[LinearMap] = []
        self.keys: list[tuple] = []  # of the maps, equal for the uses of one layer
        self.known_labels: dict[tuple, Label] = {}  # by content
        # By linear map, with the values that are its kernel and what the product makes.
        self.products: dict[int, tuple[DotGeneral | Convolution, int, int]] = {}
        self.reads: list[Read] = []
        self.elementwise: list[Elementwise] = []
        self.other_uses: dict[int, str] = {}
        self.deciding: set[int] = set()
        self.from_parameters: dict[int, str] = {}  # data that a primitive made of a parameter
        for leaf, value in enumerate(program.parameters):
            if leaf in left_out:
                self.data.add(value)
            else:
                self.leaves_of[value] = {leaf: None}

    def run(self) -> None:
        summed = {each.output: layer for layer, each in self.known_sums.items()}
        for operation in self.program.operations:
            self.step(operation)
            for value in summed.keys() & set(operation.outputs):
                # The value of what is one neuron, and no statistic of several.
                found = self.layers_of[value]
                found[summed[value]] = found[summed[value]]._replace(statistic=False)

    def step(self, operation: Operation) -> None:
        inputs, outputs, name = operation.inputs, operation.outputs, operation.name
        if name in _LOOP_STEPS:
            _LOOP_STEPS[name](self, operation)
            return
        if self.known.issuperset(inputs):
            self.known.update(outputs)
            return
        if self.data.intersection(inputs):
            self.data.update(outputs)
        origin = next((self.from_parameters[v] for v in inputs if v in self.from_parameters), None)
        if origin is not None:
            self.from_parameters.update(dict.fromkeys(outputs, origin))
        if self.zeros.issuperset(outputs):
            return  # it says nothing of any neuron
        if not any(self.layers_of.get(v) or self.leaves_of.get(v) for v in inputs):
            return
        if name in lb.IDENTITIES:
            for source, target in zip(inputs, outputs, strict=True):
                self._copy(source, target)
        elif name in ELEMENTWISE:
            self._combine(operation)
        elif name in lb.MOVES:
            self._move(operation)
        elif name in SCATTERS and not any(map(self._holds_any, inputs[1:])):
            self._copy(inputs[0], outputs[0])  # what is written over still counts as the neuron's
        elif name == "split":
            self._relabel(operation, lambda label, k: lb.split(operation.params, label)[k])
        elif name in REDUCTIONS:
            axes = operation.params["axes"]
            if name == "reduce_sum":
                self._find_sums(inputs[0], axes, outputs[0])
            self._relabel(operation, lambda label, _: lb.reduce_axes(label, axes, name))
        elif name in POOLS:
            window, shape = operation.params["window_dimensions"], self.program.shapes[outputs[0]]
            self._relabel(operation, lambda label, _: lb.pool(label, window, shape, name))
        elif name in RANKINGS and not any(map(self.leaves_of.get, inputs)):
            self._rank(operation)
        elif name in SCANS and self._follow_scan(operation):
            pass
        elif name == "dot_general" or (
            name == "conv_general_dilated" and operation.params["batch_group_count"] == 1
        ):
            self._product(operation)
        elif name in lb.EVALUATED_MOVES and self.known.issuperset(inputs[1:]):
            self._evaluated_move(operation, known_values(self.program, inputs[1:]))
        elif name in ("gather", "dynamic_slice") and self._chosen_by_data(operation):
            pass
        else:
            self._lose(operation)

    def _holds_any(self, value: int) -> bool:
        """Whether a value holds neurons or parameters."""
        return any(table.get(value) for table in self._tables)

    @property
    def _tables(self) -> tuple[dict[int, dict[int, Any]], ...]:
        return self.layers_of, self.leaves_of

    # -- moving and combining ------------------------------------------------------------------

    def _copy(self, source: int, target: int) -> None:
        for table in self._tables:
            if table.get(source):
                table[target] = dict(table[source])

    def _leaf_label(self, value: int, leaf: int) -> Label:
        label = self.leaves_of[value][leaf]
        if label is None:
            shape = self.program.shapes[value]
            label = Label(np.arange(math.prod(shape), dtype=np.int32).reshape(shape))
        return label

    def _labels(self, values, source, table) -> dict[int, Label]:
        """The labels of one source by the value that holds it, of those values that do."""
        holders = [v for v in dict.fromkeys(values) if source in table.get(v, ())]
        if table is self.layers_of:
            return {v: table[v][source] for v in holders}
        return {v: self._leaf_label(v, source) for v in holders}

    def _sources(self, values, table) -> list[int]:
        return sorted({source for v in values for source in table.get(v, ())})

    def _held(self, values) -> Iterator[tuple[dict[int, dict[int, Any]], int, dict[int, Label]]]:
        """Every layer and every leaf that a value holds: its table, itself, its labels by value."""
        for table in self._tables:
            for source in self._sources(values, table):
                yield table, source, self._labels(values, source, table)

    def _of_each(
        self, values, table, rule: Callable[[dict[int, Label]], Label]
    ) -> dict[int, Label]:
        """What `rule` makes of the labels, by value, of every source of a table.

        It is asked once for all sources with the same labels: a residual stream holds every layer
        before it, most of them alike.
        """
        if table is self.leaves_of:
            leaves = self._sources(values, table)
            return {leaf: rule(self._labels(values, leaf, table)) for leaf in leaves}
        held = [table[v] for v in values if v in table]
        made: dict[tuple, Label] = {}
        found = {}
        for layer in self._sources(values, table):
            key = tuple(id(labels.get(layer)) for labels in held)
            if key not in made:
                made[key] = self._one(rule(self._labels(values, layer, table)))
            found[layer] = made[key]
        return found

    def _relabel_each(self, values, target: int, rule: Callable[[dict[int, Label]], Label]) -> None:
        for table in self._tables:
            if found := self._of_each(values, table, rule):
                table.setdefault(target, {}).update(found)

    def _one(self, label: Label) -> Label:
        """The one object for all labels with this content."""
        small = lb.trim(label.index)
        key = (label.index.shape, small.shape, small.tobytes(), *label[1:])
        return self.known_labels.setdefault(key, label)

    def _relabel(self, operation: Operation, rule: Callable[[Label, int], Label]) -> None:
        """Applies `rule(label, number of the output)` to the labels of a one-operand primitive."""
        for number, target in enumerate(operation.outputs):

            def relabelled(labels: dict[int, Label], number: int = number) -> Label:
                (label,) = labels.values()
                return rule(label, number)

            self._relabel_each(operation.inputs[:1], target, relabelled)

    def _combine(self, operation: Operation) -> None:
        inputs, (output,) = operation.inputs, operation.outputs
        shape = self.program.shapes[output]

        def combined(labels: dict[int, Label]) -> Label:
            return lb.combine([*labels.values()], shape, operation.name)

        layers = self._of_each(inputs, self.layers_of, combined)
        leaves: dict[int, Label | None] = {}
        holders = [v for v in inputs if self.leaves_of.get(v)]
        whole = not layers and len(holders) == 1 and self.program.shapes[holders[0]] == shape
        for leaf in self._sources(inputs, self.leaves_of):
            if whole and self.leaves_of[holders[0]][leaf] is None:
                leaves[leaf] = None  # still the whole leaf: a cast, a scaling
            else:
                leaves[leaf] = combined(self._labels(inputs, leaf, self.leaves_of))
        if layers:
            self.layers_of[output] = layers
        if any(label.single().any() for label in {id(x): x for x in layers.values()}.values()):
            self._record_elementwise(output, layers, leaves)
        elif leaves:
            self.leaves_of[output] = leaves

    def _record_elementwise(self, output, layers, leaves) -> None:
        for leaf, label in leaves.items():
            if label is None:
                label = self._leaf_label(self.program.parameters[leaf], leaf)
            leaf_shape = self.program.shapes[self.program.parameters[leaf]]
            made: dict[int, EntryMap] = {}
            for layer, neurons in layers.items():
                if id(neurons) not in made:
                    owners = np.where(neurons.index == MIXED, np.int32(NONE), neurons.index)
                    entries = lb.scatter_entries(leaf_shape, label.index, lb.compact(owners))
                    made[id(neurons)] = EntryMap(leaf, *entries)
                self.elementwise.append(Elementwise(output, layer, made[id(neurons)]))

    def _move(self, operation: Operation) -> None:
        (output,) = operation.outputs
        shape = self.program.shapes[output]
        move = lb.MOVES[operation.name]
        operands = operation.inputs[:1] if operation.name == "pad" else operation.inputs

        def moved(labels: dict[int, Label]) -> Label:
            indices = [
                labels[v].index
                if v in labels
                else np.broadcast_to(np.int32(NONE), self.program.shapes[v])
                for v in operands
            ]
            return Label(
                np.broadcast_to(move(operation.params, indices, shape), shape),
                all(label.statistic for label in labels.values()),
                next((label.mixing for label in labels.values() if label.mixing), None),
                next((label.lost for label in labels.values() if label.lost), None),
            )

        self._relabel_each(operands, output, moved)

    def _rank(self, operation: Operation) -> None:
        params, inputs = operation.params, operation.inputs
        axes = [params[name] for name in RANKINGS[operation.name] if name in params]
        axis = axes[0] if axes else len(self.program.shapes[inputs[0]]) - 1
        for target in operation.outputs:
            shape = self.program.shapes[target]

            def ranked(labels: dict[int, Label], shape: tuple[int, ...] = shape) -> Label:
                whole = lb.combine([*labels.values()], self.program.shapes[inputs[0]], "sort")
                return lb.rank(whole, axis, shape, operation.name)

            self._relabel_each(inputs, target, ranked)

    def _follow_scan(self, operation: Operation) -> bool:
        axis = operation.params.get("axis", operation.params.get("dimension"))
        value = operation.inputs[0]
        found = self.layers_of.get(value, {}).values()
        varies = any(axis in lb.along_varying_axes(label.index)[0] for label in found)
        if varies or self.leaves_of.get(value) or len(operation.inputs) > 1:
            return False
        self._copy(value, operation.outputs[0])
        return True

    def _chosen_by_data(self, operation: Operation) -> bool:
        """Follows a gather or slice whose indices are data, as of an embedding or of a time step.

        A layer goes on where its neurons do not lie along the axes chosen from. A parameter becomes
        data. False for what cannot be followed.
        """
        value, *indices = operation.inputs
        if any(self.layers_of.get(v) for v in indices):
            return False
        shape = self.program.shapes[value]
        axes = lb.data_indices(operation.name, operation.params, shape)
        labels = self.layers_of.get(value, {}).values()
        if any(set(axes).intersection(lb.along_varying_axes(x.index)[0]) for x in labels):
            return False
        leaves = [leaf for v in operation.inputs for leaf in self.leaves_of.get(v, ())]
        for v in operation.inputs:
            self._as_data(v, operation.name, operation.outputs)
        if labels:
            zeros = [np.zeros(self.program.shapes[v], self.program.dtypes[v]) for v in indices]
            self._evaluated_move(operation, zeros)
        for target in operation.outputs if leaves else ():
            self.leaves_of.pop(target, None)
        return True

    def _as_data(self, value: int, primitive: str, targets: tuple[int, ...]) -> None:
        """What `primitive` makes of the parameters in `value` is data."""
        leaves = self.leaves_of.get(value, {})
        for leaf in leaves:
            self.other_uses.setdefault(leaf, primitive)
        if leaves:
            self.data.update(targets)
            self.from_parameters.update(dict.fromkeys(targets, primitive))

    # -- loops ---------------------------------------------------------------------------------

    def _step_input(self, operation: Operation) -> None:
        (outer,), (inner,) = operation.inputs, operation.outputs
        self.data.add(inner)
        self._as_data(outer, "scan", (inner,))
        for layer, label in self.layers_of.get(outer, {}).items():
            label = label.constant_along((0,), "a loop over its neurons")
            label = label._replace(index=np.squeeze(label.index, 0))
            self.layers_of.setdefault(inner, {})[layer] = label

    def _step_output(self, operation: Operation) -> None:
        (inner,), (outer,) = operation.inputs, operation.outputs
        self.data.add(outer)
        self._as_data(inner, "scan", (outer,))
        for layer, label in self.layers_of.get(inner, {}).items():
            index = np.broadcast_to(label.index, self.program.shapes[outer])
            self.layers_of.setdefault(outer, {})[layer] = label._replace(index=index)

    def _carry(self, operation: Operation) -> None:
        """A carry is data, in which layers cannot be told apart."""
        (target,) = operation.outputs
        self.data.add(target)
        for value in operation.inputs:
            self._as_data(value, "the carry of a loop", (target,))
        for layer in self._sources(operation.inputs, self.layers_of):
            self._mark_carried(operation, target, layer)

    def _mark_carried(self, step: Operation, value: int, layer: int) -> bool:
        """Marks what a value holds of a layer as carried; whether that is news."""
        found = self.layers_of.setdefault(value, {})
        if layer in found and found[layer].mixing == lb.CARRIED:
            return False
        shape = self.program.shapes[value]
        index = np.broadcast_to(np.int32(MIXED), shape)
        in_place = step.name in ELEMENTWISE or step.name in lb.IDENTITIES
        if in_place or step.name in ("carry", "last_carry"):
            # The neurons stay where they are, so that their readers are known: `also` cuts them.
            labels = [*self._labels(step.inputs, layer, self.layers_of).values()]
            index = lb.combine(labels, shape, step.name).index
        found[layer] = Label(index, mixing=lb.CARRIED)
        return True

    def _loop_end(self, operation: Operation) -> None:
        """Follows what one step of a loop carries into the next, through the body once more."""
        body = self.program.operations[operation.params["start"] : operation.params["stop"]]
        births = {output: layer for layer, (_, _, output) in self.products.items()}
        has_news = True
        while has_news:
            has_news = False
            for step in body:
                for value in step.inputs:
                    for layer, label in list(self.layers_of.get(value, {}).items()):
                        if label.mixing == lb.CARRIED or step.name == "carry":
                            has_news |= self._carry_through(step, value, layer, births)

    def _carry_through(
        self, step: Operation, value: int, layer: int, births: dict[int, int]
    ) -> bool:
        has_news = False
        if step.name == "decides":
            self.deciding.add(layer)
        for target in step.outputs:
            reader = births.get(target)
            if reader is None:
                has_news |= self._mark_carried(step, target, layer)
            elif not any(
                (read.layer, read.reader, read.operand) == (layer, reader, value)
                for read in self.reads
            ):
                product, kernel, _ = self.products[reader]
                label = self.layers_of[value][layer]
                self._read(layer, reader, value, *self._rows(product, kernel, label))
                has_news = True
        return has_news

    def _decides(self, operation: Operation) -> None:
        for value in operation.inputs:
            self._as_data(value, "the condition of a `while`", ())
            self.deciding.update(self.layers_of.get(value, ()))

    def _evaluated_move(self, operation: Operation, constants: list[Any]) -> None:
        def rule(label: Label, _: int) -> Label:
            with jax.ensure_compile_time_eval():
                index = np.ascontiguousarray(label.index)
                (moved,) = apply_operation(operation, [index, *constants])
            return label._replace(index=lb.compact(np.asarray(moved)))

        self._relabel(operation, rule)

    def _lose(self, operation: Operation) -> None:
        """The primitive is unknown: what goes in cannot be followed any further."""
        name = operation.name
        leaves = self._sources(operation.inputs, self.leaves_of)
        body = any(hasattr(p, "eqns") or hasattr(p, "jaxpr") for p in operation.params.values())
        if leaves and (body or self.data.intersection(operation.outputs)):
            used = ", ".join(repr(self.names[leaf]) for leaf in leaves)
            raise cannot_follow(f"the parameters {used}", f"through the primitive '{name}'")
        for target in operation.outputs:
            index = np.broadcast_to(np.int32(MIXED), self.program.shapes[target])
            lost = Label(index, mixing=f"passed through {name}", lost=name)
            for table in self._tables:
                sources = self._sources(operation.inputs, table)
                if sources:
                    table[target] = dict.fromkeys(sources, lost)

    # -- linear maps ---------------------------------------------------------------------------

    def _kernel_side(self, lhs: int, rhs: int) -> int | None:
        """0 or 1: which operand of a product is the kernel; None if neither is a parameter."""
        sides = [
            side
            for side, value in enumerate((lhs, rhs))
            if self.leaves_of.get(value) and not self.layers_of.get(value)
        ]
        if len(sides) == 2:
            sides = [s for s in sides if (lhs, rhs)[s] not in self.data] or [1]
        if len(sides) != 1:
            return None
        other = (rhs, lhs)[sides[0]]
        return sides[0] if other in self.data or self.layers_of.get(other) else None

    def _product(self, operation: Operation) -> None:
        lhs, rhs = operation.inputs
        (output,) = operation.outputs
        shapes = [self.program.shapes[v] for v in (lhs, rhs)]
        out_shape = self.program.shapes[output]
        side = self._kernel_side(lhs, rhs)
        product: DotGeneral | Convolution
        if operation.name == "dot_general":
            product = DotGeneral.of(operation.params, shapes, out_shape, side)
        else:
            product = Convolution.of(operation.params, shapes, out_shape)
            side = side or None  # an image is no kernel
        if side is None:
            self._plain_product(operation, product)
            return
        kernel, operand = (rhs, lhs) if side == 1 else (lhs, rhs)
        if isinstance(product, DotGeneral):
            # As `vmap` repeats what a `cond` reads for every example where the predicate differs.
            axes = [axis for axis in product.batch[side] if self._repeats(kernel, axis)]
            product = product._replace(repeated=tuple(axes))
        layer = self._new_layer(kernel, output, product)
        self.products[layer] = (product, kernel, output)
        made: dict[tuple[int, ...], tuple[tuple[EntryMap, ...], bool]] = {}
        for sources in self._uses_in(operand):
            labels = [self.layers_of[operand][source] for source in sources]
            key = tuple(map(id, labels))
            if key not in made:
                # Uses of one layer that lie side by side, as along time, are read as one.
                index = lb.merge([label.index for label in labels])
                made[key] = self._rows(product, kernel, labels[0]._replace(index=index))
            for source in sources:
                self._read(source, layer, operand, *made[key])

    def _repeats(self, kernel: int, axis: int) -> bool:
        """Whether a kernel holds the same entries of parameters all along an axis."""
        labels = self.leaves_of[kernel].values()
        return all(label and lb.constant_along(label.index, [axis])[1] for label in labels)

    def _uses_in(self, value: int) -> list[list[int]]:
        """The layers that a value holds, the uses of one layer together."""
        groups: dict[tuple, list[int]] = {}
        for source in self.layers_of.get(value, {}):
            groups.setdefault(self.keys[source], []).append(source)
        return list(groups.values())

    def _plain_product(self, operation: Operation, product: DotGeneral | Convolution) -> None:
        """A product without a parameter: attention, a fixed projection, or a second input."""
        (output,) = operation.outputs
        if isinstance(product, DotGeneral):
            for side, value in enumerate(operation.inputs):
                other = operation.inputs[1 - side]
                if not (self.layers_of.get(other) or self.leaves_of.get(other)):
                    self._find_sums(value, product.contract[side], output)
        for table, source, labels in self._held(operation.inputs):
            found = []
            for side, value in enumerate(operation.inputs):
                if value in labels:
                    label = product.plain(labels[value], side)
                    if label is None:
                        self._lose(operation)
                        return
                    if label.mixing and not labels[value].mixing:
                        other = operation.inputs[1 - side]
                        label = label._replace(mixing=self._summed_with(source, other))
                    found.append(label)
            combined = lb.combine(found, self.program.shapes[output], operation.name)
            table.setdefault(output, {})[source] = combined

    def _summed_with(self, source: int, other: int) -> str:
        """What a product with the value `other`, which sums over its neurons, does to a source."""
        layers = self.layers_of.get(other, {})
        if layers:
            leaves = [self.maps[layer].leaves[0] for layer in layers]
            names = some_names(list(dict.fromkeys(layer_name(self.names[each]) for each in leaves)))
            others = "each other" if source in layers else names
            return f"summed in products with {others}, as in attention logits,"
        if other in self.from_parameters:
            return f"mixed by weights that passed through {self.from_parameters[other]}"
        if self.leaves_of.get(other):
            return "mixed by a product with parameters"
        return f"mixed by a product with {'constants' if other in self.known else 'inputs'}"

    def _find_sums(self, value: int, axes: Sequence[int], output: int) -> None:
        """Notes where a layer is only ever summed over some of its units, as the product of a
        kernel with two inputs is."""
        held = self.layers_of.get(value, {})
        if len(held) != 1:
            return
        ((layer, label),) = held.items()
        linear_map = self.maps[layer]
        numbers = lb.summed_away(label.index, axes, linear_map.neurons)
        if numbers is None or label.mixing:
            return
        only_leads = self.ways.only_leads(self.layers_of, layer, linear_map.output, value)
        if only_leads and self.ways.reaches_a_product(output):
            self.sums[layer] = _Sum(output, numbers)

    def _new_layer(self, kernel: int, output: int, product: DotGeneral | Convolution) -> int:
        leaves = self.leaves_of[kernel]
        for leaf, label in leaves.items():
            kernel_name = f"the layer of kernel {self.names[leaf]!r}"
            if label is not None and label.lost:
                raise cannot_follow(kernel_name, f"through the primitive '{label.lost}'")
            if label is not None and (label.index == MIXED).all():
                raise cannot_follow(kernel_name, f"whose entries are {label.mixing}")
        number = len(self.maps)
        owners = product.columns()
        if number in self.known_sums:
            owners = lb.compact(lb.renumber(owners, self.known_sums[number].numbers))
        columns = tuple(self._entries(kernel, leaf, owners) for leaf in leaves)
        normalized = any(label is not None and label.mixing for label in leaves.values())
        neurons, found, starts = product.neurons, product.outputs(), output
        if number in self.known_sums:
            starts, numbers = self.known_sums[number]
            neurons, found = int(numbers.max()) + 1, lb.compact(lb.renumber(found, numbers))
        self.maps.append(LinearMap(starts, tuple(leaves), columns, neurons, normalized))
        self.keys.append(layer_key(self.maps[-1]))
        self.layers_of[output] = {number: self._one(Label(found))}
        self.leaves_of.pop(output, None)
        return number

    def _entries(self, kernel: int, leaf: int, owners: np.ndarray) -> EntryMap:
        """Entries of `leaf` by the neuron that owns each element of the kernel."""
        label = self.leaves_of[kernel][leaf]
        if label is None:
            axes, index = lb.along_varying_axes(owners)
            return EntryMap(leaf, axes, index, bool((index == MIXED).any()))
        leaf_shape = self.program.shapes[self.program.parameters[leaf]]
        return EntryMap(leaf, *lb.scatter_entries(leaf_shape, label.index, owners))

    def _rows(
        self, product: DotGeneral | Convolution, kernel: int, label: Label
    ) -> tuple[tuple[EntryMap, ...], bool]:
        """The entries of a kernel that read a label, and whether one reads several neurons."""
        rows, shared = product.rows(label)
        return tuple(self._entries(kernel, leaf, rows) for leaf in self.leaves_of[kernel]), shared

    def _read(self, source, reader, operand, maps: tuple[EntryMap, ...], shared: bool) -> None:
        label = self.layers_of[operand][source]
        if label.lost:
            name = self.names[self.maps[source].leaves[0]]
            raise cannot_follow(
                f"the layer of kernel {name!r}", f"through the primitive '{label.lost}'"
            )
        self.reads.append(Read(source, reader, operand, maps, shared))


_LOOP_STEPS: dict[str, Callable[[_Propagation, Operation], None]] = {
    "carry": _Propagation._carry,
    "last_carry": _Propagation._carry,
    "step_input": _Propagation._step_input,
    "step_output": _Propagation._step_output,
    "loop_end": _Propagation._loop_end,
    "decides": _Propagation._decides,
}

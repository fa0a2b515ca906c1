# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What following a program has found so far: which neurons and parameter entries each value holds.

The rules of the primitives, in `element_rules`, `product_rules` and `loop_rules`, add to it.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from dormant.primitives import is_body
from dormant.tracing import labels as lb
from dormant.tracing.connections import Elementwise, LinearMap, OtherUse, Read, cannot_follow
from dormant.tracing.constants import bounds
from dormant.tracing.jaxpr import Operation, Program
from dormant.tracing.labels import MIXED, Label
from dormant.tracing.linearity import Ways
from dormant.tracing.products import Convolution, DotGeneral
from dormant.tracing.zero_rules import zero_values


class Sum(NamedTuple):
    """A layer is only ever summed over some of its units: each sum is a neuron."""

    output: int  # value
    numbers: np.ndarray  # int32 (units,): the neuron that each adds to


class PropagationState:
    """The tables that the rules read and fill, and how labels go from values to values."""

    def __init__(
        self,
        program: Program,
        names: tuple[str, ...],
        left_out: frozenset[int],
        known_sums: dict[int, Sum],
    ):
        self.program, self.names = program, names
        self.known_sums, self.sums = known_sums, dict[int, Sum]()
        self.layers_of: dict[int, dict[int, Label]] = {}
        self.leaves_of: dict[int, dict[int, Label | None]] = {}  # None: the whole leaf, unmoved
        self.data: set[int] = set(program.inputs)
        self.known: set[int] = set(program.constants)
        self.bounds = bounds(program)
        self.zeros = zero_values(program, self.bounds)
        self.ways = Ways(program)
        self.maps: list[LinearMap] = []
        self.keys: list[tuple] = []  # of the maps, equal for the uses of one layer
        self.known_labels: dict[tuple, Label] = {}  # by content
        # By linear map, with the values that are its kernel and what the product makes.
        self.products: dict[int, tuple[DotGeneral | Convolution, int, int]] = {}
        self.reads: list[Read] = []
        self.elementwise: list[Elementwise] = []
        self.other_uses: dict[int, list[OtherUse]] = {}
        # What is made of constants multiplied by parameter arrays, and of which; then the arrays of
        # what goes through a non-linearity, as that of a layer would.
        self.of_constants: dict[int, frozenset[int]] = {}
        self.by_constants: set[int] = set()
        self.deciding: set[int] = set()
        self.from_parameters: dict[int, str] = {}  # data that a primitive made of a parameter
        self.chosen: dict[int, tuple[int, ...]] = {}  # data that was chosen from parameter arrays
        for leaf, value in enumerate(program.parameters):
            if leaf in left_out:
                self.data.add(value)
            else:
                self.leaves_of[value] = {leaf: None}

    def holds_any(self, value: int) -> bool:
        """Whether a value holds neurons or parameters."""
        return any(table.get(value) for table in self.tables)

    @property
    def tables(self) -> tuple[dict[int, dict[int, Any]], ...]:
        return self.layers_of, self.leaves_of

    def copy(self, source: int, target: int) -> None:
        for table in self.tables:
            if table.get(source):
                table[target] = dict(table[source])

    def leaf_label(self, value: int, leaf: int) -> Label:
        label = self.leaves_of[value][leaf]
        if label is None:
            shape = self.program.shapes[value]
            label = Label(np.arange(math.prod(shape), dtype=np.int32).reshape(shape))
        return label

    def kernel_leaves(self, kernel: int) -> dict[int, Label | None]:
        """The parameter arrays that make up a kernel; of one that data chose, as that of a task in
        a stack of heads, their entries cannot be told apart."""
        if kernel not in self.chosen:
            return self.leaves_of[kernel]
        index = np.broadcast_to(np.int32(MIXED), self.program.shapes[kernel])
        return {leaf: Label(index, mixing="chosen by data") for leaf in self.chosen[kernel]}

    def labels(self, values, source, table) -> dict[int, Label]:
        """The labels of one source by the value that holds it, of those values that do."""
        holders = [v for v in dict.fromkeys(values) if source in table.get(v, ())]
        if table is self.layers_of:
            return {v: table[v][source] for v in holders}
        return {v: self.leaf_label(v, source) for v in holders}

    def sources(self, values, table) -> list[int]:
        return sorted({source for v in values for source in table.get(v, ())})

    def held(self, values) -> Iterator[tuple[dict[int, dict[int, Any]], int, dict[int, Label]]]:
        """Every layer and every leaf that a value holds: its table, itself, its labels by value."""
        for table in self.tables:
            for source in self.sources(values, table):
                yield table, source, self.labels(values, source, table)

    def of_each(self, values, table, rule: Callable[[dict[int, Label]], Label]) -> dict[int, Label]:
        """What `rule` makes of the labels, by value, of every source of a table.

        It is asked once for all sources with the same labels: a residual stream holds every layer
        before it, most of them alike.
        """
        if table is self.leaves_of:
            leaves = self.sources(values, table)
            return {leaf: rule(self.labels(values, leaf, table)) for leaf in leaves}
        held = [table[v] for v in values if v in table]
        made: dict[tuple, Label] = {}
        found = {}
        for layer in self.sources(values, table):
            key = tuple(id(labels.get(layer)) for labels in held)
            if key not in made:
                made[key] = self.one(rule(self.labels(values, layer, table)))
            found[layer] = made[key]
        return found

    def relabel_each(self, values, target: int, rule: Callable[[dict[int, Label]], Label]) -> None:
        for table in self.tables:
            if found := self.of_each(values, table, rule):
                table.setdefault(target, {}).update(found)

    def one(self, label: Label) -> Label:
        """The one object for all labels with this content."""
        small = lb.trim(label.index)
        key = (label.index.shape, small.shape, small.tobytes(), *label[1:])
        return self.known_labels.setdefault(key, label)

    def relabel(self, operation: Operation, rule: Callable[[Label, int], Label]) -> None:
        """Applies `rule(label, number of the output)` to the labels of a one-operand primitive."""
        for number, target in enumerate(operation.outputs):

            def relabelled(labels: dict[int, Label], number: int = number) -> Label:
                (label,) = labels.values()
                return rule(label, number)

            self.relabel_each(operation.inputs[:1], target, relabelled)

    def note_other_use(self, leaf: int, makes: int | None, primitive: str) -> None:
        self.other_uses.setdefault(leaf, []).append(OtherUse(makes, primitive))

    def as_data(self, value: int, primitive: str, targets: tuple[int, ...]) -> None:
        """What `primitive` makes of the parameters in `value` is data."""
        leaves = self.leaves_of.get(value, {})
        for leaf in leaves:
            for target in targets or (None,):
                self.note_other_use(leaf, target, primitive)
        if leaves:
            self.data.update(targets)
            self.from_parameters.update(dict.fromkeys(targets, primitive))

    def lose(self, operation: Operation) -> None:
        """The primitive is unknown: what goes in cannot be followed any further."""
        name = operation.name
        leaves = self.sources(operation.inputs, self.leaves_of)
        has_body = any(map(is_body, operation.params.values()))
        if leaves and (has_body or self.data.intersection(operation.outputs)):
            used = ", ".join(repr(self.names[leaf]) for leaf in leaves)
            raise cannot_follow(f"the parameters {used}", f"through the primitive '{name}'")
        for target in operation.outputs:
            index = np.broadcast_to(np.int32(MIXED), self.program.shapes[target])
            lost = Label(index, mixing=f"passed through {name}", lost=name)
            for table in self.tables:
                sources = self.sources(operation.inputs, table)
                if sources:
                    table[target] = dict.fromkeys(sources, lost)

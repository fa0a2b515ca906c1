# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0


"""Several kernels into one layer: `relu(A s + B a)`, bilinear inputs, a noisy layer as a sum."""

import numpy as np

from dormant.tracing import labels as lb
from dormant.tracing.connections import Connections, LinearMap
from dormant.tracing.jaxpr import Operation, Program
from dormant.tracing.labels import NONE, Label
from dormant.tracing.linearity import Ways
from dormant.tracing.overlaps import any_overlap

_JOINS = frozenset("add add_any sub mul".split())


def join_kernels(program: Program, connections: Connections) -> Connections:
    """The connections with every sum or product of linear maps as one linear map.

    Two linear maps are one layer where each neuron of the one meets one of the other before any
    non-linearity, and where neither has another reader: then only what they make together counts.
    Layers that nothing reads stay as they are.
    """
    joining = _Joining(program, connections)
    for operation in program.operations:
        if operation.name in _JOINS:
            joining.try_at(operation)
    return joining.connections()


class _Joining:
    def __init__(self, program: Program, connections: Connections):
        self.program, self.before = program, connections
        self.maps: dict[int, LinearMap] = dict(enumerate(connections.maps))
        self.reads, self.elementwise = list(connections.reads), list(connections.elementwise)
        self.layers_of = {value: dict(found) for value, found in connections.layers_of.items()}
        self.ways = Ways(program)
        self.read = {read.layer for read in connections.reads}
        self.deciding = set(connections.deciding)

    def try_at(self, operation: Operation) -> None:
        found = [tuple(self.layers_of.get(value, ())) for value in operation.inputs]
        if [len(layers) for layers in found] != [1, 1]:
            return
        (first,), (second,) = found
        (output,) = operation.outputs
        if first == second or not {first, second} <= self.read:
            return
        if any_overlap(self.maps[first].columns, self.maps[second].columns):
            return  # one kernel used twice
        left, right = operation.inputs
        if left == right or not (self._only_leads(first, left) and self._only_leads(second, right)):
            return
        renumbered = self._pairs(first, left, second, right, self.program.shapes[output])
        if renumbered is not None:
            self._join(first, second, output, renumbered)

    def _only_leads(self, layer: int, value: int) -> bool:
        return self.ways.only_leads(self.layers_of, layer, self.maps[layer].output, value)

    def _pairs(self, first, left, second, right, shape) -> np.ndarray | None:
        """(H,) the neuron of `first` that meets each neuron of `second`; None if not one each."""
        neurons = self.maps[first].neurons
        if self.maps[second].neurons != neurons:
            return None
        mine, theirs = (
            lb.trim(np.broadcast_to(self.layers_of[value][layer].index, shape))
            for value, layer in ((left, first), (right, second))
        )
        mine, theirs = (each.ravel() for each in np.broadcast_arrays(mine, theirs))
        if (mine < 0).any() or (theirs < 0).any():
            return None
        renumbered = np.full(neurons, NONE, np.int32)
        renumbered[theirs] = mine
        is_one_each = (renumbered[theirs] == mine).all() and len(np.unique(renumbered)) == neurons
        return renumbered if is_one_each and (renumbered >= 0).all() else None

    def _join(self, first: int, second: int, output: int, renumbered: np.ndarray) -> None:
        one, other = self.maps[first], self.maps.pop(second)
        columns = tuple(
            each._replace(index=lb.renumber(each.index, renumbered)) for each in other.columns
        )
        self.maps[first] = LinearMap(
            output,
            one.kernels + other.kernels,
            one.leaves + other.leaves,
            one.columns + columns,
            one.neurons,
            one.normalized or other.normalized,
            (one.joined or (one.leaves,)) + (other.joined or (other.leaves,)),
        )
        elementwise = []
        for each in self.elementwise:
            if each.layer == second:
                if first in self.layers_of[each.output]:
                    continue  # behind the join: known of the first already
                index = lb.renumber(each.entries.index, renumbered)
                each = each._replace(layer=first, entries=each.entries._replace(index=index))
            elementwise.append(each)
        self.elementwise = elementwise
        if second in self.deciding:
            self.deciding = self.deciding - {second} | {first}
        self.reads = [
            read._replace(reader=first) if read.reader == second else read
            for read in self.reads
            if read.layer != second
        ]
        for found in self.layers_of.values():
            label: Label | None = found.pop(second, None)
            if label is not None and first not in found:
                found[first] = label._replace(index=lb.renumber(label.index, renumbered))

    def connections(self) -> Connections:
        """What is left, numbered without gaps."""
        new = {old: number for number, old in enumerate(sorted(self.maps))}
        return self.before._replace(
            maps=tuple(self.maps[old] for old in new),
            reads=tuple(
                read._replace(layer=new[read.layer], reader=new[read.reader]) for read in self.reads
            ),
            elementwise=tuple(each._replace(layer=new[each.layer]) for each in self.elementwise),
            layers_of={
                value: {new[layer]: label for layer, label in found.items()}
                for value, found in self.layers_of.items()
            },
            deciding=frozenset(new[layer] for layer in self.deciding),
        )

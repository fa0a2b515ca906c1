# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""From the connections within a program to layers: names, activations, obstacles, ensembles."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dormant.graph import Entries, IndexMap, Layer, layer_name, some_names
from dormant.tracing import labels as lb
from dormant.tracing.activations import activation_value
from dormant.tracing.connections import Connections, EntryMap, LinearMap, Read, TraceError
from dormant.tracing.jaxpr import Operation, Program
from dormant.tracing.labels import MIXED, NONE
from dormant.tracing.overlaps import any_overlap, within
from dormant.tracing.silence import silenced_values


class Site(NamedTuple):
    """Where a layer's activation stands: `value`, with its neurons along `axes`."""

    value: int
    axes: tuple[int, ...]
    order: np.ndarray  # (k, H): for each neuron, its k positions along the flattened `axes`

    def arrange(self, activation: jax.Array) -> jax.Array:
        rest = [a for a in range(activation.ndim) if a not in self.axes]
        moved = activation.transpose(rest + list(self.axes))
        moved = moved.reshape([activation.shape[a] for a in rest] + [-1])
        copies, neurons = self.order.shape
        if copies == 1 and np.array_equal(self.order[0], np.arange(moved.shape[-1])):
            return moved
        taken = jnp.take(moved, self.order.ravel(), axis=-1)
        shape = moved.shape[:-1] + ((copies,) if copies > 1 else ()) + (neurons,)
        return taken.reshape(shape)


class Analysis(NamedTuple):
    """What is known of a network for one set of input shapes."""

    program: Program
    layers: tuple[Layer, ...]
    output_layers: tuple[str, ...]
    output_incoming: tuple[tuple[Entries, ...], ...]
    sites: dict[str, Site]


def build_layers(program: Program, connections: Connections, paths: tuple[str, ...]) -> Analysis:
    """The hidden layers of a program whose parameter leaves have the given paths.
    Raises TraceError if there is none."""
    return _Builder(program, connections, paths).build()


class _Builder:
    """Holds what every layer needs to know of the whole program; used once per analysis."""

    def __init__(self, program: Program, connections: Connections, paths: tuple[str, ...]):
        self.program, self.connections, self.paths = program, connections, paths
        self.maps, self.labels_of = connections.maps, connections.layers_of
        self.producer = {v: op for op in program.operations for v in op.outputs}
        leaf_shapes = [program.shapes[value] for value in program.parameters]
        self.names = _unique_names(connections, paths, leaf_shapes)
        self.reads: dict[int, list[Read]] = {}
        for read in connections.reads:
            self.reads.setdefault(read.layer, []).append(read)
        self.members = {layer: self._members(layer) for layer in self.reads}
        self.kernels: dict[int, list[int]] = {}  # leaf -> linear maps that use it
        for number, linear_map in enumerate(connections.maps):
            for leaf in dict.fromkeys(linear_map.leaves):
                self.kernels.setdefault(leaf, []).append(number)
        self.kernel_is_shared = [self._is_shared(number) for number in range(len(self.maps))]

    def build(self) -> Analysis:
        layers, sites = [], {}
        for number in sorted(self.reads):
            for layer, site in self._layer(number):
                layers.append(layer)
                sites[layer.name] = site
        outputs = {number for v in self.program.outputs for number in self.labels_of.get(v, ())}
        output_numbers = sorted(outputs - set(self.reads))
        output_layers = tuple(self.names[n] for n in output_numbers)
        if not layers:
            raise TraceError(
                "the network must have a hidden layer, that is a linear map by a parameter which "
                f"another one reads; output layers found: {', '.join(output_layers) or 'none'}"
            )
        output_incoming = tuple(
            self._entries(self._incoming(number), np.arange(self.maps[number].neurons))
            for number in output_numbers
        )
        return Analysis(self.program, tuple(layers), output_layers, output_incoming, sites)

    # -- one layer -----------------------------------------------------------------------------

    def _layer(self, number: int) -> list[tuple[Layer, Site]]:
        reads = self.reads[number]
        activation = self._activation(number, reads[0])
        obstacle = self._obstacle(number, activation)
        incoming = self._incoming(number, self._ancestors(number, activation))
        outgoing = [("kernel", entries) for read in reads for entries in read.rows]
        feeding = [read.layer for read in self.connections.reads if read.reader == number]
        index = self.labels_of[activation][number].index
        built = []
        members = self.members[number]
        for member in range(members.max() + 1):
            # The member's own neurons, numbered from 0; NONE for the others.
            local = np.where(members == member, np.cumsum(members == member) - 1, NONE)
            suffix = f"[{member}]" if members.max() else ""
            neurons = int((members == member).sum())
            layer = Layer(
                self.names[number] + suffix,
                neurons,
                self._entries(incoming, local),
                self._entries(outgoing, local),
                self._member_names(feeding, suffix) or ("input",),
                self._member_names([read.reader for read in reads], suffix),
                obstacle,
            )
            built.append((layer, self._site(activation, _renumber(index, local), neurons)))
        return built

    def _incoming(self, number: int, until: set[int] | None = None) -> list[tuple[str, EntryMap]]:
        """What feeds a layer, by role; of biases and scales those that lead to a value `until`."""
        return [("kernel", entries) for entries in self.maps[number].columns] + [
            ("elementwise", each.entries)
            for each in self.connections.elementwise
            if each.layer == number and not each.entries.shared
            if until is None or each.output in until
        ]

    def _member_names(self, numbers: Sequence[int], suffix: str) -> tuple[str, ...]:
        """Names of layers as seen from member `suffix` of an ensemble, or from outside of one."""
        names = []
        for number in numbers:
            count = self.members[number].max() + 1 if number in self.members else 1
            suffixes = [suffix] if suffix else [f"[{member}]" for member in range(count)]
            names += [self.names[number] + (s if count > 1 else "") for s in suffixes]
        return tuple(dict.fromkeys(names))

    def _entries(self, maps: list[tuple[str, EntryMap]], local: np.ndarray) -> tuple[Entries, ...]:
        found = []
        for role, entries in maps:
            index = _renumber(entries.index, local)
            if (index >= 0).any():
                path = self.paths[entries.leaf]
                found.append(Entries(path, entries.axes, IndexMap.of(index), role))
        return tuple(dict.fromkeys(found))

    def _site(self, value: int, index: np.ndarray, neurons: int) -> Site:
        axes, varying = lb.along_varying_axes(index)
        positions = [np.flatnonzero(varying.ravel() == neuron) for neuron in range(neurons)]
        copies = math.lcm(*(len(found) for found in positions))
        order = np.stack([np.resize(found, copies) for found in positions], axis=1)
        return Site(value, axes, order)

    # -- where it is measured ------------------------------------------------------------------

    def _activation(self, number: int, first_read: Read) -> int:
        """The value after the layer's own non-linearity, before its first reader."""
        return activation_value(
            self.program,
            self.connections,
            number,
            first_read.operand,
            lambda value: self._is_whole(number, value),
        )

    def _is_whole(self, number: int, value: int) -> bool:
        """Whether `value` holds every neuron of the layer, each by itself."""
        index = lb.trim(self.labels_of[value][number].index)
        found = np.unique(index[index >= 0])
        return len(found) == self.maps[number].neurons and not (index == MIXED).any()

    def _ancestors(self, number: int, value: int) -> set[int]:
        """The values that hold the layer and lead to `value`."""
        found, pending = set(), [value]
        while pending:
            value = pending.pop()
            if value not in found and self.connections.holds(value, number):
                found.add(value)
                pending.extend(self.producer[value].inputs)
        return found

    # -- whether it can be recycled ------------------------------------------------------------

    def _obstacle(self, number: int, activation: int) -> str | None:
        linear_map, reads = self.maps[number], self.reads[number]
        numbers = dict.fromkeys([number, *(read.reader for read in reads)])
        maps = [self.maps[each] for each in numbers]
        if any(self.kernel_is_shared[each] for each in numbers):
            return "weight sharing: a kernel that it needs is used more than once"
        if any(m.normalized for m in maps):
            return "a kernel that it needs is normalized over its entries"
        if all(entries.shared for entries in linear_map.columns):
            return "weight sharing: its neurons share their incoming weights"
        if self._shares_elementwise(number, activation):
            return "weight sharing: a bias or scale of its neurons acts on other layers too"
        company = self._company(number, activation)
        if company:
            return f"{company[0]}: its activation is {company[1]}"
        zero = silenced_values(self.program, self.connections, number, activation)
        for read in reads:
            reader = self.names[read.reader]
            label = self.labels_of[read.operand][number]
            if label.mixing:
                return f"its neurons are {label.mixing} before {reader} reads them"
            if read.shared or all(entries.shared for entries in read.rows):
                return f"{reader} reads its neurons with shared weights"
            if read.operand not in zero:
                company = self._company(number, read.operand)
                if company:
                    return f"{company[0]}: {reader} reads it {company[1]}"
                return f"{reader} reads a value that is not zero where the neuron is silent"
        if any(self.connections.holds(v, number) for v in self.program.outputs):
            return "its activations are also an output of the network"
        return None

    def _is_shared(self, number: int) -> bool:
        """Whether entries of a layer's kernel are of another kernel too, or a bias or scale."""
        own = self.maps[number]
        others = {other for leaf in own.leaves for other in self.kernels[leaf]} - {number}
        acting = [each.entries for each in self.connections.elementwise]
        uses = [acting, *(self.maps[other].columns for other in others)]
        return any(any_overlap(own.columns, each) for each in uses)

    def _shares_elementwise(self, number: int, activation: int) -> bool:
        path = self._ancestors(number, activation)
        acting = self.connections.elementwise
        own = [each.entries for each in acting if each.layer == number and each.output in path]
        others = [each.entries for each in acting if each.layer != number]
        for mine in own:
            if mine.shared:
                continue
            # One array may hold kernels and biases of many layers, each its own entries.
            kernels = [self.maps[other].columns for other in self.kernels.get(mine.leaf, ())]
            if any(any_overlap([mine], each) for each in [others, *kernels]):
                return True
        return False

    def _company(self, number: int, value: int) -> tuple[str, str] | None:
        """What a layer is at `value` with the other layers on its elements, and how: the kind of
        their connection and words such as `summed with Dense_1`. None if it is alone there."""
        others = self._sharing(number, value)
        if not others:
            return None
        names = some_names([self.names[other] for other in others])
        entering = {
            operation.name
            for operation in self._way(number, value)
            if any(
                not self.connections.holds(v, number)
                and not self.labels_of.get(v, {}).keys().isdisjoint(others)
                for v in operation.inputs
            )
        }
        if entering & {"add", "add_any", "sub"}:
            apart = not any(self._leads(number, o) or self._leads(o, number) for o in others)
            how = "multiplied and summed" if entering & {"mul", "div"} else "summed"
            return "sum of layers" if apart else "residual stream", f"{how} with {names}"
        if entering and entering <= {"mul", "div"}:
            return "gated product", f"multiplied with {names}"
        return "several layers in one place", f"combined with {names}"

    def _way(self, number: int, value: int) -> list[Operation]:
        """The operations between the layer's linear map and `value`."""
        start = self.maps[number].output
        return [self.producer[v] for v in self._ancestors(number, value) if v != start]

    def _leads(self, number: int, other: int) -> bool:
        """Whether the layer `other` reads `number`, or reads what reads it."""
        found, pending = {number}, [number]
        while pending:
            for read in self.reads.get(pending.pop(), ()):
                if read.reader not in found:
                    found.add(read.reader)
                    pending.append(read.reader)
        return other in found

    def _sharing(self, number: int, value: int) -> list[int]:
        """The other layers with neurons on the same elements."""
        tables = self.labels_of[value]
        own = lb.trim(tables[number].index) != NONE
        return [
            other
            for other, label in tables.items()
            if other != number and (own & (lb.trim(label.index) != NONE)).any()
        ]

    # -- ensembles -----------------------------------------------------------------------------

    def _members(self, number: int) -> np.ndarray:
        """(H,) the ensemble member of each neuron; all 0 for a layer that is no ensemble.

        A layer is an ensemble when an axis of its kernel enumerates networks that do not read each
        other: its neurons and those of a reader then share an axis of the reader's kernel.
        """
        linear_map = self.maps[number]
        nobody = np.zeros(linear_map.neurons, np.int64)
        own = linear_map.columns[0]
        if len(own.axes) < 2:
            return nobody
        own_axes = [_coordinate(own.index, a, linear_map.neurons) for a in range(len(own.axes))]
        for read in self.reads[number]:
            for rows, columns in zip(read.rows, self.maps[read.reader].columns, strict=True):
                for axis in set(rows.axes) & set(columns.axes):
                    member = _coordinate(rows.index, rows.axes.index(axis), linear_map.neurons)
                    if member is None or len(np.unique(member)) == 1:
                        continue  # all in one place, as in a slice of stacked kernels
                    for mine in own_axes:
                        if mine is not None and (member == mine).all():
                            return member
        return nobody


def _coordinate(index: np.ndarray, axis: int, neurons: int) -> np.ndarray | None:
    """(H,) the coordinate along `axis` of each neuron; None where a neuron has several."""
    places = np.indices(index.shape)[axis].ravel()
    flat = index.ravel()
    coordinate = np.full(neurons, -1)
    coordinate[flat[flat >= 0]] = places[flat >= 0]
    unique = (coordinate[flat[flat >= 0]] == places[flat >= 0]).all()
    return coordinate if unique and (coordinate >= 0).all() else None


def _renumber(index: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Replaces every neuron of `index` by its number in `local`, keeping stride-0 axes."""
    small = lb.trim(index)
    small = np.where(small >= 0, local[np.maximum(small, 0)], NONE).astype(np.int32)
    return np.broadcast_to(small, index.shape)


def _unique_names(
    connections: Connections, paths: tuple[str, ...], shapes: Sequence[tuple[int, ...]]
) -> list[str]:
    names: list[str] = []
    for linear_map in connections.maps:
        name = _name(linear_map, paths, shapes)
        copies = sum(1 for other in names if other.split("#")[0] == name)
        names.append(name if not copies else f"{name}#{copies + 1}")
    return names


def _name(linear_map: LinearMap, paths: tuple[str, ...], shapes: Sequence[tuple[int, ...]]) -> str:
    """The module of its kernels; else their own names, of parts of an array with the place."""
    leaves = dict.fromkeys(linear_map.leaves)
    parts = linear_map.joined or (linear_map.leaves,)
    modules = {paths[leaf].rpartition("/")[0] for leaf in leaves}
    if len(leaves) > 1 and len(modules) == 1 and modules != {""}:
        return layer_name(modules.pop())  # a noisy layer: mean and deviation in one module

    def part_name(leaf: int) -> str:
        entries = [each for each in linear_map.columns if each.leaf == leaf]
        return layer_name(paths[leaf]) + within(shapes[leaf], entries)

    return "+".join(dict.fromkeys(part_name(leaves[0]) for leaves in parts))

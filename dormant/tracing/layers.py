# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

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
from dormant.tracing.connections import (
    Connections,
    Elementwise,
    EntryMap,
    LinearMap,
    Read,
    TraceError,
)
from dormant.tracing.jaxpr import Operation, Program
from dormant.tracing.labels import MIXED, NONE
from dormant.tracing.outputs import Output
from dormant.tracing.overlaps import any_overlap, within
from dormant.tracing.scaling_inputs import scaled_by_inputs
from dormant.tracing.silence import silenced_values
from dormant.tracing.uses import Sharing, consistent, different_neurons, group_uses

_SCALED = (
    "an input without a batch axis scales or shifts each of its neurons. If that holds running"
    " statistics, a recycled neuron keeps those of the old one: trace on all variables, as"
    " `dormant.trace(lambda variables, x: ..., variables, x)` does"
)


class Site(NamedTuple):
    """Where a layer's activation stands: `value`, with its neurons along `axes`."""

    value: int
    axes: tuple[int, ...]
    order: np.ndarray  # (k, H): for each neuron, its k positions along the flattened `axes`
    depth: int = 0  # how many loops it is inside of; their steps are axes in front

    def arrange(self, activation: jax.Array) -> jax.Array:
        """The activations of its layer, (B, …, H), with the steps of loops before H."""
        if self.depth:
            arranged = jax.vmap(self._replace(depth=self.depth - 1).arrange)(activation)
            return jnp.moveaxis(arranged, 0, -2)
        rest = [a for a in range(activation.ndim) if a not in self.axes]
        moved = activation.transpose(rest + list(self.axes))
        moved = moved.reshape([activation.shape[a] for a in rest] + [-1])
        copies, neurons = self.order.shape
        if copies == 1 and np.array_equal(self.order[0], np.arange(moved.shape[-1])):
            return moved
        taken = jnp.take(moved, self.order.ravel(), axis=-1)
        shape = moved.shape[:-1] + ((copies,) if copies > 1 else ()) + (neurons,)
        return taken.reshape(shape)


def measured(sites: Sequence[Site], values: Sequence[jax.Array]) -> jax.Array:
    """(B, …, H) a layer's activations at its sites, one for each of its uses.

    Several uses lie along one more axis, as positions in space do: (B, …, uses, H). Uses of
    different shapes are flattened, where they have one batch size to (B, n, H), else to (n, H).
    """
    found = [site.arrange(value) for site, value in zip(sites, values, strict=True)]
    shapes = {activation.shape for activation in found}
    if len(found) == 1:
        return found[0]
    if len(shapes) == 1 and found[0].ndim > 1:
        return jnp.stack(found, axis=-2)
    neurons = found[0].shape[-1]
    if {len(shape) > 1 and shape[0] for shape in shapes} == {found[0].shape[0]}:
        flat = [activation.reshape(activation.shape[0], -1, neurons) for activation in found]
    else:
        flat = [activation.reshape(-1, neurons) for activation in found]
    return jnp.concatenate(flat, axis=-2)


class Analysis(NamedTuple):
    """What is known of a network for one set of input shapes."""

    program: Program
    layers: tuple[Layer, ...]
    output_layers: tuple[str, ...]
    output_incoming: tuple[tuple[Entries, ...], ...]
    sites: dict[str, tuple[Site, ...]]  # one for each value that a use of the layer is measured at
    products: dict[str, tuple[Site, ...]]  # one for each use: what its linear map returns


def build_layers(
    program: Program,
    connections: Connections,
    paths: tuple[str, ...],
    kept: tuple[Output, ...],
) -> Analysis:
    """The hidden layers of a program whose parameter leaves have the given paths, and which can be
    recycled without changing the outputs `kept`. Raises TraceError if there is none."""
    return _Builder(program, connections, paths, kept).build()


class _Builder:
    """Holds what every layer needs to know of the whole program; used once per analysis."""

    def __init__(
        self,
        program: Program,
        connections: Connections,
        paths: tuple[str, ...],
        kept: tuple[Output, ...],
    ):
        self.program, self.connections, self.paths = program, connections, paths
        self.kept = kept
        self.maps, self.labels_of = connections.maps, connections.layers_of
        self.producer = {v: op for op in program.operations for v in op.outputs}
        self.position = {v: at for at, op in enumerate(program.operations) for v in op.outputs}
        # A layer is called by the number of its first use; its uses are linear maps.
        self.uses = {uses[0]: uses for uses in group_uses(connections.maps)}
        self.layer_of = {use: number for number, uses in self.uses.items() for use in uses}
        self.leading = self._leading_to({output.value for output in kept})
        leaf_shapes = [program.shapes[value] for value in program.parameters]
        self.names = _unique_names(connections, paths, leaf_shapes, self.layer_of)
        self.sharing = Sharing(connections, list(self.uses.values()))
        self.reads: dict[int, list[Read]] = {}
        for read in connections.reads:
            self.reads.setdefault(self.layer_of[read.layer], []).append(read)
        self.readers = {
            number: {self.layer_of[read.reader] for read in reads}
            for number, reads in self.reads.items()
        }
        self.feeding: dict[int, list[int]] = {}  # of each linear map, what it reads
        for read in connections.reads:
            self.feeding.setdefault(read.reader, []).append(read.layer)
        self.acting_on: dict[int, list[Elementwise]] = {}  # by linear map
        self.acting: dict[int, list[Elementwise]] = {}  # by leaf
        for each in connections.elementwise:
            self.acting_on.setdefault(each.layer, []).append(each)
            self.acting.setdefault(each.entries.leaf, []).append(each)
        self.members = {number: self._members_of_uses(number) for number in self.reads}
        self.kernels: dict[int, list[int]] = {}  # leaf -> linear maps that use it
        for number, linear_map in enumerate(connections.maps):
            for leaf in dict.fromkeys(linear_map.leaves):
                self.kernels.setdefault(leaf, []).append(number)
        self.scaled = scaled_by_inputs(program, connections)
        self.kernel_is_shared = {number: self._is_shared(number) for number in self.uses}

    def build(self) -> Analysis:
        layers, sites, products = [], {}, {}
        for number in sorted(self.reads):
            for layer, found, before in self._layer(number):
                layers.append(layer)
                sites[layer.name], products[layer.name] = found, before
        outputs = {
            self.layer_of[use] for out in self.kept for use in self.labels_of.get(out.value, ())
        }
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
        return Analysis(
            self.program, tuple(layers), output_layers, output_incoming, sites, products
        )

    def _leading_to(self, values: set[int]) -> set[int]:
        """All values from which the given ones are computed, and themselves."""
        found, pending = set(), list(values)
        while pending:
            value = pending.pop()
            if value not in found:
                found.add(value)
                if value in self.producer:
                    pending += self.producer[value].inputs
        return found

    # -- one layer -----------------------------------------------------------------------------

    def _layer(self, number: int) -> list[tuple[Layer, tuple[Site, ...], tuple[Site, ...]]]:
        reads, uses = self.reads[number], self.uses[number]
        activations = {use: self._activation(use) for use in uses}
        obstacle = self._obstacle(number, activations)
        ancestors = set().union(*(self._ancestors(*each) for each in activations.items()))
        incoming = self._incoming(number, ancestors)
        scaled = any(self.scaled.get(use, set()) & ancestors for use in uses)
        outgoing = [("kernel", entries) for read in reads for entries in read.rows]
        feeding = [layer for use in uses for layer in self.feeding.get(use, ())]
        linear = {use: self.maps[use].output for use in uses}
        places = [
            {value: self.labels_of[value][use].index for use, value in values.items()}
            for values in (activations, linear)
        ]
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
                _SCALED if scaled else None,
            )
            sites, products = (
                tuple(
                    self._site(value, _renumber(index, local), neurons)
                    for value, index in found.items()
                )
                for found in places
            )
            built.append((layer, sites, products))
        return built

    def _incoming(self, number: int, until: set[int] | None = None) -> list[tuple[str, EntryMap]]:
        """What feeds a layer, by role; of biases and scales those that lead to a value `until`."""
        return [("kernel", entries) for entries in self.maps[number].columns] + [
            ("elementwise", each.entries)
            for use in self.uses[number]
            for each in self.acting_on.get(use, ())
            if not each.entries.shared
            if until is None or each.output in until
        ]

    def _member_names(self, numbers: Sequence[int], suffix: str) -> tuple[str, ...]:
        """Names of layers as seen from member `suffix` of an ensemble, or from outside of one."""
        names = []
        for number in dict.fromkeys(self.layer_of[use] for use in numbers):
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
        return Site(value, axes, order, self.program.depths[value])

    # -- where it is measured ------------------------------------------------------------------

    def _activation(self, use: int) -> int:
        """The value after the layer's own non-linearity, before the first reader of one use."""
        return activation_value(
            self.program,
            self.connections,
            use,
            self._end_of_way(use),
            self.position,
            lambda value: self._is_whole(use, value) and not self._joins_uses(use, value),
        )

    def _end_of_way(self, use: int) -> int:
        """What reads a use of a layer first, if that is no later step of a loop; else the last of
        its values."""
        for read in self.reads[self.layer_of[use]]:
            if read.layer == use and not self._is_carried(use, read.operand):
                return read.operand
        ahead, last = {self.maps[use].output}, self.maps[use].output
        for operation in self.program.operations:
            if operation.name != "carry" and not ahead.isdisjoint(operation.inputs):
                for value in operation.outputs:
                    if self.connections.holds(value, use):
                        ahead.add(value)
                        last = last if self._is_carried(use, value) else value
        return last

    def _is_carried(self, use: int, value: int) -> bool:
        return self.labels_of[value][use].mixing == lb.CARRIED

    def _joins_uses(self, use: int, value: int) -> bool:
        """Whether a value also holds another use of the same layer, as a siamese distance does."""
        return any(
            other != use and self.layer_of[other] == self.layer_of[use]
            for other in self.labels_of[value]
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

    def _obstacle(self, number: int, activations: dict[int, int]) -> str | None:
        uses = self.uses[number]
        reads = self.reads[number]
        # Of a layer that nothing kept depends on: it is cut as well.
        leading = [read for read in reads if self.maps[read.reader].output in self.leading]
        linear_map = self.maps[number]
        readers = dict.fromkeys(self.layer_of[read.reader] for read in reads)
        layers = dict.fromkeys([number, *readers])
        if any(self.kernel_is_shared[layer] for layer in layers):
            return "weight sharing: a kernel that it needs is used more than once"
        if len(uses) == 1 and (stream := self._stream(leading)):
            return stream
        for leaf in dict.fromkeys(leaf for layer in layers for leaf in self.maps[layer].leaves):
            if leaf in self.connections.other_uses:
                other = self.connections.other_uses[leaf]
                return f"weight sharing: {self.paths[leaf]} is also used by {other}"
        for read in reads:
            if self.labels_of[read.operand][read.layer].mixing == lb.CARRIED:
                reader_name = self.names[read.reader]
                return f"its neurons are {lb.CARRIED} of a loop before {reader_name} reads them"
        conditional = self.program.conditional
        if any(
            self.maps[use].output in conditional or activations[use] in conditional for use in uses
        ):
            return "only one branch of a `cond` computes it: elsewhere its neurons look silent"
        if self.connections.deciding.intersection(uses):
            return "the condition of a `while` loop reads its activations"
        for reader in readers:
            if self.sharing.other_readings(uses, reader):
                name = self.names[reader]
                return f"weight sharing: {name} reads other values with the same weights"
        if any(self.maps[layer].normalized for layer in layers):
            return "a kernel that it needs is normalized over its entries"
        if all(entries.shared for entries in linear_map.columns):
            return "weight sharing: its neurons share their incoming weights"
        if self._shares_elementwise(number, activations):
            return "weight sharing: a bias or scale of its neurons acts on other layers too"
        company = self._company(activations)
        if company:
            return f"{company[0]}: its activation is {company[1]}"
        zero = silenced_values(self.program, self.connections, activations)
        for read in leading:
            reader_name = self.names[read.reader]
            label = self.labels_of[read.operand][read.layer]
            if label.mixing:
                return f"its neurons are {label.mixing} before {reader_name} reads them"
            if read.shared or all(entries.shared for entries in read.rows):
                return f"{reader_name} reads its neurons with shared weights"
            if read.operand not in zero:
                company = self._company({read.layer: read.operand})
                if company:
                    return f"{company[0]}: {reader_name} reads it {company[1]}"
                return f"{reader_name} reads a value that is not zero where the neuron is silent"
        for output in self.kept:
            if any(self.connections.holds(output.value, use) for use in uses):
                which = f", {output.name}" if output.name else ""
                return f"its activations are also an output of the network{which}"
        return None

    def _stream(self, reads: Sequence[Read]) -> str | None:
        """The reason if a layer is read in a residual stream, also where that is normalized."""
        if any(self._is_carried(read.layer, read.operand) for read in reads):
            return None  # the steps of a loop are what mixes it
        for read in reads:
            company = self._company({read.layer: read.operand})
            if company and company[0] == "residual stream":
                return f"residual stream: {self.names[read.reader]} reads it {company[1]}"
        return None

    def _is_shared(self, number: int) -> bool:
        """Whether entries of a layer's kernel are of another kernel too, or a bias or scale."""
        own = self.maps[number]
        others = {other for leaf in own.leaves for other in self.kernels[leaf]}
        acting = [each.entries for leaf in own.leaves for each in self.acting.get(leaf, ())]
        uses = [acting, *(self.maps[other].columns for other in others - {*self.uses[number]})]
        return any(any_overlap(own.columns, each) for each in uses)

    def _shares_elementwise(self, number: int, activations: dict[int, int]) -> bool:
        uses = self.uses[number]
        paths = {use: self._ancestors(use, value) for use, value in activations.items()}
        own = [
            each.entries
            for use in uses
            for each in self.acting_on.get(use, ())
            if each.output in paths[use] and not each.entries.shared
        ]
        if not consistent(own):
            return True
        for mine in own:
            acting = self.acting[mine.leaf]
            others = [each.entries for each in acting if each.layer not in uses]
            # One array may hold kernels and biases of many layers, each its own entries.
            kernels = [self.maps[other].columns for other in self.kernels.get(mine.leaf, ())]
            if any(any_overlap([mine], each) for each in [others, *kernels]):
                return True
        return False

    def _company(self, places: dict[int, int]) -> tuple[str, str] | None:
        """What a layer is with the other layers on the elements of values, which are given by use,
        and how: the kind of their connection and words such as `summed with Dense_1`. None if it is
        alone there."""
        found = (self._company_of_use(*each) for each in places.items())
        return next((company for company in found if company), None)

    def _company_of_use(self, number: int, value: int) -> tuple[str, str] | None:
        others = self._sharing(number, value)
        if not others:
            return None
        names = some_names(list(dict.fromkeys(self.names[other] for other in others)))
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
            pairs = [(min(number, other), max(number, other)) for other in others]
            apart = not any(self._leads(*pair) or self._leads(*pair[::-1]) for pair in pairs)
            how = "multiplied and summed" if entering & {"mul", "div"} else "summed"
            return "sum of layers" if apart else "residual stream", f"{how} with {names}"
        if entering and entering <= {"mul", "div"}:
            return "gated product", f"multiplied with {names}"
        return "several layers in one place", f"combined with {names}"

    def _way(self, number: int, value: int) -> list[Operation]:
        """The operations between the layer's linear map and `value`."""
        start = self.maps[number].output
        return [self.producer[v] for v in self._ancestors(number, value) if v != start]

    def _leads(self, use: int, other: int) -> bool:
        """Whether the layer of `other` reads that of `use`, or reads what reads it."""
        found, pending = {self.layer_of[use]}, [self.layer_of[use]]
        while pending and self.layer_of[other] not in found:
            readers = self.readers.get(pending.pop(), set())
            pending += readers - found
            found |= readers
        return self.layer_of[other] in found

    def _sharing(self, use: int, value: int) -> list[int]:
        """The other linear maps with neurons on the same elements.

        Another use of the same layer counts where it puts other neurons there.
        """
        tables = self.labels_of[value]
        own = lb.trim(tables[use].index)
        others = []
        for other, label in tables.items():
            theirs = lb.trim(label.index)
            if self.layer_of[other] == self.layer_of[use]:
                beside = different_neurons(own, theirs)
            else:
                beside = bool(((own != NONE) & (theirs != NONE)).any())
            if beside:
                others.append(other)
        return others

    # -- ensembles -----------------------------------------------------------------------------

    def _members_of_uses(self, number: int) -> np.ndarray:
        """(H,) the ensemble member of each neuron; all 0 where the uses of a layer disagree."""
        readers = {read.layer for read in self.reads[number]}
        found = [self._members(use) for use in sorted(readers)]
        same = all(np.array_equal(members, found[0]) for members in found)
        return found[0] if same else np.zeros_like(found[0])

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
        pairs = [
            (rows, columns)
            for read in self.connections.reads
            if read.layer == number
            for rows in read.rows
            for columns in self.maps[read.reader].columns
            if columns.leaf == rows.leaf
        ]
        for rows, columns in pairs:
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
    connections: Connections,
    paths: tuple[str, ...],
    shapes: Sequence[tuple[int, ...]],
    layer_of: dict[int, int],
) -> list[str]:
    """The name of every linear map: that of its layer."""
    names: list[str] = []
    for use, linear_map in enumerate(connections.maps):
        if layer_of[use] != use:
            names.append(names[layer_of[use]])
            continue
        name = _name(linear_map, paths, shapes)
        copies = len({other for other in names if other.split("#")[0] == name})
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

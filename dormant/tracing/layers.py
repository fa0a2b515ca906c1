# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""From the connections within a program to layers: names, activations, obstacles, ensembles."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dormant.graph import Entries, IndexMap, Layer, share_of_groups, some_names
from dormant.tracing import labels as lb
from dormant.tracing.connections import Connections, EntryMap, TraceError
from dormant.tracing.cuts import Cuts
from dormant.tracing.ensembles import ensemble_members
from dormant.tracing.jaxpr import Program
from dormant.tracing.labels import NONE
from dormant.tracing.obstacles import Obstacles
from dormant.tracing.outputs import Output
from dormant.tracing.places import Part, Places, values_of
from dormant.tracing.scaling_inputs import scaled_by_inputs
from dormant.tracing.sites import Site, equally_many
from dormant.tracing.structure import Structure

_SCALED = (
    "an input without a batch axis scales or shifts each of its neurons. If that holds running"
    " statistics, a recycled neuron keeps those of the old one: trace on all variables, as"
    " `dormant.trace(lambda variables, x: ..., variables, x)` does"
)


class _Role(NamedTuple):
    """What an array is to a layer."""

    role: str  # as in `Entries`
    entries: EntryMap
    adds: bool = True  # as there


SitesOfParts = tuple[tuple[Site, ...], ...]  # by use, for each part of a layer; one if not split


class Analysis(NamedTuple):
    """What is known of a network for one set of input shapes."""

    program: Program
    layers: tuple[Layer, ...]
    output_layers: tuple[str, ...]
    output_incoming: tuple[tuple[Entries, ...], ...]
    in_no_layer: tuple[str, ...]  # paths of the matrices that none of them holds
    by_constants: tuple[str, ...]  # of these, paths of those that constants are multiplied by
    sites: dict[str, SitesOfParts]  # the values that the layer is measured at
    products: dict[str, SitesOfParts]  # what its linear map returns


def build_layers(
    program: Program,
    connections: Connections,
    paths: tuple[str, ...],
    kept: tuple[Output, ...],
) -> Analysis:
    """The hidden layers of a program whose parameter leaves have the given paths, and which can be
    recycled without changing the outputs `kept`. Raises TraceError if there is none."""
    return _Builder(Structure(program, connections, paths), kept).build()


def of_constants(paths: Sequence[str]) -> str:
    """What is to be said of parameters that multiply constants alone."""
    return (
        f"{some_names(paths)} multiply constants alone: make what they are of, such as a key, a"
        " time or observations that the function closes over, an input"
    )


class _Builder:
    """Holds what every layer needs to know of the whole program; used once per analysis."""

    def __init__(self, structure: Structure, kept: tuple[Output, ...]):
        self.structure, self.kept = structure, kept
        self.cuts = Cuts(structure)
        self.obstacles = Obstacles(structure, self.cuts, kept)
        program, connections = structure.program, structure.connections
        self.places = Places(structure)
        self.feeding: dict[int, list[int]] = {}  # of each linear map, what it reads
        for read in connections.reads:
            self.feeding.setdefault(read.reader, []).append(read.layer)
        self.members = {number: ensemble_members(structure, number) for number in structure.reads}
        self.scaled = scaled_by_inputs(program, connections)

    def build(self) -> Analysis:
        structure = self.structure
        layers, sites, products = [], {}, {}
        for number in sorted(structure.reads):
            for layer, found, before in self._layer(number):
                layers.append(layer)
                sites[layer.name], products[layer.name] = found, before
        outputs = {
            structure.layer_of[use]
            for out in self.kept
            for use in structure.labels_of.get(out.value, ())
        }
        output_numbers = sorted(outputs - set(structure.reads))
        output_layers = tuple(structure.names[n] for n in output_numbers)
        if not layers:
            raise TraceError(
                "the network must have a hidden layer, that is a linear map by a parameter which "
                f"another one reads; output layers found: {', '.join(output_layers) or 'none'}"
                + (f"; {of_constants(by)}" if (by := self._multiplied_by_constants()) else "")
            )
        output_incoming = tuple(
            self._entries(self._incoming(number), np.arange(structure.maps[number].neurons))
            for number in output_numbers
        )
        in_no_layer = self._in_no_layer(layers, output_incoming)
        return Analysis(
            structure.program,
            tuple(layers),
            output_layers,
            output_incoming,
            in_no_layer,
            tuple(path for path in self._multiplied_by_constants() if path in in_no_layer),
            sites,
            products,
        )

    def _multiplied_by_constants(self) -> tuple[str, ...]:
        paths = self.structure.paths
        return tuple(paths[leaf] for leaf in sorted(self.structure.connections.by_constants))

    def _in_no_layer(
        self, layers: Sequence[Layer], output_incoming: Sequence[Sequence[Entries]]
    ) -> tuple[str, ...]:
        """The paths of the parameter matrices that no layer holds, less those left out."""
        program, paths = self.structure.program, self.structure.paths
        held = {entries.path for found in output_incoming for entries in found}
        for layer in layers:
            held |= {entries.path for entries in (*layer.incoming, *layer.outgoing)}
        # What a cut spares is a factor of a kernel all the same.
        kernels = {leaf for linear_map in self.structure.maps for leaf in linear_map.leaves}
        return tuple(
            paths[leaf]
            for leaf, value in enumerate(program.parameters)
            if sum(size > 1 for size in program.shapes[value]) > 1
            if program.holds_numbers(value)
            if leaf not in kernels | self.structure.connections.left_out
            if paths[leaf] not in held
        )

    def _layer(self, number: int) -> list[tuple[Layer, SitesOfParts, SitesOfParts]]:
        structure = self.structure
        reads, uses = structure.reads[number], structure.uses[number]
        parts = self.places.of(uses)
        obstacle = self.obstacles.of(number, parts)
        ancestors = structure.ancestors_of(values_of(parts))
        incoming = self._incoming(number, ancestors)
        scaled = any(self.scaled.get(use, set()) & ancestors for use in uses)
        cuts = [read.rows if obstacle else self.cuts.of(read).entries for read in reads]
        outgoing = [_Role("kernel", entries) for cut in cuts for entries in cut]
        feeding = [layer for use in uses for layer in self.feeding.get(use, ())]
        linear = tuple(map(self.places.linear, parts))
        built = []
        members = self.members[number]
        for member in range(members.max() + 1):
            # The member's own neurons, numbered from 0; NONE for the others.
            local = np.where(members == member, np.cumsum(members == member) - 1, NONE)
            suffix = f"[{member}]" if members.max() else ""
            neurons = int((members == member).sum())
            layer = Layer(
                structure.names[number] + suffix,
                neurons,
                self._entries(incoming, local),
                self._entries(outgoing, local),
                self._member_names(feeding, suffix) or ("input",),
                self._member_names([read.reader for read in reads], suffix),
                obstacle,
                _SCALED if scaled else None,
            )
            sites, products = (self._sites(each, local) for each in (parts, linear))
            built.append((layer, sites, products))
        return built

    def _incoming(self, number: int, until: set[int] | None = None) -> list[_Role]:
        """What feeds a layer, by role; of biases and scales those that lead to a value `until`."""
        structure = self.structure
        columns = structure.maps[number].columns
        drawn = [entries for entries in columns if not structure.is_mask(entries.leaf)]
        return [_Role("kernel", entries) for entries in drawn or columns] + [
            _Role("elementwise", each.entries._replace(leaf=leaf), each.adds)
            for use in structure.uses[number]
            for each in structure.acting_on.get(use, ())
            if not each.entries.shared and not structure.is_mask(each.entries.leaf)
            if until is None or each.output in until
            for leaf in (each.entries.leaf, *self._sums_of_average(each.entries.leaf))
        ]

    def _sums_of_average(self, leaf: int) -> list[int]:
        """The array that the next training step computes a running average from, where that is
        another one, as of `haiku.ExponentialMovingAverage`."""
        paths, shapes = self.structure.paths, self.structure.program.shapes
        *module, name = paths[leaf].split("/")
        path = "/".join([*module, "hidden"])
        if name != "average" or path not in paths:
            return []
        parameters, other = self.structure.program.parameters, paths.index(path)
        return [other] if shapes[parameters[other]] == shapes[parameters[leaf]] else []

    def _member_names(self, numbers: Sequence[int], suffix: str) -> tuple[str, ...]:
        """Names of layers as seen from member `suffix` of an ensemble, or from outside of one."""
        names = []
        for number in dict.fromkeys(self.structure.layer_of[use] for use in numbers):
            count = self.members[number].max() + 1 if number in self.members else 1
            suffixes = [suffix] if suffix else [f"[{member}]" for member in range(count)]
            names += [self.structure.names[number] + (s if count > 1 else "") for s in suffixes]
        return tuple(dict.fromkeys(names))

    def _entries(self, maps: Sequence[_Role], local: np.ndarray) -> tuple[Entries, ...]:
        found = []
        for role, entries, adds in maps:
            index = _renumber(entries.index, local)
            if (index >= 0).any():
                path = self.structure.paths[entries.leaf]
                index_map = IndexMap.of(index)
                # `vmap` makes one grouped convolution of those of all members.
                groups = share_of_groups(entries.groups, index >= 0, entries.index >= 0)
                found.append(
                    Entries(path, entries.axes, index_map, role, entries.window, adds, groups)
                )
        return tuple(dict.fromkeys(found))

    def _sites(self, parts: Sequence[Part], local: np.ndarray) -> SitesOfParts:
        """Where the neurons of a member stand that `local` numbers, NONE for those of others."""
        structure, sites_of_parts = self.structure, []
        for part in parts:
            neurons = local[part.neurons & (local != NONE)]
            sites = []
            for use, value in part.values.items() if len(neurons) else ():
                index = _renumber(structure.labels_of[value][use].index, local)
                axes, varying = lb.along_varying_axes(index)
                flat = varying.ravel()
                by_neuron = np.argsort(flat, kind="stable")
                starts, ends = (
                    np.searchsorted(flat[by_neuron], neurons, s) for s in ("left", "right")
                )
                positions = [by_neuron[slice(*each)] for each in zip(starts, ends, strict=True)]
                taken = equally_many([len(found) for found in positions])
                pairs = zip(positions, taken, strict=True)
                order = np.stack([found[places] for found, places in pairs], axis=1)
                sites.append(Site(value, axes, order, neurons, structure.program.depths[value]))
            if sites:
                sites_of_parts.append(tuple(sites))
        return tuple(sites_of_parts)


def _renumber(index: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Replaces every neuron of `index` by its number in `local`, keeping stride-0 axes."""
    small = lb.trim(index)
    small = np.where(small >= 0, local[np.maximum(small, 0)], NONE).astype(np.int32)
    return np.broadcast_to(small, index.shape)

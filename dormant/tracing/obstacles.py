# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What keeps the neurons of a layer from being recycled without a change of the outputs."""

from collections.abc import Sequence

from dormant.graph import some_names
from dormant.tracing import labels as lb
from dormant.tracing.connections import Elementwise, EntryMap, Read
from dormant.tracing.cuts import Cuts
from dormant.tracing.jaxpr import Operation
from dormant.tracing.labels import NONE
from dormant.tracing.outputs import Output
from dormant.tracing.overlaps import any_overlap
from dormant.tracing.places import Part, values_of
from dormant.tracing.silence import silenced_values
from dormant.tracing.structure import Structure
from dormant.tracing.uses import Sharing, consistent, different_neurons


class Obstacles:
    """Tells of any layer what stands in the way of its recycling, for the outputs `kept`."""

    def __init__(self, structure: Structure, cuts: Cuts, kept: Sequence[Output]):
        self.structure, self.cuts, self.kept = structure, cuts, kept
        self.leading = structure.leading_to(output.value for output in kept)
        connections = structure.connections
        self.sharing = Sharing(connections, list(structure.uses.values()))
        self.readers = {
            number: {structure.layer_of[read.reader] for read in reads}
            for number, reads in structure.reads.items()
        }
        self.acting: dict[int, list[Elementwise]] = {}  # by leaf
        for each in connections.elementwise:
            self.acting.setdefault(each.entries.leaf, []).append(each)
        self.kernels: dict[int, list[int]] = {}  # leaf -> linear maps that use it
        for number, linear_map in enumerate(connections.maps):
            for leaf in dict.fromkeys(linear_map.leaves):
                self.kernels.setdefault(leaf, []).append(number)
        self.kernel_is_shared = {number: self._is_shared(number) for number in structure.uses}

    def of(self, number: int, parts: Sequence[Part]) -> str | None:
        """The first obstacle of a layer that is measured there; None without one."""
        structure, activations = self.structure, values_of(parts)
        uses = structure.uses[number]
        reads = structure.reads[number]
        # Of a layer that nothing kept depends on: it is cut as well.
        leading = [read for read in reads if structure.maps[read.reader].output in self.leading]
        linear_map = structure.maps[number]
        readers = dict.fromkeys(structure.layer_of[read.reader] for read in reads)
        layers = dict.fromkeys([number, *readers])
        if any(self.kernel_is_shared[layer] for layer in layers):
            return "weight sharing: a kernel that it needs is used more than once"
        if len(uses) == 1 and (stream := self._stream(leading)):
            return stream
        own = self._own_elementwise(uses, activations)
        touched = [leaf for layer in layers for leaf in structure.maps[layer].leaves]
        touched += [each.leaf for each in own if (each.index >= 0).any()]  # else it stays as it is
        for leaf in dict.fromkeys(touched):
            if other := self._other_use(leaf):
                return f"weight sharing: {structure.paths[leaf]} is also {other}"
        for read in reads:
            if structure.labels_of[read.operand][read.layer].mixing == lb.CARRIED:
                reader_name = structure.names[read.reader]
                return f"its neurons are {lb.CARRIED} of a loop before {reader_name} reads them"
        conditional = structure.program.conditional
        if any(
            not conditional.isdisjoint([structure.maps[use].output, *values])
            for use, values in activations.items()
        ):
            return "only one branch of a `cond` computes it: elsewhere its neurons look silent"
        if structure.connections.deciding.intersection(uses):
            return "the condition of a `while` loop reads its activations"
        for reader in readers:
            if self.sharing.other_readings(uses, reader):
                name = structure.names[reader]
                return f"weight sharing: {name} reads other values with the same weights"
        if any(structure.maps[layer].normalized for layer in layers):
            return "a kernel that it needs is normalized over its entries"
        if all(entries.shared for entries in linear_map.columns):
            return "weight sharing: its neurons share their incoming weights"
        if self._shares_elementwise(uses, own):
            return "weight sharing: a bias or scale of its neurons acts on other layers too"
        at = [(use, value) for use, values in activations.items() for value in values]
        company = self._company(at)
        if company:
            return f"{company[0]}: its activation is {company[1]}"
        zero = [self._silenced(part) for part in parts]
        for read in leading:
            reader_name = structure.names[read.reader]
            label = structure.labels_of[read.operand][read.layer]
            if label.mixing:
                return f"its neurons are {label.mixing} before {reader_name} reads them"
            if read.shared or all(entries.shared for entries in read.rows):
                return f"{reader_name} reads its neurons with shared weights"
            if problem := self.cuts.of(read).problem:
                return problem
            if not all(
                read.operand in silenced
                for part, silenced in zip(parts, zero, strict=True)
                if _holds(label, part)
            ):
                company = self._company([(read.layer, read.operand)])
                if company:
                    return f"{company[0]}: {reader_name} reads it {company[1]}"
                return f"{reader_name} reads a value that is not zero where the neuron is silent"
        for output in self.kept:
            if any(structure.connections.holds(output.value, use) for use in uses):
                which = f", {output.name}" if output.name else ""
                return f"its activations are also an output of the network{which}"
        return None

    def _silenced(self, part: Part) -> set[int]:
        """The values that are zero where neurons of a part are silent."""
        connections = self.structure.of_neurons(part.values, part.neurons)
        return silenced_values(self.structure.program, connections, part.values)

    def _stream(self, reads: Sequence[Read]) -> str | None:
        """The reason if a layer is read in a residual stream, also where that is normalized."""
        if any(self.structure.is_carried(read.layer, read.operand) for read in reads):
            return None  # the steps of a loop are what mixes it
        for read in reads:
            company = self._company([(read.layer, read.operand)])
            if company and company[0] == "residual stream":
                return f"residual stream: {self.structure.names[read.reader]} reads it {company[1]}"
        return None

    def _is_shared(self, number: int) -> bool:
        """Whether entries of a layer's kernel are of another kernel too, or a bias or scale."""
        structure = self.structure
        own = structure.maps[number]
        others = {other for leaf in own.leaves for other in self.kernels[leaf]}
        acting = [each.entries for leaf in own.leaves for each in self.acting.get(leaf, ())]
        uses = [
            acting,
            *(structure.maps[other].columns for other in others - {*structure.uses[number]}),
        ]
        return any(any_overlap(own.columns, each) for each in uses)

    def _other_use(self, leaf: int) -> str | None:
        """How a parameter array reaches an output beside the layers; None if it does not."""
        for use in self.structure.connections.other_uses.get(leaf, ()):
            if use.makes is None or use.makes in self.leading:
                return f"used by {use.primitive}"
        for output in self.kept:
            if leaf in self.structure.connections.returned.get(output.value, ()):
                return f"in an output of the network{output.name and f', {output.name}'}"
        return None

    def _own_elementwise(
        self, uses: Sequence[int], activations: dict[int, tuple[int, ...]]
    ) -> list[EntryMap]:
        """The biases and scales of a layer's own neurons, up to its activations."""
        structure = self.structure
        paths = {use: structure.ancestors_of({use: activations.get(use, ())}) for use in uses}
        return [
            each.entries
            for use in uses
            for each in structure.acting_on.get(use, ())
            if each.output in paths[use] and not each.entries.shared
        ]

    def _shares_elementwise(self, uses: Sequence[int], own: Sequence[EntryMap]) -> bool:
        structure = self.structure
        if not consistent(own):
            return True
        for mine in own:
            acting = self.acting[mine.leaf]
            others = [each.entries for each in acting if each.layer not in uses]
            # One array may hold kernels and biases of many layers, each its own entries.
            kernels = [structure.maps[other].columns for other in self.kernels.get(mine.leaf, ())]
            if any(any_overlap([mine], each) for each in [others, *kernels]):
                return True
        return False

    def _company(self, at: Sequence[tuple[int, int]]) -> tuple[str, str] | None:
        """What a layer is with the other layers on the elements of values, which are given as (use,
        value), and how: the kind of their connection and words such as `summed with Dense_1`. None
        if it is alone there."""
        found = (self._company_of_use(*each) for each in at)
        return next((company for company in found if company), None)

    def _company_of_use(self, number: int, value: int) -> tuple[str, str] | None:
        structure = self.structure
        others = self._sharing(number, value)
        if not others:
            return None
        names = some_names(list(dict.fromkeys(structure.names[other] for other in others)))
        entering = {
            operation.name
            for operation in self._way(number, value)
            if any(
                not structure.connections.holds(v, number)
                and not structure.labels_of.get(v, {}).keys().isdisjoint(others)
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
        structure = self.structure
        start = structure.maps[number].output
        return [structure.producer[v] for v in structure.ancestors(number, value) if v != start]

    def _leads(self, use: int, other: int) -> bool:
        """Whether the layer of `other` reads that of `use`, or reads what reads it."""
        structure = self.structure
        found, pending = {structure.layer_of[use]}, [structure.layer_of[use]]
        while pending and structure.layer_of[other] not in found:
            readers = self.readers.get(pending.pop(), set())
            pending += readers - found
            found |= readers
        return structure.layer_of[other] in found

    def _sharing(self, use: int, value: int) -> list[int]:
        """The other linear maps with neurons on the same elements.

        Another use of the same layer counts where it puts other neurons there.
        """
        structure = self.structure
        tables = structure.labels_of[value]
        own = lb.trim(tables[use].index)
        others = []
        for other, label in tables.items():
            theirs = lb.trim(label.index)
            if structure.layer_of[other] == structure.layer_of[use]:
                beside = different_neurons(own, theirs)
            else:
                beside = bool(((own != NONE) & (theirs != NONE)).any())
            if beside:
                others.append(other)
        return others


def _holds(label: lb.Label, part: Part) -> bool:
    """Whether a value holds neurons of a part."""
    index = lb.trim(label.index)
    return bool(part.neurons[index[index >= 0]].any())

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What following a program finds out: linear maps, what they read, what acts on single neurons."""

from typing import NamedTuple

import numpy as np

from dormant.tracing.labels import Label


class TraceError(ValueError):
    """The network holds something that the trace cannot follow."""


class LinearMap(NamedTuple):
    """A `dot_general` or convolution by a parameter: the birth of a layer."""

    output: int  # value
    kernels: tuple[int, ...]  # values: one, but of joined maps that of each
    leaves: tuple[int, ...]  # parameter arrays that make up the kernel
    columns: tuple["EntryMap", ...]  # which entries feed each of its neurons
    neurons: int
    normalized: bool  # kernel entries influence each other, as under weight normalization
    joined: tuple[tuple[int, ...], ...] = ()  # the leaves of each, of several maps that are one


class EntryMap(NamedTuple):
    """Which neuron each entry of parameter array `leaf` belongs to; MIXED if to several."""

    leaf: int
    axes: tuple[int, ...]
    index: np.ndarray  # type: ignore[assignment]  # hides tuple's own
    shared: bool
    window: tuple[int, ...] = ()  # of a kernel: the axes of the positions of a convolution
    groups: int = 1  # of a kernel: those of a grouped convolution


class Read(NamedTuple):
    """Layer `reader` reads neurons of `layer` from `operand`."""

    layer: int
    reader: int
    operand: int
    rows: tuple[EntryMap, ...]
    shared: bool  # one kernel entry reads several neurons


class Elementwise(NamedTuple):
    """A parameter array acts on single neurons of a layer, as a bias does."""

    output: int
    layer: int
    entries: EntryMap
    adds: bool  # to the neurons; else it multiplies or bounds them


class OtherUse(NamedTuple):
    """A parameter array acts in a way in which its entries cannot be told apart."""

    makes: int | None  # the value, None for the condition of a loop
    primitive: str


class Connections(NamedTuple):
    """Everything that following a program finds out about it."""

    maps: tuple[LinearMap, ...]
    reads: tuple[Read, ...]
    elementwise: tuple[Elementwise, ...]
    layers_of: dict[int, dict[int, Label]]  # value -> layer -> label
    other_uses: dict[int, tuple[OtherUse, ...]]  # by parameter array
    returned: dict[int, tuple[int, ...]]  # output of the program -> parameter arrays in it
    left_out: frozenset[int]  # parameter arrays that are plain data
    deciding: frozenset[int]  # layers that the condition of a `while` reads
    zeros: frozenset[int]  # values that are zero whatever goes in
    bounds: dict[int, tuple[float, float]]  # of constants: the least and the largest element
    by_constants: frozenset[int]  # parameter arrays that constants are multiplied by
    known: frozenset[int]  # values that depend on constants alone

    def holds(self, value: int, layer: int) -> bool:
        """Whether a value holds neurons of a layer."""
        return layer in self.layers_of.get(value, ())


def cannot_follow(what: str, why: str) -> TraceError:
    """The one error for everything that the trace cannot follow."""
    return TraceError(
        f"cannot follow {what} {why}: leave it out with `leave_out`, or write the graph with "
        f"`dormant.manual_graph`"
    )

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which neurons of a layer belong to which member of an ensemble, and which arrays hold members."""

from collections.abc import Sequence

import numpy as np

from dormant.graph import Entries, Layer
from dormant.tracing.structure import Structure


def ensemble_members(structure: Structure, number: int) -> np.ndarray:
    """(H,) the ensemble member of each neuron; all 0 where the uses of a layer disagree."""
    readers = {read.layer for read in structure.reads[number]}
    found = [_members(structure, use) for use in sorted(readers)]
    same = all(np.array_equal(members, found[0]) for members in found)
    return found[0] if same else np.zeros_like(found[0])


def _members(structure: Structure, number: int) -> np.ndarray:
    """(H,) the ensemble member of each neuron; all 0 for a layer that is no ensemble.

    A layer is an ensemble when an axis of its kernel enumerates networks that do not read each
    other: its neurons and those of a reader then share an axis of the reader's kernel.
    """
    linear_map = structure.maps[number]
    nobody = np.zeros(linear_map.neurons, np.int64)
    own = linear_map.columns[0]
    if len(own.axes) < 2:
        return nobody
    own_axes = [_coordinate(own.index, a, linear_map.neurons) for a in range(len(own.axes))]
    pairs = [
        (rows, columns)
        for read in structure.connections.reads
        if read.layer == number
        for rows in read.rows
        for columns in structure.maps[read.reader].columns
        if columns.leaf == rows.leaf
    ]
    for rows, columns in pairs:
        for axis in set(rows.axes) & set(columns.axes):
            member = _coordinate(rows.index, rows.axes.index(axis), linear_map.neurons)
            if member is None:
                continue
            held = member >= 0  # a reader may read a part of each
            if len(np.unique(member[held])) <= 1:
                continue  # all in one place, as in a slice of stacked kernels
            for mine in own_axes:
                if mine is not None and (mine >= 0).all() and (member == mine)[held].all():
                    return mine
    return nobody


def _coordinate(index: np.ndarray, axis: int, neurons: int) -> np.ndarray | None:
    """(H,) the coordinate along `axis` of each neuron, -1 of one that `index` does not hold; None
    where a neuron has several."""
    places = np.indices(index.shape)[axis].ravel()
    flat = index.ravel()
    coordinate = np.full(neurons, -1)
    coordinate[flat[flat >= 0]] = places[flat >= 0]
    unique = (coordinate[flat[flat >= 0]] == places[flat >= 0]).all()
    return coordinate if unique else None


def stacked_arrays(
    layers: Sequence[Layer], output_incoming: Sequence[tuple[Entries, ...]]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """What `NeuronGraph.stacked` is of these layers.

    Along such an axis lies everything that the array feeds, and every hidden layer that it feeds
    or that reads it there lies in one place, not all in the same.
    """
    fed: dict[str, list[set[int]]] = {}
    places: dict[tuple[str, int], list[set[int]]] = {}
    for entries in (*(each for layer in layers for each in layer.incoming),
                    *(each for layer in output_incoming for each in layer)):  # fmt: skip
        fed.setdefault(entries.path, []).append(set(entries.axes))
    for entries in (each for layer in layers for each in (*layer.incoming, *layer.outgoing)):
        held = np.nonzero(entries.index.array >= 0) if entries.axes else ()
        for axis, found in zip(entries.axes, held, strict=True):
            places.setdefault((entries.path, axis), []).append(set(np.unique(found).tolist()))
    axes: dict[str, tuple[int, ...]] = {}
    for (path, axis), held_by in sorted(places.items()):
        is_one_each = all(len(each) == 1 for each in held_by) and len(set().union(*held_by)) > 1
        if is_one_each and all(axis in each for each in fed.get(path, [set()])):
            axes[path] = (*axes.get(path, ()), axis)
    return tuple(axes.items())

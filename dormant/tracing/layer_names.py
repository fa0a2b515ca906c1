# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What layers are called: by the module of their kernels, else by the parameters themselves."""

from collections.abc import Callable, Sequence
from typing import Any

from dormant.graph import layer_name
from dormant.tracing.connections import Connections, EntryMap, LinearMap
from dormant.tracing.overlaps import within


def unique_names(
    connections: Connections,
    paths: tuple[str, ...],
    shapes: Sequence[tuple[int, ...]],
    layer_of: dict[int, int],
    preference: Callable[[EntryMap], Any],
) -> list[str]:
    """The name of every linear map: that of its layer.

    Kernels that are made of several arrays are called by the one whose entries `preference` is
    greatest for.
    """
    names: list[str] = []
    for use, linear_map in enumerate(connections.maps):
        if layer_of[use] != use:
            names.append(names[layer_of[use]])
            continue
        name = _name(linear_map, paths, shapes, preference)
        copies = len({other for other in names if other.split("#")[0] == name})
        names.append(name if not copies else f"{name}#{copies + 1}")
    return names


def _name(
    linear_map: LinearMap,
    paths: tuple[str, ...],
    shapes: Sequence[tuple[int, ...]],
    preference: Callable[[EntryMap], Any],
) -> str:
    """The module of its kernels; else their own names, of parts of an array with the place."""
    leaves = dict.fromkeys(linear_map.leaves)
    parts = linear_map.joined or (linear_map.leaves,)
    modules = {paths[leaf].rpartition("/")[0] for leaf in leaves}
    if len(leaves) > 1 and len(modules) == 1 and not modules & {"", "params"}:
        return layer_name(modules.pop())  # a noisy layer: mean and deviation in one module

    def part_name(leaf: int) -> str:
        entries = [each for each in linear_map.columns if each.leaf == leaf]
        return layer_name(paths[leaf]) + within(shapes[leaf], entries)

    def kernel(leaves: Sequence[int]) -> int:
        columns = [each for each in linear_map.columns if each.leaf in leaves]
        return max(columns, key=preference).leaf if columns else leaves[0]

    return "+".join(dict.fromkeys(part_name(kernel(leaves)) for leaves in parts))

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Index arithmetic for tracing: which neuron or parameter entry each element of a value holds.

A label is an int32 array of the value's shape. Axes along which it does not change keep stride 0
(NumPy broadcasting), so that batch and space cost no memory.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

CARRIED = "carried from step to step"  # what mixes a layer that a later step of a loop reads
OVER_A_STATISTIC = "normalized or gated by a statistic over them"
NONE = -1  # the element does not depend on the source
MIXED = -2  # the element depends on several neurons (or entries) of the source


class Label(NamedTuple):
    """What the elements of one value hold of one source (a layer or a parameter array)."""

    # int32, the value's shape: neuron or flat entry, NONE or MIXED. Hides tuple's own `index`.
    index: np.ndarray  # type: ignore[assignment]
    statistic: bool = False  # went through a reduction, as the mean of a normalization does
    mixing: str | None = None  # what made neurons of the source leak into each other: "mixed by …"
    lost: str | None = None  # the primitive behind which the source cannot be followed

    def single(self) -> np.ndarray:
        """Where the value holds exactly one neuron."""
        return self.index >= 0

    def constant_along(self, axes: Sequence[int], primitive: str) -> "Label":
        """The label with `axes` reduced to size 1; mixed where it was not constant along them."""
        index, same = constant_along(self.index, axes)
        mixing = self.mixing or (None if same else f"mixed by {primitive}")
        return self._replace(index=index, mixing=mixing)


def of_neurons(label: Label, neurons: np.ndarray) -> Label | None:
    """What a label holds of some neurons, bool (H,), and of those mixed; None if nothing."""
    index = renumber(label.index, np.where(neurons, np.arange(len(neurons)), NONE))
    return label._replace(index=index) if (trim(index) != NONE).any() else None


def compact(index: np.ndarray) -> np.ndarray:
    """The same array with stride 0 along every axis on which it is constant."""
    for axis in range(index.ndim):
        if index.shape[axis] > 1 and index.strides[axis]:
            first = index[(slice(None),) * axis + (slice(0, 1),)]  # a view: strides stay
            if (index == first).all():
                index = np.broadcast_to(first, index.shape)
    return index


def along_varying_axes(index: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """The axes along which the array changes, and the array without the others."""
    index = compact(index)
    axes = tuple(a for a in range(index.ndim) if index.shape[a] > 1 and index.strides[a])
    return axes, index[tuple(slice(None) if a in axes else 0 for a in range(index.ndim))]


def constant_along(index: np.ndarray, axes: Sequence[int]) -> tuple[np.ndarray, bool]:
    """The array with `axes` reduced to size 1, and whether it was constant along them.

    Where it was not, the result is MIXED.
    """
    first = index[tuple(slice(0, 1) if a in axes else slice(None) for a in range(index.ndim))]
    if all(index.shape[a] == 1 or index.strides[a] == 0 for a in axes):
        return first, True
    same = (index == first).all(axis=tuple(axes), keepdims=True)
    return np.where(same, first, np.int32(MIXED)), bool(same.all())


def spread(array: np.ndarray, axes: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """Lays the dimensions of `array` along `axes` of a value of the given shape."""
    view = [1] * len(shape)
    for axis, size in zip(axes, array.shape, strict=True):
        view[axis] = size
    return np.broadcast_to(array.transpose(np.argsort(axes)).reshape(view), shape)


def trim(index: np.ndarray) -> np.ndarray:
    """The array with every axis of stride 0 cut to size 1; broadcasts like the whole."""
    return index[tuple(slice(None) if stride else slice(0, 1) for stride in index.strides)]


def in_place(label: Label) -> np.ndarray:
    """bool, trimmed: which elements hold the source itself, and not only a statistic over it."""
    small = trim(label.index)
    return small >= 0 if label.mixing == OVER_A_STATISTIC else small != NONE


def renumber(index: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The array with the number of every neuron replaced by that in `numbers`, (H,)."""
    small = trim(index)
    renumbered = np.where(small >= 0, numbers[np.maximum(small, 0)], small).astype(np.int32)
    return np.broadcast_to(renumbered, index.shape)


def summed_away(index: np.ndarray, axes: Sequence[int], neurons: int) -> np.ndarray | None:
    """(H,) the number of what each neuron adds to when a value is summed over `axes`.

    None unless the axes tell some of the `neurons` apart, but not all of them.
    """
    varying, small = along_varying_axes(index)
    summed = [place for place, axis in enumerate(varying) if axis in axes]
    kept = [size for place, size in enumerate(small.shape) if place not in summed]
    if not summed or not kept or small.size != neurons or len(np.unique(small)) != neurons:
        return None
    sums = np.expand_dims(np.arange(math.prod(kept), dtype=np.int32).reshape(kept), summed)
    numbers = np.empty(neurons, np.int32)
    numbers[small] = np.broadcast_to(sums, small.shape)
    return numbers


def merge(indices: Sequence[np.ndarray]) -> np.ndarray:
    """Element by element union: NONE yields to anything, two different neurons become MIXED."""
    result = indices[0]
    for other in indices[1:]:
        if result is other or np.array_equal(result, other):
            continue
        either = np.where(result == NONE, other, result)
        clash = (result != NONE) & (other != NONE) & (result != other)
        result = np.where(clash, np.int32(MIXED), either)
    return result


_MIXED_BY = {
    "mul": "multiplied with each other, a gated product,",
    "add": "summed with each other",
    "sub": "subtracted from each other",
    "dot_general": "multiplied with each other",
}


def combine(labels: Sequence[Label], shape: tuple[int, ...], primitive: str) -> Label:
    """The label of an elementwise result whose operands carry `labels` of one source."""
    direct = [label for label in labels if not label.statistic]
    statistics = [label for label in labels if label.statistic]
    mixing = next((label.mixing for label in labels if label.mixing), None)
    lost = next((label.lost for label in labels if label.lost), None)
    # Scalars have no axes to line up; a view of the full shape gives them some.
    views = [trim(np.broadcast_to(label.index, shape)) for label in direct or statistics]
    index = merge(views)
    if direct:
        for label in statistics:
            statistic = trim(np.broadcast_to(label.index, shape))
            leaks = (statistic != NONE) & (index != NONE) & (statistic != index)
            if leaks.any():
                mixing = OVER_A_STATISTIC
            index = np.where(index == NONE, statistic, index)
    if mixing is None and (index == MIXED).any():
        mixing = _MIXED_BY.get(primitive, f"mixed by {primitive}")
    return Label(np.broadcast_to(compact(index), shape), not direct, mixing, lost)


# Primitives that only move elements: (parameters, index arrays of the operands, output shape).
_Move = Callable[[dict[str, Any], list[np.ndarray], tuple[int, ...]], np.ndarray]


def _reshape(params, operands, shape):
    operand = operands[0]
    if params.get("dimensions") is not None:
        operand = operand.transpose(params["dimensions"])
    return compact(operand.reshape(shape))


def _slice(params, operands, shape):
    strides = params["strides"] or (1,) * len(shape)
    bounds = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    return operands[0][tuple(slice(*bound) for bound in bounds)]


def _pad(params, operands, shape):
    result = np.full(shape, NONE, np.int32)
    source, target = [], []
    for size, out, (low, _, interior) in zip(
        operands[0].shape, shape, params["padding_config"], strict=True
    ):
        step = interior + 1
        positions = low + step * np.arange(size)
        keep = (positions >= 0) & (positions < out)
        source.append(np.flatnonzero(keep))
        target.append(positions[keep])
    result[np.ix_(*target)] = operands[0][np.ix_(*source)]
    return compact(result)


def places_in_pad(
    before: Sequence[int], config: Sequence[tuple[int, int, int]], shape: tuple[int, ...]
) -> np.ndarray:
    """bool, of the given shape: where a pad puts what it pads, an array of the shape `before`."""
    same = [not any(own) for own in config]
    small = np.zeros([1 if own else size for own, size in zip(same, before, strict=True)], np.int32)
    sizes = tuple(1 if own else size for own, size in zip(same, shape, strict=True))
    index = _pad({"padding_config": config}, [small], sizes)
    return np.broadcast_to(index != NONE, shape)


def pad_with_own(
    index: np.ndarray, config: Sequence[tuple[int, int, int]], shape: tuple[int, ...]
) -> np.ndarray:
    """`_pad` where the values of axes along which the array is constant go on in the padding."""
    # Along an axis of size 1 a single neuron may lie, but not several.
    least = 0 if len(np.unique(trim(index))) > 1 else 1
    constant = [
        size > least and constant_along(index, [axis])[1] for axis, size in enumerate(index.shape)
    ]
    small = index[tuple(slice(0, 1) if same else slice(None) for same in constant)]
    sizes = [1 if same else size for same, size in zip(constant, shape, strict=True)]
    kept = [(0, 0, 0) if same else own for same, own in zip(constant, config, strict=True)]
    return np.broadcast_to(_pad({"padding_config": kept}, [small], tuple(sizes)), shape)


def extend_along(
    indices: Sequence[np.ndarray], axis: int, shape: tuple[int, ...]
) -> np.ndarray | None:
    """What arrays hold that are constant along an axis, for all of a value; None if they differ."""
    found = [constant_along(index, [axis]) for index in indices]
    first = found[0][0]
    same = all(is_constant and np.array_equal(one, first) for one, is_constant in found)
    return np.broadcast_to(first, shape) if same else None


MOVES: dict[str, _Move] = {
    "broadcast_in_dim": lambda params, operands, shape: spread(
        operands[0], params["broadcast_dimensions"], shape
    ),
    "reshape": _reshape,
    "slice": _slice,
    "pad": _pad,
    "transpose": lambda params, operands, shape: operands[0].transpose(params["permutation"]),
    "squeeze": lambda params, operands, shape: operands[0].reshape(shape),
    "expand_dims": lambda params, operands, shape: operands[0].reshape(shape),
    "rev": lambda params, operands, shape: np.flip(operands[0], params["dimensions"]),
    "concatenate": lambda params, operands, shape: compact(
        np.concatenate(operands, params["dimension"])
    ),
    "stack": lambda params, operands, shape: compact(np.stack(operands, params["axis"])),
}
# Over a named axis, across which an element holds the same neuron.
COLLECTIVES = frozenset("psum psum_invariant pmax pmin".split())
# Primitives that leave every element in its place.
IDENTITIES = COLLECTIVES | frozenset(
    "convert_element_type copy copy_p reduce_precision name device_put sharding_constraint "
    "optimization_barrier stop_gradient mesh_cast reshard pvary".split()
)
# Followed by evaluating them on the index array itself, when their other operands are constants.
EVALUATED_MOVES = frozenset("gather dynamic_slice tile".split())
# All that change no element; then those whose results hold elements of their first operand alone.
MOVING = IDENTITIES | frozenset(MOVES) | EVALUATED_MOVES | {"split", "unstack"}
REARRANGED = IDENTITIES - COLLECTIVES | frozenset(MOVES) - {"concatenate", "pad", "stack"}


def data_indices(name: str, params: dict[str, Any], shape: tuple[int, ...]) -> list[int]:
    """The axes of an operand along which the indices of a gather or slice choose."""
    sizes = params["slice_sizes"]
    chosen: Sequence[int] = range(len(shape))
    if name == "gather":
        numbers = params["dimension_numbers"]
        chosen = (*numbers.start_index_map, *numbers.operand_batching_dims)
    return [axis for axis in chosen if sizes[axis] < shape[axis]]


def split(params: dict[str, Any], label: Label) -> list[Label]:
    """The pieces that the `split` primitive makes."""
    pieces = np.split(label.index, np.cumsum(params["sizes"])[:-1], params["axis"])
    return [label._replace(index=compact(piece)) for piece in pieces]


def unstack(params: dict[str, Any], label: Label) -> list[Label]:
    """The slices that the `unstack` primitive makes."""
    slices = np.moveaxis(label.index, params["axis"], 0)
    return [label._replace(index=compact(each)) for each in slices]


def reduce_axes(label: Label, axes: Sequence[int], primitive: str) -> Label:
    """The label of a reduction over `axes`."""
    axes = tuple(int(axis) for axis in axes)
    if any(label.index.shape[axis] != 1 for axis in axes):
        label = label.constant_along(axes, primitive)._replace(statistic=True)
    return label._replace(index=np.squeeze(label.index, axes))


def rank(label: Label, axis: int, shape: tuple[int, ...], primitive: str) -> Label:
    """The label of what a sort or the like gives along an axis: each place may hold any neuron."""
    found = label.constant_along([axis], primitive)
    if found.mixing != label.mixing:
        found = found._replace(mixing=f"ranked against each other by {primitive}", statistic=True)
    return found._replace(index=np.broadcast_to(found.index, shape))


def pool(label: Label, window: Sequence[int], shape: tuple[int, ...], primitive: str) -> Label:
    """The label of a pooling with the given window; neurons must not lie along a pooled axis."""
    axes = [a for a in range(len(shape)) if window[a] > 1 or shape[a] != label.index.shape[a]]
    label = label.constant_along(axes, primitive)
    return label._replace(index=np.broadcast_to(label.index, shape))


def scatter_entries(
    leaf_shape: tuple[int, ...], entries: np.ndarray, neurons: np.ndarray
) -> tuple[tuple[int, ...], np.ndarray, bool]:
    """The axes, index and `shared` of the `EntryMap` of a parameter array of the given shape.

    `entries` are flat entries of the array, NONE or MIXED where there is none; `neurons` are
    broadcastable against them. Entries that serve several neurons are MIXED.
    """
    entries, neurons = np.broadcast_arrays(entries, neurons)
    # Axes along which nothing changes need one look only.
    constant = tuple(
        slice(0, 1) if not entries.strides[a] and not neurons.strides[a] else slice(None)
        for a in range(entries.ndim)
    )
    flat_entries, flat_neurons = entries[constant].ravel(), neurons[constant].ravel()
    kept = flat_entries >= 0
    flat_entries, flat_neurons = flat_entries[kept], flat_neurons[kept]
    owner = np.full(math.prod(leaf_shape), NONE, np.int32)
    owner[flat_entries] = flat_neurons
    clash = owner[flat_entries] != flat_neurons
    owner[flat_entries[clash]] = MIXED
    owner[flat_entries[flat_neurons == NONE]] = NONE
    owner[flat_entries[flat_neurons == MIXED]] = MIXED
    shared = bool(clash.any() or (flat_neurons == MIXED).any())
    return *along_varying_axes(owner.reshape(leaf_shape)), shared

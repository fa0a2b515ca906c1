# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How `dot_general` and convolutions place rows and columns of a kernel: index arithmetic only."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dormant.tracing import labels as lb
from dormant.tracing.labels import MIXED, Label


class DotGeneral(NamedTuple):
    """Geometry of `dot_general`; each pair is (left, right).

    The functions are those of `Convolution` too: of two operands, `side` may be a kernel.
    """

    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    out_shape: tuple[int, ...]
    contract: tuple[tuple[int, ...], tuple[int, ...]]
    batch: tuple[tuple[int, ...], tuple[int, ...]]
    free: tuple[tuple[int, ...], tuple[int, ...]]
    side: int  # of the kernel
    repeated: tuple[int, ...] = ()  # axes along which the kernel is one and the same

    @property
    def groups(self) -> int:
        """1: those of a `Convolution` may be several."""
        return 1

    @classmethod
    def of(cls, params: dict[str, Any], shapes, out_shape, side: int | None) -> "DotGeneral":
        contract, batch = (
            (tuple(map(int, left)), tuple(map(int, right)))
            for left, right in params["dimension_numbers"]
        )
        left, right = (
            tuple(a for a in range(len(shapes[s])) if a not in contract[s] + batch[s])
            for s in (0, 1)
        )
        return cls(tuple(shapes), out_shape, contract, batch, (left, right), side or 0)

    def _places(self, side: int) -> tuple[int, ...]:
        """Where an operand's batch and free axes lie in the output."""
        batch, left = len(self.batch[0]), len(self.free[0])
        start = batch if side == 0 else batch + left
        return tuple(range(batch)) + tuple(range(start, start + len(self.free[side])))

    def _numbered(self) -> np.ndarray:
        axes = self.batch[self.side] + self.free[self.side]
        shape = self.shapes[self.side]
        grid = [1 if axis in self.repeated else shape[axis] for axis in axes]
        numbered = np.arange(math.prod(grid), dtype=np.int32).reshape(grid)
        return np.broadcast_to(numbered, [shape[axis] for axis in axes])

    @property
    def neurons(self) -> int:
        """The number of neurons that a kernel makes."""
        return int(self._numbered().max(initial=-1)) + 1

    def columns(self) -> np.ndarray:
        """The neuron that every element of the kernel feeds; the kernel's shape."""
        axes = self.batch[self.side] + self.free[self.side]
        return lb.spread(self._numbered(), axes, self.shapes[self.side])

    def outputs(self) -> np.ndarray:
        """The neuron that every element of the output holds; the output's shape."""
        return lb.spread(self._numbered(), self._places(self.side), self.out_shape)

    def rows(self, label: Label) -> tuple[np.ndarray, bool]:
        """The neuron that every element of the kernel reads, and whether it reads several."""
        other = 1 - self.side
        index, same = lb.constant_along(label.index, self.free[other])
        rows = _only_axes(index, self.batch[other] + self.contract[other], self.free[other])
        axes = self.batch[self.side] + self.contract[self.side]
        return lb.spread(rows, axes, self.shapes[self.side]), not same

    def plain(self, label: Label, side: int) -> Label | None:
        """The label behind a product without a parameter; None if it cannot be followed."""
        label = label.constant_along(self.contract[side], "a product")
        index = _only_axes(label.index, self.batch[side] + self.free[side], self.contract[side])
        return label._replace(index=lb.spread(index, self._places(side), self.out_shape))


class Convolution(NamedTuple):
    """Geometry of `conv_general_dilated`; the kernel is the right operand."""

    kernel_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    channel_axis: int  # of the image
    kernel_axes: tuple[int, int]  # (output feature, input feature)
    out_axis: int
    groups: int

    @classmethod
    def of(cls, params: dict[str, Any], shapes, out_shape) -> "Convolution":
        numbers = params["dimension_numbers"]
        return cls(
            shapes[1],
            out_shape,
            numbers.lhs_spec[1],
            tuple(numbers.rhs_spec[:2]),
            numbers.out_spec[1],
            params["feature_group_count"],
        )

    @property
    def neurons(self) -> int:
        return self.kernel_shape[self.kernel_axes[0]]

    def _channels(self) -> np.ndarray:
        """The image's channel behind each (output feature, input feature) of the kernel."""
        outs, ins = (self.kernel_shape[axis] for axis in self.kernel_axes)
        group = np.arange(outs) // (outs // self.groups)
        return group[:, None] * ins + np.arange(ins)

    def _per_channel(self, label: Label) -> tuple[np.ndarray, bool]:
        others = [a for a in range(label.index.ndim) if a != self.channel_axis]
        index, same = lb.constant_along(label.index, others)
        return index.ravel()[self._channels()], same

    def columns(self) -> np.ndarray:
        numbered = np.arange(self.neurons, dtype=np.int32)
        return lb.spread(numbered, self.kernel_axes[:1], self.kernel_shape)

    def outputs(self) -> np.ndarray:
        numbered = np.arange(self.neurons, dtype=np.int32)
        return lb.spread(numbered, (self.out_axis,), self.out_shape)

    def rows(self, label: Label) -> tuple[np.ndarray, bool]:
        rows, same = self._per_channel(label)
        return lb.spread(lb.compact(rows), self.kernel_axes, self.kernel_shape), not same

    def plain(self, label: Label, side: int) -> Label | None:
        if side == 1:
            return None
        rows, _ = self._per_channel(label)
        index, _ = lb.constant_along(rows, [1])
        mixing = label.mixing
        if mixing is None and (index == MIXED).any():
            mixing = "mixed by a convolution"
        index = lb.spread(index.ravel(), (self.out_axis,), self.out_shape)
        return label._replace(index=index, mixing=mixing)


def _only_axes(index: np.ndarray, axes: Sequence[int], dropped: Sequence[int]) -> np.ndarray:
    """`index` with its axes in the given order, without those of size 1 in `dropped`."""
    moved = index.transpose(tuple(axes) + tuple(dropped))
    return moved.reshape(moved.shape[: len(axes)])

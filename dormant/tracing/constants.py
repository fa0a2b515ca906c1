# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The values of a program that are the same whatever goes in, as the other side of a mask is."""

from typing import Any

import jax
import numpy as np

from dormant.tracing import labels as lb
from dormant.tracing.jaxpr import Program

# Zero where all their operands are; `select_n` where all its cases are.
_KEEP_ZEROS = lb.MOVING | frozenset(
    "neg abs sign add add_any sub max min select_n cumsum reduce_sum".split()
)


def zero_values(program: Program) -> frozenset[int]:
    """The values that are zero throughout: `zeros_like(h)`, a broadcast zero, `0 * h`.

    Products with zero count as zero: activations and parameters are assumed to be finite.
    """
    zeros = {value for value, constant in program.constants.items() if _is_zero(constant)}
    for operation in program.operations:
        name, inputs = operation.name, operation.inputs
        if name in ("mul", "and"):
            stays = not zeros.isdisjoint(inputs)
        elif name in ("div", "rem"):
            stays = inputs[0] in zeros
        else:
            operands = inputs[1:] if name == "select_n" else inputs
            stays = name in _KEEP_ZEROS and bool(operands) and zeros.issuperset(operands)
        if stays:
            zeros.update(operation.outputs)
    return frozenset(zeros)


def bounds(program: Program) -> dict[int, tuple[float, float]]:
    """The least and the largest element of every constant, broadcast or not."""
    known = {v: _extremes(constant) for v, constant in program.constants.items()}
    found = {value: extremes for value, extremes in known.items() if extremes is not None}
    for operation in program.operations:
        if operation.name in lb.REARRANGED and operation.inputs[0] in found:
            found[operation.outputs[0]] = found[operation.inputs[0]]
    return found


def _extremes(constant: Any) -> tuple[float, float] | None:
    if not _is_number(constant):
        return None
    array = np.asarray(constant).astype(np.float64)
    return float(np.min(array)), float(np.max(array))


def _is_number(constant: Any) -> bool:
    """Whether a constant has known, real elements; random keys and traced values have not."""
    if isinstance(constant, jax.core.Tracer):
        return False
    dtype = getattr(constant, "dtype", np.dtype(np.float32))
    odd = jax.dtypes.issubdtype(dtype, jax.dtypes.extended) or np.issubdtype(
        dtype, np.complexfloating
    )
    return not odd and np.size(constant) > 0


def _is_zero(constant: Any) -> bool:
    return _is_number(constant) and not np.any(np.asarray(constant))

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What is known of the constants of a program, such as the other side of a mask."""

from typing import Any

import jax
import numpy as np

from dormant.tracing import labels as lb
from dormant.tracing.jaxpr import Program


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

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What the weights alone tell: norms, units without weights, ranks, deviation from isometry."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from dormant.measures.spectra import effective_rank_of

# Units whose weights have less than this share of the mean norm.
NEAR_ZERO = 0.01
# Beginnings of the names of arrays that have an axis for members, as of an ensemble, and no inputs.
_NO_KERNELS = ("bias", "scale", "mean", "var")
_LEAST = 1e-70  # of which float64 has the fourth power
_MOST = 4_096  # rows or columns of which the spectrum is computed


def weight_table(
    arrays: Mapping[str, np.ndarray], units_first: bool = False
) -> dict[str, dict[str, Any]]:
    """{array: what it is}, of floating and complex arrays alone.

    Of a kernel, an array of two axes or more but for biases and scales, a unit is a column: an
    index of the last axis, or of the first one with `units_first` or where the name begins with
    `weight`, as PyTorch and Equinox have it. What units read is a row. Everything is computed in
    float64 or complex128, of the finite entries; `isometry` is None beyond its range.
    """
    found = {}
    for name, array in arrays.items():
        if array.dtype.kind in "iub" or array.ndim == 0:
            continue
        values = np.asarray(array, np.complex128 if array.dtype.kind == "c" else np.float64)
        finite = np.isfinite(values)
        values = np.where(finite, values, 0.0)
        largest = float(np.abs(values).max(initial=0.0))
        # Squares of others would not be numbers, or be 0.
        scale = largest if largest and not _LEAST < largest < 1 / _LEAST else 1.0
        row: dict[str, Any] = {
            "shape": list(array.shape),
            "dtype": str(array.dtype),
            "norm": scale * float(np.linalg.norm(values / scale)),
            "non_finite": int((~finite).sum()),
        }
        last = name.rpartition("/")[2]
        if array.ndim > 1 and array.size and not last.startswith(_NO_KERNELS):
            is_first = units_first or last.startswith("weight")
            row |= _kernel(values / scale, is_first, scale)
        found[name] = row
    return found


def _kernel(values: np.ndarray, is_first: bool, scale: float) -> dict[str, Any]:
    """Of a kernel divided by a scale."""
    unit_axis, read_axis = (0, 1) if is_first else (values.ndim - 1, values.ndim - 2)
    matrix = np.moveaxis(values, unit_axis, -1).reshape(-1, values.shape[unit_axis])
    # Of a convolution what is read is a channel, not a place.
    channels = np.moveaxis(values, read_axis, 0).reshape(values.shape[read_axis], -1)
    norms, read = np.linalg.norm(matrix, axis=0), np.linalg.norm(channels, axis=1)
    return {
        "units": matrix.shape[1],
        "unit_axis": unit_axis,
        "column_norm": [
            scale * float(value) for value in (norms.min(), np.median(norms), norms.max())
        ],
        "zero_incoming": float(np.mean(norms == 0)),
        "near_zero_incoming": float(np.mean(norms <= NEAR_ZERO * norms.mean())),
        "zero_outgoing": float(np.mean(read == 0)),
        "near_zero_outgoing": float(np.mean(read <= NEAR_ZERO * read.mean())),
        **_spectrum(matrix, scale),
    }


def _spectrum(matrix: np.ndarray, scale: float) -> dict[str, float | None]:
    """As the measures of `dormant.measures` have them of layers, here of a matrix of any origin,
    divided by a scale."""
    squares = _squared_singular_values(matrix)
    names = ("stable_rank", "effective_rank", "isometry")
    if squares is None:
        return dict.fromkeys(names)
    largest = squares[0] if squares.size and squares[0] > 0 else 1.0
    with np.errstate(over="ignore"):
        isometry = float(np.square(squares * scale * scale - 1).sum())
    return {
        "stable_rank": float((squares / largest).sum()),
        "effective_rank": float(effective_rank_of(jnp.asarray(np.sqrt(squares / largest)))),
        "isometry": isometry if np.isfinite(isometry) else None,
    }


def _squared_singular_values(matrix: np.ndarray) -> np.ndarray | None:
    """(min(n, d),) float64, falling; None where that would take minutes."""
    rows, columns = matrix.shape
    if min(rows, columns) > _MOST:
        return None
    adjoint = matrix.conj().T
    gram = matrix @ adjoint if rows < columns else adjoint @ matrix
    return np.clip(np.linalg.eigvalsh(gram)[::-1], 0.0, None)

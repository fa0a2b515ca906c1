"""What the factories of the core and of the learners ask of their arguments."""

from typing import Any

import jax
import numpy as np


def is_number(value: Any) -> bool:
    """Whether `value` is one number: of Python, NumPy or JAX, but no boolean."""
    if isinstance(value, jax.core.Tracer):
        return False
    scalar = isinstance(value, int | float | np.generic | np.ndarray | jax.Array)
    return scalar and np.ndim(value) == 0 and np.asarray(value).dtype != bool


def is_pair(value: Any) -> bool:
    """Whether `value` has two functions `init` and `update`, as an optax transformation has."""
    return all(callable(getattr(value, part, None)) for part in ("init", "update"))

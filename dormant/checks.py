"""What factories ask of their arguments: each check raises a ValueError that names the argument,
what is allowed and the value."""

import math
from collections.abc import Sequence
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


def check_number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> None:
    """Raises ValueError unless `value` is a finite number in [least, most]."""
    if not is_number(value) or not math.isfinite(value) or not least <= value <= most:
        bounded = math.isfinite(least) and math.isfinite(most)
        allowed = f"a number in [{least}, {most}]" if bounded else "a finite number"
        raise ValueError(f"`{name}` must be {allowed}; got {value!r}")


def check_function(name: str, value: Any, arguments: str = "") -> None:
    """Raises ValueError unless `value` is callable; `arguments` tells which it is given."""
    if not callable(value):
        wanted = f"a function {arguments}".rstrip()
        raise ValueError(f"`{name}` must be {wanted}; got {value!r}")


def check_init_and_update(name: str, value: Any, none_or: str = "") -> None:
    """Raises ValueError unless `value` has two functions `init` and `update`."""
    if not is_pair(value):
        raise ValueError(f"`{name}` must be {none_or}a pair (init, update); got {value!r}")


def check_choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raises ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise ValueError(f"`{name}` must be one of {choices}; got {value!r}")


def check_count(name: str, value: int, least: int) -> None:
    """Raises ValueError unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise ValueError(f"`{name}` must be a whole number of at least {least}; got {value!r}")

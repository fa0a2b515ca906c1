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


def check_key(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is one key, as `jax.random.key` or `PRNGKey` makes it."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    is_typed = dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)
    if not (is_typed and shape == ()) and not (dtype == np.uint32 and len(shape) == 1):
        raise ValueError(f"`{name}` must be one key, such as jax.random.key(0); got {value!r}")


def check_mask(name: str, value: Any, neurons: int) -> None:
    """Raises ValueError unless `value` is a bool array of shape (neurons,)."""
    array = value if hasattr(value, "dtype") else np.asarray(value)
    if array.shape != (neurons,) or array.dtype.kind != "b":
        raise ValueError(
            f"the mask of layer {name!r} must be bool with shape ({neurons},), as "
            f"`dormant.dormant_masks` returns it; got {array.dtype} with shape {array.shape}"
        )


def check_schedule(name: str, value: Any, allowed: str) -> None:
    """Raises ValueError unless `value` maps a gradient step to one number."""
    try:
        first = None if isinstance(value, type) or not callable(value) else value(0)
    except (TypeError, ValueError):
        first = None
    if not is_number(first) and not (isinstance(first, jax.core.Tracer) and first.ndim == 0):
        raise ValueError(f"`{name}` must be {allowed}; got {value!r}")

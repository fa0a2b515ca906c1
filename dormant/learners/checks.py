"""Checks that the factories of the learners share; each raises a ValueError naming the input."""

import math
from typing import Any

from dormant.checks import is_number, is_pair


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

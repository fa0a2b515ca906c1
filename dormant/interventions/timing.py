# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""When an intervention acts, and what is scheduled by gradient steps."""

from collections.abc import Callable
from typing import Any

import jax

from dormant.checks import check_count, clip_to_int32

# is_due(gradient step, 1 for the first) -> whether to act after that step
When = Callable[[int | jax.Array], bool | jax.Array]


def every(period: int = 1_000, start: int = 0, end: int | None = None) -> When:
    """Acts at the gradient steps that are multiples of `period`, from `start` on and before `end`.

    Args:
      period: gradient steps between two actions (F in the paper), at least 1.
      start: first gradient step at which to act.
      end: first gradient step at which to act no more; None for never.

    Returns:
      `is_due(step) -> bool`, for whole numbers and, elementwise, for integer arrays.

    Raises:
      ValueError: if an option is not valid.
    """
    check_count("period", period, 1)
    check_count("start", start, 0)
    if end is not None:
        check_count("end", end, int(start) + 1)
    period, start = clip_to_int32(period), clip_to_int32(start)
    end = None if end is None else clip_to_int32(end)

    def is_due(step: int | jax.Array) -> bool | jax.Array:
        due = (step % period == 0) & (step > 0) & (step >= start)
        return due if end is None else due & (step < end)

    return is_due


def value_at(value: Any, step: jax.Array) -> Any:
    """A number, which is the same at every gradient step, or what a schedule has at this one."""
    return value(step) if callable(value) else value

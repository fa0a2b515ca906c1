# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""When an intervention acts."""

from collections.abc import Callable

import jax

from dormant.checks import LARGEST_COUNT, check_count

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
    # Steps are int32, which larger numbers are not compared with.
    period, start = min(int(period), LARGEST_COUNT), min(int(start), LARGEST_COUNT)
    end = None if end is None else min(int(end), LARGEST_COUNT)

    def is_due(step: int | jax.Array) -> bool | jax.Array:
        due = (step % period == 0) & (step > 0) & (step >= start)
        return due if end is None else due & (step < end)

    return is_due

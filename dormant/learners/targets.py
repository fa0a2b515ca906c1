# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Target rules: when and how far the target network follows the online one."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from dormant.checks import check, check_number, clip_to_int32, is_count

Params = Any
# (params, target_params, gradient_step) -> target_params; the update just made is counted.
TargetRule = Callable[[Params, Params, jax.Array], Params]


def keep_target(params: Params, target_params: Params, gradient_step: jax.Array) -> Params:
    """Target rule that never syncs: the caller does so with `sync_target`."""
    del params, gradient_step
    return target_params


def periodic_target(period: int) -> TargetRule:
    """Target rule that copies the parameters after gradient steps period, 2 * period, ...

    Raises:
      ValueError: when period is not a whole number >= 1.
    """
    allowed = "None or a whole number of gradient steps >= 1"
    check(is_count(period, 1), "target_period", allowed, period)
    period = clip_to_int32(period)

    def target_rule(params: Params, target_params: Params, gradient_step: jax.Array) -> Params:
        return optax.periodic_update(params, target_params, gradient_step, period)

    return target_rule


def soft_target(smoothing: float) -> TargetRule:
    """Target rule that moves by `smoothing` of the way to the parameters after every gradient step.

    Polyak averaging: smoothing * params + (1 - smoothing) * target_params.

    Raises:
      ValueError: when smoothing is not a number in [0, 1].
    """
    check_number("target_smoothing", smoothing, 0, 1)

    def target_rule(params: Params, target_params: Params, gradient_step: jax.Array) -> Params:
        del gradient_step
        return optax.incremental_update(params, target_params, smoothing)

    return target_rule


def target_rule_of(period: int | None) -> TargetRule:
    """`periodic_target(period)`; `keep_target` for None, where the caller syncs."""
    return keep_target if period is None else periodic_target(period)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Adam's step count, restarted where the loss becomes another one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from dormant.checks import check, check_count
from dormant.interventions.step_counts import PerEntryCounts, find_counts
from dormant.interventions.structures import check_optimizer


class AdamRelState(NamedTuple):
    """State of `adam_rel`.

    Attributes:
      inner: the optimizer's own state.
      step: int32 (), updates since the last restart, below the period.
    """

    inner: optax.OptState
    step: jax.Array


def adam_rel(
    optimizer: optax.GradientTransformation, period: int
) -> optax.GradientTransformationExtraArgs:
    """Adam with relative timesteps: its step count restarts at 0 every `period` updates, while its
    moments go on (Adam-Rel; Ellis et al., NeurIPS 2024, arXiv 2412.17113).

    The period is that of the target: the updates between two target networks, or those on one
    batch of PPO. After a change of the target gradients may be much larger than the old moments,
    and Adam's steps with them; with a new count they stay near the learning rate. Where gradients
    stay alike, the first step is sqrt(1 - b2) / (1 - b1) = 0.32 times the learning rate.

    It differs from `dormant.per_entry_counts`, whose counts restart for the entries that a recycle
    rewrites, together with their moments. Here the count of all entries restarts, and the moments
    are kept. Both together are `dormant.per_entry_counts(adam_rel(optimizer, period))`, as
    `dormant.as_transformation` has it; a restart then clears the count of every entry.

    Args:
      optimizer: any optax transformation with a `count` beside moments like the parameters: Adam
        and its kin, alone, in chains and in wrappers. Counts of schedules go on.
      period: updates from one restart to the next, at least 1.

    Returns:
      A transformation whose state is an `AdamRelState`.

    Raises:
      ValueError: if an option is not valid; from `init`, if the optimizer has no such count.
    """
    check_optimizer(optimizer)
    inside_out = "one that `per_entry_counts` is put around afterwards"
    check(not isinstance(optimizer, PerEntryCounts), "optimizer", inside_out, optimizer)
    check_count("period", period, 1, "updates")
    inner = optax.with_extra_args_support(optimizer)

    def init(params: optax.Params) -> AdamRelState:
        state = inner.init(params)
        has_count = bool(find_counts(inner, state, params).counts)
        check(has_count, "optimizer", "one with a step count beside its moments", optimizer)
        return AdamRelState(state, jnp.zeros((), jnp.int32))

    def update(updates, state: AdamRelState, params=None, **extra):
        leaves, treedef = jax.tree.flatten(state.inner)
        for place in find_counts(inner, state.inner, updates).counts:
            leaves[place] = jnp.where(state.step == 0, 0, leaves[place])
        restarted = jax.tree.unflatten(treedef, leaves)
        updates, made = inner.update(updates, restarted, params, **extra)
        step = state.step + 1
        return updates, AdamRelState(made, jnp.where(step == period, 0, step))

    return optax.GradientTransformationExtraArgs(init, update)

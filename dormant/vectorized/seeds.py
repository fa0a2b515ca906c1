# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which leaves of a learner's state are one for every seed, and which are one for all of them.

Seeds side by side take their gradient steps together, so the counters of those steps need no seed
axis. Under `vmap` that is what keeps a `lax.cond` on them a branch: on a counter with a seed axis
JAX evaluates both sides and selects."""

from typing import Any

import jax

from dormant import Report
from dormant.learners import LearnerState
from dormant.parts import InterventionState


def axes_of(state: LearnerState) -> LearnerState:
    """The tree for `jax.vmap`'s in_axes and out_axes that keeps the counters without a seed axis.

    Args:
      state: a learner's state, of one seed or of several, of arrays or of shapes.

    Returns:
      A prefix of the state's tree: None for `gradient_step` and for the `step` of every
      `InterventionState` and of its report, 0 for all else.
    """
    return seed_axis_of_all(LearnerState)._replace(
        tracker=_intervention_axes(state.tracker),
        intervention=_intervention_axes(state.intervention),
        gradient_step=None,
    )


def seed_axis_of_all(kind: Any) -> Any:
    """The prefix of a NamedTuple's tree by which every field has a seed axis, for exceptions to be
    put in with `_replace`."""
    return kind(*(0,) * len(kind._fields))


def take_seed(state: LearnerState, index: int) -> LearnerState:
    """The state of one seed out of a state of several, counters included."""

    def take(axis: int | None, part: Any) -> Any:
        return part if axis is None else jax.tree.map(lambda leaf: leaf[index], part)

    return jax.tree.map(take, axes_of(state), state, is_leaf=lambda node: node is None)


def _intervention_axes(state: Any) -> Any:
    if isinstance(state, InterventionState):
        report = seed_axis_of_all(Report)._replace(step=None)
        return seed_axis_of_all(InterventionState)._replace(step=None, report=report)
    if isinstance(state, dict):  # of `dormant.combine`
        return {name: _intervention_axes(part) for name, part in state.items()}
    return 0

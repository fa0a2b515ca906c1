# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A run told otherwise, so that it can stand beside others: up to a step, at another threshold, by
the returns of training."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dormant.records.per_iteration import (
    OVERLAP,
    cut,
    dormant_column,
    mean,
    measured_per_iteration,
)
from dormant.records.reading import Run
from dormant.records.results import IN_EVALUATION, TRAINING, RunResult

_OVERSHOOT = 0.05  # of a length, by which the last iteration may be longer


def until(run: RunResult, longest: float) -> RunResult:
    """The run with what was measured until so many agent steps.

    An iteration that begins before and ends a little later, as Dopamine's do with their last
    episode, is the last.
    """
    begins_inside = np.concatenate([[0.0], run.agent_steps[:-1]]) < longest
    ends_soon = run.agent_steps <= (1 + _OVERSHOOT) * longest
    inside = (run.agent_steps <= longest) | (begins_inside & ends_soon)
    if inside.all():
        return run
    longest = max(longest, run.agent_steps[inside].max(initial=0.0))
    records = run.records and run.records._replace(
        iterations=_until(run.records.iterations, longest),
        tracking=_until(run.records.tracking, longest),
    )
    return run._replace(
        agent_steps=run.agent_steps[inside],
        returns=run.returns[inside],
        dormant_percent=run.dormant_percent[inside],
        measured=cut(run.measured, inside),
        records=records,
    )


def _until(records: Sequence[Any], longest: float) -> tuple[Any, ...]:
    return tuple(record for record in records if record.agent_step <= longest)


def at_tau(run: RunResult, own: float, tau: float) -> RunResult:
    """The run with its dormant percentage and overlap at a threshold instead of its own; NaN and
    left out where they are not known there."""
    if own == tau:
        return run
    if run.records is not None:
        measured = measured_per_iteration(run.records, tau)
    else:
        measured = {name: values for name, values in run.measured.items() if name != OVERLAP}
    unknown = np.full(len(run.agent_steps), np.nan)
    percents = measured.get(dormant_column(tau), unknown)
    return run._replace(dormant_percent=percents, measured=measured)


def has_evaluation(records: Run) -> bool:
    """Whether each iteration that has returns has some of evaluation: a run may evaluate at its end
    alone, and a curve is of the one or of the other."""
    return all(
        record.eval_returns or record.eval_average_return is not None or not record.train_returns
        for record in records.iterations
    )


def returns_of(records: Run, evaluation: bool) -> np.ndarray:
    """float64 (P,): the mean return of evaluation, or of training, of each of P iterations."""
    return np.array(
        [
            mean(record.eval_returns if evaluation else record.train_returns)
            for record in records.iterations
        ],
        float,
    )


def with_alike_returns(runs: Sequence[RunResult]) -> tuple[list[RunResult], tuple[str, ...]]:
    """Runs that are shown together, all by their returns of training where some have no others, as
    far as they are known, and notes that say so."""
    if not {TRAINING, IN_EVALUATION} <= {run.episodes for run in runs}:
        return list(runs), ()
    changed = [
        run
        if run.records is None or run.episodes == TRAINING
        else run._replace(returns=returns_of(run.records, evaluation=False), episodes=TRAINING)
        for run in runs
    ]
    left = [run.method for run in changed if run.episodes == IN_EVALUATION]
    count = sum(
        not np.array_equal(now.returns, before.returns, equal_nan=True)
        for now, before in zip(changed, runs, strict=True)
    )
    notes = []
    if count:
        others = "" if left else "the returns of all are those of training"
        notes.append(
            f"{count} runs were evaluated in each iteration and others not:"
            f" {others or 'their returns are those of training'}"
        )
    if left:
        notes.append(
            f"{len(left)} runs have returns of evaluation alone, and stand beside returns of"
            f" training: {', '.join(dict.fromkeys(left))}"
        )
    return changed, tuple(notes)

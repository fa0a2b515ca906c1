# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How long runs are that nobody planned: as long as the longest of their method and game."""

from collections.abc import Sequence

import numpy as np

from dormant.records.experiment_file import PlannedRun
from dormant.records.results import (
    FINISHED,
    INTERRUPTED,
    UNREADABLE,
    Absence,
    Reading,
    RunResult,
)
from dormant.records.run_folders import judged

_ALIKE = 0.05  # of the longer: two games or methods whose ends differ by less end together


def ends_before(steps: np.ndarray, longest: np.ndarray, slack: float) -> bool:
    """Whether a run with points at such (P,) agent steps ends before another, which is longer.

    Where both have points at the same steps the last one tells. Elsewhere, as where a point is the
    end of an episode, they may differ by less than a slack.
    """
    if np.isin(steps, longest).all():
        return _last(steps) < _last(longest)
    return _last(steps) + slack <= _last(longest)


def different_ends(runs: Sequence[RunResult]) -> bool:
    """Whether some of these runs, each the longest of its kind, end well before the others."""
    longest = max((run.agent_steps for run in runs), key=_last, default=np.empty(0))
    return any(ends_before(run.agent_steps, longest, _ALIKE * _last(longest)) for run in runs)


def with_lengths(
    found: Sequence[tuple[PlannedRun, Reading]], numbered: bool
) -> list[tuple[PlannedRun, Reading]]:
    """Runs without a plan and what was read of them, with lengths that are taken as planned.

    A run that ends before another of its method, setting and game is not whole.

    Args:
      found: all of one source, those that could not be read among them.
      numbered: whether points are numbered iterations, of which all runs have as many.
    """
    groups: dict[tuple[str, str, str], list[RunResult]] = {}
    for run, (result, _) in found:
        if result is not None:
            groups.setdefault(_group(run), []).append(result)
    return [_judged(run, reading, groups.get(_group(run), ()), numbered) for run, reading in found]


def _judged(
    run: PlannedRun, reading: Reading, group: Sequence[RunResult], numbered: bool
) -> tuple[PlannedRun, Reading]:
    longest = max((each.agent_steps for each in group), key=_last, default=np.empty(0))
    end = int(_last(longest))
    result, absence = reading
    if result is None:
        run = run._replace(agent_steps=end)
        return run, Reading(None, absence and absence._replace(run=run))
    steps = result.agent_steps
    most = max(each.agent_steps.size for each in group)
    slack = float(np.diff(steps, prepend=0).max(initial=0))
    is_short = ends_before(steps, longest, slack) or (numbered and steps.size < most)
    if result.status == UNREADABLE:  # from some point on, which its source says
        return run, reading
    if result.status != FINISHED:
        run = run._replace(agent_steps=end)
        return run, judged(result, run)
    if not is_short:
        return run._replace(agent_steps=int(end_of(result))), reading
    run = run._replace(agent_steps=end)
    reached = f"ends at {int(end_of(result)):,} of {end:,} agent steps"
    if end_of(result) >= end:
        reached = f"has {steps.size} of {most} iterations"
    short = result._replace(status=INTERRUPTED)
    return run, Reading(short, Absence(run, INTERRUPTED, reached))


def _group(run: PlannedRun) -> tuple[str, str, str]:
    return run.method, run.setting, run.game


def end_of(run: RunResult) -> float:
    """The agent steps of its last iteration; 0 without any."""
    return _last(run.agent_steps)


def _last(steps: np.ndarray) -> float:
    return float(steps[-1]) if steps.size else 0.0

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What every source of runs comes to before it is summed up: one curve of returns for each run.
Our run folders, Dopamine's logs and published JSON, and CSV are read into these by
`dormant.report.sources`."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from dormant.records.experiment_file import DEFAULT_TAU, ExperimentFile, PlannedRun
from dormant.records.reading import Run

FINISHED = "finished"
# Of a run that is not whole: why.
RUNNING, FAILED, INTERRUPTED = "running", "failed", "interrupted"
NOT_STARTED, UNREADABLE = "not started", "unreadable"
NOT_WHOLE = (RUNNING, FAILED, INTERRUPTED, NOT_STARTED, UNREADABLE)
# What W&B calls runs of these kinds.
_ELSEWHERE = {
    "crashed": FAILED,
    "killed": INTERRUPTED,
    "preempting": RUNNING,
    "preempted": INTERRUPTED,
    "pending": NOT_STARTED,
}
# Of which episodes returns are.
TRAINING, IN_EVALUATION = "training", "evaluation"


def status_of(text: str, where: str) -> str:
    """The status that a file says, in capitals or not, or in W&B's words.

    Args:
      text: what the file says.
      where: the file, for the error.

    Raises:
      ValueError: it is no status; such a run must be taken neither for whole nor for the opposite.
    """
    said = " ".join(text.lower().split())
    status = _ELSEWHERE.get(said, said)
    if status not in (FINISHED, *NOT_WHOLE):
        allowed = ", ".join((FINISHED, *NOT_WHOLE, *_ELSEWHERE))
        raise ValueError(f"{where}: status must be one of {allowed}; got {text!r}")
    return status


class RunResult(NamedTuple):
    """One run that can be shown: whole, or as far as it came."""

    # The first four are as in `PlannedRun`.
    method: str
    setting: str
    value: float | None
    game: str
    seed: int  # its seed, or its number where the source has none
    agent_steps: np.ndarray  # (P,) float64, rising: agent steps at the end of each iteration
    # (P,) float64: the mean undiscounted return of the episodes of that iteration, of evaluation
    # where every iteration had one and else of training; NaN where no episode ended.
    returns: np.ndarray
    # (P,) float64: mean over the iteration's measurements of the percentage of all hidden neurons
    # that were dormant before any recycling, at the experiment's tau; NaN where there were none.
    dormant_percent: np.ndarray
    status: str = FINISHED  # `FINISHED`, or one of the reasons above
    folder: Path | None = None  # its folder; None where the source is not a run folder
    records: Run | None = None  # all of its records; None where the source has returns only
    config: str = ""  # its operative gin configuration; "" where unknown
    command: str = ""  # the command that started it; "" where unknown
    # What else its run.json says ({"versions": ..., "git_commit": ..., "error": ...}).
    details: dict | None = None
    # {column: float64 (P,)}: what else was measured, as `measured_per_iteration` says.
    measured: Mapping[str, np.ndarray] = MappingProxyType({})
    # Of which episodes the returns are, `TRAINING` or `IN_EVALUATION`; "" where its source does not
    # say.
    episodes: str = ""


def run_key(run: PlannedRun | RunResult) -> tuple[str, str, str, int]:
    """What tells a run from the others of its experiment."""
    return run.method, run.setting, run.game, run.seed


class Absence(NamedTuple):
    """A planned run that is not whole, and so in no table."""

    run: PlannedRun  # which
    status: str  # one of the reasons above
    # What is known of it, in a line: how far it came, its error, which line of which file cannot be
    # read.
    problem: str


class Reading(NamedTuple):
    """What was read of one run."""

    result: RunResult | None  # its curves; None where there are none
    absence: Absence | None  # why it is not whole; None where it is


class Collection(NamedTuple):
    """All runs of an experiment or of a folder."""

    # What was planned; of a folder without experiment.json, made of what is there.
    experiment: ExperimentFile
    runs: tuple[RunResult, ...]  # those that are whole, in the order of the plan
    partial: tuple[RunResult, ...]  # those that have records but are not whole, for curves alone
    absent: tuple[Absence, ...]  # a line for each planned run that is not whole
    folder: Path | None  # where it was read from; None where from several places
    notes: tuple[str, ...] = ()  # how what was read is understood, a sentence each
    warnings: tuple[str, ...] = ()  # what may be wrong in it
    # Those of the experiment's runs that it did not plan: they were put beside it.
    compared: tuple[PlannedRun, ...] = ()
    planned_by: str = ""  # the name of the one experiment that planned all runs; "" where unknown


class Source(NamedTuple):
    """What was read of files without a plan."""

    runs: list[RunResult]  # those that could be read
    absent: tuple[Reading, ...] = ()  # those that could not, or not to their end
    notes: tuple[str, ...] = ()  # as in a `Collection`
    warnings: tuple[str, ...] = ()
    tau: float = DEFAULT_TAU  # the threshold of `dormant_percent` and of the overlap
    planned_by: str = ""  # as in a `Collection`

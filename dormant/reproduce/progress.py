# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How far the runs of a folder have come, as their records say."""

import contextlib
import functools
import json
import os
from pathlib import Path
from typing import NamedTuple

from dormant.checks import check
from dormant.records.experiment_file import ExperimentFile, PlannedRun
from dormant.records.files import (
    FINISHED_FILE,
    METRICS_FILE,
    RUN_FILE,
    read_object,
    write_atomically,
)
from dormant.records.results import (
    FINISHED,
    NOT_STARTED,
    RUNNING,
    UNREADABLE,
    run_key,
    status_of,
)
from dormant.records.results_file import RunEnd, experiment_of, run_ends
from dormant.records.run_folders import read_planned
from dormant.reproduce.catalog import EXPERIMENTS
from dormant.reproduce.engines.engine import ENGINE_FOLDER

# Of the file's end, in bytes: more than a record with many layers or episodes has.
_TAIL = 1 << 18


# What `Verified` knows.
VERIFIED_FILE = f"{ENGINE_FOLDER}/verified.json"
_ALL_FILES = (RUN_FILE, METRICS_FILE)


class State(NamedTuple):
    """Of one run: its status, and why it is not whole; "" where it is."""

    status: str
    problem: str


def state_of(root: Path, run: PlannedRun, finished: Path | None = None) -> State:
    """Whether a planned run is whole, here or in a table of runs that were made elsewhere, which is
    the folder's finished.csv unless another is given. Only of a run that calls itself finished is
    all read."""
    try:
        path = root / run.folder / RUN_FILE
        details = read_object(path)
        status = status_of(str(details.get("status", RUNNING)), str(path))
    except FileNotFoundError:
        if _is_finished_in(finished or root / FINISHED_FILE, run):
            return State(FINISHED, "")
        return State(NOT_STARTED, "it has no run.json")
    except ValueError as error:
        return State(UNREADABLE, str(error))
    if status != FINISHED:
        return State(status, str(details.get("error") or "it is not finished"))
    absence = read_planned(root, run).absence
    return State(FINISHED, "") if absence is None else State(absence.status, absence.problem)


class Verified:
    """Runs of a folder that were read to their end and found whole: not read again while their
    files stay as they are, by this process or a later one."""

    def __init__(self, root: Path, finished: Path | None = None):
        """For the arguments see `state_of`."""
        self._root, self._path, self._finished = root, root / VERIFIED_FILE, finished
        try:
            self._known = read_object(self._path)
        except (OSError, ValueError):
            self._known = {}
        self._saved = len(self._known)

    def state(self, run: PlannedRun) -> State:
        """As `state_of`."""
        files = [_signature(self._root / run.folder / name) for name in _ALL_FILES]
        known = [run.agent_steps, *files]
        if None not in files and self._known.get(run.folder) == known:
            return State(FINISHED, "")
        state = state_of(self._root, run, self._finished)
        if state.status == FINISHED and None not in files:
            self._known[run.folder] = known
        return state

    def save(self) -> None:
        """Keeps what was found for later processes, where the folder can be written."""
        if self._saved < len(self._known):
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(exist_ok=True)
                write_atomically(self._path, json.dumps(self._known))
                self._saved = len(self._known)


def _signature(path: Path) -> list[int] | None:
    """What changes when a file is written; None without the file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _is_finished_in(path: Path, run: PlannedRun) -> bool:
    """Whether a table of runs that were made elsewhere has a planned run to its end."""
    if not path.is_file():
        return False
    found = _ends(path).get(_key(run))
    return found is not None and found.last >= run.agent_steps


def _ends(path: Path) -> dict[tuple[str, ...], RunEnd]:
    """`run_ends` of a file, read again only when it was written."""
    return _ends_at(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _ends_at(path: Path, _: int) -> dict[tuple[str, ...], RunEnd]:
    try:
        return run_ends(path)
    except ValueError as error:
        said = f"`--finished` must be a results.csv that dormant.report wrote; got {error}"
        raise ValueError(said) from error


def _key(run: PlannedRun) -> tuple[str, ...]:
    """How a results.csv, where all is text, names a run."""
    return tuple(map(str, run_key(run)))


def check_finished_file(path: Path, root: Path, experiment: ExperimentFile) -> None:
    """Checks that a file is a results.csv with runs of an experiment as long as its plan says, and
    lacks none that its folder has one of already.

    Args:
      path: of the file; one that names no experiment is of that whose name it or its folder has.
      root: the experiment's folder.
      experiment: what is planned there.

    Raises:
      OSError: it cannot be read.
      ValueError: it is none.
    """
    own = root / FINISHED_FILE
    check(path.is_file(), "--finished", "a results.csv that dormant.report wrote", str(path))
    found, runs = _ends(path), experiment.runs
    named = experiment_of(path)
    if not named:
        names = {each.name for each in EXPERIMENTS} & {path.stem, path.resolve().parent.name}
        named = experiment.name if experiment.name in names or not names else min(names)
    allowed = f"a table of runs of {experiment.name}"
    check(named == experiment.name, "--finished", allowed, f"{path}, which is of {named}")
    known = _ends(own) if own.is_file() else {}
    allowed = f"a table of runs of this experiment, with all that {own} has"
    check(bool(found.keys() & set(map(_key, runs))), "--finished", allowed, str(path))
    lacking = known.keys() - found.keys()
    check(not lacking, "--finished", allowed, f"{path}, which lacks {len(lacking)} of them")
    for run in runs:
        ends = found.get(_key(run))
        # The last iteration may end a little after what was planned, and no other one.
        if ends is not None and ends.before >= run.agent_steps:
            length = f"{path}, where {run.folder} has {ends.last:,.0f} (of another scale?)"
            allowed = f"a table of runs of {run.agent_steps:,} agent steps"
            check(False, "--finished", allowed, length)


class LastRecord(NamedTuple):
    """The end of a run's records.

    Attributes:
      agent_step: of the last record, at most as many as planned; 0 without any.
      steps_per_second: agent steps per second of the last iteration; None where none has ended.
      ended: the agent step at which the last iteration ended, at most as many as planned.
    """

    agent_step: int
    steps_per_second: float | None = None
    ended: int = 0


def reached(root: Path, run: PlannedRun) -> int:
    """The agent steps of the run's last record, at most as many as planned; 0 without any."""
    return last_record(root, run).agent_step


def last_record(root: Path, run: PlannedRun) -> LastRecord:
    """How far a run has come, here or in finished.csv, and how fast: by the end of its file."""
    path = root / run.folder / METRICS_FILE
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read().splitlines()
    except OSError:
        is_finished = not path.exists() and _is_finished_in(root / FINISHED_FILE, run)
        steps = run.agent_steps if is_finished else 0
        return LastRecord(steps, ended=steps)
    step = 0
    for line in reversed(lines):
        try:
            record = json.loads(line)
            at = min(int(record["agent_step"]), run.agent_steps)
            step = step or at
            if "steps_per_second" in record:
                return LastRecord(step, float(record["steps_per_second"]), at)
        # The last line may be in the making, and the first be cut off.
        except (ValueError, KeyError, TypeError, OverflowError):
            continue
    return LastRecord(step)

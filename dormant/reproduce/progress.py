# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How far the runs of a folder have come, as their records say."""

import csv
import functools
import json
from pathlib import Path
from typing import NamedTuple

from dormant.records.experiment_file import PlannedRun
from dormant.records.files import FINISHED_FILE, METRICS_FILE, RUN_FILE, read_object
from dormant.records.results import FINISHED, UNREADABLE
from dormant.records.run_folders import read_planned

# Of the file's end, in bytes: more than a record with many layers or episodes has.
_TAIL = 1 << 18


class State(NamedTuple):
    """Of one run: its status, and why it is not whole; "" where it is."""

    status: str
    problem: str


def state_of(root: Path, run: PlannedRun) -> State:
    """Whether a planned run is whole, here or in finished.csv. Only of a run that calls itself
    finished is all read."""
    try:
        details = read_object(root / run.folder / RUN_FILE)
    except FileNotFoundError:
        if is_finished_elsewhere(root, run):
            return State(FINISHED, "")
        return State("not started", "it has no run.json")
    except ValueError as error:
        return State(UNREADABLE, str(error))
    if details.get("status") != FINISHED:
        return State(str(details.get("status")), str(details.get("error") or "it is not finished"))
    absence = read_planned(root, run).absence
    return State(FINISHED, "") if absence is None else State(absence.status, absence.problem)


def is_finished_elsewhere(root: Path, run: PlannedRun) -> bool:
    """Whether an experiment's finished.csv has a planned run to its end."""
    path = root / FINISHED_FILE
    if not path.is_file():
        return False
    steps = _last_steps(path, path.stat().st_mtime_ns)
    return steps.get((run.method, run.setting, run.game, str(run.seed)), 0) >= run.agent_steps


@functools.lru_cache(maxsize=4)
def _last_steps(path: Path, _: int) -> dict[tuple[str, ...], float]:
    """{(method, setting, game, seed): the last agent step that the file has}."""
    found: dict[tuple[str, ...], float] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = (row["method"], row["setting"], row["game"], row["seed"])
            found[key] = max(found.get(key, 0.0), float(row["agent_step"]))
    return found


def check_finished_file(path: Path) -> None:
    """Checks that a file is a results.csv.

    Raises:
      OSError: it cannot be read.
      ValueError: it is none.
    """
    try:
        _last_steps(path, path.stat().st_mtime_ns)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(
            f"`--finished` must be a results.csv that dormant.report wrote ({error!r}); got {path}"
        ) from error


def reached(root: Path, run: PlannedRun) -> int:
    """The agent steps of the run's last record, at most as many as planned; 0 without any."""
    path = root / run.folder / METRICS_FILE
    if not path.exists() and is_finished_elsewhere(root, run):
        return run.agent_steps
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            lines = file.read().splitlines()
    except OSError:
        return 0
    for line in reversed(lines):
        try:
            return min(int(json.loads(line)["agent_step"]), run.agent_steps)
        # The last line may be in the making, and the first be cut off.
        except (ValueError, KeyError, TypeError):
            continue
    return 0

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Our run folders as results: metrics.jsonl, config.gin and run.json of each."""

import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from dormant.records.experiment_file import DEFAULT_TAU, PlannedRun
from dormant.records.files import (
    CONFIG_FILE,
    METRICS_FILE,
    RUN_FILE,
    check_inside,
    read_object,
)
from dormant.records.games import is_name_of
from dormant.records.per_iteration import dormant_column, measured_per_iteration
from dormant.records.reading import NoRecords, Run, read_run
from dormant.records.restated import has_evaluation, returns_of, until
from dormant.records.results import (
    FAILED,
    FINISHED,
    IN_EVALUATION,
    INTERRUPTED,
    NOT_STARTED,
    RUNNING,
    TRAINING,
    UNREADABLE,
    Absence,
    Reading,
    RunResult,
    status_of,
)
from dormant.records.settings import UNKNOWN_GAME, game_of, iterations_of

_INTERRUPT = "KeyboardInterrupt"
_SEED_FOLDER = re.compile(r"seed_(\d+)$")


def read_planned(root: Path, run: PlannedRun, tau: float = DEFAULT_TAU) -> Reading:
    """Reads the folder, relative to root, of a planned run, at the tau of `dormant_percent`.

    Whatever is wrong with it becomes its `Absence`.
    """
    folder = root / run.folder
    try:
        details = read_details(folder)
        if not details and not (folder / METRICS_FILE).is_file():
            return Reading(None, Absence(run, NOT_STARTED, "it has no folder"))
        status, error = _status(details, folder / RUN_FILE), details.get("error")
        if type(seed := details.get("seed", run.seed)) is int and seed != run.seed:
            raise ValueError(
                f"{folder / RUN_FILE}: seed must be the planned {run.seed}; got {seed} (a copy of"
                " another run?)"
            )
        _check_place(run, str(details.get("command", "")), folder / RUN_FILE)
        try:
            records = read_run(folder, allow_partial=status != FINISHED)
        except (FileNotFoundError, NoRecords) as lacking:
            if status == FINISHED:
                raise ValueError(f"{folder / RUN_FILE} says finished, but {lacking}") from lacking
            return Reading(None, Absence(run, status, str(error or "it has no records yet")))
    except ValueError as unreadable:
        return Reading(None, Absence(run, UNREADABLE, str(unreadable)))
    result = _result(folder, run, records, details, tau)._replace(status=status)
    is_planned = bool(run.agent_steps)
    count, planned = len(records.iterations), 0 if is_planned else iterations_of(result.config)
    if status == FINISHED and count < planned:
        lost = f"it has {count} of {planned} iterations, though {RUN_FILE} says finished"
        return Reading(result._replace(status=UNREADABLE), Absence(run, UNREADABLE, lost))
    return judged(result, run)


def judged(result: RunResult, run: PlannedRun) -> Reading:
    """Whether what was read of a run is all that was planned; of a longer one it is what it had
    when it came there."""
    steps = int(result.agent_steps[-1]) if result.agent_steps.size else 0
    if result.status == FINISHED and steps >= run.agent_steps:
        if run.agent_steps:
            first = result.agent_steps[result.agent_steps >= run.agent_steps][0]
            result = until(result, first)
        return Reading(result, None)
    status = INTERRUPTED if result.status == FINISHED else result.status
    error, reached = (result.details or {}).get("error"), f"{steps:,} of {run.agent_steps:,}"
    says_why = error and status in (FAILED, INTERRUPTED)
    problem = f"{error}, after {reached}" if says_why else f"it has {reached}"
    problem += " agent steps"
    if result.folder is not None and not result.details:
        problem += f", and no {RUN_FILE} says that it is finished"
    return Reading(result._replace(status=status), Absence(run, status, problem))


def check_places(root: Path, runs: Iterable[PlannedRun]) -> None:
    """Checks that no link leads out of root to what would be read of its runs.

    Raises:
      ValueError: one does; the message names it.
    """
    for run in runs:
        for name in ("", METRICS_FILE, CONFIG_FILE, RUN_FILE):
            check_inside(root, root / run.folder / name)


def find_runs(root: Path) -> list[PlannedRun]:
    """The runs of a folder without experiment.json, as if they had been planned.

    The method is the path without game and seed; the game is read from config.gin, the seed from
    run.json or the folder's name. Each is taken to be as long as it says that it is.

    Raises:
      ValueError: a link leads out of root.
    """
    # A run that failed at its start has no records, but says so in run.json.
    folders = {path.parent for name in (METRICS_FILE, RUN_FILE) for path in root.rglob(name)}
    folders |= _linked_to_hidden(root)
    planned = []
    for folder in sorted(folders):
        place = folder.relative_to(root)
        # In hidden folders lie such things as a report that is being made.
        if not _is_hidden(place):
            named = PlannedRun(place.as_posix(), "", "", None, UNKNOWN_GAME, 0, 0, "")
            check_places(root, [named])
            planned.append(_as_planned(root, folder))
    return planned


def _linked_to_hidden(root: Path) -> set[Path]:
    """The folders of runs behind links into hidden folders of root; behind other links lies what is
    found in its own place.

    Raises:
      ValueError: a linked folder with runs leads out of root.
    """
    found: set[Path] = set()
    patterns = [
        "/".join((*["*"] * depth, name)) for depth in range(4) for name in (METRICS_FILE, RUN_FILE)
    ]
    below = (Path(place, folder) for place, folders, _ in os.walk(root) for folder in folders)
    for link in filter(Path.is_symlink, below):
        behind = {run.parent for pattern in patterns for run in link.glob(pattern)}
        if behind:
            check_inside(root, link)
            if _is_hidden(link.resolve().relative_to(root.resolve())):
                found |= behind
    # Of several links to one run the first counts.
    return set({run.resolve(): run for run in sorted(found, reverse=True)}.values())


def _is_hidden(place: Path) -> bool:
    return any(part.startswith(".") for part in place.parts)


def _as_planned(root: Path, folder: Path) -> PlannedRun:
    try:
        details = read_details(folder)
    except ValueError:
        details = {}  # `read_planned` says so
    game, path = game_of(read_config(folder)), folder.relative_to(root)
    numbered = _SEED_FOLDER.match(folder.name)
    seed = details.get("seed")
    if type(seed) is not int:
        seed = int(numbered.group(1)) if numbered else 0
    kept = [
        part for part in path.parts if not is_name_of(part, game) and not _SEED_FOLDER.match(part)
    ]
    method, command = "/".join(kept) or root.resolve().name, str(details.get("command", ""))
    return PlannedRun(path.as_posix(), method, "", None, game, seed, 0, command)


def _check_place(run: PlannedRun, command: str, path: Path) -> None:
    """Checks that what made a planned run was to write it where it lies, as far as both say it.

    Raises:
      ValueError: it was another run's.
    """
    folder = PurePath(run.folder).parts
    # A process may make several runs, in folders of its own; folders above may have been moved.
    places = [folder[:count] for count in range(1, len(folder) + 1)]
    planned, own = (PurePath(base_dir_of(each)).parts for each in (run.command, command))
    if not any(planned[-len(place) :] == place for place in places):
        return
    if own and not any(_end_alike(own, place) for place in places):
        raise ValueError(
            f"{path}: its command must write into {run.folder}; got --base_dir={'/'.join(own)} (a"
            " copy of another run?)"
        )


def _end_alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two paths, the shorter of which may be relative, can be the same."""
    count = min(len(one), len(other))
    return one[-count:] == other[-count:]


def base_dir_of(command: str) -> str:
    """The folder that a command names; "" for none."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    flag = "--base_dir"
    for number, word in enumerate(words):
        if word == flag:
            return "".join(words[number + 1 : number + 2])
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return ""


def _status(details: dict[str, Any], path: Path) -> str:
    """What run.json says; older ones call a run that was interrupted failed.

    Raises:
      ValueError: it says what is no status.
    """
    status = status_of(str(details.get("status", RUNNING)), str(path))
    error = str(details.get("error"))
    return INTERRUPTED if status == FAILED and error.startswith(_INTERRUPT) else status


def read_config(folder: Path) -> str:
    """A run's config.gin; "" where there is none."""
    path = folder / CONFIG_FILE
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def read_details(folder: Path) -> dict[str, Any]:
    """A run's run.json; {} where there is none.

    Raises:
      ValueError: it holds something else than an object.
    """
    path = folder / RUN_FILE
    return read_object(path) if path.is_file() else {}


def _result(
    folder: Path, run: PlannedRun, records: Run, details: dict[str, Any], tau: float
) -> RunResult:
    steps = [record.agent_step for record in records.iterations]
    measured = measured_per_iteration(records, tau)
    percents = measured.get(dormant_column(tau), np.full(len(steps), np.nan))
    evaluated = has_evaluation(records)
    returns = returns_of(records, evaluated)
    kind = IN_EVALUATION if evaluated else TRAINING
    return RunResult(
        *run[1:6],
        agent_steps=np.array(steps, float),
        returns=returns,
        dormant_percent=percents,
        folder=Path(os.path.abspath(folder)),
        records=records,
        config=read_config(folder),
        command=str(details.get("command", "")),
        details=details,
        measured=measured,
        episodes=kind if np.isfinite(returns).any() else "",
    )

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Our run folders as results: metrics.jsonl, config.gin and run.json of each."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
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
)

UNKNOWN_GAME = "unknown game"
# The parameters that name the environment, in the operative configuration of each kind of run.
_ATARI_STUDY = re.compile(r"^(?:\w+[./])*Atari\.game\s*=\s*['\"]([^'\"]+)['\"]", re.MULTILINE)
_GAME = re.compile(
    r"^(?:\w+[./])*(?:create_atari_environment\.game_name|create_gym\w*\.environment_name"
    r"|create_minatar_env\w*\.game_name|VectorizedDQN\.environment|GameSequence\.games|Images\.source|\w+\.environment_name)"
    r"\s*=\s*\\?\s*['\"]([^'\"]+)['\"]",
    re.MULTILINE,
)
_INTERRUPT = "KeyboardInterrupt"
_SEED_FOLDER = re.compile(r"seed_(\d+)$")


def read_planned(root: Path, run: PlannedRun, tau: float = DEFAULT_TAU) -> Reading:
    """Reads the folder, relative to root, of a planned run, at the tau of `dormant_percent`.

    Whatever is wrong with it becomes its `Absence`.
    """
    folder = root / run.folder
    try:
        details = read_details(folder)
        status, error = _status(details), details.get("error")
        if not details and not (folder / METRICS_FILE).is_file():
            return Reading(None, Absence(run, NOT_STARTED, "it has no folder"))
        if type(seed := details.get("seed", run.seed)) is int and seed != run.seed:
            raise ValueError(
                f"{folder / RUN_FILE}: seed must be the planned {run.seed}; got {seed} (a copy of"
                " another run?)"
            )
        try:
            records = read_run(folder, allow_partial=status != FINISHED)
        except (FileNotFoundError, NoRecords) as lacking:
            if status == FINISHED:
                raise ValueError(f"{folder / RUN_FILE} says finished, but {lacking}") from lacking
            return Reading(None, Absence(run, status, str(error or "it has no records yet")))
    except ValueError as unreadable:
        return Reading(None, Absence(run, UNREADABLE, str(unreadable)))
    return judged(_result(folder, run, records, details, tau)._replace(status=status), run)


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
    _check_links(root)
    planned = []
    for folder in sorted(folders):
        place = folder.relative_to(root)
        # In hidden folders lie such things as a report that is being made.
        if not any(part.startswith(".") for part in place.parts):
            named = PlannedRun(place.as_posix(), "", "", None, UNKNOWN_GAME, 0, 0, "")
            check_places(root, [named])
            planned.append(_as_planned(root, folder))
    return planned


def _check_links(root: Path) -> None:
    """Checks that no linked folder with runs, which is not looked into, leads out of root."""
    patterns = [
        "/".join((*["*"] * depth, name)) for depth in range(4) for name in (METRICS_FILE, RUN_FILE)
    ]
    for place, folders, _ in os.walk(root):
        for path in (Path(place, folder) for folder in folders):
            if path.is_symlink() and any(any(path.glob(pattern)) for pattern in patterns):
                check_inside(root, path)


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


def game_of(config: str) -> str:
    """The game, or other environment, of a run's config.gin; `UNKNOWN_GAME` where it names none."""
    # A study on Atari has other options, too, which name an environment that it does not play.
    found = _ATARI_STUDY.search(config) or _GAME.search(config)
    if not found:
        return UNKNOWN_GAME
    # Its "asterix" is neither Atari's nor gymnax's, and must not have their reference scores.
    return found.group(1) + (" (MinAtar 1.0)" if "create_minatar_env" in found.group(0) else "")


def _status(details: dict[str, Any]) -> str:
    """What run.json says; older ones call a run that was interrupted failed."""
    status, error = str(details.get("status", RUNNING)), str(details.get("error"))
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

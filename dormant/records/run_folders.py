# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Our run folders as results: metrics.jsonl, config.gin and run.json of each."""

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dormant.records.experiment_file import PlannedRun
from dormant.records.files import CONFIG_FILE, METRICS_FILE, RUN_FILE, read_object
from dormant.records.reading import Run, read_run, tau_index
from dormant.records.results import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    NOT_STARTED,
    RUNNING,
    UNREADABLE,
    Absence,
    RunResult,
)

UNKNOWN_GAME = "unknown game"
# The parameters that name the environment, in the operative configuration of each kind of run.
_ATARI_STUDY = re.compile(r"^(?:\w+[./])*Atari\.game\s*=\s*['\"]([^'\"]+)['\"]", re.MULTILINE)
_GAME = re.compile(
    r"^(?:\w+[./])*(?:create_atari_environment\.game_name|create_gym\w*\.environment_name"
    r"|create_minatar_env\w*\.game_name|VectorizedDQN\.environment|Images\.source|\w+\.environment_name)"
    r"\s*=\s*\\?\s*['\"]([^'\"]+)['\"]",
    re.MULTILINE,
)
_SEED_FOLDER = re.compile(r"seed_(\d+)$")


class Reading(NamedTuple):
    """What a planned run's folder holds."""

    result: RunResult | None  # its records; None where there are none
    absence: Absence | None  # why it is not whole; None where it is


def read_planned(root: Path, run: PlannedRun, tau: float = 0.1) -> Reading:
    """Reads the folder, relative to root, of a planned run, at the tau of `dormant_percent`.

    Whatever is wrong with it becomes its `Absence`.
    """
    folder = root / run.folder
    try:
        details = read_details(folder)
        status, error = str(details.get("status", RUNNING)), details.get("error")
        if not (folder / METRICS_FILE).is_file():
            if not details:
                return Reading(None, Absence(run, NOT_STARTED, "it has no folder"))
            if status == FINISHED:
                raise ValueError(
                    f"{folder / RUN_FILE} says finished, but there is no {METRICS_FILE} beside it"
                )
            return Reading(None, Absence(run, status, str(error or "it has no records yet")))
        records = read_run(folder, allow_partial=status != FINISHED)
    except ValueError as unreadable:
        return Reading(None, Absence(run, UNREADABLE, str(unreadable)))
    result = _result(folder, run, records, details, tau)
    steps = int(result.agent_steps[-1]) if result.agent_steps.size else 0
    if status == FINISHED and steps >= run.agent_steps:
        return Reading(result, None)
    reached = f"{steps:,} of {run.agent_steps:,} agent steps"
    if status == FINISHED:
        status = INTERRUPTED
    problem = f"{error}, after {reached}" if status == FAILED and error else f"it has {reached}"
    return Reading(result._replace(status=status), Absence(run, status, problem))


def find_runs(root: Path) -> list[PlannedRun]:
    """The runs of a folder without experiment.json, as if they had been planned.

    The method is the path without game and seed; the game is read from config.gin, the seed from
    run.json or the folder's name. Each is taken to be as long as it says that it is.
    """
    # A run that failed at its start has no records, but says so in run.json.
    folders = {path.parent for name in (METRICS_FILE, RUN_FILE) for path in root.rglob(name)}
    return [
        _as_planned(root, folder)
        for folder in sorted(folders)
        # In hidden folders lie such things as a report that is being made.
        if not any(part.startswith(".") for part in folder.relative_to(root).parts)
    ]


def _as_planned(root: Path, folder: Path) -> PlannedRun:
    try:
        details = read_details(folder)
    except ValueError:
        details = {}  # `read_planned` says so
    game, path = _game(read_config(folder)), folder.relative_to(root)
    numbered = _SEED_FOLDER.match(folder.name)
    seed = details.get("seed")
    if type(seed) is not int:
        seed = int(numbered.group(1)) if numbered else 0
    kept = [part for part in path.parts if part != game and not _SEED_FOLDER.match(part)]
    method, command = "/".join(kept) or root.resolve().name, str(details.get("command", ""))
    return PlannedRun(path.as_posix(), method, "", None, game, seed, 0, command)


def _game(config: str) -> str:
    # A study on Atari has other options, too, which name an environment that it does not play.
    found = _ATARI_STUDY.search(config) or _GAME.search(config)
    if not found:
        return UNKNOWN_GAME
    # Its "asterix" is neither Atari's nor gymnax's, and must not have their reference scores.
    return found.group(1) + (" (MinAtar 1.0)" if "create_minatar_env" in found.group(0) else "")


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
    returns = [_mean(record.eval_returns or record.train_returns) for record in records.iterations]
    measured = [record for record in records.tracking if tau in record.taus]
    percents = [
        _mean([
            record.dormant_percent_pooled[tau_index(record, tau)]
            for record in measured
            if start < record.agent_step <= end
        ])
        for start, end in itertools.pairwise([0, *steps])
    ]  # fmt: skip
    return RunResult(
        *run[1:6],
        agent_steps=np.array(steps, float),
        returns=np.array(returns, float),
        dormant_percent=np.array(percents, float),
        folder=Path(os.path.abspath(folder)),
        records=records,
        config=read_config(folder),
        command=str(details.get("command", "")),
        details=details,
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else np.nan

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

"""What is known of the runs that are not whole: grouped for the list, and each for the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dormant.records.experiment_file import PlannedRun, log_path
from dormant.records.files import CONFIG_FILE, RUN_FILE, read_object
from dormant.records.results import Absence, RunResult

HEADER = ("method", "setting", "game", "seeds", "status", "problem")


def grouped(absences: Sequence[Absence]) -> list[tuple[str, ...]]:
    """A row under `HEADER` for seeds of one method, setting and game with the same problem."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for run, status, problem in absences:
        group = (run.method, run.setting, run.game, status, problem)
        groups.setdefault(group, []).append(run.seed)
    return [(*group[:3], ranges(seeds), *group[3:]) for group, seeds in groups.items()]


def ranges(numbers: Sequence[int]) -> str:
    """The numbers in order, neighbours as one range: "0-3, 7"."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in found)


def which(run: PlannedRun | RunResult) -> tuple[str, str, str, int]:
    """What tells a run from the others of its experiment."""
    return run.method, run.setting, run.game, run.seed


def log_of(root: Path | None, run: PlannedRun) -> str:
    """Its output, relative to the root: that of its job, which may be of all seeds; "" if none."""
    if root is None:
        return ""
    for name in (run.folder, run.folder.rpartition("/")[0]):
        path = log_path(name)
        if name and (root / path).is_file():
            return path
    return ""


def known_of(root: Path | None, run: PlannedRun) -> tuple[str, dict[str, Any], Path | None]:
    """config.gin, run.json and the folder of a run without records, as far as they are there."""
    folder = root and root / run.folder
    if folder is None or not folder.is_dir():
        return "", {}, None
    path = folder / CONFIG_FILE
    config = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    try:
        return config, read_object(folder / RUN_FILE), folder
    except (OSError, ValueError):
        return config, {}, folder  # the problem says so

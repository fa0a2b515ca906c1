"""What is known of the runs that are not whole: grouped for the list, and each for the page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dormant.records.experiment_file import PlannedRun, log_path
from dormant.records.results import Absence, RunResult
from dormant.records.run_folders import CONFIG_FILE, RUN_FILE

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
    config, details = (_text(folder / name) for name in (CONFIG_FILE, RUN_FILE))
    try:
        known = json.loads(details or "{}")
    except (ValueError, RecursionError):
        known = {}  # the problem says so
    return config, known if isinstance(known, dict) else {}, folder


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

"""What is known of the runs that are not whole: grouped for the list, and each for the page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dormant.records.experiment_file import PlannedRun, log_path
from dormant.records.files import CONFIG_FILE, RUN_FILE
from dormant.records.results import Absence, Collection, RunResult

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


def without_records(collection: Collection) -> list[Absence]:
    """Those that have no curve, which the page shows by what else is known of them."""
    partial = set(map(which, collection.partial))
    return [absence for absence in collection.absent if which(absence.run) not in partial]


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


def config_and_details(root: Path | None, run: PlannedRun) -> tuple[str, dict[str, Any]]:
    """config.gin and run.json of a run without records, as far as they can be read."""
    if root is None:
        return "", {}
    config, details = (_text(root / run.folder / name) for name in (CONFIG_FILE, RUN_FILE))
    try:
        known = json.loads(details or "{}")
    except (ValueError, RecursionError):
        known = {}  # the problem says so
    return config, known if isinstance(known, dict) else {}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

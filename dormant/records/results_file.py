# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The results.csv of a report: a line for each iteration of each run, one of a run without any."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

from dormant.records.results import FINISHED, status_of

COLUMNS = (
    "method", "setting", "value", "game", "seed", "agent_step", "return", "dormant_percent",
)  # fmt: skip
# The last column where some runs are not whole: why; empty for the others.
STATUS = "status"
# A column of a report of a planned experiment: its name.
EXPERIMENT = "experiment"
_RUN = ("method", "setting", "game", "seed")
_NAMES = {"method", "setting", "game", EXPERIMENT, STATUS}
_NEEDED = (*_RUN, "agent_step", "return")


class RunEnd(NamedTuple):
    """Where a run ends."""

    last: float  # the agent step of its last iteration
    before: float  # that of the one before; -1 without one


def experiment_of(path: Path) -> str:
    """The experiment that a results.csv names; "" where it names none, as older ones do.

    Raises:
      OSError: it cannot be read.
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        first = next(csv.DictReader(file), {})
    return first.get(EXPERIMENT) or ""


def run_ends(path: Path) -> dict[tuple[str, ...], RunEnd]:
    """{(method, setting, game, seed): its end} of all whole runs that a results.csv has.

    Raises:
      OSError: it cannot be read.
      ValueError: it is none that a report wrote, or a line of it was changed or cut off.
    """
    found: dict[tuple[str, ...], RunEnd] = {}
    partial: set[tuple[str, ...]] = set()
    where = str(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
        rows = csv.DictReader(text.splitlines(keepends=True), strict=True)
        if lacking := [name for name in _NEEDED if name not in (rows.fieldnames or ())]:
            raise ValueError(f"it lacks the column {lacking[0]}")
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            if None in row or None in row.values():
                raise ValueError("it has other fields than the header")
            key = tuple(row[name] for name in _RUN)
            for name in row.keys() - _NAMES:
                if row[name] and not math.isfinite(float(row[name])):
                    raise ValueError(f"its {name} is no finite number")
            if status_of(row.get(STATUS) or FINISHED, STATUS) != FINISHED:
                partial.add(key)
            if not row["agent_step"] and key in partial:
                continue
            step, before = float(row["agent_step"]), found.get(key, RunEnd(-1, -1)).last
            if step <= before:
                raise ValueError("its agent_step is not above that of the line before")
            found[key] = RunEnd(step, before)
        if not text.endswith("\n"):
            raise ValueError("it has no end, and may be cut off")
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{where}: {error}") from error
    return {key: end for key, end in found.items() if key not in partial}

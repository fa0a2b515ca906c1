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

"""Results as CSV, a line for each iteration of each run: what a report writes and reads again."""

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import numpy as np

from dormant.records.reading import LARGEST
from dormant.records.results import RunResult

COLUMNS = (
    "method", "setting", "value", "game", "seed", "agent_step", "return", "dormant_percent",
)  # fmt: skip
# Without them a line says nothing; the others may be missing.
_REQUIRED = ("method", "game", "seed", "agent_step", "return")


def write_csv(results: Iterable[RunResult], path: str | Path) -> None:
    """Writes the curves of all runs; what `read_csv` reads is the same to the digit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run in results:
        head = [run.method, run.setting, _text(run.value), run.game, run.seed]
        points = zip(run.agent_steps, run.returns, run.dormant_percent, strict=True)
        writer.writerows([*head, *map(_text, point)] for point in points)
    Path(path).write_text(text.getvalue(), encoding="utf-8")


def read_csv(path: str | Path) -> list[RunResult]:
    """Reads runs from a CSV file with the columns `COLUMNS`, in the order of their first lines.

    Columns setting, value and dormant_percent may be missing or empty; further ones are passed
    over.

    Raises:
      OSError: it cannot be read.
      ValueError: a column is missing, an entry is no number or too large, a step is negative, a
        percentage lies outside 0 to 100, or a run's steps do not rise; the message names the file
        and the line.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            points = _points(file, path)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    return [RunResult(*labels, *np.array(curve, float).T) for labels, curve in points.items()]


def _points(file: TextIO, path: str | Path) -> dict[tuple, list[tuple[float, float, float]]]:
    """{what tells a run from others: its steps, returns and percentages}."""
    rows = csv.DictReader(file)
    missing = [name for name in _REQUIRED if name not in (rows.fieldnames or [])]
    if missing:
        raise ValueError(
            f"{path} must have the columns {', '.join(_REQUIRED)}; got none named"
            f" {', '.join(missing)}"
        )
    points: dict[tuple, list[tuple[float, float, float]]] = {}
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        labels, point = _point(row, where)
        curve = points.setdefault(labels, [])
        if curve and point[0] <= curve[-1][0]:
            raise ValueError(
                f"{where}: agent_step of a run must rise (two runs of one seed?); got"
                f" {point[0]:g} after {curve[-1][0]:g}"
            )
        curve.append(point)
    if not points:
        raise ValueError(f"{path} must hold at least one line of a run; got none")
    return points


def _point(row: dict[str, str], where: str) -> tuple[tuple, tuple[float, float, float]]:
    for name in ("method", "game"):
        if not row[name]:
            raise ValueError(f"{where}: {name} must be given; got {row[name]!r}")
    seed = _number(row, "seed", where)
    if seed != int(seed):
        raise ValueError(f"{where}: seed must be a whole number; got {row['seed']!r}")
    value = _number(row, "value", where) if row.get("value") else None
    labels = (row["method"], row.get("setting") or "", value, row["game"], int(seed))
    step = _number(row, "agent_step", where, least=0)
    returned = _number(row, "return", where) if row.get("return") else math.nan
    has_percent = row.get("dormant_percent")
    percent = _number(row, "dormant_percent", where, 0, 100) if has_percent else math.nan
    return labels, (step, returned, percent)


def _number(
    row: dict[str, str], name: str, where: str, least: float = -LARGEST, most: float = LARGEST
) -> float:
    try:
        number = float(row[name])
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: {name} must be a finite number; got {row[name]!r}")
    if not least <= number <= most:
        raise ValueError(f"{where}: {name} must be from {least:g} to {most:g}; got {row[name]!r}")
    return number


def _text(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else repr(float(value))

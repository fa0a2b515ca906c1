# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The results.csv of a report, which `csv_results` reads again."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from dormant.records.experiment_file import PlannedRun
from dormant.records.per_iteration import FURTHER_COLUMNS
from dormant.records.results import Absence, RunResult
from dormant.records.results_file import COLUMNS, EXPERIMENT, STATUS
from dormant.report.tables import inert


def write_csv(
    results: Iterable[RunResult],
    path: str | Path,
    absent: Sequence[Absence] = (),
    experiment: str = "",
) -> None:
    """Writes the curves of all runs, and what else was measured in any of them; what `read_csv`
    reads is the same to the digit.

    Args:
      results: whole runs, and others as far as they came.
      path: of the file.
      absent: which runs are not whole; one that is not among the results has a line without steps.
      experiment: the name of what planned them; "" for nothing.
    """
    results, text = list(results), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    further = [name for name in FURTHER_COLUMNS if any(name in run.measured for run in results)]
    statuses = {absence.run[1:6]: absence.status for absence in absent}
    planned = [EXPERIMENT] if experiment else []
    header = [*COLUMNS, *further, *planned, *([STATUS] if statuses else [])]
    writer.writerow(header)

    def write(run: RunResult | PlannedRun, labels: tuple, *points: Iterable[float]) -> None:
        method, setting, game = map(inert, (run.method, run.setting, run.game))
        head = [method, setting, _text(run.value), game, run.seed]
        end = [inert(experiment)] if experiment else []
        end += [statuses.pop(labels, "")] if STATUS in header else []
        middle = len(header) - len(head) - len(end)
        for point in points or [[math.nan] * middle]:
            writer.writerow([*head, *map(_text, point), *end])

    for run in results:
        nothing = np.full(len(run.agent_steps), math.nan)
        more = [run.measured.get(name, nothing) for name in further]
        points = zip(run.agent_steps, run.returns, run.dormant_percent, *more, strict=True)
        write(run, run[:5], *points)
    for absence in absent:
        if absence.run[1:6] in statuses:
            write(absence.run, absence.run[1:6])
    Path(path).write_text(text.getvalue(), encoding="utf-8")


def _text(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else repr(float(value))

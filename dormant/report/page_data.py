# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What the page's script draws: the charts, the curves of each run, thinned to a bounded size, and
what each run was. NaN and infinities become null; what several curves share stands once."""

import contextlib
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dormant.records.experiment_file import PlannedRun, log_path
from dormant.records.results import FINISHED, Absence, RunResult, run_key
from dormant.records.run_folders import read_config, read_details
from dormant.report.charts import POINTS, Chart, Curve
from dormant.report.looks import COLOURS, DASHES, SYMBOLS, Line, Looks
from dormant.report.measurements import titles
from dormant.report.statistics import Statistics, places

NUMBERS_OF_A_PAGE = 400_000  # about 3 bytes each, compressed


class Pool(dict[Any, int]):
    """{value: its place}: values that stand once, in the order of their places."""

    def place(self, value: Any) -> int:
        """Where a text or a tuple of numbers stands."""
        return self.setdefault(value, len(self))


def page_data(statistics: Statistics, charts: Sequence[Chart]) -> dict[str, Any]:
    """The object behind the page, with the charts of the whole runs.

    "methods", "settings", "games": [{name, look, empty}], where `empty` says that no run of it has
    records; "lines": [{method, setting, label, look, apart}], by places in those, the setting null
    of a line over the settings; "charts": their panels' curves, each {line, x, agent, y, low, high,
    each, runs, planned}, of which `x` and `agent` are places in "steps"; "runs": for each run its
    labels, curves {quantity: {layer: [agent steps, gradient steps, values]}}, and the places of its
    configuration and details in "texts". Planned runs without records come last and have no curves.
    """
    collection = statistics.collection
    shown = collection.runs + collection.partial
    looks, lines, steps, texts = Looks(collection), Pool(), Pool(), Pool()
    for line in looks.lines:
        lines.place(line)
    made = [_chart(chart, lines, steps) for chart in charts if chart.panels]
    measured = [statistics.series(run) for run in shown]
    means = [curve for chart in charts for of in chart.panels.values() for curve in of.values()]
    left = NUMBERS_OF_A_PAGE - sum(3 * len(curve.values) for curve in means)
    points = max(2, min(POINTS, left // max(1, sum(map(len, measured)))))
    absences = {run_key(absence.run): absence for absence in collection.absent}
    runs = []
    for run, series in zip(shown, measured, strict=True):
        runs.append(_run(run, absences.pop(run_key(run), None), collection.folder, texts))
        for (quantity, layer), (*over, values) in series.items():
            kept = places(len(values), points)
            at = [None if of is None else steps.place(_numbers(of[kept])) for of in over]
            curves = runs[-1]["curves"].setdefault(quantity, {})
            curves[layer] = [*at, _numbers(values[kept])]
    for absence in absences.values():
        run = _without_records(absence.run, collection.folder)
        runs.append(_run(run, absence, collection.folder, texts))
    methods = _choices(looks.methods, {run.method for run in shown})
    settings = _choices(looks.settings, {run.setting for run in shown})
    for choice in methods:  # the dash is the setting's where there are several
        look = looks.of(Line(choice["name"], ""), apart=True)
        choice["look"] = look._replace(dash="solid") if len(settings) > 1 else look
    for choice in settings:  # in the text's colour, with the first method's marker
        look = looks.of(Line(looks.methods[0], choice["name"]))
        choice["look"] = look._replace(colour="currentColor")
    games = [run.game for run in collection.experiment.runs] + [run.game for run in shown]
    return {
        "methods": methods,
        "settings": settings,
        "games": _choices(games, {run.game for run in shown}),
        "lines": [_line(line, looks) for line in lines],
        "colours": COLOURS,
        "dashes": list(DASHES),
        "symbols": list(SYMBOLS),
        "quantities": titles(statistics.schema, collection.experiment.tau),
        "charts": made,
        "runs": runs,
        "steps": list(steps),
        "texts": list(texts),
    }


def script_json(data: Any) -> str:
    """JSON that can stand inside a script element: no "<", ">", "&" and nothing but ASCII.

    Raises:
      ValueError: it holds NaN or an infinity.
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # escapes U+2028 and U+2029
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _choices(names: Iterable[str], found: set[str]) -> list[dict[str, Any]]:
    return [{"name": name, "empty": name not in found} for name in dict.fromkeys(names)]


def _line(line: Line, looks: Looks) -> dict[str, Any]:
    over_settings = line not in looks.lines
    return {
        "method": looks.methods.index(line.method),
        "setting": None if over_settings else looks.settings.index(line.setting),
        "label": line.label,
        "look": looks.of(line),
        "apart": looks.of(line, apart=True),
    }


def _chart(chart: Chart, lines: Pool, steps: Pool) -> dict[str, Any]:
    return {
        "title": chart.title,
        "quantity": chart.measure.quantity if chart.measure else chart.name,
        "layer": chart.measure.layer if chart.measure else "",
        "mean": chart.measure is not None,
        "across": chart.across,
        "up": chart.up,
        "ticks": chart.ticks,
        "apart": chart.apart,
        "panels": [
            {
                "title": title,
                "lines": [_curve(lines.place(line), curve, steps) for line, curve in of.items()],
            }
            for title, of in chart.panels.items()
        ],
    }


def _curve(line: int, curve: Curve, steps: Pool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "line": line,
        "x": steps.place(_numbers(curve.steps)),
        "y": _numbers(curve.values),
    }
    if curve.agent_steps is not None:
        found["agent"] = steps.place(_numbers(curve.agent_steps))
    if np.isfinite(curve.low).any():
        found |= {"low": _numbers(curve.low), "high": _numbers(curve.high)}
    if curve.each:
        found["each"] = [_numbers(values) for values in curve.each]
    return found | {"runs": curve.runs, "planned": curve.planned}


def _without_records(run: PlannedRun, root: Path | None) -> RunResult:
    """A planned run with its configuration, details and folder, as far as they are there."""
    nothing = np.empty(0)
    known = RunResult(*run[1:6], nothing, nothing, nothing, command=run.command)
    folder = root and root / run.folder
    if folder is None or not folder.is_dir():
        return known
    known = known._replace(folder=folder, config=read_config(folder))
    with contextlib.suppress(OSError, ValueError):  # the problem says so
        known = known._replace(details=read_details(folder))
    return known


def _run(run: RunResult, absence: Absence | None, root: Path | None, texts: Pool) -> dict[str, Any]:
    """All of a run but its curves."""
    return {
        "method": run.method,
        "setting": run.setting,
        "game": run.game,
        "seed": run.seed,
        "status": absence.status if absence else FINISHED,
        "whole": absence is None,
        "folder": "" if run.folder is None else str(run.folder),
        "command": run.command,
        "config": texts.place(run.config),
        "details": texts.place(json.dumps(run.details or {}, indent=1, default=str)),
        "curves": {},
        "problem": absence.problem if absence else "",
        "log": _log_of(absence.run, root) if absence else "",
    }


def _log_of(run: PlannedRun, root: Path | None) -> str:
    """Its output, relative to the root: that of its job, which may be of all seeds; "" if none."""
    for name in (run.folder, run.folder.rpartition("/")[0]):
        if root and name and (root / log_path(name)).is_file():
            return log_path(name)
    return ""


def _numbers(values: np.ndarray) -> tuple[float | int | None, ...]:
    """Rounded to five digits, whole numbers to none; None for what is not finite."""
    return tuple(
        (int(value) if value.is_integer() else float(f"{value:.5g}"))
        if math.isfinite(value)
        else None
        for value in values.tolist()
    )

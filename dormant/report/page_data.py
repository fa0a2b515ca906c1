"""What the page's script draws: the charts, the curves of each run, thinned to a bounded size, and
what each run was. NaN and infinities become null; what several curves share stands once."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dormant.records.results import Absence, Collection, RunResult
from dormant.records.schema import SCHEMA, Schema
from dormant.report.charts import POINTS, Chart, Curve
from dormant.report.looks import COLOURS, DASHES, SYMBOLS, Line, Look, Looks
from dormant.report.measurements import series_of, titles
from dormant.report.missing_runs import config_and_details, log_of, which, without_records
from dormant.report.statistics import places

NUMBERS_OF_A_PAGE = 400_000  # about 3 bytes each, compressed


class Pool:
    """Values that stand once and are named by their place."""

    def __init__(self) -> None:
        self._known: dict[Any, int] = {}

    def place(self, value: Any) -> int:
        """Where a text or a tuple of numbers stands."""
        return self._known.setdefault(value, len(self._known))

    def values(self) -> list[Any]:
        """All, in the order of their places."""
        return list(self._known)


def page_data(
    collection: Collection, charts: Sequence[Chart], schema: Schema = SCHEMA
) -> dict[str, Any]:
    """The object behind the page.

    Args:
      collection: what was read.
      charts: of its whole runs.
      schema: the measures that are drawn.

    Returns:
      "methods", "settings", "games": [{name, look, empty}], where `empty` says that no run of it
      has records; "lines": [{method, setting, label, look, apart}], by places in those, the setting
      null of a line over the settings; "charts": their panels' curves, each {line, x, agent, y,
      low, high, each, runs, planned}, of which `x` and `agent` are places in "steps"; "runs":
      for each run its labels, curves {quantity: {layer: [agent steps, gradient steps, values]}},
      and the places of its configuration and details in "texts". Planned runs without records come
      last and have no curves.
    """
    shown = collection.runs + collection.partial
    tau = collection.experiment.tau
    looks, lines, steps, texts = Looks(collection), Pool(), Pool(), Pool()
    for line in looks.lines:
        lines.place(line)
    absences = {which(absence.run): absence for absence in collection.absent}
    made = [_chart(chart, lines, steps) for chart in charts if chart.panels]
    measured = [series_of(run, schema, tau) for run in shown]
    left = NUMBERS_OF_A_PAGE - sum(_numbers_of(chart) for chart in charts)
    points = max(2, min(POINTS, left // max(1, sum(map(len, measured)))))
    runs = []
    for number, (run, series) in enumerate(zip(shown, measured, strict=True)):
        curves: dict[str, dict[str, list]] = {}
        for (quantity, layer), (agent, gradient, values) in series.items():
            kept = places(len(values), points)
            curves.setdefault(quantity, {})[layer] = [
                steps.place(_numbers(agent[kept])),
                None if gradient is None else steps.place(_numbers(gradient[kept])),
                _numbers(values[kept]),
            ]
        absence = absences.get(which(run))
        runs.append({
            **_labels(run),
            "status": run.status,
            "whole": number < len(collection.runs),
            "folder": "" if run.folder is None else str(run.folder),
            "command": run.command,
            "config": texts.place(run.config),
            "details": texts.place(_json(run.details or {})),
            "curves": curves,
            "problem": absence.problem if absence else "",
            "log": log_of(collection.folder, absence.run) if absence else "",
        })  # fmt: skip
    runs += [_without_records(one, collection.folder, texts) for one in without_records(collection)]
    games = dict.fromkeys(run.game for run in (*collection.experiment.runs, *shown))
    return {
        "methods": [
            {"name": name, "look": _of_method(looks, name), "empty": _no(shown, "method", name)}
            for name in looks.methods
        ],
        "settings": [
            {"name": name, "look": _of_setting(looks, name), "empty": _no(shown, "setting", name)}
            for name in looks.settings
        ],
        "games": [
            {"name": name, "look": None, "empty": _no(shown, "game", name)} for name in games
        ],
        "lines": [_line(line, looks) for line in lines.values()],
        "colours": COLOURS,
        "dashes": list(DASHES),
        "symbols": list(SYMBOLS),
        "quantities": titles(schema, tau),
        "charts": made,
        "runs": runs,
        "steps": steps.values(),
        "texts": texts.values(),
    }


def script_json(data: Any) -> str:
    """JSON that can stand inside a script element: no "<", ">", "&" and nothing but ASCII.

    Raises:
      ValueError: it holds NaN or an infinity.
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # escapes U+2028 and U+2029
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _no(runs: Sequence[RunResult], attribute: str, name: str) -> bool:
    return all(getattr(run, attribute) != name for run in runs)


def _of_method(looks: Looks, method: str) -> Look:
    """What its lines have in common: the dash is the setting's where there are several."""
    look = looks.of(Line(method, ""), apart=True)
    return look._replace(dash="solid") if len(looks.settings) > 1 else look


def _of_setting(looks: Looks, setting: str) -> Look:
    """In the text's colour, with the first method's marker."""
    return looks.of(Line(looks.methods[0], setting))._replace(colour="currentColor")


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


def _numbers_of(chart: Chart) -> int:
    return sum(3 * len(curve.values) for lines in chart.panels.values() for curve in lines.values())


def _labels(run: Any) -> dict[str, Any]:
    return dict(zip(("method", "setting", "game", "seed"), which(run), strict=True))


def _without_records(absence: Absence, root: Path | None, texts: Pool) -> dict[str, Any]:
    run = absence.run
    config, details = config_and_details(root, run)
    folder = root and root / run.folder
    return {
        **_labels(run),
        "status": absence.status,
        "whole": False,
        "folder": str(folder) if folder and folder.is_dir() else "",
        "command": run.command,
        "config": texts.place(config),
        "details": texts.place(_json(details)),
        "curves": {},
        "problem": absence.problem,
        "log": log_of(root, run),
    }


def _json(details: dict[str, Any]) -> str:
    return json.dumps(details, indent=1, default=str)


def _numbers(values: np.ndarray) -> tuple[float | int | None, ...]:
    """Rounded to five digits, whole numbers to none; None for what is not finite."""
    return tuple(
        (int(value) if value.is_integer() else float(f"{value:.5g}"))
        if math.isfinite(value)
        else None
        for value in values.tolist()
    )

"""What the page's script draws: all curves, thinned to a bounded size, and what each run was.
NaN and infinities become null."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dormant.records.reading import TrackingRecord, values_at
from dormant.records.results import Absence, Collection, RunResult
from dormant.records.schema import SCHEMA, Measure, Schema
from dormant.report import style
from dormant.report.missing_runs import config_and_details, log_of, which, without_records
from dormant.report.statistics import iqm_curve

# About 7 bytes each: with the library and the configurations of 640 runs the page is under 15 MB.
NUMBERS_OF_A_PAGE = 700_000
POINTS = 400  # at most, of a curve
# Names that plotly gives the dashes and markers of dormant.report.style, in their order.
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")


def page_data(
    collection: Collection, repetitions: int, seed: int, schema: Schema = SCHEMA
) -> dict[str, Any]:
    """The object behind the page: {"looks", "iqm", "quantities", "runs", "texts"}.

    Args:
      collection: what was read.
      repetitions: bootstrap samples of the IQM's intervals.
      seed: of the bootstrap.
      schema: whose measures are drawn.

    Returns:
      "looks": [{method, setting, planned runs of each game, colour, dash, symbol}];
      "quantities": {name: title}; "iqm": for each line its agent steps, values and interval ends;
      "games": those planned and those found; "runs": for each run its labels, curves
      {name: {layer: [P values]}} with their agent and gradient steps, and the numbers of its
      configuration and details in "texts", where equal texts stand once. Planned runs without
      records come last and have no curves.
    """
    shown = collection.runs + collection.partial
    tau = collection.experiment.tau
    charts = _charts(schema)
    points = _points_of_a_curve(shown, charts)
    texts: dict[str, int] = {}
    absences = {which(absence.run): absence for absence in collection.absent}
    planned: dict[style.Line, Counter] = defaultdict(Counter)
    for run in collection.experiment.runs:
        planned[style.Line(run.method, run.setting)][run.game] += 1
    return {
        "looks": [
            {
                **line._asdict(),
                "label": line.label,
                "planned": dict(planned[line]),
                "colour": style.COLOURS[look.colour],
                "dash": DASHES[look.dash],
                "symbol": SYMBOLS[look.marker],
            }
            for line, look in style.lines_of(collection).items()
        ],
        "colours": style.COLOURS,
        "dashes": DASHES,
        "symbols": SYMBOLS,
        "quantities": {
            "return": "return",
            **{name: _title(measures[-1], tau) for name, measures in charts.items()},
        },
        "games": list(
            dict.fromkeys(
                [run.game for run in collection.experiment.runs] + [run.game for run in shown]
            )
        ),
        "iqm": _iqm(collection, repetitions, seed),
        "runs": [
            _run(run, number < len(collection.runs), points, texts, tau, charts)
            | _problem(absences.get(which(run)), collection.folder)
            for number, run in enumerate(shown)
        ]
        + [_without_records(one, collection.folder, texts) for one in without_records(collection)],
        "texts": list(texts),
    }


def script_json(data: Any) -> str:
    """JSON that can stand inside a script element: no "<", ">", "&" and nothing but ASCII.

    Raises:
      ValueError: it holds NaN or an infinity.
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # escapes U+2028 and U+2029
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _iqm(collection: Collection, repetitions: int, seed: int) -> list[dict[str, Any]]:
    found = []
    for line in style.lines_of(collection):
        try:
            steps, intervals = iqm_curve(collection, *line, repetitions=repetitions, seed=seed)
        except ValueError:
            continue  # the figures' notes say why
        values, low, high = zip(*(each[:3] for each in intervals), strict=True)
        found.append({
            **line._asdict(),
            "steps": _numbers(steps),
            "values": _numbers(values),
            "low": _numbers(low),
            "high": _numbers(high),
        })  # fmt: skip
    return found


def _charts(schema: Schema) -> dict[str, list[Measure]]:
    """{quantity: the measures in its chart}, those without layers first."""
    charts: dict[str, list[Measure]] = {}
    for measure in filter(lambda each: each.chart, schema.tracking):
        charts.setdefault(measure.chart, []).append(measure)
    return {
        measures[0].name: sorted(measures, key=lambda each: not each.line)
        for measures in charts.values()
    }


def _title(measure: Measure, tau: float) -> str:
    return f"{measure.chart}, tau = {tau:g}" if "tau" in measure.axes else measure.chart


def _points_of_a_curve(runs: Sequence[RunResult], charts: dict[str, list[Measure]]) -> int:
    curves = sum(1 + _curves_of(run, charts) for run in runs)
    return max(2, min(POINTS, NUMBERS_OF_A_PAGE // max(1, curves)))


def _curves_of(run: RunResult, charts: dict[str, list[Measure]]) -> int:
    if not run.records or not run.records.tracking:
        return 0
    record = run.records.tracking[-1]
    entries = [getattr(record, each.name) for measures in charts.values() for each in measures]
    return 2 + sum(len(entry) if isinstance(entry, dict) else 1 for entry in entries)


def _run(
    run: RunResult,
    whole: bool,
    points: int,
    texts: dict[str, int],
    tau: float,
    charts: dict[str, list[Measure]],
) -> dict[str, Any]:
    details = json.dumps(run.details or {}, indent=1, default=str)
    at = _places(len(run.returns), points)
    curves = {
        "return": {"": _numbers([run.returns[i] for i in at])},
    }
    steps = {"return": {"agent": _numbers([run.agent_steps[i] for i in at])}}
    tracking = run.records.tracking if run.records else ()
    if tracking:
        records = [tracking[i] for i in _places(len(tracking), points)]
        steps["tracking"] = {
            "agent": [record.agent_step for record in records],
            "gradient": [record.gradient_step for record in records],
        }
        curves |= _tracked(records, tau, charts)
    return {
        "method": run.method,
        "setting": run.setting,
        "game": run.game,
        "seed": run.seed,
        "status": run.status,
        "whole": whole,
        "folder": "" if run.folder is None else str(run.folder),
        "command": run.command,
        "config": texts.setdefault(run.config, len(texts)),
        "details": texts.setdefault(details, len(texts)),
        "steps": steps,
        "curves": curves,
    }


def _problem(absence: Absence | None, root: Path | None) -> dict[str, str]:
    if absence is None:
        return {"problem": "", "log": ""}
    return {"problem": absence.problem, "log": log_of(root, absence.run)}


def _without_records(absence: Absence, root: Path | None, texts: dict[str, int]) -> dict[str, Any]:
    run = absence.run
    config, details = config_and_details(root, run)
    details = json.dumps(details, indent=1, default=str)
    folder = root and root / run.folder
    return {
        **dict(zip(("method", "setting", "game", "seed"), which(run), strict=True)),
        "status": absence.status,
        "whole": False,
        "folder": str(folder) if folder and folder.is_dir() else "",
        "command": run.command,
        "config": texts.setdefault(config, len(texts)),
        "details": texts.setdefault(details, len(texts)),
        "steps": {},
        "curves": {},
        **_problem(absence, root),
    }


def _tracked(
    records: Sequence[TrackingRecord], tau: float, charts: dict[str, list[Measure]]
) -> dict[str, dict[str, list]]:
    """{quantity: {layer: values}}, without quantities that have no value."""
    found = {}
    for name, measures in charts.items():
        curves = {}
        for measure in measures:
            values = [values_at(record, measure, tau) for record in records]
            for layer in dict.fromkeys(layer for each in values for layer in each):
                curve = _numbers([each.get(layer) for each in values])
                if any(value is not None for value in curve):
                    curves[layer or measure.line] = curve
        if curves:
            found[name] = curves
    return found


def _places(length: int, points: int) -> list[int]:
    """At most `points` indices, evenly spread, the first and the last among them."""
    if length <= points:
        return list(range(length))
    return np.linspace(0, length - 1, points).round().astype(int).tolist()


def _numbers(values: Sequence[Any]) -> list[float | int | None]:
    """Rounded to five digits, whole numbers without a point; None for what is not finite."""
    return [_number(value) for value in values]


def _number(value: Any) -> float | int | None:
    if value is None or not math.isfinite(value):
        return None
    if float(value).is_integer():
        return int(value)
    return float(f"{value:.5g}")

"""What the page's script draws: all curves, thinned to a bounded size, and what each run was.
NaN and infinities become null."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dormant.records.reading import TrackingRecord, tau_index
from dormant.records.results import Absence, Collection, RunResult
from dormant.report import style
from dormant.report.missing_runs import config_and_details, log_of, which, without_records
from dormant.report.statistics import iqm_curve

POOLED = "all hidden layers"
# About 7 bytes each: with the library and the configurations of 640 runs the page is under 15 MB.
NUMBERS_OF_A_PAGE = 700_000
POINTS = 400  # at most, of a curve
# Names that plotly gives the dashes and markers of dormant.report.style, in their order.
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")

# {entry of a tracking record: its title}. The first ones have a value for each threshold.
OF_THRESHOLDS = {
    "dormant_percent": "dormant neurons (%)",
    "overlap": "overlap with the measurement before",
    "overlap_history": "overlap with all before",
}
OF_LAYERS = {
    "feature_norm": "feature norm",
    "weight_norm": "weight norm",
    "gradient_norm": "gradient norm",
    "effective_rank": "effective rank",
}


def page_data(collection: Collection, repetitions: int, seed: int) -> dict[str, Any]:
    """The object behind the page: {"looks", "iqm", "quantities", "runs", "texts"}.

    Args:
      collection: what was read.
      repetitions: bootstrap samples of the IQM's intervals.
      seed: of the bootstrap.

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
    points = _points_of_a_curve(shown)
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
            **{name: f"{title}, tau = {tau:g}" for name, title in OF_THRESHOLDS.items()},
            **OF_LAYERS,
        },
        "games": list(
            dict.fromkeys(
                [run.game for run in collection.experiment.runs] + [run.game for run in shown]
            )
        ),
        "iqm": _iqm(collection, repetitions, seed),
        "runs": [
            _run(run, number < len(collection.runs), points, texts, tau)
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


def _points_of_a_curve(runs: Sequence[RunResult]) -> int:
    curves = sum(1 + _curves_of(run) for run in runs)
    return max(2, min(POINTS, NUMBERS_OF_A_PAGE // max(1, curves)))


def _curves_of(run: RunResult) -> int:
    if not run.records or not run.records.tracking:
        return 0
    record = run.records.tracking[-1]
    entries = (*OF_THRESHOLDS, *OF_LAYERS)
    return 3 + sum(len(getattr(record, name)) for name in entries)


def _run(
    run: RunResult, whole: bool, points: int, texts: dict[str, int], tau: float
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
        curves |= _tracked(records, tau)
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


def _tracked(records: Sequence[TrackingRecord], tau: float) -> dict[str, dict[str, list]]:
    """{quantity: {layer: values}}, without quantities that have no value."""
    found = {}
    for name in (*OF_THRESHOLDS, *OF_LAYERS):
        layers = dict.fromkeys(layer for record in records for layer in getattr(record, name))
        curves = {layer: _numbers([_value(record, name, layer, tau) for record in records])
                  for layer in layers}  # fmt: skip
        if name == "dormant_percent":
            pooled = [_at_tau(record, record.dormant_percent_pooled, tau) for record in records]
            curves = {POOLED: _numbers(pooled), **curves}
        curves = {
            layer: values
            for layer, values in curves.items()
            if any(value is not None for value in values)
        }
        if curves:
            found[name] = curves
    return found


def _value(record: TrackingRecord, name: str, layer: str, tau: float) -> float | None:
    value = getattr(record, name).get(layer)
    return _at_tau(record, value, tau) if name in OF_THRESHOLDS else value


def _at_tau(
    record: TrackingRecord, values: Sequence[float | None] | None, tau: float
) -> float | None:
    try:
        return values[tau_index(record, tau)] if values else None
    except ValueError:  # not measured at this tau
        return None


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

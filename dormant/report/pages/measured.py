# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The runs that docs/measures.md shows each measure of.

`python -m dormant.report.pages.measured RUNS` prints CSV of the run folders RUNS/<method>/seed_<k>,
a line for each measurement; without RUNS it draws the figures in results/measures."""

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from dormant.measures import CATALOG
from dormant.records.schema import NAMES, SCHEMA
from dormant.report.looks import COLOURS, DASHES
from dormant.report.sources import read_folder

FOLDER = "results/measures"
ASTERIX, CLASSIFIER = "asterix.csv", "classifier.csv"
LAYER = "Dense_1"  # the last hidden one of the network in both
TAU = "tau=0.1"
_PREFIX = "measure_"
_DORMANCY = ("dormant_percent_pooled", "overlap", "overlap_history", "recycled_total")
_COLUMNS = 4  # of panels


class Series(NamedTuple):
    """One column of one run."""

    method: str
    seed: int
    steps: np.ndarray  # (P,) float64, gradient steps
    values: np.ndarray  # (P,) float64; NaN where there is none


def lines(runs: Path) -> Iterator[list[str]]:
    """The lines of the CSV, header first."""
    collection = read_folder(runs)
    measures = [each for each in SCHEMA.tracking if each.name in _DORMANCY]
    measures += [each for each in SCHEMA.tracking if each.name.removeprefix(_PREFIX) in CATALOG]
    rows, columns = [], dict.fromkeys(("method", "seed", "gradient_step"))
    for run in collection.runs:
        for record in run.records.tracking if run.records else ():
            row = {"method": run.method, "seed": run.seed, "gradient_step": record.gradient_step}
            for measure in measures:
                row |= _numbers(measure, getattr(record, measure.name), record.taus)
            columns |= dict.fromkeys(row)
            rows.append(row)
    yield list(columns)
    yield from ([str(row.get(name, "")) for name in columns] for row in rows)


def _numbers(measure, value, taus) -> dict[str, str]:
    """{column: number} of an entry, such as "overlap/tau=0.1/Dense_1"; without what is null."""
    named = value if measure.axes and measure.axes[0] in NAMES else {"": value}
    found = {}
    for layer, number in (named or {}).items():
        each = zip(taus, number, strict=True) if "tau" in measure.axes else [(None, number)]
        for tau, one in each:
            place = "" if tau is None else f"tau={tau:g}"
            name = measure.name.removeprefix(_PREFIX)
            if one is not None:
                found["/".join(filter(None, (name, place, layer)))] = f"{one:.5g}"
    return found


def read(path: Path) -> dict[str, list[Series]]:
    """{column: the series of each run} of such a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for column in [name for name in rows[0] if name not in ("method", "seed", "gradient_step")]:
        points: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for row in rows:
            point = float(row["gradient_step"]), float(row[column] or "nan")
            points.setdefault((row["method"], int(row["seed"])), []).append(point)
        found[column] = [Series(*run, *np.array(each).T) for run, each in points.items()]
    return found


def column_of(name: str, known: Iterable[str]) -> str:
    """A measure's column: of the last hidden layer where it has a number for each."""
    return name if name in known else f"{name}/{LAYER}"


def last(series: Iterable[Series], method: str, part: float = 0.2) -> float:
    """The mean over a method's seeds of the last fifth of their measurements."""
    found = [each.values for each in series if each.method == method]
    return float(np.nanmean([np.nanmean(each[-max(1, int(part * len(each))) :]) for each in found]))


def first(series: Iterable[Series], method: str) -> float:
    """The mean over a method's seeds of the first measurement that has a value."""
    found = [each.values for each in series if each.method == method]
    return float(np.mean([each[np.isfinite(each)][0] for each in found]))


def panels(folder: Path) -> dict[str, dict[str, list[Series]]]:
    """{figure: {title of a panel: its lines}}."""
    game, classifier = read(folder / ASTERIX), read(folder / CLASSIFIER)
    dormancy = {
        "dormant %, tau 0": game["dormant_percent_pooled/tau=0"],
        "dormant %, tau 0.1": game[f"dormant_percent_pooled/{TAU}"],
        "overlap with the one before": game[f"overlap/{TAU}/{LAYER}"],
        "overlap with all before": game[f"overlap_history/{TAU}/{LAYER}"],
    }
    found = {"dormancy": dormancy}
    for group, names in groups().items():
        runs = classifier if names[0] in classifier else game
        found[group] = {name: runs[column_of(name, runs)] for name in names}
    return found


def groups() -> dict[str, list[str]]:
    """{module of `dormant.measures`: its measures}."""
    import dormant.measures as measures  # noqa: PLC0415

    found: dict[str, list[str]] = {}
    for name in CATALOG:
        found.setdefault(getattr(measures, name).__module__.rpartition(".")[2], []).append(name)
    return found


def draw(panels: dict[str, list[Series]], path: Path, across: str = "gradient steps") -> None:
    """Writes a figure as PNG: a thin line for each run, a thick one for the mean of a method.

    Args:
      panels: {title: the lines}.
      path: of the file.
      across: what the lines run over.
    """
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.3 * rows + 0.3), layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, series) in zip(all_axes, panels.items(), strict=False):
        _draw_panel(axes, title, series, across)
    for axes in all_axes[len(panels) :]:
        axes.set_visible(False)
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=72, metadata={"Software": None})


def _draw_panel(axes: Axes, title: str, series: list[Series], across: str) -> None:
    methods = dict.fromkeys(each.method for each in series)
    for method, colour, dash in zip(methods, COLOURS, DASHES.values(), strict=False):
        own = [each for each in series if each.method == method]
        for each in own:
            axes.plot(each.steps, each.values, color=colour, linewidth=0.6, alpha=0.5)
        mean = np.mean([each.values for each in own], axis=0)
        axes.plot(own[0].steps, mean, color=colour, linestyle=dash, label=method)
    axes.set_title(title.replace("_", " "), loc="left", fontsize="medium")
    axes.set_xlabel(across)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)


if __name__ == "__main__":
    if sys.argv[1:]:
        csv.writer(sys.stdout, lineterminator="\n").writerows(lines(Path(sys.argv[1])))
    else:
        for name, of_group in panels(Path(FOLDER)).items():
            draw(of_group, Path(FOLDER) / f"{name}.png")

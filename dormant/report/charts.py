# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The charts of a report as numbers, computed once and drawn twice: as figures and on the page.
Every line is a method under a setting; only whole runs are in it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dormant.records.results import RunResult
from dormant.records.schema import POOLED
from dormant.report.bootstrap import Band, Interval, of_mean_curve
from dormant.report.looks import Line
from dormant.report.measurements import (
    ACCURACY,
    DORMANT_PERCENT,
    OVERLAP,
    RETURN,
    Measure,
    Series,
    titles,
)
from dormant.report.scores import final_score, normalization, normalized
from dormant.report.statistics import Statistics, places, shared_steps, steps_until
from dormant.report.tables import file_name

POINTS = 200  # at most, of a line
NUMBERS_OF_THE_OTHERS = 200_000  # at most, of the lines of measures that have no figure
IQM = "IQM of normalized scores"
LAYERS = "dormancy-layers"
# {measure that has a figure: (the name of its files, its title)}
FIGURES = {
    RETURN: ("returns", "Return of each game"),
    ACCURACY: ("accuracy", "Accuracy of the classifier"),
    DORMANT_PERCENT: ("dormancy", "Dormant neurons"),
    OVERLAP: ("overlap", "Overlap of dormant neurons"),
}
FEW_SEEDS = 3  # fewer are drawn as lines, not as a band
THRESHOLDS = 201
CAP = 95  # percentile of all scores at which an axis with outliers ends
_SHIFT = 0.06  # of the distance between two settings, so that intervals do not hide each other


class Curve(NamedTuple):
    """One line of a chart."""

    steps: np.ndarray  # (P,) float64, rising: where its points are
    values: np.ndarray  # (P,) float64
    # (P,) float64, the ends of the 95 % intervals; NaN where there are none.
    low: np.ndarray
    high: np.ndarray
    # (P,) where `steps` are gradient steps: the agent steps there; else None.
    agent_steps: np.ndarray | None = None
    # Of a mean over fewer than three seeds, their own (P,) values.
    each: tuple[np.ndarray, ...] = ()
    runs: int = 0  # how many it is of
    planned: int = 0  # how many were planned


class Chart(NamedTuple):
    """Panels with lines."""

    name: str  # of its files
    title: str  # what it shows
    across: str  # what its lines run over
    up: str  # what their values are
    panels: dict[str, dict[Line, Curve]]  # {title: its lines}, those without a line left out
    left_out: tuple[str, ...] = ()  # why lines or points are missing, a sentence each
    # What it is the mean of over the seeds; None of an aggregate over games.
    measure: Measure | None = None
    ticks: tuple[str, ...] = ()  # what the whole numbers across mean; () where they are numbers
    apart: bool = False  # whether each panel has one setting


def all_charts(statistics: Statistics) -> list[Chart]:
    """Every chart that applies to the collection, also those in which nothing could be drawn."""
    collection = statistics.collection
    charts = []
    if all(normalization(run.game) for run in collection.experiment.runs):
        if any(run.value is not None for run in collection.runs):
            charts.append(sweep(statistics))
        charts += [sample_efficiency(statistics), profiles(statistics)]
    measured = dict.fromkeys(each for run in collection.runs for each in statistics.series(run))
    main = [measure for measure in FIGURES if measure in measured]
    others = [measure for measure in measured if measure not in main]
    lines = len({run[:4] for run in collection.runs})
    few = NUMBERS_OF_THE_OTHERS // max(1, 3 * lines * len(others))
    for measure in (*main, *others):
        points = POINTS if measure in main else max(2, min(POINTS, few))
        charts.append(of_measure(statistics, measure, points))
    return charts


def sweep(statistics: Statistics) -> Chart:
    """The IQM of normalized scores over the setting's values, a line for each method (figure 10).

    Values stand at equal distances. A point of one seed has no interval.
    """
    collection = statistics.collection
    value_of = {Line(run.method, run.setting): run.value for run in collection.runs}
    values = sorted({value for value in value_of.values() if value is not None})
    found, left_out = _of_each_line(statistics, lambda line: statistics.aggregate(*line))
    points: dict[str, dict[float, Interval]] = {}
    placed = Counter((line.method, value_of[line]) for line in found)
    for line, interval in found.items():
        if (value := value_of[line]) is None:
            continue
        if placed[line.method, value] > 1:
            left_out.append(f"{line.label}: another setting has the value {value:g} too")
            continue
        points.setdefault(line.method, {})[value] = interval
    lines = {}
    for number, (method, of_method) in enumerate(points.items()):
        at = sorted(of_method)
        steps = np.searchsorted(values, at) + _SHIFT * (number - (len(points) - 1) / 2)
        ends = np.array([of_method[value][:3] for value in at], float).T
        lines[Line(method, "")] = Curve(steps, *ends)
    name = collection.experiment.setting_name or "setting"
    panels, ticks = {"all games": lines} if lines else {}, tuple(f"{value:g}" for value in values)
    return Chart("sweep", f"IQM over the {name}", name, IQM, panels, tuple(left_out), ticks=ticks)


def sample_efficiency(statistics: Statistics) -> Chart:
    """The IQM of normalized scores over agent steps."""
    lacking: dict[str, list[str]] = {}
    lines = {}
    found, left_out = _of_each_line(statistics, lambda line: statistics.iqm_curve(*line, POINTS))
    for line, (steps, band, without) in found.items():
        lines[line] = Curve(steps, *band)
        if without:
            lacking.setdefault(without, []).append(line.label)
    for without, labels in lacking.items():
        others = f" (one of {len(labels)} such lines)" if len(labels) > 1 else ""
        reason = f"{without} of {labels[0]}{others}, in which some run has no return"
        left_out.insert(0, reason)
    texts = ("sample-efficiency", "Sample efficiency", "agent steps", IQM)
    return Chart(*texts, {"all games": lines} if lines else {}, tuple(left_out))


def profiles(statistics: Statistics) -> Chart:
    """Performance profiles: the share of runs above each normalized score, a panel a setting.

    The axis ends at the highest score, or, where that is more than twice the 95th percentile of all
    scores, at this percentile or 1, whichever is higher; its label then says so.
    """
    runs = [run for run in statistics.collection.runs if np.isfinite(run.returns).any()]
    scores = [normalized(run.game, [final_score(run)])[0] for run in runs]
    thresholds, beyond = score_thresholds(np.array(scores))
    panels: dict[str, dict[Line, Curve]] = {}
    found, left_out = _of_each_line(
        statistics, lambda line: statistics.performance_profile(*line, thresholds)
    )
    for line, band in found.items():
        panels.setdefault(line.setting, {})[line] = Curve(thresholds, *band)
    texts = ("profiles", "Performance profiles", "normalized score" + beyond)
    return Chart(*texts, "share of runs above it", panels, tuple(left_out), apart=True)


def _of_each_line(
    statistics: Statistics, make: Callable[[Line], Any]
) -> tuple[dict[Line, Any], list[str]]:
    """What make returns of each line, and why others have none."""
    found, left_out = {}, []
    for line in statistics.lines:
        try:
            found[line] = make(line)
        except ValueError as error:
            left_out.append(f"{line.label}: {error}")
    return found, left_out


def of_measure(statistics: Statistics, measure: Measure, points: int) -> Chart:
    """The mean of a measure over the seeds, a panel for each game.

    A figure is over gradient steps, or over agent steps where some run has no others or lines have
    very different numbers of them. Where a run has no value, the mean is over the others, which is
    named. No line has more than so many points.
    """
    collection = statistics.collection
    panels: dict[str, dict[Line, Curve]] = {}
    left_out: list[str] = []

    def measured(runs: Sequence[RunResult]) -> list[Series]:
        of_runs = map(statistics.series, runs)
        return [series[measure] for series in of_runs if measure in series]

    by_gradient = all(each.gradient_steps is not None for each in measured(collection.runs))
    for game in dict.fromkeys(run.game for run in collection.runs):
        for line in statistics.lines:
            runs = statistics.runs(*line, game)
            series = measured(runs)
            if not series:
                continue
            planned = max(len(runs), statistics.planned(*line, game))
            if len(series) < planned:
                left_out.append(
                    f"{game}, {line.label}: {planned - len(series)} of {planned} runs, which are"
                    " not whole or have no such values; its mean is over the others"
                )
            curve, reason = _mean_curve(statistics, series, by_gradient, points)
            if reason:
                left_out.append(f"in {game}, {line.label}, {reason}")
            if curve:
                panels.setdefault(game, {})[line] = curve._replace(planned=planned)
    # Replay ratios that differ would squeeze the lowest into a corner.
    ends = [c.steps[-1] for lines in panels.values() for c in lines.values()] if by_gradient else []
    across = "gradient steps" if ends and max(ends) < 2 * min(ends) else "agent steps"
    up = titles(statistics.schema, collection.experiment.tau)[measure.quantity]
    name, title = FIGURES.get(measure, ("", measure.quantity))
    return Chart(name, title, across, up, panels, tuple(left_out), measure)


def layers_of_games(charts: Sequence[Chart], tau: float) -> list[Chart]:
    """For each game its dormant percentage, a panel for each layer: the same curves again."""
    by_layer = {
        chart.measure.layer: chart
        for chart in charts
        if chart.measure and chart.measure.quantity == DORMANT_PERCENT.quantity
    }
    if len(by_layer) < 2:  # no layers
        return []
    games = dict.fromkeys(game for chart in by_layer.values() for game in chart.panels)
    by_layer[POOLED] = pooled = by_layer.pop(POOLED)  # the last
    return [
        Chart(
            f"{LAYERS}-{number:02d}-{file_name(game)}",
            f"Dormant neurons of each layer, {game}",
            pooled.across,
            f"dormant neurons (%), tau = {tau:g}",
            {name: of.panels[game] for name, of in by_layer.items() if game in of.panels},
        )
        for number, game in enumerate(games)
    ]


def _last_of_each_gradient_step(series: Series) -> Series:
    """Without iterations after which others have as many gradient steps, as before the first."""
    if series.gradient_steps is None:
        return series
    known = np.flatnonzero(np.isfinite(series.gradient_steps))
    last = known[np.diff(series.gradient_steps[known], append=np.inf) > 0]
    agent, gradient, values = series.agent_steps, series.gradient_steps, series.values
    return Series(agent[last], gradient[last], values[last])


def _mean_curve(
    statistics: Statistics, series: Sequence[Series], by_gradient: bool, points: int
) -> tuple[Curve | None, str]:
    """The mean at the steps that all runs reached, and what has to be said of it."""
    if by_gradient:
        series = [_last_of_each_gradient_step(each) for each in series]
    steps_of = [
        each.agent_steps if each.gradient_steps is None or not by_gradient else each.gradient_steps
        for each in series
    ]
    shared = shared_steps(steps_of)
    values = np.array([
        each.values[np.isin(steps, shared)] for each, steps in zip(series, steps_of, strict=True)
    ])  # fmt: skip
    counts = np.isfinite(values).sum(axis=0)
    kept = np.flatnonzero(counts)
    if not kept.size:
        return None, "its runs share no step"
    fewer = int((counts[kept] < len(series)).sum())
    reasons = []
    if lacking := len(steps_until(shared[-1], steps_of)) - len(shared):
        reasons.append(f"{lacking} steps that not all of its runs have")
    if fewer:
        reasons.append(
            f"runs without a value at {fewer} of {len(shared)} steps; the mean there is over the"
            " others"
        )
    kept = kept[places(len(kept), points)]
    steps, values = shared[kept], values[:, kept]
    if len(series) < FEW_SEEDS:
        band = Band(np.nanmean(values, axis=0), *np.full((2, len(kept)), np.nan))
    else:
        band = of_mean_curve(values, statistics.bootstrap)
    each = tuple(values) if 1 < len(series) < FEW_SEEDS else ()
    agent = series[0].agent_steps[np.isin(steps_of[0], steps)] if by_gradient else None
    return Curve(steps, *band, agent, each, len(series)), "; ".join(reasons)


def score_thresholds(scores: np.ndarray) -> tuple[np.ndarray, str]:
    """(T,) float64 from 0, or the lowest score, and what the axis says of scores beyond."""
    if not scores.size:
        return np.linspace(0.0, 1.0, THRESHOLDS), ""
    low, high = min(0.0, scores.min()), max(0.1, scores.max())
    usual = np.percentile(scores, CAP)
    cap = max(1.0, usual)
    if high < 2 * usual or high <= cap:
        return np.linspace(low, 1.02 * high, THRESHOLDS), ""
    beyond = int((scores > cap).sum())
    ends = f", cut at {cap:.3g}\n({beyond} of {scores.size} runs beyond, to {high:.3g})"
    return np.linspace(low, cap, THRESHOLDS), ends

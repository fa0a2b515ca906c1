"""Figures over training: IQM, return of each game, dormant percentage and overlap.
Every line is a method under a setting; only whole runs are drawn."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dormant.evaluation import style
from dormant.evaluation.results import Collection, RunResult
from dormant.evaluation.run_reader import TrackingRecord, tau_index
from dormant.evaluation.seeds import Curve, estimate
from dormant.evaluation.statistics import iqm_curve

POOLED = "all hidden layers"
POINTS = 200  # at most, of a line

# {step: value} of one run; empty where it has none.
Series = Callable[[RunResult], dict[float, float]]


def sample_efficiency_figure(
    collection: Collection,
    path_without_suffix: str | Path,
    *,
    repetitions: int = 2000,
    seed: int = 0,
) -> style.Drawing:
    """Draws the IQM of normalized scores over agent steps with 95 % bands.

    Args:
      collection: whole runs.
      path_without_suffix: the figure's files without ".png" and ".svg".
      repetitions: bootstrap samples of an interval.
      seed: of the bootstrap.

    Raises:
      NothingToDraw: no method has an IQM.
    """
    figure, (axes,) = style.new_figure(1)
    left_out = []
    for line, look in style.lines_of(collection).items():
        try:
            steps, intervals = iqm_curve(collection, *line, repetitions=repetitions, seed=seed)
        except ValueError as error:
            left_out.append(f"{line.label}: {error}")
            continue
        values, low, high = zip(*(each[:3] for each in intervals), strict=True)
        style.draw_line(axes, steps, values, low, high, look, line.label)
    _require_lines(axes, "sample efficiency", left_out)
    style.finish_axes(axes, across="agent steps", up="IQM of normalized scores")
    style.add_legend(figure, [axes])
    return style.save(figure, path_without_suffix, left_out)


def return_figure(collection: Collection, path_without_suffix: str | Path) -> style.Drawing:
    """Draws the mean return over agent steps, a panel for each game.

    Bands are Student's 95 % intervals of the mean over seeds.

    Raises:
      NothingToDraw: no run has a return.
    """
    return _figure_of_games(
        collection, path_without_suffix, _returns, across="agent steps", up="return"
    )


def dormancy_figure(
    collection: Collection, path_without_suffix: str | Path, *, tau: float = 0.1
) -> style.Drawing:
    """Draws the dormant percentage of all hidden neurons over gradient steps, a panel a game.

    Raises:
      NothingToDraw: no run was measured at this tau.
    """
    return _figure_of_games(
        collection,
        path_without_suffix,
        lambda run: _tracked(run, tau, lambda record, at: record.dormant_percent_pooled[at]),
        across="gradient steps",
        up=f"dormant neurons (%), tau = {tau:g}",
    )


def overlap_figure(
    collection: Collection, path_without_suffix: str | Path, *, tau: float = 0.1
) -> style.Drawing:
    """Draws the overlap of the dormant neurons with all earlier ones (figure 5), a panel a game.

    It is that of the penultimate layer, the last hidden one in the records. Measurements at which
    one of the sets was empty have none.

    Raises:
      NothingToDraw: no run has an overlap at this tau.
    """
    return _figure_of_games(
        collection,
        path_without_suffix,
        lambda run: _tracked(run, tau, _penultimate_overlap),
        across="gradient steps",
        up=f"overlap coefficient, tau = {tau:g}",
    )


def layers_figure(
    collection: Collection, game: str, path_without_suffix: str | Path, *, tau: float = 0.1
) -> style.Drawing:
    """Draws the dormant percentage of each layer over gradient steps, a panel a layer, of one game.

    Raises:
      NothingToDraw: no run of this game was measured at this tau.
    """
    runs = [run for run in collection.runs if run.game == game]
    layers = dict.fromkeys(layer for run in runs for layer in layers_of(run))
    panels = {
        layer: (runs, lambda run, layer=layer: _tracked(run, tau, _percent_of(layer)))
        for layer in (*layers, POOLED)
    }
    return _figure(
        collection,
        path_without_suffix,
        panels,
        across="gradient steps",
        up="dormant neurons (%)",
        heading=f"{game}, tau = {tau:g}",
    )


def layers_of(run: RunResult) -> tuple[str, ...]:
    """The hidden layers that a run measured, in the order of the network."""
    tracking = run.records.tracking if run.records else ()
    return tuple(tracking[-1].dormant_percent) if tracking else ()


def _returns(run: RunResult) -> dict[float, float]:
    pairs = zip(run.agent_steps, run.returns, strict=True)
    return {float(step): float(value) for step, value in pairs if np.isfinite(value)}


def _tracked(
    run: RunResult, tau: float, value: Callable[[TrackingRecord, int], float | None]
) -> dict[float, float]:
    found = {}
    for record in run.records.tracking if run.records else ():
        try:
            number = value(record, tau_index(record, tau))
        except (KeyError, ValueError):  # not this layer, or not at this tau
            continue
        if number is not None:
            found[float(record.gradient_step)] = number
    return found


def _penultimate_overlap(record: TrackingRecord, at: int) -> float | None:
    layers = record.overlap_history or record.overlap
    return layers[list(layers)[-1]][at] if layers else None


def _percent_of(layer: str) -> Callable[[TrackingRecord, int], float]:
    if layer == POOLED:
        return lambda record, at: record.dormant_percent_pooled[at]
    return lambda record, at: record.dormant_percent[layer][at]


def _figure_of_games(
    collection: Collection, path_without_suffix: str | Path, series: Series, *, across: str, up: str
) -> style.Drawing:
    games = dict.fromkeys(run.game for run in collection.runs)
    panels = {game: ([r for r in collection.runs if r.game == game], series) for game in games}
    return _figure(collection, path_without_suffix, panels, across=across, up=up)


def _figure(
    collection: Collection,
    path_without_suffix: str | Path,
    panels: dict[str, tuple[Sequence[RunResult], Series]],
    *,
    across: str,
    up: str,
    heading: str = "",
) -> style.Drawing:
    """Panels: {title: (its runs, what is drawn of a run)}; those without a line are dropped."""
    left_out: list[str] = []
    curves = {
        title: _curves(collection, runs, series, title, left_out)
        for title, (runs, series) in panels.items()
    }
    curves = {title: lines for title, lines in curves.items() if lines}
    if not curves:
        raise style.NothingToDraw(_nothing(up), left_out)
    looks = style.lines_of(collection)
    figure, all_axes = style.new_figure(len(curves))
    for (title, lines), axes in zip(curves.items(), all_axes, strict=True):
        for line, curve in lines.items():
            means, low, high = zip(*curve.estimates, strict=True)
            style.draw_line(axes, curve.steps, means, low, high, looks[line], line.label)
        style.finish_axes(axes, across=across, up=up, title=title)
    if heading:
        figure.suptitle(style.plain_text(heading), x=0.01, ha="left", fontsize="medium")
    style.add_legend(figure, all_axes)
    return style.save(figure, path_without_suffix, left_out)


def _curves(
    collection: Collection,
    runs: Sequence[RunResult],
    series: Series,
    title: str,
    left_out: list[str],
) -> dict[style.Line, Curve]:
    found = {}
    for line in style.lines_of(collection):
        of_line = [series(run) for run in runs if (run.method, run.setting) == line]
        with_values = [values for values in of_line if values]
        if not with_values:
            continue
        planned = max(len(of_line), _planned(collection, line, runs))
        if len(with_values) < planned:
            left_out.append(
                f"{title}, {line.label}: {planned - len(with_values)} of {planned} runs, which are"
                " not whole or have no such values; its mean is over the others"
            )
        steps = thinned(sorted(set.intersection(*map(set, with_values))))
        if not steps:
            left_out.append(f"{title}, {line.label}: its runs share no step")
            continue
        estimates = tuple(estimate([values[step] for values in with_values]) for step in steps)
        found[line] = Curve(tuple(steps), estimates)
    return found


def _planned(collection: Collection, line: style.Line, runs: Sequence[RunResult]) -> int:
    games = {run.game for run in runs}
    planned = collection.experiment.runs
    return sum((run.method, run.setting) == line and run.game in games for run in planned)


def thinned(values: Sequence, points: int = POINTS) -> list:
    """At most so many of the values, evenly spread, the first and the last among them."""
    if len(values) <= points:
        return list(values)
    return [values[at] for at in np.linspace(0, len(values) - 1, points).round().astype(int)]


def _require_lines(axes, what: str, left_out: Sequence[str]) -> None:
    if not axes.lines:
        raise style.NothingToDraw(_nothing(what), left_out)


def _nothing(what: str) -> str:
    return f"{what} must be of runs that have it; got none"

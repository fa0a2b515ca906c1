"""Figures over training: IQM, return of each game, dormant percentage and overlap.
Every line is a method under a setting; only whole runs are drawn. Where a panel would have more
than `MOST_LINES` lines, each setting has panels of its own."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dormant.records.reading import TrackingRecord, penultimate_overlap, tau_index
from dormant.records.results import Collection, RunResult
from dormant.report import style
from dormant.report.seeds import Curve, Estimate, estimate
from dormant.report.statistics import iqm_curve, runs_of_each_game

POOLED = "all hidden layers"
POINTS = 200  # at most, of a line

MOST_LINES = 8  # of a panel
COLUMNS = 4  # of panels

# {step: value} of one run, None where it has none at this step.
Series = Callable[[RunResult], dict[float, float | None]]
ANY = (-np.inf, np.inf)


class Quantity(NamedTuple):
    """What a figure shows.

    Attributes:
      across: what its curves run over.
      up: its name.
      within: its lowest and highest possible value.
    """

    across: str
    up: str
    within: tuple[float, float] = ANY


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
    found, left_out = {}, []
    lacking: dict[tuple[int, int], list[str]] = {}
    for line in style.lines_of(collection):
        try:
            steps, intervals = iqm_curve(collection, *line, repetitions=repetitions, seed=seed)
        except ValueError as error:
            left_out.append(f"{line.label}: {error}")
            continue
        found[line] = Curve(tuple(steps), tuple(Estimate(*each[:3]) for each in intervals))
        iterations = _iterations(collection, line)
        if len(steps) < iterations:
            lacking.setdefault((iterations - len(steps), iterations), []).append(line.label)
    for (some, all_of_them), labels in lacking.items():
        others = f" (one of {len(labels)} such lines)" if len(labels) > 1 else ""
        left_out.insert(
            0,
            f"{some} of {all_of_them} iterations of {labels[0]}{others}, in which some run has no"
            " return",
        )
    if not found:
        raise style.NothingToDraw(_nothing("sample efficiency"), left_out)
    quantity = Quantity("agent steps", "IQM of normalized scores")
    if len(found) <= MOST_LINES or not _settings(found):
        figure, panels = style.new_figure(1)
        _draw(panels[0], found, style.lines_of(collection), quantity)
        style.finish_axes(panels[0], across=quantity.across, up=quantity.up)
    else:
        figure, panels = style.new_figure(len(_settings(found)))
        for setting, axes in zip(_settings(found), panels, strict=True):
            _draw_setting(axes, found, setting, collection, quantity)
            style.finish_axes(axes, across=quantity.across, up=quantity.up, title=setting)
        style.share_values(panels)
    style.add_legend(figure, panels)
    return style.save(figure, path_without_suffix, left_out)


def return_figure(collection: Collection, path_without_suffix: str | Path) -> style.Drawing:
    """Draws the mean return over agent steps, a panel for each game.

    Bands are Student's 95 % intervals of the mean over seeds, here and in the figures below. Where
    no episode of a run ended in an iteration, the mean is over the other runs, which is named.

    Raises:
      NothingToDraw: no run has a return.
    """
    quantity = Quantity("agent steps", "return")
    return _figure_of_games(collection, path_without_suffix, _returns, quantity)


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
        Quantity("gradient steps", f"dormant neurons (%), tau = {tau:g}", (0, 100)),
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
        lambda run: _tracked(run, tau, penultimate_overlap),
        Quantity("gradient steps", f"overlap coefficient, tau = {tau:g}", (0, 1)),
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
        Quantity("gradient steps", "dormant neurons (%)", (0, 100)),
        heading=f"{game}, tau = {tau:g}",
    )


def layers_of(run: RunResult) -> tuple[str, ...]:
    """The hidden layers that a run measured, in the order of the network."""
    tracking = run.records.tracking if run.records else ()
    return tuple(tracking[-1].dormant_percent) if tracking else ()


def _returns(run: RunResult) -> dict[float, float | None]:
    pairs = zip(run.agent_steps, run.returns, strict=True)
    return {float(step): float(value) if np.isfinite(value) else None for step, value in pairs}


def _tracked(
    run: RunResult, tau: float, value: Callable[[TrackingRecord, int], float | None]
) -> dict[float, float | None]:
    found = {}
    for record in run.records.tracking if run.records else ():
        try:
            found[float(record.gradient_step)] = value(record, tau_index(record, tau))
        except (KeyError, ValueError):  # not this layer, or not at this tau
            continue
    return found


def _percent_of(layer: str) -> Callable[[TrackingRecord, int], float]:
    if layer == POOLED:
        return lambda record, at: record.dormant_percent_pooled[at]
    return lambda record, at: record.dormant_percent[layer][at]


def _figure_of_games(
    collection: Collection, path_without_suffix: str | Path, series: Series, quantity: Quantity
) -> style.Drawing:
    games = dict.fromkeys(run.game for run in collection.runs)
    panels = {game: ([r for r in collection.runs if r.game == game], series) for game in games}
    return _figure(collection, path_without_suffix, panels, quantity)


def _figure(
    collection: Collection,
    path_without_suffix: str | Path,
    panels: dict[str, tuple[Sequence[RunResult], Series]],
    quantity: Quantity,
    *,
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
        raise style.NothingToDraw(_nothing(quantity.up), left_out)
    drawn = list(dict.fromkeys(line for lines in curves.values() for line in lines))
    if max(map(len, curves.values())) > MOST_LINES and _settings(drawn):
        figure, all_axes = _grid(collection, curves, _settings(drawn), quantity)
    else:
        figure, all_axes = style.new_figure(len(curves))
        looks = style.lines_of(collection)
        for (title, lines), axes in zip(curves.items(), all_axes, strict=True):
            _draw(axes, lines, looks, quantity)
            style.finish_axes(axes, across=quantity.across, up=quantity.up, title=title)
    if heading:
        figure.suptitle(style.plain_text(heading), x=0.01, ha="left", fontsize="medium")
    style.add_legend(figure, all_axes)
    return style.save(figure, path_without_suffix, left_out)


def _grid(
    collection: Collection,
    curves: dict[str, dict[style.Line, Curve]],
    settings: Sequence[str],
    quantity: Quantity,
) -> tuple[Figure, list[Axes]]:
    """A row of panels for each setting; for each title where there are too many for one row.

    Panels of one title share their values, so that its settings can be compared.
    """
    turned = len(curves) > COLUMNS
    names = (list(curves), settings) if turned else (settings, list(curves))
    figure, rows = style.new_grid(*map(len, names))
    of_title: dict[str, list[Axes]] = {}
    for row, row_name in zip(rows, names[0], strict=True):
        for axes, column_name in zip(row, names[1], strict=True):
            title, setting = (row_name, column_name) if turned else (column_name, row_name)
            _draw_setting(axes, curves[title], setting, collection, quantity)
            style.finish_axes(
                axes,
                across=quantity.across if row is rows[-1] else "",
                up=f"{row_name}\n{quantity.up}" if axes is row[0] else "",
                title=column_name if row is rows[0] else "",
            )
            of_title.setdefault(title, []).append(axes)
    for panels in of_title.values():
        style.share_values(panels)
    return figure, [axes for row in rows for axes in row]


def _draw_setting(
    axes: Axes,
    lines: dict[style.Line, Curve],
    setting: str,
    collection: Collection,
    quantity: Quantity,
) -> None:
    """The methods under one setting; a panel without any says so."""
    of_setting = {line: curve for line, curve in lines.items() if line.setting == setting}
    looks = style.methods_looks(collection)
    _draw(axes, of_setting, {line: looks[line.method] for line in of_setting}, quantity, True)
    if not of_setting:
        axes.text(0.5, 0.5, "no whole run", transform=axes.transAxes, ha="center", color="0.4")


def _draw(
    axes: Axes,
    lines: dict[style.Line, Curve],
    looks: dict[style.Line, style.Look],
    quantity: Quantity,
    by_method: bool = False,
) -> None:
    for line, curve in lines.items():
        means, low, high = zip(*curve.estimates, strict=True)
        label = line.method if by_method else line.label
        within = quantity.within
        style.draw_line(axes, curve.steps, means, low, high, looks[line], label, within)


def _settings(lines: Iterable[style.Line]) -> list[str]:
    """The settings of the lines where there are several, else none."""
    settings = list(dict.fromkeys(line.setting for line in lines))
    return settings if len(settings) > 1 else []


def _curves(
    collection: Collection,
    runs: Sequence[RunResult],
    series: Series,
    title: str,
    left_out: list[str],
) -> dict[style.Line, Curve]:
    """The means at the steps that all runs reached, over those that have a value there."""
    found = {}
    for line in style.lines_of(collection):
        of_line = [series(run) for run in runs if (run.method, run.setting) == line]
        with_values = [v for v in of_line if any(value is not None for value in v.values())]
        if not with_values:
            continue
        planned = max(len(of_line), _planned(collection, line, runs))
        if len(with_values) < planned:
            left_out.append(
                f"{title}, {line.label}: {planned - len(with_values)} of {planned} runs, which are"
                " not whole or have no such values; its mean is over the others"
            )
        shared = sorted(set.intersection(*map(set, with_values)))
        values = {
            step: [run[step] for run in with_values if run[step] is not None] for step in shared
        }
        fewer = sum(0 < len(values[step]) < len(with_values) for step in shared)
        if fewer:
            left_out.append(
                f"{title}, {line.label}: runs without a value at {fewer} of {len(shared)} steps;"
                " the mean there is over the others"
            )
        steps = thinned([step for step in shared if values[step]])
        if not steps:
            left_out.append(f"{title}, {line.label}: its runs share no step")
            continue
        found[line] = Curve(tuple(steps), tuple(estimate(values[step]) for step in steps))
    return found


def _iterations(collection: Collection, line: style.Line) -> int:
    """How many iterations all runs have of which a line's IQM is."""
    games = runs_of_each_game(collection, *line)
    return len(set.intersection(*(set(run.agent_steps.tolist()) for runs in games for run in runs)))


def _planned(collection: Collection, line: style.Line, runs: Sequence[RunResult]) -> int:
    games = {run.game for run in runs}
    planned = collection.experiment.runs
    return sum((run.method, run.setting) == line and run.game in games for run in planned)


def thinned(values: Sequence, points: int = POINTS) -> list:
    """At most so many of the values, evenly spread, the first and the last among them."""
    if len(values) <= points:
        return list(values)
    return [values[at] for at in np.linspace(0, len(values) - 1, points).round().astype(int)]


def _nothing(what: str) -> str:
    return f"{what} must be of runs that have it; got none"

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Draws charts with matplotlib as PNG and SVG, without pyplot, so that nothing global changes."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from dormant.report.charts import LAYERS, Chart, Curve
from dormant.report.looks import DASHES, OPEN, SYMBOLS, Look, Looks

MOST_LINES = 8  # of a panel; more are drawn apart by setting
COLUMNS = 4  # of panels
MARKERS_OF_A_LINE = 8
# Text stays text, and the same figure is the same file: ids by a fixed salt, no date.
_SVG: Any = {"svg.fonttype": "none", "svg.hashsalt": "dormant"}


def draw(chart: Chart, looks: Looks, folder: Path) -> list[Path]:
    """Writes a chart with at least one line as PNG and SVG, and returns their paths.

    The same chart gives the same bytes.
    Where a panel would have more than eight lines, each setting has a row of panels of its own
    (each panel has a row where there are more than four), with one vertical axis for all settings.

    Raises:
      OSError: the folder does not exist or cannot be written.
    """
    figure = new_figure(chart, looks)
    if engine := figure.get_layout_engine():
        engine.execute(figure)  # once, not for each file
    figure.set_layout_engine("none")
    paths = [folder / f"{chart.name}.{suffix}" for suffix in ("png", "svg")]
    figure.savefig(paths[0], dpi=150)
    with matplotlib.rc_context(_SVG):
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def new_figure(chart: Chart, looks: Looks) -> Figure:
    """The figure that `draw` writes."""
    titles = list(chart.panels)
    settings = list(dict.fromkeys(line.setting for of in chart.panels.values() for line in of))
    crowded = max(map(len, chart.panels.values())) > MOST_LINES
    split = crowded and len(settings) > 1 and not chart.apart
    turned = len(titles) > COLUMNS or len(titles) == 1
    # Each panel: whose lines it has, of which setting; None for all.
    rows: list[list[tuple[str, str | None]]]
    if not split:
        rows = [
            [(title, None) for title in titles[start : start + COLUMNS]]
            for start in range(0, len(titles), COLUMNS)
        ]
    elif turned:
        rows = [[(title, setting) for setting in settings] for title in titles]
    else:
        rows = [[(title, setting) for title in titles] for setting in settings]
    columns = len(rows[0])
    width = 7.5 if columns == 1 else 3.4 * columns + 0.6
    height = 4.4 if len(rows) == columns == 1 else 2.9 * len(rows) + 0.9
    figure = Figure(figsize=(width, height), layout="constrained")
    drawn: dict[str, list[Axes]] = {title: [] for title in titles}
    for row, all_axes in zip(rows, figure.subplots(len(rows), columns, squeeze=False), strict=True):
        for axes in all_axes[len(row) :]:
            axes.set_visible(False)
        for (title, setting), axes in zip(row, all_axes, strict=False):
            apart = chart.apart or setting is not None
            lines = [
                (line.method if apart else line.label, looks.of(line, apart), curve)
                for line, curve in chart.panels[title].items()
                if setting in (None, line.setting)
            ]
            # That it is of all games need not be said.
            name = "" if len(titles) == 1 and chart.measure is None and not chart.apart else title
            above, across, up = name, chart.across, chart.up
            if setting is not None:
                above, beside = (setting, name) if turned else (name, setting)
                above = above if row is rows[0] else ""
                across = across if row is rows[-1] else ""
                up = "\n".join(filter(None, (beside, up))) if axes is all_axes[0] else ""
            _draw_panel(axes, chart, lines, (above, across, up))
            drawn[title].append(axes)
    for first, *others in drawn.values() if split else ():  # one vertical axis, for all of them
        for axes in others:
            axes.sharey(first)
        first.autoscale(axis="y")
    if chart.name.startswith(LAYERS):
        figure.suptitle(_plain(chart.title), x=0.01, ha="left", fontsize="medium")
    _add_legend(figure, [axes for panels in drawn.values() for axes in panels])
    return figure


def _draw_panel(
    axes: Axes, chart: Chart, lines: list[tuple[str, Look, Curve]], texts: tuple[str, str, str]
) -> None:
    """Lines with their labels; texts are the title and what is written across and up."""
    title, across, up = map(_plain, texts)
    for label, look, curve in lines:
        if chart.across == "agent steps" and curve.agent_steps is not None:
            curve = curve._replace(steps=curve.agent_steps)
        _draw_line(axes, curve, look, label, bars=bool(chart.ticks))
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_title(title, loc="left", fontsize="medium")
    if chart.ticks:
        axes.set_xticks(range(len(chart.ticks)), chart.ticks)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    else:
        axes.margins(x=0)  # the axis ends where the data do
    if chart.across.endswith(" steps"):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    if lines:
        axes.grid(axis="y", color="0.9", linewidth=0.8)
    else:
        axes.text(0.5, 0.5, "no whole run", transform=axes.transAxes, ha="center", color="0.4")
        # Ticks around 0 would be read as agent steps.
        axes.tick_params(bottom=False, left=False, labelbottom=False, labelleft=False)


def _draw_line(axes: Axes, curve: Curve, look: Look, label: str, bars: bool) -> None:
    """A line; with its intervals as a band or bars, or the runs themselves where they are few."""
    is_open = look.symbol.endswith(OPEN)
    axes.plot(
        curve.steps,
        curve.values,
        color=look.colour,
        linestyle=DASHES[look.dash],
        marker=SYMBOLS[look.symbol.removesuffix(OPEN)],
        markerfacecolor="white" if is_open else look.colour,
        markersize=4.5,
        markevery=max(1, len(curve.steps) // MARKERS_OF_A_LINE),
        linewidth=1.8,
        label=_plain(label),
    )
    for values in curve.each:
        axes.plot(curve.steps, values, color=look.colour, linewidth=0.8, alpha=0.5)
    if not np.isfinite(curve.low).any():
        return
    if bars:
        axes.vlines(curve.steps, curve.low, curve.high, color=look.colour)
    else:
        axes.fill_between(
            curve.steps, curve.low, curve.high, color=look.colour, alpha=0.15, linewidth=0
        )


def _plain(text: str) -> str:
    """The text as it stands: matplotlib would take what is between two $ for a formula."""
    return text.replace("$", r"\$")


def _add_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend under all panels, each label once."""
    found: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    inches = 0.9 + 0.07 * max(map(len, found))  # of an entry: its line and about its letters
    columns = max(1, min(4, int(figure.get_figwidth() / inches)))
    # A few rows fit what a figure has; each further one makes it higher.
    further = max(0, math.ceil(len(found) / columns) - 3)
    figure.set_figheight(figure.get_figheight() + 0.21 * further)
    figure.legend(
        list(found.values()),
        list(found),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        handlelength=3,
    )

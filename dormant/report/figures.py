"""Draws charts with matplotlib as PNG and SVG, without pyplot, so that nothing global changes."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dormant.report.charts import LAYERS, Chart, Curve
from dormant.report.looks import DASHES, OPEN, SYMBOLS, Look, Looks

MOST_LINES = 8  # of a panel; more are drawn apart by setting
COLUMNS = 4  # of panels
MARKERS_OF_A_LINE = 8
# Text stays text, and the same figure is the same file: ids by a fixed salt, no date.
_SVG = {"svg.fonttype": "none", "svg.hashsalt": "dormant"}


class Panel(NamedTuple):
    """One panel of a figure: {label: how its line looks, and its curve}, and what is written."""

    lines: dict[str, tuple[Look, Curve]]
    across: str
    up: str
    title: str


def draw(chart: Chart, looks: Looks, folder: Path) -> list[Path]:
    """Writes a chart with at least one line as PNG and SVG; the same chart gives the same bytes.

    Where a panel would have more than eight lines, each setting has a row of panels of its own
    (each panel has a row where there are more than four), with one vertical axis for all settings.

    Returns:
      The paths written.

    Raises:
      OSError: the folder does not exist or cannot be written.
    """
    figure = new_figure(chart, looks)
    paths = [folder / f"{chart.name}.{suffix}" for suffix in ("png", "svg")]
    figure.savefig(paths[0], dpi=150)
    with matplotlib.rc_context(_SVG):
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def new_figure(chart: Chart, looks: Looks) -> Figure:
    """The figure that `draw` writes."""
    settings = list(dict.fromkeys(line.setting for of in chart.panels.values() for line in of))
    crowded = max(map(len, chart.panels.values())) > MOST_LINES
    if crowded and len(settings) > 1 and not chart.apart:
        rows = _by_setting(chart, looks, settings)
        shared = [list(of) for of in zip(*rows, strict=True)]
        if len(chart.panels) > COLUMNS or len(chart.panels) == 1:
            shared = rows
    else:
        panels = _panels(chart, looks)
        columns = min(COLUMNS, len(panels))
        rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
        shared = []
    figure = Figure(figsize=_size(rows), layout="constrained")
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    axes_of = {}
    for row, all_axes in zip(rows, grid, strict=True):
        for axes in all_axes[len(row) :]:
            axes.set_visible(False)
        for panel, axes in zip(row, all_axes, strict=False):
            _draw_panel(axes, panel, chart)
            axes_of[id(panel)] = axes
    for panels in shared:
        _share_values([axes_of[id(panel)] for panel in panels])
    if chart.name.startswith(LAYERS):
        figure.suptitle(_plain(chart.title), x=0.01, ha="left", fontsize="medium")
    _add_legend(figure, list(axes_of.values()))
    return figure


def _panels(chart: Chart, looks: Looks) -> list[Panel]:
    only = len(chart.panels) == 1 and not chart.apart
    return [
        Panel(
            {
                line.method if chart.apart else line.label: (looks.of(line, chart.apart), curve)
                for line, curve in lines.items()
            },
            chart.across,
            chart.up,
            "" if only and chart.measure is None else title,
        )
        for title, lines in chart.panels.items()
    ]


def _by_setting(chart: Chart, looks: Looks, settings: Sequence[str]) -> list[list[Panel]]:
    """Panels of one setting each: settings down, or across where panels are many or one."""
    titles = list(chart.panels)
    turned = len(titles) > COLUMNS or len(titles) == 1
    names = (titles, settings) if turned else (settings, titles)
    rows = []
    for row_name in names[0]:
        row = []
        for column_name in names[1]:
            title, setting = (row_name, column_name) if turned else (column_name, row_name)
            lines = {
                line.method: (looks.of(line, True), curve)
                for line, curve in chart.panels[title].items()
                if line.setting == setting
            }
            first = column_name == names[1][0]
            label = "" if len(titles) == 1 else f"{row_name}\n"
            row.append(
                Panel(
                    lines,
                    chart.across if row_name == names[0][-1] else "",
                    f"{label}{chart.up}" if first else "",
                    column_name if row_name == names[0][0] else "",
                )
            )
        rows.append(row)
    return rows


def _size(rows: Sequence[Sequence[Panel]]) -> tuple[float, float]:
    """Inches."""
    columns = len(rows[0])
    width = 7.5 if columns == 1 else 3.4 * columns + 0.6
    return width, 4.4 if len(rows) == columns == 1 else 2.9 * len(rows) + 0.9


def _draw_panel(axes: Axes, panel: Panel, chart: Chart) -> None:
    for label, (look, curve) in panel.lines.items():
        _draw_line(axes, curve, look, label, bars=bool(chart.ticks))
    if not panel.lines:
        axes.text(0.5, 0.5, "no whole run", transform=axes.transAxes, ha="center", color="0.4")
    axes.set_xlabel(_plain(panel.across))
    axes.set_ylabel(_plain(panel.up))
    axes.set_title(_plain(panel.title), loc="left", fontsize="medium")
    if chart.ticks:
        axes.set_xticks(range(len(chart.ticks)), chart.ticks)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    else:
        axes.margins(x=0)  # the axis ends where the data do
    if chart.across.endswith(" steps"):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.xaxis.set_major_formatter(FuncFormatter(_short_number))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


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


def _share_values(panels: Sequence[Axes]) -> None:
    """Gives drawn panels one vertical axis, wide enough for all of them."""
    for axes in panels[1:]:
        axes.sharey(panels[0])
    panels[0].autoscale(axis="y")


def _plain(text: str) -> str:
    """The text as it stands: matplotlib would take what is between two $ for a formula."""
    return text.replace("$", r"\$")


def _short_number(value: float, _: int) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _add_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend under all panels, each label once."""
    found = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    inches = 0.75 + 0.07 * max(map(len, found))  # of an entry: its line and about its letters
    columns = max(1, min(4, int(figure.get_figwidth() / inches)))
    figure.legend(
        found.values(), found.keys(), loc="outside lower center", ncols=columns, frameon=False
    )

"""How every figure looks: which colour, dash and marker a line has, how axes look, what is written.
Colours are Okabe and Ito's; dashes and markers tell the lines apart in grey."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dormant.records.results import Collection
from dormant.report.plots import COLOURS, DASHES, MARKERS

MARKERS_OF_A_LINE = 8
# Text stays text, and the same figure is the same file: ids by a fixed salt, no date.
_SVG = {"svg.fonttype": "none", "svg.hashsalt": "dormant"}


class NothingToDraw(ValueError):
    """A figure was asked for of which the collection holds no point.

    Attributes:
      what: what the figure must be of.
      left_out: why each of its lines or points is none, a sentence each.
    """

    def __init__(self, what: str, left_out: Sequence[str] = ()):
        super().__init__("; ".join([what, *left_out]))
        self.what, self.left_out = what, tuple(left_out)


class Line(NamedTuple):
    """Whose values a line has.

    Attributes:
      method: as in `RunResult`.
      setting: the same.
    """

    method: str
    setting: str

    @property
    def label(self) -> str:
        """What the legend calls it."""
        return f"{self.method}, {self.setting}" if self.setting else self.method


class Look(NamedTuple):
    """How a line is drawn: one of COLOURS, of DASHES and of MARKERS, by its place in them."""

    colour: int
    dash: int
    marker: int

    def style(self) -> dict[str, Any]:
        """The arguments of `Axes.plot`."""
        return {
            "color": COLOURS[self.colour],
            "linestyle": DASHES[self.dash],
            "marker": MARKERS[self.marker],
            "markersize": 4.5,
            "linewidth": 1.8,
        }


class Drawing(NamedTuple):
    """A figure that was written.

    Attributes:
      png: its file.
      svg: the same figure as vectors, its text as text.
      left_out: a sentence for each line or point that could not be drawn.
    """

    png: Path
    svg: Path
    left_out: tuple[str, ...]


def methods_of(collection: Collection) -> tuple[str, ...]:
    """All methods in the order of the plan, also those that have no run yet."""
    planned = [run.method for run in collection.experiment.runs]
    return tuple(dict.fromkeys(planned + [run.method for run in _shown(collection)]))


def settings_of(collection: Collection) -> tuple[str, ...]:
    """All settings in the order of the plan."""
    planned = [run.setting for run in collection.experiment.runs]
    return tuple(dict.fromkeys(planned + [run.setting for run in _shown(collection)]))


def games_of(collection: Collection) -> tuple[str, ...]:
    """All games of which there are records, in the order of the plan."""
    return tuple(dict.fromkeys(run.game for run in _shown(collection)))


def lines_of(collection: Collection) -> dict[Line, Look]:
    """How the line of each method and setting looks where settings share a panel.

    A method has a colour, a setting a dash, and each pair of them a marker. Colours go round after
    six methods and dashes after four settings; the markers then tell the lines apart. Where there
    is one setting the lines look as `methods_looks` says.
    """
    methods, settings = methods_of(collection), settings_of(collection)
    planned = [(run.method, run.setting) for run in collection.experiment.runs]
    pairs = dict.fromkeys(planned + [(run.method, run.setting) for run in _shown(collection)])
    if len(settings) == 1:
        return {Line(*pair): _look(methods.index(pair[0])) for pair in pairs}
    return {
        Line(method, setting): _look(methods.index(method), settings.index(setting), len(methods))
        for method, setting in pairs
    }


def methods_looks(collection: Collection) -> dict[str, Look]:
    """How each method looks where no panel has two settings: its dash and marker follow it too."""
    return {method: _look(number) for number, method in enumerate(methods_of(collection))}


def _look(method: int, setting: int | None = None, methods: int = 1) -> Look:
    """Without a setting the method decides everything."""
    if setting is None:
        return Look(method % len(COLOURS), method % len(DASHES), method % len(MARKERS))
    marker = (method + methods * setting) % len(MARKERS)
    return Look(method % len(COLOURS), setting % len(DASHES), marker)


def _shown(collection: Collection) -> tuple[Any, ...]:
    return collection.runs + collection.partial


def new_figure(panels: int, columns: int = 4) -> tuple[Figure, list[Axes]]:
    """A figure without pyplot, with panels beside and under each other."""
    columns = min(columns, panels)
    rows = -(-panels // columns)
    width = 7.5 if columns == 1 else 3.4 * columns + 0.6
    figure = Figure(figsize=(width, 4.4 if rows == columns == 1 else 2.9 * rows + 0.9))
    figure.set_layout_engine("constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in axes[panels:]:
        unused.set_visible(False)
    return figure, axes[:panels]


def new_grid(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    """A figure with so many rows and columns of panels."""
    figure = Figure(figsize=(3.4 * columns + 0.6, 2.5 * rows + 0.9))
    figure.set_layout_engine("constrained")
    return figure, figure.subplots(rows, columns, squeeze=False).tolist()


def share_values(panels: Sequence[Axes]) -> None:
    """Gives drawn panels one vertical axis, wide enough for all of them."""
    for axes in panels[1:]:
        axes.sharey(panels[0])
    panels[0].autoscale(axis="y")


def plain_text(text: str) -> str:
    """The text as it stands: matplotlib would take what is between two $ for a formula."""
    return text.replace("$", r"\$")


def draw_line(
    axes: Axes,
    steps: Sequence[float],
    values: Sequence[float],
    low: Sequence[float | None],
    high: Sequence[float | None],
    look: Look,
    label: str,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> None:
    """Draws a line, and the band between low and high where they are not None.

    Args:
      axes: the panel.
      steps: P numbers, rising.
      values: P numbers.
      low: P lower ends of the intervals.
      high: P upper ends.
      look: of the line.
      label: its name in the legend.
      within: the lowest and highest value that the quantity can have; the band stays within them.
    """
    every = max(1, len(steps) // MARKERS_OF_A_LINE)
    axes.plot(steps, values, markevery=every, label=plain_text(label), **look.style())
    if any(end is not None for end in low):
        low, high = (np.clip(np.array(ends, float), *within) for ends in (low, high))
        axes.fill_between(steps, low, high, color=COLOURS[look.colour], alpha=0.15, linewidth=0)


def finish_axes(axes: Axes, *, across: str, up: str, title: str = "", steps: bool = True) -> None:
    """Labels a panel; `steps` says that it runs over whole numbers of steps."""
    axes.set_xlabel(across)
    axes.set_ylabel(plain_text(up))
    axes.set_title(plain_text(title), loc="left", fontsize="medium")
    if steps:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.xaxis.set_major_formatter(FuncFormatter(_short_number))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def _short_number(value: float, _: int) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def add_legend(figure: Figure, axes: Sequence[Axes]) -> None:
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


def save(figure: Figure, path_without_suffix: str | Path, left_out: Sequence[str] = ()) -> Drawing:
    """Writes PATH.png and PATH.svg; the same figure gives the same bytes.

    Raises:
      OSError: the folder does not exist or cannot be written.
    """
    stem = Path(path_without_suffix)
    png, svg = (stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg"))
    figure.savefig(png, dpi=150)
    with matplotlib.rc_context(_SVG):
        figure.savefig(svg, metadata={"Date": None})
    return Drawing(png, svg, tuple(left_out))

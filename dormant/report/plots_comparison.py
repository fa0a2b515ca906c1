"""The figure of several settings: return and dormant percentage over agent steps, side by side."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dormant.report.comparison import Setting
from dormant.report.plots import COLOURS, DASHES, MARKERS
from dormant.report.seeds import Curve, dormancy_curve_of_seeds, return_curve


def comparison_figure(
    settings: Sequence[Setting], path: str | Path, *, tau: float = 0.1, title: str = ""
) -> Path:
    """Draws two panels, mean return and dormant percentage, a line for each setting.

    Lines are means over the seeds, bands their 95 % intervals. A method has a colour, a replay
    ratio a dash.

    Args:
      settings: as `comparison_table` takes them.
      path: the image to write; the ending chooses the format (.png, .pdf, .svg).
      tau: the threshold of the dormant percentage.
      title: of the figure.

    Returns:
      The path written.

    Raises:
      ValueError: dormancy was not measured at this tau.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    methods = list(dict.fromkeys(setting.method for setting in settings))
    ratios = sorted({setting.replay_ratio for setting in settings})
    for setting in settings:
        method, ratio = methods.index(setting.method), ratios.index(setting.replay_ratio)
        style = {
            "color": COLOURS[method % len(COLOURS)],
            "linestyle": DASHES[ratio % len(DASHES)],
            "marker": MARKERS[(method + len(methods) * ratio) % len(MARKERS)],
            "label": f"{setting.method}, replay ratio {setting.replay_ratio:g}",
        }
        _draw(left, return_curve(setting.runs), style)
        _draw(right, dormancy_curve_of_seeds(setting.runs, tau), style)
    left.set_ylabel("training return")
    right.set_ylabel(f"dormant neurons (%), tau = {tau:g}")
    for axes in (left, right):
        axes.set_xlabel("agent steps")
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
    figure.suptitle(title, x=0.01, ha="left")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    path = Path(path)
    figure.savefig(path, dpi=150)
    return path


def _draw(axes: Axes, curve: Curve, style: dict) -> None:
    means = [point.mean for point in curve.estimates]
    every = max(1, len(curve.steps) // 10)
    axes.plot(curve.steps, means, linewidth=1.8, markersize=4.5, markevery=every, **style)
    if all(point.low is not None for point in curve.estimates):
        low = [point.low for point in curve.estimates]
        high = [point.high for point in curve.estimates]
        axes.fill_between(curve.steps, low, high, color=style["color"], alpha=0.13, linewidth=0)

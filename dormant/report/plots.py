"""Figures of one run.
Figures are built without pyplot, so nothing global changes and no display is needed."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dormant.records.reading import Run, recycled_since, tau_index

# Okabe and Ito's colours, told apart by colour-blind readers too; dashes and markers tell the
# lines apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("solid", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
RECYCLING_COLOUR = "#8A8A8A"
FULL_HEIGHT_MOMENTS = 40


def dormancy_curve(run: Run, path: str | Path, *, tau: float = 0.1, title: str = "") -> Path:
    """Draws the dormant percentage over gradient steps, per layer and pooled, into an image file.

    The pooled curve is thick. Grey lines mark the measurements by which neurons had been recycled
    since the measurement before; the legend gives their number over the run.

    Args:
      run: what `read_run` returned.
      path: the image to write; the ending chooses the format (.png, .pdf, .svg).
      tau: the threshold, one that the run measured.
      title: of the figure; empty for a title that states tau only.

    Returns:
      The path written.

    Raises:
      ValueError: the run has no measurements of dormancy, or none at this tau.
    """
    if not run.tracking:
        raise ValueError(f"run must hold measurements of dormancy, received none in {run.path}")
    index = tau_index(run.tracking[0], tau)
    steps = [record.gradient_step for record in run.tracking]

    layers = tuple(run.tracking[-1].dormant_percent)
    height = max(4.5, 0.27 * (len(layers) + 3))  # inches; the legend has a line per layer
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.add_subplot()
    _mark_recycling(axes, run, steps)
    for number, layer in enumerate(layers):
        _draw_layer(axes, number, layer, steps, run, index)
    pooled = [record.dormant_percent_pooled[index] for record in run.tracking]
    axes.plot(
        steps, pooled, color="black", linewidth=3.2, marker=".", label="all hidden layers", zorder=4
    )

    axes.set_title(title or f"Dormant neurons, tau = {tau:g}", loc="left")
    axes.set_xlabel("gradient steps")
    axes.set_ylabel("dormant neurons (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    top = max(1.0, axes.get_ylim()[1])
    axes.set_ylim(-0.02 * top, top)  # room for lines that lie on 0
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False)

    path = Path(path)
    figure.savefig(path, dpi=150)
    return path


def _draw_layer(
    axes: Axes, number: int, layer: str, steps: Sequence[int], run: Run, index: int
) -> None:
    percents = [record.dormant_percent[layer][index] for record in run.tracking]
    axes.plot(
        steps,
        percents,
        color=COLOURS[number % len(COLOURS)],
        linestyle=DASHES[number % len(DASHES)],
        marker=MARKERS[number % len(MARKERS)],
        markersize=4.5,
        markevery=max(1, len(steps) // 12),
        linewidth=1.6,
        label=layer,
        zorder=3,
    )


def _mark_recycling(axes: Axes, run: Run, steps: Sequence[int]) -> None:
    counts = recycled_since(run)
    moments = [step for step, count in zip(steps, counts, strict=True) if count > 0]
    height = 1.0 if len(moments) <= FULL_HEIGHT_MOMENTS else 0.04  # else marks on the lower edge
    for number, moment in enumerate(moments):
        axes.axvline(
            moment,
            ymax=height,
            color=RECYCLING_COLOUR,
            linewidth=0.8,
            alpha=0.6,
            zorder=1,
            label=f"neurons recycled ({sum(counts):,})" if number == 0 else None,
        )

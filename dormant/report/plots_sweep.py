"""The figure of a sweep: a setting's value, such as the replay ratio, against IQM (figure 10)."""

from pathlib import Path

from dormant.records.results import Collection
from dormant.report import style
from dormant.report.statistics import aggregate

_SHIFT = 0.06  # of the distance between two values, so that intervals do not hide each other


def sweep_figure(
    collection: Collection,
    path_without_suffix: str | Path,
    *,
    repetitions: int = 2000,
    seed: int = 0,
) -> style.Drawing:
    """Draws the IQM of normalized scores over the setting's values, a line for each method.

    Values stand at equal distances. Bars are the 95 % intervals of `statistics.aggregate`; a point
    of one seed has none. A point of which runs are missing is not drawn but named in the result.

    Args:
      collection: runs whose settings have numbers.
      path_without_suffix: the figure's files without ".png" and ".svg".
      repetitions: bootstrap samples of an interval.
      seed: of the bootstrap.

    Raises:
      NothingToDraw: no setting has a number, or no point has an IQM.
    """
    values = sorted({run.value for run in collection.runs if run.value is not None})
    points, left_out = _points(collection, repetitions, seed)
    if not points:
        raise style.NothingToDraw(
            "a sweep must have settings with a number and an IQM; got none", left_out
        )
    methods = [method for method in style.methods_of(collection) if method in points]
    looks = style.methods_looks(collection)
    figure, (axes,) = style.new_figure(1)
    for number, method in enumerate(methods):
        shift = _SHIFT * (number - (len(methods) - 1) / 2)
        _draw(axes, points[method], values, shift, looks[method], method)
    axes.set_xticks(range(len(values)), [f"{value:g}" for value in values])
    name = collection.experiment.setting_name or "setting"
    style.finish_axes(
        axes, across=style.plain_text(name), up="IQM of normalized scores", steps=False
    )
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    style.add_legend(figure, [axes])
    return style.save(figure, path_without_suffix, left_out)


def _points(collection: Collection, repetitions: int, seed: int) -> tuple[dict, list[str]]:
    """{method: {value: Interval}}, and why other points are missing."""
    cells = {(run.method, run.setting): run.value for run in collection.runs}
    points, left_out = {}, []
    for (method, setting), value in cells.items():
        if value is None:
            continue
        try:
            interval = aggregate(
                collection, method, setting, metric="iqm", repetitions=repetitions, seed=seed
            )
        except ValueError as error:
            left_out.append(f"{style.Line(method, setting).label}: {error}")
            continue
        points.setdefault(method, {})[value] = interval
    return points, left_out


def _draw(axes, points, values, shift: float, look: style.Look, method: str) -> None:
    drawn = [(values.index(value) + shift, points[value]) for value in sorted(points)]
    across = [place for place, _ in drawn]
    up = [interval.value for _, interval in drawn]
    axes.plot(across, up, label=style.plain_text(method), **look.style())
    for place, interval in drawn:
        if interval.low is not None:
            axes.vlines(place, interval.low, interval.high, color=style.COLOURS[look.colour])

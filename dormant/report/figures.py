"""Which figures a report has. One for which the runs hold nothing is left out, with the reason."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dormant.records.results import Collection
from dormant.report import style
from dormant.report.plots_curves import (
    dormancy_figure,
    layers_figure,
    overlap_figure,
    return_figure,
    sample_efficiency_figure,
)
from dormant.report.plots_profile import profile_figure
from dormant.report.plots_sweep import sweep_figure
from dormant.report.tables import abridged

LAYERS = "dormancy-layers"
OF_BOOTSTRAP = ("sweep", "sample-efficiency", "profiles")
BOOTSTRAP = "Bars and bands: 95 % stratified bootstrap intervals."
STUDENT = (
    "Bands: Student's 95 % intervals of the mean over seeds, cut where the quantity's range ends."
)


class ReportFigure(NamedTuple):
    """A figure of the report.

    Attributes:
      title: what it shows.
      drawing: its files.
      bands: what its bands are.
      on_page: whether the page shows it; the page's curves have the layers of each game.
    """

    title: str
    drawing: style.Drawing
    bands: str
    on_page: bool


def draw_figures(
    collection: Collection, folder: Path, repetitions: int, seed: int
) -> tuple[list[ReportFigure], list[str]]:
    """Draws all figures into a folder; returns them and a note for each that was left out.

    Args:
      collection: what was read.
      folder: an existing folder.
      repetitions: bootstrap samples of an interval.
      seed: of the bootstrap.
    """
    bootstrap = {"repetitions": repetitions, "seed": seed}
    tau = collection.experiment.tau
    wanted: list[tuple[str, str, Callable]] = [
        ("IQM over the setting", "sweep", partial(sweep_figure, **bootstrap)),
        (
            "Sample efficiency",
            "sample-efficiency",
            partial(sample_efficiency_figure, **bootstrap),
        ),
        ("Performance profiles", "profiles", partial(profile_figure, **bootstrap)),
        ("Return of each game", "returns", return_figure),
        ("Dormant neurons", "dormancy", partial(dormancy_figure, tau=tau)),
        ("Overlap of dormant neurons", "overlap", partial(overlap_figure, tau=tau)),
    ]
    for number, game in enumerate(dict.fromkeys(run.game for run in collection.runs)):
        name = f"{LAYERS}-{number:02d}-{file_name(game)}"
        draw = partial(_layers, game, tau)
        wanted.append((f"Dormant neurons of each layer, {game}", name, draw))
    figures, notes = [], []
    for title, name, draw in wanted:
        try:
            drawing = draw(collection, folder / name)
        except style.NothingToDraw as reason:
            # Without dormancy no game has layers: one line says so for all.
            title = title.partition(", ")[0] if name.startswith(LAYERS) else title
            notes.append(
                f"no figure {title!r}: {_joined([reason.what, *abridged(reason.left_out)])}"
            )
            continue
        bands = BOOTSTRAP if name in OF_BOOTSTRAP else STUDENT
        on_page = not name.startswith(LAYERS)
        figures.append(ReportFigure(title, drawing, bands, on_page))
        if drawing.left_out:
            notes.append(f"figure {title!r} leaves out {_joined(abridged(drawing.left_out))}")
    return figures, list(dict.fromkeys(notes))


def _joined(reasons: Sequence[str]) -> str:
    return "; ".join(reasons)


def _layers(game: str, tau: float, collection: Collection, path: Path) -> style.Drawing:
    return layers_figure(collection, game, path, tau=tau)


def file_name(text: str) -> str:
    """The text with letters, digits, "-" and "_" only, of at most 60 characters."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:60] or "unnamed"

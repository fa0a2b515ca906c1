# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A map of where dormant neurons come from and where ReDo holds them: figure 11 of the paper on
MinAtar, over learning rates and replay ratios.

`python -m dormant.report.pages.rates` draws it from results/minatar_rates/results.csv."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dormant.records.results import RunResult
from dormant.report.claims import names_of
from dormant.report.csv_results import read_csv
from dormant.report.scores import last_finite
from dormant.reproduce.evidence import LEARNING_RATES, RATIOS_OF_RATES
from dormant.reproduce.methods import at_rate

FOLDER = Path("results/minatar_rates")


def maps(runs: Sequence[RunResult]) -> dict[tuple[str, str], np.ndarray]:
    """{(game, method): (rates, ratios) float64}: the mean over the seeds of the percentage of
    dormant neurons in the last iteration; NaN where nothing was run."""
    cells: dict[tuple[str, str, str], list[float]] = {}
    for run in runs:
        percent = last_finite(run.dormant_percent)
        cells.setdefault((run.game, run.method, run.setting), []).append(
            np.nan if percent is None else percent
        )
    return {
        (game, method): np.array(
            [
                [
                    np.mean(cells.get((game, method, at_rate(rate, ratio)), [np.nan]))
                    for ratio in RATIOS_OF_RATES
                ]
                for rate in LEARNING_RATES
            ]
        )
        for game in dict.fromkeys(run.game for run in runs)
        for method in dict.fromkeys(run.method for run in runs)
    }


def draw(found: dict[tuple[str, str], np.ndarray], path: Path) -> None:
    """Writes the map as PNG: a row for each game, a column for each method, all in one colour
    scale."""
    games, methods = (list(dict.fromkeys(key[place] for key in found)) for place in (0, 1))
    size = 2.9 * len(methods), 2.3 * len(games) + 0.3
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subplots(len(games), len(methods), squeeze=False)
    for game, row in zip(games, rows, strict=True):
        for method, axes in zip(methods, row, strict=True):
            percents = found[game, method]
            axes.imshow(percents, cmap="cividis", vmin=0, vmax=100, aspect="auto", origin="lower")
            for place, percent in np.ndenumerate(percents):
                colour = "black" if percent > 50 else "white"
                axes.text(*place[::-1], f"{percent:.0f}", ha="center", va="center", color=colour)
            axes.set_xticks(range(len(RATIOS_OF_RATES)), RATIOS_OF_RATES)
            axes.set_yticks(range(len(LEARNING_RATES)), LEARNING_RATES)
            axes.set_title(f"{names_of([game])}\n{method}", loc="left", fontsize="small")
    figure.supxlabel("replay ratio", fontsize="medium")
    figure.supylabel("learning rate", fontsize="medium")
    figure.savefig(path, dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    (FOLDER / "figures").mkdir(exist_ok=True)
    draw(maps(read_csv(FOLDER / "results.csv").runs), FOLDER / "figures" / "map.png")

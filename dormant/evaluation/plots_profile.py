"""Performance profiles: the share of runs above each normalized score (Agarwal et al. 2021)."""

from pathlib import Path

import numpy as np

from dormant.evaluation import style
from dormant.evaluation.results import Collection
from dormant.evaluation.scores import final_score, normalized
from dormant.evaluation.statistics import performance_profile

POINTS = 81


def profile_figure(
    collection: Collection,
    path_without_suffix: str | Path,
    *,
    repetitions: int = 2000,
    seed: int = 0,
) -> style.Drawing:
    """Draws the profiles of all methods, a panel for each setting.

    Args:
      collection: runs of games whose scores can be normalized.
      path_without_suffix: the figure's files without ".png" and ".svg".
      repetitions: bootstrap samples of the 95 % bands.
      seed: of the bootstrap.

    Raises:
      NothingToDraw: no method has a profile.
    """
    thresholds = _thresholds(collection)
    profiles, left_out = {}, []
    for line in style.lines_of(collection):
        try:
            profiles[line] = performance_profile(
                collection, *line, thresholds, repetitions=repetitions, seed=seed
            )
        except ValueError as error:
            left_out.append(f"{line.label}: {error}")
    if not profiles:
        raise style.NothingToDraw(
            "profiles must be of runs with normalized scores; got none", left_out
        )
    settings = list(dict.fromkeys(line.setting for line in profiles))
    looks = style.lines_of(collection)
    figure, panels = style.new_figure(len(settings))
    for setting, axes in zip(settings, panels, strict=True):
        of_setting = [line for line in profiles if line.setting == setting]
        for number, line in enumerate(of_setting):
            look = looks[line]._replace(dash=number % len(style.DASHES), marker=number % 7)
            values, low, high = zip(*(each[:3] for each in profiles[line]), strict=True)
            style.draw_line(axes, thresholds, values, low, high, look, line.method)
        style.finish_axes(
            axes,
            across="normalized score",
            up="share of runs above it",
            title=setting,
            steps=False,
        )
        axes.set_ylim(-0.02, 1.02)
    style.add_legend(figure, panels)
    return style.save(figure, path_without_suffix, left_out)


def _thresholds(collection: Collection) -> np.ndarray:
    """(POINTS,) float64 from 0, or the lowest score, to the highest score."""
    scores = []
    for run in collection.runs:
        try:
            scores.append(float(normalized(run.game, np.array([final_score(run)]))[0]))
        except ValueError:
            continue  # the profile itself says which game it is
    finite = [score for score in scores if np.isfinite(score)]
    if not finite:
        return np.linspace(0.0, 1.0, POINTS)
    low, high = min(0.0, *finite), max(0.1, *finite)
    return np.linspace(low, 1.02 * high, POINTS)

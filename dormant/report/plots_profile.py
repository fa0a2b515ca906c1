"""Performance profiles: the share of runs above each normalized score (Agarwal et al. 2021)."""

from pathlib import Path

import numpy as np

from dormant.records.results import Collection
from dormant.report import style
from dormant.report.scores import final_score, normalized
from dormant.report.statistics import performance_profile

POINTS = 401
CAP = 95  # percentile of all scores at which an axis with outliers ends


def profile_figure(
    collection: Collection,
    path_without_suffix: str | Path,
    *,
    repetitions: int = 2000,
    seed: int = 0,
) -> style.Drawing:
    """Draws the profiles of all methods, a panel for each setting.

    The axis ends at the highest score, or, where that is more than twice the 95th percentile of all
    scores, at this percentile or 1, whichever is higher; its label then says so.

    Args:
      collection: runs of games whose scores can be normalized.
      path_without_suffix: the figure's files without ".png" and ".svg".
      repetitions: bootstrap samples of the 95 % bands.
      seed: of the bootstrap.

    Raises:
      NothingToDraw: no method has a profile.
    """
    thresholds, beyond = _thresholds(_scores(collection))
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
    looks = style.methods_looks(collection)
    figure, panels = style.new_figure(len(settings))
    for setting, axes in zip(settings, panels, strict=True):
        for line in (line for line in profiles if line.setting == setting):
            values, low, high = zip(*(each[:3] for each in profiles[line]), strict=True)
            look = looks[line.method]
            style.draw_line(axes, thresholds, values, low, high, look, line.method)
        style.finish_axes(
            axes,
            across="normalized score" + beyond,
            up="share of runs above it",
            title=setting,
            steps=False,
        )
        axes.set_ylim(-0.02, 1.02)
    style.add_legend(figure, panels)
    return style.save(figure, path_without_suffix, left_out)


def _scores(collection: Collection) -> np.ndarray:
    """The finite normalized scores of all runs."""
    scores = []
    for run in collection.runs:
        try:
            scores.append(float(normalized(run.game, np.array([final_score(run)]))[0]))
        except ValueError:
            continue  # the profile itself says which game it is
    return np.array([score for score in scores if np.isfinite(score)])


def _thresholds(scores: np.ndarray) -> tuple[np.ndarray, str]:
    """(POINTS,) float64 from 0, or the lowest score, and what the axis says of scores beyond."""
    if not scores.size:
        return np.linspace(0.0, 1.0, POINTS), ""
    low, high = min(0.0, scores.min()), max(0.1, scores.max())
    usual = np.percentile(scores, CAP)
    cap = max(1.0, usual)
    if high < 2 * usual or high <= cap:
        return np.linspace(low, 1.02 * high, POINTS), ""
    beyond = int((scores > cap).sum())
    ends = f", cut at {cap:.3g}\n({beyond} of {scores.size} runs beyond, to {high:.3g})"
    return np.linspace(low, cap, POINTS), ends

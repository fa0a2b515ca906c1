"""Aggregates of runs over games with 95 % stratified bootstrap intervals, by rliable
(Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice")."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rliable import library, metrics
from scipy import stats

from dormant.records.results import Collection, RunResult
from dormant.report.scores import final_score, normalized

METRICS = {
    "iqm": metrics.aggregate_iqm,
    "median": metrics.aggregate_median,
    "mean": metrics.aggregate_mean,
    "optimality_gap": metrics.aggregate_optimality_gap,
}
REPETITIONS = 2000


class Interval(NamedTuple):
    """A value with its 95 % interval.

    Attributes:
      value: of all runs.
      low, high: the interval's ends; None where a game has one run, of which nothing can be drawn.
      runs: how many runs the value is of.
    """

    value: float
    low: float | None
    high: float | None
    runs: int = 0


def aggregate(
    collection: Collection,
    method: str,
    setting: str,
    metric: str = "iqm",
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> Interval:
    """One of `METRICS` of the final normalized scores of a method in a setting.

    Args:
      collection: all runs.
      method: of the runs.
      setting: of the runs.
      metric: "iqm", "median", "mean" or "optimality_gap".
      repetitions: bootstrap samples.
      seed: of the bootstrap; the same seed gives the same digits.

    Raises:
      ValueError: a planned game has no whole run, a game has no reference scores, or an argument
        is not allowed.
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {sorted(METRICS)}; got {metric!r}")
    scores = score_matrix(collection, method, setting)
    (found,) = _intervals([scores], lambda x: np.array([METRICS[metric](x)]), repetitions, seed)
    return found


def iqm_curve(
    collection: Collection,
    method: str,
    setting: str,
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> tuple[np.ndarray, list[Interval]]:
    """Sample efficiency: the IQM of normalized scores over agent steps.

    Iterations that some run lacks, or in which no episode of it ended, are left out.

    Returns:
      (P,) float64 agent steps, and P intervals.

    Raises:
      ValueError: as `aggregate`, or no iteration is in all runs.
    """
    levelled = runs_of_each_game(collection, method, setting)
    curves = [[_curve(run) for run in runs] for runs in levelled]
    steps = sorted(set.intersection(*(set(curve) for runs in curves for curve in runs)))
    if not steps:
        raise ValueError(
            f"runs must share iterations to have one curve; got none in {_name(method, setting)}"
        )
    scores = np.array([[[curve[step] for step in steps] for curve in runs] for runs in curves])
    scores = np.moveaxis(scores, 0, 1)  # (runs, games, P)

    def iqm_of_each_step(x: np.ndarray) -> np.ndarray:
        # As metrics.aggregate_iqm at each step, all in one call.
        return stats.trim_mean(x.reshape(-1, x.shape[-1]), 0.25, axis=0)

    return np.array(steps), _intervals([scores], iqm_of_each_step, repetitions, seed)


def performance_profile(
    collection: Collection,
    method: str,
    setting: str,
    thresholds: Sequence[float] | np.ndarray,
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> list[Interval]:
    """For each threshold, the share of runs whose final normalized score is above it.

    Raises:
      ValueError: as `aggregate`.
    """
    scores = score_matrix(collection, method, setting)
    taus = np.asarray(thresholds, float)

    def shares(x: np.ndarray) -> np.ndarray:
        # As library.score_distributions, but all thresholds in one call: they are hundreds.
        ordered = np.sort(x, axis=None)
        return (ordered.size - np.searchsorted(ordered, taus, side="right")) / ordered.size

    return _intervals([scores], shares, repetitions, seed)


def probability_of_improvement(
    collection: Collection,
    method: str,
    other: str,
    setting: str,
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> Interval:
    """How likely a run of a method beats one of the other on the same game, over games.

    Raises:
      ValueError: as `aggregate`, for either method, or they have different games.
    """
    games = [_games(collection, each, setting) for each in (method, other)]
    if games[0] != games[1]:
        raise ValueError(
            f"two methods must have the same games to be compared; got {games[0]} of {method!r}"
            f" and {games[1]} of {other!r}"
        )
    scores = [score_matrix(collection, each, setting) for each in (method, other)]

    def probability(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        # As metrics.probability_of_improvement, whose rank test for each game takes seconds here.
        better = 0.5 * (1.0 + np.sign(x[:, None] - y[None]))
        return np.array([better.mean()])

    (found,) = _intervals(scores, probability, repetitions, seed)
    return found


def score_matrix(collection: Collection, method: str, setting: str) -> np.ndarray:
    """(runs, games) float64: final normalized scores, games in the order of their names.

    Raises:
      ValueError: as `aggregate`.
    """
    levelled = runs_of_each_game(collection, method, setting)
    return np.array(
        [[normalized(run.game, [final_score(run)])[0] for run in runs] for runs in levelled]
    ).T


def runs_of_each_game(collection: Collection, method: str, setting: str) -> list[list[RunResult]]:
    """The whole runs of each planned game, as many of each: the fewest that any game has.

    Raises:
      ValueError: nothing was planned, or a planned game has no whole run. An average over the
        others would be of other games than those of the rest of the table.
    """
    games = _games(collection, method, setting)
    if not games:
        raise ValueError(f"method and setting must be planned; got {_name(method, setting)}")
    found = {game: [] for game in games}
    for run in collection.runs:
        if (run.method, run.setting) == (method, setting):
            found[run.game].append(run)
    missing = [game for game, runs in found.items() if not runs]
    if missing:
        raise ValueError(
            f"all {len(games)} games of {_name(method, setting)} must have a whole run; got none"
            f" of {', '.join(missing)}"
        )
    fewest = min(len(runs) for runs in found.values())
    return [sorted(runs, key=lambda run: run.seed)[:fewest] for runs in found.values()]


def runs_not_used(collection: Collection, method: str, setting: str) -> list[RunResult]:
    """The whole runs that no aggregate takes, as another game has fewer.

    Raises:
      ValueError: as `runs_of_each_game`.
    """
    used = [id(run) for runs in runs_of_each_game(collection, method, setting) for run in runs]
    return [
        run
        for run in collection.runs
        if (run.method, run.setting) == (method, setting) and id(run) not in used
    ]


def mean_interval(
    values: Sequence[float], repetitions: int = REPETITIONS, seed: int = 0
) -> Interval:
    """The mean of one value a run, with its bootstrap interval over the runs.

    Raises:
      ValueError: there are no values.
    """
    if not len(values):
        raise ValueError("values must hold one number for each run; got none")
    column = np.asarray(values, float)[:, None]
    (found,) = _intervals([column], lambda x: np.array([x.mean()]), repetitions, seed)
    return found


def _intervals(
    scores: list[np.ndarray],
    function: Callable[..., np.ndarray],
    repetitions: int,
    seed: int,
) -> list[Interval]:
    """A value and an interval for each number that function gives."""
    runs = sum(matrix.shape[0] * matrix.shape[1] for matrix in scores)
    given = scores[0] if len(scores) == 1 else scores
    if min(matrix.shape[0] for matrix in scores) == 1:
        return [Interval(float(value), None, None, runs) for value in function(*scores)]
    with _numpy_seed(seed):
        values, ends = library.get_interval_estimates({"": given}, function, reps=repetitions)
    low, high = ends[""]
    return [
        Interval(float(value), float(a), float(b), runs)
        for value, a, b in zip(np.atleast_1d(values[""]), low, high, strict=True)
    ]


@contextlib.contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """rliable draws from NumPy's global generator whatever `random_state` it is given."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def _games(collection: Collection, method: str, setting: str) -> list[str]:
    """In an order of their own: the strata are drawn in it, so it decides the interval's digits."""
    planned = collection.experiment.runs
    return sorted({run.game for run in planned if (run.method, run.setting) == (method, setting)})


def _curve(run: RunResult) -> dict[float, float]:
    scores = normalized(run.game, run.returns)
    return {
        float(step): float(score)
        for step, score in zip(run.agent_steps, scores, strict=True)
        if np.isfinite(score)
    }


def _name(method: str, setting: str) -> str:
    return f"{method}, {setting}" if setting else method

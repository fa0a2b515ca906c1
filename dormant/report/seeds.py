"""Several seeds of one setting: what they reached, with an interval over the seeds."""

import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from scipy import stats

from dormant.records.reading import Run, read_run, tau_index
from dormant.report.summary import mean_return

SEED_FOLDERS = "seed_*"


class Estimate(NamedTuple):
    """A mean over seeds with its 95 % interval; without one (None) where there is one seed."""

    mean: float
    low: float | None
    high: float | None


class Curve(NamedTuple):
    """One quantity over a run, P points: for each the steps, and the estimate over the seeds."""

    steps: tuple[int, ...]
    estimates: tuple[Estimate, ...]


def read_seeds(folder: str | Path) -> tuple[Run, ...]:
    """Reads the runs of a folder, one for each `seed_<k>` in it, in the order of the seeds.

    Raises:
      FileNotFoundError: there is no such run.
      ValueError: a run's records cannot be read; the message names the file and the line.
    """
    numbered = [path for path in Path(folder).glob(SEED_FOLDERS) if path.name[5:].isdigit()]
    folders = sorted(numbered, key=lambda path: int(path.name[5:]))
    if not folders:
        raise FileNotFoundError(f"no {SEED_FOLDERS} in {folder}: give the folder of all seeds")
    return tuple(read_run(path) for path in folders)


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of one value per seed, with Student's 95 % interval.

    Raises:
      ValueError: there are no values.
    """
    if not values:
        raise ValueError(f"values must hold one number per seed, received {list(values)}")
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Estimate(mean, None, None)
    error = statistics.stdev(values) / len(values) ** 0.5
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    return Estimate(mean, mean - half, mean + half)


def final_return(run: Run) -> float:
    """The mean training return of the last iteration in which an episode ended.

    Raises:
      ValueError: no episode has ended.
    """
    means = [mean for mean in map(mean_return, run.iterations) if mean is not None]
    if not means:
        raise ValueError(f"a run must hold a training episode that has ended, received {run.path}")
    return means[-1]


def final_dormant_percent(run: Run, tau: float = 0.1) -> float:
    """The dormant percentage over all hidden layers, averaged over the last iteration's records.

    Raises:
      ValueError: dormancy was not measured, or not at this tau.
    """
    if not run.tracking:
        raise ValueError(f"a run must hold measurements of dormancy, received {run.path}")
    start = run.iterations[-2].agent_step if len(run.iterations) > 1 else 0
    end = run.iterations[-1].agent_step if run.iterations else math.inf
    inside = [record for record in run.tracking if start < record.agent_step <= end]
    last = inside or run.tracking[-1:]
    index = tau_index(last[0], tau)
    return statistics.fmean(record.dormant_percent_pooled[index] for record in last)


def return_curve(runs: Sequence[Run]) -> Curve:
    """The mean training return of each iteration, over agent steps.

    Iterations that some seed has not reached, or in which no episode of it ended, are left out.
    """
    return _curve(
        runs,
        lambda run: {
            record.agent_step: mean_return(record)
            for record in run.iterations
            if record.train_returns
        },
    )


def dormancy_curve_of_seeds(runs: Sequence[Run], tau: float = 0.1) -> Curve:
    """The dormant percentage over all hidden layers at each record, over agent steps."""

    def points(run: Run) -> dict[int, float]:
        return {
            record.agent_step: record.dormant_percent_pooled[tau_index(record, tau)]
            for record in run.tracking
        }

    return _curve(runs, points)


def _curve(runs: Sequence[Run], points: Callable[[Run], dict[int, float]]) -> Curve:
    found = [points(run) for run in runs]
    steps = sorted(set.intersection(*map(set, found))) if found else []
    return Curve(tuple(steps), tuple(estimate([each[step] for each in found]) for step in steps))

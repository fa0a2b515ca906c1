# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The 95 % stratified bootstrap interval of rliable, of all resamples at once.

rliable 1.2 draws one resample at a time from NumPy's legacy generator; drawn together in the same
order they are the same numbers, so that intervals have its digits (Agarwal et al. 2021, "Deep
Reinforcement Learning at the Edge of the Statistical Precipice"). Only a curve differs: rliable
draws anew at each step, while here a resample is of whole runs, so that each step has the interval
that rliable gives for it alone.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

_TAIL = (1 - 0.95) / 2  # as rliable has it, to the bit: 2.5000000000000022 %
PERCENTILES = (100 * _TAIL, 100 * (1 - _TAIL))
REPETITIONS = 2000
NUMBERS_AT_ONCE = 2_000_000  # of a chunk of resamples: 16 MB
_TRIMMED = 0.25  # of the scores at either end, for an IQM


class Bootstrap(NamedTuple):
    """How intervals are made: the number of resamples, and the seed of their draws."""

    repetitions: int = REPETITIONS
    seed: int = 0


DEFAULT = Bootstrap()


class Interval(NamedTuple):
    """A value with its 95 % interval."""

    value: float  # of all runs
    # The interval's ends; None where a game has one run, of which nothing can be drawn.
    low: float | None
    high: float | None
    runs: int = 0  # how many runs the value is of


class Band(NamedTuple):
    """A curve with its 95 % intervals."""

    values: np.ndarray  # (P,) float64
    # (P,) float64, the intervals' ends; NaN where there are none.
    low: np.ndarray
    high: np.ndarray


def iqm(scores: np.ndarray) -> np.ndarray:
    """The mean of the middle half: (R, N) to (R,)."""
    cut = int(_TRIMMED * scores.shape[1])
    ordered = np.partition(scores, (cut, scores.shape[1] - cut - 1), axis=1)
    return ordered[:, cut : scores.shape[1] - cut].mean(axis=1)


# {metric: (R, runs, games) scores to (R,) values}, as `rliable.metrics` defines them.
METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "iqm": lambda scores: iqm(scores.reshape(len(scores), -1)),
    "median": lambda scores: np.median(scores.mean(axis=1), axis=-1),
    "mean": lambda scores: scores.mean(axis=1).mean(axis=-1),
    "optimality_gap": lambda scores: 1.0 - np.minimum(scores, 1.0).reshape(len(scores), -1).mean(1),
}


def of_metrics(scores: np.ndarray, bootstrap: Bootstrap) -> dict[str, Interval]:
    """All of `METRICS` of (runs, games) scores with their intervals, from the same resamples."""

    def values(resampled: np.ndarray) -> np.ndarray:
        return np.stack([metric(resampled) for metric in METRICS.values()], axis=1)

    band = np.transpose(_of_resamples(values, scores, bootstrap))
    return {name: _interval(of, scores.size) for name, of in zip(METRICS, band, strict=True)}


def of_profile(scores: np.ndarray, thresholds: np.ndarray, bootstrap: Bootstrap) -> Band:
    """For each of (T,) thresholds the share of (runs, games) scores above it."""
    order = np.argsort(thresholds, kind="stable")
    # The place of a score among the thresholds says which of them it is above.
    below = np.searchsorted(thresholds[order], scores, side="left")
    places, back = len(thresholds) + 1, np.argsort(order, kind="stable")

    def shares(resampled: np.ndarray) -> np.ndarray:
        rows = resampled.reshape(len(resampled), -1)
        numbered = rows + places * np.arange(len(rows))[:, None]
        counts = np.bincount(numbered.ravel(), minlength=places * len(rows))
        at_most = np.cumsum(counts.reshape(len(rows), places), axis=1)[:, :-1]
        return ((scores.size - at_most) / scores.size)[:, back]

    return _of_resamples(shares, below, bootstrap)


def of_improvement(first: np.ndarray, second: np.ndarray, bootstrap: Bootstrap) -> Interval:
    """How likely a run of the first beats one of the second on the same game, ties counting half.

    Both are (runs, games) scores, of the same games.
    """
    # (games, runs, its runs): 1, 1/2 or 0, summed over the pairs that a resample draws.
    better = 0.5 * (1.0 + np.sign(first.T[:, :, None] - second.T[:, None]))
    chances = []
    for drawn in _draws(bootstrap, first.shape, second.shape):
        one, other = (_counts(each).swapaxes(0, 1) for each in drawn)  # (games, R, runs)
        chances.append((one @ better * other).sum(axis=(0, 2)) / better.size)
    ends = _band(better.mean(), chances, min(first, second, key=len))
    return _interval(ends, first.size + second.size)


def of_difference(
    first: np.ndarray,
    second: np.ndarray,
    summary: Callable[[np.ndarray], np.ndarray],
    bootstrap: Bootstrap,
) -> Interval:
    """The summary of the first less that of the second, each drawn for itself.

    Both are (runs, games) scores; the summary is one of `METRICS`, or another of that form.
    """
    samples = []
    for drawn in _draws(bootstrap, first.shape, second.shape):
        one, other = (
            summary(np.take_along_axis(np.broadcast_to(of, numbers.shape), numbers, axis=1))
            for of, numbers in zip((first, second), drawn, strict=True)
        )
        samples.append(one - other)
    value = summary(first[None])[0] - summary(second[None])[0]
    return _interval(_band(value, samples, min(first, second, key=len)), first.size + second.size)


def of_mean(values: np.ndarray, bootstrap: Bootstrap) -> Interval:
    """The mean of (runs,) values, one a run."""
    band = _of_resamples(lambda drawn: drawn[..., 0].mean(axis=1), values[:, None], bootstrap)
    return _interval(band, len(values))


def of_mean_curve(values: np.ndarray, bootstrap: Bootstrap) -> Band:
    """The mean at each step of (runs, P) values; what is NaN is passed over."""
    means, low, high = np.full((3, values.shape[1]), np.nan)
    there = np.isfinite(values)
    patterns, which = np.unique(there, axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        at = np.flatnonzero(which.ravel() == number)
        kept = values[pattern][:, at]
        if len(kept):
            counts = [_counts(drawn)[:, 0] for (drawn,) in _draws(bootstrap, (len(kept), 1))]
            samples = [np.concatenate(counts) @ kept / len(kept)]
            means[at], low[at], high[at] = _band(kept.mean(axis=0), samples, kept)
    return Band(means, low, high)


def of_iqm_curve(scores: np.ndarray, bootstrap: Bootstrap) -> Band:
    """The IQM at each step of (runs, games, P) scores."""
    runs, games, steps = scores.shape
    flat = np.ascontiguousarray(scores.transpose(1, 0, 2).reshape(-1, steps))
    values = iqm(np.ascontiguousarray(scores.reshape(-1, steps).T))
    cut = int(_TRIMMED * len(flat))
    order = np.argsort(flat, axis=0)
    ordered = np.take_along_axis(flat, order, axis=0)
    samples = []
    for (drawn,) in _draws(bootstrap, (runs, games)):
        # How often each score was drawn; of those only what is not trimmed counts.
        counts = np.ascontiguousarray(_counts(drawn).reshape(len(drawn), -1).T)
        found = np.empty((len(drawn), steps))
        for step in range(steps):
            until = np.cumsum(counts[order[:, step]], axis=0)
            np.clip(until, cut, len(flat) - cut, out=until)
            found[:, step] = ordered[0, step] * (until[0] - cut)
            found[:, step] += ordered[1:, step] @ np.diff(until, axis=0)
        samples.append(found / (len(flat) - 2 * cut))
    return _band(values, samples, scores)


def _of_resamples(
    summary: Callable[[np.ndarray], np.ndarray], scores: np.ndarray, bootstrap: Bootstrap
) -> Band:
    """The summary, (R, runs, games) to (R, ...), of (runs, games) scores and of their resamples."""
    games = scores.shape[1]
    samples = [
        summary(scores.ravel().take(drawn * games + np.arange(games)))
        for (drawn,) in _draws(bootstrap, scores.shape)
    ]
    return _band(summary(scores[None])[0], samples, scores)


def _band(values: np.ndarray, samples: list[np.ndarray], scores: np.ndarray) -> Band:
    """Of C values, by chunks (R, C) of samples; without ends where a game has one run."""
    if len(scores) == 1:
        return Band(values, *np.full((2, *np.shape(values)), np.nan))
    return Band(values, *np.percentile(np.concatenate(samples), PERCENTILES, axis=0))


def _interval(band: Sequence[float] | Band, runs: int) -> Interval:
    """Of a band of one point."""
    value, low, high = map(float, band)
    has_ends = not np.isnan(low)
    return Interval(value, low if has_ends else None, high if has_ends else None, runs)


def _draws(bootstrap: Bootstrap, *shapes: tuple[int, ...]) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields for each (runs, games) shape (R, runs, games) numbers of runs, R resamples at a time.

    They come in the order of rliable's draws: each resample draws one shape after the other.
    """
    generator = np.random.RandomState(bootstrap.seed)
    most = max(1, NUMBERS_AT_ONCE // sum(map(math.prod, shapes)))
    for start in range(0, bootstrap.repetitions, most):
        some = min(most, bootstrap.repetitions - start)
        if len(set(shapes)) == 1:  # all at once
            drawn = generator.randint(0, shapes[0][0], size=(some, len(shapes), *shapes[0]))
            yield tuple(drawn.swapaxes(0, 1))
        else:
            each = [[generator.randint(0, of[0], size=of) for of in shapes] for _ in range(some)]
            yield tuple(map(np.array, zip(*each, strict=True)))


def _counts(drawn: np.ndarray) -> np.ndarray:
    """(R, games, runs) float64: how often each run was drawn, of (R, runs, games) draws."""
    repetitions, runs, games = drawn.shape
    places = (np.arange(repetitions)[:, None, None] * games + np.arange(games)) * runs + drawn
    counts = np.bincount(places.ravel(), minlength=drawn.size)
    return counts.reshape(repetitions, games, runs).astype(float)

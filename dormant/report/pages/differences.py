# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The difference of two cells of an experiment, as the pages have it: from the committed runs."""

import functools
from collections.abc import Sequence
from pathlib import Path

from dormant.records.results import RunResult
from dormant.report import bootstrap as stratified
from dormant.report.bootstrap import DEFAULT, Interval
from dormant.report.claims import interval_text
from dormant.report.csv_results import read_csv
from dormant.report.pages.advice import Measured
from dormant.report.verdicts import is_whole, results_of, values_of, verdicts
from dormant.reproduce.comparisons import MORE, SCORE, Cell, Claim, Comparison
from dormant.reproduce.hypotheses import DORMANT


def runs_of(experiment: str, results: Path) -> Sequence[RunResult]:
    """The runs of an experiment in a folder such as results/, whole or begun.

    Raises:
      FileNotFoundError: it has none.
    """
    path = results_of(results, experiment)
    if path is None:
        raise FileNotFoundError(f"{results} must have results of {experiment}; got none")
    return _read(path)


@functools.cache
def _read(path: Path) -> Sequence[RunResult]:
    """Where dormant neurons have but one column, it is that of tau 0.1, at which all of these
    experiments count them."""
    return [
        run._replace(measured={DORMANT: run.dormant_percent, **run.measured})
        for run in read_csv(path).runs
    ]


@functools.cache
def difference(one: Measured, results: Path) -> Interval:
    """The first cell minus the second, over all games that are named."""
    first, second = Cell(*one.first), Cell(*one.second)
    comparison = Comparison("", first, second, MORE, margin=0.0, games=one.games)
    claim = Claim("", "", "", one.experiment, one.measure, (comparison,))
    (verdict,) = verdicts(claim, runs_of(one.experiment, results))
    return verdict.difference


def value_text(one: Measured, cell: tuple[str, str], results: Path) -> str:
    """What a cell comes to, over all games that are named: of scores the interquartile mean."""
    values = values_of(runs_of(one.experiment, results), Cell(*cell), one.games, one.measure)
    assert values is not None, (one, cell)
    if one.measure == SCORE:
        return interval_text(stratified.of_metrics(values, DEFAULT)["iqm"], sign="")
    return interval_text(stratified.of_mean(values[:, 0], DEFAULT), sign="")


def side(interval: Interval) -> str:
    """Where an interval lies: "higher" or "lower" than 0 as a whole, else "open"."""
    low, high = interval.low, interval.high
    if low is None or high is None or low <= 0 <= high:
        return "open"
    return "higher" if low > 0 else "lower"


def interval_and_side(interval: Interval) -> str:
    """An interval, and in a word where it lies."""
    return f"{interval_text(interval)}, {side(interval)}"


def link(experiment: str, results: Path) -> str:
    """A link from a page in docs/ to the results of an experiment."""
    path = results_of(results, experiment)
    place = experiment if is_whole(path) else f"unfinished/{experiment}.csv"
    return f"[`{experiment}`](../results/{place})"

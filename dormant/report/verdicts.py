# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What the claims that docs/evidence.md tests come to, from the results of the experiments."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dormant.records.files import RESULTS_FILE
from dormant.records.per_iteration import EVALUATION
from dormant.records.results import RunResult
from dormant.report import bootstrap as stratified
from dormant.report.bootstrap import DEFAULT, METRICS, Bootstrap, Interval
from dormant.report.csv_results import read_csv
from dormant.report.scores import last_finite, normalized
from dormant.reproduce.comparisons import (
    ALIKE,
    LESS,
    NOT_LESS,
    NOT_MUCH_LESS,
    RETURN,
    SCORE,
    Cell,
    Claim,
    Comparison,
)
from dormant.reproduce.hypotheses import CLAIMS, DORMANT, DQN, SILENT

HOLDS, DOES_NOT_HOLD, UNDECIDED, MIXED = "holds", "does not hold", "undecided", "mixed"
NOT_RUN = "not run yet"
UNFINISHED = "unfinished"  # the folder with whole cells of sweeps that are not done
# What would not matter: percentage points of dormant neurons, a share of plain DQN's score.
_POINTS, _SHARE = 2.0, 0.1
WHOLE_RUN = "whole run"  # where a `Cell` is looked at: the mean over all iterations


class Verdict(NamedTuple):
    """What a comparison came to on one game, or, of a score, over all that are there."""

    comparison: Comparison
    games: tuple[str, ...]
    seeds: int  # of each cell, the fewer of the two
    difference: Interval
    verdict: str
    # Of scores: how likely a run of the first beats one of the second, the difference of the means
    # over all iterations (sample efficiency), that in the greedy episodes at the end, and the
    # difference in each of several games alone.
    improvement: Interval | None = None
    whole_run: Interval | None = None
    evaluated: Interval | None = None
    in_each_game: tuple[tuple[str, Interval], ...] = ()


class Judged(NamedTuple):
    """A claim with what its comparisons came to.

    Attributes:
      claim: the hypothesis.
      found: of the comparisons whose runs are there.
      missing: how many comparisons have no runs yet.
      agent_steps: of the experiment's longest run; 0 where there is none.
    """

    claim: Claim
    found: tuple[Verdict, ...]
    missing: int
    agent_steps: float

    @property
    def is_partial(self) -> bool:
        """Whether some runs are there, and others are to come."""
        lacks_games = self.claim.is_over_all_games and any(
            each.games != each.comparison.games for each in self.found
        )
        return bool(self.found) and bool(self.missing or lacks_games)

    @property
    def games(self) -> tuple[str, ...]:
        """Those of which anything is known."""
        known = {game for each in self.found for game in each.games}
        planned = dict.fromkeys(game for each in self.claim.comparisons for game in each.games)
        return tuple(game for game in planned if game in known)


def verdicts(
    claim: Claim, runs: Sequence[RunResult], bootstrap: Bootstrap = DEFAULT
) -> list[Verdict]:
    """What each comparison of a claim came to, without those whose runs are not there."""
    found = []
    for comparison in claim.comparisons:
        together = claim.is_over_all_games
        alone = [(game,) for game in comparison.games]
        for games in [_played(runs, comparison)] if together else alone:
            first, second = (
                values_of(runs, cell, games, claim.measure)
                for cell in (comparison.first, comparison.second)
            )
            if first is None or second is None:
                continue
            difference = _difference(comparison, first, second, claim.measure, bootstrap)
            if difference is None:
                continue
            margin = _margin(comparison, claim.measure, runs, games)
            verdict = judge(difference, comparison.side, margin)
            seeds = min(len(of[np.isfinite(of).all(axis=1)]) for of in (first, second))
            one = Verdict(comparison, games, seeds, difference, verdict)
            if together:
                one = one._replace(
                    improvement=stratified.of_improvement(first, second, bootstrap),
                    whole_run=_of_scores(_over_the_whole_run(comparison), runs, games, bootstrap),
                    evaluated=_of_scores(comparison, _evaluated(runs), games, bootstrap),
                )
            if together and len(games) > 1:
                alone_in = _in_each_game(comparison, first, second, games, bootstrap)
                one = one._replace(in_each_game=alone_in)
            found.append(one)
    return found


def _played(runs: Sequence[RunResult], comparison: Comparison) -> tuple[str, ...]:
    """The games of a comparison that have runs of both of its cells."""
    there = {(run.method, run.setting, run.game) for run in runs}
    cells = (comparison.first, comparison.second)
    return tuple(
        game
        for game in comparison.games
        if all((*cell[:2], cell.game or game) in there for cell in cells)
    )


def _in_each_game(
    comparison: Comparison,
    first: np.ndarray,
    second: np.ndarray,
    games: Sequence[str],
    bootstrap: Bootstrap,
) -> tuple[tuple[str, Interval], ...]:
    columns = (np.split(values, len(games), axis=1) for values in (first, second))
    return tuple(
        (game, interval)
        for game, one, other in zip(games, *columns, strict=True)
        if (interval := _difference(comparison, one, other, SCORE, bootstrap)) is not None
    )


def _of_scores(
    comparison: Comparison, runs: Sequence[RunResult], games: Sequence[str], bootstrap: Bootstrap
) -> Interval | None:
    """The difference of the scores of these runs; None where some cell has none of them."""
    first, second = (
        values_of(runs, cell, games, SCORE) for cell in (comparison.first, comparison.second)
    )
    if first is None or second is None:
        return None
    return _difference(comparison, first, second, SCORE, bootstrap)


def _over_the_whole_run(comparison: Comparison) -> Comparison:
    first, second = (each._replace(at=WHOLE_RUN) for each in (comparison.first, comparison.second))
    return comparison._replace(first=first, second=second)


def _evaluated(runs: Sequence[RunResult]) -> list[RunResult]:
    """Those with greedy episodes, with the returns of these."""
    return [
        run._replace(returns=run.measured[EVALUATION]) for run in runs if EVALUATION in run.measured
    ]


def judge(difference: Interval, side: str, margin: float) -> str:
    """The verdict of a difference whose interval is known, as docs/evidence.md has it."""
    low, high = difference.low, difference.high
    if low is None or high is None:
        return UNDECIDED
    inside = -margin < low and high < margin
    if side == ALIKE:
        outside = low > margin or high < -margin
        return HOLDS if inside else DOES_NOT_HOLD if outside else UNDECIDED
    if side == LESS:
        low, high = -high, -low
    if side in (NOT_LESS, NOT_MUCH_LESS):
        refuted = high < (0 if side == NOT_LESS else -margin)
        return DOES_NOT_HOLD if refuted else HOLDS if low > -margin else UNDECIDED
    return HOLDS if low > 0 else DOES_NOT_HOLD if high < 0 or inside else UNDECIDED


def overall(found: Sequence[Verdict]) -> str:
    """The verdict of a claim."""
    kinds = {each.verdict for each in found}
    if not kinds:
        return NOT_RUN
    if len(kinds) == 1:
        return kinds.pop()
    # Where some hold and the rest is open, the whole is.
    return UNDECIDED if kinds == {HOLDS, UNDECIDED} else MIXED


def values_of(
    runs: Sequence[RunResult], cell: Cell, games: Sequence[str], measure: str
) -> np.ndarray | None:
    """(runs, games) values of a cell; None where a game has no run.

    Args:
      runs: of one experiment.
      cell: whose values, and where in the runs.
      games: one column each.
      measure: `SCORE`, `RETURN`, or a column of results.csv.
    """
    columns = []
    for game in games:
        played = cell.game or game
        mine = [run for run in runs if (run.method, run.setting, run.game) == (*cell[:2], played)]
        found = [_value(run, cell.at, measure) for run in sorted(mine, key=lambda run: run.seed)]
        values = np.array(found, float)
        columns.append(normalized(game, values) if measure == SCORE else values)
    fewest = min(map(len, columns), default=0)
    if not fewest:
        return None
    return np.stack([values[:fewest] for values in columns], axis=1)


def _value(run: RunResult, at: str | int, measure: str) -> float:
    is_return = measure in (SCORE, RETURN)
    values = run.returns if is_return else run.measured.get(measure, np.array([np.nan]))
    if isinstance(at, int):
        return float(values[at]) if at < len(values) else np.nan
    quarter = max(1, len(values) // 4)
    parts = {
        "first quarter": values[:quarter],
        "last quarter": values[-quarter:],
        WHOLE_RUN: values,
    }
    part = parts.get(at)
    if part is not None:
        return float(np.nanmean(part)) if np.isfinite(part).any() else np.nan
    found = last_finite(values[::-1] if at == "first" else values)
    return np.nan if found is None else found


def _difference(
    comparison: Comparison,
    first: np.ndarray,
    second: np.ndarray,
    measure: str,
    bootstrap: Bootstrap,
) -> Interval | None:
    """First less second; None where no run has a value."""
    one, other = comparison.first, comparison.second
    if one._replace(at="") == other._replace(at="") and measure != SCORE:
        paired = first - second
        paired = paired[np.isfinite(paired)]
        return stratified.of_mean(paired, bootstrap) if len(paired) else None
    summary = METRICS["iqm" if measure == SCORE else "mean"]
    kept = [values[np.isfinite(values).all(axis=1)] for values in (first, second)]
    if not all(map(len, kept)):
        return None
    return stratified.of_difference(kept[0], kept[1], summary, bootstrap)


def _margin(
    comparison: Comparison, measure: str, runs: Sequence[RunResult], games: Sequence[str]
) -> float:
    """What would not matter."""
    if comparison.margin is not None:
        return comparison.margin
    if measure in (DORMANT, SILENT):
        return _POINTS
    if measure != SCORE:
        return 0.0
    settings = {run.setting for run in runs if run.method == DQN}
    setting = next((c.setting for c in comparison[1:3] if c.setting in settings), "")
    plain = values_of(runs, Cell(DQN, setting), games, SCORE)
    return 0.0 if plain is None else _SHARE * abs(float(METRICS["iqm"](plain[None])[0]))


def judged(folder: Path, bootstrap: Bootstrap = DEFAULT) -> list[Judged]:
    """All claims, with what is known of them.

    Args:
      folder: holds `<experiment>/results.csv` of those that were run, and
        `unfinished/<experiment>.csv` of those some of whose cells are there.
      bootstrap: how intervals are made.
    """
    runs: dict[str, Sequence[RunResult]] = {}
    known = []
    for claim in CLAIMS:
        if claim.experiment not in runs:
            path = results_of(folder, claim.experiment)
            runs[claim.experiment] = () if path is None else read_csv(path).runs
        of_claim = runs[claim.experiment]
        found = tuple(verdicts(claim, of_claim, bootstrap))
        longest = max((float(run.agent_steps[-1]) for run in of_claim), default=0.0)
        known.append(Judged(claim, found, _comparisons(claim) - len(found), longest))
    return known


def results_of(folder: Path, experiment: str) -> Path | None:
    """The results of an experiment in a folder as `tables` has it; None where there are none."""
    places = (folder / experiment / RESULTS_FILE, folder / UNFINISHED / f"{experiment}.csv")
    return next((path for path in places if path.is_file()), None)


def is_whole(results: Path | None) -> bool:
    """Whether what `results_of` found is a sweep that is done."""
    return results is not None and results.parent.name != UNFINISHED


def _comparisons(claim: Claim) -> int:
    """How many verdicts a claim comes to when all of its runs are there."""
    if claim.is_over_all_games:
        return len(claim.comparisons)
    return sum(len(comparison.games) for comparison in claim.comparisons)

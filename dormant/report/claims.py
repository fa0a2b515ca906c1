# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The claims that docs/evidence.md tests, and their verdicts, from the results of the experiments.

`python -m dormant.report.claims results` prints the tables of that page, and with `--short` the
one of the README."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dormant.command_parser import CommandParser
from dormant.records.files import RESULTS_FILE
from dormant.records.results import RunResult
from dormant.report import bootstrap as stratified
from dormant.report.bootstrap import DEFAULT, METRICS, Bootstrap, Interval
from dormant.report.csv_results import read_csv
from dormant.report.scores import last_finite, normalized
from dormant.report.tables import Table, markdown
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
from dormant.reproduce.hypotheses import CLAIMS, DORMANT, DQN, OURS, SILENT

HOLDS, DOES_NOT_HOLD, UNDECIDED, MIXED = "holds", "does not hold", "undecided", "mixed"
NOT_RUN = "not run yet"
SO_FAR = " so far"  # after the verdict of a claim some of whose runs are not there yet
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
    # over all iterations (sample efficiency), and the difference in each of several games alone.
    improvement: Interval | None = None
    whole_run: Interval | None = None
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
            seeds = min(len(first), len(second))
            one = Verdict(comparison, games, seeds, difference, verdict)
            if together:
                one = one._replace(
                    improvement=stratified.of_improvement(first, second, bootstrap),
                    whole_run=_over_the_whole_run(comparison, runs, games, bootstrap),
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


def _over_the_whole_run(
    comparison: Comparison, runs: Sequence[RunResult], games: Sequence[str], bootstrap: Bootstrap
) -> Interval | None:
    first, second = (
        values_of(runs, cell._replace(at=WHOLE_RUN), games, SCORE)
        for cell in (comparison.first, comparison.second)
    )
    assert first is not None and second is not None  # as their final scores are there
    return _difference(comparison, first, second, SCORE, bootstrap)


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


def tables(claims: Sequence[Judged]) -> tuple[Table, Table, Table]:
    """All claims with their verdicts, all comparisons with their differences, and those of scores
    in each game alone."""
    header = (
        *("", "claim", "from", "tested by", "games", "agent steps", "seeds"),
        *("differences [95 % interval]", "comparisons", "verdict"),
    )
    rows = tuple(
        (
            *(each.claim.name, each.claim.text, each.claim.source, each.claim.experiment),
            *(names_of(each.games), *_scale(each), _range(each.found), _counted(each)),
            _verdict(each.found, each.is_partial),
        )
        for each in claims
    )
    of_each = (
        *("claim", "comparison", "games", "seeds", "difference [95 % interval]", "verdict"),
        *("probability of improvement", "difference over the whole run"),
    )
    details = tuple(
        (
            *(each.claim.name, one.comparison.name, names_of(one.games), str(one.seeds)),
            *(interval_text(one.difference), one.verdict),
            interval_text(one.improvement, sign=""),
            interval_text(one.whole_run),
        )
        for each in claims
        for one in each.found
    )
    alone = tuple(
        (
            *(each.claim.name, one.comparison.name, names_of([game]), str(one.seeds)),
            interval_text(difference),
        )
        for each in claims
        for one in each.found
        for game, difference in one.in_each_game
    )
    return (
        Table("Claims", header, rows),
        Table("Comparisons", of_each, details),
        Table("Scores of each game alone", of_each[:5], alone),
    )


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


def names_of(games: Sequence[str]) -> str:
    """Games as a table has them, such as "Asterix, Breakout"."""
    return ", ".join(game.removesuffix("-MinAtar") for game in games)


def _scale(one: Judged) -> tuple[str, str]:
    if not one.found:
        return "", ""
    return f"{one.agent_steps:,.0f}", str(min(each.seeds for each in one.found))


def _verdict(found: Sequence[Verdict], is_partial: bool) -> str:
    return overall(found) + (SO_FAR if is_partial else "")


def _range(found: Sequence[Verdict]) -> str:
    """The smallest and the largest of the differences."""
    ordered = sorted(
        (each.difference for each in found), key=lambda interval: np.nan_to_num(interval.value)
    )
    ends = ordered[:1] + ordered[1:][-1:]
    return " to ".join(map(interval_text, ends))


def _counted(one: Judged) -> str:
    """How many comparisons came to what; where they differ, in which games they did not hold."""
    if not one.found:
        return ""
    parts = []
    for kind in (HOLDS, DOES_NOT_HOLD, UNDECIDED):
        alike = [each for each in one.found if each.verdict == kind]
        if alike:
            games = dict.fromkeys(game for each in alike for game in each.games)
            differ = kind != HOLDS and len(one.games) > 1 and not one.claim.is_over_all_games
            parts.append(f"{len(alike)} {kind}" + (f" ({names_of(list(games))})" if differ else ""))
    return ", ".join([*parts, *([f"{one.missing} {NOT_RUN}"] if one.missing else [])])


def interval_text(interval: Interval | None, sign: str = "+") -> str:
    """The value and its interval, to three digits; "" for None."""
    if interval is None:
        return ""
    value, *ends = (None if x is None else f"{x:{sign}.3g}" for x in interval[:3])
    return f"{value} [{ends[0]}, {ends[1]}]" if ends[0] is not None else str(value)


def short(claims: Sequence[Judged]) -> Table:
    """What each of the paper's claims came to, in all experiments that tested it; without those of
    which nothing was run."""
    same: dict[str, list[Judged]] = {}
    for each in claims:
        if each.found and each.claim.source != OURS:
            same.setdefault(each.claim.text, []).append(each)
    rows = []
    for text, of_claim in same.items():
        found = [one for each in of_claim for one in each.found]
        by = "; ".join(_where(each) for each in of_claim)
        verdict = _verdict(found, any(each.is_partial for each in of_claim))
        rows.append((text, of_claim[0].claim.source, by, _range(found), verdict))
    header = ("claim", "from", "tested by: on", "differences [95 % interval]", "verdict")
    return Table("Claims", header, tuple(rows))


def _where(one: Judged) -> str:
    """The experiment, and on what it was."""
    experiment, games = one.claim.experiment, one.games
    if games == (experiment,):
        return experiment
    return f"{experiment}: {names_of(games) if len(games) == 1 else f'{len(games)} games'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables as Markdown. Returns the exit code: 0; 2 after one line on stderr."""
    parser = CommandParser("dormant.report.claims", main.__doc__)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("results"), help="of committed results"
    )
    parser.add_argument("--short", action="store_true", help="the paper's claims alone, for README")
    known = parser.parse_args(arguments)
    if not any(known.folder.glob("*/*.csv")):
        text = f"folder must hold the results of experiments; got {str(known.folder)!r}"
        print(f"dormant.report.claims: {text}", file=sys.stderr)
        return 2
    claims = judged(known.folder)
    for table in (short(claims),) if known.short else tables(claims):
        print(markdown(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())

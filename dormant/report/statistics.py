# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What the tables, figures and the page say of a method in a setting, each computed once."""

import functools
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from dormant.records.results import Collection, RunResult
from dormant.records.schema import SCHEMA, Schema
from dormant.report import bootstrap as stratified
from dormant.report.bootstrap import DEFAULT, METRICS, Band, Bootstrap, Interval
from dormant.report.lengths import different_ends, end_of
from dormant.report.looks import Line, Looks
from dormant.report.measurements import Measure, Series, series_of
from dormant.report.scores import final_score, normalized
from dormant.report.tables import sentence


class Statistics:
    """Aggregates of a collection's runs with 95 % stratified bootstrap intervals.

    Metrics of the final scores and what a run measured are remembered, as several parts of a
    report share them. The schema has the measures that tables and charts are of.

    Raises:
      ValueError: by what aggregates over games: a planned game has no whole run, or a game has no
        reference scores.
    """

    def __init__(
        self, collection: Collection, bootstrap: Bootstrap = DEFAULT, schema: Schema = SCHEMA
    ):
        self.collection, self.bootstrap, self.schema = collection, bootstrap, schema
        self.lines = Looks(collection).lines
        self._series: dict[int, dict[Measure, Series]] = {}
        self._metrics: dict[tuple[str, str], dict[str, Interval]] = {}
        self._runs: dict[tuple[str, str, str], list[RunResult]] = defaultdict(list)
        for run in collection.runs:
            self._runs[run.method, run.setting, run.game].append(run)
        planned = collection.experiment.runs
        self._planned = Counter((run.method, run.setting, run.game) for run in planned)

    def series(self, run: RunResult) -> dict[Measure, Series]:
        """All that a run measured, at the experiment's tau."""
        if id(run) not in self._series:
            tau = self.collection.experiment.tau
            self._series[id(run)] = series_of(run, self.schema, tau)
        return self._series[id(run)]

    def runs(self, method: str, setting: str, game: str) -> Sequence[RunResult]:
        """The whole runs of one game."""
        return self._runs.get((method, setting, game), ())

    def aggregate(self, method: str, setting: str, metric: str = "iqm") -> Interval:
        """One of `METRICS` of the final normalized scores of a method in a setting.

        Raises:
          ValueError: metric is none of "iqm", "median", "mean" and "optimality_gap".
        """
        if metric not in METRICS:
            raise ValueError(f"metric must be one of {sorted(METRICS)}; got {metric!r}")
        key = (method, setting)
        if key not in self._metrics:
            scores = self.score_matrix(method, setting)
            self._metrics[key] = stratified.of_metrics(scores, self.bootstrap)
        return self._metrics[key][metric]

    def iqm_curve(self, method: str, setting: str, points: int) -> tuple[np.ndarray, Band, str]:
        """Sample efficiency: the IQM of normalized scores over agent steps.

        Iterations that some run lacks, or in which no episode of it ended, are left out; of the
        steps that remain at most `points` are taken, evenly spread.

        Returns:
          (P,) float64 agent steps, the values there, and how many iterations are left out.

        Raises:
          ValueError: no iteration is in all runs.
        """
        levelled = self.runs_of_each_game(method, setting)
        everyone = [run for runs in levelled for run in runs]
        shared = shared_steps([run.agent_steps for run in everyone])
        with_returns = [run.agent_steps[np.isfinite(run.returns)] for run in everyone]
        steps = shared_steps([shared, *with_returns])
        if not steps.size:
            name = Line(method, setting).label
            raise ValueError(f"runs must share iterations to have one curve; got none in {name}")
        kept = steps[places(len(steps), points)]
        scores = [
            [normalized(run.game, run.returns[np.isin(run.agent_steps, kept)]) for run in runs]
            for runs in levelled
        ]
        band = stratified.of_iqm_curve(np.array(scores).transpose(1, 0, 2), self.bootstrap)
        total = len(steps_until(shared[-1], [run.agent_steps for run in everyone]))
        left_out = total - len(steps)
        return kept, band, f"{left_out} of {total} iterations" if left_out else ""

    def performance_profile(self, method: str, setting: str, thresholds: np.ndarray) -> Band:
        """For each of (T,) thresholds the share of runs with a final normalized score above it."""
        scores = self.score_matrix(method, setting)
        return stratified.of_profile(scores, np.asarray(thresholds, float), self.bootstrap)

    def probability_of_improvement(self, method: str, other: str, setting: str) -> Interval:
        """How likely a run of a method beats one of the other on the same game, over games.

        Raises:
          ValueError: the methods have different games.
        """
        games = [self._planned_games(each, setting) for each in (method, other)]
        if games[0] != games[1]:
            raise ValueError(
                f"two methods must have the same games to be compared; got {games[0]} of {method!r}"
                f" and {games[1]} of {other!r}"
            )
        first, second = (self.score_matrix(each, setting) for each in (method, other))
        return stratified.of_improvement(first, second, self.bootstrap)

    def mean(self, values: Sequence[float]) -> Interval:
        """The mean of one value a run, with its interval over the runs.

        Raises:
          ValueError: there are no values.
        """
        if not len(values):
            raise ValueError(f"values must hold one number for each run; got {values!r}")
        return stratified.of_mean(np.asarray(values, float), self.bootstrap)

    def score_matrix(self, method: str, setting: str) -> np.ndarray:
        """(runs, games) float64: final normalized scores, games in the order of their names."""
        levelled = self.runs_of_each_game(method, setting)
        return np.array(
            [[normalized(run.game, [final_score(run)])[0] for run in runs] for runs in levelled]
        ).T

    def runs_of_each_game(self, method: str, setting: str) -> list[list[RunResult]]:
        """The whole runs of each planned game, as many of each: the fewest that any game has.

        Raises:
          ValueError: nothing was planned, or a planned game has no whole run. An average over the
            others would be of other games than those of the rest of the table. Or the runs of one
            game are longer than those of another.
        """
        games, name = self._planned_games(method, setting), Line(method, setting).label
        if not games:
            raise ValueError(f"method and setting must be planned; got {name}")
        found = {game: self.runs(method, setting, game) for game in games}
        if missing := [game for game, runs in found.items() if not runs]:
            raise ValueError(
                f"all {len(games)} games of {name} must have a whole run; got none of"
                f" {', '.join(missing)}"
            )
        if different_ends([max(runs, key=end_of) for runs in found.values()]):
            ends = (f"{game} ends at {self.end(method, setting, game):,}" for game in games)
            raise ValueError(
                f"all games of {name} must end at one step to be averaged; got"
                f" {', '.join(ends)} agent steps"
            )
        fewest = min(len(runs) for runs in found.values())
        return [sorted(runs, key=lambda run: run.seed)[:fewest] for runs in found.values()]

    def runs_not_used(self, method: str, setting: str) -> list[RunResult]:
        """The whole runs that no aggregate takes, as another game has fewer."""
        used = {id(run) for runs in self.runs_of_each_game(method, setting) for run in runs}
        return [
            run
            for run in self.collection.runs
            if (run.method, run.setting) == (method, setting) and id(run) not in used
        ]

    def end(self, method: str, setting: str, game: str) -> int:
        """The agent steps at which the whole runs of a game end, those of the longest."""
        return int(max(map(end_of, self.runs(method, setting, game)), default=0))

    def different_lengths(self) -> list[str]:
        """Where methods or settings that are shown together end at different steps."""
        found: dict[str, str] = {}
        for game in dict.fromkeys(run.game for run in self.collection.runs):
            there = {line: runs for line in self.lines if (runs := self.runs(*line, game))}
            if different_ends([max(runs, key=end_of) for runs in there.values()]):
                ends = tuple(f"{line.label} at {self.end(*line, game):,}" for line in there)
                found.setdefault(sentence(ends), game)
        return [
            f"{game}: not all that is shown together ends at the same agent step: {ends}"
            for ends, game in found.items()
        ]

    def planned(self, method: str, setting: str, game: str) -> int:
        """How many runs of one game were planned."""
        return self._planned[method, setting, game]

    def _planned_games(self, method: str, setting: str) -> list[str]:
        """In an order of their own: the strata are drawn in it, so it decides the digits.

        Where nobody planned they are all that there are: an average of fewer games would stand
        beside one of all.
        """
        games = [game for *of, game in self._planned if of == [method, setting]]
        if games and not self.collection.experiment.scale:
            games = list({game for *_, game in self._planned})
        return sorted(games)


def places(length: int, points: int) -> np.ndarray:
    """At most `points` indices, evenly spread, the first and the last among them."""
    if length <= points:
        return np.arange(length)
    return np.linspace(0, length - 1, points).round().astype(int)


def steps_until(last: float, steps: Sequence[np.ndarray]) -> np.ndarray:
    """The steps up to the last that are in any of them, rising."""
    every = functools.reduce(np.union1d, steps)
    return every[every <= last]


def shared_steps(steps: Sequence[np.ndarray]) -> np.ndarray:
    """The steps that are in all of them, rising."""
    return functools.reduce(np.intersect1d, steps)

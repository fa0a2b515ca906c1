# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs of several collections in one, for the same tables."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from dormant.records.experiment_file import PlannedRun
from dormant.records.restated import at_tau, until
from dormant.records.results import NOT_STARTED, Absence, Collection, RunResult, run_key
from dormant.report.lengths import end_of
from dormant.report.scores import game_key, one_name_of_each
from dormant.report.sources import as_planned, with_comparable_returns

_Run = TypeVar("_Run", RunResult, PlannedRun)


def with_others(first: Collection, others: Sequence[Collection]) -> Collection:
    """The first collection, whose plan, title and tau stay, with the runs of the others.

    Both are compared at one length: measurements after the longest run of the first are left out.
    A game has the name that the first gives it; games and versions that the first lacks are left
    out, and one of the first's that another lacks is missing there, so that no average is of fewer
    games. Where the first compares settings, a run without one gets its collection's name for a
    setting. A method that both have in one setting is told apart by that name too. A run that is
    not whole is one here if it came as far as the first's longest.

    Raises:
      ValueError: a collection has no whole run of the first's games within its length.
    """
    runs, partial, absent = list(first.runs), list(first.partial), list(first.absent)
    planned = list(first.experiment.runs)
    notes = [note for each in (first, *others) for note in each.notes]
    own_games = list(dict.fromkeys(run.game for run in planned))
    longest = max(run.agent_steps for run in (*planned, *map(as_planned, first.runs)))
    names = _different([other.experiment.name for other in others])
    for name, other in zip(names, others, strict=True):
        called = one_name_of_each([*own_games, *(run.game for run in other.experiment.runs)])
        games = {game: own for game, own in called.items() if own in own_games}
        versions = sorted(
            game
            for game in called.keys() - games.keys()
            if game_key(game) in map(game_key, own_games)
        )
        if versions:
            notes.append(f"{name}: {', '.join(versions)} are other versions, and left out")
        known = {(run.method, run.setting) for run in planned}
        default = name if first.experiment.setting_name else ""
        taus = other.experiment.tau, first.experiment.tau
        whole = [run for run in other.partial if end_of(run) >= longest]
        reach = {run_key(run) for run in whole}
        added = _cut(_renamed((*other.runs, *whole), games, known, default, name), longest, *taus)
        if not added:
            raise ValueError(
                f"--compare must name runs of {', '.join(own_games)} within {longest:,} agent"
                f" steps; got none in {name}"
            )
        left = [run for run in other.partial if run_key(run) not in reach]
        partial += _cut(_renamed(left, games, known, default, name), longest, *taus)
        short = [absence for absence in other.absent if run_key(absence.run) not in reach]
        lacking = [
            # Its folder is one of the other's, and may be the name of one here too.
            absence._replace(run=run._replace(folder=f"{name}: {run.folder}"))
            for absence in short
            for run in _renamed([absence.run], games, known, default, name)
        ]
        there = {run_key(run)[:3] for run in added} | {run_key(each.run)[:3] for each in lacking}
        first_of_each = {(run.method, run.setting): run for run in reversed(added)}.values()
        for run, game in itertools.product(first_of_each, own_games):
            if (run.method, run.setting, game) not in there:
                missing = as_planned(run._replace(game=game, seed=0))._replace(agent_steps=longest)
                lacking.append(Absence(missing, NOT_STARTED, f"{name} has no such run"))
        missing_too = f", {len(lacking)} others are not whole or missing" if lacking else ""
        notes.append(f"{name}: {len(added)} runs are compared{missing_too}")
        runs += added
        planned += [*map(as_planned, added), *(absence.run for absence in lacking)]
        absent += lacking
    together = first._replace(
        experiment=first.experiment._replace(runs=tuple(planned)),
        runs=tuple(runs),
        partial=tuple(partial),
        absent=tuple(absent),
        notes=tuple(dict.fromkeys(notes)),
        warnings=tuple(dict.fromkeys(said for each in (first, *others) for said in each.warnings)),
        compared=tuple(planned[len(first.experiment.runs) :]),
        planned_by="",
    )
    return with_comparable_returns(together)


def _renamed(
    runs: Iterable[_Run],
    games: Mapping[str, str],
    known: set[tuple[str, str]],
    default: str,
    source: str,
) -> list[_Run]:
    """Runs of a source as the first collection calls them, without games that it lacks."""
    found = []
    for run in runs:
        setting = run.setting or default
        method = f"{run.method} ({source})" if (run.method, setting) in known else run.method
        if (game := games.get(run.game)) is not None:
            found.append(run._replace(method=method, setting=setting, game=game))
    return found


def _cut(runs: Iterable[RunResult], longest: int, own_tau: float, tau: float) -> list[RunResult]:
    """The runs until so many agent steps and at tau, without those that have nothing there."""
    cut = [until(at_tau(run, own_tau, tau), longest) for run in runs]
    return [run for run in cut if run.agent_steps.size]


def _different(names: Sequence[str]) -> list[str]:
    """The names, those that come again with their number."""
    found: list[str] = []
    for name in names:
        numbered = (f"{name}, {number}" if number > 1 else name for number in itertools.count(1))
        found.append(next(each for each in numbered if each not in found))
    return found

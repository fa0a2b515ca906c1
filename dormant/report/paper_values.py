# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The paper's values beside runs that its experiment did not plan."""

from dormant.records.results import Collection
from dormant.report.scores import game_key
from dormant.report.tables import sentence
from dormant.reproduce import catalog
from dormant.reproduce.jobs import lacking


def beside_paper(collection: Collection, name: str) -> Collection:
    """The collection with what the paper reports of an experiment, by its name.

    Values are of the methods and settings that are called as the experiment calls them, small and
    capital letters aside, and of games under any of their names. Where dormant neurons are counted
    at another tau, only returns and scores are compared.

    Raises:
      ValueError: there is no such experiment, the paper reports no value of it, no method is one of
        its, or the runs are those of a smoke test.
    """
    experiment, own = catalog.find(name, "--paper"), collection.experiment
    if own.scale == "smoke":
        raise ValueError(f"--paper must be of longer runs than smoke; got {own.name}")
    if not experiment.paper:
        raise ValueError(f"--paper must name an experiment with published values; got {name!r}")
    lines = {_plain(run.method, run.setting): run for run in own.runs}
    games = {game_key(run.game): run.game for run in own.runs}
    same_tau = own.tau == experiment.tau
    values, absent = [], []
    for value in experiment.paper:
        line = lines.get(_plain(value.method, value.setting))
        game = value.game and games.get(game_key(value.game))
        if not same_tau and value.measure not in ("iqm", "return"):
            continue
        if line is None or (value.game and not game):
            absent.append(" / ".join(filter(None, (value.method, value.setting, value.game))))
        else:
            values.append(value._replace(method=line.method, setting=line.setting, game=game))
    if not values:
        called = (" / ".join(filter(None, (run.method, run.setting))) for run in own.runs)
        there = sentence(list(dict.fromkeys(called)))
        raise ValueError(
            f"--paper {name} has values of {sentence(absent) or f'tau {experiment.tau:g} alone'};"
            f" runs must be called so to stand beside them; got {there}"
        )
    notes = list(collection.notes)
    if absent:
        notes.append(f"the paper's values of these have no runs here: {sentence(absent)}")
    if not same_tau:
        notes.append(
            f"the paper counts dormant neurons of {name} at tau {experiment.tau:g}, these runs at"
            f" {own.tau:g}: they are not compared"
        )
    published = {game_key(game): game for family in experiment.families.values()
                 for game in family.games}  # fmt: skip
    as_published = [
        run._replace(game=published.get(game_key(run.game), run.game)) for run in own.runs
    ]
    reduced = lacking(experiment, as_published)
    changed = own._replace(paper=tuple(values), reduced=reduced)
    return collection._replace(experiment=changed, notes=tuple(notes))


def _plain(method: str, setting: str) -> tuple[str, str]:
    return method.casefold(), setting.casefold()

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A part of docs/which-intervention.md: every intervention in one setting, beside plain DQN."""

from pathlib import Path

from dormant.report.claims import names_of
from dormant.report.pages import text
from dormant.report.pages.advice import Measured
from dormant.report.pages.differences import (
    difference,
    interval_and_side,
    link,
    runs_of,
    value_text,
)
from dormant.report.verdicts import results_of
from dormant.reproduce.comparisons import SCORE
from dormant.reproduce.hypotheses import DORMANT, DQN
from dormant.reproduce.interventions import INTERVENTION_GAMES, INTERVENTIONS, METHODS

TITLE = "Every intervention in one setting"
_TO_COME = "to come"
_WORDS = {DORMANT: "dormant %", SCORE: "score"}


def section(results: Path) -> tuple[str, ...]:
    """The parts of the page, its heading first; none where nothing has been run."""
    if results_of(results, INTERVENTIONS.name) is None:
        return ()
    there = {(run.method, run.game) for run in runs_of(INTERVENTIONS.name, results)}
    games = [game for game in INTERVENTION_GAMES if (DQN, game) in there]
    header = [f"{_WORDS[measure]}, {names_of([game])}" for measure in _WORDS for game in games]
    return (
        f"## {TITLE}",
        text.paragraph(
            "Two dense layers at learning rate 1e-3, four times the usual one, where plain DQN"
            " loses neurons fast; replay ratio 1, 100 000 agent steps, ten seeds. Each with the"
            " options of its paper where these have a meaning here, and none of them searched: what"
            " is low here may be high with others. Each cell is the difference from plain DQN,"
            f" which itself has {_of_plain(games, results)}. Of so many one or two in each column"
            f" lie apart from 0 by chance alone. {link(INTERVENTIONS.name, results)}."
        ),
        text.table(
            ("intervention", *header),
            (
                (method, *_differences(method, games, there, results))
                for method in METHODS
                if method != DQN
            ),
        ),
    )


def _differences(
    method: str, games: list[str], there: set[tuple[str, str]], results: Path
) -> list[str]:
    return [
        interval_and_side(difference(_less_plain(method, measure, game), results))
        if (method, game) in there
        else _TO_COME
        for measure in _WORDS
        for game in games
    ]


def _of_plain(games: list[str], results: Path) -> str:
    """Such as "in Asterix 30 [29, 31] % dormant and a score of 0.01 [0, 0.02]"."""
    parts = []
    for game in games:
        dormant, score = (
            value_text(_less_plain(DQN, measure, game), (DQN, ""), results) for measure in _WORDS
        )
        parts.append(f"in {names_of([game])} {dormant} % dormant and a score of {score}")
    return ", ".join(parts)


def _less_plain(method: str, measure: str, game: str) -> Measured:
    return Measured(INTERVENTIONS.name, measure, (method, ""), (DQN, ""), (game,))

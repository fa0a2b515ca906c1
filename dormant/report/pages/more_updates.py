# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A part of docs/which-intervention.md: what more updates do to plain DQN, and what ReDo does."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dormant.report.bootstrap import Interval
from dormant.report.claims import names_of
from dormant.report.pages import text
from dormant.report.pages.advice import Measured
from dormant.report.pages.differences import difference, interval_and_side, link, side
from dormant.reproduce.comparisons import SCORE
from dormant.reproduce.evidence import LEARNING_RATES, THREE_GAMES
from dormant.reproduce.families import MINATAR
from dormant.reproduce.hypotheses import DQN, REDO
from dormant.reproduce.methods import at_rate, at_ratio

TITLE = "What more updates do tells what ReDo does"
_LEAST, _MIDDLE, _MOST = "0.25", "1", "2"  # replay ratios that all of them have


class Setting(NamedTuple):
    """A network that learns a game at several replay ratios, without ReDo and with it."""

    experiment: str
    what: str  # in words
    learning_rate: str  # as its settings have it; "" where they have none
    game: str

    def measured(self, first: tuple[str, str], second: tuple[str, str]) -> Measured:
        """The comparison of two (method, replay ratio)."""
        cells = [(method, self._setting(ratio)) for method, ratio in (first, second)]
        return Measured(self.experiment, SCORE, cells[0], cells[1], (self.game,))

    def _setting(self, ratio: str) -> str:
        return at_rate(self.learning_rate, ratio) if self.learning_rate else at_ratio(ratio)


class Found(NamedTuple):
    """Differences of scores in a setting."""

    setting: Setting
    of_updates: Interval  # plain DQN at the highest replay ratio, less at the lowest
    of_redo: tuple[Interval, Interval]  # ReDo less plain DQN, at the middle and the highest


def settings() -> Iterator[Setting]:
    """All that have been run."""
    for game in MINATAR:
        yield Setting("minatar_long", "300 000", "", game)
    yield Setting("minatar_convolution", "300 000, a convolution", "", MINATAR[0])
    for each in LEARNING_RATES:
        for game in THREE_GAMES:
            yield Setting("minatar_rates", f"100 000, learning rate {each}", each, game)
    for game in MINATAR:
        yield Setting("minatar_replay_ratio", "30 000", "", game)


def found(results: Path) -> tuple[Found, ...]:
    """The differences of all settings, from the results in a folder."""
    return tuple(
        Found(
            each,
            difference(each.measured((DQN, _MOST), (DQN, _LEAST)), results),
            (
                difference(each.measured((REDO, _MIDDLE), (DQN, _MIDDLE)), results),
                difference(each.measured((REDO, _MOST), (DQN, _MOST)), results),
            ),
        )
        for each in settings()
    )


def agreement(pairs: Iterable[tuple[Interval, Interval]]) -> tuple[int, int]:
    """Of the pairs of which neither interval holds 0, how many have opposite signs, and how many
    the same."""
    sides = [(side(one), side(other)) for one, other in pairs]
    told = [one != other for one, other in sides if "open" not in (one, other)]
    return sum(told), len(told) - sum(told)


def section(results: Path) -> tuple[str, ...]:
    """The parts of the page, its heading first."""
    rows = found(results)
    opposite, same = agreement((row.of_updates, redo) for row in rows for redo in row.of_redo)
    opposite_at_middle, same_at_middle = agreement((row.of_updates, row.of_redo[0]) for row in rows)
    header = (
        *("agent steps", "game"),
        f"plain DQN, replay ratio {_MOST} less {_LEAST}",
        *(f"ReDo less plain DQN, at {ratio}" for ratio in (_MIDDLE, _MOST)),
        "experiment",
    )
    return (
        f"## {TITLE}",
        text.paragraph(
            "More updates per agent step raise plain DQN's score in some games and lower it in"
            " others. Where they lower it ReDo gives some of it back; where they raise it ReDo"
            " costs. The number of dormant neurons does not tell the two apart. So before a trial"
            " of ReDo train the plain agent at a lower and at a higher replay ratio: if the higher"
            " one scores better, expect no gain."
        ),
        text.paragraph(
            f"Each row is a setting, {len(rows)} in all, with a comparison of ReDo at either replay"
            f" ratio. Of these {2 * len(rows)} there are {opposite + same} where both differences"
            f" lie apart from 0: their signs are opposite in {opposite} and alike in {same} (at"
            f" replay ratio {_MIDDLE}, {opposite_at_middle} and {same_at_middle}). This was seen"
            " when all results were known and is no hypothesis that was tested, and the rows do not"
            " stand apart: they are of four games. Those of 30 000 agent steps have ReDo with one"
            f" step count of Adam. At replay ratio {_MOST} both columns have the"
            " same runs of plain DQN, whose chance alone pulls their signs apart; at"
            f" {_MIDDLE} they have not. A test would be the convolution on three further games"
            " (`minatar_convolution_games`), which was not run."
        ),
        text.table(header, (_row(each, results) for each in rows)),
    )


def _row(one: Found, results: Path) -> tuple[str, ...]:
    differences = (one.of_updates, *one.of_redo)
    return (
        *(one.setting.what, names_of([one.setting.game])),
        *(interval_and_side(each) for each in differences),
        link(one.setting.experiment, results),
    )

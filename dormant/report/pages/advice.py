# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What docs/which-intervention.md advises, and by which comparisons of committed runs."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

from dormant.records.per_iteration import ACCURACY
from dormant.reproduce.comparisons import SCORE
from dormant.reproduce.evidence import THREE_GAMES
from dormant.reproduce.families import MINATAR
from dormant.reproduce.hypotheses import DORMANT, DQN, ONE_COUNT, REDO, RESET, WEIGHT_DECAY
from dormant.reproduce.methods import at_rate, at_ratio

_ASTERIX, _BREAKOUT, _, _SPACE_INVADERS = MINATAR
WEIGHT_DECAY_QUESTION = "Weight decay 1e-5 in place of ReDo?"


class Measured(NamedTuple):
    """A comparison of two cells of an experiment.

    Attributes:
      experiment: whose results.
      measure: `SCORE`, or a column of results.csv.
      first, second: (method, setting) of each.
      games: of a score all together; of a column one.
    """

    experiment: str
    measure: str
    first: tuple[str, str]
    second: tuple[str, str]
    games: tuple[str, ...]


class Advice(NamedTuple):
    """A row of a table.

    Attributes:
      situation, advice: what it says; in `CHOICES` a question and its answer.
      measured: what it says it by; the first stands in the table.
    """

    situation: str
    advice: str
    measured: tuple[Measured, ...]


def _of(experiment: str, games: Sequence[str]):
    return functools.partial(Measured, experiment, games=tuple(games))


_convolution = _of("minatar_convolution", (_ASTERIX,))
_rates = _of("minatar_rates", THREE_GAMES)
_width = _of("minatar_width", (_ASTERIX, _BREAKOUT))
_tau = _of("minatar_tau", (_ASTERIX, _SPACE_INVADERS))
_long = _of("minatar_long", MINATAR)
_sweep = _of("minatar_replay_ratio", MINATAR)
_budget = _of("minatar_fixed_budget", MINATAR)
_digits = _of("digits", ("digits",))


def _pair(of, measure: str, setting: str, first: str = REDO, second: str = DQN) -> Measured:
    return of(measure, (first, setting), (second, setting))


def _of_each_game(measured: Measured) -> tuple[Measured, ...]:
    """A comparison for each of its games alone."""
    return tuple(measured._replace(games=(game,)) for game in measured.games)


def _redo_at(tau: str, period: str = "1000") -> tuple[str, str]:
    return f"{REDO}, tau {tau}", f"period {period}"


SITUATIONS = (
    Advice(
        "A convolution at replay ratio 0.5 or more, which ends lower the more it is updated",
        "ReDo, tau 0.1, period 1 000. It slows the fall and does not undo it; a lower replay ratio"
        " does more",
        (
            *(_pair(_convolution, SCORE, at_ratio(each)) for each in ("1", "0.5", "2")),
            _pair(_convolution, DORMANT, at_ratio("1")),
            _convolution(SCORE, (DQN, at_ratio("0.25")), (REDO, at_ratio("2"))),
        ),
    ),
    Advice(
        "A convolution at replay ratio 0.25, DQN's default",
        "None to raise the return; ReDo leaves fewer dormant neurons",
        tuple(_pair(_convolution, each, at_ratio("0.25")) for each in (SCORE, DORMANT)),
    ),
    Advice(
        "Two dense layers at a usual learning rate, 2.5e-4",
        "L2 weight decay of 1e-5, which gained in Freeway and Asterix at replay ratios 1 and 2; at"
        " 0.25, DQN's default, it gained in Freeway alone and its score over all four games is"
        " lower. It cost in no single game for sure. ReDo leaves fewer dormant neurons and gained"
        " in Freeway alone; in Breakout and Space Invaders it cost",
        (
            *(_pair(_long, SCORE, at_ratio(each), WEIGHT_DECAY) for each in ("1", "0.25", "2")),
            *_of_each_game(_pair(_long, SCORE, at_ratio("2"), WEIGHT_DECAY)),
            *(_pair(_long, SCORE, at_ratio(each)) for each in ("1", "0.25", "2")),
            *_of_each_game(_pair(_long, SCORE, at_ratio("1"))),
            *_of_each_game(_pair(_long, SCORE, at_ratio("2"))),
            *_of_each_game(_pair(_long, DORMANT, at_ratio("1"))),
            *(_pair(_rates, SCORE, at_rate("2.5e-4", each)) for each in ("1", "0.25", "2")),
        ),
    ),
    Advice(
        "Two dense layers, and a higher return is wanted",
        "A wider network: it did more than ReDo",
        (
            _width(SCORE, (DQN, "width 512"), (DQN, "width 128")),
            *_of_each_game(_width(SCORE, (DQN, "width 512"), (DQN, "width 128"))),
            _pair(_width, SCORE, "width 512"),
            *_of_each_game(_pair(_width, SCORE, "width 512")),
        ),
    ),
    Advice(
        "Very many dormant neurons at a high learning rate",
        "Lower the learning rate first",
        (
            *_of_each_game(
                _rates(DORMANT, (DQN, at_rate("3e-3", "1")), (DQN, at_rate("2.5e-4", "1")))
            ),
            _rates(SCORE, (DQN, at_rate("3e-3", "1")), (DQN, at_rate("2.5e-4", "1"))),
        ),
    ),
    Advice(
        "Dense layers at learning rate 1e-3 and replay ratio 1 or 2",
        "Not ReDo before a trial: in Space Invaders it lost return and made more neurons dormant;"
        " in Asterix it gained a little, and in Breakout no difference was found",
        (
            *(_pair(_rates, SCORE, at_rate("1e-3", each)) for each in ("1", "2")),
            *(
                one
                for each in ("1", "2")
                for one in _of_each_game(_pair(_rates, SCORE, at_rate("1e-3", each)))
            ),
            *_of_each_game(_pair(_rates, DORMANT, at_rate("1e-3", "1"))),
        ),
    ),
    Advice(
        "Dense layers at a learning rate of 3e-3 that cannot be lowered",
        "ReDo at replay ratios 1 and 2; it does not reach what a lower learning rate does",
        (
            *(_pair(_rates, SCORE, at_rate("3e-3", each)) for each in ("1", "2")),
            _rates(SCORE, (REDO, at_rate("3e-3", "2")), (DQN, at_rate("2.5e-4", "2"))),
        ),
    ),
    Advice(
        "A classifier whose labels change again and again",
        "ReDo, tau 0.1, with Adam and with SGD",
        tuple(
            _pair(
                _digits, measure, f"optimizer {each}", "shuffled labels + ReDo", "shuffled labels"
            )
            for each in ("Adam", "SGD")
            for measure in (ACCURACY, DORMANT)
        ),
    ),
)

# Of ReDo's options, and of what else there is.
CHOICES = (
    Advice(
        "Which tau?",
        "0.1, the paper's. No difference of scores was found; a lower one leaves more dormant"
        " neurons. An adaptive tau gained nothing",
        (
            *(_tau(SCORE, _redo_at("0.1"), _redo_at(other)) for other in ("0.0", "0.025", "0.2")),
            *(
                _tau(DORMANT, _redo_at("0.1"), _redo_at(other))._replace(games=(_SPACE_INVADERS,))
                for other in ("0.0", "0.025", "0.2")
            ),
            _tau(SCORE, (f"{REDO}, adaptive tau", "period 1000"), _redo_at("0.1")),
        ),
    ),
    Advice(
        "Which period?",
        "1 000 gradient steps, the paper's. No difference of scores was found; a longer one leaves"
        " more dormant neurons, a shorter one fewer",
        tuple(
            _tau(measure, _redo_at("0.1"), _redo_at("0.1", other))._replace(
                games=(_ASTERIX, _SPACE_INVADERS) if measure == SCORE else (_SPACE_INVADERS,)
            )
            for other in ("100", "10000")
            for measure in (SCORE, DORMANT)
        ),
    ),
    Advice(
        "Which step count of Adam do new weights have?",
        "One for each entry (`per_entry_counts`, `adam_count='per_entry'`): fewer dormant neurons"
        " and a classifier that learns more. Of returns it was ahead at learning rate 3e-3 and"
        " replay ratio 2; at 2.5e-4 and 1 the one count was, by a little, and left as few dormant"
        " neurons but for Space Invaders",
        (
            _pair(
                _digits,
                ACCURACY,
                "optimizer Adam",
                "shuffled labels + ReDo",
                "shuffled labels + ReDo, one step count",
            ),
            *(
                _pair(_rates, DORMANT, at_rate("3e-3", "1"), second=ONE_COUNT)._replace(
                    games=(game,)
                )
                for game in THREE_GAMES
            ),
            *(_pair(_rates, SCORE, at_rate("3e-3", each), second=ONE_COUNT) for each in ("1", "2")),
            *(_pair(_long, SCORE, at_ratio(each), second=ONE_COUNT) for each in ("1", "0.25", "2")),
            *_of_each_game(_pair(_long, DORMANT, at_ratio("1"), second=ONE_COUNT)),
            *_of_each_game(_pair(_long, DORMANT, at_ratio("2"), second=ONE_COUNT)),
        ),
    ),
    Advice(
        "Which neurons to recycle?",
        "Those of the lowest dormancy score, never of the highest; random ones lost return in"
        " Breakout and Space Invaders and gained in Freeway, which plain DQN hardly learns",
        (
            *(_budget(SCORE, (each, ""), (DQN, "")) for each in ("highest score", "random")),
            *_of_each_game(_budget(SCORE, ("random", ""), (DQN, ""))),
            _budget(SCORE, ("lowest score", ""), (DQN, "")),
            *_of_each_game(_budget(SCORE, ("lowest score", ""), (DQN, ""))),
        ),
    ),
    Advice(
        "Continual backpropagation's utility in place of the dormancy score?",
        "No reason to: no difference was found",
        (
            _of("minatar_utility", MINATAR)(
                SCORE, ("DQN + ReDo by utility", ""), ("DQN + ReDo", "")
            ),
        ),
    ),
    Advice(
        "Resets of the last hidden layer in place of ReDo?",
        "Not with an untuned period: every 5 000 gradient steps in runs of 30 000 agent steps, or"
        " 12 000 in runs of 300 000, they cost much of the return",
        (
            _pair(_long, SCORE, at_ratio("1"), RESET),
            *_of_each_game(_pair(_long, SCORE, at_ratio("1"), RESET)),
            *(_pair(_sweep, SCORE, at_ratio(each), RESET) for each in ("1", "2")),
        ),
    ),
    Advice(
        WEIGHT_DECAY_QUESTION,
        "Try it first at replay ratios 1 and 2, where over all games it scored more than ReDo and"
        " than plain DQN, and in none surely less than either. At 0.25, DQN's default, it"
        " scored more than either in Freeway and was told apart from neither in the other games,"
        " which the score of all four hides. It wakes few dormant neurons; in Freeway there were"
        " more",
        (
            _pair(_long, SCORE, at_ratio("1"), WEIGHT_DECAY, REDO),
            *_of_each_game(_pair(_long, SCORE, at_ratio("1"), WEIGHT_DECAY, REDO)),
            *_of_each_game(_pair(_long, SCORE, at_ratio("1"), WEIGHT_DECAY)),
            _pair(_long, SCORE, at_ratio("2"), WEIGHT_DECAY, REDO),
            *_of_each_game(_pair(_long, SCORE, at_ratio("2"), WEIGHT_DECAY, REDO)),
            *_of_each_game(_pair(_long, SCORE, at_ratio("2"), WEIGHT_DECAY)),
            _pair(_long, SCORE, at_ratio("0.25"), WEIGHT_DECAY, REDO),
            _pair(_long, SCORE, at_ratio("0.25"), WEIGHT_DECAY),
            *_of_each_game(_pair(_long, SCORE, at_ratio("0.25"), WEIGHT_DECAY)),
            *_of_each_game(_pair(_long, SCORE, at_ratio("0.25"), WEIGHT_DECAY, REDO)),
            *_of_each_game(_pair(_long, DORMANT, at_ratio("1"), WEIGHT_DECAY)),
            *(_pair(_sweep, SCORE, at_ratio(each), WEIGHT_DECAY) for each in ("2", "1")),
        ),
    ),
    Advice(
        "Pruning silent neurons in place of recycling them?",
        "The score of plain DQN at this length; a small loss is not excluded",
        (_of("minatar_prune", MINATAR)(SCORE, ("DQN + pruning", ""), (DQN, "")),),
    ),
)

ADVICE = (*SITUATIONS, *CHOICES)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""docs/which-intervention.md: what to do about dormant neurons, by our own measurements alone.
What is advised stands here; every number is computed from results/."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dormant.records.files import RESULTS_FILE
from dormant.records.per_iteration import ACCURACY
from dormant.records.results import RunResult
from dormant.report import bootstrap as stratified
from dormant.report.bootstrap import DEFAULT, Interval
from dormant.report.claims import interval_text, values_of, verdicts
from dormant.report.csv_results import read_csv
from dormant.report.pages import text
from dormant.reproduce.evidence import THREE_GAMES
from dormant.reproduce.families import MINATAR
from dormant.reproduce.hypotheses import (
    CLAIMS,
    DORMANT,
    DQN,
    MORE,
    SCORE,
    Cell,
    Claim,
    Comparison,
)

_ASTERIX, _BREAKOUT, _, _SPACE_INVADERS = MINATAR
_REDO, _ONE_COUNT = "DQN + ReDo", "DQN + ReDo, one step count"
_WORDS = {SCORE: "score", DORMANT: "dormant %", ACCURACY: "accuracy"}


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
    """A row of the table.

    Attributes:
      situation, advice: what it says.
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
_sweep = _of("minatar_replay_ratio", MINATAR)
_digits = _of("digits", ("digits",))


def _ratio(value: str) -> str:
    return f"replay ratio {value}"


def _rate(rate: str, ratio: str) -> str:
    return f"learning rate {rate}, {_ratio(ratio)}"


def _pair(of, measure: str, setting: str, first: str = _REDO, second: str = DQN) -> Measured:
    return of(measure, (first, setting), (second, setting))


def _redo_at(tau: str, period: str = "1000") -> tuple[str, str]:
    return f"{_REDO}, tau {tau}", f"period {period}"


ADVICE = (
    Advice(
        "A convolution at replay ratio 0.5 or more, which plays worse the more it is trained",
        "ReDo, tau 0.1, period 1 000. It slows the fall and does not undo it; a lower replay ratio"
        " does more",
        (
            *(_pair(_convolution, SCORE, _ratio(each)) for each in ("1", "0.5", "2")),
            _pair(_convolution, DORMANT, _ratio("1")),
            _convolution(SCORE, (DQN, _ratio("0.25")), (_REDO, _ratio("2"))),
        ),
    ),
    Advice(
        "A convolution at replay ratio 0.25, DQN's default",
        "None to raise the return; ReDo leaves fewer dormant neurons",
        tuple(_pair(_convolution, each, _ratio("0.25")) for each in (SCORE, DORMANT)),
    ),
    Advice(
        "Two dense layers at a usual learning rate, 2.5e-4",
        "None. ReDo removes the dormant neurons, and the return is the same or lower",
        (
            *(_pair(_rates, SCORE, _rate("2.5e-4", each)) for each in ("1", "0.25", "2")),
            *(
                _pair(_rates, DORMANT, _rate("2.5e-4", "1"))._replace(games=(game,))
                for game in THREE_GAMES
            ),
        ),
    ),
    Advice(
        "Two dense layers, and a higher return is wanted",
        "A wider network: it did more than ReDo",
        (
            _width(SCORE, (DQN, "width 512"), (DQN, "width 128")),
            _pair(_width, SCORE, "width 512"),
        ),
    ),
    Advice(
        "Very many dormant neurons at a high learning rate",
        "Lower the learning rate first",
        (
            *(
                _rates(DORMANT, (DQN, _rate("3e-3", "1")), (DQN, _rate("2.5e-4", "1")))._replace(
                    games=(game,)
                )
                for game in THREE_GAMES
            ),
            _rates(SCORE, (DQN, _rate("3e-3", "1")), (DQN, _rate("2.5e-4", "1"))),
        ),
    ),
    Advice(
        "Dense layers at learning rate 1e-3 and replay ratio 1 or 2",
        "Not ReDo: it lost return, and in Space Invaders made more neurons dormant",
        (
            *(_pair(_rates, SCORE, _rate("1e-3", each)) for each in ("1", "2")),
            *(
                _pair(_rates, DORMANT, _rate("1e-3", "1"))._replace(games=(game,))
                for game in THREE_GAMES
            ),
        ),
    ),
    Advice(
        "Dense layers at a learning rate of 3e-3 that cannot be lowered",
        "ReDo at replay ratios 1 and 2; it does not reach what a lower learning rate does",
        (
            *(_pair(_rates, SCORE, _rate("3e-3", each)) for each in ("1", "2")),
            _rates(SCORE, (_REDO, _rate("3e-3", "2")), (DQN, _rate("2.5e-4", "2"))),
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
    Advice(
        "ReDo beside Adam: which step count do new weights have?",
        "One for each entry (`per_entry_counts`, `adam_count='per_entry'`): fewer dormant neurons"
        " and a classifier that learns more; of returns no difference that held at both replay"
        " ratios",
        (
            _pair(
                _digits,
                ACCURACY,
                "optimizer Adam",
                "shuffled labels + ReDo",
                "shuffled labels + ReDo, one step count",
            ),
            *(
                _pair(_rates, DORMANT, _rate("3e-3", "1"), second=_ONE_COUNT)._replace(
                    games=(game,)
                )
                for game in THREE_GAMES
            ),
            *(_pair(_rates, SCORE, _rate("3e-3", each), second=_ONE_COUNT) for each in ("1", "2")),
        ),
    ),
    Advice(
        "Which tau?",
        "0.1, the paper's. It changed no score here; a lower one leaves more dormant neurons. An"
        " adaptive tau gained nothing",
        (
            *(_tau(SCORE, _redo_at("0.1"), _redo_at(other)) for other in ("0.0", "0.025", "0.2")),
            *(
                _tau(DORMANT, _redo_at("0.1"), _redo_at(other))._replace(games=(_SPACE_INVADERS,))
                for other in ("0.0", "0.025", "0.2")
            ),
            _tau(SCORE, (f"{_REDO}, adaptive tau", "period 1000"), _redo_at("0.1")),
        ),
    ),
    Advice(
        "Which period?",
        "1 000 gradient steps, the paper's. It changed no score here; a longer one leaves more"
        " dormant neurons, a shorter one fewer",
        tuple(
            _tau(measure, _redo_at("0.1"), _redo_at("0.1", other))._replace(
                games=(_ASTERIX, _SPACE_INVADERS) if measure == SCORE else (_SPACE_INVADERS,)
            )
            for other in ("100", "10000")
            for measure in (SCORE, DORMANT)
        ),
    ),
    Advice(
        "Resets of the last hidden layer",
        "Not with an untuned period: every 5 000 gradient steps, in runs of"
        " 30 000 agent"
        " steps, they cost most of the return",
        tuple(_pair(_sweep, SCORE, _ratio(each), "DQN + reset") for each in ("1", "2")),
    ),
    Advice(
        "Weight decay 1e-5",
        "Worth a try at replay ratio 2; it does nothing about dormant neurons",
        (
            *(_pair(_sweep, SCORE, _ratio(each), "DQN + weight decay") for each in ("2", "1")),
            *(
                _pair(_sweep, DORMANT, _ratio("2"), "DQN + weight decay")._replace(games=(game,))
                for game in (_BREAKOUT, _SPACE_INVADERS)
            ),
        ),
    ),
    Advice(
        "Which neurons to recycle?",
        "Those of the lowest score, never of the highest; random ones lost nothing here",
        tuple(
            _of("minatar_fixed_budget", MINATAR)(SCORE, (each, ""), (DQN, ""))
            for each in ("highest score", "random", "lowest score")
        ),
    ),
    Advice(
        "Continual backpropagation's utility in place of the dormancy score",
        "No reason to: alike",
        (
            _of("minatar_utility", MINATAR)(
                SCORE, ("DQN + ReDo by utility", ""), ("DQN + ReDo", "")
            ),
        ),
    ),
    Advice(
        "Pruning neurons that are silent on a batch",
        "Alike at this length, a small loss not excluded",
        (_of("minatar_prune", MINATAR)(SCORE, ("DQN + pruning", ""), (DQN, "")),),
    ),
)


def page(root: Path) -> str:
    """The text of docs/which-intervention.md."""
    results = root / "results"
    rows = [
        (each.situation, each.advice, _in_short(_found(each.measured[0], results)))
        for each in ADVICE
    ]
    return text.written(
        "Which intervention?",
        (
            text.paragraph(
                "By our own measurements alone: gymnax's MinAtar games and scikit-learn's digits,"
                " small networks, DQN and classifiers only, 10 seeds a game, untuned options. Where"
                " they say nothing, this page does not either. [The paper](paper/index.md) has"
                " Atari, longer runs and larger networks, and finds more in favour of ReDo."
            ),
            text.paragraph(
                "A score is the interquartile mean of returns over all games of the experiment, 0"
                " being a random policy and 1 PPO, at the end of training. Numbers have 95"
                " % intervals;"
                " a difference is the first minus the second, higher or lower where its"
                " interval lies"
                " above or below 0, and open where 0 lies inside."
            ),
            text.table(("if you have", "we would use", "because"), rows),
            "## The evidence",
            *(part for each in ADVICE for part in _section(each, results)),
            "## What was not measured",
            text.paragraph(
                "The library has some thirty interventions, and of most this page knows nothing:"
                " `minatar_interventions`, which compares them, has not been run at its length. Nor"
                " have been run:"
            ),
            _not_run(results),
            text.paragraph(
                "The convolution was measured on Asterix alone, and nothing on Atari, with SAC or"
                " with Rainbow. Runs are of 30 000 (`minatar_replay_ratio`, `minatar_fixed_budget`,"
                " `minatar_utility`, `minatar_prune`) to 300 000 agent steps"
                " (`minatar_convolution`). Several comparisons of this page were chosen after their"
                " results were known: what was written down beforehand, and its verdicts, stands in"
                " [the page of evidence](evidence.md). What made the runs is in"
                " [the results](../results/README.md)."
            ),
        ),
    )


def _not_run(results: Path) -> str:
    absent: dict[str, list[str]] = {}
    for claim in CLAIMS:
        if not (results / claim.experiment / RESULTS_FILE).is_file():
            absent.setdefault(claim.experiment, []).append(claim.text)
    del absent["minatar_interventions"]
    return text.bullets(f"`{name}`: {'; '.join(texts)}." for name, texts in absent.items())


@functools.cache
def _runs(path: Path) -> Sequence[RunResult]:
    """The runs of an experiment; where dormant neurons have but one column, it is that of tau 0.1,
    at which all of these experiments count them."""
    return [
        run._replace(measured={DORMANT: run.dormant_percent, **run.measured})
        for run in read_csv(path).runs
    ]


class _Found(NamedTuple):
    what: str
    where: str
    names: tuple[str, str]
    values: tuple[str, str]
    difference: Interval
    experiment: str


def _found(one: Measured, results: Path) -> _Found:
    runs = _runs(results / one.experiment / RESULTS_FILE)
    first, second = Cell(*one.first), Cell(*one.second)
    comparison = Comparison("", first, second, MORE, margin=0.0, games=one.games)
    claim = Claim("", "", "", one.experiment, one.measure, (comparison,))
    (verdict,) = verdicts(claim, runs)
    shared = one.first[1] if one.first[1] == one.second[1] else ""
    names = [
        method if shared or not setting else f"{method}, {setting}"
        for method, setting in (one.first, one.second)
    ]
    games = ", ".join(game.removesuffix("-MinAtar") for game in one.games if game != "digits")
    values = [_value(runs, cell, one) for cell in (first, second)]
    return _Found(
        _WORDS[one.measure],
        "; ".join(filter(None, (shared, games))),
        (names[0], names[1]),
        (values[0], values[1]),
        verdict.difference,
        one.experiment,
    )


def _in_short(found: _Found) -> str:
    one, other = found.names
    side = _side(found.difference)
    of = f"{found.what} of {one} minus {other} ({found.where})" if found.where else found.what
    return f"{of}: {interval_text(found.difference)}, {side}"


def _section(advice: Advice, results: Path) -> tuple[str, str]:
    rows = []
    for found in (_found(one, results) for one in advice.measured):
        cells = [f"{name}: {value}" for name, value in zip(found.names, found.values, strict=True)]
        difference = f"{interval_text(found.difference)}, {_side(found.difference)}"
        rows.append((found.what, found.where, *cells, difference, f"`{found.experiment}`"))
    header = ("of", "at", "first", "second", "difference", "experiment")
    return f"### {advice.situation}", text.table(header, rows)


def _value(runs: Sequence[RunResult], cell: Cell, one: Measured) -> str:
    values = values_of(runs, cell, one.games, one.measure)
    assert values is not None, (one, cell)
    if one.measure == SCORE:
        return interval_text(stratified.of_metrics(values, DEFAULT)["iqm"], sign="")
    return interval_text(stratified.of_mean(values[:, 0], DEFAULT), sign="")


def _side(difference: Interval) -> str:
    low, high = difference.low, difference.high
    if low is None or high is None or low <= 0 <= high:
        return "open"
    return "higher" if low > 0 else "lower"

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""docs/which-intervention.md: what to do about dormant neurons, by our own measurements alone.
Every number is computed from results/; what is advised stands in advice.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dormant.records.per_iteration import ACCURACY
from dormant.report.bootstrap import Bootstrap, Interval
from dormant.report.claims import names_of
from dormant.report.pages import every_intervention, more_updates, text
from dormant.report.pages.advice import (
    ADVICE,
    CHOICES,
    SITUATIONS,
    WEIGHT_DECAY_QUESTION,
    Advice,
    Measured,
)
from dormant.report.pages.differences import difference, interval_and_side, link, value_text
from dormant.report.verdicts import judged
from dormant.reproduce.comparisons import SCORE
from dormant.reproduce.hypotheses import DORMANT

_WORDS = {SCORE: "score", DORMANT: "dormant %", ACCURACY: "accuracy"}
_TERMS = (
    "*Score*: the interquartile mean, over all games and seeds that are named, of the return at"
    " the end of training. Over several games it may be of some of them alone, as their scores"
    " hardly overlap; where that matters each game has a row. 0 is a random policy and 1 PPO"
    " (proximal policy optimization, by the returns that gymnax gives). *Accuracy*: of a classifier"
    " on its training images, at the end. [More](evidence.md#what-is-measured).",
    "*Dormant %*: hidden neurons with a [dormancy score](measures.md#dormancy_scores) of at most"
    " 0.1, in % of all, at the end of training.",
    "*Replay ratio*: gradient steps per agent step. *Tau*: the dormancy score up to which ReDo"
    " recycles a neuron. *Period*: the gradient steps from one recycle to the next. *Adaptive tau*:"
    " `dormant.adaptive_tau`, which seeks the tau at which a given share of a layer is recycled.",
    "*Step count*: what Adam corrects its moments by. With one *for each entry*"
    " ([`per_entry_counts`](your-own-loop.md#what-holds-each-under-test)) that of a new weight"
    " begins at 0; with the usual one of all weights its first steps are too long.",
    "*Reset*, *pruning*, *weight decay* and continual backpropagation are"
    " [interventions](interventions.md). *Utility* is the score of the last: how much a neuron"
    " varies, times its outgoing over its incoming weights.",
    "*Difference*: the first minus the second, with its 95 % bootstrap interval; *higher* or"
    " *lower* where the interval lies above or below 0, *open* where 0 lies inside, so that our"
    " runs do not tell.",
)


def page(root: Path) -> str:
    """The text of docs/which-intervention.md."""
    results = root / "results"
    return text.written(
        "Which intervention?",
        (
            text.paragraph(
                "**In short:** ReDo where a convolution is trained at a replay ratio of 0.5 or more"
                " (tested on one game, Asterix) or where labels change again and again, with"
                " the options of the paper and a step count of Adam for each entry. Otherwise lower"
                " the learning rate or widen the network first. On dense layers ReDo raised the"
                " return [where more updates lower plain"
                f" DQN's](#{text.anchor(more_updates.TITLE)}) and lowered it where they raise it,"
                f" and [weight decay](#{text.anchor(WEIGHT_DECAY_QUESTION)}) did better at replay"
                " ratios 1 and 2."
            ),
            text.paragraph(
                "**Is it worth a try for you?** Measure first: `dormant.track` in your own loop"
                " ([how](how-to/dqn-loop.md#does-it-work)) changes nothing. With few dormant"
                " neurons at tau 0.1 there is little to recycle. With many the return may rise or"
                f" fall: [what more updates do](#{text.anchor(more_updates.TITLE)}) tells which."
                " Run a few seeds with `dormant.redo` in its place"
                " ([what it costs](how-to/track-and-redo.md#what-it-costs)). For DQN on Atari at"
                " replay ratio 1 the paper's answer is [figure 1](paper/fig01.md), which we have"
                " not run."
            ),
            text.paragraph(
                "By our own measurements alone: gymnax's MinAtar games and scikit-learn's digits,"
                " small networks, DQN and classifiers only, 10 seeds a game, untuned options. Where"
                " they say nothing, this page does not either. [The paper](paper/index.md) has"
                " Atari, longer runs and larger networks, and finds more in favour of ReDo. Each"
                " row's link leads to all that it rests on; [the words](#what-the-words-mean) are"
                " explained below."
            ),
            "## What to do",
            text.table(("if you have", "we would use", "because"), _rows(SITUATIONS, results)),
            *more_updates.section(results),
            *every_intervention.section(results),
            "## Which options",
            text.table(("question", "our runs say", "because"), _rows(CHOICES, results)),
            "## What the words mean",
            text.bullets(_TERMS),
            "## The evidence",
            *(part for each in ADVICE for part in _section(each, results)),
            "## What was not measured",
            text.paragraph(
                "These have not been run, or not to their end; of those that have begun"
                " [the page of evidence](evidence.md#verdicts) says what is known so far."
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


def _rows(advice: Sequence[Advice], results: Path) -> list[tuple[str, ...]]:
    return [
        (
            f"[{each.situation}](#{text.anchor(each.situation)})",
            each.advice,
            _in_short(_found(each.measured[0], results)),
        )
        for each in advice
    ]


def _not_run(results: Path) -> str:
    absent: dict[str, list[str]] = {}
    for each in judged(results, Bootstrap(repetitions=1)):  # no interval is read
        if each.is_partial or not each.found:
            begun = " (begun)" if each.found else ""
            absent.setdefault(f"`{each.claim.experiment}`{begun}", []).append(each.claim.text)
    return text.bullets(f"{name}: {'; '.join(texts)}." for name, texts in absent.items())


class _Found(NamedTuple):
    what: str
    where: str
    names: tuple[str, str]
    values: tuple[str, str]
    difference: Interval
    link: str  # to the results


def _found(one: Measured, results: Path) -> _Found:
    shared = one.first[1] if one.first[1] == one.second[1] else ""
    names = [
        method if shared or not setting else f"{method}, {setting}"
        for method, setting in (one.first, one.second)
    ]
    games = names_of([game for game in one.games if game != "digits"])
    values = [value_text(one, cell, results) for cell in (one.first, one.second)]
    return _Found(
        _WORDS[one.measure],
        "; ".join(filter(None, (shared, games))),
        (names[0], names[1]),
        (values[0], values[1]),
        difference(one, results),
        link(one.experiment, results),
    )


def _in_short(found: _Found) -> str:
    one, other = found.names
    of = f"{found.what} of {one} minus {other}" + (f" ({found.where})" if found.where else "")
    return f"{of}: {interval_and_side(found.difference)}; {found.link}"


def _section(advice: Advice, results: Path) -> tuple[str, str]:
    rows = []
    for found in (_found(one, results) for one in advice.measured):
        cells = [f"{name}: {value}" for name, value in zip(found.names, found.values, strict=True)]
        rows.append(
            (found.what, found.where, *cells, interval_and_side(found.difference), found.link)
        )
    header = ("of", "at", "first", "second", "difference", "experiment")
    return f"### {advice.situation}", text.table(header, rows)

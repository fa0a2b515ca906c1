# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The claims that docs/evidence.md tests, and their verdicts, as tables.

`python -m dormant.report.claims results` prints the table of that page, and with `--short` the one
of the README."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import EngFormatter

from dormant.command_parser import CommandParser
from dormant.report.bootstrap import Interval
from dormant.report.tables import Table, markdown
from dormant.report.verdicts import (
    DOES_NOT_HOLD,
    HOLDS,
    NOT_RUN,
    UNDECIDED,
    Judged,
    Verdict,
    judged,
    overall,
    results_of,
)
from dormant.reproduce.hypotheses import OTHERS, OURS

SO_FAR = " so far"  # after the verdict of a claim some of whose runs are not there yet


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
        *("probability of improvement", "difference over the whole run", "in evaluation"),
    )
    details = tuple(
        (
            *(each.claim.name, one.comparison.name, names_of(one.games), str(one.seeds)),
            *(interval_text(one.difference), one.verdict),
            interval_text(one.improvement, sign=""),
            interval_text(one.whole_run),
            interval_text(one.evaluated),
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
        if each.found and each.claim.source not in (OURS, OTHERS):
            same.setdefault(each.claim.text, []).append(each)
    rows = []
    for text, of_claim in same.items():
        found = [one for each in of_claim for one in each.found]
        by = "; ".join(_where(each) for each in of_claim)
        verdict = _verdict(found, any(each.is_partial for each in of_claim))
        rows.append((text, of_claim[0].claim.source, by, _range(found), verdict))
    header = ("claim", "from", "experiment: games, steps", "differences [95 % interval]", "verdict")
    return Table("Claims", header, tuple(rows))


def _where(one: Judged) -> str:
    """The experiment, on what it was, and for how many steps."""
    experiment, games = one.claim.experiment, one.games
    steps = EngFormatter(sep="")(one.agent_steps)
    if games == (experiment,):
        return f"{experiment}: {steps}"
    named = names_of(games) if len(games) == 1 else f"{len(games)} games"
    return f"{experiment}: {named}, {steps}"


def linked(text: str, column: str, places: Mapping[str, str]) -> str:
    """A Markdown table in which the experiments of a column are links.

    Args:
      text: one table, its header the first line that begins with "|".
      column: whose cells name experiments.
      places: {experiment: where its results lie}.
    """
    lines = text.splitlines(keepends=True)
    table = [number for number, line in enumerate(lines) if line.startswith("|")]
    at = [cell.strip("| \n") for cell in lines[table[0]].split(" | ")].index(column)
    names = re.compile(rf"\b({'|'.join(map(re.escape, places))})\b")
    for number in table[2:] if places else ():
        cells = lines[number].split(" | ")
        cells[at] = names.sub(lambda found: f"[{found[1]}]({places[found[1]]})", cells[at])
        lines[number] = " | ".join(cells)
    return "".join(lines)


def page_text(folder: Path, is_short: bool) -> str:
    """The table of a folder of committed results as the README has it, or docs/evidence.md, which
    has links to them."""
    claims = judged(folder)
    if is_short:
        return markdown(short(claims))
    paths = {each.claim.experiment: results_of(folder, each.claim.experiment) for each in claims}
    places = {
        name: f"../{path.relative_to(folder.parent).as_posix()}"
        for name, path in paths.items()
        if path is not None
    }
    return linked(markdown(tables(claims)[0]), "tested by", places)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table as Markdown. Returns the exit code: 0; 2 after one line on stderr."""
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
    print(page_text(known.folder, known.short))
    return 0


if __name__ == "__main__":
    sys.exit(main())

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Claims: of planned cells, judged as the page says, and shown as the results have them."""

from pathlib import Path

import numpy as np
import pytest

from dormant.records.per_iteration import ACCURACY
from dormant.records.results import RunResult
from dormant.report.bootstrap import Bootstrap, Interval
from dormant.report.claims import linked, main, page_text, short, tables
from dormant.report.csv_writing import write_csv
from dormant.report.scores import normalized
from dormant.report.tables import Table, markdown
from dormant.report.verdicts import (
    DOES_NOT_HOLD,
    HOLDS,
    MIXED,
    NOT_RUN,
    UNDECIDED,
    judge,
    judged,
    overall,
    verdicts,
)
from dormant.reproduce import catalog
from dormant.reproduce.comparisons import (
    ALIKE,
    LESS,
    MORE,
    NOT_LESS,
    NOT_MUCH_LESS,
    RETURN,
    SCORE,
    Cell,
    Claim,
    Comparison,
)
from dormant.reproduce.hypotheses import CLAIMS, DORMANT, SILENT
from dormant.reproduce.jobs import jobs

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "evidence.md"
GAMES = ("Asterix-MinAtar", "Breakout-MinAtar")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_compares_cells_that_are_planned(claim):
    planned = {
        (run.method, run.setting, run.game): run.agent_steps
        for job in jobs(catalog.find(claim.experiment), "mini", Path("x"))
        for run in job.runs
    }
    for comparison in claim.comparisons:
        assert comparison.games
        for cell in (comparison.first, comparison.second):
            for game in comparison.games:
                assert (cell.method, cell.setting, cell.game or game) in planned
    names = [(claim.name, each.name) for each in claim.comparisons]
    assert len(set(names)) == len(names)


def test_the_page_has_every_claim_and_what_the_results_say_of_it():
    text = PAGE.read_text("utf-8")
    for claim in CLAIMS:
        assert f"| {claim.name.partition(',')[0]} |" in text
    shown = text.partition("<!-- python -m dormant.report.claims results -->\n\n")[2]
    assert shown.split() == page_text(ROOT / "results", is_short=False).split()


@pytest.mark.parametrize(
    ("interval", "side", "verdict"),
    [
        ((1, 3), MORE, HOLDS),
        ((-3, -1), MORE, DOES_NOT_HOLD),
        ((-1, 1), MORE, DOES_NOT_HOLD),  # within what would not matter
        ((-1, 3), MORE, UNDECIDED),
        ((0.5, 1), MORE, HOLDS),  # small, and on the claimed side
        ((-3, -1), LESS, HOLDS),
        ((1, 3), LESS, DOES_NOT_HOLD),
        ((-3, 1), LESS, UNDECIDED),
        ((-1.9, 5), NOT_LESS, HOLDS),
        ((-3, 1), NOT_LESS, UNDECIDED),
        ((-3, -1), NOT_LESS, DOES_NOT_HOLD),
        ((-1.5, -1), NOT_LESS, DOES_NOT_HOLD),
        ((-1.5, -1), NOT_MUCH_LESS, HOLDS),  # less, but not by what matters
        ((-3, -1), NOT_MUCH_LESS, UNDECIDED),
        ((-3, -2.1), NOT_MUCH_LESS, DOES_NOT_HOLD),
        ((-1.9, 1.9), ALIKE, HOLDS),
        ((-1.9, 2.1), ALIKE, UNDECIDED),
        ((2.1, 3), ALIKE, DOES_NOT_HOLD),
        ((None, None), MORE, UNDECIDED),  # one seed
    ],
)
def test_an_interval_is_judged_as_the_page_says(interval, side, verdict):
    assert judge(Interval(0.0, *interval), side, 2.0) == verdict


def runs(method, game, last, seeds=6, setting="s"):
    """Runs whose values fall to `last`, each seed a little other."""
    curves = [np.array([9.0, 5.0, last]) + 0.01 * seed for seed in range(seeds)]
    return [
        RunResult(method, setting, None, game, seed, np.array([10.0, 20.0, 30.0]), curve, curve,
                  measured={DORMANT: curve})
        for seed, curve in enumerate(curves)
    ]  # fmt: skip


def claim(measure, side, first="last", second="last", method="DQN + ReDo"):
    comparison = Comparison(
        "c", Cell(method, "s", first), Cell("DQN", "s", second), side, games=GAMES
    )
    return Claim("H0", "t", "ours", "x", measure, (comparison,))


def test_each_game_has_its_verdict_and_a_claim_the_one_of_all():
    given = [
        *(run for game in GAMES for run in runs("DQN", game, 10.0)),
        *runs("DQN + ReDo", GAMES[0], 2.0),
        *runs("DQN + ReDo", GAMES[1], 14.0),
    ]
    found = verdicts(claim(DORMANT, LESS), given, Bootstrap(200))
    assert [(each.games, each.verdict, each.seeds) for each in found] == [
        (GAMES[:1], HOLDS, 6),
        (GAMES[1:], DOES_NOT_HOLD, 6),
    ]
    assert [each.difference.value for each in found] == pytest.approx([-8, 4])
    assert overall(found) == MIXED and overall(found[:1]) == HOLDS and overall([]) == NOT_RUN
    undecided = found[0]._replace(verdict=UNDECIDED)
    assert overall([found[0], undecided]) == UNDECIDED


def test_a_score_is_compared_over_all_games_at_once():
    given = [
        run
        for game in GAMES
        for method, last in (("DQN", 4.0), ("DQN + ReDo", 8.0))
        for run in runs(method, game, last)
    ]
    (found,) = verdicts(claim(SCORE, MORE), given, Bootstrap(200))
    assert (found.games, found.verdict) == (GAMES, HOLDS) and found.difference.value > 0
    # Every run of the one is better than any of the other; over the whole run less so.
    assert found.improvement.value == 1.0
    assert 0 < found.whole_run.value < found.difference.value
    assert found.evaluated is None  # nothing was evaluated
    evaluated = [
        run._replace(measured={"evaluation_return": run.returns[-1] * np.array([np.nan, 2.0])})
        for run in given
    ]
    (greedy,) = verdicts(claim(SCORE, MORE), evaluated, Bootstrap(200))
    assert greedy.difference == found.difference
    assert greedy.evaluated.value == pytest.approx(2 * found.difference.value)
    # Both games gain 4, of which a score takes its own share.
    gains = dict(found.in_each_game)
    span = {game: np.diff(normalized(game, np.array([4.0, 8.0])))[0] for game in GAMES}
    assert {game: gain.value for game, gain in gains.items()} == pytest.approx(span)

    # Of the second game the method with ReDo is missing, then everything.
    (found,) = verdicts(claim(SCORE, MORE), given[:-6], Bootstrap(200))
    assert found.games == GAMES[:1] and found.improvement.value == 1.0
    assert not verdicts(claim(SCORE, MORE), given[:6], Bootstrap(200))


def test_one_cell_at_two_places_is_compared_run_by_run():
    given = [run for game in GAMES for run in runs("DQN", game, 10.0)]
    found = verdicts(claim(DORMANT, MORE, "last", "first", "DQN"), given, Bootstrap(200))
    for each in found:
        # The seeds differ, their differences do not.
        assert each.difference[:3] == pytest.approx((1.0, 1.0, 1.0)) and each.verdict == HOLDS
    quarters = verdicts(claim(RETURN, LESS, "last quarter", 1, "DQN"), given, Bootstrap(200))
    assert [each.difference.value for each in quarters] == pytest.approx([5.0, 5.0])


def test_the_tables_are_made_of_what_a_report_wrote(tmp_path):
    folder = tmp_path / "minatar_width"
    folder.mkdir()
    given = [
        run
        for width, last in ((64, 8.0), (128, 9.0), (256, 10.0), (512, 19.0))
        for run in runs("DQN", GAMES[0], last, setting=f"width {width}")
    ]
    write_csv(given, folder / "results.csv")
    rows = {row[0]: row[1:] for row in tables(judged(tmp_path, Bootstrap(200)))[0].rows}
    assert rows["H14"][3:6] == ("Asterix", "30", "6")
    assert rows["H14"][6].startswith("-1 [") and " to +10 [" in rows["H14"][6]
    # Of one of two games.
    assert rows["H14"][7:] == ("2 holds, 1 does not hold, 3 not run yet", f"{MIXED} so far")
    assert rows["H1"][3:] == ("", "", "", "", "", NOT_RUN)
    assert rows["H15"][-1] == NOT_RUN  # it has no ReDo

    # The same of a sweep that is not done.
    (tmp_path / "unfinished").mkdir()
    (folder / "results.csv").rename(tmp_path / "unfinished" / "minatar_width.csv")
    assert {row[0]: row[1:] for row in tables(judged(tmp_path, Bootstrap(200)))[0].rows} == rows


def ratio_runs(game, end):
    """Plain DQN at replay ratio 0.25, whose silent neurons go from 9 to `end` %."""
    return [
        run._replace(measured={SILENT: run.returns})
        for run in runs("DQN", game, end, setting="replay ratio 0.25")
    ]


def test_games_in_which_a_claim_does_not_hold_are_named_and_the_readme_has_one_row_of_a_claim(
    tmp_path,
):
    for name, ends in (
        ("unfinished/minatar_long", (20.0, 2.0)),
        ("minatar_convolution/results", (12.0,)),
    ):
        path = tmp_path / f"{name}.csv"
        path.parent.mkdir()
        given = [
            run for game, end in zip(GAMES, ends, strict=False) for run in ratio_runs(game, end)
        ]
        write_csv(given, path)
    known = judged(tmp_path, Bootstrap(200))
    rows = {row[0]: row for row in tables(known)[0].rows}
    assert "1 holds, 1 does not hold (Breakout), 14 not run yet" in rows["H1"]
    assert "1 holds, 3 not run yet" in rows["H1, convolution"]
    (row,) = short(known).rows
    assert row[2] == "minatar_long: 2 games, 30; minatar_convolution: Asterix, 30"
    assert row[3].startswith("-7 [") and " to +11 [" in row[3] and row[4] == f"{MIXED} so far"


def test_the_readme_has_the_papers_claims_alone(tmp_path):
    path = tmp_path / "digits" / "results.csv"
    path.parent.mkdir()
    methods = {
        "shuffled labels": 4.0,
        "shuffled labels + ReDo": 8.0,
        "shuffled labels + ReDo, one step count": 6.0,
    }
    given = [
        run._replace(measured={ACCURACY: run.returns})
        for method, last in methods.items()
        for run in runs(method, "digits", last, setting="optimizer Adam")
    ]
    write_csv(given, path)
    known = judged(tmp_path, Bootstrap(200))
    assert {each.claim.name for each in known if each.found} == {"H19", "H20", "H21"}
    assert [row[1] for row in short(known).rows] == ["section 1", "figures 3, 9"]  # H21 is ours


def test_the_experiments_of_a_column_are_links():
    table = Table("T", ("", "by", "games"), (("H1", "digits", "digits"), ("", "other", "")))
    text = linked(markdown(table), "by", {"digits": "../results/digits/results.csv"})
    assert "| H1 | [digits](../results/digits/results.csv) | digits |\n" in text
    assert "|  | other |  |" in text
    assert linked(markdown(table), "by", {}) == markdown(table)


def test_a_folder_or_an_option_that_is_none_is_a_mistake(tmp_path, capsys):
    assert main([str(tmp_path / "resutls"), "--short"]) == 2
    assert "folder must hold the results of experiments; got" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), "--shrot"])
    assert capsys.readouterr().err.count("\n") == 1

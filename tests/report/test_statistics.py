# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Aggregates over games: by hand, the same digits under a seed, never of fewer games."""

import numpy as np
import pytest
from rliable import library, metrics

from benchmarks.minatar_scores import GAMES as GAMES_MEASURED
from benchmarks.minatar_scores import random_returns
from dormant.records.experiment_file import ExperimentFile, PaperValue, PlannedRun
from dormant.records.results import Absence, Collection, RunResult
from dormant.report.bootstrap import (
    METRICS,
    Bootstrap,
    of_difference,
    of_iqm_curve,
    of_mean,
    of_mean_curve,
)
from dormant.report.experiment_tables import experiment_tables
from dormant.report.scores import normalization, normalized
from dormant.report.sources import read_folder
from dormant.report.statistics import Statistics
from dormant.report.tables import Table, csv_text, latex, markdown
from tests.report.foreign import write

GAMES = ("Pong", "Asterix", "Breakout")
METHODS = {"DQN": 0.0, "DQN + ReDo": 0.3}


def run_of(method, game, seed):
    known = normalization(game)
    scores = METHODS[method] + 0.1 * seed + np.array([0.1, 0.2])
    returns = known.random + scores * (known.reference - known.random)
    nothing = np.full(2, np.nan)
    return RunResult(method, "", None, game, seed, np.array([10.0, 20.0]), returns, nothing)


def collection(seeds=4, missing=(), paper=()):
    runs = [run_of(m, g, s) for m in METHODS for g in GAMES for s in range(seeds)]
    planned = tuple(
        PlannedRun(f"{r.method}/{r.game}/seed_{r.seed}", r.method, "", None, r.game, r.seed, 20, "")
        for r in runs
    )
    kept, absent = [], []
    for run, plan in zip(runs, planned, strict=True):
        if (run.method, run.game, run.seed) in missing:
            absent.append(Absence(plan, "failed", "it broke"))
        else:
            kept.append(run)
    experiment = ExperimentFile(
        "x", "paper", "t", "e", "", ("iqm", "return"), "DQN", "", planned, tuple(paper)
    )
    return Collection(experiment, tuple(kept), (), tuple(absent), None)


def statistics(given, repetitions=2000, seed=0):
    return Statistics(given, Bootstrap(repetitions, seed))


def tables_of(given, repetitions):
    return experiment_tables(statistics(given, repetitions))


def rliables(scores, function, repetitions, seed):
    """rliable's value and ends of an interval, each (C,), from the same seed."""
    state = np.random.get_state()
    np.random.seed(seed)
    values, ends = library.get_interval_estimates({"": scores}, function, reps=repetitions)
    np.random.set_state(state)
    return np.atleast_1d(values[""]), *ends[""]


def test_the_iqm_is_that_of_the_middle_half_of_all_runs():
    # Final scores .2 .3 .4 .5 in each of three games: the middle six are .3 and .4.
    found = statistics(collection(), 200).aggregate("DQN", "", "iqm")
    assert found.value == pytest.approx(0.35) and found.runs == 12
    assert found.low < found.value < found.high
    assert statistics(collection(), 10).aggregate(
        "DQN", "", "optimality_gap"
    ).value == pytest.approx(0.65)


def test_the_same_seed_gives_the_same_digits_and_leaves_numpys_generator():
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    first, second = (
        [statistics(collection(), 40, seed).aggregate("DQN", "") for seed in range(6)]
        for _ in range(2)
    )
    assert first == second
    assert len({(found.low, found.high) for found in first}) > 1
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_a_method_that_always_wins_improves_with_certainty():
    found = statistics(collection(seeds=3), 200).probability_of_improvement("DQN + ReDo", "DQN", "")
    # Every run of ReDo, .5 to .7, is above every one of DQN, .2 to .4.
    assert found.value == 1.0


def test_curves_and_profiles_by_hand():
    steps, band, left_out = statistics(collection(), 50).iqm_curve("DQN", "", 100)
    assert list(steps) == [10, 20] and left_out == ""
    assert list(band.values) == pytest.approx([0.25, 0.35])
    profile = statistics(collection(), 50).performance_profile("DQN", "", [0.0, 0.25, 1.0])
    assert list(profile.values) == pytest.approx([1.0, 0.75, 0.0])


def test_one_seed_has_no_interval():
    found = statistics(collection(seeds=1)).aggregate("DQN", "")
    assert (found.low, found.high) == (None, None) and found.value == pytest.approx(0.2)
    table = tables_of(collection(seeds=1), 10)[0]
    assert "one seed: no interval" in table.notes


def test_without_a_whole_run_of_a_game_there_is_no_aggregate():
    missing = [("DQN", "Pong", seed) for seed in range(4)]
    partial = collection(missing=missing)
    with pytest.raises(ValueError, match="all 3 games of DQN must have a whole run; .* of Pong"):
        statistics(partial).aggregate("DQN", "")
    iqm, *_, absences = tables_of(partial, 50)
    assert iqm.rows[0][0] == "-" and iqm.rows[0][1].startswith("0.650 [")
    assert any("Pong" in note for note in iqm.notes)
    assert absences.title == "Runs that are not whole: 4 of 24"
    assert absences.rows[0] == ("DQN/Pong/seed_0", "failed", "it broke")


def test_a_game_with_fewer_runs_levels_the_others():
    partial = collection(missing=[("DQN", "Pong", 3)])
    assert statistics(partial, 10).aggregate("DQN", "").runs == 9
    notes = tables_of(partial, 10)[0].notes
    assert any(note.startswith("1 run is not whole: DQN/Pong/seed_3") for note in notes)


def test_the_papers_value_stands_beside_ours_with_the_difference():
    paper = [
        PaperValue("DQN", "", "iqm", None, 0.3, "figure 1", True),
        PaperValue("DQN", "", "return", "Pong", 2.0, "table 6", False, spread=1.5),
    ]
    tables = tables_of(collection(paper=paper), 50)
    (cell,) = [cell for cell in tables[0].rows[0] if "paper" in cell]
    assert cell.endswith("paper 0.3*, difference +0.050")
    assert "* read from a figure, ±10 % (figure 1)" in tables[0].notes
    returns = next(table for table in tables if table.title.startswith("Final return"))
    (cell,) = [cell for row in returns.rows for cell in row if "paper" in cell]
    assert "paper 2 ± 1.5, difference" in cell and "*" not in cell


NAMES = ("SpaceInvaders", "space_invaders", "ALE/SpaceInvaders-v5", "SpaceInvadersNoFrameskip-v4")


@pytest.mark.parametrize("name", NAMES)
def test_a_game_has_its_scores_by_any_of_its_names(name):
    assert normalization(name).random == 148.0
    assert list(normalized(name, [148.0, 1668.7])) == [0.0, 1.0]


def test_an_unknown_game_has_no_scores_and_its_experiment_no_iqm():
    assert normalization("Tetris") is None and normalization("asterix (MinAtar 1.0)") is None
    with pytest.raises(ValueError, match="got 'Tetris'"):
        normalized("Tetris", [1.0])


@pytest.mark.parametrize("metric", METRICS)
def test_aggregates_are_rliables_to_the_bit(metric):
    given, rliable = collection(), getattr(metrics, f"aggregate_{metric}")
    scores = statistics(given).score_matrix("DQN", "")
    expected = rliables(scores, lambda x: np.array([rliable(x)]), 100, 5)
    found = statistics(given, 100, 5).aggregate("DQN", "", metric)
    assert found[:3] == tuple(value[0] for value in expected)


def test_profiles_are_rliables_to_the_bit():
    given = collection()
    scores = statistics(given).score_matrix("DQN", "")
    thresholds = np.array([-1.0, 0.3, *np.unique(scores), 9.0])
    expected = rliables(scores, lambda x: library.score_distributions(x, thresholds), 100, 5)
    found = statistics(given, 100, 5).performance_profile("DQN", "", thresholds)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("fewer", [0, 2])  # of the baseline's seeds
def test_the_probability_of_improvement_is_rliables(fewer):
    given = collection(seeds=5, missing=[("DQN", game, s) for game in GAMES for s in range(fewer)])
    rounded = given._replace(
        runs=tuple(run._replace(returns=run.returns.round(0)) for run in given.runs)
    )
    pair = [statistics(rounded).score_matrix(method, "") for method in ("DQN + ReDo", "DQN")]
    assert any(np.isin(*(scores[:, game] for scores in pair)).any() for game in range(3))  # ties
    found = statistics(rounded, 100, 5).probability_of_improvement("DQN + ReDo", "DQN", "")
    expected = rliables(
        pair, lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), 100, 5
    )
    assert found[:3] == pytest.approx([value[0] for value in expected], abs=1e-12)


@pytest.mark.parametrize("runs", [(5, 5), (4, 7)])
def test_a_difference_of_iqms_is_rliables(runs):
    generator = np.random.default_rng(0)
    pair = [generator.normal(size=(number, 3)) for number in runs]
    expected = rliables(
        pair, lambda x, y: np.array([metrics.aggregate_iqm(x) - metrics.aggregate_iqm(y)]), 100, 5
    )
    found = of_difference(*pair, METRICS["iqm"], Bootstrap(100, 5))
    assert found[:3] == pytest.approx([value[0] for value in expected], abs=1e-12)
    assert found.runs == 3 * sum(runs)


@pytest.mark.parametrize("runs", [2, 3, 9, 10, 17])
def test_the_mean_over_seeds_is_rliables_to_the_bit(runs):
    values = np.random.default_rng(runs).normal(size=runs)
    expected = rliables(values[:, None], lambda x: np.array([x.mean()]), 100, 5)
    found = of_mean(values, Bootstrap(100, 5))
    assert found[:3] == tuple(value[0] for value in expected)


def test_each_point_of_a_curve_has_the_interval_that_rliable_gives_it():
    given = statistics(collection(), 100, 5)
    scores = np.random.default_rng(0).normal(size=(4, 3, 7))
    band = of_iqm_curve(scores, given.bootstrap)
    for step in range(7):
        expected = rliables(
            scores[:, :, step], lambda x: np.array([metrics.aggregate_iqm(x)]), 100, 5
        )
        found = [band.values[step], band.low[step], band.high[step]]
        assert found == pytest.approx([value[0] for value in expected], abs=1e-12)
    # So the last point is the table's.
    (_, curve, _), last = given.iqm_curve("DQN", "", 100), given.aggregate("DQN", "")
    assert (curve.low[-1], curve.high[-1]) == pytest.approx((last.low, last.high), abs=1e-12)


def test_a_curve_that_rliable_draws_anew_at_each_step_agrees_within_the_monte_carlo_error():
    scores = np.random.default_rng(0).normal(size=(10, 4, 5))
    band = of_iqm_curve(scores, Bootstrap(4000, 1))
    _, low, high = rliables(
        scores,
        lambda x: np.array([metrics.aggregate_iqm(x[..., step]) for step in range(5)]),
        4000,
        2,
    )
    # The standard error of a 2.5 % quantile of 4000 draws is about .04 standard deviations.
    error = 4 * 0.04 * 2**0.5 * (high - low) / 3.92
    assert (abs(band.low - low) < error).all() and (abs(band.high - high) < error).all()


def test_a_mean_curve_passes_over_what_is_missing():
    values = np.array([[1.0, np.nan, np.nan], [3.0, 4.0, np.nan], [8.0, 6.0, 5.0]])
    band = of_mean_curve(values, Bootstrap(200))
    assert list(band.values) == [4.0, 5.0, 5.0]
    for step, kept in enumerate([values[:, 0], values[1:, 1]]):
        expected = of_mean(kept, Bootstrap(200))
        assert (band.low[step], band.high[step]) == pytest.approx(expected[1:3])
    assert np.isnan([band.low[2], band.high[2]]).all()  # of one run


def test_resamples_in_chunks_are_those_of_one_piece(monkeypatch):
    whole = statistics(collection(), 100).aggregate("DQN", "")
    monkeypatch.setattr("dormant.report.bootstrap.NUMBERS_AT_ONCE", 100)
    assert statistics(collection(), 100).aggregate("DQN", "") == whole


def test_an_interval_is_computed_once(monkeypatch):
    given = statistics(collection(), 20)
    first = given.aggregate("DQN", "")
    monkeypatch.setattr("dormant.report.bootstrap.of_metrics", None)
    assert given.aggregate("DQN", "") == first and given.aggregate("DQN", "", "mean").low


def test_runs_that_no_average_takes_are_named():
    whole = collection(missing=[("DQN", "Pong", 1)])
    notes = "; ".join(tables_of(whole, 50)[0].notes)
    assert "DQN: as many runs of every game are taken; not in its IQM: " in notes
    assert "Asterix, seed 3" in notes and "Breakout, seed 3" in notes and "ReDo: as" not in notes


def test_the_order_of_the_runs_changes_no_digit():
    given = collection()
    shuffled = given._replace(
        runs=given.runs[::-1],
        experiment=given.experiment._replace(runs=given.experiment.runs[::-1]),
    )
    found = [statistics(each, 100).aggregate("DQN", "") for each in (given, shuffled)]
    assert found[0] == found[1]


def test_values_of_the_paper_beside_a_part_of_its_experiment_say_so():
    paper = (PaperValue("DQN", "", "iqm", None, 0.4, "figure 1", True),)
    given = collection(paper=paper)
    reduced = given._replace(experiment=given.experiment._replace(reduced="3 of 17 games"))
    said = "the paper's values are of the whole experiment; here 3 of 17 games"
    tables = tables_of(reduced, 50)
    assert said in tables[0].notes and all(said not in table.notes for table in tables[1:])
    assert said not in tables_of(given, 50)[0].notes


def test_gymnax_minatar_is_measured_by_a_random_policy_and_ppo():
    assert list(normalized("Breakout-MinAtar", [0.395, 28.0])) == [0.0, 1.0]
    assert normalization("Breakout-MinAtar").kind == "PPO"


@pytest.mark.slow
@pytest.mark.parametrize("game", GAMES_MEASURED)
def test_a_random_policy_scores_what_the_reference_says(game):
    returns = random_returns(game, seed=1, environments=400)
    error = returns.std() / np.sqrt(returns.size)
    assert returns.mean() == pytest.approx(normalization(game).random, abs=4 * error)


TABLE = Table("50 % & more", ("a_b", "c|d"), (("1 ± 2", "x<y"), ("{e}", "f,g")), ("note $1",))


def test_tables_escape_what_their_format_reads_otherwise():
    assert "50\\% &" not in latex(TABLE) and r"50 \% \& more" in latex(TABLE)
    assert r"1 $\pm$ 2 & x\textless{}y \\" in latex(TABLE) and r"note \$1" in latex(TABLE)
    assert "| a_b | c\\|d |" in markdown(TABLE) and "x&lt;y" in markdown(TABLE)
    assert csv_text(TABLE).splitlines() == ["a_b,c|d", "1 ± 2,x<y", '{e},"f,g"']


def test_without_a_plan_an_aggregate_is_of_all_games(tmp_path):
    lines = [
        f"{method},{game},{seed},10,{seed + 1}"
        for method, games in {"DQN": ("Pong", "Breakout"), "ReDo": ("Breakout",)}.items()
        for game in games
        for seed in range(3)
    ]
    found = statistics(read_folder(write(tmp_path, *lines)), 20)
    assert found.aggregate("DQN", "").runs == 6
    with pytest.raises(ValueError, match="all 2 games of ReDo must have a whole run; .* Pong"):
        found.aggregate("ReDo", "")

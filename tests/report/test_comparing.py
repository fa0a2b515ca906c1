# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs from elsewhere in the same tables: names, lengths, and games that one of them lacks."""

import numpy as np
import pytest

from dormant.records.results import RunResult
from dormant.report.command_line import main
from dormant.report.comparing import with_others
from dormant.report.csv_writing import write_csv
from dormant.report.experiment_tables import experiment_tables
from dormant.report.sources import read_folder
from dormant.report.statistics import Statistics
from tests.report.conftest import write_plan
from tests.report.hostile_runs import planned_runs, write_run


def source(folder, name, method, games, steps=(10, 20), level=1.0, setting=""):
    path = folder / f"{name}.csv"
    runs = []
    for game in games:
        for seed in range(3):
            returns = level * (np.arange(len(steps)) + seed + 1.0)
            nothing = np.full(len(steps), np.nan)
            points = np.array(steps, float)
            runs.append(RunResult(method, setting, None, game, seed, points, returns, nothing))
    write_csv(runs, path)
    return path


def test_both_are_compared_under_one_name_of_a_game_and_at_one_length(tmp_path):
    ours = read_folder(source(tmp_path, "ours", "ReDo", ["Pong", "Asterix"]))
    theirs = source(tmp_path, "theirs", "DQN", ["ALE/Pong-v5", "asterix", "Qbert"], (10, 20, 30))
    both = with_others(ours, [read_folder(theirs)])
    added = [run for run in both.runs if run.method == "DQN"]
    assert {run.game for run in added} == {"Pong", "Asterix"} and len(added) == 6
    assert all(list(run.agent_steps) == [10, 20] for run in added)
    assert both.absent == () and len(both.experiment.runs) == 12
    (table, *_) = experiment_tables(Statistics(both))
    assert table.header == ("ReDo", "DQN")


def test_a_game_that_the_other_lacks_leaves_it_without_an_average(tmp_path):
    ours = read_folder(source(tmp_path, "ours", "ReDo", ["Pong", "Asterix"]))
    both = with_others(ours, [read_folder(source(tmp_path, "theirs", "DQN", ["Pong"]))])
    ((absence,), (table, *_)) = both.absent, experiment_tables(Statistics(both))
    assert absence.run.game == "Asterix" and "theirs has no such run" in absence.problem
    assert table.rows[0][1] == "-" and table.rows[0][0] != "-"


def test_another_version_of_a_game_is_left_out_and_named(tmp_path):
    ours = read_folder(source(tmp_path, "ours", "SAC", ["Ant-v4"]))
    theirs = source(tmp_path, "theirs", "TD3", ["Ant-v2", "Ant-v4"])
    both = with_others(ours, [read_folder(theirs)])
    assert [(run.game, run.seed) for run in both.runs if run.method == "TD3"] == [
        ("Ant-v4", seed) for seed in range(3)
    ]
    assert "theirs: Ant-v2 are other versions, and left out" in both.notes
    with pytest.raises(ValueError, match="must name runs of Ant-v4"):
        with_others(ours, [read_folder(source(tmp_path, "old", "TD3", ["Ant-v2"]))])


def test_a_last_iteration_that_ends_an_episode_later_stays(tmp_path):
    ours = read_folder(source(tmp_path, "ours", "ReDo", ["Pong"], (500, 1_000)))
    later = read_folder(source(tmp_path, "later", "DQN", ["Pong"], (505, 1_030, 1_530)))
    long = read_folder(source(tmp_path, "long", "C51", ["Pong"], (500, 1_500)))
    steps = {run.method: list(run.agent_steps) for run in with_others(ours, [later, long]).runs}
    assert steps["DQN"] == [505, 1_030] and steps["C51"] == [500]


def test_returns_of_evaluation_beside_those_of_training_are_named(tmp_path):
    runs = [run._replace(method="DQN", setting="", value=None) for run in planned_runs()[:1]]
    write_plan(tmp_path / "ours", runs)
    write_run(tmp_path / "ours", runs[0])
    trained = read_folder(tmp_path / "ours")
    assert {run.episodes for run in trained.runs} == {"training"}
    evaluated = [
        run._replace(method="TD3", measured={"evaluation_return": run.returns})
        for run in trained.runs
    ]
    write_csv(evaluated, tmp_path / "theirs.csv")
    theirs = read_folder(tmp_path / "theirs.csv")
    assert {run.episodes for run in theirs.runs} == {"evaluation"}
    (note,) = with_others(trained, [theirs]).notes[-1:]
    assert "1 runs have returns of evaluation alone" in note and note.endswith("training: TD3")


def test_methods_of_one_name_are_told_apart_and_settings_named(tmp_path):
    ours = read_folder(source(tmp_path, "ours", "DQN", ["Pong"]))
    theirs = read_folder(source(tmp_path, "theirs", "DQN", ["Pong"]))
    assert {run.method for run in with_others(ours, [theirs]).runs} == {"DQN", "DQN (theirs)"}
    swept = ours._replace(experiment=ours.experiment._replace(setting_name="replay ratio"))
    assert {run.setting for run in with_others(swept, [theirs]).runs} == {"", "theirs"}


def test_nothing_to_compare_is_said(tmp_path):
    ours = read_folder(source(tmp_path, "ours", "DQN", ["Pong"]))
    theirs = read_folder(source(tmp_path, "theirs", "DQN", ["Qbert"]))
    with pytest.raises(ValueError, match="--compare must name runs of Pong.* got none in theirs"):
        with_others(ours, [theirs])


def test_the_command_puts_a_csv_file_beside_a_folder(tmp_path, capsys):
    ours = source(tmp_path, "ours", "ReDo", ["Pong"])
    theirs = source(tmp_path, "theirs", "DQN", ["pong"], level=2.0)
    output = tmp_path / "report"
    arguments = [str(ours), "--compare", str(theirs), f"--output={output}", "--repetitions=50"]
    assert main(arguments) == 0
    assert "| ReDo | DQN |" in capsys.readouterr().out
    assert {run.method for run in read_folder(output / "results.csv").runs} == {"ReDo", "DQN"}


def test_sources_of_one_name_are_not_pooled(tmp_path):
    ours = read_folder(source(tmp_path, "ours", "DQN", ["Pong"]))
    others = []
    for place, level in (("a", 5.0), ("b", 9.0)):
        (tmp_path / place).mkdir()
        found = source(tmp_path / place, "results", "DQN", ["Pong"], level=level)
        others.append(read_folder(found))
    both = with_others(ours, others)
    last = {run.method: run.returns[-1] for run in both.runs if run.seed == 0}
    assert last == {"DQN": 2.0, "DQN (results)": 10.0, "DQN (results, 2)": 18.0}
    assert "results, 2: 3 runs are compared" in both.notes


def test_dormant_percentages_are_compared_at_one_tau(tmp_path):
    runs = [run._replace(method="DQN", setting="", value=None) for run in planned_runs()[:3]]
    for name, tau in (("low", 0.0), ("high", 0.1)):
        write_plan(tmp_path / name, runs, tau=tau)
        for run in runs:
            write_run(tmp_path / name, run)
    low, high = (read_folder(tmp_path / name) for name in ("low", "high"))
    last = high.runs[0].dormant_percent[-1]
    assert low.runs[0].dormant_percent[-1] == 0.0 != last
    both = with_others(high, [low])
    assert [run.dormant_percent[-1] for run in both.runs if run.seed == 0] == [last, last]
    # What a report of the lower tau wrote says so itself.
    write_csv(low.runs, tmp_path / "low.csv")
    again = read_folder(tmp_path / "low.csv")
    assert again.experiment.tau == 0.0 and again.runs[0].dormant_percent[-1] == 0.0
    both = with_others(high, [again])
    assert [run.dormant_percent[-1] for run in both.runs if run.seed == 0] == [last, last]
    assert "overlap_history" not in both.runs[-1].measured
    # Of a file that lacks the other tau nothing is known there.
    write_csv([run._replace(measured={}) for run in low.runs], tmp_path / "plain.csv")
    plain = with_others(low, [read_folder(tmp_path / "plain.csv")])
    assert np.isnan(plain.runs[-1].dormant_percent).all()


def test_a_run_without_an_iteration_is_compared_with_nothing(tmp_path):
    runs = planned_runs()[:2]
    for name in ("ours", "theirs"):
        write_run(tmp_path / name, runs[0])
    write_run(tmp_path / "theirs", runs[1], status="running", iterations=1)
    metrics = tmp_path / "theirs" / runs[1].folder / "metrics.jsonl"
    metrics.write_text(metrics.read_text("utf-8").splitlines(keepends=True)[0], "utf-8")
    both = with_others(read_folder(tmp_path / "ours"), [read_folder(tmp_path / "theirs")])
    assert len(both.runs) == 2 and [absence.status for absence in both.absent] == ["running"]

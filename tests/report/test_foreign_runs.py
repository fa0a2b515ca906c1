# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs of others: of different lengths, of games with several names. What is left out or put
together is named."""

import pytest

from dormant.report.bootstrap import Bootstrap
from dormant.report.charts import all_charts
from dormant.report.command_line import main
from dormant.report.comparing import with_others
from dormant.report.experiment_tables import experiment_tables
from dormant.report.scores import game_key, normalization, one_name_of_each
from dormant.report.sources import read_folder
from dormant.report.statistics import Statistics
from dormant.report.tables import markdown
from tests.report.foreign import read, write

# Runs that end before the others


def test_a_run_that_ends_before_the_others_is_named_and_in_no_average():
    found = read("unequal_len.csv")
    ((run, status, problem),) = found.absent
    assert (run.seed, status) == (4, "interrupted")
    assert problem == "ends at 3,000 of 10,000 agent steps"
    assert any("seed 4 ends at 3,000 of 10,000 agent steps" in note for note in found.notes)
    assert [run.seed for run in found.runs] == [0, 1, 2, 3] and len(found.partial) == 1
    statistics = Statistics(found, Bootstrap(20))
    text = "\n".join(map(markdown, experiment_tables(statistics)))
    assert "10.0 [10.0, 10.0] (4)" in text and "8.6" not in text
    assert "Runs that are not whole: 1 of 5" in text
    returns = next(chart for chart in all_charts(statistics) if chart.name == "returns")
    ((curve,),) = [lines.values() for lines in returns.panels.values()]
    assert curve.values[-1] == 10.0 and (curve.runs, curve.planned) == (4, 5)


def test_runs_that_end_with_their_last_episodes_are_whole(tmp_path):
    ends = {0: (700, 9_800), 1: (900, 9_950), 2: (400, 3_000)}
    lines = [
        f"DQN,Pong,{seed},{step},1"
        for seed, (length, end) in ends.items()
        for step in range(end % length + length, end + 1, length)
    ]
    found = read_folder(write(tmp_path, *lines))
    assert [run.seed for run in found.runs] == [0, 1]
    assert [absence.run.seed for absence in found.absent] == [2]


@pytest.mark.parametrize("missing", [range(1, 10), range(9, 10)])
def test_a_run_without_the_last_iterations_is_not_whole(tmp_path, missing):
    lines = [
        f"DQN,Pong,{seed},{1000 * (at + 1)},1"
        for seed in (0, 1)
        for at in range(10)
        if seed == 0 or at not in missing
    ]
    found = read_folder(write(tmp_path, *lines))
    assert [absence.run.seed for absence in found.absent] == [1]


def test_games_of_different_lengths_are_not_averaged(tmp_path):
    lines = [
        f"DQN,{game},{seed},{step},1"
        for game, end in (("Pong", 5), ("Breakout", 2))
        for seed in (0, 1)
        for step in range(1, end + 1)
    ]
    found = read_folder(write(tmp_path, *lines))
    assert len(found.runs) == 4
    iqm, *_ = experiment_tables(Statistics(found, Bootstrap(20)))
    assert iqm.rows == (("-",),)
    assert any("Breakout ends at 2, Pong ends at 5" in note for note in iqm.notes)


def test_methods_of_different_lengths_are_named(tmp_path, capsys):
    lines = [f"{m},Pong,0,{s},1" for m, end in (("A", 5), ("B", 2)) for s in range(1, end + 1)]
    assert main([str(write(tmp_path, *lines)), "--repetitions=20"]) == 0
    assert "A at 5, B at 2" in capsys.readouterr().out


# One game, one name


def test_three_names_of_a_game_are_one_stratum():
    found = read("strat.csv")
    assert {run.game for run in found.runs} == {"ALE/Pong-v5"}
    assert {run.game for run in found.experiment.runs} == {"ALE/Pong-v5"}
    assert found.notes == (
        "'ALE/Pong-v5', 'PongNoFrameskip-v4', 'pong' are one game, called 'ALE/Pong-v5'",
    )
    of = Statistics(found).aggregate("A", "")
    assert of.runs == 6 and of.high - of.low > 0.3


def test_names_of_a_game_are_one_across_files_too(tmp_path):
    write(tmp_path, "A,Pong,0,1,1", name="a.csv")
    write(tmp_path, "A,PongNoFrameskip-v4,1,1,1", name="b.csv")
    found = read_folder(tmp_path)
    assert {run.game for run in found.runs} == {"Pong"} and "are one game" in found.notes[0]


@pytest.mark.parametrize(
    "name", ["MinAtar/Breakout-v1", "brax/ant", "brax:ant", "minatar/Asterix-v0", "ALE/Ant-v5"]
)
def test_only_known_namespaces_have_references(name):
    assert normalization(name) is None and normalization(name.upper()) is None


def test_games_of_minatar_have_no_scores_of_atari_and_are_not_compared_with_it(tmp_path):
    found = read("minatar.csv")
    titles = [table.title for table in experiment_tables(Statistics(found, Bootstrap(20)))]
    assert not any("normalized" in title for title in titles)
    atari = read_folder(write(tmp_path, "DQN,Breakout,0,2000,1"))
    with pytest.raises(ValueError, match="must name runs of Breakout.* got none in minatar"):
        with_others(atari, [found])


def test_versions_are_one_game_on_atari_alone():
    assert len(set(one_name_of_each(["CartPole-v0", "CartPole-v1"]).values())) == 2
    assert one_name_of_each(["CartPole", "CartPole-v1"])["CartPole-v1"] == "CartPole"
    assert len(set(one_name_of_each(["CartPole", "CartPole-v0", "CartPole-v1"]).values())) == 3
    assert len(set(one_name_of_each(["Ant-v2", "Ant-v4"]).values())) == 2
    assert (
        len(set(one_name_of_each(["Pong-v0", "ALE/Pong-v5", "ale_py:ALE/Pong-v5"]).values())) == 1
    )
    assert game_key("ALE/Tetris-v5") == game_key("Tetris")
    assert game_key("跳跃") != game_key("奔跑")


def test_spaces_do_not_make_a_method_and_case_is_named():
    found = read("case_method.csv")
    assert {run.method for run in found.runs} == {"DQN", "dqn"}
    assert found.notes[0] == "'DQN', 'DQN ' are one method, called 'DQN'"
    assert "differ in case alone" in found.notes[1] and len(found.notes) == 2

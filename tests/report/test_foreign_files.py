# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Files as people have them: exports of W&B, openrlbenchmark, SB3 and TensorBoard, damaged tables,
and names of one game. What cannot be understood is named, with its line."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dormant.records.results import RunResult
from dormant.report.bootstrap import Bootstrap
from dormant.report.charts import all_charts
from dormant.report.columns import OWN, labels_of_run, parse_columns
from dormant.report.command_line import main
from dormant.report.csv_results import read_csv, write_csv
from dormant.report.dopamine_results import read_baselines
from dormant.report.experiment_tables import experiment_tables
from dormant.report.scores import game_key, normalization, one_name_of_each
from dormant.report.sources import read_folder, with_others
from dormant.report.statistics import Statistics
from dormant.report.tables import Table, csv_text, markdown

DATA = Path(__file__).parent / "data"
HEADER = "method,game,seed,agent_step,return"


def read(name, *columns, unit="agent_steps"):
    return read_folder(DATA / name, parse_columns(columns, unit))


def write(folder, *lines, name="mine.csv", header=HEADER, end="\n"):
    path = folder / name
    path.write_text("\n".join([header, *lines]) + end, encoding="utf-8")
    return path


def points(run):
    return list(zip(run.agent_steps.tolist(), run.returns.tolist(), strict=True))


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


# Lines and cells


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("thousands.csv", r"line 2 must have the 5 fields of the header; got 6 \(a comma in a nu"),
        ("trunc_step.csv", r"line 10 must have the 5 fields of the header; got 4 \(is it cut off"),
    ],
)
def test_a_line_of_other_length_than_the_header_is_named(name, message):
    with pytest.raises(ValueError, match=message):
        read(name)


def test_a_decimal_comma_is_an_error_or_a_warning(tmp_path):
    (warning,) = read("comma_decimal.csv").warnings
    assert "decimal comma" in warning
    with pytest.raises(ValueError, match="line 2 must have the 5 fields"):
        read_csv(write(tmp_path, "DQN,Pong,0,1,12,5"))
    with pytest.raises(ValueError, match="line 2: return must be a finite number; got '12,5'"):
        read_csv(write(tmp_path, "DQN;Pong;0;1;12,5", header=HEADER.replace(",", ";")))


def test_a_last_line_without_its_end_is_a_warning(tmp_path, capsys):
    (warning,) = read("trunc_return.csv").warnings
    assert "line 10: the last line has no line end and may be cut off: DQN,Pong,2,300000" in warning
    path = write(tmp_path, "DQN,Tetris,0,1,1", end="")
    assert main([str(path), "--repetitions=20"]) == 0
    printed = capsys.readouterr()
    assert "warning:" in printed.err and "may be cut off" in printed.err
    assert read_csv(write(tmp_path, "DQN,Tetris,0,1,1")).warnings == ()


def test_header_case_spaces_semicolons_and_nan_are_understood(tmp_path):
    assert len(read("spaces_header.csv").runs) == 3 and read("spaces_header.csv").notes == ()
    header = "Method;Game;Seed;Agent Step;RETURN;setting;value;dormant_percent"
    lines = ("DQN;Pong;0;1000;nan;NaN;nan;<NA>", "DQN;Pong;0;2000;1.5;;;12")
    (run,) = read_csv(write(tmp_path, *lines, header=header)).runs
    assert (run.setting, run.value) == ("", None)
    np.testing.assert_array_equal(run.returns, [np.nan, 1.5])
    np.testing.assert_array_equal(run.dormant_percent, [np.nan, 12.0])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("DQN,nan,0,1,1", "line 2: game must be given; got 'nan'"),
        ("DQN,Pong,nan,1,1", "line 2: seed must be a finite number; got 'nan'"),
        ("DQN,Pong,0,nan,1", "line 2: agent_step must be a finite number; got 'nan'"),
        ("DQN,Pong,0,1,inf", "line 2: return must be a finite number; got 'inf'"),
        ('DQN,Pong,0,1,"1', "cannot be read as CSV"),
    ],
)
def test_an_empty_cell_where_something_is_needed_is_named(tmp_path, line, message):
    with pytest.raises(ValueError, match=message):
        read_csv(write(tmp_path, line))


def test_two_columns_of_one_name_are_named(tmp_path):
    path = write(tmp_path, "DQN,Pong,0,1,1,2", header=HEADER + ",Return ")
    assert read_csv(path).runs[0].returns[0] == 1.0  # the one that is spelled so
    path = write(tmp_path, "DQN,Pong,0,1,1,2", header=HEADER + ",return")
    with pytest.raises(ValueError, match="one column return; got 'return', 'return'"):
        read_csv(path)


# The columns of others


def test_without_the_option_the_columns_and_the_option_are_said(capsys):
    assert main([str(DATA / "orlb.csv")]) == 2
    error = capsys.readouterr().err
    assert "'tag, exp_name, env_id, seed, global_step, charts/episodic_return'" in error
    assert "; missing: method, game, agent_step, return; got '" in error
    option = error.split("which is which: --columns ")[1].split()
    assert option == [
        "method=exp_name", "game=env_id", "agent_step=global_step", "return=charts/episodic_return"
    ]  # fmt: skip
    assert [points(run) for run in read("orlb.csv", *option).runs] == [[(1000, 1), (2000, 2)]] * 3


def test_an_export_of_wandb_is_read_without_its_extremes():
    columns = ("return=charts/episodic_return", "agent_step=Step", "game=Breakout")
    (run,) = read("wandb.csv", *columns).runs
    assert (run.method, run.game, run.seed) == ("dqn", "Breakout", 1)
    assert points(run) == [(100, 1.5), (200, 3.0), (300, 4.5)]
    whole = ("return=dqn__1 - charts/episodic_return", *columns[1:], "method=DQN", "seed=7")
    (run,) = read("wandb.csv", *whole, unit="frames").runs
    assert (run.method, run.seed) == ("DQN", 7)
    assert points(run) == [(25, 1.5), (50, 3.0), (75, 4.5)]


def test_the_hint_for_an_export_of_wandb_is_the_chart_that_all_runs_have(tmp_path):
    header = [
        f"dqn__{seed} - charts/episodic_return{end}" for seed in (1, 2) for end in ("", "__MAX")
    ]
    path = tmp_path / "export.csv"
    path.write_text("global_step," + ",".join(header) + "\n1,2,3,4,5\n")
    with pytest.raises(ValueError, match="return='?charts/episodic_return") as error:
        read_csv(path)
    assert "return=dqn__1" not in str(error.value) and "return='dqn__1" not in str(error.value)


def test_each_column_of_wandb_is_a_run_and_an_empty_cell_no_point(tmp_path):
    header = '"Step","a - ret","a - ret__MIN","b - ret","b - ret__MAX"'
    path = write(tmp_path, "1,10,9,,", "2,,,20,21", "3,30,29,40,41", header=header)
    columns = parse_columns(["return=ret", "agent_step=Step", "game=Pong", "method=DQN"])
    found = read_csv(path, columns)
    assert [points(run) for run in found.runs] == [[(1, 10), (3, 30)], [(2, 20), (3, 40)]]
    assert [run.seed for run in found.runs] == [0, 1]
    assert any("no seeds" in note for note in found.notes)


def test_names_of_runs_in_wandbs_columns_tell_methods_games_and_seeds_where_no_label_does(tmp_path):
    told = [("Pong", "a", 1), ("Pong", "b", 2), ("Qbert", "a", 3), ("Qbert", "b", 4)]
    columns = [f"{game}__{method}__{seed}__1700000000 - ret" for game, method, seed in told]
    path = write(tmp_path, "1,10,20,30,40", header=",".join(["Step", *columns]))
    named = ["return=ret", "agent_step=Step"]
    found = read_csv(path, parse_columns(named)).runs
    assert [(run.game, run.method, run.seed) for run in found] == told
    (note,) = read_csv(path, parse_columns([*named, "method=DQN"])).notes[-1:]
    assert note.endswith(
        "the names of its runs tell 'a', 'b': leave method= away to tell them apart"
    )


@pytest.mark.parametrize(
    ("names", "labels", "wanted"),
    [
        (("amber-1", "brisk-2"), ["game=Pong", "method=DQN"], [("DQN", 0), ("DQN", 1)]),
        (("Pong__a__4__1700000000", "Pong__b__4__1700000001"), [], [("a", 4), ("b", 4)]),
    ],
)
def test_a_column_of_seeds_may_hold_names_of_runs(tmp_path, names, labels, wanted):
    lines = [f"{name},{step},1.5" for name in names for step in (10, 20)]
    path = write(tmp_path, *lines, header="Name,_step,eval/return")
    with pytest.raises(ValueError, match="seed=Name agent_step=_step return=eval/return"):
        read_csv(path)
    columns = ["return=eval/return", "agent_step=_step", "seed=Name", *labels]
    found = read_csv(path, parse_columns(columns))
    assert [(run.method, run.seed) for run in found.runs] == wanted
    assert [points(run) for run in found.runs] == [[(10, 1.5), (20, 1.5)]] * 2
    assert any("each of these is a run" in note for note in found.notes)


def test_a_monitor_file_has_the_steps_at_which_its_episodes_end():
    for columns in (["method=PPO"], ["return=r", "agent_step=l", "method=PPO", "seed=0"]):
        (run,) = read("monitor.csv", *columns).runs
        assert (run.game, run.seed, points(run)[:2]) == ("CartPole-v1", 0, [(20, 20), (55, 35)])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["return=charts/x"], "--columns return must name a column of .*; got 'charts/x'"),
        (["color=red"], "must be NAME=COLUMN .*; got 'color=red'"),
        (["game"], "must be NAME=COLUMN .*; got 'game'"),
        (["game=a", "game=b"], "each once; got 'game=b'"),
    ],
)
def test_a_wrong_column_is_named(columns, message):
    with pytest.raises(ValueError, match=message):
        read("orlb.csv", *columns)


def test_a_column_that_a_file_lacks_gives_way_to_its_own_and_is_named(tmp_path):
    found = read_csv(write(tmp_path, "DQN,Pong,0,1,1"), parse_columns(["game=env_id"]))
    assert found.runs[0].game == "Pong" and "no column 'env_id'" in found.notes[0]


def test_names_of_runs_tell_what_cleanrl_writes():
    told = {"game": "Pong-v5", "method": "dqn_atari", "seed": "3"}
    assert labels_of_run("Pong-v5__dqn_atari__3__1700000000") == told
    assert labels_of_run("dqn__1") == {"method": "dqn", "seed": "1"}
    assert labels_of_run("dqn") == labels_of_run("a__b") == {}


def test_foreign_files_in_a_folder_are_named_and_skipped(tmp_path):
    write(tmp_path, "DQN,Pong,0,1,1")
    write(tmp_path, "1,2", name="other.csv", header="a,b")
    (tmp_path / "my_settings.json").write_text('{"a": 1}', encoding="utf-8")
    found = read_folder(tmp_path)
    assert len(found.runs) == 1
    assert any(note.startswith("other.csv was passed over") for note in found.notes)
    assert any("my_settings.json" in note for note in found.notes)
    baseline(tmp_path, {0: 1})
    (tmp_path / "lines_x.json").write_text('{"a": 1}\n{"a": 2}\n', encoding="utf-8")
    found = read_folder(tmp_path, parse_columns(["game=env_id"]))
    assert [run.game for run in found.runs] == ["pong"]
    for text in ("lines_x.json is none of", "mine.csv, other.csv", "--columns and --step_unit"):
        assert any(text in note for note in found.notes)
    for path in tmp_path.glob("*.json"):
        path.unlink()
    write(tmp_path, "DQN,Pong,1,1", name="damaged.csv")  # ours, and damaged
    with pytest.raises(ValueError, match="damaged.csv, line 2"):
        read_folder(tmp_path)


def test_the_lease_of_a_folder_is_no_stranger_in_it(tmp_path, written_run):
    run = written_run()
    folder = tmp_path / "runs"
    shutil.copytree(run, folder / "DQN" / "Pong" / "seed_0", ignore=lambda *_: ["runs"])
    for name in ("lease.json", "list.txt"):
        (folder / name).write_text("{}", encoding="utf-8")
    notes = " ".join(read_folder(folder).notes)
    assert "list.txt" in notes and "lease.json" not in notes


def test_papers_values_stand_beside_a_file(tmp_path, capsys):
    lines = [f"{m},{g},{s},1000,5" for m in ("dqn", "Mine") for g in ("ALE/Pong-v5", "Qbert")
             for s in (0, 1)]  # fmt: skip
    path = write(tmp_path, *lines)
    assert main([str(path), "--paper=fig1", "--repetitions=20"]) == 0
    printed = capsys.readouterr().out
    assert "; paper 0.3*, difference" in printed and "here 2 of 17 games" in printed
    assert main([str(path), "--paper=fig99"]) == 2
    assert main([str(write(tmp_path, "Mine,Pong,0,1,1")), "--paper=fig1"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "--paper fig1 has values of DQN, DQN + reset" in error and "got Mine" in error


def test_what_is_compared_is_counted_apart(tmp_path):
    games = ("Pong", "Qbert")
    ours = write(
        tmp_path, *[f"ReDo,{g},{s},{t},1" for g in games for s in range(3) for t in (1, 2)]
    )
    lines = [f"DQN,{g},{s},{t},1" for g in games for s in range(4) for t in (1, 2)]
    theirs = write(tmp_path, *lines[:-1], "Rainbow,Pong,0,2,1", name="theirs.csv")
    both = with_others(read_folder(ours), [read_folder(theirs)])
    assert len(both.experiment.runs) - len(both.compared) == 6 and len(both.runs) == 6 + 8
    assert "theirs: 8 runs are compared, 2 others are not whole or missing" in both.notes
    assert {absence.run.folder for absence in both.absent} == {
        "theirs: DQN, Qbert, seed 3", "Rainbow, Qbert, seed 0"
    }  # fmt: skip
    output = tmp_path / "report"
    arguments = [str(ours), "--compare", str(theirs), f"--output={output}", "--repetitions=20"]
    assert main(arguments) == 0
    page = (output / "report.html").read_text("utf-8")
    assert "<dd>6 planned: 6 whole</dd>" in page
    assert "<dd>10 runs: 8 whole, 1 interrupted, 1 not started</dd>" in page
    assert "2 of 10 compared runs are not whole" in page


# Unsafe names


UNSAFE = ("=1+1", "+x", "-2+3", "@SUM(A1)", " =1", "'=1", "\t=1", "-cmd|' /C calc'!A0")


@pytest.mark.parametrize("name", UNSAFE)
def test_no_cell_begins_as_a_formula_and_names_come_back(tmp_path, name):
    nothing = np.full(1, np.nan)
    run = RunResult(name, name, None, name, 0, np.ones(1), np.array([-1.5]), nothing)
    write_csv([run], tmp_path / "x.csv")
    _, cells = csv.reader(io.StringIO((tmp_path / "x.csv").read_text("utf-8")))
    assert cells == [f"'{name}", f"'{name}", "", f"'{name}", "0", "1.0", "-1.5", ""]
    numbers = ("-", "-0.123 [-0.200, -0.100] (3)", "-1.0; paper -2 ± 1*, difference +1.0")
    rows = csv.reader(io.StringIO(csv_text(Table("t", ("a", name, "b"), (numbers,)))))
    assert list(map(tuple, rows)) == [("a", f"'{name}", "b"), numbers]
    (back,) = read_csv(tmp_path / "x.csv").runs
    assert (back.method, back.returns[0]) == (" ".join(name.split()), -1.5)


@pytest.mark.parametrize(
    ("name", "inert"),
    [
        ("[x](http://evil)", r"[x]\(http\://evil)"),
        ("![x](//evil)", r"![x]\(//evil)"),
        ("[x]: http://evil", r"[x]\: http\://evil"),
        ("www.evil.com", r"www\.evil.com"),
        ("<a href=x>", "&lt;a href=x>"),
        ("\x1b[31mred", "[31mred"),
    ],
)
def test_names_are_no_links_in_markdown(name, inert):
    assert inert in markdown(Table(name, (name,), ((name,),), (name,)))
    assert markdown(Table("t", ("95 % [a, b] (n)",), (("1 [0, 2] (3)",),))).count("\\") == 0


def test_own_columns_are_the_default():
    assert OWN.named == {} and OWN.agent_steps(8) == 8.0


# Dopamine's baselines


def baseline(folder, counts, name="pong_CNN.json", agent="DQN"):
    entries = [
        {"Agent": agent, "Iteration": at, "Value": 10.0 * at + number}
        for at, count in counts.items()
        for number in range(count)
    ]
    (folder / name).write_text(json.dumps(entries), encoding="utf-8")


@pytest.mark.parametrize("counts", [{0: 3, 1: 3, 2: 2}, {0: 2, 1: 3}, {0: 3, 2: 3}])
def test_values_that_cannot_be_assigned_to_runs_are_refused(tmp_path, counts):
    baseline(tmp_path, counts)
    baseline(tmp_path, {0: 2, 1: 2}, name="qbert_CNN.json")
    found = read_folder(tmp_path)
    assert {run.game for run in found.runs} == {"qbert"}
    assert {absence.status for absence in found.absent} == {"unreadable"}
    assert (
        "pong_CNN.json: iterations of DQN must have as many values each" in found.absent[0].problem
    )
    iqm, *_ = experiment_tables(Statistics(found, Bootstrap(20)))
    assert iqm.rows[0][-1] == "-"


def test_until_a_run_ends_the_values_are_compared(tmp_path):
    baseline(tmp_path, {0: 3, 1: 3, 2: 2})
    theirs = read_folder(tmp_path)
    assert theirs.runs == () and [len(run.agent_steps) for run in theirs.partial] == [2, 2, 2]
    ours = read_folder(write(tmp_path, "ReDo,Pong,0,500000,1"))
    both = with_others(ours, [theirs])
    assert both.absent == () and [points(run) for run in both.runs[1:]] == [
        [(250_000, number), (500_000, 10 + number)] for number in range(3)
    ]
    longer = read_folder(write(tmp_path, "ReDo,Pong,0,750000,1"))
    with pytest.raises(ValueError, match="got none in"):
        with_others(longer, [theirs])


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"Iteration": -1, "Value": 1.0}, "Iteration must be at least 0; got -1"),
        ({"Iteration": 0, "Value": 1e200}, "Value must be within ±1e.100; got 1e.200"),
        ({"Iteration": 10**15, "Value": 1.0}, "got 0 of iteration 0, and 1 of others"),
    ],
)
def test_numbers_that_no_baseline_has_are_named(tmp_path, entry, problem):
    (tmp_path / "pong_CNN.json").write_text(json.dumps([{"Agent": "DQN", **entry}]), "utf-8")
    with pytest.raises(ValueError, match=f"pong_CNN.json.*{problem}"):
        read_baselines(tmp_path)

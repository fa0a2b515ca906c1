# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Files as people have them: exports of W&B, openrlbenchmark, SB3 and TensorBoard, damaged tables.
What cannot be understood is named, with its line."""

import shutil

import numpy as np
import pytest

from dormant.report.columns import OWN, labels_of_run, parse_columns
from dormant.report.command_line import main
from dormant.report.comparing import with_others
from dormant.report.csv_results import read_csv
from dormant.report.csv_writing import write_csv
from dormant.report.sources import read_folder
from tests.report.foreign import DATA, HEADER, baseline, points, read, write

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


def test_two_runs_of_one_seed_are_not_taken_for_one(tmp_path):
    names = [f"Pong__dqn__1__{time}" for time in (1_700_000_000, 1_700_009_999)]
    named = ["return=ret", "agent_step=Step"]
    header = ",".join(["Step", *(f"{name} - ret" for name in names)])
    with pytest.raises(ValueError, match=f"got the same of '{names[0]} - ret' and '{names[1]} - r"):
        read_csv(write(tmp_path, "1,10,", "2,,20", header=header), parse_columns(named))
    lines = [f"{name},{step},1" for name, step in zip(names, (10, 20), strict=True)]
    path = write(tmp_path, *lines, header="Name,Step,ret")
    with pytest.raises(ValueError, match=f"got the same of '{names[0]}' and '{names[1]}'"):
        read_csv(path, parse_columns([*named, "seed=Name"]))
    # What a name does not tell may stand beside it.
    lines = [f"{name},{rate},10,1" for name, rate in zip(names, (0.1, 0.2), strict=True)]
    path = write(tmp_path, *lines, header="Name,lr,Step,ret")
    found = read_csv(path, parse_columns([*named, "seed=Name", "setting=lr"]))
    assert [run.setting for run in found.runs] == ["0.1", "0.2"]


def test_steps_of_a_reports_own_file_are_no_frames(tmp_path):
    path = write(tmp_path, "DQN,Pong,0,1000,5", name="frames.csv")
    (run,) = read_csv(path, parse_columns([], "frames")).runs
    assert points(run) == [(250, 5)]
    write_csv([run], tmp_path / "results.csv")
    (again,) = read_csv(tmp_path / "results.csv", parse_columns([], "frames")).runs
    assert points(again) == [(250, 5)]


def test_points_that_are_episodes_and_environments_of_one_run_are_named(tmp_path):
    for number in range(2):
        shutil.copy(DATA / "monitor.csv", tmp_path / f"{number}.monitor.csv")
    found = read_folder(tmp_path, parse_columns(["method=PPO"]))
    assert any("0.monitor.csv, 1.monitor.csv may be the environments" in w for w in found.warnings)
    assert sum("each point is one episode" in note for note in found.notes) == 2
    named = ("return=charts/episodic_return", "agent_step=Step", "game=Breakout")
    assert any("each point is one episode" in note for note in read("wandb.csv", *named).notes)


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
    assert "; paper 0.3*, difference" in printed
    assert "here 2 of 17 games, 2 of 5 seeds" in printed
    assert main([str(path), "--paper=fig99"]) == 2
    assert "`--paper` must be an experiment" in capsys.readouterr().err
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


def test_own_columns_are_the_default():
    assert OWN.named == {} and OWN.agent_steps(8) == 8.0


def test_a_method_may_be_called_none(tmp_path):
    (run,) = read_csv(write(tmp_path, "none,Pong,0,1,1")).runs
    assert run.method == "none"
    header = f"setting,{HEADER}"
    lines = ("none,DQN,Pong,0,1,1", "l2,DQN,Pong,0,1,1")
    assert [run.setting for run in read_csv(write(tmp_path, *lines, header=header)).runs] == [
        "none",
        "l2",
    ]
    with pytest.raises(ValueError, match="line 2: method must be given; got 'nan'"):
        read_csv(write(tmp_path, "nan,Pong,0,1,1"))


def test_further_columns_are_found_in_any_case(tmp_path):
    header = f"{HEADER},Gradient_Step,Effective Rank,DORMANT_PERCENT_TAU_0"
    (run,) = read_csv(write(tmp_path, "DQN,Pong,0,1,1,250,9,3", header=header)).runs
    assert {name: values[0] for name, values in run.measured.items()} == {
        "gradient_step": 250, "effective_rank": 9, "dormant_percent_tau_0": 3,
    }  # fmt: skip


@pytest.mark.parametrize("first", ["", "sep=,", '"sep=,"', "\n\n"])
def test_what_editors_put_before_the_header_is_passed_over(first, tmp_path):
    source = read_csv(write(tmp_path, HEADER, "DQN,Pong,0,1,1", header=first))
    assert points(source.runs[0]) == [(1.0, 1.0)]
    with pytest.raises(ValueError, match=f"line {first.count(chr(10)) + 3}: return must be"):
        read_csv(write(tmp_path, HEADER, "DQN,Pong,0,1,x", header=first))


def test_a_value_that_changes_within_a_run_is_named(tmp_path):
    header = f"setting,value,{HEADER}"
    lines = ("a,1,DQN,Pong,0,1,1", "a,,DQN,Pong,0,2,1")
    with pytest.raises(ValueError, match="line 3: value must be .* got nothing after 1"):
        read_csv(write(tmp_path, *lines, header=header))


def test_a_seed_in_two_files_names_both(tmp_path):
    for name in ("a.csv", "b.csv"):
        write(tmp_path, "DQN,Pong,0,1,1", name=name)
    with pytest.raises(ValueError, match=r"seed 0 of DQN, Pong, in a\.csv and in b\.csv"):
        read_folder(tmp_path)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs from folders, whole and broken; what is wrong is said."""

import itertools
import json
import shutil

import numpy as np
import pytest

from dormant.records.experiment_file import PaperValue, read_experiment
from dormant.records.files import EXPERIMENT_FILE
from dormant.records.results_file import run_ends
from dormant.records.settings import UNKNOWN_GAME
from dormant.report.bootstrap import Bootstrap
from dormant.report.csv_writing import write_csv
from dormant.report.sources import read_folder
from dormant.report.writing import write_report
from tests.report.hostile_runs import events, plan, planned_runs, write_run

RUNS = [run._replace(method="DQN" if run.method == "DQN" else "ReDo") for run in planned_runs()]


@pytest.fixture
def folder(tmp_path):
    """Two planned runs that are whole."""
    plan(tmp_path, RUNS[:2])
    for run in RUNS[:2]:
        write_run(tmp_path, run)
    return tmp_path


def test_whole_runs_are_read_in_the_order_of_the_plan(folder):
    found = read_folder(folder)
    assert [(run.game, run.seed) for run in found.runs] == [("Asterix", 0), ("Asterix", 1)]
    assert found.absent == () == found.partial
    assert list(found.runs[0].agent_steps) == [1000, 2000, 3000, 4000, 5000]
    # Iterations of the quarters 1 to 4, 5 to 8, ...: 2 * step + seed.
    assert list(found.runs[1].dormant_percent) == [6, 14, 22, 30, 38]


def test_an_experiment_file_is_read_back_equal(folder):
    assert read_experiment(folder).runs == tuple(RUNS[:2])


@pytest.mark.parametrize(
    "text, problem",
    [
        ("{", "is not JSON"),
        ("[]", "must be a JSON object"),
        ('{"name": "x"}', "must have the entries"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_broken_plan_names_the_file(folder, text, problem):
    (folder / EXPERIMENT_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"{EXPERIMENT_FILE}.*{problem}"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("where", "entry", "value"),
    [
        ("", "shows", 5),
        ("", "title", None),
        ("", "shows", [1]),
        ("runs", "agent_steps", "3000"),
        ("runs", "seed", True),
        ("runs", "value", "x"),
        ("runs", "game", None),
        ("paper", "value", "x"),
        ("paper", "value", 10**400),
    ],
)
def test_an_entry_of_another_type_names_its_place(folder, where, entry, value):
    paper = PaperValue("DQN", "", "iqm", None, 1.0, "figure 1", True)
    plan(folder, RUNS[:2], paper=(paper,))
    path = folder / EXPERIMENT_FILE
    entries = json.loads(path.read_text("utf-8"))
    (entries[where][0] if where else entries)[entry] = value
    path.write_text(json.dumps(entries), encoding="utf-8")
    place = rf"{EXPERIMENT_FILE}, {where}\[0\]: {entry}" if where else f"{EXPERIMENT_FILE}: {entry}"
    with pytest.raises(ValueError, match=f"{place} must be"):
        read_folder(folder)


@pytest.mark.parametrize("text", ["[]", '{"status": null}', '{"status": [1]}', "[" * 100_000])
def test_a_strange_run_json_costs_its_own_run_alone(folder, text):
    (folder / RUNS[0].folder / "run.json").write_text(text, encoding="utf-8")
    found = read_folder(folder)
    assert len(found.absent) == 1 and [run.seed for run in found.runs] == [1]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1" + "0" * 400, "[" * 100_000])
def test_a_number_that_is_none_costs_its_own_run_alone(folder, value):
    path = folder / RUNS[0].folder / "metrics.jsonl"
    line = path.read_text("utf-8").splitlines()[0]
    entries = json.loads(line)
    strange = json.dumps({**entries, "gradient_step": "HERE"}).replace('"HERE"', value)
    path.write_text(strange + "\n" + path.read_text("utf-8").partition("\n")[2], encoding="utf-8")
    found = read_folder(folder)
    (absence,) = found.absent
    assert absence.status == "unreadable" and "metrics.jsonl, line 1" in absence.problem
    assert [run.seed for run in found.runs] == [1]


def test_a_run_that_failed_before_its_first_record_is_found(tmp_path):
    write_run(tmp_path, RUNS[0])
    write_run(tmp_path, RUNS[1], status="failed", error="it broke")
    (tmp_path / RUNS[1].folder / "metrics.jsonl").unlink()
    found = read_folder(tmp_path)
    assert [(absence.status, absence.problem) for absence in found.absent] == [
        ("failed", "it broke")
    ]
    assert len(found.runs) == 1


def test_truncated_metrics_are_told_and_the_other_runs_kept(folder):
    path = folder / RUNS[0].folder / "metrics.jsonl"
    path.write_text(path.read_text("utf-8")[:-40], encoding="utf-8")
    found = read_folder(folder)
    (absence,) = found.absent
    assert absence.status == "unreadable" and f"{path}, line 25" in absence.problem
    assert [run.seed for run in found.runs] == [1]


def test_each_run_that_is_not_whole_says_how_far_it_came(tmp_path):
    plan(tmp_path, RUNS[:5])
    write_run(tmp_path, RUNS[0], status="failed", error="it broke", iterations=2)
    write_run(tmp_path, RUNS[1], status="running", iterations=3)
    write_run(tmp_path, RUNS[2], iterations=4)
    write_run(tmp_path, RUNS[3])
    (tmp_path / RUNS[3].folder / "run.json").write_text("{", encoding="utf-8")
    found = read_folder(tmp_path)
    assert found.runs == () and len(found.partial) == 3
    problems = [(absence.status, absence.problem) for absence in found.absent]
    assert problems[:3] == [
        ("failed", "it broke, after 2,000 of 5,000 agent steps"),
        ("running", "it has 3,000 of 5,000 agent steps"),
        ("interrupted", "it has 4,000 of 5,000 agent steps"),
    ]
    assert problems[3][0] == "unreadable" and "run.json is not JSON" in problems[3][1]
    assert problems[4] == ("not started", "it has no folder")


def test_two_runs_of_one_seed_are_refused_with_both_folders(tmp_path):
    plan(tmp_path, [RUNS[0], RUNS[1]._replace(seed=0)])
    with pytest.raises(ValueError, match=f"got seed 0 .*{RUNS[0].folder}.*{RUNS[1].folder}"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    "config, game",
    [
        ("atari_lib.create_atari_environment.game_name = 'Pong'", "Pong"),
        ("create_gym_environment.environment_name = 'Ant'", "Ant"),
        ("VectorizedDQN.environment = 'Asterix-MinAtar'", "Asterix-MinAtar"),
        ("create_minatar_env.game_name = 'asterix'", "asterix (MinAtar 1.0)"),
        ("VectorizedDQN.environment = 'Breakout-MinAtar'\nAtari.game = 'Pong'", "Pong"),
        ("LearnerOptions.replay_ratio = 1", UNKNOWN_GAME),
    ],
)
def test_without_a_plan_the_game_is_that_of_the_configuration(tmp_path, config, game):
    run = RUNS[0]._replace(folder="mine/seed_7", seed=7)
    write_run(tmp_path, run)
    (tmp_path / run.folder / "config.gin").write_text(config + "\n", encoding="utf-8")
    (found,) = read_folder(tmp_path).runs
    assert (found.method, found.game, found.seed) == ("mine", game, 7)
    assert not read_folder(tmp_path / run.folder).notes  # a run itself: its files are its own


def test_an_empty_folder_and_none_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="must hold experiment.json, run folders .* none"):
        read_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read_folder(tmp_path / "nothing")


def test_a_run_folder_that_ends_before_its_neighbours_is_not_whole(tmp_path):
    for run, iterations in zip(RUNS[:3], (5, 5, 3), strict=True):
        write_run(tmp_path, run, iterations=iterations)
        config = tmp_path / run.folder / "config.gin"
        config.write_text("create_gym_environment.environment_name = 'Asterix'\n", "utf-8")
    write_run(tmp_path, RUNS[2]._replace(folder=RUNS[2].folder[:-1] + "9"), status="failed",
              error="it broke", iterations=2)  # fmt: skip
    found = read_folder(tmp_path)
    assert [run.seed for run in found.runs] == [0, 1] and len(found.partial) == 2
    problems = {absence.run.folder: absence[1:] for absence in found.absent}
    assert list(problems.values())[0] == ("interrupted", "ends at 3,000 of 5,000 agent steps")
    other = read_folder(tmp_path / "0_0.25")
    assert len(other.runs) == 2


def test_a_failed_run_folder_says_how_far_its_neighbours_came(tmp_path):
    write_run(tmp_path, RUNS[0])
    write_run(tmp_path, RUNS[1], status="failed", error="it broke", iterations=2)
    (absence,) = read_folder(tmp_path).absent
    assert absence[1:] == ("failed", "it broke, after 2,000 of 5,000 agent steps")


def test_csv_is_read_back_to_the_digit(folder, tmp_path):
    before = read_folder(folder)
    path = tmp_path / "all.csv"
    write_csv(before.runs, path)
    after = read_folder(path)
    for old, new in zip(before.runs, after.runs, strict=True):
        assert old[:5] == new[:5]
        for name in ("agent_steps", "returns", "dormant_percent"):
            np.testing.assert_array_equal(getattr(old, name), getattr(new, name))
        assert old.measured.keys() == new.measured.keys() >= {"gradient_step", "overlap_history"}
        for name, values in old.measured.items():
            np.testing.assert_array_equal(values, new.measured[name])


def test_csv_says_what_is_not_whole(tmp_path):
    """So that no table of it is of fewer runs without a word."""
    planned = tmp_path / "planned"
    planned.mkdir()
    failed, silent, gone, *others = planned_runs()
    plan(planned, planned_runs())
    for run in others:
        write_run(planned, run)
    write_run(planned, failed, status="failed", error="it broke", iterations=2)
    write_run(planned, silent, status="running", iterations=0)
    write_report(read_folder(planned), tmp_path / "report", Bootstrap(50, 0))
    path = tmp_path / "report" / "results.csv"
    before, after = read_folder(planned), read_folder(path)
    assert [run[:5] for run in after.runs] == [run[:5] for run in before.runs]
    assert [run[:5] for run in after.partial] == [failed[1:6]]
    assert {absence.run[1:6]: absence.status for absence in after.absent} == {
        failed[1:6]: "failed",
        silent[1:6]: "running",
        gone[1:6]: "not started",
    }
    assert sorted(run_ends(path)) == sorted(
        (run.method, run.setting, run.game, str(run.seed)) for run in others
    )
    again = write_report(after, tmp_path / "again", Bootstrap(50, 0))
    assert (tmp_path / "again" / "results.csv").read_bytes() == path.read_bytes()
    assert any("whole" in note for note in again.notes)


def test_a_run_that_was_made_again_takes_the_place_of_the_one_that_failed(tmp_path):
    header = "method,game,seed,agent_step,return,status\n"
    failed = "DQN,ALE/Breakout-v5,1,10,1,failed\nDQN,ALE/Breakout-v5,2,,,not started\n"
    (tmp_path / "a.csv").write_text(
        f"{header}DQN,ALE/Breakout-v5,0,10,1,\nDQN,ALE/Breakout-v5,0,20,1,\n{failed}", "utf-8"
    )
    (tmp_path / "b.csv").write_text(
        "method,game,seed,agent_step,return\nDQN,Breakout,1,10,1\nDQN,Breakout,1,20,2\n", "utf-8"
    )
    found = read_folder(tmp_path)
    name = "ALE/Breakout-v5"
    assert {(run.seed, run.game) for run in found.runs} == {(0, name), (1, name)}
    assert [(each.run.seed, each.run.game, each.status) for each in found.absent] == [
        (2, name, "not started")
    ]
    write_csv([*found.runs, *found.partial], tmp_path / "all.csv", found.absent)
    again = read_folder(tmp_path / "all.csv")
    assert [run[:5] for run in again.runs] == [run[:5] for run in found.runs]


def test_one_line_that_says_so_makes_a_run_absent_for_all_that_read_it(tmp_path):
    path = tmp_path / "x.csv"
    lines = ["DQN,,Pong,0,10,1,", "DQN,,Pong,0,20,1,failed", "DQN,,Pong,1,20,1,finished"]
    path.write_text("method,setting,game,seed,agent_step,return,status\n" + "\n".join(lines) + "\n")
    assert [run.seed for run in read_folder(path).runs] == [1]
    assert [key[-1] for key in run_ends(path)] == ["1"]


@pytest.mark.parametrize(
    ("status", "error", "problem"),
    [
        ("interrupted", "SIGTERM", "SIGTERM, after 2,000 of 5,000 agent steps"),
        ("interrupted", None, "it has 2,000 of 5,000 agent steps"),
        ("failed", "KeyboardInterrupt", "KeyboardInterrupt, after 2,000 of 5,000 agent steps"),
    ],
)
def test_an_interrupted_run_is_interrupted_not_failed(tmp_path, status, error, problem):
    plan(tmp_path, RUNS[:1])
    write_run(tmp_path, RUNS[0], status=status, error=error, iterations=2)
    found = read_folder(tmp_path)
    assert [absence[1:] for absence in found.absent] == [("interrupted", problem)]
    assert found.partial[0].status == "interrupted"


@pytest.mark.parametrize("place", ["../outside", "/etc", "a/../../outside"])
def test_a_path_out_of_the_folder_is_refused(tmp_path, place):
    plan(tmp_path, [RUNS[0]._replace(folder=place)])
    with pytest.raises(ValueError, match=rf"runs\[0\]: folder must lie in .*; got '{place}'"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "has_plan"),
    [
        *itertools.product(["metrics.jsonl", "config.gin", "run.json"], [True, False]),
        ("", True),
        ("", False),
    ],
)
def test_a_link_out_of_the_folder_is_refused(tmp_path, name, has_plan):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    write_run(outside, RUNS[0])
    if has_plan:
        plan(root, RUNS[:1])
    if name:
        write_run(root, RUNS[0])
        (root / RUNS[0].folder / name).unlink()
        (root / RUNS[0].folder / name).symlink_to(outside / RUNS[0].folder / name)
    else:
        (root / RUNS[0].folder).parent.mkdir(parents=True)
        (root / RUNS[0].folder).symlink_to(outside / RUNS[0].folder)
    with pytest.raises(ValueError, match="must lie in .*; got one that leads to .*outside"):
        read_folder(root)


def test_a_link_within_the_folder_is_followed(tmp_path):
    plan(tmp_path, RUNS[:1])
    write_run(tmp_path, RUNS[0]._replace(folder="elsewhere"))
    (tmp_path / RUNS[0].folder).parent.mkdir(parents=True)
    (tmp_path / RUNS[0].folder).symlink_to(tmp_path / "elsewhere")
    assert len(read_folder(tmp_path).runs) == 1


@pytest.mark.parametrize(
    ("folder", "game"),
    [
        ("DQN/Breakout/seed_0", "Breakout-MinAtar"),
        ("DQN/pong/seed_0", "Pong"),
        ("DQN/PongNoFrameskip-v4/seed_0", "Pong"),
        ("DQN/ant/seed_0", "Ant-v4"),
    ],
)
def test_a_folder_of_the_game_is_no_part_of_the_method(tmp_path, folder, game):
    write_run(tmp_path, RUNS[0]._replace(folder=folder))
    config = f"VectorizedDQN.environment = '{game}'\n"
    (tmp_path / folder / "config.gin").write_text(config, encoding="utf-8")
    (run,) = read_folder(tmp_path).runs
    assert (run.method, run.game) == ("DQN", game)


def test_a_copy_of_another_run_is_none(folder):
    copied, original = (folder / run.folder for run in (RUNS[1], RUNS[0]))
    shutil.rmtree(copied)
    shutil.copytree(original, copied)
    found = read_folder(folder)
    ((absence,), (run,)) = found.absent, found.runs
    assert run.seed == 0 and "seed must be the planned 1; got 0 (a copy" in absence.problem


def test_of_a_run_that_is_longer_than_planned_the_planned_length_counts(folder):
    plan(folder, [run._replace(agent_steps=3000) for run in RUNS[:2]])
    for run in read_folder(folder).runs:
        assert run.agent_steps[-1] == 3000 == run.records.tracking[-1].agent_step
        assert len(run.returns) == len(run.dormant_percent) == 3


def test_what_no_table_has_is_named(folder):
    write_run(folder, RUNS[2])
    (folder / "others").mkdir()
    (folder / "others" / "more.csv").write_text("method\n", encoding="utf-8")
    events(folder / "tensorboard", "charts/episodic_return", [(1, 1.0)])
    report = folder / "report"
    (report / "tables").mkdir(parents=True)
    (report / "results.csv").write_text("method\n", encoding="utf-8")
    (note,) = [note for note in read_folder(folder).notes if "not read" in note]
    assert f"{RUNS[2].folder}, others/more.csv, tensorboard/events" in note and "report" not in note


def test_returns_of_evaluation_and_of_training_are_not_averaged(tmp_path):
    for run in RUNS[:2]:
        write_run(tmp_path, run)
    metrics = tmp_path / RUNS[0].folder / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text("utf-8").splitlines()]
    for line in lines:
        if line["kind"] == "iteration":
            line |= {"eval_returns": [100.0], "eval_average_return": 100.0}
            line["eval_episode_lengths"] = [5]
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    found = read_folder(tmp_path)
    assert {run.seed: run.returns[0] for run in found.runs} == {0: 1.0, 1: 2.0}
    assert any("1 runs were evaluated in each iteration and others not" in n for n in found.notes)
    shutil.rmtree(tmp_path / RUNS[1].folder)
    (alone,) = read_folder(tmp_path).runs
    assert alone.returns[0] == 100.0


def test_a_run_that_nobody_says_is_finished_is_not_said_to_run(tmp_path):
    write_run(tmp_path, RUNS[0])
    (tmp_path / RUNS[0].folder / "run.json").unlink()
    (absence,) = read_folder(tmp_path).absent
    assert absence.problem.endswith(
        "5,000 of 5,000 agent steps, and no run.json says that it is finished"
    )

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs that are another one's, lack their end, differ in more than seeds or are not whole by their
status: none is averaged without a word."""

import json

import pytest

from dormant.records.results_file import run_ends
from dormant.report.sources import read_folder
from tests.report.hostile_runs import plan, planned_runs, write_run

RUNS = [run._replace(method="DQN" if run.method == "DQN" else "ReDo") for run in planned_runs()]


def test_the_run_of_another_method_in_a_planned_place_is_no_result(tmp_path):
    base = "python -m dormant.train --base_dir=here/"
    planned = [run._replace(command=base + run.folder) for run in RUNS[:2]]
    plan(tmp_path, planned)
    write_run(tmp_path, planned[0])
    # Moved as a whole, or begun from a folder inside.
    write_run(tmp_path, planned[1]._replace(command="x --base_dir=seed_1"))
    assert len(read_folder(tmp_path).runs) == 2
    record = tmp_path / planned[1].folder / "run.json"
    # One process that makes all seeds of a game, or all games of a method.
    for above in (planned[1].folder.rpartition("/")[0], planned[1].folder.partition("/")[0]):
        text = json.dumps({"status": "finished", "command": base + above, "seed": 1})
        record.write_text(text, encoding="utf-8")
        assert len(read_folder(tmp_path).runs) == 2
    record = tmp_path / planned[0].folder / "run.json"
    other = record.read_text("utf-8").replace("here/", "here/other_")
    record.write_text(other, encoding="utf-8")
    (absence,) = read_folder(tmp_path).absent
    assert absence.status == "unreadable"
    assert f"must write into {planned[0].folder}; got --base_dir=here/other_" in absence.problem


def test_a_finished_run_that_lost_its_last_iterations_is_not_whole(tmp_path):
    for run in RUNS[:2]:
        write_run(tmp_path, run, iterations=3)
        (tmp_path / run.folder / "config.gin").write_text("Runner.num_iterations = 5\n", "utf-8")
    found = read_folder(tmp_path)
    assert found.runs == () and len(found.partial) == 2
    assert found.absent[0][1:] == (
        "unreadable",
        "it has 3 of 5 iterations, though run.json says finished",
    )


def test_runs_of_one_cell_with_other_settings_are_warned_of(tmp_path):
    for run, rate in zip(RUNS[:2], ("0.01", "0.1"), strict=True):
        write_run(tmp_path, run)
        config = f"LearnerOptions.seed = {run.seed}\ncreate_optimizer.learning_rate = {rate}\n"
        (tmp_path / run.folder / "config.gin").write_text(config, "utf-8")
    (warning,) = read_folder(tmp_path).warnings
    assert warning.endswith("one method differ in create_optimizer.learning_rate (0.01, 0.1)")


def test_a_status_in_other_words_is_understood_and_no_other_one_passed_over(tmp_path):
    path = tmp_path / "runs.csv"
    lines = ["method,setting,game,seed,agent_step,return,status", "DQN,,Pong,0,100,1,Finished",
             "DQN,,Pong,1,100,-20,crashed", "DQN,,Pong,2,100,-21,Failed"]  # fmt: skip
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = read_folder(path)
    assert [run.seed for run in found.runs] == [0]
    assert [absence.status for absence in found.absent] == ["failed", "failed"]
    assert list(run_ends(path)) == [("DQN", "", "Pong", "0")]
    path.write_text("\n".join([*lines, "DQN,,Pong,3,100,1,done"]) + "\n", encoding="utf-8")
    assert len(read_folder(path).runs) == 2  # a column of another program: its words say nothing
    own = ["method,setting,value,game,seed,agent_step,return,dormant_percent,status"]
    own += ["DQN,,,Pong,0,100,1,,", "DQN,,,Pong,1,100,1,,done"]
    path.write_text("\n".join(own) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 3: status must be one of finished, .*got 'done'"):
        read_folder(path)


def test_the_state_that_wandb_exports_is_a_status(tmp_path):
    path = tmp_path / "wandb.csv"
    lines = ["method,game,seed,agent_step,return,State", "DQN,Pong,0,100,1,finished",
             "DQN,Pong,1,100,-20,preempted"]  # fmt: skip
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = read_folder(path)
    assert [run.seed for run in found.runs] == [0] and found.absent[0].status == "interrupted"


def test_two_links_to_one_hidden_run_are_one_run(tmp_path):
    write_run(tmp_path, RUNS[0]._replace(folder=".store/seed_0"))
    for name in ("latest", "run3"):
        (tmp_path / name).symlink_to(tmp_path / ".store")
    (run,) = read_folder(tmp_path).runs
    assert run.method == "latest"

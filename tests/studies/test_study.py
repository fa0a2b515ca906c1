# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""`python -m dormant.study` from gin file to folder: records, resume, mistakes."""

import json
import re
import subprocess
import sys

import gin
import jax
import numpy as np
import pytest

from dormant.records.lease import LeaseLost
from dormant.records.reading import read_run
from dormant.records.run_folders import find_runs
from dormant.runs.gin_files import parse_gin
from dormant.runs.options import LearnerOptions
from dormant.studies.options import StudyRun
from dormant.studies.runner import StudyRunner
from tests.studies.conftest import GIN_CONFIGS, SMALL

FIGURES = pytest.mark.parametrize("name", SMALL)
# Two online runs come before the fit: compiling or training them takes long.
SLOW = ("fig08", "fig08_atari")
MOST_QUICKLY = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in SMALL]
)
GAMES = {
    "fig03": "synthetic",
    "fig04": "CartPole-v1",
    "fig08": "CartPole-v1",
    "fig04_atari": "Pong",
    "fig08_atari": "Asterix",
}
REDO = {"LearnerOptions.intervention": "@ReDo()"}
CHANGES = {name: {} if name == "fig04" else REDO for name in SMALL}
# They keep what takes long to make.
PREPARING = ("fig04", "fig08")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, run_study):
    """`finished(name)`: the folder of a finished run."""
    folder = tmp_path_factory.mktemp("studies")

    def run(name):
        if not (folder / name).exists():
            assert run_study(name, folder / name, CHANGES[name]) == 0
        return folder / name

    return run


def records(folder):
    """All that metrics.jsonl holds, but how fast it was."""
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return [{k: v for k, v in record.items() if k != "steps_per_second"} for record in found]


@MOST_QUICKLY
def test_it_has_the_records_of_a_run(name, finished):
    folder = finished(name)
    run = read_run(folder)
    assert [record.gradient_step for record in run.iterations] == [40, 80]
    assert [record.gradient_step for record in run.tracking] == [20, 40, 60, 80]
    for record in (*run.iterations, *run.tracking):
        assert record.agent_step == record.gradient_step
    assert (run.tracking[-1].recycled_total > 0) == (CHANGES[name] == REDO)
    details = json.loads((folder / "run.json").read_text())
    assert (details["status"], details["seed"]) == ("finished", 0) and details["versions"]["jax"]
    assert details["command"].split()[1:3] == ["-m", "dormant.study"]
    last = records(folder)[-1]
    if name == "fig03":
        assert 0 <= last["train_accuracy"] <= 1 and run.iterations[-1].eval_returns == ()
    else:
        returns, lengths = run.iterations[-1].eval_returns, run.iterations[-1].eval_episode_lengths
        assert len(returns) == 2 and min(lengths) > 1
        assert (returns == lengths) == (GAMES[name] == "CartPole-v1")
    if name in SLOW:
        assert last["teacher_average_return"] > 1 and last["start_average_return"] > 1


@MOST_QUICKLY
def test_a_report_finds_its_game(name, finished):
    (run,) = find_runs(finished(name))
    assert (run.game, run.seed) == (GAMES[name], 0)


@pytest.mark.parametrize(
    "name",
    ["fig03", *(pytest.param(name, marks=pytest.mark.slow) for name in SMALL if name != "fig03")],
)
def test_a_resumed_run_equals_an_uninterrupted_one(name, finished, run_study, tmp_path):
    folder = tmp_path / "resumed"
    assert run_study(name, folder, CHANGES[name] | {"StudyRun.num_iterations": 1}) == 0
    prepared = sorted((folder / "prepared").rglob("*.npz"))
    written = [path.stat().st_mtime_ns for path in prepared]
    # What was written after the checkpoint, as by a run that was killed, is dropped.
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(json.dumps(records(finished(name))[-1]) + "\n" + '{"kind": "trac')
    assert run_study(name, folder, CHANGES[name]) == 0
    assert records(folder) == records(finished(name))
    # What came before the fit is not computed again.
    assert [path.stat().st_mtime_ns for path in prepared] == written
    assert bool(prepared) == (name in PREPARING)
    assert json.loads((folder / "run.json").read_text())["start_iteration"] == 1


@pytest.mark.slow
def test_labels_that_are_shuffled_make_another_run(finished, run_study, tmp_path):
    assert run_study("fig03", tmp_path / "x", REDO | {"Supervised.labels": "'shuffled'"}) == 0
    fixed, shuffled = (read_run(folder).tracking for folder in (finished("fig03"), tmp_path / "x"))
    # An epoch has 10 gradient steps, and the labels are shuffled every 3 epochs.
    assert fixed[0].loss == shuffled[0].loss
    assert shuffled[1].loss > 1.2 * fixed[1].loss


def test_a_finished_run_is_not_trained_again(finished, run_study):
    before = records(finished("fig04"))
    assert run_study("fig04", finished("fig04")) == 0
    assert records(finished("fig04")) == before


def test_what_is_not_finite_stops_the_run(run_study, tmp_path, capsys):
    changes = {"Supervised.learning_rate": 1e38, "Supervised.momentum": 0.0}
    for _ in range(2):  # nothing was saved that it could go on from
        assert run_study("fig03", tmp_path, changes) == 1
        record = json.loads((tmp_path / "run.json").read_text())
        assert record["status"] == "failed" and record["start_iteration"] == 0
        assert re.search(r"params/.*not finite at gradient step \d+ of seed 0$", record["error"])
    (line,) = (x for x in capsys.readouterr().err.splitlines()[-1:] if "error" in x)
    assert line.startswith("dormant.study: error: ")


MISTAKES = [
    ("fig03", "StudyRun.study", "@Supervised", "@Distillation(), with its parentheses"),
    ("fig03", "StudyRun.study", "None", "`StudyRun.study` must be @Supervised()"),
    ("fig03", "StudyRun.training_steps", "0", "`StudyRun.training_steps` must be a whole number"),
    ("fig03", "StudyRun.num_iterations", "10**9", "gin: "),
    ("fig03", "StudyRun.num_iterations", "1_000_000_000", "fewer than 2**31 gradient steps"),
    ("fig03", "Supervised.labels", "'shufled'", "must be one of 'fixed', 'shuffled'; got"),
    ("fig03", "Supervised.lables", "'fixed'", "did you mean Supervised.labels?"),
    ("fig03", "Supervised.batch_size", "201", "at most Images.count, 200; got 201"),
    ("fig03", "Supervised.dense", "()", "a tuple of whole numbers >= 1"),
    ("fig03", "Supervised.momentum", "1.0", "a number in [0, 1); got 1.0"),
    ("fig03", "Supervised.images", "@Images", "@Images(), with its parentheses"),
    (
        "fig03",
        "Images.source",
        "'cifar'",
        "`Images.source` must be one of 'CIFAR-10', 'digits', 'synthetic'",
    ),
    ("fig03", "Images.source", "'CIFAR-10'", "must be the folder of CIFAR-10's"),
    ("fig03", "Images.noise", "-1", "`Images.noise` must be a number >= 0; got -1"),
    ("fig04", "OfflineDQN.targets", "'fixed'", "one of 'periodic', 'random'; got 'fixed'"),
    ("fig04", "OfflineDQN.data_steps", "401", "a multiple of VectorizedDQN.update_period, 4"),
    ("fig04", "OfflineDQN.data_steps", "80", "more than the 80 agent steps of VectorizedDQN.min"),
    ("fig04", "VectorizedDQN.network", "'minatar'", "`VectorizedDQN.network` must be 'mlp'"),
    ("fig04", "LearnerOptions.seed", "2_147_483_648", "`LearnerOptions.seed` must be below 2**31"),
    ("fig08", "Distillation.student", "'old'", "one of 'pretrained', 'fresh'; got 'old'"),
    ("fig08", "Distillation.loss", "'l1'", "`Distillation.loss` must be one of"),
    ("fig08", "Distillation.student_replay_ratio", "0.3", "of one burst, must be a whole number"),
    ("fig08", "Distillation.teacher_intervention", "@ReDo", "with its parentheses"),
    ("fig08", "Distillation.evaluation_episodes", "0", "a whole number >= 1; got 0"),
    ("fig08", "Distillation.student_run", "'runs/x'", "must be given where Distillation.teacher_r"),
    ("fig04", "VectorizedDQN.network", "'nature'", "'mlp' or 'minatar' for CartPole-v1, which has"),
    ("fig04", "VectorizedDQN.width", "2", "1: only 'nature' and 'impala' have another width"),
    ("fig04", "OfflineDQN.data", "@DQNReplay", "None or @DQNReplay(), with its parentheses"),
    ("fig04_atari", "VectorizedDQN.update_horizon", "3", "must be 1 with OfflineDQN.data"),
    ("fig04_atari", "VectorizedDQN.batch_size", "0", "batch_size` must be a whole number"),
    ("fig04_atari", "VectorizedDQN.width", "0", "`VectorizedDQN.width` must be a number > 0"),
    ("fig04_atari", "Atari.game", "'Pongg'", "the ALE has no game 'Pongg'; did you mean Pong?"),
    ("fig04_atari", "Atari.game", "'Asterix'", "found no "),
    ("fig04_atari", "DQNReplay.folder", "'nowhere'", "must hold <game>/<run>/rep"),
    ("fig04_atari", "DQNReplay.files", "(0, 7)", "must be out of those in "),
    ("fig04_atari", "DQNReplay.files", "()", "None or a tuple of different whole numbers >= 0"),
    ("fig04_atari", "DQNReplay.run", "6", "None or a whole number from 1 to 5; got 6"),
    ("fig04_atari", "DQNReplay.steps_per_file", "4", "a whole number of steps >= 5; got 4"),
]


@pytest.mark.parametrize(("name", "option", "value", "problem"), MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_created(
    name, option, value, problem, run_study, tmp_path, capfd
):
    changes = {"Images.folder": f"'{tmp_path}'"} | REDO if name == "fig03" else {}
    assert run_study(name, tmp_path / "run", changes | {option: value}) == 2
    error = capfd.readouterr().err
    assert error.startswith("dormant.study: error: ") and error.count("\n") == 1
    assert problem in error
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_run_is_refused(finished, run_study, tmp_path, capfd):
    folder = finished("fig04")
    before = records(folder)
    assert run_study("fig04", folder, {"VectorizedDQN.dense": "(8, 8)"}) == 2
    assert "`VectorizedDQN.dense` must be " in capfd.readouterr().err
    for name, value in (("LearnerOptions.seed", 7), ("StudyRun.training_steps", 20)):
        assert run_study("fig04", folder, {name: value}) == 2
        assert f"`{name}` must be " in capfd.readouterr().err
    assert records(folder) == before
    # Killed before its first checkpoint, a run has but what it prepared.
    (tmp_path / "prepared").symlink_to(folder / "prepared")
    assert run_study("fig04", tmp_path, {"LearnerOptions.seed": 7}) == 2
    assert "was prepared with another seed" in capfd.readouterr().err


@pytest.mark.parametrize("error", [None, OSError(5, "gone", "x")])
def test_one_that_was_taken_over_while_it_prepared_writes_nothing(error, study_flags, tmp_path):
    files, bindings = (
        [flag.split("=", 1)[1] for flag in study_flags("fig04", tmp_path) if flag.startswith(name)]
        for name in ("--gin_files", "--gin_bindings")
    )
    parse_gin(files, bindings)
    runner = StudyRunner(str(tmp_path), StudyRun(), LearnerOptions())

    def prepare(key, say):
        path = tmp_path / "checkpoints" / "process_0" / "lease.json"
        path.write_text('{"attempt": 2, "held": true, "token": "the successor"}', "utf-8")
        (tmp_path / "run.json").write_text("the successor's", "utf-8")
        if error is not None:
            raise error
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), runner._study.prepared)

    runner._study = runner._study._replace(prepare=prepare)
    with pytest.raises(LeaseLost if error is None else OSError):
        runner.run_experiment(["it"])
    assert (tmp_path / "run.json").read_text("utf-8") == "the successor's"
    assert not (tmp_path / "prepared").exists() and not (tmp_path / "metrics.jsonl").exists()


@FIGURES
def test_its_gin_file_and_the_changes_that_it_proposes_are_understood(name):
    from dormant.studies.options import StudyRun

    path = GIN_CONFIGS / f"{name}.gin"
    header = path.read_text("utf-8").split("\n\n")[0]
    parts = ["Command", "Units", "Figure", "Expected", "Runtime"]
    assert re.findall(r"^# (\w+) {2,}", header, re.MULTILINE) == parts
    assert f"python -m dormant.study --gin_files=studies/{path.name}" in header
    changes = re.findall(r"--gin_bindings='([^']*)'", header)
    assert len(changes) > 2
    for change in ["", *changes]:
        parse_gin([str(path)], [change])
        assert StudyRun().study and LearnerOptions()
    gin.clear_config()


def test_there_is_a_gin_file_of_each_study():
    # That of the digits is figure 3's with other values.
    assert {path.stem for path in GIN_CONFIGS.glob("*.gin")} == {*SMALL, "digits"}


@pytest.mark.slow
@FIGURES
def test_the_command_runs_from_its_flags(name, study_flags, tmp_path):
    command = [sys.executable, "-m", "dormant.study", *study_flags(name, tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "iteration 1 done" in done.stderr
    report = [sys.executable, "-m", "dormant.report", str(tmp_path)]
    shown = subprocess.run(report, capture_output=True, text=True, timeout=300, check=False)
    assert shown.returncode == 0, shown.stderr
    assert GAMES[name] in (tmp_path / "report" / "report.html").read_text("utf-8")

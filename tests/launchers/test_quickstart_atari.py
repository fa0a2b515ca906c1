"""The quickstart: what it reports on a finished run, and what it does when training fails.
The whole of it, with real training, is a slow test."""

import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

from dormant.records.reading import read_run
from launchers.quickstart_atari import report

SCRIPT = Path(__file__).resolve().parents[2] / "launchers" / "quickstart_atari.py"
RECORDS = Path(__file__).with_name("metrics.jsonl")


def quickstart(*arguments):
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_report_sums_up_the_run_and_names_its_files(tmp_path):
    shutil.copy(RECORDS, tmp_path)
    text = report(read_run(tmp_path), tmp_path)
    assert "all hidden layers  20.0 -> 5.0" in text
    assert f"records:   {tmp_path / 'metrics.jsonl'}" in text
    assert f"figure:    {tmp_path / 'dormancy.png'}" in text
    assert matplotlib.image.imread(tmp_path / "dormancy.png").ndim == 3


def test_a_run_that_was_not_tracked_has_no_figure(tmp_path):
    shutil.copy(RECORDS, tmp_path)
    text = report(read_run(tmp_path)._replace(tracking=()), tmp_path)
    assert "Dormancy was not measured." in text
    assert not (tmp_path / "dormancy.png").exists()


@pytest.mark.slow
def test_the_exit_code_of_the_training_is_passed_on(tmp_path):
    folder = tmp_path / "run"
    done = quickstart(f"--base_dir={folder}", "--gin_bindings=DormantDQNAgent.no_such_name = 1")
    assert done.returncode == 2
    assert "no_such_name" in done.stderr
    assert not folder.exists()


@pytest.mark.slow
def test_a_short_real_run_ends_with_a_summary_and_a_figure(tmp_path):
    small = {
        "Runner.num_iterations": 2,
        "Runner.training_steps": 150,
        "Runner.max_steps_per_episode": 150,
        "JaxDQNAgent.min_replay_history": 60,
        "Tracker.tracking_period": 20,
        "ReDo.period": 40,
    }
    bindings = [f"--gin_bindings={name} = {value}" for name, value in small.items()]
    done = quickstart(f"--base_dir={tmp_path}", *bindings)
    assert done.returncode == 0, done.stderr
    run = read_run(tmp_path)
    assert [record.iteration for record in run.iterations] == [0, 1]
    assert [record.gradient_step for record in run.tracking][:3] == [20, 40, 60]
    assert run.tracking[-1].recycled_total > 0
    assert "all hidden layers" in done.stdout
    assert (tmp_path / "dormancy.png").is_file()

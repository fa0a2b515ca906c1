"""The quickstart on the device: its four settings, table and figure, from a cut-down real run."""

import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

from dormant.report.seeds import read_seeds

SCRIPT = Path(__file__).resolve().parents[2] / "launchers" / "quickstart.py"
SETTINGS = [
    "dqn_redo_replay_ratio_0.25", "dqn_redo_replay_ratio_2",
    "dqn_replay_ratio_0.25", "dqn_replay_ratio_2",
]  # fmt: skip


def quickstart(*arguments):
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_a_mistake_ends_it_before_anything_is_created(tmp_path):
    done = quickstart(f"--base_dir={tmp_path / 'run'}", "--gin_bindings=ReDo.teu = 0.1")
    assert done.returncode == 2
    assert "did you mean ReDo.tau?" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_it_ends_with_a_table_and_a_figure(tmp_path):
    small = {
        "VectorizedDQN.environment": "'Breakout-MinAtar'",
        "VectorizedDQN.network": "'mlp'",
        "VectorizedDQN.dense": "(16,)",
        "VectorizedDQN.min_replay_history": 400,
        "VectorizedRun.seeds": 2,
        "VectorizedRun.num_iterations": 2,
        "VectorizedRun.training_steps": 1_000,
        "Tracker.tracking_period": 40,
        "ReDo.period": 40,
    }
    bindings = [f"--gin_bindings={name} = {value}" for name, value in small.items()]
    done = quickstart(f"--base_dir={tmp_path}", *bindings)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == SETTINGS
    for name in SETTINGS:
        for run in read_seeds(tmp_path / name):
            assert [record.iteration for record in run.iterations] == [0, 1]
            assert (run.tracking[-1].recycled_total > 0) == ("redo" in name)
    rows = [line.split()[:2] for line in done.stdout.splitlines() if line[:2] in ("0.", "2 ")]
    assert rows == [["0.25", "DQN"], ["0.25", "DQN"], ["2", "DQN"], ["2", "DQN"]]
    assert done.stdout.count(" against ") == 3 + 3
    assert matplotlib.image.imread(tmp_path / "quickstart.png").ndim == 3

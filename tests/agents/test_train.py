# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""`python -m dormant.train` as users start it: whole processes, their records and exit codes.
And the gin files that the project ships."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gin
import jax
import pytest

import dormant
from dormant import train
from dormant.agents import preflight
from dormant.records.reading import read_run

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = {
    "dormant", "python", "jax", "jaxlib", "flax", "optax", "numpy", "dopamine-rl", "ale-py",
    "gymnasium", "tensorflow",
}  # fmt: skip
OPTIONAL = {"mujoco", "MinAtar", "gymnax"}


def start(*flags, cwd=ROOT):
    command = [sys.executable, "-m", "dormant.train", *map(str, flags)]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def finished(gin_configs, small_bindings, tmp_path_factory):
    """A run of `dqn_redo.gin`, started as a process from a folder that is not the repository."""
    base_dir = tmp_path_factory.mktemp("train") / "new" / "run"
    bindings = [f"--gin_bindings={line}" for line in small_bindings(Runner__num_iterations=1)]
    flags = [f"--gin_files={gin_configs / 'dqn_redo.gin'}", f"--base_dir={base_dir}", *bindings]
    done = start(*flags, cwd=base_dir.parents[1])
    assert done.returncode == 0, done.stderr
    return base_dir, done, flags


def test_a_run_ends_well_and_shows_its_progress(finished):
    base_dir, done, _ = finished
    lines = done.stderr.splitlines()
    assert lines[0] == (
        "dormant.train: DormantDQNAgent, seed 0, iterations 0 to 0; 1 cpu (cpu); " + str(base_dir)
    )
    assert lines[-1].startswith("iteration 0 done  average train return ")
    assert "steps/s" in lines[-1] and "dormant " in lines[-1]
    assert lines[1].startswith("dormant.train: a full replay of 100 transitions: 0.71 MB of this")
    # Neither TensorFlow nor Gym nor the ALE gets a word in.
    assert all(line.startswith(("iteration", "agent step")) for line in lines[2:])
    assert done.stdout == ""
    assert {path.name for path in base_dir.iterdir()} == {
        "checkpoints", "config.gin", "metrics", "metrics.jsonl", "run.json"
    }  # fmt: skip
    run = read_run(base_dir)
    assert run.iterations[0].gradient_step == 18
    assert [record.gradient_step for record in run.tracking] == [8, 16]


def test_run_json_says_what_ran(finished):
    base_dir, _, flags = finished
    record = json.loads((base_dir / "run.json").read_text())
    assert (record["status"], record["error"], record["seed"]) == ("finished", None, 0)
    assert record["start_iteration"] == 0
    assert record["command"].startswith("python")
    assert "-m dormant.train" in record["command"]
    assert f"--base_dir={base_dir}" in record["command"] and len(flags) > 5
    assert record["git_commit"] is None  # the folder it was started in is in no repository
    assert set(record["versions"]) == VERSIONS | OPTIONAL
    assert all(record["versions"][package] for package in VERSIONS)
    assert record["versions"]["dormant"] == dormant.__version__
    assert record["device"]["platform"] == "cpu"
    assert record["start_time"] < record["end_time"]


def test_config_gin_is_complete_and_gives_the_same_run(finished, tmp_path):
    base_dir, _, _ = finished
    config = (base_dir / "config.gin").read_text()
    for line in ("ReDo.tau = 0.1", "ReDo.period = 16", "JaxDQNAgent.min_replay_history = 20",
                 "LearnerOptions.replay_ratio = 0.5", "Runner.training_steps = 60"):  # fmt: skip
        assert line in config
    assert train.main([f"--gin_files={base_dir / 'config.gin'}", f"--base_dir={tmp_path}/run"]) == 0
    again, original = read_run(tmp_path / "run"), read_run(base_dir)
    assert again.tracking == original.tracking
    assert again.iterations[0].train_returns == original.iterations[0].train_returns


def test_a_failed_run_says_so(finished, tmp_path, monkeypatch):
    _, _, flags = finished
    from dormant.agents import runner

    def fail(self, action):
        raise RuntimeError("the emulator broke")

    monkeypatch.setattr(runner.RunnerMixin, "_run_one_step", fail)
    base_dir = tmp_path / "run"
    with pytest.raises(RuntimeError, match="the emulator broke"):
        train.main([*flags, f"--base_dir={base_dir}"])
    record = json.loads((base_dir / "run.json").read_text())
    assert (record["status"], record["error"]) == ("failed", "RuntimeError: the emulator broke")


def test_cheap_checks_come_before_tensorflow(gin_configs, tmp_path):
    (tmp_path / "file").write_text("in the way")
    program = (
        "import sys; from dormant import train; code = train.main(sys.argv[1:]);"
        " sys.exit(code if 'tensorflow' not in sys.modules else 1)"
    )
    flags = [f"--gin_files={gin_configs / 'dqn.gin'}", f"--base_dir={tmp_path / 'file' / 'run'}"]
    done = subprocess.run(
        [sys.executable, "-c", program, *flags], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is not a folder" in done.stderr


@pytest.mark.slow
def test_a_mistyped_name_ends_a_real_process_with_one_line(gin_configs, tmp_path):
    base_dir = tmp_path / "run"
    done = start(
        f"--gin_files={gin_configs / 'dqn_redo.gin'}",
        f"--base_dir={base_dir}",
        "--gin_bindings=ReDo.teu = 0.1",
    )
    assert done.returncode == 2
    assert done.stderr == (
        "dormant.train: error: gin: Configurable 'ReDo' doesn't have a parameter named 'teu' in"
        " --gin_bindings; did you mean ReDo.tau?\n"
    )
    assert not base_dir.exists()


PAPER = {
    "JaxDQNAgent.gamma": 0.99,
    "JaxDQNAgent.update_horizon": 1,
    "JaxDQNAgent.min_replay_history": 20_000,
    "JaxDQNAgent.update_period": 4,
    "JaxDQNAgent.target_update_period": 8_000,
    "JaxDQNAgent.epsilon_train": 0.01,
    "JaxDQNAgent.epsilon_eval": 0.001,
    "JaxDQNAgent.epsilon_decay_period": 250_000,
    "JaxDQNAgent.loss_type": "huber",
    "DormantDQNAgent.network": "nature",
    "LearnerOptions.target_update_unit": "agent_steps",
    "create_optimizer.learning_rate": 6.25e-5,
    "create_optimizer.eps": 1.5e-4,
    "create_atari_environment.sticky_actions": True,
    "AtariPreprocessing.terminal_on_life_loss": False,
    "ReplayBuffer.batch_size": 32,
    "ReplayBuffer.max_capacity": 1_000_000,
    "Runner.num_iterations": 10,
    "Runner.training_steps": 250_000,
    "Runner.max_steps_per_episode": 27_000,
}
REDO = {"ReDo.period": 1_000, "ReDo.score_batch": 64}


@pytest.mark.parametrize(
    ("gin_file", "settings"),
    [
        ("dqn.gin", {"LearnerOptions.replay_ratio": 0.25, "LearnerOptions.intervention": None}),
        ("dqn_redo.gin", REDO | {"LearnerOptions.replay_ratio": 0.25, "ReDo.tau": 0.025}),
        ("dqn_redo_replay_ratio_1.gin",
         REDO | {"LearnerOptions.replay_ratio": 1, "ReDo.tau": 0.1}),
    ],
)  # fmt: skip
def test_shipped_gin_files_hold_the_papers_settings(gin_configs, gin_file, settings):
    preflight.load_gin([str(gin_configs / gin_file)], [])
    for name, value in (PAPER | settings).items():
        assert gin.query_parameter(name) == value, name
    if "LearnerOptions.intervention" not in settings:
        assert gin.get_bindings("LearnerOptions")["intervention"].period == 1_000

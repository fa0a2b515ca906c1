# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Real commands, each of seconds, that are killed, interrupted, started twice, or out of disk."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

GIN_CONFIGS = Path(__file__).resolve().parents[2] / "gin_configs"
_RECYCLING = {
    "ReDo.period": 20,
    "ReDo.score_batch": 16,
    "Tracker.tracking_period": 20,
    "Tracker.score_batch": 16,
}
_AGENT = _RECYCLING | {
    "LearnerOptions.intervention": "@ReDo()",
    "ReplayBuffer.batch_size": 4,
    "ReplayBuffer.max_capacity": 1_000,
    "JaxDQNAgent.min_replay_history": 20,
    "JaxDQNAgent.target_update_period": 24,
    "Runner.training_steps": 60,
    "Runner.max_steps_per_episode": 30,
}
# {kind: (command, gin file, bindings, what counts its iterations, folders of its records)}.
KINDS = {
    "agent": ("train", "dqn_cartpole.gin", _AGENT, "Runner", [""]),
    "side by side": (
        "train",
        "dqn_cartpole.gin",
        _AGENT | {"create_dormant_runner.seeds": 2},
        "Runner",
        ["seed_0", "seed_1"],
    ),
    "device": (
        "train_vectorized",
        "vectorized/dqn_redo.gin",
        _RECYCLING
        | {
            "VectorizedDQN.environment": "'CartPole-v1'",
            "VectorizedDQN.network": "'mlp'",
            "VectorizedDQN.dense": "(16, 16)",
            "VectorizedDQN.min_replay_history": 80,
            "VectorizedDQN.target_update_period": 40,
            "VectorizedDQN.batch_size": 8,
            "VectorizedDQN.replay_capacity": 400,
            "VectorizedRun.seeds": 2,
            "VectorizedRun.training_steps": 240,
            "VectorizedRun.devices": 1,
            "LearnerOptions.replay_ratio": 0.5,
        },
        "VectorizedRun",
        ["seed_0", "seed_1"],
    ),
    "study": (
        "study",
        "studies/fig03.gin",
        _RECYCLING
        | {
            "StudyRun.training_steps": 40,
            "Images.source": "'synthetic'",
            "Images.count": 200,
            "Images.side": 8,
            "Supervised.network": "'mlp'",
            "Supervised.dense": "(32, 32)",
            "Supervised.batch_size": 20,
            "Supervised.shuffle_every": 3,
        },
        "StudyRun",
        [""],
    ),
}
# What no two runs have in common.
_TIMES = ("steps_per_second",)


class Command:
    """A command of one kind, and the folder that it works in."""

    def __init__(self, kind: str, folder: Path, iterations: int):
        name, gin_file, bindings, counts, self._members = KINDS[kind]
        if name == "train" and importlib.util.find_spec("dopamine") is None:
            pytest.skip("agents run in Dopamine, which is not installed")
        self.folder = folder
        bindings = bindings | {f"{counts}.num_iterations": iterations}
        self.arguments = [
            *(sys.executable, "-m", f"dormant.{name}"),
            *(f"--gin_files={GIN_CONFIGS / gin_file}", f"--base_dir={folder}"),
            *(f"--gin_bindings={option} = {value}" for option, value in bindings.items()),
        ]

    def start(self, **options) -> subprocess.Popen:
        """Starts it; what it writes to stderr can be read."""
        cache = {
            "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        return subprocess.Popen(
            self.arguments,
            env=os.environ | cache,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            **options,
        )

    def run(self, **options) -> tuple[int, str]:
        """Its exit code, and what it wrote to stderr."""
        process = self.start(**options)
        _, error = process.communicate(timeout=300)
        return process.returncode, error

    @property
    def folders(self) -> list[Path]:
        """Those of its records."""
        return [self.folder / member for member in self._members]

    def records(self) -> list[list[dict]]:
        """Of each of its runs, without what depends on the clock."""
        found = []
        for folder in self.folders:
            lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
            found.append([json.loads(line) for line in lines])
        return [
            [{n: v for n, v in record.items() if n not in _TIMES} for record in records]
            for records in found
        ]

    def statuses(self) -> list[str]:
        """What each run.json says."""
        texts = [(folder / "run.json").read_text("utf-8") for folder in self.folders]
        return [json.loads(text)["status"] for text in texts]

    def checkpoints(self) -> list[Path]:
        """The folders of checkpoints that are there."""
        while True:
            try:
                arrays = self.folder.rglob("checkpoints/process_0/*/arrays.bin")
                return sorted(path.parent for path in arrays if path.parent.name.isdigit())
            except FileNotFoundError:  # one was removed meanwhile
                continue

    def wait_for_checkpoint(self, process: subprocess.Popen, number: int = 0) -> None:
        """Returns when there is one of that number or a later one."""
        while not any(int(path.name) >= number for path in self.checkpoints()):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)

    def leftovers(self) -> list[Path]:
        """What nothing but a half done write leaves."""
        return [path for path in self.folder.rglob("*") if ".part" in path.name]

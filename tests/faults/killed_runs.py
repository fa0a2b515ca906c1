# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs as a user starts them, to be killed and continued, and what is left of them on disk."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from dormant.runs.checkpoints import Checkpoints
from tests.agents.families import FAMILIES

_DEVICE = {
    "VectorizedRun.num_iterations": 3,
    "VectorizedRun.training_steps": 1_000,
    "VectorizedRun.seeds": 2,
    "VectorizedDQN.min_replay_history": 200,
    "LearnerOptions.intervention": "@ReDo()",
    "ReDo.period": 50,
    "Tracker.tracking_period": 50,
}
_STUDY = {
    "StudyRun.num_iterations": 3,
    "StudyRun.training_steps": 60,
    "OfflineDQN.data_steps": 2_000,
    "OfflineDQN.evaluation_episodes": 2,
    "LearnerOptions.intervention": "@ReDo()",
    "ReDo.period": 20,
    "Tracker.tracking_period": 20,
}
_TIMEOUT = 600  # seconds; a run takes some


class Kind(NamedTuple):
    """A kind of run: the arguments of `python -m` that start it in a folder."""

    arguments: Sequence[str]
    length: str = ""  # the option that says how many iterations there are

    def command(self, folder: Path) -> list[str]:
        """What starts it, or goes on with it."""
        return [sys.executable, "-m", *self.arguments, f"--base_dir={folder}"]

    def of_length(self, iterations: int) -> "Kind":
        """The same with another number of iterations."""
        binding = f"--gin_bindings={self.length} = {iterations}"
        return self._replace(arguments=[*self.arguments, binding])


def _trained(module: str, gin_file: str, bindings: dict[str, object]) -> Kind:
    lines = [
        # A reference such as @ReDo() is no string.
        f"--gin_bindings={name} = {value if str(value).startswith('@') else repr(value)}"
        for name, value in bindings.items()
    ]
    length = next(name for name in bindings if name.endswith("num_iterations"))
    return Kind([module, f"--gin_files={gin_file}", *lines], length)


KINDS = {
    family: _trained("dormant.train", f"{family}.gin", bindings)
    for family, bindings in FAMILIES.items()
}
KINDS["side by side"] = _trained(
    "dormant.train",
    "dqn_cartpole.gin",
    FAMILIES["dqn_cartpole"] | {"create_dormant_runner.seeds": 2},
)
KINDS["device"] = _trained("dormant.train_vectorized", "vectorized/quickstart.gin", _DEVICE)
KINDS["study"] = _trained("dormant.study", "studies/fig04.gin", _STUDY)
KINDS["reproduce"] = Kind(
    ["dormant.reproduce", "minatar_prune", "--scale=smoke", "--games=Breakout-MinAtar"]
)


def environment(compiled: Path) -> dict[str, str]:
    """Of a run's process: programs are compiled once for all of them."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def finish(kind: Kind, folder: Path, compiled: Path) -> float:
    """Runs a run to its end; returns the seconds that it took."""
    start = time.monotonic()
    done = try_to_finish(kind, folder, compiled)
    assert done.returncode == 0, done.stderr[-2_000:]
    return time.monotonic() - start


def try_to_finish(kind: Kind, folder: Path, compiled: Path) -> subprocess.CompletedProcess:
    """Runs a run to its end, or to what it says instead."""
    command = kind.command(folder)
    return subprocess.run(
        command,
        env=environment(compiled),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )


def kill(kind: Kind, folder: Path, compiled: Path, is_time: Callable[[float], bool]) -> bool:
    """Starts a run and kills it and its children when it is time; False where it ended before.

    Args:
      kind, folder, compiled: the run.
      is_time: of the seconds since the start; asked all the time.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        kind.command(folder),
        env=environment(compiled),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while process.poll() is None:
            seconds = time.monotonic() - start
            assert seconds < _TIMEOUT
            if is_time(seconds):
                return True
            time.sleep(0.0005)
        return False
    finally:
        _kill_with_children(process.pid)
        process.wait()


def _kill_with_children(number: int) -> None:
    """Those that `reproduce` starts are in sessions of their own."""
    try:
        os.kill(number, signal.SIGSTOP)  # it starts no more of them
        tasks = Path(f"/proc/{number}/task").glob("*/children")
        children = [int(child) for task in tasks for child in task.read_text().split()]
        os.kill(number, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        return
    for child in children:
        _kill_with_children(child)


def is_saving(folder: Path) -> bool:
    """Whether a checkpoint of a run in a folder is being written."""
    return any(folder.rglob("checkpoints/process_*/*.part"))


class Left(NamedTuple):
    """What a finished run left: records by folder, and the state of its last checkpoint."""

    records: dict[str, list[dict]]
    states: dict[str, dict]


def left(folder: Path) -> Left:
    """Reads it; without how fast the run was."""
    records = {}
    for path in sorted(folder.rglob("metrics.jsonl")):
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for line in lines:
            line.pop("steps_per_second", None)
        records[str(path.parent.relative_to(folder))] = lines
    states = {}
    for path in sorted(folder.rglob("checkpoints")):
        checkpoints = Checkpoints(path)
        number = checkpoints.newest()
        states[str(path.relative_to(folder))] = checkpoints.load(number)["state"] | {"at": number}
    return Left(records, states)


def assert_same(one: Left, other: Left) -> None:
    """To the bit."""
    assert one.records == other.records
    assert jax.tree.structure(one.states) == jax.tree.structure(other.states)
    jax.tree.map(np.testing.assert_array_equal, one.states, other.states)


def leftovers(folder: Path) -> list[str]:
    """Names of what a process that was killed left half done."""
    return [path.name for path in folder.rglob("*") if path.name.endswith((".part", ".tmp"))]

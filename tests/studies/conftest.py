# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Studies that take seconds: 8 x 8 images, CartPole, 16 neurons; a sixteenth of Atari's network."""

import gzip
import importlib.util
import pathlib

import gin
import numpy as np
import pytest

from dormant import study
from dormant.runs.gin_files import parse_gin
from dormant.runs.options import LearnerOptions
from dormant.studies import distillation, offline, supervised  # noqa: F401 - before gin is locked
from dormant.studies.fitting import make_fit
from dormant.studies.options import StudyRun

GIN_CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "gin_configs" / "studies"
_SHORT = {
    "StudyRun.num_iterations": 2,
    "StudyRun.training_steps": 40,
    "Tracker.tracking_period": 20,
    "Tracker.score_batch": 16,
    "ReDo.period": 20,
    "ReDo.score_batch": 16,
}
_DEVICE = _SHORT | {
    "VectorizedDQN.environment": "'CartPole-v1'",
    "VectorizedDQN.dense": "(16,)",
    "VectorizedDQN.min_replay_history": 80,
    "VectorizedDQN.target_update_period": 40,
    "VectorizedDQN.epsilon_decay_period": 200,
    "VectorizedDQN.batch_size": 8,
    "VectorizedDQN.replay_capacity": 400,
    "LearnerOptions.replay_ratio": 0.5,
}
_ATARI = _SHORT | {"VectorizedDQN.width": 0.0625, "VectorizedDQN.batch_size": 8}
SMALL = {
    "fig03": _SHORT
    | {
        "Images.source": "'synthetic'",
        "Images.count": 200,
        "Images.side": 8,
        "Images.noise": 0.2,
        "Supervised.network": "'mlp'",
        "Supervised.dense": "(32, 32)",
        "Supervised.batch_size": 20,
        "Supervised.learning_rate": 0.02,
        "Supervised.shuffle_every": 3,
    },
    "fig04": _DEVICE | {"OfflineDQN.data_steps": 400, "OfflineDQN.evaluation_episodes": 2},
    "fig08": _DEVICE
    | {
        "Distillation.teacher_steps": 400,
        "Distillation.student_steps": 400,
        # The teacher's own, so that both are one compiled program.
        "Distillation.student_replay_ratio": 0.5,
        "Distillation.evaluation_episodes": 2,
    },
    "fig04_atari": _ATARI
    | {
        # Whatever is done there, an episode is over before long.
        "Atari.game": "'Pong'",
        "VectorizedDQN.target_update_period": 20,
        "DQNReplay.steps_per_file": 60,
        "OfflineDQN.evaluation_episodes": 2,
    },
    "fig08_atari": _ATARI | {"Atari.game": "'Asterix'", "Distillation.evaluation_episodes": 2},
}
CAPACITY = 100  # of the replay whose files `write_replay_logs` writes


def write_replay_logs(folder, number, *, ends=(), capacity=CAPACITY, **changes):
    """Writes one file of each array as the DQN Replay data set has it.

    Args:
      folder: of the files.
      number: theirs; frames, actions and rewards follow from it and from the row.
      ends: rows of terminal steps; three rows of zeros follow each, and begin the first file.
      capacity: of the replay.
      **changes: {array: another one in its place}, None for no file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.arange(capacity)
    padding = np.isin(rows, [end + after for end in ends for after in (1, 2, 3)])
    padding |= (number == 0) & (rows < 3)
    # No two rows of a file have the same frame, and none but the padding is all zeros.
    frames = (1 + rows[:, None, None] + np.arange(84)[:, None] + 100 * number) % 251 + 1
    arrays = {
        "$store$_observation": np.broadcast_to(frames, (capacity, 84, 84)).astype(np.uint8),
        "$store$_action": (rows % 6).astype(np.int32),
        "$store$_reward": (rows % 3 - 1).astype(np.float32),
        "$store$_terminal": np.isin(rows, ends).astype(np.uint8),
        "add_count": np.array(capacity * (number + 1) - 1),
        "invalid_range": np.zeros(5),
    }
    for name in arrays:
        if name.startswith("$"):
            arrays[name][padding] = 0
    for name, array in (arrays | changes).items():
        if array is not None:
            with gzip.open(folder / f"{name}_ckpt.{number}.gz", "wb", 1) as file:
                np.save(file, array)


@pytest.fixture(scope="session")
def dqn_replay(tmp_path_factory):
    """A folder like the DQN Replay data set's, with two files of one run of Pong."""
    folder = tmp_path_factory.mktemp("data") / "dqn"
    for number in (0, 1):
        write_replay_logs(folder / "Pong" / "1" / "replay_logs", number, ends=(30,))
    return folder


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory):
    """The folder of a run of `dormant.train` on Asterix whose replay is full."""
    if importlib.util.find_spec("dopamine") is None:
        pytest.skip("a run of dormant.train is made with Dopamine, which is not installed")
    from dormant import train
    from tests.agents.conftest import GIN_CONFIGS as AGENTS
    from tests.agents.conftest import SMALL as SMALL_AGENT

    # Unlocked: Dopamine registers what it is configured by when it is imported.
    gin.clear_config()
    folder = tmp_path_factory.mktemp("trained") / "run"
    changes = SMALL_AGENT | {"DormantDQNAgent.width": 0.0625, "Runner.num_iterations": 2}
    flags = [f"--gin_bindings={name} = {value!r}" for name, value in changes.items()]
    assert train.main([f"--gin_files={AGENTS / 'dqn.gin'}", f"--base_dir={folder}", *flags]) == 0
    return folder


@pytest.fixture(scope="session")
def study_flags(request):
    """`study_flags(name, base_dir, {parameter: value as in gin})`: the flags of a short run."""

    def flags(name, base_dir, changes=None):
        bindings = dict(SMALL[name])
        if name == "fig04_atari":
            bindings["DQNReplay.folder"] = f"'{request.getfixturevalue('dqn_replay')}'"
        if name == "fig08_atari":
            run = request.getfixturevalue("trained_run")
            bindings |= {f"Distillation.{who}_run": f"'{run}'" for who in ("teacher", "student")}
        bindings |= changes or {}
        return [
            f"--gin_files={GIN_CONFIGS / f'{name}.gin'}",
            f"--base_dir={base_dir}",
            *(f"--gin_bindings={parameter} = {value}" for parameter, value in bindings.items()),
        ]

    return flags


@pytest.fixture(scope="session")
def run_study(study_flags):
    """`run_study(name, base_dir, changes)`: runs it in this process; returns the exit code."""

    def run(name, base_dir, changes=None):
        return study.main(study_flags(name, base_dir, changes))

    return run


@pytest.fixture(scope="session")
def study_of(study_flags):
    """`study_of(name, changes)`: the study of a short run, and its fit."""

    def make(name, changes=None):
        flags = study_flags(name, "unused", changes)
        bindings = [flag.split("=", 1)[1] for flag in flags if flag.startswith("--gin_b")]
        parse_gin([flags[0].split("=", 1)[1]], bindings)
        run = StudyRun()
        study = run.study.study(LearnerOptions(), run)
        return study, make_fit(study, 16)

    return make

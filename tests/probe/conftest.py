# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A checkpoint and inputs on disk, and a run on the device of seconds."""

import numpy as np
import pytest
from flax import serialization

from tests.probe import small_network

SMALL_RUN = {
    "VectorizedDQN.environment": "'CartPole-v1'",
    "VectorizedDQN.network": "'mlp'",
    "VectorizedDQN.dense": "(8, 8)",
    "VectorizedDQN.min_replay_history": 80,
    "VectorizedDQN.target_update_period": 40,
    "VectorizedDQN.batch_size": 8,
    "VectorizedDQN.replay_capacity": 400,
    "VectorizedRun.seeds": 2,
    "VectorizedRun.num_iterations": 2,
    "VectorizedRun.training_steps": 160,
    "Tracker.tracking_period": 20,
    "Tracker.score_batch": 16,
    "LearnerOptions.replay_ratio": 0.5,
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A network with two dead neurons of six, and a loss's targets beside the inputs."""
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "net.msgpack").write_bytes(serialization.to_bytes(small_network.params()))
    np.savez(folder / "x.npz", x=small_network.INPUTS)
    np.savez(folder / "batch.npz", x=small_network.INPUTS, target=np.ones((32, 2), np.float32))
    return folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """Two seeds side by side."""
    pytest.importorskip("gymnax", reason="gymnax is not installed")
    from dormant import train_vectorized

    folder = tmp_path_factory.mktemp("run") / "run"
    bindings = [f"--gin_bindings={name} = {value}" for name, value in SMALL_RUN.items()]
    flags = ["--gin_files=vectorized/dqn.gin", f"--base_dir={folder}", *bindings]
    assert train_vectorized.main(flags) == 0
    return folder

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A run on the device that takes seconds: CartPole, 16 neurons, two seeds, two iterations."""

import pathlib

import pytest

from dormant import train_vectorized

GIN_CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "gin_configs" / "vectorized"
SMALL = {
    "VectorizedDQN.environment": "'CartPole-v1'",
    "VectorizedDQN.network": "'mlp'",
    "VectorizedDQN.dense": "(16,)",
    "VectorizedDQN.min_replay_history": 80,
    "VectorizedDQN.target_update_period": 40,
    "VectorizedDQN.epsilon_decay_period": 200,
    "VectorizedDQN.batch_size": 8,
    "VectorizedDQN.replay_capacity": 400,
    "VectorizedRun.seeds": 2,
    "VectorizedRun.num_iterations": 2,
    "VectorizedRun.training_steps": 240,
    "VectorizedRun.devices": 1,
    "Tracker.tracking_period": 20,
    "Tracker.score_batch": 16,
    "ReDo.period": 20,
    "ReDo.score_batch": 16,
    "LearnerOptions.replay_ratio": 0.5,
}


@pytest.fixture(scope="session")
def small_flags():
    """`small_flags(base_dir, {parameter: value as in gin})`: the flags of a run of seconds."""

    def flags(base_dir, changes=None):
        bindings = SMALL | (changes or {})
        return [
            f"--gin_files={GIN_CONFIGS / 'dqn_redo.gin'}",
            f"--base_dir={base_dir}",
            *(f"--gin_bindings={name} = {value}" for name, value in bindings.items()),
        ]

    return flags


@pytest.fixture(scope="session")
def train_small(small_flags):
    """`train_small(base_dir, changes)`: runs it in this process; returns the exit code."""

    def train(base_dir, changes=None):
        return train_vectorized.main(small_flags(base_dir, changes))

    return train

"""Studies that take seconds: 8 x 8 images, CartPole, 16 neurons."""

import pathlib

import pytest

from dormant import study

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
    "VectorizedDQN.dense": "(16, 16)",
    "VectorizedDQN.min_replay_history": 80,
    "VectorizedDQN.target_update_period": 40,
    "VectorizedDQN.epsilon_decay_period": 200,
    "VectorizedDQN.batch_size": 8,
    "VectorizedDQN.replay_capacity": 400,
    "LearnerOptions.replay_ratio": 0.5,
}
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
}


@pytest.fixture(scope="session")
def study_flags():
    """`study_flags(name, base_dir, {parameter: value as in gin})`: the flags of a short run."""

    def flags(name, base_dir, changes=None):
        bindings = SMALL[name] | (changes or {})
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

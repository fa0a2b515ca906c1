# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Small real runs for the tests of the agents: an eighth of the network, batches of 4, real Atari.
The tests of one file share their runs, and all of them the compiled programs."""

from pathlib import Path
from typing import Any, NamedTuple

import gin
import pytest

from tests.agents.families import FAMILIES

GIN_CONFIGS = Path(__file__).resolve().parents[2] / "gin_configs"

# Two iterations of at least 60 agent steps in episodes of 30; a burst of 2 updates every 4 steps.
SMALL = {
    "Runner.num_iterations": 2,
    "Runner.training_steps": 60,
    "Runner.evaluation_steps": 20,
    "Runner.max_steps_per_episode": 30,
    "atari_lib.create_atari_environment.game_name": "Asterix",
    "JaxDQNAgent.min_replay_history": 20,
    "JaxDQNAgent.target_update_period": 24,
    "JaxDQNAgent.epsilon_decay_period": 60,
    "ReplayBuffer.batch_size": 4,
    "ReplayBuffer.max_capacity": 100,
    "LearnerOptions.replay_ratio": 0.5,
    "DormantDQNAgent.width": 0.125,
    "ReDo.tau": 0.1,
    "ReDo.period": 16,
    "ReDo.score_batch": 8,
    "Tracker.tracking_period": 8,
    "Tracker.score_batch": 8,
}


# Bindings that compiled programs do not depend on.
NOT_COMPILED = (
    "Runner.", "ContinuousRunner.", "Checkpointer.", "get_latest_checkpoint_number.",
    "create_dormant_runner.schedule",
    "LearnerOptions.replay_ratio", "LearnerOptions.seed", "ReplayBuffer.max_capacity",
)  # fmt: skip


class Trained(NamedTuple):
    """What a run left: its runner in memory and its folder on disk."""

    runner: Any
    base_dir: Path

    @property
    def state(self):
        """The learner's state."""
        return self.runner.agent.learner_state


@pytest.fixture(scope="session")
def gin_configs():
    """The folder of the gin files that the project ships."""
    return GIN_CONFIGS


@pytest.fixture(scope="session")
def small_bindings():
    """`small_bindings(**changes)`: flags that make any shipped gin file a run of seconds.

    A change names its parameter with `__` in place of the dot: `ReDo__tau=0.5`.
    """

    def bindings(**changes):
        changed = SMALL | {name.replace("__", "."): value for name, value in changes.items()}
        return [f"{name} = {value!r}" for name, value in changed.items()]

    return bindings


@pytest.fixture(scope="session")
def load_gin(small_bindings):
    """`load_gin(**changes)`: gin as after `dqn_redo.gin` and the small bindings."""

    def load(gin_file="dqn_redo.gin", **changes):
        from dormant.agents import preflight

        preflight.load_gin([str(GIN_CONFIGS / gin_file)], small_bindings(**changes))

    return load


@pytest.fixture(scope="module")
def with_shared_programs():
    """`with_shared_programs(agent)`: the agent, with what the file's first one of the same bindings
    compiled, as seeds side by side have it.

    Call it while gin is as it was when the agent was made.
    """
    first = {}

    def share(agent):
        from dormant.agents import side_by_side

        lines = gin.config_str(max_line_length=10_000).splitlines()
        bound = [line for line in lines if not line.startswith(NOT_COMPILED)]
        like = first.setdefault((type(agent), *bound), agent)
        for name in (*side_by_side._POLICIES, side_by_side._BURST):
            if hasattr(like, name):
                setattr(agent, name, getattr(like, name))
        return agent

    return share


@pytest.fixture(scope="module")
def train(load_gin, with_shared_programs):
    """`train(base_dir, **changes)`: creates or resumes a small run and runs it to its end.

    `own_programs` compiles anew what runs of the same bindings share."""

    def run(base_dir, own_programs=False, **changes):
        load_gin(**changes)
        from dormant.agents.runner import create_dormant_runner

        runner = create_dormant_runner(str(base_dir))
        if not own_programs:
            with_shared_programs(runner.agent)
        runner.run_experiment()
        return Trained(runner, Path(base_dir))

    return run


@pytest.fixture(scope="session")
def load_family():
    """`load_family(family, **changes)`: gin as after the family's file and its short bindings."""

    def load(family, **changes):
        from dormant.agents import preflight

        bindings = FAMILIES[family] | {
            name.replace("__", "."): value for name, value in changes.items()
        }
        lines = [
            # A reference such as @ReDo() is no string.
            f"{name} = {value if str(value).startswith('@') else repr(value)}"
            for name, value in bindings.items()
        ]
        preflight.load_gin([str(GIN_CONFIGS / f"{family}.gin")], lines)

    return load


@pytest.fixture(scope="module")
def train_family(load_family, with_shared_programs):
    """`train_family(base_dir, family, **changes)`: runs a family's short run to its end."""

    def run(base_dir, family, **changes):
        load_family(family, **changes)
        from dormant.agents.runner import create_dormant_runner

        runner = create_dormant_runner(str(base_dir))
        with_shared_programs(runner.agent)
        runner.run_experiment()
        return Trained(runner, Path(base_dir))

    return run

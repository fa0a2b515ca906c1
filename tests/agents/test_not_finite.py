# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""An agent whose state is not finite: named at the step, never saved, and continued from before."""

import json
import re

import jax
import numpy as np
import pytest

from dormant import train as command
from dormant.checks import ConfigurationError, NotFinite
from dormant.runs.checkpoints import Checkpoints

FAMILY = "dqn_cartpole"
STEP = r"(the loss, )?(?:params|network)/.* not finite at gradient step (\d+) of seed {}"


def records(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(x).items() if k != "steps_per_second"} for x in lines]


def run_json(folder):
    return json.loads((folder / "run.json").read_text())


@pytest.fixture
def create(load_family, with_shared_programs):
    """`create(folder, family, **changes)`: the runner of a short run, not yet started."""

    def make(folder, family=FAMILY, **changes):
        load_family(family, **changes)
        from dormant.agents.runner import create_dormant_runner

        runner = create_dormant_runner(str(folder))
        with_shared_programs(runner.agent)
        return runner

    return make


def spoil_rewards(runner, after):
    """Every reward after so many agent steps is NaN."""
    inner, taken = runner._environment.step, []

    def step(action):
        taken.append(action)
        observation, reward, *rest = inner(action)
        return observation, np.nan if len(taken) > after else reward, *rest

    runner._environment.step = step


@pytest.mark.parametrize(
    "family", [FAMILY, pytest.param("rainbow", marks=pytest.mark.slow),
               pytest.param("sac", marks=pytest.mark.slow)]
)  # fmt: skip
def test_the_last_good_checkpoint_stays_and_the_run_goes_on_from_it(
    create, train_family, tmp_path, family
):
    from dormant.agents.runner import recorded

    trains = {"create_dormant_runner__schedule": "continuous_train"}
    whole = train_family(tmp_path / "whole", family, **trains)
    folder = tmp_path / "run"
    runner = create(folder, family, **trains)
    first = next(r["agent_step"] for r in records(whole.base_dir) if r.get("iteration") == 0)
    spoil_rewards(runner, after=first)
    with pytest.raises(NotFinite) as info, recorded(runner, ["program"]):
        runner.run_experiment()
    found = re.fullmatch(STEP.format(0), str(info.value))
    # Two gradient steps a burst; found at the agent step that brought it.
    assert 0 <= runner.agent.gradient_step - int(found[2]) < 8
    assert Checkpoints(folder / "checkpoints").numbers() == [0]
    assert run_json(folder)["status"] == "failed" and "not finite" in run_json(folder)["error"]
    losses = [r["loss"] for r in records(folder) if r["kind"] == "tracking"]
    assert np.isfinite(losses).all()
    assert [r["iteration"] for r in records(folder) if r["kind"] == "iteration"] == [0]

    resumed = create(folder, family, **trains)
    assert resumed.start_iteration == 1
    resumed.run_experiment()
    assert records(folder) == records(whole.base_dir)


def test_a_moment_that_overflowed_is_not_saved(create, tmp_path):
    runner = create(tmp_path)
    agent = runner.agent
    state = agent.learner_state
    spoiled = jax.tree.map(lambda leaf: leaf + np.inf if leaf.ndim > 1 else leaf, state.opt_state)
    agent._learner_state = state._replace(opt_state=spoiled)
    with pytest.raises(NotFinite, match="kernel of the optimizer's state .* of seed 0"):
        agent.bundle_and_checkpoint(str(tmp_path), 0)


def test_a_replay_or_a_return_that_is_not_finite_is_not_saved(create, tmp_path):
    # Nothing is learned yet: no loss tells.
    runner = create(tmp_path / "run", JaxDQNAgent__min_replay_history=1_000)
    spoil_rewards(runner, after=95)  # no iteration is longer than 89
    with pytest.raises(NotFinite, match="^a return of iteration 1 of seed 0 is not finite: "):
        runner.run_experiment()
    assert Checkpoints(tmp_path / "run" / "checkpoints").numbers() == [0]
    agent = runner.agent
    with pytest.raises(NotFinite, match="^arrays/reward of the replay of seed 0 is not finite"):
        agent.bundle_and_checkpoint(str(tmp_path), 1)


def main(gin_configs, folder, *bindings):
    flags = [f"--gin_files={gin_configs / 'dqn_cartpole.gin'}", f"--base_dir={folder}"]
    return command.main([*flags, *[f"--gin_bindings={line}" for line in bindings]])


SHORT = (
    "Runner.num_iterations = 2", "Runner.training_steps = 60", "Runner.max_steps_per_episode = 30",
    "JaxDQNAgent.min_replay_history = 20", "ReplayBuffer.batch_size = 4",
    "ReplayBuffer.max_capacity = 1_000",
)  # fmt: skip


def test_the_command_ends_with_one_line(gin_configs, tmp_path, capfd):
    for _ in range(2):  # it does not go on from what it left
        assert main(gin_configs, tmp_path, *SHORT, "create_optimizer.learning_rate = 1e38") == 1
        errors = [x for x in capfd.readouterr().err.splitlines() if "error" in x.lower()]
        assert len(errors) == 1
        assert re.fullmatch("dormant.train: error: " + STEP.format(0), errors[0])
        assert run_json(tmp_path)["status"] == "failed"
        assert run_json(tmp_path)["start_iteration"] == 0
    assert Checkpoints(tmp_path / "checkpoints").numbers() == []


def test_seeds_side_by_side_fail_by_themselves(gin_configs, tmp_path, capfd):
    values = (
        "create_dormant_runner.side_by_side = {'create_optimizer.learning_rate': [0.001, 1e38]}"
    )
    assert main(gin_configs, tmp_path, *SHORT, values) == 1
    good, bad = (
        tmp_path / f"create_optimizer.learning_rate={x}/seed_0" for x in ("0.001", "1e+38")
    )
    assert run_json(good)["status"] == "finished" and run_json(bad)["status"] == "failed"
    assert re.fullmatch("NotFinite: " + STEP.format(0), run_json(bad)["error"])
    assert Checkpoints(good / "checkpoints").numbers() == [0, 1]
    assert Checkpoints(bad / "checkpoints").numbers() == []
    errors = [x for x in capfd.readouterr().err.splitlines() if "error:" in x]
    assert len(errors) == 1 and "rate=1e+38, seed 0: NotFinite: " in errors[0]


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"Runner__num_iterations": 2**26}, "agent steps; got"),
        ({"Runner__num_iterations": 2**20, "Runner__evaluation_steps": 2**20}, "agent steps; got"),
        (
            {"LearnerOptions__replay_ratio": 2**24, "Tracker__tracking_period": 2**30},
            "gradient ste",
        ),
    ],
)
def test_steps_that_no_counter_holds_are_refused(create, tmp_path, changes, counted):
    folder = tmp_path / "run"
    with pytest.raises(
        ConfigurationError, match=f"`Runner.num_it.* fewer than 2\\*\\*31 {counted}"
    ):
        create(folder, **changes)
    assert not folder.exists()

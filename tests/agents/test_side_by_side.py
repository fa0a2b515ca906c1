# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Several runs in one process: each is the run that it would be alone, to the bit on a CPU.
Small real runs on CartPole, whose networks compile fast; on the others where tests may be slow."""

import inspect
import json
import shutil

import gin
import jax
import numpy as np
import pytest

from dormant import train as command
from dormant.agents.lockstep import MemberFailed
from dormant.checks import ConfigurationError
from dormant.memory import machine_memory
from dormant.replay import bytes_needed
from tests.host_states import numpy_state

FAMILY = "dqn_cartpole"
EVALUATED = {"create_dormant_runner__schedule": "continuous_train_and_eval"}
RUN_FILES = {"checkpoints", "metrics", "metrics.jsonl"}


@pytest.fixture(scope="module")
def alone(train_family, tmp_path_factory):
    """The runs of seeds 0 and 1 with evaluation, each alone."""
    folder = tmp_path_factory.mktemp("alone")
    return [
        train_family(folder / f"seed_{seed}", FAMILY, LearnerOptions__seed=seed, **EVALUATED)
        for seed in (0, 1)
    ]


@pytest.fixture(scope="module")
def create(load_family):
    """`create(base_dir, **changes)`: small runs side by side, not yet started."""

    def make(base_dir, family=FAMILY, **changes):
        load_family(family, **changes)
        from dormant.agents.runner import create_dormant_runner

        return create_dormant_runner(str(base_dir))

    return make


@pytest.fixture(scope="module")
def together(create, tmp_path_factory):
    """The same runs side by side, and their folder."""
    base_dir = tmp_path_factory.mktemp("together")
    runs = create(base_dir, create_dormant_runner__seeds=2, **EVALUATED)
    runs.run_experiment()
    return runs, base_dir


def records(base_dir):
    """The records of metrics.jsonl without the wall-clock entry."""
    parsed = [json.loads(line) for line in (base_dir / "metrics.jsonl").read_text().splitlines()]
    for record in parsed:
        record.pop("steps_per_second", None)
    return parsed


def assert_same_run(runner, base_dir, other):
    assert records(base_dir) == records(other.base_dir)
    states = [numpy_state(each.agent.learner_state) for each in (runner, other.runner)]
    jax.tree.map(np.testing.assert_array_equal, *states)


def run_json(base_dir):
    return json.loads((base_dir / "run.json").read_text())


def test_each_seed_is_its_own_run_alone(alone, together):
    runs, base_dir = together
    assert {path.name for path in base_dir.iterdir()} == {"seed_0", "seed_1"}
    for seed, (runner, other) in enumerate(zip(runs.runners, alone, strict=True)):
        folder = base_dir / f"seed_{seed}"
        assert {path.name for path in folder.iterdir()} == RUN_FILES
        assert runner.agent.seed == seed
        assert len(records(folder)) > 5
        assert_same_run(runner, folder, other)
    assert records(base_dir / "seed_0") != records(base_dir / "seed_1")


def test_seeds_share_their_compiled_programs(together):
    runs, _ = together
    programs = [runner.agent._learner for runner in runs.runners]
    assert programs[0] is not programs[1]
    bursts = [runner.agent._burst for runner in runs.runners]
    shared = [inspect.getclosurevars(burst).nonlocals["program"] for burst in bursts]
    assert shared[0] is shared[1]


def test_seeds_at_different_iterations_go_on_where_they_were(alone, create, tmp_path):
    # The first was killed before its first checkpoint, the second after it.
    shutil.copytree(alone[1].base_dir, tmp_path / "seed_1")
    shutil.rmtree(tmp_path / "seed_1" / "checkpoints" / "process_0" / "1")
    runs = create(tmp_path, create_dormant_runner__seeds=2, **EVALUATED)
    assert [runner.start_iteration for runner in runs.runners] == [0, 1]
    assert runs.describe().endswith("seeds 0 to 1, iterations 0 to 1 or iterations 1 to 1")
    runs.run_experiment()
    for runner, other in zip(runs.runners, alone, strict=True):
        assert_same_run(runner, tmp_path / f"seed_{runner.agent.seed}", other)


@pytest.mark.slow
def test_values_side_by_side_are_runs_of_their_own(create, train_family, tmp_path):
    changes = {"Runner__num_iterations": 1, "LearnerOptions__seed": 1}
    values = {"ReDo.tau": [0.0, 0.6]}
    runs = create(tmp_path, create_dormant_runner__side_by_side=values, **changes)
    runs.run_experiment()
    for tau, runner in zip(values["ReDo.tau"], runs.runners, strict=True):
        other = train_family(tmp_path / "alone" / str(tau), FAMILY, ReDo__tau=tau, **changes)
        assert_same_run(runner, tmp_path / f"ReDo.tau={tau:g}" / "seed_1", other)
    recycled = [runner.agent.learner_state.intervention.report for runner in runs.runners]
    assert int(recycled[0].recycled_total) < int(recycled[1].recycled_total)


@pytest.mark.slow
def test_one_dispatch_is_the_same_but_for_rounding(alone, create, tmp_path):
    runs = create(
        tmp_path,
        create_dormant_runner__seeds=2,
        create_dormant_runner__one_dispatch=True,
        Runner__num_iterations=1,
        **EVALUATED,
    )
    runs.run_experiment()
    for runner, other in zip(runs.runners, alone, strict=True):
        found = records(tmp_path / f"seed_{runner.agent.seed}")
        for record, expected in zip(found, records(other.base_dir)[: len(found)], strict=True):
            assert record["kind"] == expected["kind"]
            # Rounding has changed nobody's actions after so few updates.
            if record["kind"] == "tracking":
                np.testing.assert_allclose(record["loss"], expected["loss"], rtol=1e-3)
            else:
                assert record == expected


def test_one_that_fails_is_marked_and_the_others_come_to_their_end(alone, create, tmp_path, capsys):
    from dormant.agents.runner import recorded

    runs = create(tmp_path, create_dormant_runner__seeds=2, **EVALUATED)
    broken = runs.runners[1]
    step, steps = broken._environment.step, []

    def fail(action):
        steps.append(action)
        if len(steps) > 100:  # in the second iteration
            raise OSError("the emulator broke")
        return step(action)

    broken._environment.step = fail
    failed = pytest.raises(MemberFailed, match="^seed 1: OSError: the emulator broke$")
    with failed, recorded(runs, ["program"]):
        runs.run_experiment()
    ends = [run_json(tmp_path / f"seed_{seed}") for seed in (0, 1)]
    assert [end["status"] for end in ends] == ["finished", "failed"]
    assert [end["error"] for end in ends] == [None, "OSError: the emulator broke"]
    lines = capsys.readouterr().err
    assert "seed 0: iteration 0 done" in lines and "seed 1: iteration 0 done" in lines
    assert "seed 1: failed: the emulator broke" in lines and "Traceback" in lines
    assert records(tmp_path / "seed_0") == records(alone[0].base_dir)
    first = [r for o in alone for r in records(o.base_dir) if r.get("iteration") == 0]
    done = sum(record["agent_step"] for record in first)
    assert f"agent step {done} of {done + 120}" in lines  # one progress of both

    runs = create(tmp_path, create_dormant_runner__seeds=2, **EVALUATED)
    assert [runner.start_iteration for runner in runs.runners] == [2, 1]
    runs.run_experiment()
    for runner, other in zip(runs.runners, alone, strict=True):
        assert_same_run(runner, tmp_path / f"seed_{runner.agent.seed}", other)


def test_the_command_runs_seeds(gin_configs, tmp_path, capsys):
    bindings = [
        "create_dormant_runner.seeds = 2", "LearnerOptions.seed = 3", "Runner.num_iterations = 1",
        "Runner.training_steps = 20",
    ]  # fmt: skip
    flags = [f"--gin_files={gin_configs / 'dqn_cartpole.gin'}", f"--base_dir={tmp_path / 'runs'}"]
    assert command.main([*flags, *[f"--gin_bindings={line}" for line in bindings]]) == 0
    expected = (
        "dormant.train: DormantDQNAgent, 2 runs side by side, seeds 3 to 4, iterations 0 to 0"
    )
    assert expected in capsys.readouterr().err
    for seed in (3, 4):
        folder = tmp_path / "runs" / f"seed_{seed}"
        assert (run_json(folder)["status"], run_json(folder)["seed"]) == ("finished", seed)
        # The configuration of this run alone.
        gin.clear_config()
        gin.parse_config((folder / "config.gin").read_text())
        assert gin.query_parameter("LearnerOptions.seed") == seed
        assert gin.query_parameter("create_dormant_runner.seeds") == 1


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"create_dormant_runner__seeds": 0}, "`create_dormant_runner.seeds` must be a whole num"),
        ({"create_dormant_runner__one_dispatch": 1}, "one_dispatch` must be True or False; got 1"),
        ({"create_dormant_runner__side_by_side": [0.1]}, "side_by_side` must be None or a dict"),
        ({"create_dormant_runner__seeds": 2, "LearnerOptions__seed": "7"}, "seed` must be a whole"),
        ({"create_dormant_runner__side_by_side": {"ReDo.tau": []}}, r"side_by_side\['ReDo.tau'\]"),
        ({"create_dormant_runner__side_by_side": {"ReDo.tua": [1]}}, "side_by_side: .* 'tua'"),
        ({"create_dormant_runner__side_by_side": {"ReDo.tau": [-1, 1]}}, "numbers >= 0"),
        ({"create_dormant_runner__side_by_side": {"ReDo.period": [8, 0]}}, "`ReDo.period` must"),
        ({"create_dormant_runner__side_by_side": {"LearnerOptions.seed": [1, 2]}}, "without its s"),
        (
            {"create_dormant_runner__side_by_side": {"x/create_dormant_runner.seeds": [1, 2]}},
            "side_by_side` must be options of one run .*; got 'x/create_dormant_runner.seeds'",
        ),
    ],
)
def test_a_mistake_leaves_disk_and_gin_as_they_were(load_family, tmp_path, changes, problem):
    load_family(FAMILY, **changes)
    from dormant.agents.runner import create_dormant_runner

    configuration = gin.config_str()
    with pytest.raises(ConfigurationError, match=problem):
        create_dormant_runner(str(tmp_path / "runs" / "all"))
    assert list(tmp_path.iterdir()) == []
    assert gin.config_str() == configuration


def test_a_mistake_removes_nothing_of_other_runs(create, tmp_path):
    (tmp_path / "ReDo.period=8" / "seed_1").mkdir(parents=True)
    (tmp_path / "ReDo.period=8" / "seed_1" / "notes").write_text("mine")
    values = {"create_dormant_runner__side_by_side": {"ReDo.period": [8, 0]}}
    with pytest.raises(ConfigurationError, match="`ReDo.period` must"):
        create(tmp_path, **values)
    with pytest.raises(ConfigurationError, match="`ReDo.period` must"):
        create(tmp_path, LearnerOptions__seed=1, **values)
    assert [path.name for path in tmp_path.iterdir()] == ["ReDo.period=8"]
    assert [path.name for path in (tmp_path / "ReDo.period=8").iterdir()] == ["seed_1"]
    assert (tmp_path / "ReDo.period=8" / "seed_1" / "notes").read_text() == "mine"


def test_gin_is_afterwards_as_it_was(load_family, tmp_path):
    load_family(FAMILY, create_dormant_runner__seeds=2)
    from dormant.agents.runner import create_dormant_runner

    configuration = gin.config_str()
    assert "LearnerOptions.seed" not in configuration
    create_dormant_runner(str(tmp_path))
    assert gin.config_str() == configuration


def test_replays_that_do_not_fit_together_are_refused(create, tmp_path):
    runs = create(tmp_path / "one")
    options = runs.agent.replay.options
    per_transition = bytes_needed(options) / options.capacity
    capacity = int(
        0.6 * machine_memory() / per_transition
    )  # nothing is allocated before it is used
    capacities = [capacity, capacity // 100, capacity - 1]
    problem = rf"replays of all 3 runs .* GB .* GB .*; got {capacity // 100}, {capacity - 1},"
    with pytest.raises(ConfigurationError, match=problem):
        create(
            tmp_path / "several",
            create_dormant_runner__side_by_side={"ReplayBuffer.max_capacity": capacities},
        )
    assert not (tmp_path / "several").exists()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["dqn", "full_rainbow", "drq_eps", "sac", "dqn_minatar"])
def test_every_family_runs_side_by_side(create, train_family, tmp_path, family):
    runs = create(tmp_path / "together", family, create_dormant_runner__seeds=2)
    runs.run_experiment()
    for runner in runs.runners:
        seed = runner.agent.seed
        other = train_family(tmp_path / f"alone_{seed}", family, LearnerOptions__seed=seed)
        assert_same_run(runner, tmp_path / "together" / f"seed_{seed}", other)

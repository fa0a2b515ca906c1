# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Whole small runs on real Atari: what they write, that they repeat, and that they resume exactly.
Every comparison is to the bit."""

import json
import shutil

import jax
import numpy as np
import optax
import pytest

from dormant.checks import ConfigurationError
from dormant.records.reading import read_run
from tests.host_states import numpy_state

CHECKPOINTS = "checkpoints/process_0"


@pytest.fixture(scope="module")
def recycled(train, tmp_path_factory):
    """Two iterations of DQN + ReDo; the other runs are compared with it."""
    return train(tmp_path_factory.mktemp("runs") / "recycled")


@pytest.fixture(scope="module")
def first_iteration(train, tmp_path_factory):
    """The same run up to its first checkpoint, to be copied."""
    return train(tmp_path_factory.mktemp("runs") / "first", Runner__num_iterations=1)


def records(base_dir, kind=None):
    """The records of metrics.jsonl without the wall-clock entry."""
    lines = (base_dir / "metrics.jsonl").read_text().splitlines()
    parsed = [json.loads(line) for line in lines]
    for record in parsed:
        record.pop("steps_per_second", None)
    return [record for record in parsed if kind in (None, record["kind"])]


def assert_same_bits(state, other):
    jax.tree.map(np.testing.assert_array_equal, numpy_state(state), numpy_state(other))


def test_a_run_makes_the_updates_it_should(recycled):
    agent = recycled.runner.agent
    # The replay holds the step before; it learns from the first multiple of 4 with more than 20.
    learning = [step for step in range(agent.training_steps) if step % 4 == 0 and step > 20]
    updates = 2 * len(learning)
    assert updates >= 40
    assert agent.gradient_step == updates
    assert int(recycled.state.gradient_step) == updates
    assert int(optax.tree.get(recycled.state.opt_state, "count")) == updates
    assert int(recycled.state.tracker.step) == int(recycled.state.intervention.step) == updates


def test_metrics_hold_both_kinds_of_records(recycled):
    run = read_run(recycled.base_dir)
    agent = recycled.runner.agent
    assert [record.iteration for record in run.iterations] == [0, 1]
    assert run.iterations[-1].agent_step == agent.training_steps
    assert run.iterations[-1].gradient_step == agent.gradient_step
    lengths = [sum(record.train_episode_lengths) for record in run.iterations]
    assert sum(lengths) == agent.training_steps
    assert all(len(record.train_returns) >= 2 for record in run.iterations)
    assert all(record.steps_per_second > 0 for record in run.iterations)
    expected = list(range(8, agent.gradient_step + 1, 8))
    assert [record.gradient_step for record in run.tracking] == expected
    layers = {"Conv_0": 4, "Conv_1": 8, "Conv_2": 8, "Dense_0": 64}
    for record in run.tracking:
        assert record.taus == (0.0, 0.025, 0.1)
        assert set(record.dormant_percent) == set(record.recycled) == set(layers)
        pooled = [
            sum(record.dormant_percent[layer][tau] * count for layer, count in layers.items())
            / sum(layers.values())
            for tau in range(3)
        ]
        np.testing.assert_allclose(record.dormant_percent_pooled, pooled, rtol=1e-5)
    recycles = [record for record in run.tracking if record.gradient_step % 16 == 0]
    assert run.tracking[-1].recycled_total > 0
    assert run.tracking[-1].recycled_total == sum(sum(r.recycled.values()) for r in recycles)


def test_recycled_neurons_are_those_found_dormant(recycled):
    for record in records(recycled.base_dir, "tracking"):
        if record["gradient_step"] % 16 == 0:
            neurons = {"Conv_0": 4, "Conv_1": 8, "Conv_2": 8, "Dense_0": 64}
            dormant = {
                layer: round(percent[-1] / 100 * neurons[layer])
                for layer, percent in record["dormant_percent"].items()
            }
            assert record["recycled"] == dormant


def test_tensorboard_has_returns_and_dormancy(recycled):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(recycled.base_dir / "metrics" / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["tensors"])
    assert {"Train/AverageReturns", "Train/QMean", "ReDo/RecycledTotal"} <= tags
    assert {"DormantPercent/tau=0.1/Pooled", "DormantPercent/tau=0/Conv_0"} <= tags
    steps = [event.step for event in events.Tensors("DormantPercent/tau=0.1/Pooled")]
    assert steps == [record.gradient_step for record in read_run(recycled.base_dir).tracking]


def test_the_same_run_twice_is_the_same_to_the_bit(recycled, train, tmp_path):
    again = train(tmp_path / "again", own_programs=True)
    assert records(again.base_dir) == records(recycled.base_dir)
    assert_same_bits(again.state, recycled.state)


def test_another_seed_is_another_run(recycled, train, tmp_path):
    other = train(tmp_path / "other", LearnerOptions__seed=1, Runner__num_iterations=1)
    assert records(other.base_dir)[0] != records(recycled.base_dir)[0]


def test_a_resumed_run_equals_an_uninterrupted_one(recycled, first_iteration, train, tmp_path):
    assert first_iteration.runner.agent.gradient_step < recycled.runner.agent.gradient_step
    shutil.copytree(first_iteration.base_dir, tmp_path / "run")
    resumed = train(tmp_path / "run", Runner__num_iterations=2)
    assert resumed.runner.start_iteration == 1
    assert records(resumed.base_dir) == records(recycled.base_dir)
    assert_same_bits(resumed.state, recycled.state)


def test_a_killed_run_resumes_from_its_last_checkpoint(recycled, first_iteration, train, tmp_path):
    base_dir = tmp_path / "run"
    shutil.copytree(first_iteration.base_dir, base_dir)
    # What a kill in the second iteration leaves: later records, half a line, half a checkpoint.
    later = records(recycled.base_dir)[-2:]
    with open(base_dir / "metrics.jsonl", "a") as file:
        file.write("".join(json.dumps(record) + "\n" for record in later) + '{"kind": "tra')
    saved = base_dir / CHECKPOINTS
    shutil.copytree(saved / "0", saved / "1.part")
    resumed = train(base_dir, Runner__num_iterations=2)
    assert records(base_dir) == records(recycled.base_dir)
    assert_same_bits(resumed.state, recycled.state)
    assert sorted(path.name for path in saved.iterdir()) == ["0", "1", "lease.json"]


def test_a_run_that_was_killed_in_its_first_iteration_starts_anew(recycled, train, tmp_path):
    base_dir = tmp_path / "run"
    shutil.copytree(recycled.base_dir, base_dir)
    (base_dir / CHECKPOINTS / "none_yet").touch()
    for number in ("0", "1"):
        shutil.rmtree(base_dir / CHECKPOINTS / number)
    again = train(base_dir)
    assert records(base_dir) == records(recycled.base_dir)
    assert_same_bits(again.state, recycled.state)
    assert not (base_dir / CHECKPOINTS / "none_yet").exists()


def test_a_finished_run_is_left_as_it_is(recycled, train):
    before = (recycled.base_dir / "metrics.jsonl").read_text()
    again = train(recycled.base_dir)
    assert again.runner.start_iteration == 2
    assert (recycled.base_dir / "metrics.jsonl").read_text() == before
    assert_same_bits(again.state, recycled.state)


def test_tracking_changes_nothing_that_is_trained(train, tmp_path):
    tracked = train(
        tmp_path / "tracked", LearnerOptions__intervention=None, Tracker__tracking_period=2
    )
    untracked = train(
        tmp_path / "untracked", LearnerOptions__intervention=None, Tracker__tracking_period=10**6
    )
    assert len(records(tracked.base_dir, "tracking")) == tracked.runner.agent.gradient_step // 2
    assert records(untracked.base_dir, "tracking") == []
    assert records(tracked.base_dir, "iteration") == records(untracked.base_dir, "iteration")
    for name in ("params", "target_params", "opt_state"):
        assert_same_bits(getattr(tracked.state, name), getattr(untracked.state, name))


def test_evaluation_changes_nothing_that_is_trained(recycled, train, tmp_path):
    evaluated = train(
        tmp_path / "evaluated", create_dormant_runner__schedule="continuous_train_and_eval"
    )
    assert_same_bits(evaluated.state, recycled.state)
    run = read_run(evaluated.base_dir)
    for record, plain in zip(run.iterations, read_run(recycled.base_dir).iterations, strict=True):
        assert record.train_returns == plain.train_returns
        assert plain.eval_returns == () and len(record.eval_returns) >= 1
        assert sum(record.eval_episode_lengths) >= 20


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    recycled, train, tmp_path, capfd
):
    base_dir = tmp_path / "run"
    shutil.copytree(recycled.base_dir, base_dir)
    with open(base_dir / CHECKPOINTS / "1" / "arrays.bin", "r+b") as file:
        file.seek(-5, 2)
        file.write(b"\1")
    again = train(base_dir)
    assert again.runner.start_iteration == 1
    assert "/1 is damaged (arrays.bin has another checksum than" in capfd.readouterr().err
    assert records(base_dir) == records(recycled.base_dir)
    assert_same_bits(again.state, recycled.state)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (("checkpoints",), "must be without records where there is no checkpoint to go on from"),
        (("checkpoints/process_0/0", "checkpoints/process_0/1"), "must be without records where"),
        (("metrics.jsonl",), "metrics.jsonl must begin with the .* bytes that it had when"),
    ],
)
def test_records_are_never_erased_silently(recycled, train, tmp_path, changed, problem):
    base_dir = tmp_path / "run"
    shutil.copytree(recycled.base_dir, base_dir)
    for name in changed:
        path = base_dir / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    files = {path: path.read_bytes() for path in base_dir.rglob("*") if path.is_file()}
    with pytest.raises(ConfigurationError, match=problem):
        train(base_dir)
    assert {path: path.read_bytes() for path in base_dir.rglob("*") if path.is_file()} == files


def test_a_changed_record_is_never_continued(recycled, train, tmp_path):
    base_dir = tmp_path / "run"
    shutil.copytree(recycled.base_dir, base_dir)
    path = base_dir / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(ConfigurationError, match="metrics.jsonl must begin with"):
        train(base_dir)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"LearnerOptions__seed": 7},
            r"`LearnerOptions.seed` must be None, as checkpoint 1 in .* got 7",
        ),
        ({"DormantDQNAgent__width": 0.5}, r"`DormantDQNAgent.width` must be 0.125, .*got 0.5"),
        ({"LearnerOptions__intervention": None}, "`LearnerOptions.intervention` must be @ReDo"),
        ({"ReplayBuffer__max_capacity": 101}, "`ReplayBuffer.max_capacity` must be 100, as"),
        ({"ReDo__tau": 0.2}, "`ReDo.tau` must be 0.1, as .* got 0.2"),
        ({"Runner__training_steps": 61}, "`Runner.training_steps` must be 60"),
    ],
)
def test_a_run_is_not_resumed_with_other_settings(recycled, train, changes, problem):
    before = (recycled.base_dir / "metrics.jsonl").read_bytes()
    with pytest.raises(ConfigurationError, match=problem):
        train(recycled.base_dir, **changes)
    assert (recycled.base_dir / "metrics.jsonl").read_bytes() == before


def test_how_long_a_run_is_may_change_and_is_recorded(recycled, train, tmp_path):
    base_dir = tmp_path / "run"
    shutil.copytree(recycled.base_dir, base_dir)
    longer = train(base_dir, Runner__num_iterations=3)
    assert longer.runner.start_iteration == 2
    longer.runner.record(["dormant"])
    changed = json.loads((base_dir / "run.json").read_text())["changed"]
    assert changed == {"Runner.num_iterations": ["2", "3"]}


def test_a_run_that_was_taken_over_leaves_its_successors_record(recycled, load_gin, tmp_path):
    base_dir = tmp_path / "run"
    shutil.copytree(recycled.base_dir, base_dir)
    load_gin(Runner__num_iterations=3)
    from dormant.agents.runner import create_dormant_runner, recorded

    runner = create_dormant_runner(str(base_dir))
    with pytest.raises(OSError, match="gone"), recorded(runner, ["dormant"]):
        successors = '{"attempt": 2, "held": true, "token": "the successor"}'
        (base_dir / CHECKPOINTS / "lease.json").write_text(successors, "utf-8")
        (base_dir / "run.json").write_text('{"status": "finished"}', "utf-8")
        raise OSError(5, "gone", "x")
    assert (base_dir / "run.json").read_text("utf-8") == '{"status": "finished"}'


def test_a_run_may_go_on_from_an_earlier_checkpoint(recycled, train, tmp_path):
    base_dir = tmp_path / "run"
    shutil.copytree(recycled.base_dir, base_dir)
    again = train(base_dir, get_latest_checkpoint_number__override_number=0)
    assert again.runner.start_iteration == 1
    assert records(base_dir) == records(recycled.base_dir)
    with pytest.raises(ConfigurationError, match="5"):
        train(base_dir, get_latest_checkpoint_number__override_number=5)


def test_checkpoint_frequency_leaves_out_replays_too(train, tmp_path):
    base_dir = tmp_path / "run"
    changes = {"Checkpointer__checkpoint_frequency": 2, "Runner__training_steps": 10}
    train(base_dir, Runner__num_iterations=4, **changes)
    # The last one too, whatever the frequency: nothing of a run that is over is trained again.
    names = sorted(path.name for path in (base_dir / CHECKPOINTS).iterdir())
    assert names == ["2", "3", "lease.json"]
    assert train(base_dir, Runner__num_iterations=4, **changes).runner.start_iteration == 4


def test_dopamines_own_logger_still_works(train, tmp_path):
    base_dir = tmp_path / "run"
    changes = {"Runner__use_legacy_logger": True, "Runner__training_steps": 10}
    train(base_dir, Runner__num_iterations=1, **changes)
    resumed = train(base_dir, Runner__num_iterations=2, **changes)
    assert resumed.runner.start_iteration == 1
    assert sorted(path.name for path in (base_dir / "logs").iterdir()) == ["log_0", "log_1"]

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs on the device from gin file to folders: records, resume, side by side, mistakes."""

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from dormant.records.reading import read_run
from dormant.runs.checkpoints import Checkpoints

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def base_dir(tmp_path_factory, train_small):
    """The folder of a finished run of two seeds."""
    folder = tmp_path_factory.mktemp("run") / "base"
    assert train_small(folder) == 0
    return folder


def records(folder):
    """All that metrics.jsonl holds, but how fast it was."""
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return [{k: v for k, v in record.items() if k != "steps_per_second"} for record in found]


def check_equal_up_to_rounding(folder, other_folder):
    """XLA rounds a product of several seeds' matrices unlike that of one."""
    one, other = records(folder), records(other_folder)
    assert [record["kind"] for record in one] == [record["kind"] for record in other]
    for record, expected in zip(one, other, strict=True):
        if record["kind"] == "iteration":
            assert record == expected
        else:
            assert record["loss"] == pytest.approx(expected["loss"], rel=1e-3)
            assert record["recycled_total"] == expected["recycled_total"]


def test_each_seed_has_the_records_of_a_run(base_dir):
    runs = [read_run(folder) for folder in sorted(base_dir.glob("seed_*"))]
    assert len(runs) == 2
    for run in runs:
        # 80 agent steps of warm-up, then a gradient step every two.
        assert [record.agent_step for record in run.iterations] == [240, 480]
        assert [record.gradient_step for record in run.iterations] == [80, 200]
        assert [r.gradient_step for r in run.tracking] == list(range(20, 201, 20))
        assert [r.agent_step for r in run.tracking] == list(range(120, 481, 40))
        lengths = [length for record in run.iterations for length in record.train_episode_lengths]
        returns = [value for record in run.iterations for value in record.train_returns]
        # In CartPole every agent step is worth 1.
        assert returns == lengths and 8 <= min(lengths) and sum(lengths) <= 480
        assert run.tracking[-1].recycled_total > 0
    assert records(base_dir / "seed_0") != records(base_dir / "seed_1")


def test_evaluation_leaves_training_as_it_is(base_dir, train_small, tmp_path):
    changes = {"VectorizedRun.evaluation_episodes": 3, "VectorizedRun.evaluation_period": 5}
    assert train_small(tmp_path, changes) == 0
    for seed in ("seed_0", "seed_1"):
        found = records(tmp_path / seed)
        names = ("eval_returns", "eval_episode_lengths", "eval_average_return")
        evaluated = [[record.pop(name, None) for name in names] for record in found]
        assert found == records(base_dir / seed)
        # Only the last iteration has one, of three episodes.
        returns, lengths, average = evaluated.pop()
        assert returns == lengths and len(returns) == 3
        assert average == pytest.approx(sum(returns) / 3)
        assert evaluated == [[None] * 3] * len(evaluated)


def test_a_run_says_what_it_was(base_dir):
    for seed in (0, 1):
        folder = base_dir / f"seed_{seed}"
        run = json.loads((folder / "run.json").read_text())
        assert (run["status"], run["seed"], run["side_by_side"]) == ("finished", seed, {})
        assert run["command"].split()[1:3] == ["-m", "dormant.train_vectorized"]
        assert "LearnerOptions.replay_ratio = 0.5" in (folder / "config.gin").read_text()


@pytest.mark.slow
def test_a_seed_does_not_depend_on_those_beside_it(base_dir, train_small, tmp_path):
    alone = {"VectorizedRun.seeds": 1, "LearnerOptions.seed": 1}
    assert train_small(tmp_path / "alone", alone) == 0
    check_equal_up_to_rounding(tmp_path / "alone" / "seed_1", base_dir / "seed_1")


def test_a_resumed_run_equals_an_uninterrupted_one(base_dir, train_small, tmp_path):
    folder = tmp_path / "resumed"
    assert train_small(folder, {"VectorizedRun.num_iterations": 1}) == 0
    # What was written after the checkpoint, as by a run that was killed, is dropped.
    with open(folder / "seed_0" / "metrics.jsonl", "a") as file:
        file.write(json.dumps(records(base_dir / "seed_0")[-1]) + "\n" + '{"kind": "trac')
    assert train_small(folder) == 0
    for seed in ("seed_0", "seed_1"):
        assert records(folder / seed) == records(base_dir / seed)


@pytest.mark.slow
def test_options_stand_side_by_side(train_small, tmp_path):
    values = {"VectorizedRun.side_by_side": "{'ReDo.tau': [0.0, 1.5]}", "VectorizedRun.seeds": 1}
    assert train_small(tmp_path, values) == 0
    never, always = (read_run(tmp_path / f"ReDo.tau={tau}" / "seed_0") for tau in ("0", "1.5"))
    assert never.tracking[-1].recycled_total < always.tracking[-1].recycled_total
    record = json.loads((tmp_path / "ReDo.tau=1.5" / "seed_0" / "run.json").read_text())
    assert record["side_by_side"] == {"ReDo.tau": 1.5}
    # Each is the run that it would be alone.
    alone = tmp_path / "alone"
    assert train_small(alone, {"ReDo.tau": 1.5, "VectorizedRun.seeds": 1}) == 0
    assert read_run(alone / "seed_0").iterations[-1].train_returns == (
        always.iterations[-1].train_returns
    )


@pytest.mark.slow
def test_a_learning_rate_is_that_of_its_run(train_small, tmp_path):
    values = {
        "VectorizedRun.side_by_side": "{'VectorizedDQN.learning_rate': [1e-8, 0.01]}",
        "VectorizedRun.seeds": 1,
        "LearnerOptions.intervention": "None",
    }
    assert train_small(tmp_path, values) == 0
    slow, fast = (
        read_run(tmp_path / f"VectorizedDQN.learning_rate={rate}" / "seed_0").tracking
        for rate in ("1e-08", "0.01")
    )
    moved = [abs(t[-1].weight_norm["Dense_1"] - t[0].weight_norm["Dense_1"]) for t in (slow, fast)]
    assert moved[0] < 1e-4 < 1e-2 < moved[1]


def status(folder):
    record = json.loads((folder / "run.json").read_text())
    return record["status"], record["error"]


DIVERGING = {
    "VectorizedRun.side_by_side": "{'VectorizedDQN.learning_rate': [0.001, 1e38]}",
    "VectorizedRun.seeds": 1,
    "LearnerOptions.intervention": "None",
}
FAILED = r"(the loss, )?params/.*not finite at gradient step \d of .*rate=1e\+38, seed 0$"


def test_a_member_that_diverges_has_failed_and_the_others_go_on(train_small, tmp_path, capsys):
    good, bad = (tmp_path / f"VectorizedDQN.learning_rate={rate}" for rate in ("0.001", "1e+38"))
    together = tmp_path / good.name / "seed_0"
    assert train_small(tmp_path, DIVERGING | {"VectorizedRun.num_iterations": 1}) == 1
    capsys.readouterr()
    assert train_small(tmp_path, DIVERGING) == 1  # goes on from the checkpoint, and knows it
    (line,) = (x for x in capsys.readouterr().err.splitlines() if "error" in x)
    assert re.fullmatch(f"dormant.train_vectorized: error: {FAILED}", line)
    assert status(together) == ("finished", None)
    what, error = status(bad / "seed_0")
    assert what == "failed" and re.search(FAILED, error)
    assert records(bad / "seed_0") == []
    # The other is what it would be beside one that does not diverge.
    fine = DIVERGING | {"VectorizedRun.side_by_side": "{'VectorizedDQN.learning_rate': [0.001, 1]}"}
    assert train_small(tmp_path / "fine", fine) == 0
    assert records(together) == records(tmp_path / "fine" / good.name / "seed_0")
    # Nor does it begin anew when all is done.
    assert train_small(tmp_path, DIVERGING) == 1
    assert status(bad / "seed_0")[0] == "failed" and status(together)[0] == "finished"
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.numbers() == [0, 1]
    learners = [part["learner"] for _, part in sorted(checkpoints.load(1)["state"]["run"].items())]
    weights = [jax.tree.leaves(learner["params"]) for learner in learners]
    assert all(leaf.any() and np.isfinite(leaf).all() for leaf in weights[0])
    assert weights[1] and not any(leaf.any() for leaf in weights[1])


def test_where_all_diverge_the_run_ends_and_nothing_is_saved(train_small, tmp_path):
    rate = {"VectorizedDQN.learning_rate": 1e38, "LearnerOptions.intervention": "None"}
    assert train_small(tmp_path, rate) == 1
    for seed in (0, 1):
        what, error = status(tmp_path / f"seed_{seed}")
        assert what == "failed" and error.endswith(f"of seed {seed}")
    assert Checkpoints(tmp_path / "checkpoints").numbers() == []


MISTAKES = {
    "VectorizedDQN.environment = 'Brekout-MinAtar'": "Breakout-MinAtar",
    "VectorizedDQN.environment = 'Pendulum-v1'": "discrete actions",
    "VectorizedDQN.network = 'minatar'": "`VectorizedDQN.network` must be 'mlp' for CartPole-v1",
    "VectorizedDQN.netwrk = 'mlp'": "did you mean VectorizedDQN.network?",
    "VectorizedDQN.learning_rate = -1": "a number > 0; got -1",
    "VectorizedDQN.update_period = 6": "`VectorizedDQN.update_period` must be a multiple",
    "VectorizedDQN.gamma = 1.5": "gamma",
    "VectorizedDQN.target_update_period = 3": "must be a whole number of gradient steps >= 1",
    "LearnerOptions.replay_ratio = 0.3": "of one burst, must be a whole number",
    "Tracker.tracking_period = 21": "`Tracker.tracking_period` must be a multiple of the 2",
    "VectorizedRun.seeds = 0": "`VectorizedRun.seeds` must be a whole number >= 1; got 0",
    "VectorizedRun.evaluation_episodes = -1": "must be a whole number >= 0; got -1",
    "VectorizedRun.evaluation_period = 0": "`VectorizedRun.evaluation_period` must be a whole",
    "VectorizedRun.training_steps = 241": "a multiple of VectorizedDQN.update_period, 4",
    "VectorizedRun.training_steps = 80": "more than the 80 agent steps of VectorizedDQN.min",
    "VectorizedRun.num_iterations = 10_000_000": "fewer than 2**31 agent steps",
    "LearnerOptions.replay_ratio = 10_000_000": "fewer than 2**31 gradient steps",
    "VectorizedDQN.replay_capacity = 401": "`VectorizedDQN.replay_capacity` must be a multiple",
    "VectorizedDQN.dense = (16)": "a tuple of whole numbers >= 1, such as (128, 128); got 16",
    "VectorizedDQN.activation = 'gelu'": "`VectorizedDQN.activation` must be one of 'relu',",
    "VectorizedDQN.layer_norm = 'yes'": "`VectorizedDQN.layer_norm` must be True or False; got",
    "ReDo.tau = @optax.linear_schedule()": "gin: linear_schedule() missing 3 required",
    "VectorizedDQN.environment = 5": "a name such as 'Breakout-MinAtar'; got 5",
    "LearnerOptions.seed = 2_147_483_647": "such that all seeds are below 2**31",
    "VectorizedRun.devices = 1_000": "`VectorizedRun.devices` must be at most",
    "VectorizedRun.threads = 0": "`VectorizedRun.threads` must be a whole number >= 1; got 0",
    "VectorizedRun.side_by_side = {'ReDo.tau': [0.1, 0.1]}": "a list of different numbers",
    "VectorizedRun.side_by_side = {'ReDo.period': [10, 20]}": "must be one of 'ReDo.tau'",
    "VectorizedRun.side_by_side = {'Prune.tau': [0.1]}": "must be @Prune(); got 'ReDo'",
    "VectorizedRun.side_by_side = {'VectorizedDQN.learning_rate': [0.0]}": "a number > 0; got",
}


@pytest.mark.parametrize(("binding", "problem"), MISTAKES.items())
def test_a_mistake_is_one_line_and_nothing_is_created(
    binding, problem, small_flags, train_small, tmp_path, capfd
):
    name, _, value = binding.partition(" = ")
    assert train_small(tmp_path / "run", {name: value}) == 2
    error = capfd.readouterr().err
    assert error.startswith("dormant.train_vectorized: error: ") and error.count("\n") == 1
    assert problem in error
    assert not (tmp_path / "run").exists()


def test_a_warm_up_that_would_make_every_round_a_call_is_refused(train_small, tmp_path, capfd):
    changes = {
        "VectorizedDQN.min_replay_history": 84,
        "VectorizedRun.training_steps": 800,
        "Tracker.tracking_period": 200,
    }
    assert train_small(tmp_path / "run", changes) == 2
    assert "must share a large divisor" in (error := capfd.readouterr().err)
    assert "such as 400; got 84" in error


def test_a_checkpoint_of_another_run_is_refused(base_dir, train_small, capfd):
    before = records(base_dir / "seed_0")
    assert train_small(base_dir, {"VectorizedDQN.dense": "(8, 8)"}) == 2
    assert "`VectorizedDQN.dense` must be (16,), as checkpoint 1 in" in capfd.readouterr().err
    assert train_small(base_dir, {"LearnerOptions.seed": 7}) == 2
    assert "`LearnerOptions.seed` must be " in capfd.readouterr().err
    assert train_small(base_dir, {"VectorizedRun.training_steps": 280}) == 2
    assert "`VectorizedRun.training_steps` must be " in capfd.readouterr().err
    assert records(base_dir / "seed_0") == before
    assert not (base_dir / "seed_7").exists()


def test_the_returns_are_those_of_whole_episodes(base_dir):
    run = read_run(base_dir / "seed_0")
    values = [value for record in run.iterations for value in record.train_returns]
    assert all(math.isfinite(value) and value == round(value) for value in values)
    assert np.mean(values) > 8


def start_two(flags_of, folder, **changes):
    """Two processes of one run; what they say is on their stderr."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    changes |= {
        "VectorizedRun.distributed": True,
        "VectorizedRun.devices": None,
        "initialize_distributed.coordinator_address": repr(address),
        "initialize_distributed.num_processes": 2,
    }
    processes = []
    for index in (0, 1):
        flags = flags_of(folder, changes | {"initialize_distributed.process_id": index})
        command = [sys.executable, "-m", "dormant.train_vectorized", *flags]
        environment = os.environ | {"XLA_FLAGS": "", "PYTHONPATH": str(ROOT)}
        processes.append(
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        )
    return processes


@pytest.mark.slow
def test_two_processes_train_their_own_seeds(base_dir, small_flags, tmp_path):
    processes = start_two(small_flags, tmp_path)
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    for seed in ("seed_0", "seed_1"):
        check_equal_up_to_rounding(tmp_path / seed, base_dir / seed)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


@pytest.mark.slow
def test_processes_that_died_at_their_first_checkpoint_start_anew(base_dir, small_flags, tmp_path):
    for process in start_two(small_flags, tmp_path, **{"VectorizedRun.num_iterations": 1}):
        assert process.communicate(timeout=300) and process.returncode == 0
    places = [tmp_path / "checkpoints" / f"process_{index}" for index in (0, 1)]
    shutil.rmtree(places[1] / "0")  # which had not come so far
    (tmp_path / "seed_1" / "metrics.jsonl").write_text("", "utf-8")
    for place in places:
        (place / "none_yet").touch()
    processes = start_two(small_flags, tmp_path)
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    for seed in ("seed_0", "seed_1"):
        check_equal_up_to_rounding(tmp_path / seed, base_dir / seed)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_host_that_is_gone_ends_the_other_within_a_minute_and_both_go_on(
    lost, small_flags, tmp_path
):
    length = "VectorizedRun.num_iterations"
    processes = start_two(small_flags, tmp_path, **{length: 100_000})
    places = [tmp_path / "checkpoints" / f"process_{index}" / "1" for index in (0, 1)]
    while not all(place.exists() for place in places):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.1)
    processes[lost].send_signal(signal.SIGSTOP)  # as a machine that no longer answers
    try:
        processes[1 - lost].communicate(timeout=60)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert processes[1 - lost].returncode != 0
    newest = [
        max(int(each.name) for each in place.parent.iterdir() if each.name.isdigit())
        for place in places
    ]
    processes = start_two(small_flags, tmp_path, **{length: min(newest) + 3})
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    for seed in (0, 1):
        assert len(read_run(tmp_path / f"seed_{seed}").iterations) == min(newest) + 3


def test_a_coordinators_port_that_is_taken_is_one_line(small_flags, tmp_path):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        address = f"localhost:{taken.getsockname()[1]}"
        changes = {
            "VectorizedRun.distributed": True,
            "VectorizedRun.devices": None,
            "initialize_distributed.coordinator_address": repr(address),
            "initialize_distributed.num_processes": 2,
            "initialize_distributed.process_id": 0,
        }
        flags = small_flags(tmp_path / "run", changes)
        command = [sys.executable, "-m", "dormant.train_vectorized", *flags]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert f"must be free on the host of process 0; got {address}" in done.stderr
    assert not (tmp_path / "run").exists()

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs on the device, of which the records tell network, inputs and loss."""

import shutil

import jax
import numpy as np

from dormant.learners import NatureCNN
from dormant.probe import run_folders
from dormant.probe.networks import fitted
from dormant.replay import ReplayBuffer, ReplayOptions
from dormant.runs.checkpoints import Checkpoints
from tests.probe.commands import QUICK, numbers, probe


def test_a_run_on_the_device_tells_everything_itself(run_folder, capsys, tmp_path):
    found = numbers(
        capsys, tmp_path, run_folder / "seed_1", "--rows=64", f"--compare={run_folder}", *QUICK,
        "--what_if=redo(tau=0.5)", "--fail_if=gradient_norm > 1e6",
    )  # fmt: skip
    assert found["level"] == "plasticity" and "seed_1" in found["probed"]
    assert set(found["layers"]) == {"Dense_0", "Dense_1"}
    assert found["gradients"]["(all)"]["gradient_norm"] > 0
    assert found["compared"]["distance"] > 0  # another seed
    assert [point["step"] for point in found["curve"]] == [0, 1]
    own = numbers(capsys, tmp_path, run_folder / "seed_0", "--level=weights")
    first = numbers(capsys, tmp_path, run_folder, "--level=weights")
    assert own["weights"] == first["weights"] != found["weights"]


def test_the_gradient_of_a_run_is_that_of_its_learner(run_folder):
    """Against the gradient written out: huber's of the temporal differences."""
    run = run_folders.find_run(run_folder)
    saved = run_folders.read(run, run_folders.numbers(run)[-1])
    network = run_folders.network_of(saved, 32)
    params = fitted(network.init, saved.checkpoint.arrays, "the run")
    target = jax.tree.map(np.asarray, saved.learner["target_params"])
    batch = run_folders.replay_arrays(saved, 32)

    def loss(params):
        chosen = network.apply(params, batch["state"])[np.arange(32), batch["action"]]
        best = network.apply(target, batch["next_state"]).max(axis=1)
        aim = batch["reward"] + 0.99 * (1 - batch["terminal"]) * best
        error = abs(aim - chosen)
        return jax.numpy.where(error < 1, error**2 / 2, error - 0.5).mean()

    expected, found = jax.jit(jax.grad(loss))(params), network.gradient(params)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_a_damaged_or_strange_run_is_a_mistake(run_folder, capsys, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    shutil.copytree(copy / "seed_0", copy / "seed_9")
    assert "seed_0, seed_1 in it" in probe(capsys, copy / "seed_9", code=2)
    newest = max((copy / "checkpoints" / "process_0").glob("[0-9]*"))
    (newest / "arrays.bin").write_bytes(b"damaged")
    assert "is damaged" in probe(capsys, copy, code=2)
    shutil.rmtree(copy / "checkpoints" / "process_0")
    (copy / "checkpoints" / "process_0").mkdir()
    assert "has none" in probe(capsys, copy, code=2)


def test_a_run_that_failed_is_not_measured(run_folder, capsys, tmp_path):
    """Its checkpoints hold zeros."""
    run = run_folders.find_run(run_folder)
    saved = run.checkpoints.load(1)
    saved["state"]["failed"] = {"1": "the loss is not finite at gradient step 2 of seed 1"}
    shutil.copytree(run_folder, tmp_path / "run")
    Checkpoints(tmp_path / "run" / "checkpoints").save(2, saved)
    said = probe(capsys, tmp_path / "run" / "seed_1", "--fail_if=non_finite > 0", code=2)
    assert "seed_1 has, and checkpoint 2 holds none of its network: the loss is not finite" in said
    numbers(capsys, tmp_path, tmp_path / "run" / "seed_0", "--level=weights")


def test_a_run_of_dqn_on_atari_tells_its_network_and_replay(capsys, tmp_path):
    """As `dormant.train` saves it, with a nature CNN of a few neurons."""
    options = ReplayOptions(capacity=50, observation_shape=(84, 84), stack_size=4)
    buffer, random = ReplayBuffer(options, 0), np.random.default_rng(0)
    for step in range(40):
        frame = random.integers(0, 256, (84, 84), np.uint8)
        buffer.add(frame, step % 3, 1.0, terminal=step % 10 == 9)
    initialize = jax.jit(NatureCNN(3, width=0.05).init)
    params = initialize(jax.random.key(0), np.zeros((84, 84, 4), np.uint8))
    settings = {"DormantDQNAgent.network": "'nature'", "DormantDQNAgent.width": "0.05"}
    learner = {"params": params, "target_params": params}
    agent = {"learner": learner, "replay": buffer.state(), "training_steps": 40}
    saved = {"settings": settings, "records": {}, "state": {"agent": agent}}
    Checkpoints(tmp_path / "run" / "checkpoints").save(3, saved)
    given = [tmp_path / "run", "--rows=8", "--level=gradients"]
    found = numbers(capsys, tmp_path, *given)
    assert set(found["layers"]) == {"Conv_0", "Conv_1", "Conv_2", "Dense_0"}
    assert found["gradients"]["(all)"]["gradient_norm"] > 0 and found["step"] == 3
    # Of another network the records do not tell enough, but the weights are there.
    agent["learner"] = {"params": {"odd": np.ones((2, 2), np.float32)}}
    saved["settings"] = {"JaxFullRainbowAgent.network": "@networks.FullRainbowNetwork"}
    Checkpoints(tmp_path / "run" / "checkpoints").save(4, saved)
    assert "--network and --inputs must name the network" in probe(capsys, *given, code=2)
    assert numbers(capsys, tmp_path, tmp_path / "run", code=0)["level"] == "weights"
    for number, state in ((5, {"run": {"0": {"learner": {}}}}), (6, {"agent": 1})):
        saved["state"] = state
        Checkpoints(tmp_path / "run" / "checkpoints").save(number, saved)
        assert "RUN_OR_CHECKPOINT must be" in probe(capsys, tmp_path / "run", code=2)

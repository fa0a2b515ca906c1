# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs on the device, of which the records tell network, inputs and loss."""

import shutil

import jax
import numpy as np

from dormant.probe import run_folders
from dormant.probe.networks import fitted
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

    expected, found = jax.grad(loss)(params), network.gradient(params)
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

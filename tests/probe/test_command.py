# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The command: levels of evidence, exit codes, and what it prints and writes."""

import jax
import numpy as np
import pytest
from flax import serialization

import dormant
from dormant.probe import command_line
from dormant.probe.command_line import main
from dormant.probe.expressions import INTERVENTIONS
from tests.probe import small_network
from tests.probe.commands import QUICK, numbers, probe

NETWORK = "--network=tests.probe.small_network:module"


def test_a_checkpoint_alone_has_the_level_of_weights(checkpoint, capsys, tmp_path):
    found = numbers(capsys, tmp_path, checkpoint / "net.msgpack")
    assert found["level"] == "weights" and found["layers"] is None
    kernel = small_network.params()["params"]["Dense_1"]["kernel"]
    row = found["weights"]["params/Dense_1/kernel"]
    assert row["norm"] == pytest.approx(np.linalg.norm(kernel)) and row["units"] == 6
    assert "weights alone do not show" in found["verdict"]


def test_activations_are_those_of_the_graph(checkpoint, capsys, tmp_path):
    found = numbers(
        capsys, tmp_path, checkpoint / "net.msgpack", NETWORK, f"--inputs={checkpoint / 'x.npz'}",
        "--level=activations",
    )  # fmt: skip
    params, inputs = small_network.params(), small_network.INPUTS
    graph = dormant.trace(small_network.Small().apply, params, inputs)
    activations = jax.jit(graph.activations)(params, inputs)
    scores = dormant.dormancy_scores(activations)
    for name, row in found["layers"].items():
        np.testing.assert_allclose(found["scores"][name], scores[name], rtol=1e-5)
        assert row["fau"] == pytest.approx(np.mean(activations[name] > 0))
        norms = np.linalg.norm(np.asarray(activations[name], np.float64), axis=1)
        assert row["feature_norm"] == pytest.approx(norms.mean(), rel=1e-5)
    assert found["layers"]["Dense_1"]["dormant"]["0"] == pytest.approx(2 / 6)
    features = np.asarray(activations["Dense_1"], np.float64)
    values = np.linalg.svd(features, compute_uv=False)
    values = values[values > 1e-9]
    row = found["layers"]["Dense_1"]
    assert row["stable_rank"] == pytest.approx((values**2).sum() / values[0] ** 2, rel=1e-4)
    shares = values / values.sum()
    assert row["effective_rank"] == pytest.approx(
        np.exp(-(shares * np.log(shares)).sum()), rel=1e-3
    )
    assert row["srank"] == 1 + (np.cumsum(values)[:-1] < 0.99 * values.sum()).sum()
    assert found["gradients"] is None


def test_gradients_are_those_of_the_loss(checkpoint, capsys, tmp_path):
    found = numbers(
        capsys, tmp_path, checkpoint / "net.msgpack", NETWORK,
        f"--inputs={checkpoint / 'batch.npz'}:x", "--loss=tests.probe.small_network:loss",
        "--level=gradients", "--fail_if=inactive@0 >= 0.1", code=1,
    )  # fmt: skip
    params = small_network.params()
    target = np.ones((32, 2), np.float32)
    gradient = jax.jit(jax.grad(small_network.loss))(params, small_network.INPUTS, target)
    gradient = gradient["params"]
    for layer in range(3):
        leaves = jax.tree.leaves(gradient[f"Dense_{layer}"])
        norm = np.sqrt(sum(np.square(leaf).sum() for leaf in leaves))
        assert found["gradients"][f"Dense_{layer}"]["gradient_norm"] == pytest.approx(
            norm, rel=1e-4
        )
    assert found["gradients"]["Dense_1"]["inactive"]["0"] == pytest.approx(2 / 6)
    assert found["fail_if"]["value"] == pytest.approx(2 / 14)


def test_plasticity_is_the_highest_level_and_the_default(checkpoint, capsys, tmp_path):
    page = tmp_path / "page.html"
    arguments = [checkpoint / "net.msgpack", NETWORK, f"--inputs={checkpoint / 'x.npz'}", *QUICK]
    found = numbers(capsys, tmp_path, *arguments, f"--html={page}")
    assert found["level"] == "plasticity" and found["gradients"] is None
    assert np.shape(found["plasticity"]["random"]["current"]) == (2, 4)
    text = page.read_text("utf-8")
    assert "fresh networks" in text and "What this cannot show" in text
    assert "http" not in text.partition("</style>")[2].replace("http-equiv", "")


def test_what_if_and_compare_write_nothing_and_tell_what_would_be(checkpoint, capsys, tmp_path):
    before = (checkpoint / "net.msgpack").read_bytes()
    found = numbers(
        capsys, tmp_path, checkpoint / "net.msgpack", NETWORK, f"--inputs={checkpoint / 'x.npz'}",
        "--level=activations", "--what_if=redo(tau=0)", f"--compare={checkpoint / 'net.msgpack'}",
        "--fail_if=overlap@0 < 1",
    )  # fmt: skip
    assert found["what_if"]["recycled"] == {"Dense_0": 0, "Dense_1": 2}
    assert found["what_if"]["largest_change"] == 0 < found["what_if"]["largest_output"]
    assert found["compared"]["distance"] == 0 and found["compared"]["overlap"]["0"]["Dense_1"] == 1
    assert (checkpoint / "net.msgpack").read_bytes() == before


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_what_if_knows_every_method_that_needs_no_past(name, capsys, tmp_path, checkpoint):
    arguments = [checkpoint / "net.msgpack", NETWORK, f"--inputs={checkpoint / 'x.npz'}"]
    arguments += ["--level=activations", f"--what_if={name}"]
    if name in ("regrama", "selective_weight_reinitialization"):
        assert main([str(each) for each in arguments]) == 2
        assert "`loss` must be given" in capsys.readouterr().err
        return
    found = numbers(capsys, tmp_path, *arguments)
    assert set(found["what_if"]["recycled"]) == {"Dense_0", "Dense_1"}


def test_what_goes_wrong_otherwise_has_an_exit_code_of_its_own(checkpoint, monkeypatch, capsys):
    def broken(*arguments):
        raise RuntimeError("of the network")

    monkeypatch.setattr(command_line, "probe", broken)
    assert main([str(checkpoint / "net.msgpack")]) == 3
    assert "RuntimeError: of the network" in capsys.readouterr().err


def test_a_broken_network_is_said_to_be_and_fails(checkpoint, capsys, tmp_path):
    params = small_network.params()
    params["params"]["Dense_0"]["kernel"][0, 0] = np.nan
    (tmp_path / "net.msgpack").write_bytes(serialization.to_bytes(params))
    printed = probe(
        capsys, tmp_path / "net.msgpack", NETWORK, f"--inputs={checkpoint / 'x.npz'}", *QUICK,
        "--fail_if=dormant@0.1 > 0.5", code=1,
    )  # fmt: skip
    assert "broken: 1 of its parameters are not finite" in printed
    assert "params/Dense_0/kernel has entries that are not finite" in printed


def test_few_rows_and_saturated_units_are_warned_of(checkpoint, capsys, tmp_path):
    params = small_network.params()
    params["params"]["Dense_0"]["bias"][:] = 9
    (tmp_path / "net.msgpack").write_bytes(serialization.to_bytes(params))
    np.savez(tmp_path / "few.npz", small_network.INPUTS[:4])
    printed = probe(
        capsys, tmp_path / "net.msgpack", NETWORK, f"--inputs={tmp_path / 'few.npz'}",
        "--level=activations",
    )  # fmt: skip
    assert "of Dense_1: at most 4, the rows of the batch" in printed
    assert "Dense_0: 100 % of the activations are at an end of their range" in printed


def test_layers_that_cannot_be_recycled_have_their_reasons(checkpoint, capsys, tmp_path):
    params = small_network.residual().init(jax.random.key(0), small_network.INPUTS)
    (tmp_path / "net.msgpack").write_bytes(serialization.to_bytes(params))
    graph = dormant.trace(small_network.residual().apply, params, small_network.INPUTS)
    assert graph.obstacles
    arguments = ["--network=tests.probe.small_network:residual", f"--inputs={checkpoint / 'x.npz'}"]
    found = numbers(capsys, tmp_path, tmp_path / "net.msgpack", *arguments, "--level=activations")
    for obstacle, names in graph.obstacles.items():
        assert any(obstacle in each and names[0] in each for each in found["warnings"])
        assert not any(found["layers"][name]["recyclable"] for name in names)


def test_a_folder_is_a_curve(capsys, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for step, dead in ((5, ()), (10, (1,)), (20, (1, 2, 3))):
        saved = serialization.to_bytes(small_network.params(dead))
        (folder / f"step_{step}.msgpack").write_bytes(saved)
    np.savez(tmp_path / "x.npz", small_network.INPUTS)
    arguments = [folder, NETWORK, f"--inputs={tmp_path / 'x.npz'}", "--level=activations"]
    found = numbers(capsys, tmp_path, *arguments, "--fail_if=dormant@0 > 0.2", code=1)
    assert [point["step"] for point in found["curve"]] == [5, 10, 20]
    shares = [point["dormant %, tau 0"] for point in found["curve"]]
    assert shares == pytest.approx([0, 100 / 14, 300 / 14])
    assert found["step"] == 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--level=activations"], "--level=activations needs a network: --network and --inputs"),
        ([NETWORK], "--network needs --inputs"),
        (["--inputs={x}"], "--inputs and --loss need --network"),
        ([NETWORK, "--inputs={x}:y"], "--inputs must name arrays of x; got 'y'"),
        ([NETWORK, "--inputs=nowhere.npz"], "--inputs must be a file"),
        ([NETWORK, "--inputs={x}", "--level=gradients"], "--level=gradients needs --loss"),
        (["--network=nonsense", "--inputs={x}"], "--network must be pkg.module:function"),
        (["--network=no.such:make", "--inputs={x}"], "importing no.such says ModuleNotFoundError"),
        (["--network={m}:absent", "--inputs={x}"], "has no function absent"),
        (["--network={m}:broken", "--inputs={x}"], "got RuntimeError: no network today"),
        (
            ["--network={m}:wider", "--inputs={x}"],
            "where params/Dense_0/bias is (8,); got one with (9,)",
        ),
        (["--network={m}:functions", "--inputs={x}"], "got one with w1"),
        (["--network={m}:needs_inputs", "--inputs={x}"], "an init that takes a key alone"),
        (
            ["--network={m}:linear", "--inputs={x}"],
            "--network must be one that dormant.trace follows",
        ),
        (["--part=actor"], "--part must be one of params"),
        (["--compare=nowhere"], "nowhere is not there"),
        (["--what_if=redo(tau=0)"], "--what_if needs a network"),
        (["--what_if=import os"], "--what_if must be one of fire"),
        (
            [NETWORK, "--inputs={x}", "--level=activations", "--what_if=redo(tau=-1)"],
            "`tau` must be",
        ),
        (["--fail_if=dormant@0.1 > 0"], "--fail_if must be of what is measured: dormant is of"),
        (["--fail_if=dead"], "--fail_if must be NAME > NUMBER"),
        (["--json=nowhere/found.json"], "`--json` must be in a folder that is there"),
        (["--html=."], "`--html` must be a file, not a folder"),
        (["--seeds=1"], "`--seeds` must be a whole number >= 2; got 1"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, said, checkpoint, capsys):
    names = {"x": checkpoint / "x.npz", "m": "tests.probe.small_network"}
    given = [each.format(**names) if "{" in each else each for each in arguments]
    assert said in probe(capsys, checkpoint / "net.msgpack", *given, code=2)


def test_a_file_that_is_none_is_a_mistake(checkpoint, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "page.html").write_text("old")
    said = probe(capsys, tmp_path / "empty", f"--html={tmp_path / 'page.html'}", code=2)
    assert "holds nothing" in said and (tmp_path / "page.html").read_text() == "old"

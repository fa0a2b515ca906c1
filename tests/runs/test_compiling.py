# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What is said of a program that is compiled for hardware that is not there."""

import functools
import importlib.util
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from dormant import train_vectorized
from dormant.hardware import CHIPS, Hardware, compiling_for, hardware_of
from dormant.learners import NatureCNN
from dormant.memory import device_memory, machine_memory
from dormant.runs.compiling import flops_at_least
from dormant.runs.options import LearnerOptions
from dormant.vectorized.agent import VectorizedDQN
from dormant.vectorized.options import VectorizedRun
from dormant.vectorized.runner import compiled_functions
from dormant.xla_cpu import is_cpu

A_TPU = Hardware("a chip", "tpu", chip=CHIPS["v5e"])
SMALL = {
    "VectorizedDQN.environment": "'CartPole-v1'",
    "VectorizedDQN.network": "'mlp'",
    "VectorizedDQN.dense": "(32,)",
    "VectorizedRun.seeds": "4",
}


def flops_of_xla(function, *arguments):
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]


def flops(function, *arguments):
    return flops_at_least(jax.make_jaxpr(function)(*arguments).jaxpr)


def test_the_operations_of_a_convolutional_network_and_its_gradient_are_those_that_xla_counts():
    network, image = NatureCNN(6), jax.ShapeDtypeStruct((84, 84, 4), jnp.uint8)
    params = jax.eval_shape(network.init, jax.random.key(0), image)
    images = jax.ShapeDtypeStruct((8, *image.shape), image.dtype)

    def loss(params, images):
        return jnp.sum(jax.vmap(network.apply, in_axes=(None, 0))(params, images))

    for function in (loss, jax.grad(loss)):
        counted, known = flops(function, params, images), flops_of_xla(function, params, images)
        # XLA counts additions too, and no products with what pads the images.
        assert counted == pytest.approx(known, rel=0.1)


def test_the_body_of_a_loop_counts_as_often_as_it_runs():
    square = jax.ShapeDtypeStruct((16, 16), jnp.float32)

    def repeated(times, x):
        return jax.lax.scan(lambda x, _: (x @ x, None), x, length=times)[0]

    three, nine = (functools.partial(repeated, times) for times in (3, 9))
    assert flops(nine, square) == 3 * flops(three, square) == 9 * 2 * 16**3
    # If this fails XLA counts them too, and `cost_analysis` can take our function's place.
    assert flops_of_xla(nine, square) < 2 * flops_of_xla(three, square)


def test_what_may_not_run_counts_nothing():
    square = jax.ShapeDtypeStruct((16, 16), jnp.float32)

    def once_or_twice(x):
        x @ x @ x  # of which nobody asks
        x = jax.lax.while_loop(lambda x: x.sum() > 0, lambda x: x @ x, x)
        return jax.lax.cond(x.sum() > 0, lambda x: x @ x, lambda x: x @ x @ x, x)

    assert flops(once_or_twice, square) == 2 * 16**3


def stable_hlo(devices=None):
    """The updates of a small run, lowered for TPUs."""
    agent = VectorizedDQN(environment="CartPole-v1", network="mlp", dense=(16,))
    program, _, _ = agent.program(LearnerOptions(), devices=devices)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 2))
    traced = program.advance.trace(jax.eval_shape(program.init, keys), 2)
    return traced.lower(lowering_platforms=("tpu",)).as_text()


def test_a_program_compiled_for_a_tpu_that_is_not_there_is_that_of_a_machine_with_one(monkeypatch):
    # Of a device a program is told its platform and its memory.
    there = stable_hlo([SimpleNamespace(platform="tpu", memory_stats=dict)])
    assert there != stable_hlo()
    for name in ("default_backend", "devices"):  # what asks for the hardware that is here
        monkeypatch.setattr(jax, name, None)
    with compiling_for(A_TPU):
        assert stable_hlo() == there


def test_memory_is_that_of_the_chip_and_nothing_is_known_of_its_machine():
    with compiling_for(A_TPU):
        assert device_memory() == 16 * 10**9 and machine_memory() is None and not is_cpu()
        with pytest.raises(ValueError, match="`VectorizedRun.seeds` must leave memory for"):
            agent = VectorizedDQN(environment="CartPole-v1", network="mlp", replay_capacity=10**6)
            compiled_functions(VectorizedRun(seeds=1_000), agent, LearnerOptions())
    with compiling_for(Hardware("cuda", "cuda")):
        assert device_memory() is None and not is_cpu()
    assert machine_memory() > 0 and is_cpu()


def test_a_run_is_lowered_for_cuda_and_nothing_is_written(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    bindings = [f"--gin_bindings={name} = {value}" for name, value in SMALL.items()]
    command = ["--gin_files=vectorized/dqn_redo.gin", *bindings, "--compile_for=cuda"]
    assert train_vectorized.main(command) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["program"] for row in rows] == ["init", "fill", "advance"]
    assert all(row["module_bytes"] > 1_000 and row["runs"] == 4 for row in rows)
    fill, advance = rows[1:]
    # An action is one product through 4 inputs, 32 neurons and 2 outputs.
    assert fill["flops"] == 4 * fill["steps"] * 2 * (4 * 32 + 32 * 2)
    assert advance["flops"] > advance["steps"] / fill["steps"] * fill["flops"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["cpu", "v5e", "v5e:", "v5e:4y4", "v9:4x4", "v5e:0x4x", "v5e:-1"])
def test_hardware_that_there_is_not_is_one_line(name, capsys):
    assert train_vectorized.main(["--gin_files=vectorized/dqn.gin", f"--compile_for={name}"]) == 2
    error = capsys.readouterr().err
    allowed = "cuda, or v4, v5e, v5p, v6e and a slice's shape, such as v5e:4x4"
    assert f"`--compile_for` must be {allowed}; got {name!r}" in error and error.count("\n") == 1


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is not None, reason="libtpu is installed here"
)
def test_what_compiles_for_tpus_is_named_where_it_is_not_installed():
    with pytest.raises(ValueError, match=r"not installed: pip install 'dormant\[tpu\]'"):
        hardware_of("v5e:4x4")

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""`laid_out_as_kernels`: the same gradients, computed without transposing what is large."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dormant import learners
from dormant.vectorized import MinAtarCNN
from dormant.xla_cpu.kernel_gradients import laid_out_as_kernels


def products(function, *arguments) -> list:
    """The shapes of what each product of a function's program gives, those unused left out."""
    program = jax.jit(function).lower(*arguments).as_text()
    return [line.split("-> ")[1] for line in program.splitlines() if "dot_general" in line]


@pytest.fixture(scope="module")
def learner() -> learners.Learner:
    network = MinAtarCNN(3)
    example = jnp.zeros((10, 10, 4), bool)
    return learners.dqn(
        network.apply, lambda key: network.init(key, example), optax.sgd(0.1), discount=0.99
    )


def batch(rng: np.random.Generator) -> learners.Batch:
    frames = rng.integers(0, 2, (2, 32, 10, 10, 4)).astype(bool)
    reward = rng.normal(size=32).astype(np.float32)
    action = rng.integers(0, 3, 32, dtype=np.int32)
    return learners.Batch(frames[0], action, reward, frames[1], np.zeros(32, bool))


@pytest.mark.slow
def test_an_update_of_three_seeds_is_the_same_up_to_rounding(learner):
    states = jax.vmap(learner.init)(jax.random.split(jax.random.key(0), 3))
    batches = [batch(np.random.default_rng(seed)) for seed in range(3)]
    batches = jax.tree.map(lambda *leaves: np.stack(leaves), *batches)
    expected, metrics = jax.jit(jax.vmap(learner.step))(states, batches)
    received, other = jax.jit(jax.vmap(laid_out_as_kernels(learner.step)))(states, batches)
    assert any(
        float(jnp.abs(new - old).max()) > 1e-3
        for new, old in zip(
            jax.tree.leaves(expected.params), jax.tree.leaves(states.params), strict=True
        )
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        (received.params, other),
        (expected.params, metrics),
    )


def test_the_large_gradient_comes_out_as_its_kernel(learner):
    state = jax.eval_shape(learner.init, jax.random.key(0))
    one = batch(np.random.default_rng(0))
    kernel, transposed = "tensor<1024x128xf32>", "tensor<128x1024xf32>"
    assert products(learner.step, state, one).count(transposed) == 1
    assert products(laid_out_as_kernels(learner.step), state, one).count(kernel) == 1


def test_other_transposes_and_products_stay():
    def function(x, y, z):
        # A product over the batch that is no matrix, one used twice, and one not transposed.
        return (
            jnp.einsum("bif,bj->fji", x, y).transpose(2, 1, 0),
            (z.T @ y).T + (z.T @ y).T.sum(),
            z.T @ y,
            y.T,
        )

    rng = np.random.default_rng(0)
    shapes = ((8, 3, 4), (8, 5), (8, 6))
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        jax.jit(laid_out_as_kernels(function))(*arrays),
        function(*arrays),
    )

# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""`split_convolutions`: the same results from smaller convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dormant import learners, xla_cpu


def convolutions(function, *arguments) -> list:
    """The convolutions of a function's program, outermost level."""
    equations = jax.make_jaxpr(function)(*arguments).jaxpr.eqns
    return [each for each in equations if each.primitive.name == "conv_general_dilated"]


def atari_batch(size: int) -> learners.Batch:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, size, 84, 84, 4), dtype=np.uint8)
    reward = rng.normal(size=size).astype(np.float32)
    action = rng.integers(0, 6, size, dtype=np.int32)
    return learners.Batch(frames[0], action, reward, frames[1], np.zeros(size, bool))


@pytest.fixture(scope="module")
def atari_learner() -> learners.Learner:
    network = learners.NatureCNN(6)
    example = jnp.zeros((84, 84, 4), jnp.uint8)
    # Plain gradient descent: Adam would make a large step of a rounding error about zero.
    return learners.dqn(
        network.apply, lambda key: network.init(key, example), optax.sgd(0.1), discount=0.99
    )


@pytest.mark.parametrize("size", [pytest.param(32, marks=pytest.mark.slow), 7])
def test_an_update_is_the_same_up_to_rounding(atari_learner, size):
    state, batch = jax.jit(atari_learner.init)(jax.random.key(0)), atari_batch(size)
    expected, metrics = jax.jit(atari_learner.step)(state, batch)
    split = xla_cpu.split_convolutions(atari_learner.step)
    received, split_metrics = jax.jit(split)(state, batch)
    assert jax.tree.structure(received) == jax.tree.structure(expected)
    moved = jax.tree.map(lambda new, old: new - old, received.params, state.params)
    expected_move = jax.tree.map(lambda new, old: new - old, expected.params, state.params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), moved, expected_move
    )
    assert any(float(jnp.abs(leaf).max()) > 1e-4 for leaf in jax.tree.leaves(expected_move))
    assert float(split_metrics["loss"]) == pytest.approx(float(metrics["loss"]), rel=1e-5)
    assert jax.random.key_data(received.key).tolist() == jax.random.key_data(state.key).tolist()


def test_large_convolutions_are_cut_in_four_and_small_ones_stay_whole(atari_learner):
    split = xla_cpu.split_convolutions(atari_learner.step)
    state = jax.eval_shape(atari_learner.init, jax.random.key(0))
    # Three layers: two forward passes, three gradients of kernels and two of inputs.
    assert len(convolutions(split, state, atari_batch(32))) == 4 * (2 * 3 + 3 + 2)
    assert len(convolutions(split, state, atari_batch(1))) < 4 * (2 * 3 + 3 + 2)


@pytest.mark.parametrize(
    ("layout", "groups"),
    [(("NHWC", "HWIO", "NHWC"), 1), (("NHWC", "HWIO", "NHWC"), 2), (("NCHW", "OIHW", "CNHW"), 1)],
)
def test_any_layout_and_channel_groups(layout, groups):
    channels, rows = 16, 60
    inputs = jax.random.normal(jax.random.key(0), (rows, 40, 40, channels))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, channels // groups, 8))
    if layout[0] == "NCHW":
        inputs, kernel = inputs.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1)

    def convolve(inputs, kernel):
        return jax.lax.conv_general_dilated(
            inputs, kernel, (2, 1), "SAME", dimension_numbers=layout, feature_group_count=groups
        )

    split = xla_cpu.split_convolutions(convolve)
    assert len(convolutions(split, inputs, kernel)) == 4
    np.testing.assert_allclose(
        jax.jit(split)(inputs, kernel), jax.jit(convolve)(inputs, kernel), rtol=1e-4, atol=1e-4
    )


@pytest.mark.slow
def test_convolutions_with_groups_of_the_batch_stay_whole():
    # What `vmap` over kernels makes: a part of the batch would meet the wrong kernel.
    inputs = jax.random.normal(jax.random.key(0), (4, 16, 40, 40, 8))
    kernels = jax.random.normal(jax.random.key(1), (4, 3, 3, 8, 8))

    def convolve(inputs, kernel):
        return jax.lax.conv_general_dilated(
            inputs, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    mapped = jax.vmap(jax.grad(lambda x, k: (convolve(x, k) ** 2).sum(), argnums=1))
    split = xla_cpu.split_convolutions(mapped)
    np.testing.assert_allclose(
        jax.jit(split)(inputs, kernels), jax.jit(mapped)(inputs, kernels), rtol=1e-3, atol=1e-2
    )


def test_what_is_no_function_is_an_error():
    with pytest.raises(ValueError, match=r"`function` must be .*; got 3$"):
        xla_cpu.split_convolutions(3)

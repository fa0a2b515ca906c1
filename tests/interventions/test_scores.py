# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Dormancy scores against a slow reference in float64, in every dtype and at every scale.
Eq. 1 of the paper: the mean absolute activation over the layer's mean of the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant

dormancy_scores = jax.jit(dormant.dormancy_scores)

DTYPES = ("float32", "bfloat16", "float16")
SHAPES = {"dense": (16, 5), "conv": (4, 3, 6, 5), "ensemble": (4, 2, 7), "unbatched": (5,)}


def reference(activation):
    """Eq. 1 neuron by neuron, in float64."""
    activation = np.asarray(activation, np.float64)
    neurons = activation.shape[-1]
    means = [np.abs(activation[..., i]).mean() for i in range(neurons)]
    layer_mean = sum(means) / neurons
    return np.array([mean / layer_mean if layer_mean > 0 else 0.0 for mean in means])


def draw(shape, dtype, seed=0):
    """Normal values of both signs, with a silent first neuron and a faint second one."""
    values = np.random.default_rng(seed).normal(size=shape)
    values[..., 0] = 0.0
    values[..., 1] *= 1e-3
    return jnp.asarray(values, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", SHAPES)
def test_scores_equal_the_slow_reference(kind, dtype):
    activation = draw(SHAPES[kind], dtype)
    (scores,) = dormancy_scores({"layer": activation}).values()
    assert scores.shape == activation.shape[-1:] and scores.dtype == jnp.float32
    np.testing.assert_allclose(scores, reference(activation), rtol=1e-5)
    assert scores[0] == 0 and scores[1] > 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_scores_of_a_layer_average_one(dtype):
    scores = dormancy_scores({"layer": draw((64, 33), dtype)})["layer"]
    np.testing.assert_allclose(np.asarray(scores, np.float64).mean(), 1.0, rtol=1e-6)


def test_a_feature_map_is_one_neuron():
    activation = np.zeros((2, 3, 3, 2), np.float32)
    activation[1, 2, 2, 0] = 9.0  # one pixel in one example
    activation[..., 1] = 1.5
    scores = dormancy_scores({"conv": jnp.asarray(activation)})["conv"]
    np.testing.assert_allclose(scores, [0.5, 1.5], rtol=1e-6)


def test_layers_are_scored_by_themselves():
    quiet, loud = draw((8, 4), "float32"), 1e6 * draw((8, 3), "float32", seed=1)
    together = dormancy_scores({"quiet": quiet, "loud": loud})
    assert set(together) == {"quiet", "loud"}
    np.testing.assert_allclose(together["quiet"], reference(quiet), rtol=1e-5)
    np.testing.assert_allclose(together["loud"], reference(loud), rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_wholly_silent_layer_scores_zero_everywhere(dtype):
    silent = {"dense": jnp.zeros((3, 4), dtype), "conv": -jnp.zeros((2, 3, 3, 4), dtype)}
    for scores in dormancy_scores(silent).values():
        np.testing.assert_array_equal(scores, np.zeros(4, np.float32))


BFLOAT16_MAX = float(jnp.finfo(jnp.bfloat16).max)


@pytest.mark.parametrize(
    "scale, dtype",
    [
        (1e-30, "float32"),
        (1e30, "float32"),
        (1e-30, "bfloat16"),
        (BFLOAT16_MAX, "bfloat16"),
        (float(jnp.finfo(jnp.float32).max), "float32"),
        (65504.0, "float16"),
        (6e-8, "float16"),  # the smallest subnormal of float16
    ],
)
def test_extreme_scales_neither_overflow_nor_vanish(scale, dtype):
    pattern = np.tile([0.0, 1.0, -1.0, 1.0], (256, 1))
    pattern[0, 1] = 0.0
    activation = jnp.asarray(pattern * scale, dtype)
    scores = dormancy_scores({"layer": activation})["layer"]
    np.testing.assert_allclose(scores, reference(pattern), rtol=1e-6)


def test_a_neuron_scores_zero_only_if_it_is_silent():
    # The two live neurons are 60 orders of magnitude apart: float32 cannot hold their ratio.
    activation = jnp.asarray([[0.0, 1e-30, 1e30], [0.0, 0.0, 1e30]], jnp.float32)
    scores = dormancy_scores({"layer": activation})["layer"]
    assert scores[0] == 0
    assert 0 < scores[1] < 1e-30
    np.testing.assert_allclose(scores[2], 3.0, rtol=1e-6)


def test_one_activation_in_a_large_batch_is_enough():
    activation = np.zeros((1_000, 3), np.float32)
    activation[7, 1] = 1e-20
    activation[:, 2] = 1.0
    scores = dormancy_scores({"layer": jnp.asarray(activation)})["layer"]
    assert scores[0] == 0 and scores[1] > 0


def test_the_sum_over_a_large_batch_keeps_its_precision():
    activation = draw((50_000, 3), "bfloat16")
    scores = dormancy_scores({"layer": activation})["layer"]
    np.testing.assert_allclose(scores, reference(activation), rtol=1e-5)

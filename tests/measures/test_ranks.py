# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The five ranks against float64 NumPy, and what must hold of each for any features."""

import functools

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as strategies
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from dormant import measures
from dormant.measures.spectra import features
from tests.measures.references import entropy_rank, least_count, singular
from tests.small_networks import CNN as CNN_SHAPES
from tests.small_networks import IMAGES, cnn_graph, draw, mlp_graph

REFERENCES = {
    "srank": lambda s, rows: least_count(s, 0.99),
    "effective_rank": lambda s, rows: entropy_rank(s),
    "stable_rank": lambda s, rows: sum(value**2 for value in s) / s[0] ** 2,
    "pca_rank": lambda s, rows: least_count([value**2 for value in s], 0.99),
    "feature_rank": lambda s, rows: sum(value / rows**0.5 > 0.01 for value in s),
}
VARIANTS = {
    "srank_0.1": (measures.srank(0.1), lambda s, rows: least_count(s, 0.9)),
    "pca_rank_0.9": (
        measures.pca_rank(0.9),
        lambda s, rows: least_count([value**2 for value in s], 0.9),
    ),
    "feature_rank_0.5": (
        measures.feature_rank(0.5),
        lambda s, rows: sum(value / rows**0.5 > 0.5 for value in s),
    ),
}
ALL = {name: (measures.CATALOG[name], of) for name, of in REFERENCES.items()} | VARIANTS
RANKS = tuple(measure for measure, _ in ALL.values())


@functools.partial(jax.jit, static_argnums=0)
def _ranks(shape, matrix):
    # A network whose penultimate layer has these features; the width is not looked at.
    activations = {"w1": jnp.zeros((shape[0], 4)), "w2": matrix}
    return measures.measured(mlp_graph(), RANKS, measures.MeasureInputs(None, activations))


def ranks(matrix):
    matrix = jnp.asarray(matrix)
    found = _ranks(matrix.shape, matrix)
    return {name: float(value["w2"]) for name, value in found.items()}


def random_matrix(seed, rows=12, columns=5):
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, columns)) * random.exponential(size=columns) ** 2


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_rank_equals_the_slow_reference(seed, dtype):
    matrix = jnp.asarray(random_matrix(seed), dtype)
    found, values = ranks(matrix), singular(matrix)
    for name, (measure, reference) in ALL.items():
        assert measure.name == name
        np.testing.assert_allclose(found[name], reference(values, 12), rtol=1e-4, err_msg=name)


def test_known_singular_values():
    left, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 3)))
    right, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 3)))
    found = ranks(left @ np.diag([4.0, 2.0, 2.0]) @ right.T)
    assert found["srank"] == found["pca_rank"] == found["feature_rank"] == 3
    np.testing.assert_allclose(found["stable_rank"], 1.5, rtol=1e-5)
    np.testing.assert_allclose(found["effective_rank"], 2**1.5, rtol=1e-4)
    assert found["pca_rank_0.9"] == 3 and found["srank_0.1"] == 3


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(np.float32, (12, 5), elements=strategies.floats(-8, 8, width=16)),
    strategies.sampled_from([0.25, 1024.0]),
    strategies.permutations(range(5)),
)
def test_bounds_scale_and_order(matrix, scale, order):
    found = ranks(matrix)
    assert all(0 <= rank <= 5.001 for rank in found.values())
    if not matrix.any():
        assert set(found.values()) == {0.0}
        return
    assert found["stable_rank"] >= 0.999 and found["effective_rank"] >= 0.999
    assert found["stable_rank"] <= found["effective_rank"] ** 2 + 1e-3
    for name in ("effective_rank", "stable_rank"):  # without a threshold that rounding may cross
        np.testing.assert_allclose(ranks(matrix * scale)[name], found[name], rtol=1e-3)
        np.testing.assert_allclose(ranks(matrix[:, order])[name], found[name], rtol=1e-3)
        np.testing.assert_allclose(ranks(matrix[::-1])[name], found[name], rtol=1e-3)


def test_scaling_the_features_changes_the_feature_rank_alone():
    matrix = random_matrix(0)
    one, scaled = ranks(matrix), ranks(matrix * 2.0**-12)
    changed = {name for name, rank in one.items() if rank != scaled[name]}
    assert changed == {"feature_rank", "feature_rank_0.5"}
    assert ranks(matrix * 2.0**50)["stable_rank"] == one["stable_rank"]


def test_constant_columns_and_rows_of_zeros_do_not_raise_a_rank():
    matrix = random_matrix(1)
    padded = np.concatenate([matrix, np.zeros((12, 3))], axis=1)
    for name, rank in ranks(padded).items():
        np.testing.assert_allclose(rank, ranks(matrix)[name], rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_has_no_rank(value):
    matrix = random_matrix(2)
    matrix[3, 1] = value
    assert all(np.isnan(rank) for rank in ranks(matrix).values())


def test_a_convolution_has_all_positions_and_channels_as_columns():
    graph = cnn_graph()
    activations = graph.activations(draw(CNN_SHAPES, 0), IMAGES)
    assert features(activations["k1"]).shape == (6, 48)
    assert measures.rank_cap(graph, activations) == {"w3": 4}
    few = {name: activation[:3] for name, activation in activations.items()}
    assert measures.rank_cap(graph, jax.eval_shape(lambda: few)) == {"w3": 3}


def test_a_batch_with_fewer_rows_than_columns_is_told_of():
    activations = {"w1": jnp.ones((3, 4)), "w2": jnp.ones((3, 5))}
    inputs = measures.MeasureInputs(None, activations)
    with pytest.warns(UserWarning, match="^srank, stable_rank of w2: at most 3, .* have 5 columns"):
        measures.measured(
            mlp_graph(), (measures.srank(), measures.fau(), measures.stable_rank()), inputs
        )
    measures.measured(mlp_graph(), (measures.fau(),), inputs)  # no rank, no warning


@pytest.mark.parametrize(
    "make, value, text",
    [
        (measures.srank, 0, r"`delta` must be a number in \(0, 1\); got 0"),
        (measures.pca_rank, 1, r"`variance` must be a number in \(0, 1\); got 1"),
        (measures.feature_rank, 0.0, "`epsilon` must be a number > 0; got 0.0"),
    ],
)
def test_options_that_are_not_allowed(make, value, text):
    with pytest.raises(ValueError, match=f"^{text}"):
        make(value)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Effective rank and norms against slow references in float64: loops over entries and rows.
Networks are plain functions; the expected layout of each layer is written down here."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant

KEY = jax.random.key(0)
IMAGES = jax.random.normal(jax.random.key(1), (6, 4, 4, 2))
SHAPES = {"k": (3, 3, 2, 3), "bk": (3,), "w": (48, 5), "b": (5,), "out": (5, 2), "b_out": (2,)}
LAYERS = {"k": ("k", "bk"), "w": ("w", "b"), "out": ("out", "b_out")}


def draw(seed, dtype="float32"):
    random = np.random.default_rng(seed)
    return {name: jnp.asarray(random.normal(size=s), dtype) for name, s in SHAPES.items()}


def cnn(params, images):
    numbers = ("NHWC", "HWIO", "NHWC")
    images = images.astype(params["k"].dtype)
    x = jax.lax.conv_general_dilated(images, params["k"], (1, 1), "SAME", dimension_numbers=numbers)
    x = jax.nn.relu(x + params["bk"]).reshape(images.shape[0], -1)
    return jax.nn.relu(x @ params["w"] + params["b"]) @ params["out"] + params["b_out"]


@functools.cache
def graph():
    return dormant.trace(cnn, draw(0), IMAGES)


@jax.jit
def measure(params, images, gradient=None):
    activations = graph().activations(params, images)
    return dormant.network_metrics(graph(), params, activations, gradient), activations


def reference_norm(tree, names):
    total = 0.0
    for name in names:
        for value in np.asarray(tree[name], np.float64).ravel():
            total += value**2
    return total**0.5


def reference_feature_norm(activation):
    lengths = []
    for row in np.asarray(activation, np.float64):
        lengths.append(sum(value**2 for value in row.ravel()) ** 0.5)
    return sum(lengths) / len(lengths)


def reference_rank(features, threshold=0.01):
    """The least k whose largest singular values sum to 1 - threshold of all, from eigenvalues."""
    features = np.asarray(features, np.float64).reshape(len(features), -1)
    eigenvalues = np.linalg.eigvalsh(features.T @ features)
    singular = sorted((max(value, 0.0) ** 0.5 for value in eigenvalues), reverse=True)
    partial = 0.0
    for k, value in enumerate(singular, start=1):
        partial += value
        if partial >= (1 - threshold) * sum(singular):
            return k
    return 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_everything_equals_the_slow_reference(dtype):
    params, gradient = draw(0, dtype), draw(1, dtype)
    metrics, activations = measure(params, IMAGES, gradient)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(metrics)} == {"float32"}
    assert set(metrics.weight_norm) == set(metrics.gradient_norm) == set(LAYERS)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5)
    for layer, names in LAYERS.items():
        close(metrics.weight_norm[layer], reference_norm(params, names))
        close(metrics.gradient_norm[layer], reference_norm(gradient, names))
    close(metrics.weight_norm_total, reference_norm(params, SHAPES))
    close(metrics.gradient_norm_total, reference_norm(gradient, SHAPES))
    assert set(metrics.feature_norm) == {"k", "w"}
    for layer, norm in metrics.feature_norm.items():
        close(norm, reference_feature_norm(activations[layer]))
    assert set(metrics.effective_rank) == {"w"}
    assert metrics.effective_rank["w"] == reference_rank(activations["w"])


def test_without_a_gradient_its_norms_are_nan():
    metrics, _ = measure(draw(0), IMAGES)
    assert np.isnan(metrics.gradient_norm_total)
    assert all(np.isnan(norm) for norm in metrics.gradient_norm.values())
    assert np.isfinite(metrics.weight_norm_total)


# -- effective rank -------------------------------------------------------------------------------


def with_singular_values(values, rows=12, columns=8):
    random = np.random.default_rng(3)
    left, _ = np.linalg.qr(random.normal(size=(rows, len(values))))
    right, _ = np.linalg.qr(random.normal(size=(columns, len(values))))
    return jnp.asarray(left * np.asarray(values, float) @ right.T, jnp.float32)


@functools.partial(jax.jit, static_argnames="threshold")
def rank_of(features, threshold=0.01):
    activations = {"k": jnp.zeros((1, 3)), "w": features}
    metrics = dormant.network_metrics(graph(), draw(0), activations, rank_threshold=threshold)
    return metrics.effective_rank["w"]


@pytest.mark.parametrize(
    "singular_values, threshold, expected",
    [
        ([5, 5, 5], 0.01, 3),
        ([97, 1, 1, 1], 0.01, 3),  # 97 + 1 + 1 is 0.99 of 100
        ([97, 1, 1, 1], 0.02, 2),
        ([97, 1, 1, 1], 0.05, 1),
        ([97, 1.5, 1, 0.5], 0.012, 3),
        ([1e-20, 1e-20], 0.01, 2),
        ([3], 0.5, 1),
    ],
)
def test_rank_of_known_singular_values(singular_values, threshold, expected):
    # A hair of slack: a sum that equals its bound may round to either side.
    features = with_singular_values(singular_values)
    assert rank_of(features, threshold + 1e-5) == expected
    assert reference_rank(features, threshold + 1e-5) == expected


def test_features_that_are_all_zero_have_rank_zero():
    assert rank_of(jnp.zeros((12, 5))) == 0


def test_features_that_are_not_finite_have_no_rank():
    assert np.isnan(rank_of(jnp.ones((12, 5)).at[2, 3].set(jnp.nan)))


@pytest.mark.parametrize("rows, expected", [(3, 3), (20, 5)])
def test_rank_is_at_most_the_batch_and_the_width(rows, expected):
    assert rank_of(jax.random.normal(KEY, (rows, 5)), 1e-6) == expected


def test_every_layer_that_an_output_layer_reads_has_a_rank():
    def dueling(params, states):
        x = jax.nn.relu(states @ params["w0"])
        value = jax.nn.relu(x @ params["w1"]) @ params["value"]
        advantage = jax.nn.relu(x @ params["w2"]) @ params["advantage"]
        return value + advantage - advantage.mean(-1, keepdims=True)

    shapes = {"w0": (3, 6), "w1": (6, 4), "w2": (6, 5), "value": (4, 1), "advantage": (5, 3)}
    params = {name: jax.random.normal(KEY, shape) for name, shape in shapes.items()}
    states = jax.random.normal(KEY, (9, 3))
    dueling_graph = dormant.trace(dueling, params, states)
    activations = dueling_graph.activations(params, states)
    metrics = dormant.network_metrics(dueling_graph, params, activations)
    assert dueling_graph.penultimate == ("w1", "w2")
    assert {name: int(rank) for name, rank in metrics.effective_rank.items()} == {
        name: reference_rank(activations[name]) for name in ("w1", "w2")
    }
    assert set(metrics.weight_norm) == set(shapes)


def test_a_kernel_used_twice_counts_once_in_the_total():
    def shared(params, states):
        x = jax.nn.relu(states @ params["w"])
        return jax.nn.relu(x @ params["w"]) @ params["out"]

    params = {"w": jnp.full((3, 3), 2.0), "out": jnp.ones((3, 1))}
    states = jnp.ones((2, 3))
    shared_graph = dormant.trace(shared, params, states)
    activations = shared_graph.activations(params, states)
    metrics = dormant.network_metrics(shared_graph, params, activations)
    assert [layer.name for layer in shared_graph.layers] == ["w"]  # one layer of two uses
    assert metrics.weight_norm["w"] == 6
    np.testing.assert_allclose(metrics.weight_norm_total, (36 + 3) ** 0.5, rtol=1e-6)


def test_members_of_an_ensemble_and_unbatched_inputs():
    def member(params, state):
        return jax.nn.relu(state @ params["w"]) @ params["out"]

    def ensemble(params, state):
        return jax.vmap(member, (0, None))(params, state)

    params = {
        "w": jnp.stack([jnp.full((3, 4), 1.0), jnp.full((3, 4), 2.0)]),
        "out": jnp.ones((2, 4, 1)),
    }
    state = jnp.ones(3)
    ensemble_graph = dormant.trace(ensemble, params, state)
    activations = ensemble_graph.activations(params, state)
    metrics = dormant.network_metrics(ensemble_graph, params, activations)
    assert {name: float(norm) for name, norm in metrics.feature_norm.items()} == {
        "w[0]": 6.0,
        "w[1]": 12.0,
    }
    np.testing.assert_allclose(metrics.weight_norm["w[1]"], 48**0.5, rtol=1e-6)
    np.testing.assert_allclose(metrics.weight_norm_total, (12 + 48 + 8) ** 0.5, rtol=1e-6)
    assert {float(rank) for rank in metrics.effective_rank.values()} == {1.0}


# -- in the tracker -------------------------------------------------------------------------------


def test_the_tracker_measures_when_it_is_due_and_keeps_the_last_values():
    params, gradient = draw(0), draw(1)
    tracker = dormant.track(graph(), period=2, score_batch=4)
    update = jax.jit(tracker.update)
    state = tracker.init(KEY)
    before = jax.tree.leaves(state.report.network)
    assert all(leaf.dtype == jnp.float32 and np.isnan(leaf) for leaf in before)
    for step, measured in ((1, False), (2, True), (3, True)):
        scaled = jax.tree.map(lambda leaf, s=step: leaf * s, gradient)
        *_, state = update(params, (), state, IMAGES, gradient=scaled)
        network = state.report.network
        assert np.isfinite(network.weight_norm_total) == measured
    expected, _ = measure(params, IMAGES[:4], jax.tree.map(lambda leaf: 2 * leaf, gradient))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), network, expected)


def test_redo_measures_nothing_of_it():
    optimizer = optax.sgd(0.1)
    redo = dormant.redo(graph(), lambda key: draw(0), optimizer)
    assert redo.init(KEY).report.network == ()


@pytest.mark.parametrize("threshold", [0, 1, -0.1, True, "0.1", None, float("nan")])
def test_a_rank_threshold_that_is_not_allowed(threshold):
    for call in (
        lambda: dormant.track(graph(), rank_threshold=threshold),
        lambda: dormant.network_metrics(graph(), draw(0), {}, rank_threshold=threshold),
    ):
        with pytest.raises(ValueError, match=r"^`rank_threshold` must be a number in \(0, 1\); "):
            call()


def test_a_gradient_of_another_structure_is_refused():
    gradient = {name: leaf for name, leaf in draw(1).items() if name != "b"}
    with pytest.raises(ValueError, match="^`gradient` must have the structure and shapes"):
        dormant.network_metrics(graph(), draw(0), {"w": jnp.ones((2, 5))}, gradient)

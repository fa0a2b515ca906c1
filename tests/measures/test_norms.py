# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Norms, changes and the deviation from isometry against loops over entries in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from dormant import measures
from dormant.measures.isometry import kernel_matrix
from tests.measures.references import norm, take
from tests.small_networks import CNN, IMAGES, MLP, STATES, cnn_graph, draw, mlp_graph

LAYERS = {"w1": ("w1", "b1"), "w2": ("w2", "b2"), "w3": ("w3", "b3")}
PREVIOUS, INITIAL, GRADIENT = (draw(MLP, seed) for seed in (1, 2, 3))


def at(seed=0, dtype="float32"):
    """What the measures are given of the MLP."""
    params = draw(MLP, seed, dtype)
    trees = dict(previous=PREVIOUS, initial=INITIAL, gradient=GRADIENT)
    trees = {name: {path: leaf.astype(dtype) for path, leaf in tree.items()}
             for name, tree in trees.items()}  # fmt: skip
    activations = mlp_graph().activations(params, STATES.astype(dtype))
    return {"params": params, "activations": activations, **trees}


def wide(tree):
    return {name: np.asarray(leaf, np.float64) for name, leaf in tree.items()}


def moved(given, names):
    now, before = wide(given["params"]), wide(given["previous"])
    return [now[name] - before[name] for name in names]


REFERENCES = {
    "weight_norm": lambda given, names: norm(*(wide(given["params"])[name] for name in names)),
    "gradient_norm": lambda given, names: norm(*(wide(given["gradient"])[name] for name in names)),
    "update_norm": lambda given, names: norm(*moved(given, names)),
    "distance_from_initialization": lambda given, names: norm(
        *(wide(given["params"])[name] - wide(given["initial"])[name] for name in names)
    ),
    "effective_learning_rate": lambda given, names: (
        norm(*(wide(given["gradient"])[name] for name in names))
        / norm(*(wide(given["params"])[name] for name in names))
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_norms_equal_the_loops(name, dtype):
    given = at(0, dtype)
    found = take(mlp_graph(), measures.CATALOG[name], **given)
    expected = {layer: REFERENCES[name](given, names) for layer, names in LAYERS.items()}
    assert found.keys() == expected.keys()
    for layer in LAYERS:
        np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-5)


@pytest.mark.parametrize("threshold", [0.5, 1.0, 2.0])
def test_stagnant_units_equal_the_loops(threshold):
    given = at()
    found = take(mlp_graph(), measures.stagnant_units(threshold), **given)
    for layer in ("w1", "w2"):
        (change,), kernel = moved(given, [layer]), wide(given["params"])[layer]
        stagnant = [
            norm(change[:, unit]) <= threshold * norm(kernel[:, unit])
            for unit in range(kernel.shape[1])
        ]
        np.testing.assert_allclose(found[layer], np.mean(stagnant), rtol=1e-6)


def test_the_catalog_has_the_norms_of_network_metrics():
    given = at()
    metrics = dormant.network_metrics(
        mlp_graph(), given["params"], given["activations"], given["gradient"]
    )
    for name in ("feature_norm", "weight_norm", "gradient_norm"):
        found = take(mlp_graph(), measures.CATALOG[name], **given)
        assert found == {layer: float(value) for layer, value in getattr(metrics, name).items()}
    found = take(mlp_graph(), measures.srank(), **given)
    assert found == {layer: float(rank) for layer, rank in metrics.effective_rank.items()}


def test_a_change_in_one_layer_is_seen_there_alone():
    given = at() | {"previous": at()["params"], "initial": at()["params"]}
    given["params"] = given["params"] | {"b2": given["params"]["b2"] + 1.0}
    for name in ("update_norm", "distance_from_initialization"):
        found = take(mlp_graph(), measures.CATALOG[name], **given)
        assert found["w1"] == found["w3"] == 0
        np.testing.assert_allclose(found["w2"], 5**0.5, rtol=1e-6)
    # Biases are no part of a unit's kernel.
    assert take(mlp_graph(), measures.stagnant_units(), **given) == {"w1": 1.0, "w2": 1.0}


@pytest.mark.parametrize(
    "name, absent",
    [
        ("gradient_norm", "gradient"),
        ("effective_learning_rate", "gradient"),
        ("update_norm", "previous"),
        ("stagnant_units", "previous"),
        ("distance_from_initialization", "initial"),
    ],
)
def test_what_is_not_given_makes_nan_and_so_does_nan(name, absent):
    measure = measures.CATALOG[name]
    found = take(mlp_graph(), measure, **at() | {absent: None})
    assert found and all(np.isnan(value) for value in found.values())
    broken = at()
    broken[absent] = broken[absent] | {"w1": broken[absent]["w1"] * np.nan}
    found = take(mlp_graph(), measure, **broken)
    assert np.isnan(found["w1"]) and np.isfinite(found["w2"])


def test_weights_that_are_all_zero_have_no_effective_learning_rate():
    given = at()
    given["params"] = given["params"] | {"w1": np.zeros((3, 4)), "b1": np.zeros(4)}
    found = take(mlp_graph(), measures.effective_learning_rate(), **given)
    assert np.isnan(found["w1"]) and np.isfinite(found["w2"])


def isometry(kernel):
    """The loops over the columns, or of a wide kernel over the rows."""
    kernel = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
    kernel = kernel.T if kernel.shape[1] > kernel.shape[0] else kernel
    total = 0.0
    for i in range(kernel.shape[1]):
        for j in range(kernel.shape[1]):
            total += (kernel[:, i] @ kernel[:, j] - (i == j)) ** 2
    return total


def test_deviation_from_isometry():
    measure = measures.deviation_from_isometry()
    for graph, shapes, inputs in ((mlp_graph(), MLP, STATES), (cnn_graph(), CNN, IMAGES)):
        params = draw(shapes, 0)
        found = take(graph, measure, params, graph.activations(params, inputs))
        assert set(found) == {"w1", "w2", "w3"} or set(found) == {"k1", "k2", "w3", "w4"}
        for name, value in found.items():
            np.testing.assert_allclose(value, isometry(params[name]), rtol=1e-5)
    params = draw(MLP, 0)
    params["w2"] = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 4)))[0].T
    found = take(mlp_graph(), measure, params, {})
    assert found["w2"] < 1e-10 < found["w1"]
    params["w2"][0, 0] = np.nan
    assert np.isnan(take(mlp_graph(), measure, params, {})["w2"])


def test_a_member_of_an_ensemble_has_its_own_kernel():
    def ensemble(params, state):
        hidden = jax.nn.relu(jnp.einsum("i,mij->mj", state, params["w"]))
        return jnp.einsum("mj,mjk->mk", hidden, params["out"])

    shapes = {"w": (2, 3, 4), "out": (2, 4, 1)}
    params = {name: jax.random.normal(jax.random.key(0), shape) for name, shape in shapes.items()}
    graph = dormant.trace(ensemble, params, jnp.ones(3))
    leaves = graph.parameters.leaves("params", params)
    matrices = {name: kernel_matrix(leaves, entries) for name, entries in graph.incoming.items()}
    own = [matrix for name, matrix in matrices.items() if name.startswith("w")]
    assert own
    for matrix, member in zip(own, params["w"], strict=True):
        np.testing.assert_array_equal(matrix, member)


def test_a_threshold_that_is_not_allowed():
    with pytest.raises(ValueError, match="^`threshold` must be a number >= 0; got -0.1"):
        measures.stagnant_units(-0.1)


def test_of_an_ensemble_every_member_is_compared_by_itself():
    """Heads of different members need not be orthogonal to one another."""
    random = np.random.default_rng(0)
    shapes = {"w": (3, 4, 6), "out": (3, 6, 2)}
    stacked = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}

    def member(params, states):
        return jax.nn.relu(states @ params["w"]) @ params["out"]

    graph = dormant.trace(jax.vmap(member, (0, None)), stacked, jnp.ones((5, 4)))
    measure = measures.deviation_from_isometry()
    found = measure.measure(graph, measures.MeasureInputs(stacked, (), {}))
    wanted = [isometry(each.astype(np.float64)) for each in stacked["w"]]
    np.testing.assert_allclose([found[f"w[{number}]"] for number in range(3)], wanted, rtol=1e-5)
    heads = sum(isometry(each.astype(np.float64)) for each in stacked["out"])
    np.testing.assert_allclose(found["out"], heads, rtol=1e-5)

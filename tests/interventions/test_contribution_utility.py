# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Continual backprop's utility against loops in float64 and the released formula (figure 25).
E|h - E h| sum|w_out| / sum|w_in| for each neuron, over the layer's mean of the same."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant

KEY = jax.random.key(0)
STATES = jax.random.normal(jax.random.key(1), (12, 3))


def draw(shapes, seed=0):
    random = np.random.default_rng(seed)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def utility(graph, params, *inputs):
    @jax.jit
    def score(params, inputs):
        activations = graph.activations(params, *inputs)
        return dormant.parts.contribution_utility(graph, params, activations), activations

    scores, activations = score(params, inputs)
    assert all(score.dtype == jnp.float32 for score in scores.values())
    return {name: np.asarray(score) for name, score in scores.items()}, activations


def relative(values):
    values = np.asarray(values, np.float64)
    return values / values.mean()


def spread(activation):
    """E|h - E h| of every neuron, neuron by neuron."""
    activation = np.asarray(activation, np.float64)
    columns = [activation[..., neuron].ravel() for neuron in range(activation.shape[-1])]
    return np.array([np.abs(column - column.mean()).mean() for column in columns])


def absolute(array, axes):
    return np.abs(np.asarray(array, np.float64)).sum(axes)


def mlp(params, states):
    x = jnp.tanh(states @ params["w1"] + params["b1"])
    return jax.nn.relu(x @ params["w2"]) @ params["w3"]


MLP = {"w1": (3, 4), "b1": (4,), "w2": (4, 5), "w3": (5, 2)}


def test_dense_layers():
    params = draw(MLP)
    graph = dormant.trace(mlp, params, STATES)
    scores, activations = utility(graph, params, STATES)
    for layer, reader in (("w1", "w2"), ("w2", "w3")):
        weights = absolute(params[reader], 1) / absolute(params[layer], 0)
        expected = relative(spread(activations[layer]) * weights)
        np.testing.assert_allclose(scores[layer], expected, rtol=1e-5)


def test_behind_a_flatten_it_is_the_released_formula():
    """The released code reshapes the dense kernel to the activation's shape, channels last."""

    def cnn(params, images):
        x = jax.lax.conv_general_dilated(
            images, params["k"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x)
        return jax.nn.relu(x.reshape(x.shape[0], -1) @ params["w"]) @ params["out"]

    params = draw({"k": (3, 3, 2, 4), "w": (3 * 2 * 4, 6), "out": (6, 2)})
    images = jax.random.normal(KEY, (5, 6, 4, 2))
    graph = dormant.trace(cnn, params, images)
    scores, activations = utility(graph, params, images)
    released_rows = params["w"].reshape(activations["k"].shape[1:] + (-1,))  # (3, 2, 4, 6)
    weights = absolute(released_rows, (0, 1, 3)) / absolute(params["k"], (0, 1, 2))
    expected = spread(activations["k"]) * weights
    np.testing.assert_allclose(scores["k"], relative(expected), rtol=1e-5)
    assert np.argsort(scores["k"]).tolist() == np.argsort(expected).tolist()


def test_the_weights_of_all_readers_count():
    def dueling(params, states):
        x = jax.nn.relu(states @ params["trunk"])
        return x @ params["value"] + x @ params["advantage"]

    params = draw({"trunk": (3, 4), "value": (4, 1), "advantage": (4, 2)})
    graph = dormant.trace(dueling, params, STATES)
    scores, activations = utility(graph, params, STATES)
    outgoing = absolute(params["value"], 1) + absolute(params["advantage"], 1)
    expected = spread(activations["trunk"]) * outgoing / absolute(params["trunk"], 0)
    np.testing.assert_allclose(scores["trunk"], relative(expected), rtol=1e-5)


def test_means_and_deviations_of_a_noisy_layer_count():
    def noisy(params, states, key):
        kernel = params["w"]["mu"] + params["w"]["sigma"] * jax.random.normal(key, (3, 4))
        return jax.nn.relu(states @ kernel) @ params["out"]

    params = {"w": draw({"mu": (3, 4), "sigma": (3, 4)}), "out": draw({"out": (4, 2)})["out"]}
    graph = dormant.trace(noisy, params, STATES, KEY)
    scores, activations = utility(graph, params, STATES, KEY)
    incoming = absolute(params["w"]["mu"], 0) + absolute(params["w"]["sigma"], 0)
    expected = spread(activations["w"]) * absolute(params["out"], 1) / incoming
    np.testing.assert_allclose(scores["w"], relative(expected), rtol=1e-5)


def test_members_of_an_ensemble_are_scored_by_themselves():
    def ensemble(params, states):
        return jax.vmap(mlp, (0, None))(params, states)

    members = [draw(MLP, seed) for seed in (0, 1)]
    params = {name: np.stack([member[name] for member in members]) for name in MLP}
    scores, _ = utility(dormant.trace(ensemble, params, STATES), params, STATES)
    single = dormant.trace(mlp, members[0], STATES)
    for number, member in enumerate(members):
        alone, _ = utility(single, member, STATES)
        for layer in ("w1", "w2"):
            np.testing.assert_allclose(scores[f"{layer}[{number}]"], alone[layer], rtol=1e-5)


def test_neurons_that_do_not_vary_or_are_not_read_score_exactly_zero():
    params = draw(MLP)
    params["w1"][:, 1], params["b1"][1] = 0, 0.1  # constant; its mean need not be 0.1 exactly
    params["w2"][2, :] = 0  # nothing reads it
    scores, activations = utility(dormant.trace(mlp, params, STATES), params, STATES)
    assert np.all(np.asarray(activations["w1"])[:, 1] != 0)
    assert np.flatnonzero(scores["w1"] == 0).tolist() == [1, 2]
    assert np.isfinite(scores["w1"]).all()
    np.testing.assert_allclose(scores["w1"].mean(), 1, rtol=1e-6)


def test_a_layer_without_any_utility_scores_zero():
    params = draw(MLP)
    params["w3"][:] = 0
    scores, _ = utility(dormant.trace(mlp, params, STATES), params, STATES)
    assert scores["w2"].tolist() == [0] * 5


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_activations_neither_overflow_nor_vanish(scale):
    params = draw(MLP)
    graph = dormant.trace(mlp, params, STATES)
    activation = np.float32(np.random.default_rng(0).normal(size=(12, 5)))
    found = dormant.parts.contribution_utility(
        graph, params, {"w2": jnp.asarray(scale * activation)}
    )
    weights = absolute(params["w3"], 1) / absolute(params["w2"], 0)
    np.testing.assert_allclose(found["w2"], relative(spread(activation) * weights), rtol=1e-4)


def test_a_layer_without_readers_is_refused_by_name():
    params = {name: jnp.asarray(array) for name, array in draw(MLP).items()}

    def measure(params, states):
        return {"w1": jnp.tanh(states @ params["w1"])}

    graph = dormant.manual_graph(params, measure, {"w1": (["w1"], [])})
    activations = graph.activations(params, STATES)
    with pytest.raises(ValueError, match="the score needs .* got 'w1' without outgoing ones$"):
        dormant.parts.contribution_utility(graph, params, activations)


def test_redo_compares_tau_with_the_utility():
    params = draw(MLP)
    graph = dormant.trace(mlp, params, STATES)
    scores, _ = utility(graph, params, STATES)
    optimizer = optax.sgd(0.1)
    redo = dormant.redo(
        graph,
        lambda key: draw(MLP, 5),
        optimizer,
        0.6,
        1,
        score=dormant.parts.contribution_utility,
    )
    *_, state = jax.jit(redo.update)(params, optimizer.init(params), redo.init(KEY), STATES)
    assert any((score <= 0.6).any() for score in scores.values())
    for layer, score in scores.items():
        np.testing.assert_array_equal(state.masks[layer], score <= 0.6)
    # The report stays one of dormancy, which is another set.
    activity = dormant.dormancy_scores(graph.activations(params, STATES))
    tenth = np.flatnonzero(state.report.taus == np.float32(0.1)).item()
    np.testing.assert_array_equal(state.dormant["w2"][tenth], activity["w2"] <= 0.1)

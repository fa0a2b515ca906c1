# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Scores that read gradients, and variability: against NumPy in float64, and end to end.
The gradient of a pre-activation is held against finite differences of the loss."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import parts

KEY = jax.random.key(0)
STATES = jax.random.normal(jax.random.key(1), (6, 3))
IMAGES = jax.random.normal(jax.random.key(2), (4, 6, 6, 2))
ADAM = optax.adam(1e-2)


def mlp(params, states):
    x = jnp.tanh(states @ params["w1"] + params["b1"])
    return jax.nn.softplus(x @ params["w2"]) @ params["w3"]


@jax.jit
def init(key):
    one, two, three = (
        jax.random.normal(k, s) for k, s in zip(jax.random.split(key, 3), SHAPES, strict=True)
    )
    return {"w1": one, "b1": jnp.full(5, 0.1), "w2": two, "w3": three}


SHAPES = ((3, 5), (5, 4), (4, 2))
PARAMS = init(KEY)
GRAPH = dormant.trace(mlp, PARAMS, STATES)


def loss(outputs):
    return jnp.mean(jnp.square(outputs - 1.0))


def numpy_loss(first, second):
    """The loss in float64 with something added to the pre-activations of both layers."""
    w1, b1, w2, w3 = (np.asarray(PARAMS[name], np.float64) for name in ("w1", "b1", "w2", "w3"))
    x = np.tanh(np.asarray(STATES, np.float64) @ w1 + b1 + first)
    outputs = np.logaddexp(0, x @ w2 + second) @ w3
    return np.mean((outputs - 1.0) ** 2)


def finite_differences():
    added = {"w1": np.zeros((6, 5)), "w2": np.zeros((6, 4))}
    found = {name: np.zeros_like(zeros) for name, zeros in added.items()}
    for name, zeros in added.items():
        for place in np.ndindex(zeros.shape):
            for sign in (1, -1):
                zeros[place] = sign * 1e-5
                found[name][place] += sign * numpy_loss(*added.values()) / 2e-5
            zeros[place] = 0
    return found


@jax.jit
def gradients_of(params):
    return GRAPH.pre_activation_gradients(loss, params, STATES)


def test_gradients_of_pre_activations_are_finite_differences_of_the_loss():
    found, expected = gradients_of(PARAMS), finite_differences()
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=2e-4, atol=1e-6)


class Network(nn.Module):
    """A convolution, a layer used twice, a normalization, and a dictionary of outputs."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3))(x)).reshape(x.shape[0], -1)
        twice = nn.Dense(7)
        x = jnp.tanh(nn.LayerNorm()(twice(x))) + jnp.tanh(twice(2 * x))
        return {"values": nn.Dense(3)(x), "name": None}


def test_they_sum_up_to_the_gradient_of_the_bias():
    network = Network()
    params = jax.jit(network.init)(KEY, IMAGES)
    graph = dormant.trace(network.apply, params, IMAGES)

    def of_outputs(outputs):
        return loss(outputs["values"])

    @jax.jit
    def measured(params):
        gradients = (
            each.pre_activation_gradients(of_outputs, params, IMAGES)
            for each in (graph, graph.select(("Dense_0",)))
        )
        gradient = jax.grad(lambda params: of_outputs(network.apply(params, IMAGES)))(params)
        return *gradients, graph.activations(params, IMAGES), gradient

    found, only, activations, gradient = measured(params)
    for name, each in found.items():
        assert each.shape == activations[name].shape
        summed = np.asarray(each).sum(tuple(range(each.ndim - 1)))
        np.testing.assert_allclose(summed, gradient["params"][name]["bias"], atol=1e-6)
    np.testing.assert_array_equal(only["Dense_0"], found["Dense_0"])
    assert only.keys() == {"Dense_0"}


def test_a_graph_without_them_says_why():
    manual = dormant.manual_graph(
        PARAMS, lambda params, states: {}, {"w1": (["w1", "b1"], ["w2"])}, output_layers=["w3"]
    )
    for graph in (manual, manual.select(("w1",))):
        with pytest.raises(ValueError, match="`graph` must be one that `dormant.trace` made"):
            graph.pre_activation_gradients(loss, PARAMS, STATES)

    def recurrent(params, states):
        def step(carry, state):
            return jnp.tanh(carry @ params["u"] + state @ params["w1"]), carry

        return jax.lax.scan(step, jnp.zeros(5), states)[0] @ params["w2"]

    params = PARAMS | {"u": jnp.eye(5)}
    graph = dormant.trace(recurrent, params, STATES)
    with pytest.raises(ValueError, match="loops and branches.*w1"):
        graph.pre_activation_gradients(loss, params, STATES)


def scores_of(score, **gradients):
    needs = {name: gradients[name] for name in score.needs}

    @jax.jit
    def measured(needs):
        inputs = parts.ScoreInputs(PARAMS, GRAPH.activations(PARAMS, STATES), **needs)
        return score.measure(GRAPH, inputs, score.init(GRAPH))[0]

    return measured(needs)


def relative(values):
    return values / values.mean()


def test_grama_of_pre_activations():
    gradients = gradients_of(PARAMS)
    found = scores_of(parts.gradient_score(), pre_activation_gradients=gradients)
    for name, expected in finite_differences().items():
        np.testing.assert_allclose(found[name], relative(np.abs(expected).mean(0)), rtol=1e-3)


def test_grama_of_weights():
    gradient = jax.jit(jax.grad(lambda params: loss(mlp(params, STATES))))(PARAMS)
    found = scores_of(parts.gradient_score("weights"), gradient=gradient)
    for name in ("w1", "w2"):
        expected = relative(np.abs(np.asarray(gradient[name], np.float64)).mean(0))
        np.testing.assert_allclose(found[name], expected, rtol=1e-5)


def test_variability_tells_saturated_from_varying():
    activations = {"w1": jnp.asarray([[1.0, 0.9, 0.0], [1.0, -0.9, 0.1], [1.0, 0.9, 0.0]])}
    found = parts.variability_score(GRAPH, PARAMS, activations)["w1"]
    deviations = np.asarray(activations["w1"], np.float64).std(0)
    np.testing.assert_allclose(found, relative(deviations), rtol=1e-6)
    assert found[0] == 0 and dormant.dormancy_scores(activations)["w1"][0] > 1
    tiny = parts.variability_score(GRAPH, PARAMS, {"w1": activations["w1"] * 1e-30})["w1"]
    np.testing.assert_allclose(tiny, found, rtol=1e-5)


def test_regrama_recycles_what_gets_no_gradient_and_only_computes_it_when_due():
    # Nothing reads neuron 2 of the second layer, so that it gets no gradient, though it is active.
    params = PARAMS | {"w3": PARAMS["w3"].at[2].set(0)}
    calls = []

    def gradients(graph):
        jax.debug.callback(lambda: calls.append(1))
        return graph.pre_activation_gradients(loss, params, STATES)

    regrama = dormant.interventions.regrama(GRAPH, init, ADAM, 1e-6, 2)
    state, opt_state = regrama.init(KEY), ADAM.init(params)

    @jax.jit
    def update(params, opt_state, state):
        return regrama.update(params, opt_state, state, STATES, pre_activation_gradients=gradients)

    for step in range(1, 5):
        new, opt_state, state = update(params, opt_state, state)
        jax.effects_barrier()
        assert len(calls) == step // 2
        assert np.array_equal(new["w2"], params["w2"]) == bool(step % 2)
    assert state.masks["w2"].tolist() == [False, False, True, False]
    assert not state.masks["w1"].any()


def test_a_missing_gradient_is_named():
    regrama = dormant.interventions.regrama(GRAPH, init, ADAM, of="weights")
    arguments = (PARAMS, ADAM.init(PARAMS), regrama.init(KEY), STATES)
    with pytest.raises(ValueError, match="`gradient` must be given to `update`"):
        regrama.update(*arguments)
    with pytest.raises(ValueError, match="got 'gradients'"):
        regrama.update(*arguments, gradients=PARAMS)
    with pytest.raises(ValueError, match="`of` must be .*'weights'.*got 'weight'"):
        parts.gradient_score("weight")
    every = dormant.interventions.regrama(GRAPH, init, ADAM)
    with pytest.raises(ValueError, match="`pre_activation_gradients` must be of w2 too"):
        one = {"w1": jnp.ones((6, 5))}
        every.update(
            PARAMS, ADAM.init(PARAMS), every.init(KEY), STATES, pre_activation_gradients=one
        )


def test_the_optax_face_passes_them_on():
    params = PARAMS | {"w3": PARAMS["w3"].at[2].set(0)}
    regrama = dormant.interventions.regrama(GRAPH, init, ADAM, 1e-6, 1)
    tx = dormant.as_transformation(ADAM, regrama, KEY)

    @jax.jit
    def update(params, state):
        return tx.update(
            jax.tree.map(jnp.zeros_like, params),
            state,
            params,
            inputs=STATES,
            pre_activation_gradients=lambda graph: graph.pre_activation_gradients(
                loss, params, STATES
            ),
        )

    _, state = update(params, tx.init(params))
    assert state.intervention.masks["w2"].tolist() == [False, False, True, False]


@jax.custom_vjp
def spike(x):
    """A step with the gradient of something smooth."""
    return (x > 0).astype(x.dtype)


spike.defvjp(lambda x: (spike(x), x), lambda x, g: (g / (1 + x * x),))


def test_a_gradient_of_its_own_that_is_not_followed_is_warned_of():
    params = {"first": jnp.ones((3, 4)), "head": jnp.ones((4, 2))}
    states = jnp.ones((5, 3))
    graph = dormant.trace(lambda p, x: spike(x @ p["first"]) @ p["head"], params, states)
    with pytest.warns(UserWarning, match="custom_vjp`: spike at "):
        graph.pre_activation_gradients(jnp.sum, params, states)

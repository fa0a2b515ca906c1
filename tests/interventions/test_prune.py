# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Pruning for good: pruned entries are 0 after every gradient step, and outputs did not change.
The networks train, with gradients that would move every pruned entry if they were left alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from tests.small_networks import init_residual, residual_graph

KEY = jax.random.key(3)
STATES = jax.random.normal(jax.random.key(4), (8, 3))
TARGETS = jax.random.normal(jax.random.key(5), (8, 2))
ACTIVATIONS = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "leaky_relu": jax.nn.leaky_relu}
OPTIMIZERS = {
    "adam": optax.adam(1e-2),
    "sgd + momentum": optax.sgd(1e-2, momentum=0.9),
    "adamw": optax.adamw(1e-2, weight_decay=0.1),
    "MultiSteps": optax.MultiSteps(optax.adam(1e-2), every_k_schedule=2),
}


def network(silent=(1, 3)):
    """3-5-2; with ReLU the given neurons are silent, but their outgoing weights are not 0."""
    random = np.random.default_rng(0)
    params = {
        "w1": np.abs(random.normal(size=(3, 5))),
        "b1": random.normal(size=5),
        "w2": random.normal(size=(5, 2)),
        "b2": random.normal(size=2),
    }
    params["w1"][:, list(silent)], params["b1"][list(silent)] = 0, -1
    return {name: jnp.asarray(array, jnp.float32) for name, array in params.items()}


@functools.cache
def mlp(activation):
    def apply(params, states):
        x = ACTIVATIONS[activation](states @ params["w1"] + params["b1"])
        return x @ params["w2"] + params["b2"]

    return apply


@functools.cache
def graph(activation="relu"):
    return dormant.trace(mlp(activation), network(), STATES)


def trainer(prune, optimizer, activation="relu", score=True):
    def step(params, opt_state, state):
        loss = lambda p: jnp.mean((mlp(activation)(p, STATES) - TARGETS) ** 2)  # noqa: E731
        # Gradients of 1 more: nothing stays where it is on its own.
        gradient = jax.tree.map(lambda leaf: leaf + 1.0, jax.grad(loss)(params))
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        inputs = (STATES,) if score else ()
        return prune.update(optax.apply_updates(params, updates), opt_state, state, *inputs)

    return jax.jit(step)


def entries(params, neurons):
    """What feeds and what reads the given neurons."""
    w1, b1, w2 = (np.asarray(params[name]) for name in ("w1", "b1", "w2"))
    picked = list(neurons)
    return np.concatenate([w1[:, picked].ravel(), b1[picked], w2[picked].ravel()])


@pytest.mark.parametrize(
    "optimizer, activation",
    [(name, "relu") for name in OPTIMIZERS] + [("adam", "sigmoid"), ("adam", "leaky_relu")],
)
def test_pruned_entries_stay_zero_whatever_the_activation_and_the_optimizer(optimizer, activation):
    optimizer = OPTIMIZERS[optimizer]
    prune = dormant.prune(graph(activation), optimizer, 0.95, period=100)
    params = network()
    opt_state, state = optimizer.init(params), prune.init(KEY)._replace(step=jnp.int32(99))
    params, opt_state, state = jax.jit(prune.update)(params, opt_state, state, STATES)
    pruned = np.flatnonzero(state.action["w1"])
    kept = np.flatnonzero(~state.action["w1"])
    assert 0 < len(pruned) < 5
    step = trainer(prune, optimizer, activation, score=False)
    for _ in range(4):
        before = params
        params, opt_state, state = step(params, opt_state, state)
        assert np.all(entries(params, pruned) == 0)
        assert int(state.report.recycled_total) == len(pruned)
    if not isinstance(optimizer, optax.MultiSteps):
        assert np.all(entries(params, kept) != entries(before, kept))


def test_at_tau_zero_the_outputs_do_not_change():
    optimizer = OPTIMIZERS["adam"]
    params, apply = network(), jax.jit(mlp("relu"))
    prune = dormant.prune(graph(), optimizer, period=1)
    _, opt_state = jax.jit(optimizer.update)(params, optimizer.init(params))
    new, new_opt_state, state = jax.jit(prune.update)(params, opt_state, prune.init(KEY), STATES)
    assert np.flatnonzero(state.masks["w1"]).tolist() == [1, 3]
    assert np.all(np.asarray(params["w2"])[[1, 3]] != 0)
    assert np.all(entries(new, (1, 3)) == 0)
    np.testing.assert_array_equal(entries(new, (0, 2, 4)), entries(params, (0, 2, 4)))
    outputs = [np.asarray(apply(p, STATES)).tobytes() for p in (params, new)]
    assert outputs[0] == outputs[1]
    for moment in (new_opt_state[0].mu, new_opt_state[0].nu):
        assert np.all(entries(moment, (1, 3)) == 0)
        assert np.all(np.asarray(moment["w2"])[[0, 2, 4]] != 0)


def test_neurons_are_counted_once_and_join_those_pruned_before():
    optimizer = optax.sgd(0.0)
    prune = dormant.prune(graph(), optimizer, period=1)
    update, state = jax.jit(prune.update), prune.init(KEY)
    params, opt_state = network(silent=(1,)), optimizer.init(network())
    params, opt_state, state = update(params, opt_state, state, STATES)
    assert state.masks["w1"].tolist() == [False, True, False, False, False]
    fifth = np.arange(5) == 4
    params = params | {
        "w1": np.where(fifth, np.float32(0), params["w1"]),
        "b1": np.where(fifth, np.float32(-1), params["b1"]),
    }
    params, opt_state, state = update(params, opt_state, state, STATES)
    assert state.masks["w1"].tolist() == [False, False, False, False, True]
    assert state.action["w1"].tolist() == [False, True, False, False, True]
    params, opt_state, state = update(params, opt_state, state, STATES)
    assert not state.masks["w1"].any() and int(state.report.recycled["w1"]) == 0
    assert int(state.report.recycled_total) == 2
    assert state.report.by_layer["w1"][0] == np.float32(0.4)


def test_a_pruned_run_equals_one_whose_gradients_are_masked():
    """With plain SGD, where nothing else can move an entry."""
    optimizer = optax.sgd(0.05)
    prune = dormant.intervene(
        graph(),
        selection=dormant.parts.below_threshold(0.0),
        action=dormant.parts.pruning(graph(), optimizer),
        when=dormant.parts.every(1, end=2),
    )
    params, opt_state = network(), optimizer.init(network())
    params, opt_state, state = jax.jit(prune.update)(params, opt_state, prune.init(KEY), STATES)
    alive = jnp.asarray([True, False, True, False, True])
    mask = {"w1": alive[None, :], "b1": alive, "w2": alive[:, None], "b2": True}
    expected, step = params, trainer(prune, optimizer)

    @jax.jit
    def masked_step(params):
        loss = lambda p: jnp.mean((mlp("relu")(p, STATES) - TARGETS) ** 2)  # noqa: E731
        gradient = jax.tree.map(lambda leaf, m: (leaf + 1.0) * m, jax.grad(loss)(params), mask)
        return jax.tree.map(lambda leaf, g: leaf - 0.05 * g, params, gradient)

    for _ in range(5):
        params, opt_state, state = step(params, opt_state, state)
        expected = masked_step(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(params[name], array, rtol=1e-4, atol=1e-6)


def test_layers_with_an_obstacle_are_left_alone():
    params, stream = init_residual(KEY), residual_graph()
    prune = dormant.prune(stream, optax.sgd(0.1), 1e9, period=1)
    update = jax.jit(prune.update)
    new, _, state = update(params, optax.sgd(0.1).init(params), prune.init(KEY), STATES)
    assert set(state.action) == {"w2"} and state.masks["w2"].all() and not state.masks["w1"].any()
    assert (new["w1"] == params["w1"]).all() and (new["w4"] == params["w4"]).all()


def test_pruning_has_no_counterpart_in_a_copy_of_the_network():
    assert dormant.parts.pruning(graph(), optax.sgd(0.1)).mirror is None


@pytest.mark.parametrize(
    "options, named, value",
    [
        ({"tau": -1}, "`tau`", "-1"),
        ({"period": 0}, "`period`", "0"),
        ({"optimizer": "adam"}, "`optimizer`", "'adam'"),
        ({"graph": 3}, "`graph`", "3"),
    ],
)
def test_errors_name_the_input_and_end_with_the_value(options, named, value):
    with pytest.raises(ValueError) as error:
        dormant.prune(**({"graph": graph(), "optimizer": optax.sgd(0.1)} | options))
    assert str(error.value).startswith(named) and str(error.value).endswith(f"got {value}")

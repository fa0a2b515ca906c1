# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Notes of a graph: where running statistics are among the inputs, and what only looks like it."""

import warnings

import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import optax
import pytest

import dormant
from tests.traced_networks import Network

X = jax.random.normal(jax.random.key(0), (8, 5))
KEY = jax.random.key(1)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Dense(16)(x)))
        return nn.Dense(3)(nn.relu(nn.Dense(4)(x)))


class Images(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=True)(nn.Conv(4, (3, 3))(x))
        return nn.Dense(3)(nn.relu(x).mean((1, 2)))


def split(net, x):
    """A graph of the parameters, with the statistics among the inputs."""
    variables = net.init(KEY, x)

    def apply(params, batch_stats, x):
        return net.apply({"params": params, "batch_stats": batch_stats}, x)

    return dormant.trace(apply, variables["params"], variables["batch_stats"], x)


def two_layers(function, *inputs):
    """Graph of a network whose hidden layer is `function(x @ w, *inputs)`."""
    params = {"first": {"w": jnp.zeros((5, 6))}, "second": {"w": jnp.zeros((6, 2))}}

    def apply(params, x, *inputs):
        return nn.relu(function(x @ params["first"]["w"], *inputs)) @ params["second"]["w"]

    return dormant.trace(apply, params, X, *inputs)


@pytest.mark.parametrize(
    ("net", "x", "name"),
    [
        (Net(), X, "Dense_0"),
        (Net(), X[:1], "Dense_0"),
        (Images(), jnp.zeros((1, 6, 6, 2)), "Conv_0"),
    ],
    ids=["dense", "a batch of one", "convolution"],
)
def test_statistics_among_the_inputs_are_noted(net, x, name):
    graph = split(net, x)
    assert [layer.name for layer in graph.layers if layer.note] == [name]
    (note,) = graph.notes
    assert note.startswith(f"{name}: an input without a batch axis scales or shifts")
    assert str(graph).splitlines()[-1] == f"note: {note}"


def test_haikus_state_among_the_inputs_is_noted():
    def network(x, is_training=False):
        x = hk.BatchNorm(True, True, 0.9)(hk.Linear(16)(x), is_training)
        return hk.Linear(3)(jax.nn.relu(x))

    net = hk.without_apply_rng(hk.transform_with_state(network))
    params, state = net.init(KEY, X, True)
    graph = dormant.trace(lambda p, s, x: net.apply(p, s, x)[0], params, state, X)
    assert graph["linear"].note
    assert not dormant.trace(lambda v, x: net.apply(*v, x)[0], (params, state), X).notes


def test_all_variables_as_parameters_have_no_note():
    graph = dormant.trace(Net().apply, Net().init(KEY, X), X)
    assert graph.notes == ()
    assert "note" not in str(graph)


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda h, scale, shift: h * scale + shift, (jnp.ones((8, 6)), jnp.ones((8, 6)))),
        (lambda h, scale: h * scale, (jnp.ones(()),)),
        (lambda h, scale: h * scale, (jnp.ones((8, 1)),)),
        (lambda h, position: h + position, (jnp.ones((8, 6)),)),
        (lambda h, mask: jnp.where(mask, h, 0), (jnp.ones(6, bool),)),
        (lambda h, limit: jnp.where(limit > 0, h, 0), (jnp.ones(6),)),
        (lambda h, mask: h * mask, (jnp.ones(6, bool),)),
    ],
    ids=[
        "FiLM by a batch",
        "a scalar",
        "a weight for each row",
        "an input like the layer",
        "a mask",
        "a limit",
        "a factor of 0 or 1",
    ],
)
def test_other_inputs_are_not_noted(function, inputs):
    assert two_layers(function, *inputs).notes == ()


def test_an_input_of_one_number_for_each_neuron_is_noted():
    assert two_layers(lambda h, scale: h / jnp.sqrt(scale + 1e-3), jnp.ones(6)).notes


def test_a_value_without_a_batch_tells_nothing():
    net = Network(lambda c, x: nn.Dense(2)(nn.relu(c * nn.sigmoid(nn.Dense(6)(x)))))
    params = net.init(KEY, jnp.ones(6), X[0])
    assert dormant.trace(net.apply, params, jnp.ones(6), X[0]).notes == ()


def test_normalized_observations_are_not_noted():
    net = Network(lambda mean, std, x: nn.Dense(2)(nn.relu(nn.Dense(6)((x - mean) / std))))
    inputs = jnp.zeros(5), jnp.ones(5), X
    assert dormant.trace(net.apply, net.init(KEY, *inputs), *inputs).notes == ()


def test_redo_warns_of_a_layer_that_it_recycles_and_of_no_other():
    graph = split(Net(), X)

    def make(graph):
        return dormant.redo(graph, lambda key: Net().init(key, X)["params"], optax.adam(1e-3))

    with pytest.warns(UserWarning, match="^Dense_0: an input without a batch axis") as found:
        make(graph)
    assert len(found) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(graph.select(["Dense_2"]))


class Quantiles(nn.Module):
    """A state, and quantiles that are embedded beside it, as in IQN."""

    @nn.compact
    def __call__(self, x, key):
        drawn = jax.random.uniform(key, (len(x), 3))
        embedded = nn.relu(nn.Dense(6, name="quantile")(jnp.cos(drawn)))
        return nn.Dense(2)(nn.relu(nn.Dense(6, name="state")(x)) * embedded)


def test_a_layer_of_what_a_function_closes_over_is_said_to_be_none():
    params = Quantiles().init(KEY, X, KEY)

    def closed(params, x):
        return Quantiles().apply(params, x, KEY)

    with pytest.warns(UserWarning, match="params/quantile/kernel multiply constants alone"):
        assert dormant.trace(closed, params, X).names == ("state",)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(dormant.trace(Quantiles().apply, params, X, KEY).names) == {"state", "quantile"}

    def all_closed(params):
        return closed(params, X)

    with pytest.raises(dormant.TraceError, match="must have a hidden layer.*closes over, an input"):
        dormant.trace(all_closed, params)


def test_positions_that_are_only_added_are_no_layer_that_is_missed():
    def apply(params, x):
        places = jax.nn.one_hot(jnp.arange(8), 8) @ params["places"]
        table = jax.image.resize(params["table"], (8, 5), "linear")
        return nn.relu((x + places + table) @ params["w"]) @ params["out"]

    shapes = {"places": (8, 5), "table": (4, 5), "w": (5, 6), "out": (6, 2)}
    params = {name: jnp.ones(shape) for name, shape in shapes.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dormant.trace(apply, params, X).names == ("w",)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Parameters and optimizer states in other wrappings: `flax.nnx`, and what is refused.
One network of six hidden neurons, whose parameters are also called `value` as nnx's own arrays."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

import dormant
from tests.interventions.test_moments import SHAPES
from tests.small_networks import draw, mlp_graph, same_bits

KEY = jax.random.key(3)
STATES = jax.random.normal(jax.random.key(4), (8, 3))
ADAM = optax.adam(1e-2)


class Network(nnx.Module):
    def __init__(self, rngs):
        self.mean_value = nnx.Param(jax.random.normal(rngs.params(), (3, 6)))
        self.value = nnx.Param(jnp.zeros(6))
        self.head = nnx.Linear(6, 2, rngs=rngs)

    def __call__(self, states):
        return self.head(nnx.relu(states @ self.mean_value + self.value))


def make(key):
    model = Network(nnx.Rngs(key))
    mean_value = model.mean_value.get_value()
    model.mean_value.set_value(mean_value.at[:, 1].set(0))  # neuron 1 is silent
    return model


@jax.jit
def init(key):
    return nnx.state(Network(nnx.Rngs(key)))


def bare_init(key):
    return nnx.to_pure_dict(init(key))


def apply(params, states):
    return nnx.merge(nnx.graphdef(make(KEY)), params)(states)


def bare_apply(params, states):
    hidden = nnx.relu(states @ params["mean_value"] + params["value"])
    return hidden @ params["head"]["kernel"] + params["head"]["bias"]


@functools.cache
def graph():
    return dormant.trace(apply, nnx.state(make(KEY)), STATES)


@functools.cache
def bare_graph():
    return dormant.trace(bare_apply, nnx.to_pure_dict(nnx.state(make(KEY))), STATES)


def trained(model, optimizer=ADAM):
    """An `nnx.Optimizer` after one step, so that no moment is 0."""
    found = nnx.Optimizer(model, optimizer, wrt=nnx.Param)
    found.update(model, jax.tree.map(jnp.ones_like, nnx.state(model)))
    model.mean_value.set_value(model.mean_value.get_value().at[:, 1].set(0))
    model.value.set_value(model.value.get_value().at[1].set(-1))
    return found


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


PARAMS = {
    "state": lambda model: nnx.state(model),
    "arrays in a state": lambda model: nnx.as_pure(nnx.state(model)),
    "dictionaries": lambda model: nnx.to_pure_dict(nnx.state(model)),
}
OPT_STATES = {
    "variables": lambda optimizer: optimizer.opt_state,
    "state": lambda optimizer: nnx.state(optimizer.opt_state),
    "arrays": lambda optimizer: nnx.as_pure(optimizer.opt_state),
}


@pytest.mark.parametrize("traced", [graph, bare_graph])
@pytest.mark.parametrize("params_in", PARAMS)
@pytest.mark.parametrize("opt_state_in", OPT_STATES)
def test_every_wrapping_gets_what_plain_trees_get(traced, params_in, opt_state_in):
    model = make(KEY)
    optimizer = trained(model)
    redo = dormant.redo(traced(), init if traced is graph else bare_init, ADAM, 0.0, 1)
    given = PARAMS[params_in](model), OPT_STATES[opt_state_in](optimizer)
    params, opt_state, state = redo.update(*given, redo.init(KEY), STATES)
    assert jax.tree.structure((params, opt_state)) == jax.tree.structure(given)
    assert int(state.report.recycled_total) == 1

    plain = dormant.redo(bare_graph(), bare_init, ADAM, 0.0, 1)
    bare = nnx.to_pure_dict(nnx.state(model))
    bare_opt_state = jax.tree.unflatten(
        jax.tree.structure(ADAM.init(bare)), jax.tree.leaves(optimizer.opt_state)
    )
    expected = plain.update(bare, bare_opt_state, plain.init(KEY), STATES)
    assert not np.array_equal(expected[0]["mean_value"], bare["mean_value"])
    assert not expected[1][0].mu["mean_value"][:, 1].any()
    assert same_bits(leaves((params, opt_state)), leaves(expected[:2]))


def test_the_variables_of_an_nnx_optimizer_are_reset_in_place_of_its_own():
    model = make(KEY)
    optimizer = trained(model)
    masks = {name: jnp.arange(6) == 1 for name in graph().names}
    found = dormant.reset_moments(ADAM, graph(), optimizer.opt_state, masks)
    mu = found[0].mu
    assert isinstance(
        jax.tree.leaves(mu, is_leaf=lambda x: isinstance(x, nnx.Variable))[0], nnx.Variable
    )
    assert not mu["mean_value"].get_value()[:, 1].any()
    assert mu["mean_value"].get_value()[:, 0].all()


def test_a_tracker_takes_states_for_parameters_and_gradient():
    model = make(KEY)
    bare = nnx.to_pure_dict(nnx.state(model))
    found = []
    for traced in (graph(), bare_graph()):
        tracker = dormant.track(traced, period=1)
        for params in (nnx.state(model), bare):
            *_, state = tracker.update(params, (), tracker.init(KEY), STATES, gradient=params)
            found.append(leaves(state.report))
            assert state.report.network.gradient_norm_total > 0
    assert all(same_bits(report, found[0]) for report in found)


# -- what is refused ------------------------------------------------------------------------------


def interventions():
    plain = (bare_graph(), bare_init, ADAM)
    return {
        "redo": dormant.redo(*plain, period=1),
        "layer_reset": dormant.layer_reset(*plain, period=1),
        "prune": dormant.prune(bare_graph(), ADAM, period=1),
        "track": dormant.track(bare_graph(), period=1),
    }


@pytest.mark.parametrize("name", ["redo", "layer_reset", "prune", "track"])
def test_a_train_state_is_not_the_parameters(name):
    intervention, params = interventions()[name], bare_init(KEY)
    train_state = TrainState.create(apply_fn=bare_apply, params=params, tx=ADAM)
    message = "^`params` must be the parameter tree; got a TrainState, whose `.params` they are$"
    with pytest.raises(ValueError, match=message):
        intervention.update(train_state, train_state.opt_state, intervention.init(KEY), STATES)
    done = intervention.update(
        train_state.params, train_state.opt_state, intervention.init(KEY), STATES
    )
    assert int(done[2].report.step) == 1


def wider(params):
    return params | {"value": jnp.zeros(7)}


WRONG_STATES = {
    "of another optimizer": lambda params: optax.sgd(0.1, momentum=0.9).init(params),
    "of the chain around it": lambda params: optax.chain(optax.clip(1.0), ADAM).init(params),
    "of another network": lambda params: ADAM.init(wider(params)),
    "nothing": lambda params: None,
    "the parameters": lambda params: params,
}


@pytest.mark.parametrize("wrong", WRONG_STATES)
@pytest.mark.parametrize("name", ["redo", "layer_reset", "prune"])
def test_an_opt_state_of_another_optimizer_is_refused_in_one_sentence(name, wrong):
    intervention, params = interventions()[name], bare_init(KEY)
    opt_state = WRONG_STATES[wrong](params)
    with pytest.raises(ValueError, match="^`opt_state` must be a state of the .*; got ") as error:
        intervention.update(params, opt_state, intervention.init(KEY), STATES)
    message = str(error.value).partition("\n")[0]
    assert "ScaleByAdamState" in message.partition("; got ")[0]
    with pytest.raises(ValueError, match="^`opt_state` must be a state of the intervention's"):
        dormant.reset_moments(ADAM, bare_graph(), opt_state, {})


def test_parameters_of_another_network_are_refused():
    params = bare_init(KEY)
    for intervention in interventions().values():
        with pytest.raises(ValueError, match="^`params` must have the structure and shapes that"):
            intervention.update(wider(params), ADAM.init(params), intervention.init(KEY), STATES)


def test_a_gradient_of_another_network_is_named_as_such():
    track, params = dormant.track(bare_graph(), period=1), bare_init(KEY)
    with pytest.raises(ValueError, match="^`gradient` must have the structure and shapes that"):
        track.update(params, (), track.init(KEY), STATES, gradient=wider(params))


def frozen_in_part(params):
    return {name: "frozen" if name == "w1" else "trained" for name, _ in params.items()}


@pytest.mark.parametrize("labels", [frozen_in_part, frozen_in_part(SHAPES)])
def test_layers_that_the_optimizer_freezes_are_warned_of(labels):
    optimizer = optax.multi_transform(
        {"trained": optax.adam(1e-2), "frozen": optax.set_to_zero()}, labels
    )
    graph = mlp_graph()
    with pytest.warns(UserWarning, match="never changes w1, .* leave out w1 with"):
        dormant.redo(graph, lambda key: draw(SHAPES, 0), optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dormant.redo(graph.select("w2"), lambda key: draw(SHAPES, 0), optimizer)
        dormant.redo(graph, lambda key: draw(SHAPES, 0), optax.adam(1e-2))

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Networks with running statistics: those of a recycled neuron begin anew with its weights.
Four of sixteen neurons are silent, with weights of 0, so that their running variance is about 0."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant

X = jax.random.normal(jax.random.key(0), (64, 5))
DEAD = np.arange(16) < 4
KEY = jax.random.key(3)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Dense(16)(x))
        return nn.Dense(3)(nn.relu(x))


def evaluate(variables, x):
    return Net().apply(variables, x, False)


def init(key):
    return Net().init(key, X, False)


@functools.cache
def variables():
    """After training in which four neurons had died."""
    params = init(jax.random.key(1))["params"]
    params["Dense_0"]["kernel"] = params["Dense_0"]["kernel"].at[:, :4].set(0.0)
    params["BatchNorm_0"]["bias"] = params["BatchNorm_0"]["bias"].at[:4].set(-1.0)
    statistics = init(jax.random.key(1))["batch_stats"]
    for _ in range(200):
        _, changed = Net().apply(
            {"params": params, "batch_stats": statistics}, X, True, mutable=["batch_stats"]
        )
        statistics = changed["batch_stats"]
    return {"params": params, "batch_stats": statistics}


@functools.cache
def graph():
    return dormant.trace(evaluate, variables(), X)


def check(new):
    """Statistics of the four are the initial ones, all others are kept, and activations usable."""
    found, old = (tree["batch_stats"]["BatchNorm_0"] for tree in (new, variables()))
    assert (old["var"][:4] < 1e-6).all()
    np.testing.assert_array_equal(found["mean"], np.where(DEAD, 0.0, old["mean"]))
    np.testing.assert_array_equal(found["var"], np.where(DEAD, 1.0, old["var"]))
    sizes = jnp.abs(graph().activations(new, X)["Dense_0"]).mean(0)
    assert 0 < sizes[:4].min() and sizes[:4].max() < 5 * sizes[4:].mean()
    np.testing.assert_array_equal(evaluate(new, X), evaluate(variables(), X))


def test_recycle_resets_the_statistics_of_recycled_neurons():
    scores = dormant.dormancy_scores(graph().activations(variables(), X))
    masks = dormant.dormant_masks(scores, 0.0)
    np.testing.assert_array_equal(masks["Dense_0"], DEAD)
    check(dormant.recycle(graph(), variables(), init(KEY), masks))


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adam(1e-3),
        dormant.per_entry_counts(optax.adam(1e-3)),
        optax.adamw(1e-3, mask={"Dense_0": True, "BatchNorm_0": False, "Dense_1": True}),
        optax.contrib.schedule_free_adamw(1e-3),
    ],
    ids=["adam", "per_entry_counts", "adamw in a mask", "schedule_free"],
)
def test_redo_takes_all_variables_beside_the_state_of_the_parameters(optimizer):
    params = variables()["params"]
    gradients = jax.tree.map(jnp.ones_like, params)
    opt_state = optimizer.update(gradients, optimizer.init(params), params)[1]
    redo = dormant.redo(graph(), init, optimizer, tau=0.0, period=1)
    new, found, state = jax.jit(redo.update)(variables(), opt_state, redo.init(KEY), X)
    assert int(state.report.recycled_total) == 4
    check(new)
    assert jax.tree.structure(found) == jax.tree.structure(opt_state)
    moments = optax.tree_utils.tree_get(found, "nu")
    np.testing.assert_array_equal(moments["Dense_0"]["bias"] == 0, DEAD)
    np.testing.assert_array_equal(moments["Dense_1"]["kernel"][:, 0] == 0, DEAD)
    if "z" in getattr(found, "_fields", ()):
        kernel = new["params"]["Dense_0"]["kernel"]
        np.testing.assert_array_equal(found.z["Dense_0"]["kernel"][:, :4], kernel[:, :4])


def test_an_optimizer_of_all_variables_is_taken_as_well():
    optimizer = optax.sgd(0.1, momentum=0.9)
    opt_state = optimizer.update(variables(), optimizer.init(variables()))[1]
    redo = dormant.redo(graph(), init, optimizer, tau=0.0, period=1)
    new, found, _ = redo.update(variables(), opt_state, redo.init(KEY), X)
    check(new)
    trace = found[0].trace["batch_stats"]["BatchNorm_0"]["var"]
    np.testing.assert_array_equal(trace == 0, DEAD)


def test_a_state_of_neither_is_refused():
    optimizer = optax.adam(1e-3)
    opt_state = optimizer.init(variables()["params"]["Dense_0"])
    with pytest.raises(ValueError, match="^`opt_state` must be a state of the intervention's"):
        dormant.reset_moments(optimizer, graph(), opt_state, {"Dense_0": jnp.asarray(DEAD)})


def test_a_whole_reset_takes_the_statistics_too():
    optimizer = optax.adam(1e-3)
    reset = dormant.layer_reset(graph(), init, optimizer, "all", period=1)
    opt_state = optimizer.init(variables()["params"])
    new, _, _ = reset.update(variables(), opt_state, reset.init(KEY), X)
    np.testing.assert_array_equal(new["batch_stats"]["BatchNorm_0"]["var"], np.ones(16))

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Partial recycling against its formula in loops over neurons, and at its two ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant import interventions, parts
from tests.interventions.soft_networks import (
    ADAM,
    KEY,
    NETWORKS,
    VECTORS,
    acted,
    assert_near,
    assert_same,
    feeding,
    float64,
    initializer,
    neurons,
    reading,
    scores,
    some,
    traced,
    trained,
)
from tests.traced_networks import quick_compilation  # noqa: F401

RATE, THRESHOLD, SHARPNESS = 0.4, 1.2, 3.0
TRANSFORMS = {
    "sigmoid": lambda x: 2 / (1 + np.exp(x)),
    "exp": lambda x: np.exp(-x),
    "softplus": lambda x: np.log(1 + np.exp(-x)) / np.log(2),
    "linear": lambda x: max(1 - x, 0.0),
}


def action_of(network, **options):
    return parts.partial_recycling(traced(network), initializer(network), ADAM, **options)


def expected(network, masks, transform):
    layers, fresh = float64(trained(network)[0]), float64(initializer(network)(KEY))
    fractions = {
        name: [
            RATE * min(1.0, TRANSFORMS[transform](max(0.0, SHARPNESS * (float(score) - THRESHOLD))))
            for score in found
        ]
        for name, found in scores(network).items()
    }
    chosen = [(name, i) for name, mask in masks.items() for i in np.flatnonzero(mask)]
    for name, i in chosen:
        p = fractions[name][i]
        for old, new in zip(feeding(layers, name, i), feeding(fresh, name, i), strict=True):
            old[...] = (1 - p) * old + p * new
    for name, i in chosen:
        reading(layers, network, name, i)[...] *= 1 - fractions[name][i]
    return layers


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_selected_neurons_approach_fresh_ones_by_their_scores(network, transform):
    options = {"rate": RATE, "threshold": THRESHOLD, "sharpness": SHARPNESS}
    action = action_of(network, transform=transform, **options)
    masks = some(network)
    params, opt_state, found, _ = acted(action, network, masks)
    assert_near(params, expected(network, masks, transform))
    assert_same(opt_state, trained(network)[1])
    if transform != "linear":  # which leaves high scores alone
        assert_same(found, masks)


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_all_of_the_lowest_is_a_recycle(network):
    masks = some(network)
    lowest = {name: jnp.where(mask, 0.5, 2.0) for name, mask in masks.items()}
    everybody = {name: jnp.ones_like(mask) for name, mask in masks.items()}
    action = action_of(network, rate=1.0, transform="linear", moments="reset")
    found = acted(action, network, everybody, lowest)
    recycling = parts.recycling(traced(network), initializer(network), ADAM)
    assert_same(found, acted(recycling, network, masks))


@pytest.mark.parametrize("options", [{"rate": 0.0}, {}])
def test_nothing_changes_at_a_rate_of_0_or_without_masks(options):
    masks = some("mlp") if options else some("mlp", 0.0)
    params, opt_state, found, _ = acted(action_of("mlp", **options), "mlp", masks)
    assert_same((params, opt_state), trained("mlp"))
    assert not any(mask.any() for mask in found.values())


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_a_neuron_whose_fresh_weights_are_not_finite_is_left_alone(bad):
    init = initializer("mlp")

    def broken(key):  # only where it is traced: a known value would be refused
        is_first = jnp.all(jax.random.key_data(key) == jax.random.key_data(jax.random.key(0)))
        fresh = init(key)["params"]
        kernel = fresh["Dense_0"]["kernel"].at[0, 2].set(jnp.where(is_first, 0.5, bad))
        return {"params": fresh | {"Dense_0": fresh["Dense_0"] | {"kernel": kernel}}}

    action = parts.partial_recycling(traced("mlp"), broken, ADAM)
    params, _, found, _ = acted(action, "mlp", some("mlp", 1.1))
    np.testing.assert_array_equal(found["Dense_0"], np.arange(8) != 2)
    before = trained("mlp")[0]["params"]
    np.testing.assert_array_equal(
        params["params"]["Dense_0"]["kernel"][:, 2], before["Dense_0"]["kernel"][:, 2]
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_the_method_replaces_a_part_of_every_neuron_by_its_dormancy_score():
    graph, (params, opt_state) = traced("mlp"), trained("mlp")
    method = interventions.partial_resets(graph, initializer("mlp"), ADAM, 0.25, 1)
    state = method.init(KEY)
    new, _, state = jax.jit(method.update)(params, opt_state, state, VECTORS)
    action = action_of("mlp", rate=0.25)
    dormancy = parts.activation_score(graph, params, graph.activations(params, VECTORS))
    everybody = {name: jnp.ones(width, bool) for name, width in neurons("mlp").items()}
    key = jax.random.fold_in(KEY, 1)
    assert_near(new, float64(acted(action, "mlp", everybody, dormancy, key)[0]))
    assert int(state.report.recycled_total) == sum(neurons("mlp").values())


@pytest.mark.parametrize(
    "options, said",
    [
        ({"rate": 1.5}, r"`rate` must be a number in \[0, 1\]; got 1.5"),
        ({"sharpness": 0}, "`sharpness` must be a number > 0; got 0"),
        ({"transform": "cosine"}, "`transform` must be one of 'sigmoid', .*; got 'cosine'"),
        ({"threshold": float("nan")}, "`threshold` must be a finite number; got nan"),
        ({"moments": "zero"}, "`moments` must be one of"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        action_of("mlp", **options)


def test_it_has_no_counterpart_in_a_target_network():
    assert all(action_of(network).mirror is None for network in NETWORKS)

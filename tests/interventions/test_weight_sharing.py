# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Weight sharing: who gets whose weights, what becomes of what reads them, and of the outputs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import interventions, parts
from tests.interventions.soft_networks import (
    ADAM,
    KEY,
    NETWORKS,
    VECTORS,
    acted,
    activations,
    apply,
    assert_near,
    assert_same,
    feeding,
    float64,
    initializer,
    neurons,
    reading,
    some,
    traced,
    trained,
)
from tests.small_networks import convolve
from tests.traced_networks import quick_compilation, silence  # noqa: F401

SCALES = (0.3, 0.8)
USUAL = {"threshold": 1.0, "scales": SCALES}


@functools.cache
def action_of(network, **options):
    """One for all tests with the same options: what it does is compiled once."""
    return parts.weight_sharing(traced(network), initializer(network), ADAM, **options)


@pytest.mark.parametrize("receivers", [1, 3])
@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_receivers_get_a_donors_weights_and_a_share_of_what_reads_it(network, receivers):
    layer = next(iter(neurons(network)))
    width = neurons(network)[layer]
    masks = some(network, 0.0) | {layer: jnp.arange(width) < width // 2}
    donors = [width - 2, width - 1]
    given_scores = {name: jnp.full(mask.size, 0.5) for name, mask in masks.items()}
    given_scores[layer] = given_scores[layer].at[jnp.asarray(donors)].set(1.0)
    action = action_of(network, receivers=receivers, **USUAL)
    params, _, found, _ = acted(action, network, masks, given_scores)
    assert_same(found, masks)
    old, new = float64(trained(network)[0]), float64(params)
    given = {donor: [] for donor in donors}
    for i in np.flatnonzero(masks[layer]):
        a = new[layer]["bias"][i] / old[layer]["bias"][i]  # all biases are 0.1
        for donor in donors:
            kernel, theirs = (feeding(new, layer, each)[0] for each in (i, donor))
            if np.allclose(kernel, a * theirs, rtol=1e-4):
                assert SCALES[0] - 1e-6 <= a <= SCALES[1] + 1e-6
                given[donor].append((i, a))
    # In turn: nobody gives to two more than another, or to more than allowed.
    counts = [len(each) for each in given.values()]
    assert sum(counts) == min(int(masks[layer].sum()), receivers * len(donors)) > 0
    assert max(counts) <= receivers and max(counts) - min(counts) <= 1
    for donor, taken in given.items():
        before = reading(old, network, layer, donor)
        total = reading(new, network, layer, donor).copy()
        assert ((total / before < 1) == bool(taken)).all()
        for i, a in taken:
            share = a * reading(new, network, layer, i) / before
            assert (share > 0).all() and (share < 1).all()
            total += share * before
        np.testing.assert_allclose(total, before, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "network, scales", [("mlp", SCALES), ("cnn", SCALES), ("mlp", (1, 1)), ("tanh", (1, 1))]
)
def test_outputs_stay_where_silent_neurons_take_over(network, scales):
    params, silenced = silence(traced(network), trained(network)[0])
    action = action_of(network, receivers=3, threshold=1.0, scales=scales)
    high = {name: jnp.full(width, 2.0) for name, width in neurons(network).items()}
    state = trained(network)[1]
    new, _, found, _ = jax.jit(action.act)(params, state, silenced, KEY, (), high)
    assert_same(found, silenced)
    np.testing.assert_allclose(apply(network, new), apply(network, params), rtol=2e-5, atol=1e-6)
    acts = activations(network)(new, NETWORKS[network][1])
    for name, mask in silenced.items():  # they do something now
        assert (np.abs(acts[name]).reshape(-1, mask.size).max(0)[np.asarray(mask)] > 0).all()


PRODUCTS = {
    "gated": lambda p, x: jax.nn.relu((x @ p["a"]) * (x @ p["b"])),
    "scaled": lambda p, x: jax.nn.relu((x @ p["a"]) * p["scale"]),
    "slope": lambda p, x: jnp.where(x @ p["a"] > 0, x @ p["a"], p["scale"] * (x @ p["a"])),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_factors_that_would_multiply_up_are_handed_on_as_they_are(name):
    drawn = jax.random.normal(KEY, (3, 5, 8))
    params = {"a": drawn[0], "scale": 1 + drawn[2, 0] ** 2, "out": drawn[2].T}
    params |= {"b": drawn[1]} if name == "gated" else {}
    states = jax.random.normal(jax.random.key(5), (6, 5))

    def network(p, x):
        return PRODUCTS[name](p, x) @ p["out"]

    graph = dormant.trace(network, params, states)
    params, silenced = silence(graph, params)
    (layer,) = graph.names
    action = parts.weight_sharing(
        graph, lambda key: params, ADAM, threshold=1.0, scales=SCALES, receivers=3
    )
    high = {layer: jnp.full(8, 2.0)}
    new, _, found, _ = action.act(params, ADAM.init(params), silenced, KEY, (), high)
    assert found[layer].sum() > 0
    np.testing.assert_allclose(network(new, states), network(params, states), 2e-5, 1e-5)


def test_nobody_gives_where_a_grouped_convolution_reads_or_is_the_layer():
    drawn = jax.random.normal(KEY, (3, 4, 4))
    params = {"a": drawn[0][None, None], "d": drawn[1][:3, None, None], "out": drawn[2][:, :2]}
    params["d"] = jnp.broadcast_to(params["d"], (3, 3, 1, 4))
    images = jax.random.normal(jax.random.key(5), (2, 5, 5, 4))

    def network(p, x):
        hidden = jax.nn.relu(convolve(x, p["a"]))
        return jax.nn.relu(convolve(hidden, p["d"], 4)).mean((1, 2)) @ p["out"]

    graph = dormant.trace(network, params, images)
    params, silenced = silence(graph, params)
    action = parts.weight_sharing(graph, lambda key: params, ADAM, threshold=1.0)
    high = {name: jnp.full(4, 2.0) for name in graph.names}
    new, _, found, _ = action.act(params, ADAM.init(params), silenced, KEY, (), high)
    assert_same(found, silenced)
    np.testing.assert_allclose(network(new, images), network(params, images), 2e-5, 1e-5)


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_without_donors_the_selected_neurons_are_recycled(network):
    action = action_of(network, receivers=1, **USUAL)
    masks, (params, opt_state) = some(network), trained(network)
    low = {name: jnp.full(mask.size, 0.5) for name, mask in masks.items()}
    new, state, found, _ = acted(action, network, masks, low)
    fresh = initializer(network)(jax.random.split(KEY, 5)[0])

    @jax.jit
    def by_hand(params, opt_state):
        return (
            dormant.recycle(traced(network), params, fresh, masks),
            dormant.reset_moments(ADAM, traced(network), opt_state, masks),
        )

    expected, expected_state = by_hand(params, opt_state)
    assert_near(new, float64(expected))
    assert_same(found, masks)
    assert_same(state, expected_state)


def test_there_may_be_more_receivers_than_neurons():
    layer, width = next(iter(neurons("mlp").items()))
    masks = some("mlp", 0.0) | {layer: jnp.arange(width) < width // 2}
    scores = {name: jnp.full(mask.size, 5.0) for name, mask in masks.items()}
    few, many = (
        acted(action_of("mlp", receivers=receivers), "mlp", masks, scores)[0]
        for receivers in (width, 2**40)
    )
    assert_same(few, many)


def test_donors_keep_their_moments_and_receivers_begin_anew():
    masks = {"Dense_0": jnp.arange(8) < 2, "Dense_1": jnp.zeros(6, bool)}
    high = {"Dense_0": jnp.full(8, 2.0), "Dense_1": jnp.full(6, 2.0)}
    _, state, *_ = acted(action_of("mlp", receivers=1, **USUAL), "mlp", masks, high)
    mu = state[0].mu["params"]
    assert (mu["Dense_0"]["kernel"][:, :2] == 0).all() and (mu["Dense_1"]["kernel"][:2] == 0).all()
    assert (mu["Dense_0"]["kernel"][:, 2:] != 0).all() and (mu["Dense_1"]["kernel"][2:] != 0).all()
    kept = acted(action_of("mlp", threshold=1.0, moments="keep"), "mlp", masks, high)[1]
    assert_same(kept, trained("mlp")[1])


def test_nothing_changes_where_nobody_is_selected():
    masks = some("cnn", 0.0)
    params, opt_state, found, _ = acted(action_of("cnn", receivers=1, **USUAL), "cnn", masks)
    assert_same((params, opt_state, found), (*trained("cnn"), masks))


def test_shares_are_a_softmax_of_normal_numbers():
    """Of two shares the logarithm of the ratio is normal, of variance 2; of an entry each."""
    params = {"w": jnp.ones((3, 2)), "v": jnp.ones((2, 20_000))}
    graph = dormant.trace(lambda p, x: jax.nn.relu(x @ p["w"]) @ p["v"], params, jnp.ones((1, 3)))
    sgd = optax.sgd(0.1)
    action = parts.weight_sharing(graph, lambda key: params, sgd, threshold=1.0)
    masks, given = {"w": jnp.asarray([True, False])}, {"w": jnp.asarray([0.0, 2.0])}
    new = jax.jit(action.act)(params, sgd.init(params), masks, KEY, (), given)[0]
    np.testing.assert_allclose(new["v"].sum(0), 1, rtol=1e-6)
    ratio = np.log(np.asarray(new["v"][0], np.float64) / new["v"][1])
    assert abs(ratio.mean()) < 0.05 and abs(ratio.var() - 2) < 0.1


def test_the_method_selects_the_dormant_and_asks_the_over_active():
    params, silenced = silence(traced("mlp"), trained("mlp")[0])
    method = interventions.reborn(traced("mlp"), initializer("mlp"), ADAM, 0.0, 1, threshold=1.2)
    update = jax.jit(method.update)
    new, _, state = update(params, trained("mlp")[1], method.init(KEY), VECTORS)
    assert_same(state.masks, silenced)
    np.testing.assert_allclose(apply("mlp", new), apply("mlp", params), rtol=2e-5, atol=1e-6)
    read = [each["params"]["Dense_2"]["kernel"] for each in (params, new)]
    assert not np.array_equal(*read)  # some neuron was over-active


@pytest.mark.parametrize(
    "options, said",
    [
        ({"threshold": 0}, "`threshold` must be a number > 0; got 0"),
        ({"receivers": 0}, "`receivers` must be a whole number >= 1; got 0"),
        ({"scales": (0.0, 1.0)}, r"`scales` must be two numbers > 0, .*; got \(0.0, 1.0\)"),
        ({"scales": 0.5}, "`scales` must be two numbers > 0"),
        ({"scales": (0.8, 0.3)}, "`scales` must be two numbers > 0"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        action_of("mlp", **options)


def test_a_weight_that_is_not_finite_is_not_handed_on():
    layer, after = list(neurons("mlp"))
    width = neurons("mlp")[layer]
    params, opt_state = trained("mlp")[:2]
    reader = params["params"][after]
    kernel = reader["kernel"].at[width - 1, -1].set(jnp.inf)
    params = {"params": params["params"] | {after: reader | {"kernel": kernel}}}
    masks = {name: jnp.arange(size) < 2 for name, size in neurons("mlp").items()}
    scores = {name: jnp.full(size, 0.5) for name, size in neurons("mlp").items()}
    scores[layer] = scores[layer].at[width - 1].set(9.0)
    action = action_of("mlp", receivers=1, **USUAL)
    new, *_ = jax.jit(action.act)(params, opt_state, masks, KEY, action.init(), scores)
    assert sum(int((~np.isfinite(leaf)).sum()) for leaf in jax.tree.leaves(new)) == 1

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Reinitialization of single weights: which are redrawn, with what, how many, and when.
The initializer draws constants, so that what is redrawn can be told apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from dormant import interventions, parts
from tests.interventions.soft_networks import (
    ADAM,
    KEY,
    NETWORKS,
    VECTORS,
    acted,
    apply,
    assert_same,
    neurons,
    some,
    traced,
    trained,
)
from tests.traced_networks import quick_compilation  # noqa: F401


def constants(network):
    params = trained(network)[0]
    return lambda key: jax.tree.map(lambda leaf: jnp.full_like(leaf, 7.0), params)


def everybody(network):
    return some(network, 1.1)


def gradient(network):
    return jax.grad(lambda params: jnp.sum(jnp.square(apply(network, params) - 1)))(
        trained(network)[0]
    )


def action_of(network, init=None, **options):
    init = init or constants(network)
    return parts.weight_reinitialization(traced(network), init, ADAM, **options)


def kernels(params):
    return {name: np.asarray(layer["kernel"]) for name, layer in params["params"].items()}


def lowest(useful, count):
    """Masks of that many of the smallest values of an array, of equal ones the first."""
    order = np.argsort(useful, axis=None, kind="stable")
    return (np.argsort(order) < count).reshape(useful.shape)


@pytest.mark.parametrize("values, value", [("resample", 7.0), ("zero", 0.0)])
@pytest.mark.parametrize("criterion, rate", [("proportional", 0.25), ("threshold", 0.4)])
@pytest.mark.parametrize("utility", ["magnitude", "gradient"])
@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_weights_of_least_utility_are_redrawn(network, utility, criterion, rate, values, value):
    slopes = gradient(network) if utility == "gradient" else None
    options = {"rate": rate, "utility": utility, "criterion": criterion, "values": values}
    action = action_of(network, gradient=slopes, **options)
    params, opt_state, masks, _ = acted(action, network, everybody(network))
    before, state = trained(network)
    for name, old in kernels(before).items():
        useful = np.abs(old * kernels(slopes)[name]) if slopes else np.abs(old)
        if criterion == "threshold":
            redrawn = useful <= rate * useful.mean()
        else:
            redrawn = lowest(useful, rate * old.size)  # all sizes are multiples of four
        np.testing.assert_array_equal(kernels(params)[name], np.where(redrawn, value, old))
        mu, former = (
            np.asarray(each[0].mu["params"][name]["kernel"]) for each in (opt_state, state)
        )
        np.testing.assert_array_equal(mu, np.where(redrawn, 0, former))
        if name in masks:
            fed = redrawn.reshape(-1, old.shape[-1]).any(0)
            np.testing.assert_array_equal(masks[name], fed)
        biases = (each["params"][name]["bias"] for each in (params, before))
        np.testing.assert_array_equal(*biases)


def test_the_number_is_right_on_average_and_random_weights_are_any():
    action = action_of("mlp", rate=0.03, utility="random")
    params, opt_state = trained("mlp")

    @jax.jit
    @jax.vmap
    def redrawn(key):
        new = action.act(params, opt_state, everybody("mlp"), key, (), {})[0]
        return {name: layer["kernel"] == 7.0 for name, layer in new["params"].items()}

    times = 2_000
    for name, found in redrawn(jax.random.split(KEY, times)).items():
        counts = np.asarray(found).reshape(times, -1).sum(1)
        exact = 0.03 * found[0].size
        assert set(counts) <= {int(exact), int(exact) + 1}
        assert abs(counts.mean() - exact) < 5 * 0.5 / np.sqrt(times), name
        each = np.asarray(found, np.float64).mean(0)  # each weight as often as any other
        assert abs(each - 0.03).max() < 6 * np.sqrt(0.03 / times)


def test_the_method_takes_the_gradient_by_its_update_and_only_where_it_is_due():
    graph, (params, opt_state) = traced("mlp"), trained("mlp")
    method = interventions.selective_weight_reinitialization(graph, constants("mlp"), ADAM, 0.25, 2)
    assert method.needs == ("gradient",)
    calls = []

    def slopes():
        calls.append(1)
        return gradient("mlp")

    @jax.jit
    def update(params, opt_state, state):
        return method.update(params, opt_state, state, VECTORS, gradient=slopes)

    carry = update(params, opt_state, method.init(KEY))
    assert_same(carry[:2], (params, opt_state))
    carry = update(*carry)
    assert len(calls) == 1  # one trace serves both
    action = action_of("mlp", rate=0.25, utility="gradient", gradient=gradient("mlp"))
    found, _, masks, _ = acted(action, "mlp", everybody("mlp"))
    assert_same(kernels(carry[0]), kernels(found))
    assert_same(carry[2].masks, masks)
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    assert {name: int(count) for name, count in carry[2].report.recycled.items()} == counts
    # Without being jitted, and with the tree itself.
    state = method.init(KEY)._replace(step=jnp.int32(1))
    eager = method.update(params, opt_state, state, VECTORS, gradient=gradient("mlp"))
    assert_same(kernels(eager[0]), kernels(found))
    with pytest.raises(ValueError, match="`gradient` must be given, as the utility reads it"):
        method.update(params, opt_state, state, VECTORS)


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_nothing_changes_at_a_rate_of_0_or_where_no_layer_has_scores(network):
    nobody = some(network, 0.0)
    for rate, masks in ((0.0, everybody(network)), (0.5, nobody)):
        params, opt_state, found, _ = acted(action_of(network, rate=rate), network, masks)
        assert_same((params, opt_state, found), (*trained(network), nobody))


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_single_weights_whose_fresh_values_are_not_finite_are_left_alone(bad):
    def broken(key):
        fresh = constants("mlp")(key)
        is_first = jnp.all(jax.random.key_data(key) == jax.random.key_data(jax.random.key(0)))
        return jax.tree.map(lambda leaf: leaf.at[0].set(jnp.where(is_first, 7.0, bad)), fresh)

    new = acted(action_of("mlp", init=broken, rate=1.0), "mlp", everybody("mlp"))[0]
    for name, kernel in kernels(new).items():
        np.testing.assert_array_equal(kernel[0], kernels(trained("mlp")[0])[name][0])
        assert (kernel[1:] == 7).all()


def test_it_acts_on_all_layers_and_has_no_counterpart_in_a_target_network():
    for network in NETWORKS:
        action = action_of(network)
        assert action.layers == tuple(neurons(network)) and action.mirror is None


@pytest.mark.parametrize(
    "options, said",
    [
        ({"rate": 1.5}, r"`rate` must be a number in \[0, 1\]; got 1.5"),
        ({"rate": -1, "criterion": "threshold"}, "`rate` must be a number >= 0; got -1"),
        ({"utility": "weight"}, "`utility` must be one of 'gradient', 'magnitude', 'random'"),
        ({"criterion": "top"}, "`criterion` must be one of 'proportional', 'threshold'"),
        ({"values": "mean"}, "`values` must be one of 'resample', 'zero'; got 'mean'"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        action_of("mlp", **options)


def test_weights_of_every_member_of_an_ensemble_are_compared_by_themselves():
    stacked = {"w": jax.random.normal(KEY, (2, 5, 8)), "out": jax.random.normal(KEY, (2, 8, 4))}
    stacked["w"] = stacked["w"].at[1].multiply(0.01)

    def member(params, states):
        return jax.nn.relu(states @ params["w"]) @ params["out"]

    graph = dormant.trace(jax.vmap(member, (0, None)), stacked, jnp.ones((6, 5)))
    action = parts.weight_reinitialization(
        graph, lambda key: jax.tree.map(lambda leaf: jnp.full_like(leaf, 7.0), stacked), ADAM,
        rate=0.25,
    )  # fmt: skip
    masks = {layer.name: jnp.ones(layer.neurons, bool) for layer in graph.layers}
    params, *_ = jax.jit(action.act)(stacked, ADAM.init(stacked), masks, KEY, (), {})
    for name, count in (("w", 10), ("out", 8)):
        for number in range(2):
            wanted = lowest(np.abs(stacked[name][number]), count)
            np.testing.assert_array_equal(params[name][number] == 7.0, wanted)

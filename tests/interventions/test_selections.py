# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Selections: thresholds that are fixed, scheduled or adaptive, caps, budgets, whole layers.
Every expected set is written down for scores of a few neurons."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import parts

KEY = jax.random.key(0)
SCORES = {
    "a": jnp.asarray([0.0, 0.5, 0.2, 3.0, 1.3]),
    "b": jnp.asarray([2.0, 0.05, 0.95]),
}


def select(selection, scores=SCORES, step=10, state=None, key=KEY):
    state = (
        selection.init({name: score.size for name, score in scores.items()})
        if state is None
        else state
    )
    masks, state = jax.jit(selection.select)(scores, state, jnp.int32(step), key)
    for name, mask in masks.items():
        assert mask.dtype == bool and mask.shape == scores[name].shape
    return {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()}, state


# -- thresholds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tau, expected",
    [
        (0.5, {"a": [0, 1, 2], "b": [1]}),
        (0.0, {"a": [0], "b": []}),
        (optax.linear_schedule(0.0, 1.0, 20), {"a": [0, 1, 2], "b": [1]}),
        (optax.linear_schedule(0.0, 0.4, 20), {"a": [0, 2], "b": [1]}),
    ],
)
def test_below_threshold(tau, expected):
    assert select(parts.below_threshold(tau)) == (expected, ())


def test_a_threshold_may_differ_between_vmapped_networks():
    def selected(tau):
        selection = parts.below_threshold(tau)
        assert selection.fixed_taus == ()
        masks, _ = selection.select(SCORES, (), jnp.int32(1), KEY)
        return masks["a"].sum(), selection.thresholds(("a",), (), jnp.int32(1))["a"]

    counts, thresholds = jax.vmap(selected)(jnp.asarray([0.0, 0.2, 0.5]))
    assert counts.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(thresholds, np.float32([0.0, 0.2, 0.5]))


@pytest.mark.parametrize(
    "selection, fixed, at_step_ten",
    [
        (lambda: parts.below_threshold(0.3), (0.3,), 0.3),
        (lambda: parts.capped(parts.below_threshold(0.3), 0.5), (0.3,), 0.3),
        (lambda: parts.below_threshold(optax.linear_schedule(0.0, 0.4, 20)), (), 0.2),
        (lambda: parts.below_threshold(dormant.adaptive_tau(initial=0.2)), (), 0.2),
        (lambda: parts.budget(0.5), (), None),
        (lambda: parts.whole_layers(), (), None),
    ],
    ids=["fixed", "capped", "scheduled", "adaptive", "budget", "whole layers"],
)
def test_the_thresholds_that_a_selection_tells(selection, fixed, at_step_ten):
    selection = selection()
    assert selection.fixed_taus == fixed
    layers = ("a", "b")
    found = selection.thresholds(layers, selection.init(dict.fromkeys(layers, 3)), jnp.int32(10))
    expected = {} if at_step_ten is None else dict.fromkeys(layers, np.float32(at_step_ten))
    assert found == expected
    assert all(tau.dtype == jnp.float32 and tau.shape == () for tau in found.values())


# -- caps -----------------------------------------------------------------------------------------


def capped(values, tau, max_fraction):
    selection = parts.capped(parts.below_threshold(tau), max_fraction)
    return select(selection, {"layer": jnp.asarray(values, jnp.float32)})[0]["layer"]


@pytest.mark.parametrize(
    "max_fraction, expected",
    [
        (0.0, []),
        (0.2, [2]),
        (0.39, [2]),  # rounded down
        (0.4, [1, 2]),  # of the two that tie, the first
        (0.6, [1, 2, 4]),
        (1.0, [1, 2, 4]),  # never more than are dormant
    ],
)
def test_a_cap_keeps_the_lowest_and_breaks_ties_by_position(max_fraction, expected):
    assert capped([3.0, 0.05, 0.01, 1.89, 0.05], 0.1, max_fraction) == expected


@pytest.mark.parametrize(
    "fraction, neurons, allowed", [(0.1, 30, 3), (0.7, 10, 7), (0.29, 100, 29)]
)
def test_a_cap_is_not_lost_to_rounding(fraction, neurons, allowed):
    # 0.29 * 100 is 28.999999999999996 in floating point.
    assert capped([0.0] * neurons, 0.0, fraction) == list(range(allowed))


def test_a_cap_is_of_every_layer_and_of_any_selection():
    assert select(parts.capped(parts.below_threshold(0.5), 0.4))[0] == {"a": [0, 2], "b": [1]}
    assert select(parts.capped(parts.whole_layers(), 0.4))[0] == {"a": [0, 2], "b": [1]}
    # The lowest scores stay of those that were taken.
    assert select(parts.capped(parts.budget(0.4, "highest"), 0.4))[0] == {"a": [3, 4], "b": [0]}
    assert select(parts.capped(parts.budget(0.4, "highest"), 0.2))[0] == {"a": [4], "b": []}


def test_a_cap_may_be_scheduled():
    schedule = optax.linear_schedule(0.0, 0.8, 20)  # 0.4 at step 10
    assert select(parts.capped(parts.below_threshold(0.5), schedule))[0] == {"a": [0, 2], "b": [1]}
    assert select(parts.capped(parts.below_threshold(0.5), schedule), step=0)[0] == {
        "a": [],
        "b": [],
    }


# -- over the network, quantiles, continual backprop's rule ----------------------------------------


def test_over_the_network_all_layers_are_one():
    # 0.0, 0.05, 0.2 are the lowest three of eight.
    assert select(parts.over_network(parts.budget(3 / 8)))[0] == {"a": [0, 2], "b": [1]}
    assert select(parts.over_network(parts.budget(1 / 8)))[0] == {"a": [0], "b": []}
    assert select(parts.over_network(parts.capped(parts.whole_layers(), 1 / 8)))[0] == {
        "a": [0],
        "b": [],
    }
    rule = parts.over_network(parts.below_threshold(dormant.adaptive_tau(0.5, initial=0.3)))
    masks, taus = select(rule)
    assert masks == {"a": [0, 2], "b": [1]} and taus.keys() == {"network"}
    found = rule.thresholds(("a", "b"), taus, jnp.int32(1))
    assert found["a"] == found["b"] == taus["network"] > 0.3
    unknown = SCORES | {"b": jnp.full(3, jnp.nan)}
    assert select(parts.over_network(parts.below_threshold(9.0)), unknown)[0] == {"a": [], "b": []}


@pytest.mark.parametrize(
    "fraction, expected", [(0.0, [0]), (0.25, [0, 2]), (0.5, [0, 1, 2]), (1.0, [0, 1, 2, 3, 4])]
)
def test_below_quantile(fraction, expected):
    assert select(parts.below_quantile(fraction))[0]["a"] == expected
    tied = {"a": jnp.asarray([1.0, 0.0, 0.0, 0.0, 2.0])}
    assert select(parts.below_quantile(0.25), tied)[0]["a"] == [1, 2, 3]


def test_a_capped_adaptive_tau_follows_the_scores_as_without_a_cap():
    rule = dormant.adaptive_tau(0.4, initial=0.5)
    free, taus = select(parts.below_threshold(rule))
    held, capped_taus = select(parts.capped(parts.below_threshold(rule), 0.4))
    assert free["a"] == [0, 1, 2] and held["a"] == [0, 2]
    assert taus == capped_taus


def test_an_adaptive_tau_selects_first_and_follows_after():
    rule = dormant.adaptive_tau(0.4, initial=0.5, step_size=2.0, minimum=0.1, maximum=0.52)
    masks, taus = select(parts.below_threshold(rule))
    assert masks == {"a": [0, 1, 2], "b": [1]}
    np.testing.assert_allclose(taus["a"], 0.5 * np.exp(2 * (0.4 - 3 / 5)), rtol=1e-6)
    assert taus["b"] == np.float32(0.52)  # 0.5 exp(2 (0.4 - 1/3)) is clipped
    assert all(tau.dtype == jnp.float32 for tau in taus.values())
    masks, taus = select(parts.below_threshold(rule), state=taus)
    assert masks["a"] == [0, 2]


@pytest.mark.parametrize("target", [0.05, 0.25, 0.6])
def test_an_adaptive_tau_tracks_the_quantile_of_the_scores(target):
    """The fraction selected settles at the target, also after the scores' distribution moved."""
    rule = dormant.adaptive_tau(target, step_size=0.5, minimum=1e-6, maximum=100.0)
    selection = parts.below_threshold(rule)

    def scored(scale, key):
        draws = jax.random.exponential(key, (2_000,)) * scale
        return {"layer": draws}

    @jax.jit
    def follow(taus, scale, key):
        def body(taus, key):
            masks, taus = selection.select(scored(scale, key), taus, 0, key)
            return taus, jnp.mean(masks["layer"])

        return jax.lax.scan(body, taus, jax.random.split(key, 200))

    taus = rule.init(("layer",))
    for number, scale in enumerate((1.0, 0.1)):
        taus, fractions = follow(taus, scale, jax.random.fold_in(KEY, number))
        assert abs(float(fractions[100:].mean()) - target) < 0.02
        quantile = -np.log(1 - target) * scale
        np.testing.assert_allclose(taus["layer"], quantile, rtol=0.15)


def test_an_adaptive_tau_stays_within_its_bounds():
    rule = dormant.adaptive_tau(0.5, initial=0.1, step_size=3.0, minimum=0.05, maximum=0.2)
    taus = rule.init(("silent", "loud"))
    scores = {"silent": jnp.zeros(4), "loud": jnp.full(4, 9.0)}
    for _ in range(5):
        taus = rule.update(taus, scores)
    assert taus == {"silent": np.float32(0.05), "loud": np.float32(0.2)}


def test_redo_keeps_the_adaptive_taus_in_its_state():
    def mlp(params, states):
        return jax.nn.relu(states @ params["w1"]) @ params["w2"]

    def init(key):
        return {"w1": jax.random.normal(key, (3, 8)), "w2": jax.random.normal(key, (8, 2))}

    states, optimizer, params = jax.random.normal(KEY, (16, 3)), optax.sgd(0.1), init(KEY)
    graph = dormant.trace(mlp, params, states)
    redo = dormant.redo(graph, init, optimizer, dormant.adaptive_tau(0.5, initial=0.3), period=2)
    state, update = redo.init(KEY), jax.jit(redo.update)
    assert state.selection == {"w1": np.float32(0.3)}
    for expected_to_move in (False, True):
        before = state.selection["w1"]
        *_, state = update(params, optimizer.init(params), state, states)
        assert (state.selection["w1"] != before) == expected_to_move


# -- budgets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fraction, order, expected",
    [
        (0.4, "lowest", {"a": [0, 2], "b": [1]}),
        (0.4, "highest", {"a": [3, 4], "b": [0]}),
        (0.6, "highest", {"a": [1, 3, 4], "b": [0, 2]}),
        (0.0, "lowest", {"a": [], "b": []}),
        (1e-6, "lowest", {"a": [0], "b": [1]}),  # at least one, as in the released code
        (1.0, "lowest", {"a": [0, 1, 2, 3, 4], "b": [0, 1, 2]}),
        (0.5, "lowest", {"a": [0, 2], "b": [1, 2]}),  # 2.5 and 1.5 round to the even number
        (lambda step: 0.06 * step, "lowest", {"a": [0, 1, 2], "b": [1, 2]}),
    ],
)
def test_a_budget_takes_an_exact_number(fraction, order, expected):
    assert select(parts.budget(fraction, order)) == (expected, ())


def test_neurons_that_tie_are_taken_by_position():
    scores = {"silent": jnp.zeros(10)}
    assert select(parts.budget(0.3), scores)[0] == {"silent": [0, 1, 2]}


def test_a_random_budget_draws_each_neuron_equally_often():
    scores = {"a": jnp.arange(6.0), "b": jnp.arange(6.0)}
    selection = parts.budget(0.5, "random")
    keys = jax.random.split(KEY, 2_000)
    masks, _ = jax.jit(jax.vmap(lambda key: selection.select(scores, (), 0, key)))(keys)
    for mask in masks.values():
        assert np.all(np.asarray(mask).sum(1) == 3)
        np.testing.assert_allclose(np.asarray(mask).mean(0), 0.5, atol=0.05)
    assert (masks["a"] != masks["b"]).any()  # layers are drawn independently


def test_the_cosine_of_the_released_code():
    schedule = dormant.cosine_fraction(0.3, 1_000)
    for step in (0, 1, 250, 500, 999):
        expected = 0.3 * np.cos(np.pi * 0.5 * step / 1_000)
        np.testing.assert_allclose(schedule(step), expected, rtol=1e-4)
        np.testing.assert_allclose(jax.jit(schedule)(jnp.int32(step)), expected, rtol=1e-4)
    assert [float(schedule(step)) for step in (1_000, 1_001, 10**9)] == [0, 0, 0]


# -- whole layers ---------------------------------------------------------------------------------


def test_whole_layers():
    everyone = {"a": [0, 1, 2, 3, 4], "b": [0, 1, 2]}
    assert select(parts.whole_layers())[0] == everyone


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, named, value",
    [
        (lambda: parts.below_threshold(-1.0), "`tau`", "-1.0"),
        (lambda: parts.below_threshold(float("nan")), "`tau`", "nan"),
        (lambda: parts.below_threshold("0.1"), "`tau`", "'0.1'"),
        (lambda: parts.below_threshold(False), "`tau`", "False"),
        (lambda: parts.below_threshold(optax.linear_schedule), "`tau`", f"{optax.linear_schedule}"),
        (
            lambda: parts.below_threshold(optax.constant_schedule),
            "`tau`",
            f"{optax.constant_schedule}",
        ),
        (lambda: parts.budget(optax.constant_schedule), "`fraction`", f"{optax.constant_schedule}"),
        (lambda: parts.capped(parts.whole_layers(), 1.01), "`max_fraction`", "1.01"),
        (lambda: parts.capped(parts.whole_layers(), -0.1), "`max_fraction`", "-0.1"),
        (lambda: parts.capped(parts.whole_layers(), "half"), "`max_fraction`", "'half'"),
        (lambda: parts.budget(1.5), "`fraction`", "1.5"),
        (lambda: parts.budget(True), "`fraction`", "True"),
        (lambda: parts.budget(0.1, "least"), "`order`", "'least'"),
        (lambda: dormant.cosine_fraction(-0.1, 10), "`initial`", "-0.1"),
        (lambda: dormant.cosine_fraction(0.1, 0), "`end_step`", "0"),
        (lambda: dormant.adaptive_tau(1.1), "`target_fraction`", "1.1"),
        (lambda: dormant.adaptive_tau(step_size=0), "`step_size`", "0"),
        (lambda: dormant.adaptive_tau(minimum=0.0), "`minimum`", "0.0"),
        (lambda: dormant.adaptive_tau(maximum=1e-9), "`maximum`", "1e-09"),
        (lambda: dormant.adaptive_tau(initial=5.0), "`initial`", "5.0"),
        (lambda: dormant.adaptive_tau(initial=float("nan")), "`initial`", "nan"),
    ],
    # A function's text differs from process to process.
    ids=lambda part: part if isinstance(part, str) and "<" not in part else "function",
)
def test_errors_name_the_input_and_end_with_the_value(call, named, value):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value).startswith(named) and str(error.value).endswith(f"got {value}")

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What an intervention reports: fractions with their taus, overlaps, thresholds, counts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import parts
from tests.small_networks import NINE_STATES as STATES
from tests.small_networks import init_nine as init
from tests.small_networks import nine_graph as graph
from tests.small_networks import nine_with_silent as network

KEY = jax.random.key(3)
SGD = optax.sgd(0.1)


def redo(tau=0.1, period=1, **options):
    return dormant.redo(graph(), init, SGD, tau, period, **options)


def track(**options):
    return dormant.track(graph(), period=1, **options)


def report_after(intervention, params=None, steps=1):
    params = network() if params is None else params
    update, state = jax.jit(intervention.update), intervention.init(KEY)
    for _ in range(steps):
        *_, state = update(params, SGD.init(params), state, STATES)
    return state.report


@jax.jit
def dormant_at(params, tau):
    """Masks of the dormant neurons, by the functions that are tested elsewhere."""
    scores = dormant.dormancy_scores(graph().activations(params, STATES))
    return dormant.dormant_masks(scores, tau)


def test_before_the_first_scoring():
    report = redo(0.3, taus=(0.0, 0.5)).init(KEY).report
    assert report.step == -1 and report.recycled_total == 0
    np.testing.assert_array_equal(report.taus, np.float32([0.0, 0.3, 0.5]))
    assert np.isnan(report.pooled).all() and np.isnan(report.dormant_fraction(0.3))
    for name in ("w1", "w2"):
        assert np.isnan(report.by_layer[name]).all()
        assert np.isnan(report.overlap[name]).all()
        assert np.isnan(report.overlap_history[name]).all()
        assert np.isnan(report.threshold[name])
        assert report.recycled[name] == 0


@pytest.mark.parametrize("tau", [None, 0.9])
def test_the_report_is_what_the_scores_say(tau):
    taus = (0.0, 0.1, 0.9)
    made = track if tau is None else lambda **options: redo(tau, **options)
    intervention = made(taus=taus)
    update, state = jax.jit(intervention.update), intervention.init(KEY)
    before, now = network(0, ((1, 3), (0,))), network(1, ((1,), ()))
    *_, state = update(before, SGD.init(before), state, STATES)
    *_, state = update(now, SGD.init(now), state, STATES)
    report = state.report
    assert report.step == 2 and report.step.dtype == jnp.int32
    for i, threshold in enumerate(taus):
        previous, current = dormant_at(before, threshold), dormant_at(now, threshold)
        np.testing.assert_allclose(report.pooled[i], dormant.dormant_fraction(current))
        assert report.dormant_fraction(threshold) == report.pooled[i]
        overlap = dormant.overlap_coefficient(current, previous)
        for name, mask in current.items():
            np.testing.assert_allclose(report.by_layer[name][i], mask.mean())
            assert report.dormant_fraction(threshold, name) == report.by_layer[name][i]
            np.testing.assert_array_equal(report.overlap[name][i], overlap[name])
            np.testing.assert_array_equal(state.dormant[name][i], mask)
    assert report.overlap["w1"][0] == 1 and np.isnan(report.overlap["w2"][0])
    recycled = {} if tau is None else dormant_at(now, tau)
    counts = [int(recycled[name].sum()) if recycled else 0 for name in ("w1", "w2")]
    assert [int(report.recycled[name]) for name in ("w1", "w2")] == counts


def test_recycled_counts_are_of_the_last_scoring_and_the_total_of_all():
    intervention = redo(0.0)
    update, state = jax.jit(intervention.update), intervention.init(KEY)
    totals = []
    for params in (network(0, ((1, 4), ())), network(1, ((0,), (1, 2, 3))), network(2, ((), ()))):
        *_, state = update(params, SGD.init(params), state, STATES)
        totals.append(int(state.report.recycled_total))
    assert totals == [2, 6, 6]
    assert [int(n) for n in state.report.recycled.values()] == [0, 0]
    assert state.report.recycled_total.dtype == jnp.int32


# -- which taus -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tau, taus, expected",
    [
        (0.1, (0.0, 0.025, 0.1), [0.0, 0.025, 0.1]),
        (0.3, (0.0, 0.1), [0.0, 0.1, 0.3]),
        (0.05, (0.1, 0.0), [0.0, 0.05, 0.1]),  # ascending, whatever the order given
        (np.float32(0.1), (0.1, 0.1), [0.1]),  # each once
        (optax.constant_schedule(0.3), (0.0,), [0.0]),  # it could change
        (dormant.adaptive_tau(0.3), (0.0,), [0.0]),
    ],
    ids=["among them", "besides", "unordered", "each once", "a schedule", "adaptive"],
)
def test_a_fixed_tau_that_selects_is_among_those_reported(tau, taus, expected):
    report = report_after(redo(tau, taus=taus))
    np.testing.assert_array_equal(report.taus, np.float32(expected))
    assert report.pooled.shape == report.by_layer["w1"].shape == (len(expected),)
    prune = dormant.prune(graph(), SGD, tau, 1, taus=taus)
    np.testing.assert_array_equal(prune.init(KEY).report.taus, np.float32(expected))


@pytest.mark.parametrize(
    "selection, expected",
    [
        (lambda: parts.below_threshold(0.3), [0.3, 0.3]),
        (lambda: parts.capped(parts.below_threshold(0.3), 0.5), [0.3, 0.3]),
        (lambda: parts.below_threshold(optax.linear_schedule(0.0, 1.0, 10)), [0.1, 0.2]),
        (lambda: parts.budget(0.5), [np.nan, np.nan]),
    ],
    ids=["fixed", "capped", "scheduled", "budget"],
)
def test_the_threshold_is_the_one_that_selected(selection, expected):
    intervention = dormant.intervene(
        graph(),
        selection=selection(),
        action=parts.recycling(graph(), init, SGD),
        when=parts.every(1),
    )
    for steps, threshold in enumerate(expected, start=1):
        report = report_after(intervention, steps=steps)
        for name in ("w1", "w2"):
            assert report.threshold[name].dtype == jnp.float32
            np.testing.assert_allclose(report.threshold[name], threshold, rtol=1e-6)


def test_the_threshold_of_an_adaptive_tau_is_that_before_it_followed():
    intervention = redo(dormant.adaptive_tau(0.9, initial=0.3))
    first, second = (report_after(intervention, steps=steps) for steps in (1, 2))
    assert first.threshold == dict.fromkeys(("w1", "w2"), np.float32(0.3))
    assert all(second.threshold[name] > 0.3 for name in ("w1", "w2"))


def test_layers_that_are_not_acted_on_have_no_threshold():
    intervention = dormant.layer_reset(graph(), init, SGD, ("w2",), 1)
    report = report_after(intervention)
    assert {name: int(n) for name, n in report.recycled.items()} == {"w1": 0, "w2": 4}
    assert np.isnan(report.threshold["w1"]) and np.isnan(report.threshold["w2"])


# -- one fraction ---------------------------------------------------------------------------------


def test_a_fraction_is_found_by_its_tau():
    report = report_after(redo(0.3, taus=(0.0, 0.1)))
    masks = dormant_at(network(), 0.3)
    assert report.dormant_fraction(0.3) == dormant.dormant_fraction(masks) > 0
    assert report.dormant_fraction(np.float32(0.3), "w1") == masks["w1"].mean(dtype=jnp.float32)
    assert report.dormant_fraction(0.0) == np.float32(2 / 9)
    assert report.dormant_fraction(0).shape == () and report.pooled.dtype == jnp.float32


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0.2,), "`tau` must be one of the reported taus, 0, 0.1, 0.3; got 0.2"),
        ((0.1, "w3"), "`layer` must be one of w1, w2; got 'w3'"),
    ],
)
def test_a_fraction_that_is_not_reported_is_refused(arguments, message):
    report = report_after(redo(0.3, taus=(0.0, 0.1)))
    with pytest.raises(ValueError, match=f"^{message}$"):
        report.dormant_fraction(*arguments)


def test_within_jit_a_tau_that_is_not_reported_gives_nan():
    report = report_after(redo(0.3, taus=(0.0, 0.1)))
    read = jax.jit(lambda report, tau: report.dormant_fraction(tau, "w1"))
    assert read(report, 0.3) == report.dormant_fraction(0.3, "w1")
    assert np.isnan(read(report, 0.2))
    with pytest.raises(ValueError, match="^`layer` must be one of w1, w2; got 'w3'"):
        jax.jit(lambda report: report.dormant_fraction(0.1, "w3"))(report)


def test_vmapped_reports_have_a_fraction_for_every_network():
    intervention = track(taus=(0.0, 0.5))
    networks = [network(0, ((), ())), network(1, ((1,), ())), network(2, ((0, 2), (1,)))]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)

    @jax.jit
    @jax.vmap
    def measure(params):
        *_, state = intervention.update(params, (), intervention.init(KEY), STATES)
        return state.report, state.report.dormant_fraction(0.0)

    reports, inside = measure(stacked)
    expected = np.float32([0, 1 / 9, 3 / 9])
    np.testing.assert_allclose(inside, expected)
    np.testing.assert_allclose(reports.dormant_fraction(0.0), expected)
    np.testing.assert_allclose(reports.dormant_fraction(0.0, "w1"), np.float32([0, 0.2, 0.4]))
    np.testing.assert_allclose(jax.vmap(lambda one: one.dormant_fraction(0.0))(reports), expected)
    with pytest.raises(ValueError, match="reported taus, 0, 0.5; got 0.1$"):
        reports.dormant_fraction(0.1)

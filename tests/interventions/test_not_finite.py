# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Nothing is dormant for a number that is none, and no such number gets into a parameter."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dormant
from tests.interventions.test_interventions_grid import ADAM, INTERVENTIONS, STATES, graph, init
from tests.interventions.test_properties import drawn

NOT_FINITE = [jnp.nan, jnp.inf, -jnp.inf]
KEY = jax.random.key(1)


def params():
    return jax.jit(init)(jax.random.key(0))


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@drawn(max_examples=30)
@given(
    st.lists(st.floats(width=16, allow_nan=False, allow_infinity=False), min_size=8, max_size=8),
    st.integers(0, 7),
    st.sampled_from(NOT_FINITE),
    st.sampled_from([jnp.float32, jnp.float16, jnp.bfloat16]),
)
def test_one_activation_that_is_not_finite_leaves_its_layer_without_scores(row, at, bad, dtype):
    fine = jnp.asarray([row, row[::-1]], dtype)
    scores = dormant.dormancy_scores({"fine": fine, "bad": fine.at[1, at].set(bad)})
    assert np.isnan(scores["bad"]).all() and np.isfinite(scores["fine"]).all()
    same(scores["fine"], dormant.dormancy_scores({"fine": fine})["fine"])
    assert not dormant.dormant_masks(scores, 1e9)["bad"].any()


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_means_of_large_activations_do_not_overflow(dtype):
    largest = float(jnp.finfo(dtype).max)
    activations = jnp.full((4096, 4), largest, dtype).at[:, 0].set(0)
    scores = dormant.dormancy_scores({"a": activations})["a"]
    np.testing.assert_allclose(scores, [0, 4 / 3, 4 / 3, 4 / 3], rtol=1e-5)


@jax.jit
def activations(weights):
    return graph().activations(weights, STATES)


@jax.jit
def utility(weights, acts):
    return dormant.parts.contribution_utility(graph(), weights, acts)


@pytest.mark.parametrize("bad", NOT_FINITE)
@pytest.mark.parametrize("where", ["activations", "w1", "w2", "w3"])
def test_utility_of_what_is_not_finite_is_unknown(bad, where):
    weights = params()
    acts = activations(weights)
    if where == "activations":
        acts = acts | {"w1": acts["w1"].at[:, 2].set(bad)}  # the same for every state
    else:
        weights = weights | {where: weights[where].at[0, 0].set(bad)}
    scores = utility(weights, acts)
    touched = {"activations": ["w1"], "w1": ["w1"], "w2": ["w1", "w2"], "w3": ["w2"]}[where]
    for name, score in scores.items():
        assert np.isnan(score).all() if name in touched else np.isfinite(score).all()


def updated(intervention, weights, *inputs, steps=2):
    opt_state, state = ADAM.init(weights), intervention.init(KEY)
    update = jax.jit(intervention.update)
    for _ in range(steps):
        weights, opt_state, state = update(weights, opt_state, state, *inputs)
    return weights, opt_state, state


def test_a_layer_whose_scores_are_known_is_acted_on_beside_one_whose_are_not():
    def score(graph, params, activations):
        scores = dormant.dormancy_scores(activations)
        return scores | {"w2": jnp.full_like(scores["w2"], jnp.nan)}

    for selection in (
        dormant.parts.below_threshold(1e9),
        dormant.parts.budget(0.5, "lowest"),
        dormant.parts.budget(0.5, "highest"),
        dormant.parts.budget(0.5, "random"),
        dormant.parts.capped(dormant.parts.budget(1.0), 0.5),
        dormant.parts.whole_layers(),
    ):
        intervention = dormant.intervene(
            graph(),
            selection=selection,
            action=dormant.parts.recycling(graph(), init, ADAM),
            when=dormant.parts.every(1),
            score=score,
        )
        report = updated(intervention, params(), STATES, steps=1)[2].report
        assert int(report.recycled["w1"]) > 0 and int(report.recycled["w2"]) == 0


def test_an_adaptive_tau_waits_for_scores():
    intervention = dormant.redo(graph(), init, ADAM, dormant.adaptive_tau(0.5, 0.3), 1)
    state = updated(intervention, params(), STATES.at[0].set(jnp.nan), steps=3)[2]
    assert {float(tau) for tau in state.selection.values()} == {np.float32(0.3)}
    state = updated(intervention, params(), STATES, steps=3)[2]
    assert all(0 < float(tau) != np.float32(0.3) for tau in state.selection.values())


def not_finite(bad, only_under_jit=False):
    """An initializer one of whose values is not finite: neuron 2 of "w1" draws it."""

    def fresh(key):
        found = init(key)
        is_first = jnp.all(jax.random.key_data(key) == jax.random.key_data(jax.random.key(0)))
        value = jnp.where(is_first & only_under_jit, 0.5, bad)
        return found | {"w1": found["w1"].at[0, 2].set(value)}

    return fresh


@pytest.mark.parametrize("bad", NOT_FINITE)
def test_an_initializer_that_is_not_finite_is_refused(bad):
    for make in (dormant.redo, dormant.fixed_budget, dormant.layer_reset):
        with pytest.raises(ValueError, match=r"`init\(key\)` must be finite; got .* in w1"):
            make(graph(), not_finite(bad), ADAM)
    masks = {"w1": jnp.arange(8) < 4}
    with pytest.raises(ValueError, match="`fresh` must be finite; got .* in w1"):
        dormant.recycle(graph(), params(), not_finite(bad)(KEY), masks)


def test_whole_numbers_are_no_fresh_weights():
    whole = jax.tree.map(lambda leaf: leaf.astype(jnp.int32), params())
    masks = {"w1": jnp.arange(8) < 4}
    for recycle in (dormant.recycle, jax.jit(dormant.recycle, static_argnums=0)):
        with pytest.raises(ValueError, match="`fresh` must hold floating numbers; got int32 in b1"):
            recycle(graph(), params(), whole, masks)


@pytest.mark.parametrize("options", [{}, {"outgoing": "fresh"}, {"incoming_scale": "live_norm"}])
def test_under_jit_a_neuron_is_left_alone_where_its_fresh_weights_are_not_finite(options):
    def recycled(fresh):
        intervention = dormant.intervene(
            graph(),
            selection=dormant.parts.below_threshold(100.0),  # everybody
            action=dormant.parts.recycling(graph(), fresh, ADAM, **options),
            when=dormant.parts.every(1),
        )
        return updated(intervention, params(), STATES, steps=1)

    expected, others = recycled(init)[0], np.arange(8) != 2
    for bad in NOT_FINITE:
        weights, _, state = recycled(not_finite(bad, True))
        np.testing.assert_array_equal(state.masks["w1"], others)
        assert int(state.report.recycled["w1"]) == 7 and int(state.report.recycled["w2"]) == 8
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(weights))
        for name in ("w1", "b1"):
            np.testing.assert_array_equal(weights[name][..., 2], params()[name][..., 2])
            np.testing.assert_array_equal(weights[name][..., others], expected[name][..., others])


@pytest.mark.parametrize("layers", ["reset, all", "reset, chosen"])
def test_under_jit_no_layer_is_redrawn_with_what_is_not_finite(layers):
    intervention = INTERVENTIONS[layers](graph(), not_finite(jnp.nan, only_under_jit=True), ADAM)
    weights, opt_state, state = updated(intervention, params(), STATES)
    same(weights, params())
    same(opt_state, ADAM.init(params()))
    assert int(state.report.recycled_total) == 0


def test_large_weights_scale_nothing_to_infinity():
    # Their squares overflow, and so does the norm that fresh weights would be scaled to.
    weights = {name: value * 1e25 for name, value in params().items()}
    masks = {"w1": jnp.arange(8) < 2}
    found = dormant.recycle(graph(), weights, init(KEY), masks, incoming_scale="live_norm")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    # In float16 what is drawn may be too large for the parameters.
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.float16), params())
    fresh = jax.tree.map(lambda leaf: leaf.at[..., 1].multiply(1e6), init(KEY))
    found = dormant.recycle(graph(), half, fresh, masks)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    np.testing.assert_array_equal(found["w1"][:, 1], half["w1"][:, 1])
    assert not np.array_equal(found["w1"][:, 0], half["w1"][:, 0])


def test_an_overflow_in_float16_recycles_nobody():
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.float16), params())
    half |= {"w2": half["w2"] * 3e4}
    sgd = optax.sgd(0.1)
    intervention = dormant.redo(graph(), init, sgd, 0.9, 1)
    state = intervention.init(KEY)
    inputs = STATES * 100
    assert not np.isfinite(graph().activations(half, inputs)["w2"]).all()
    weights, _, state = jax.jit(intervention.update)(half, sgd.init(half), state, inputs)
    assert int(state.report.recycled["w2"]) == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(weights))

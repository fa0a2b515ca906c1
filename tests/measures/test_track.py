# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Measures named to `dormant.track`: one pass, one compilation, and a training that is none the
wiser."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import learners, measures
from dormant.vectorized.seeds import axes_of
from tests.small_networks import bits, init_nine, nine, same_bits

KEY = jax.random.key(0)
STATES = jax.random.normal(jax.random.key(4), (16, 3))
TRACES = []


def network(params, states):
    TRACES.append(1)
    return nine(params, states)


def loss(params, states):
    return jnp.mean(jnp.square(network(params, states).astype(jnp.float32) - 1))


@jax.jit
def slope(params):
    return jax.grad(loss)(params, STATES)


@functools.cache
def graph():
    return dormant.trace(network, jax.eval_shape(init_nine, KEY), STATES)


EVERYTHING = (
    *measures.BY_NAME,
    measures.pca_rank(0.95),
    measures.churn(network),
    measures.greedy_action_changes(network),
    measures.ntk_rank(network),
    measures.gradient_covariance(loss),
    measures.optimization_readiness(loss),
    measures.hessian_eigenvalue(loss, 4),
)


@functools.cache
def tracker():
    return dormant.track(graph(), measures=EVERYTHING, period=2)


@functools.cache
def few():
    named = ("srank", "gradient_norm", "update_norm", "distance_from_initialization")
    return dormant.track(graph(), measures=named, period=2)


@functools.cache
def compiled():
    return jax.jit(tracker().update)


@jax.jit
def descended(params, gradient):
    return jax.tree.map(lambda leaf, slope: leaf - leaf.dtype.type(0.1) * slope, params, gradient)


@functools.cache
def run(seed=0, dtype=jnp.float32, steps=4):
    """The states of a tracker beside plain gradient descent."""
    params = init_nine(jax.random.key(seed), dtype)
    state = tracker().init(KEY, params)
    found = [(params, state)]
    for _ in range(steps):
        gradient = slope(params)
        params = descended(params, gradient)
        _, _, state = compiled()(params, (), state, STATES, gradient=gradient)
        found.append((params, state))
    return found


def test_every_value_stands_under_its_name_and_is_nan_before_the_first_measurement():
    first, *_, last = (state.report.measures for _, state in run())
    names = [each if isinstance(each, str) else each.name for each in EVERYTHING]
    assert list(first) == names and set(last) == set(names)
    assert len(names) == len(measures.CATALOG) + 1
    assert jax.tree.structure(first) == jax.tree.structure(last)
    assert all(leaf.dtype == jnp.float32 and leaf.shape == () for leaf in jax.tree.leaves(last))
    assert all(np.isnan(leaf) for leaf in jax.tree.leaves(first))
    assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(last))


def test_values_are_those_of_the_measures_alone():
    """Before and initial parameters are those of the measurement before and of the start."""
    (initial, _), _, (before, _), _, (params, state) = run()
    activations = jax.jit(graph().activations)(params, STATES)
    # The tracker was given the gradient of the update, which was taken one step earlier.
    gradient = slope(run()[3][0])
    inputs = measures.MeasureInputs(
        params, activations, (STATES,), gradient, previous=before, initial=initial
    )
    expected = jax.jit(lambda inputs: measures.measured(graph(), measures_of_all(), inputs))(inputs)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-6),
        state.report.measures,
        expected,
    )
    first = run()[2][1].report.measures["update_norm"]  # since the start
    assert first == run()[2][1].report.measures["distance_from_initialization"]
    assert first != state.report.measures["update_norm"]


def measures_of_all():
    return [measures.CATALOG[each] if isinstance(each, str) else each for each in EVERYTHING]


def test_one_compilation_serves_every_step():
    run()
    count = len(TRACES)
    params, state = run()[1]
    gradient = jax.grad(loss)(params, STATES)
    count_of_gradient = len(TRACES) - count
    compiled()(params, (), state, STATES, gradient=gradient)
    assert len(TRACES) == count + count_of_gradient
    assert compiled()._cache_size() == 1


def test_bfloat16_is_measured_in_float32():
    last = run(0, jnp.bfloat16)[-1][1]
    assert {leaf.dtype.name for leaf in jax.tree.leaves(last.report.measures)} == {"float32"}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(last.action)} == {"float32"}
    assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(last.report.measures))


def test_vmapped_over_seeds_equals_single_trackers():
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(run(seed)[1] for seed in (0, 1)))
    gradients = jax.jit(jax.vmap(slope))(stacked[0])
    params = jax.tree.map(jnp.subtract, stacked[0], gradients)

    def update(params, state, gradient):
        return tracker().update(params, (), state, STATES, gradient=gradient)[2]

    found = jax.jit(jax.vmap(update))(params, stacked[1], gradients)
    for seed in (0, 1):
        take = functools.partial(jax.tree.map, lambda leaf, s=seed: leaf[s])
        single = compiled()(take(params), (), run(seed)[1][1], STATES, gradient=take(gradients))[2]
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5),
            take(found.report.measures),
            single.report.measures,
        )


# -- what is carried ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named, initial, previous",
    [
        ((), None, None),
        (("srank", "fau", "gradient_norm"), None, None),
        (("update_norm",), False, True),
        (("distance_from_initialization",), True, False),
        ((measures.churn(network), "distance_from_initialization"), True, True),
    ],
)
def test_earlier_parameters_are_carried_only_where_they_are_needed(named, initial, previous):
    carried = dormant.track(graph(), measures=named).init(KEY, init_nine(KEY)).action
    if initial is None:
        assert carried == ()
    else:
        assert (bool(carried.initial), bool(carried.previous)) == (initial, previous)


def test_without_measures_the_state_is_as_ever():
    plain, named = dormant.track(graph()), dormant.track(graph(), measures=("srank",))
    state = plain.init(KEY)
    assert state.report.measures == {} and state.action == ()
    *_, state = plain.update(init_nine(KEY), (), state._replace(step=jnp.int32(999)), STATES)
    *_, other = named.update(
        init_nine(KEY), (), named.init(KEY)._replace(step=jnp.int32(999)), STATES
    )
    assert state.report.measures == {}
    other = other._replace(report=other.report._replace(measures={}))
    assert same_bits(jax.tree.leaves(state), jax.tree.leaves(other))


def test_initial_parameters_must_be_given_where_they_are_compared_with():
    named = dormant.track(graph(), measures=("srank", "distance_from_initialization"))
    with pytest.raises(ValueError, match="^`params` must be .* distance_from_initialization"):
        named.init(KEY)
    with pytest.raises(ValueError, match="^`params` must be .*; got None"):
        dormant.combine(track=named).init(KEY)
    assert dormant.combine(track=named).init(KEY, init_nine(KEY))["track"].action.initial
    # Without initial parameters the first change is unknown, the second is not.
    tracker = dormant.track(graph(), measures=("update_norm",), period=1)
    params, state = init_nine(KEY), tracker.init(KEY)
    norms = []
    for _ in range(2):
        *_, state = tracker.update(params, (), state, STATES)
        norms.append(float(state.report.measures["update_norm"]["w1"]))
    assert np.isnan(norms[0]) and norms[1] == 0


def test_a_gradient_that_is_not_given_leaves_nan_in_its_measures_alone():
    tracker = dormant.track(graph(), measures=("gradient_norm", "weight_norm"), period=1)
    *_, state = tracker.update(init_nine(KEY), (), tracker.init(KEY), STATES)
    found = state.report.measures
    assert all(np.isnan(value) for value in found["gradient_norm"].values())
    assert all(np.isfinite(value) for value in found["weight_norm"].values())


# -- hosts ----------------------------------------------------------------------------------------


def learner(tracker):
    return learners.gradient_learner(
        init_nine,
        optax.adam(1e-2),
        loss=lambda params, target, batch, key: (loss(params, batch), {}),
        policy=lambda *given: jnp.int32(0),
        interventions=learners.Interventions(tracker=tracker),
    )


def trained(made, steps=4):
    step, after = jax.jit(made.step), jax.jit(made.after_step)
    state = jax.jit(made.init)(KEY)
    for _ in range(steps):
        state, _ = step(state, STATES)
        state = after(state, STATES, (STATES,))
    return state


def test_measuring_changes_no_bit_of_the_training():
    plain, tracked = trained(learner(None)), trained(learner(tracker()))
    for part in ("params", "opt_state", "key", "loss", "target_params"):
        assert bits_of(getattr(plain, part)) == bits_of(getattr(tracked, part)), part
    values = tracked.tracker.report.measures
    assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(values))
    # The learner gives the tracker the parameters that it starts from.
    start, end = jax.jit(learner(None).init)(KEY).params, tracked.params
    distance = jnp.linalg.norm(end["w2"] - start["w2"])
    np.testing.assert_allclose(values["distance_from_initialization"]["w2"], distance, rtol=1e-5)


def bits_of(tree):
    return [bits(leaf) for leaf in jax.tree.leaves(tree)]


def test_learners_of_several_seeds_side_by_side():
    made = learner(few())
    states = jax.jit(jax.vmap(made.init))(jax.random.split(KEY, 2))
    shared = jax.tree.map(lambda axis, part: part if axis == 0 else part[0],
                          axes_of(states), states, is_leaf=lambda node: node is None)  # fmt: skip
    axes = axes_of(shared)
    update = jax.vmap(made.update, in_axes=(axes, None, None), out_axes=(axes, 0))
    for _ in range(2):
        shared, _ = jax.jit(update)(shared, STATES, (STATES,))
    values = shared.tracker.report.measures
    assert values["srank"]["w2"].shape == (2,)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(values))


def test_as_a_transformation():
    tx = dormant.as_transformation(optax.sgd(0.1), few(), KEY)
    update = jax.jit(functools.partial(tx.update, inputs=STATES))
    params = init_nine(KEY)
    state = tx.init(params)
    for _ in range(2):
        updates, state = update(slope(params), state, params)
        params = optax.apply_updates(params, updates)
    found = state.intervention.report.measures["update_norm"]["w3"]
    np.testing.assert_allclose(
        found, jnp.linalg.norm(params["w3"] - init_nine(KEY)["w3"]), rtol=1e-5
    )


# -- warnings and errors --------------------------------------------------------------------------


def test_few_rows_are_told_of_when_traced_and_not_again():
    tracker = dormant.track(graph(), measures=("srank",), period=1, score_batch=3)
    update = jax.jit(tracker.update)
    with pytest.warns(UserWarning, match="^srank of w2: at most 3, the rows of the batch"):
        *_, state = update(init_nine(KEY), (), tracker.init(KEY), STATES)
    assert state.report.measures["srank"]["w2"] <= 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        update(init_nine(KEY), (), state, STATES)


def constant(value, of="network"):
    return measures.Measure("mine", "of a test", of, lambda graph, inputs: value)


@pytest.mark.parametrize(
    "named, text",
    [
        ("srank", "`measures` must be a sequence of names and Measures; got 'srank'"),
        (("stable", "srank"), "`measures` must be names among srank, .*; got 'stable'"),
        (("srank", "srank"), r"`measures` must be of different names; got \['srank', 'srank'\]"),
        (
            ("ntk_rank",),
            r"`measures` must be .* dormant.measures.ntk_rank\(apply\); got 'ntk_rank'",
        ),
        (("hessian_eigenvalue",), r"`measures` must be .*hessian_eigenvalue\(loss\); got 'hess"),
        ((3,), "`measures` must be names among .*; got 3"),
        ((constant(0, "world"),), "`mine.of` must be one of hidden layers, .*; got 'world'"),
    ],
)
def test_measures_that_are_not_allowed(named, text):
    with pytest.raises(ValueError, match=f"^{text}"):
        dormant.track(graph(), measures=named)


@pytest.mark.parametrize(
    "measure, text",
    [
        (constant(jnp.ones(2)), r"`mine.measure\(…\)` must be one scalar; got "),
        (constant({"w1": 0.0}, "hidden layers"), r".* must be a scalar for each of w1, w2; got {"),
    ],
)
def test_a_measure_of_ones_own_returns_what_it_declares(measure, text):
    tracker = dormant.track(graph(), measures=(measure,), period=1)
    with pytest.raises(ValueError, match=f"^{text}"):
        tracker.update(init_nine(KEY), (), tracker.init(KEY), STATES)
    mine = dormant.track(graph(), measures=(constant(3),), period=1)
    *_, state = mine.update(init_nine(KEY), (), mine.init(KEY), STATES)
    assert state.report.measures == {"mine": 3.0}

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Churn, the tangent kernel, agreement of gradients, readiness and curvature, against float64
NumPy: gradients there are finite differences of a forward pass of its own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from dormant import measures
from dormant.measures.gradients import _largest_eigenvalue
from tests.measures.references import (
    cosines,
    entropy_rank,
    norm,
    numeric_gradient,
    take,
)

SHAPES = {"w1": (3, 4), "b1": (4,), "w2": (4, 2)}
STATES = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
ACTIONS = {"first": 2.0, "second": -1.0}


def draw(seed, dtype="float32"):
    random = np.random.default_rng(seed)
    return {name: jnp.asarray(random.normal(size=s), dtype) for name, s in SHAPES.items()}


def apply(params, states):
    states = states.astype(params["w1"].dtype)
    return jnp.tanh(states @ params["w1"] + params["b1"]) @ params["w2"]


def loss(params, states):
    return jnp.mean(jnp.square(apply(params, states) - jnp.array([2.0, -1.0])))


@functools.cache
def graph():
    return dormant.trace(apply, draw(0), STATES)


def vector(params):
    return np.concatenate([np.ravel(params[name]).astype(np.float64) for name in sorted(SHAPES)])


def forward(vector, states):
    """The network in float64, of its parameters as one vector."""
    parts, start = {}, 0
    for name in sorted(SHAPES):
        size = int(np.prod(SHAPES[name]))
        parts[name], start = vector[start : start + size].reshape(SHAPES[name]), start + size
    return np.tanh(np.asarray(states, np.float64) @ parts["w1"] + parts["b1"]) @ parts["w2"]


def reference_loss(vector, states):
    return np.mean((forward(vector, states) - np.array([2.0, -1.0])) ** 2)


def gradient(function, params, states):
    return numeric_gradient(lambda vector: function(vector, states), vector(params))


def value(measure, params=None, states=STATES, **given):
    params = draw(0) if params is None else params
    activations = graph().activations(params, states)
    return take(graph(), measure, params, activations, inputs=(states,), **given)


def output_sum(vector, states):
    return forward(vector, states).sum()


def rows_of(function, rows=8, params=None):
    params = draw(0) if params is None else params
    return [gradient(function, params, STATES[i : i + 1]) for i in range(rows)]


# -- churn ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_churn_and_changed_actions(dtype):
    now, before = draw(0, dtype), draw(1, dtype)
    outputs = [np.asarray(apply(params, STATES), np.float64) for params in (now, before)]
    churn = np.mean([abs(one - other) for one, other in zip(*outputs, strict=True)])
    flips = sum(one.argmax() != other.argmax() for one, other in zip(*outputs, strict=True)) / 8
    with jax.disable_jit():  # as the outputs: a program rounds to bfloat16 less often
        found = value(measures.churn(apply), now, previous=before)
    np.testing.assert_allclose(found, churn, rtol=1e-5)
    assert 0 < flips < 1
    assert value(measures.greedy_action_changes(apply), now, previous=before) == flips


@pytest.mark.parametrize("make", [measures.churn, measures.greedy_action_changes])
def test_no_change_makes_no_churn_and_nothing_known_makes_nan(make):
    measure = make(apply)
    assert value(measure, previous=draw(0)) == 0
    assert np.isnan(value(measure))
    unknown = jax.tree.map(lambda leaf: leaf * jnp.nan, draw(0))
    assert np.isnan(value(measure, previous=unknown))


# -- gradients of single inputs -------------------------------------------------------------------


@pytest.mark.parametrize("rows", [3, 8, 99])
def test_rank_of_the_tangent_kernel(rows):
    gradients = np.array(rows_of(output_sum, min(rows, 8)))
    eigenvalues = np.maximum(np.linalg.eigvalsh(gradients @ gradients.T), 0)
    found = value(measures.ntk_rank(apply, rows))
    np.testing.assert_allclose(found, entropy_rank(eigenvalues), rtol=1e-3)
    assert 1 <= found <= min(rows, 8)


def test_the_tangent_kernel_of_equal_inputs_has_rank_one_and_of_no_gradient_zero():
    equal = np.repeat(STATES[:1], 5, axis=0)
    np.testing.assert_allclose(value(measures.ntk_rank(apply), states=equal), 1, rtol=1e-4)
    dead = measures.ntk_rank(lambda params, states: 0 * apply(params, states))
    assert value(dead) == 0
    doubled = value(measures.ntk_rank(lambda *given: 1e3 * apply(*given)))
    np.testing.assert_allclose(doubled, value(measures.ntk_rank(apply)), rtol=1e-4)


def test_mean_cosine_of_the_gradients():
    found = value(measures.gradient_covariance(loss))
    np.testing.assert_allclose(found, cosines(rows_of(reference_loss)), rtol=1e-3)
    equal = np.repeat(STATES[:1], 5, axis=0)
    np.testing.assert_allclose(
        value(measures.gradient_covariance(loss), states=equal), 1, rtol=1e-5
    )


def test_inputs_without_a_gradient_make_no_pairs():
    def masked(params, states):
        return loss(params, states) * jnp.any(states[:, 0] > -50)

    states = STATES.copy()
    states[2:5, 0] = -99
    kept = [row for i, row in enumerate(rows_of(reference_loss)) if not 2 <= i < 5]
    found = value(measures.gradient_covariance(masked), states=states)
    np.testing.assert_allclose(found, cosines(kept), rtol=1e-3)
    assert np.isnan(value(measures.gradient_covariance(masked), states=states[:2] * 0 - 99))
    assert np.isnan(value(measures.gradient_covariance(loss), states=STATES[:1]))


@pytest.mark.parametrize("rows, batch, used", [(8, 2, 8), (7, 2, 6), (64, 4, 8), (8, 1, 8)])
def test_optimization_readiness(rows, batch, used):
    whole = gradient(reference_loss, draw(0), STATES[:used])
    batches = [
        gradient(reference_loss, draw(0), STATES[start : start + batch])
        for start in range(0, used, batch)
    ]
    strength = norm(whole) ** 2 / reference_loss(vector(draw(0)), STATES[:used])
    reliability = norm(whole) ** 2 / np.mean([norm(each) ** 2 for each in batches])
    assert 0 < reliability <= 1
    found = value(measures.optimization_readiness(loss, rows, batch))
    np.testing.assert_allclose(found, strength * reliability, rtol=1e-3)


def test_readiness_of_equal_rows_is_the_strength_and_of_no_loss_zero():
    equal = np.repeat(STATES[:1], 8, axis=0)
    whole = gradient(reference_loss, draw(0), equal)
    strength = norm(whole) ** 2 / reference_loss(vector(draw(0)), equal)
    found = value(measures.optimization_readiness(loss), states=equal)
    np.testing.assert_allclose(found, strength, rtol=1e-3)
    for scale in (0.0, 1e-30):
        found = value(measures.optimization_readiness(lambda *given, s=scale: s * loss(*given)))
        assert found == 0 if scale == 0 else found < 1e-20
    summed = measures.optimization_readiness(lambda *given: jnp.sum(loss(*given)), 8, 4)
    assert np.isnan(value(summed, states=STATES[:3]))  # less than a batch


# -- curvature ------------------------------------------------------------------------------------


def reference_eigenvalue(params):
    start = vector(params)
    columns = [
        (
            numeric_gradient(lambda v: reference_loss(v, STATES), start + shift, 1e-4)
            - numeric_gradient(lambda v: reference_loss(v, STATES), start - shift, 1e-4)
        )
        / 2e-3
        for shift in np.eye(start.size) * 1e-3
    ]
    hessian = np.array(columns)
    return np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_largest_eigenvalue_of_the_hessian(seed):
    expected = reference_eigenvalue(draw(seed))
    found = [value(measures.hessian_eigenvalue(loss, n), draw(seed)) for n in (1, 4, 16)]
    np.testing.assert_allclose(found[-1], expected, rtol=1e-3)
    assert found[0] < found[1] <= found[2] * 1.0001


@pytest.mark.parametrize(
    "eigenvalues", [[3.0, 1.0, -5.0], [-4.0, -1.0, -2.0], [2.0, 2.0, 2.0], [0] * 3]
)
@pytest.mark.parametrize("iterations", [3, 12])
def test_of_known_eigenvalues(eigenvalues, iterations):
    """Also where the space is exhausted early, and where all are negative."""
    size = 12
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))
    matrix = jnp.asarray(
        rotation @ np.diag([float(each) for each in eigenvalues] * 4) @ rotation.T, jnp.float32
    )
    start = jnp.ones(size) / size**0.5
    found = _largest_eigenvalue(lambda v: matrix @ v, start, iterations)
    np.testing.assert_allclose(found, max(eigenvalues), rtol=1e-4, atol=1e-6)


# -- all ------------------------------------------------------------------------------------------

MADE = [
    measures.churn(apply),
    measures.greedy_action_changes(apply),
    measures.ntk_rank(apply),
    measures.gradient_covariance(loss),
    measures.optimization_readiness(loss, batch=2),
    measures.hessian_eigenvalue(loss),
]


@pytest.mark.parametrize("measure", MADE, ids=lambda measure: measure.name)
def test_nan_is_nan_and_bfloat16_is_near(measure):
    broken = draw(0) | {"w2": draw(0)["w2"].at[0, 0].set(jnp.nan)}
    assert np.isnan(value(measure, broken, previous=draw(1)))
    states = STATES.copy()
    states[1, 1] = np.nan
    assert np.isnan(value(measure, states=states, previous=draw(1)))
    coarse = value(measure, draw(0, "bfloat16"), previous=draw(1, "bfloat16"))
    np.testing.assert_allclose(coarse, value(measure, previous=draw(1)), rtol=0.1, atol=0.05)


@pytest.mark.parametrize("measure", MADE, ids=lambda measure: measure.name)
def test_the_order_of_the_inputs_does_not_matter(measure):
    if measure.name == "optimization_readiness":
        measure = measures.optimization_readiness(loss, batch=1)
    order = np.random.default_rng(2).permutation(8)
    found = value(measure, states=STATES[order], previous=draw(1))
    np.testing.assert_allclose(found, value(measure, previous=draw(1)), rtol=1e-3)


def test_a_key_among_the_inputs_is_given_to_every_row():
    def noisy(params, states, key):
        return apply(params, states) * (1 + 0 * jax.random.normal(key))

    activations = graph().activations(draw(0), STATES)
    for key in (jax.random.key(3), jax.random.PRNGKey(3)):
        given = (STATES, key)
        found = take(graph(), measures.ntk_rank(noisy), draw(0), activations, inputs=given)
        np.testing.assert_allclose(found, value(measures.ntk_rank(apply)), rtol=1e-5)


@pytest.mark.parametrize("neurons", [4, 8])  # 8: as many as there are rows
@pytest.mark.parametrize("measure", [measures.ntk_rank, measures.gradient_covariance])
def test_inputs_without_rows_are_given_whole(measure, neurons):
    keys = jax.random.split(jax.random.key(0), 4)
    params = {
        "w1": jax.random.normal(keys[0], (3, neurons)),
        "w2": jax.random.normal(keys[1], (neurons, 2)),
    }
    statistics = {"mean": jax.random.normal(keys[2], (neurons,)), "var": jnp.full(neurons, 2.0)}
    table, targets = jax.random.normal(keys[3], (50, 3)), STATES[:, 0]

    def network(params, statistics, table, states, targets):
        hidden = (states + table[7]) @ params["w1"]
        hidden = jnp.tanh((hidden - statistics["mean"]) / jnp.sqrt(statistics["var"]))
        return hidden @ params["w2"] - targets[:, None]

    def closed(params, states):
        # Targets by rows of the states, since one row of them is given at a time.
        return network(params, statistics, table, states, states[:, 0])

    def of(function):
        if measure is measures.ntk_rank:
            return measure(function, rows=6)
        return measure(lambda *given: jnp.mean(jnp.square(function(*given))), rows=6)

    graph = dormant.trace(closed, params, STATES)
    activations = graph.activations(params, STATES)
    inputs = (statistics, table, STATES, targets)
    found = take(graph, of(network), params, activations, inputs=inputs)
    expected = take(graph, of(closed), params, activations, inputs=(STATES,))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_without_rows_there_is_no_single_input():
    one = STATES[0]
    graph_of_one = dormant.trace(apply, draw(0), one)
    activations = graph_of_one.activations(draw(0), one)
    with pytest.raises(ValueError, match=r"^`inputs` must have rows: .*; got shapes \[\(3,\)\]"):
        take(graph_of_one, measures.ntk_rank(apply), draw(0), activations, inputs=(one,))


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: measures.churn("q"), "`apply` must be a function; got 'q'"),
        (lambda: measures.ntk_rank(apply, 0), "`rows` must be a whole number >= 1; got 0"),
        (
            lambda: measures.gradient_covariance(loss, 1),
            "`rows` must be a whole number >= 2; got 1",
        ),
        (lambda: measures.gradient_covariance(None), "`loss` must be a function; got None"),
        (lambda: measures.optimization_readiness(loss, 3), "`rows` must be a whole number >= 4; "),
        (
            lambda: measures.hessian_eigenvalue(loss, 0),
            "`iterations` must be a whole number >= 1; ",
        ),
    ],
)
def test_arguments_that_are_not_allowed(make, text):
    with pytest.raises(ValueError, match=f"^{text}"):
        make()

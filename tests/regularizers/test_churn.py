# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The churn of a network's outputs: its value, its gradient, and what it does in a loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import regularizers
from tests.small_networks import MLP, STATES, draw, mlp, same_bits

PARAMS, ADAM = draw(MLP, 0), optax.adam(0.02)


def test_churn_loss():
    previous = draw(MLP, 1)

    def outputs(params, states, shift):
        made = mlp(params, states) + shift
        return {"mean": made, "first": made[:, 0]}

    inputs = (STATES, jnp.ones(2))
    value, slope = jax.jit(
        jax.value_and_grad(
            lambda params: regularizers.churn_loss(outputs, params, previous, inputs)
        )
    )(PARAMS)
    changes = np.asarray(mlp(PARAMS, STATES), np.float64) - mlp(previous, STATES)
    both = np.concatenate([changes.ravel(), changes[:, 0]])
    np.testing.assert_allclose(value, np.mean(both**2), rtol=1e-5)
    expected = jax.jit(
        jax.grad(lambda params: jnp.mean((mlp(params, STATES) - mlp(previous, STATES)) ** 2))
    )(PARAMS)
    gradients = jax.jit(jax.grad(functools.partial(regularizers.churn_loss, mlp), (0, 1)))
    alone, other = gradients(PARAMS, previous, STATES)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-6), alone, expected)
    assert jax.tree.reduce(lambda total, leaf: total + jnp.sum(leaf**2), slope, 0.0) > 0
    assert not any(np.asarray(leaf).any() for leaf in other.values())


@functools.partial(jax.jit, donate_argnums=(0, 1, 2))
def step(params, previous, state, coefficient):
    def loss(params):
        churn = regularizers.churn_loss(mlp, params, previous, STATES[3:])
        return jnp.mean((mlp(params, STATES[:3]) - 1) ** 2) + coefficient * churn

    updates, state = ADAM.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), params, state


def test_churn_loss_in_a_loop():
    """As its docstring says: the first step is that of the loss alone, later ones churn less."""
    churned, first = {}, {}
    churn = jax.jit(functools.partial(regularizers.churn_loss, mlp))
    for coefficient in (0.0, 5.0):
        params, total = jax.tree.map(lambda leaf: jnp.array(leaf) / 2, PARAMS), 0.0
        carry = (params, jax.tree.map(jnp.copy, params), ADAM.init(params))
        for _ in range(30):
            carry = step(*carry, coefficient)
            total += float(churn(*carry[:2], STATES[3:]))
            first.setdefault(coefficient, jax.tree.map(np.array, carry[0]))
        churned[coefficient] = total
    assert same_bits(first[5.0], first[0.0])
    assert churned[5.0] < 0.7 * churned[0.0]


def test_churn_loss_of_bfloat16_is_float32():
    low, states = jax.tree.map(jnp.bfloat16, PARAMS), jnp.bfloat16(STATES)
    assert mlp(low, states).dtype == jnp.bfloat16
    assert regularizers.churn_loss(mlp, low, low, states).dtype == jnp.float32
    with pytest.raises(
        ValueError, match=r"^`apply` must be a function \(params, \*inputs\); got 3"
    ):
        regularizers.churn_loss(3, low, low, states)
    with pytest.raises(ValueError, match="^`apply` must be a function with at least one output"):
        regularizers.churn_loss(lambda params, states: (), low, low, states)


def test_churn_reduction_is_the_loss_in_a_loop():
    tx = regularizers.churn_reduction(ADAM, mlp, 5.0, lambda batch: batch["other"])

    @jax.jit
    def reduced(params, state):
        def loss(params):
            return jnp.mean((mlp(params, STATES[:3]) - 1) ** 2)

        updates, state = tx.update(
            jax.grad(loss)(params), state, params, batch={"other": STATES[3:]}
        )
        return optax.apply_updates(params, updates), state

    params = jax.tree.map(jnp.array, PARAMS)
    carry = (params, jax.tree.map(jnp.copy, params), ADAM.init(params))
    state = tx.init(PARAMS)
    params = PARAMS
    for _ in range(5):
        carry = step(*carry, 5.0)
        params, state = reduced(params, state)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-6), params, carry[0])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-6), state.previous, carry[1]
    )


def test_after_a_recycle_the_reference_is_the_recycled_network():
    tx = regularizers.churn_reduction(ADAM, mlp, 5.0, lambda batch: batch)
    graph = dormant.trace(mlp, PARAMS, STATES)
    masks = {graph.names[0]: jnp.arange(graph.layers[0].neurons) == 1}
    recycled = dormant.recycle(graph, PARAMS, draw(MLP, 2), masks)
    state = tx.init(jax.tree.map(lambda leaf: leaf * 2, PARAMS))
    state = dormant.reset_moments(tx, graph, state, masks, params=recycled)
    touched = dormant.parts.touched_entries(graph, masks).either
    for name, leaf in recycled.items():
        expected = np.where(touched[name], leaf, PARAMS[name] * 2)
        np.testing.assert_array_equal(state.previous[name], expected)


def test_churn_reduction_checks_what_it_is_given():
    assert regularizers.churn_reduction(ADAM, mlp, 0, lambda batch: batch).init(PARAMS)
    tx = regularizers.churn_reduction(ADAM, mlp, 1.0, lambda batch: batch)
    with pytest.raises(ValueError, match="`batch` must be given to `update`"):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    with pytest.raises(ValueError, match="`coefficient` must be"):
        regularizers.churn_reduction(ADAM, mlp, -1.0, lambda batch: batch)

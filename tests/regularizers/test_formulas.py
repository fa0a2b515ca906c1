# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Every regularizer against its paper's formula in float64 NumPy, with a convolution, a kernel with
more outputs than inputs and an output layer. Gradients are differences of the penalty itself."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dormant
from dormant import regularizers
from tests.small_networks import IMAGES, convolve, draw

SHAPES = {"conv": (2, 3, 2, 3), "bias": (3,), "wide": (48, 4), "wider": (4, 6), "out": (6, 2)}
HIDDEN, KERNELS = ("conv", "wide", "wider"), ("conv", "wide", "wider", "out")
PARAMS = {name: 0.5 * array for name, array in draw(SHAPES, 0).items()}
RATE, STEPS = 0.1, 4


def network(params, images):
    x = jax.nn.softplus(convolve(images, params["conv"]) + params["bias"])
    x = jax.nn.softplus(x.reshape(x.shape[0], -1) @ params["wide"])
    return jax.nn.softplus(x @ params["wider"]) @ params["out"]


@functools.cache
def graph():
    return dormant.trace(network, PARAMS, IMAGES)


def gradients(step):
    return draw(SHAPES, 100 + step)


def run(transformation, steps=STEPS, params=PARAMS):
    update, state = jax.jit(transformation.update), transformation.init(params)
    for step in range(steps):
        updates, state = update(gradients(step), state, params)
        params = optax.apply_updates(params, updates)
    return params


def by_hand(step, steps=STEPS):
    """`step(params, gradient, number) -> params` of every array by itself, in float64."""
    params = {name: np.asarray(array, np.float64) for name, array in PARAMS.items()}
    for number in range(steps):
        found = gradients(number)
        for name in params:
            params[name] = step(name, params[name], np.asarray(found[name], np.float64), number)
    return params


def assert_close(found, expected, rtol=1e-4):
    for name in SHAPES:
        np.testing.assert_allclose(found[name], expected[name], rtol, 1e-5, err_msg=name)


class Adam:
    """Kingma & Ba's algorithm 1, with a step count that can be set."""

    def __init__(self):
        self.first, self.second = dict.fromkeys(SHAPES, 0.0), dict.fromkeys(SHAPES, 0.0)

    def __call__(self, name, gradient, count):
        self.first[name] = 0.9 * self.first[name] + 0.1 * gradient
        self.second[name] = 0.999 * self.second[name] + 0.001 * gradient**2
        corrected = self.second[name] / (1 - 0.999**count)
        return -RATE * self.first[name] / (1 - 0.9**count) / (np.sqrt(corrected) + 1e-8)


def differences(penalty, array):
    """The gradient of a penalty by central differences."""
    found = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        moved = np.zeros_like(array)
        moved[place] = 1e-5
        found[place] = (penalty(array + moved) - penalty(array - moved)) / 2e-5
    return found


def weights(array):
    """The matrix W of the papers: a row of weights for every neuron."""
    return array.reshape(-1, array.shape[-1]).T


# -- penalties ------------------------------------------------------------------------------------


def test_l2_init_adds_the_gradient_of_its_penalty():
    adam = Adam()

    def step(name, param, gradient, number):
        pull = differences(lambda array: 0.3 * np.sum((array - PARAMS[name]) ** 2), param)
        return param + adam(name, gradient + pull, number + 1)

    assert_close(run(regularizers.l2_init(optax.adam(RATE), 0.3)), by_hand(step))


@pytest.mark.parametrize("learning_rate", [None, RATE, lambda step: RATE / (1 + step)])
def test_l2_init_decoupled(learning_rate):
    def step(name, param, gradient, number):
        rate = learning_rate(number) if callable(learning_rate) else learning_rate or 1.0
        return param - RATE * gradient - rate * 0.3 * (param - PARAMS[name])

    decoupled = {"kind": "decoupled", "learning_rate": learning_rate}
    assert_close(run(regularizers.l2_init(optax.sgd(RATE), 0.3, **decoupled)), by_hand(step))


@pytest.mark.parametrize("power, output_layers", [(1, False), (2, True), (3, True)])
def test_spectral_regularization(power, output_layers):
    def penalty(array):
        return 0.05 * (np.linalg.svd(weights(array), compute_uv=False)[0] ** power - 1) ** 2

    def step(name, param, gradient, number):
        if name in (KERNELS if output_layers else HIDDEN):
            gradient = gradient + differences(penalty, param)
        return param - 0.01 * gradient

    found = regularizers.spectral_regularization(
        optax.sgd(0.01), graph(), 0.05, power=power, iterations=60, output_layers=output_layers
    )
    assert_close(run(found), by_hand(step), rtol=1e-3)


def test_one_power_iteration_a_step_finds_the_largest_singular_value():
    """And only that moves; a kernel of zeros stays as it is and does not spoil the vector."""
    transformation = regularizers.spectral_regularization(optax.sgd(0.02), graph(), 0.5)
    params = PARAMS | {"wider": np.zeros((4, 6), np.float32)}
    zeros = jax.tree.map(jnp.zeros_like, params)
    before = {name: np.linalg.svd(weights(params[name]), compute_uv=False) for name in KERNELS}
    state, update = transformation.init(params), jax.jit(transformation.update)
    for _ in range(300):
        updates, state = update(zeros, state, params)
        params = optax.apply_updates(params, updates)
    for name in ("conv", "wide", "out"):
        found = np.linalg.svd(weights(np.asarray(params[name])), compute_uv=False)
        assert before[name][0] > 1.1 and abs(found[0] - 1) < 0.02, name
    assert not np.asarray(params["wider"]).any()
    vectors = [np.linalg.norm(vector) for vector in state[0].kernels]
    np.testing.assert_allclose(vectors, 1, rtol=1e-5)
    np.testing.assert_array_equal(params["bias"], PARAMS["bias"])


@pytest.mark.parametrize("output_layers", [False, True])
def test_parseval_regularization(output_layers):
    def penalty(array):  # the neurons' side, whichever is the smaller one
        gram = weights(array) @ weights(array).T
        return 0.05 * np.sum((gram - 1.5 * np.eye(len(gram))) ** 2)

    def step(name, param, gradient, number):
        if name in (KERNELS if output_layers else HIDDEN):
            gradient = gradient + differences(penalty, param)
        return param - 0.01 * gradient

    found = regularizers.parseval_regularization(
        optax.sgd(0.01), graph(), 0.05, scale=1.5, output_layers=output_layers
    )
    assert_close(run(found), by_hand(step), rtol=1e-3)


def isometry(array):
    matrix = weights(array)  # d_l rows, d_(l - 1) columns
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    return np.sum((gram - np.eye(len(gram))) ** 2)


@pytest.mark.parametrize("learning_rate", [RATE, lambda step: RATE / (1 + step)])
def test_isometry_decay_with_adam_is_adamo(learning_rate):
    adam = Adam()

    def step(name, param, gradient, number):
        rate = learning_rate(number) if callable(learning_rate) else learning_rate
        change = adam(name, gradient, number + 1)  # of the task's gradient alone
        if name in KERNELS:
            change = change - rate * 0.05 * differences(isometry, param)
        return param + change

    found = regularizers.isometry_decay(
        optax.adam(RATE), graph(), 0.05, learning_rate=learning_rate
    )
    assert_close(run(found), by_hand(step), rtol=1e-3)


def test_isometry_decay_ends_at_isometries():
    decay = regularizers.isometry_decay(optax.sgd(RATE), graph(), 0.02)
    zeros, params, state = jax.tree.map(jnp.zeros_like, PARAMS), PARAMS, decay.init(PARAMS)
    update = jax.jit(decay.update)
    for _ in range(400):
        updates, state = update(zeros, state, params)
        params = optax.apply_updates(params, updates)
    for name in KERNELS:
        values = np.linalg.svd(weights(np.asarray(params[name])), compute_uv=False)
        np.testing.assert_allclose(values, 1, atol=1e-3, err_msg=name)


# -- projections ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bound, output_layers", [("fan_in", True), ("initial", False)])
def test_weight_clipping(bound, output_layers):
    def step(name, param, gradient, number):
        new = param - RATE * gradient
        if name not in (KERNELS if output_layers else HIDDEN):
            return new
        fan_in = np.prod(SHAPES[name][:-1])
        largest = np.abs(PARAMS[name]).max() if bound == "initial" else 1 / np.sqrt(fan_in)
        return np.clip(new, -0.9 * largest, 0.9 * largest)

    found = regularizers.weight_clipping(
        optax.sgd(RATE), graph(), 0.9, bound=bound, output_layers=output_layers
    )
    assert_close(run(found), by_hand(step))


@pytest.mark.parametrize("output_layers", [False, True])
def test_norm_projection(output_layers):
    def step(name, param, gradient, number):
        new = param - RATE * gradient
        if name not in (KERNELS if output_layers else HIDDEN):
            return new
        return new * np.linalg.norm(PARAMS[name]) / np.linalg.norm(new)

    found = regularizers.norm_projection(optax.sgd(RATE), graph(), output_layers=output_layers)
    assert_close(run(found), by_hand(step))


@functools.cache
def projected():
    both = regularizers.norm_projection(optax.sgd(1.0), graph())
    both = regularizers.weight_clipping(both, graph(), 2.0, bound="initial")
    return both, jax.jit(both.update)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(-3, 3))
def test_whatever_the_gradient_norms_and_bounds_are_kept(seed, exponent):
    transformation, update = projected()
    found = {name: 10**exponent * array for name, array in draw(SHAPES, seed).items()}
    updates, _ = update(found, transformation.init(PARAMS), PARAMS)
    params = optax.apply_updates(PARAMS, updates)
    for name in HIDDEN:
        norm, initial = np.linalg.norm(params[name]), np.linalg.norm(PARAMS[name])
        bound = 2 * np.abs(PARAMS[name]).max()
        was_clipped = np.isclose(np.abs(params[name]).max(), bound)
        assert norm <= initial * (1 + 1e-4) and (was_clipped or norm >= initial * (1 - 1e-4))
    for name in KERNELS:
        assert np.abs(params[name]).max() <= 2 * np.abs(PARAMS[name]).max() * (1 + 1e-6)


def test_what_is_zero_at_first_still_learns():
    params = PARAMS | {"out": np.zeros(SHAPES["out"], np.float32)}
    for transformation in (
        regularizers.norm_projection(optax.sgd(RATE), graph(), output_layers=True),
        regularizers.weight_clipping(optax.sgd(RATE), graph(), bound="initial"),
    ):
        updates, _ = transformation.update(gradients(0), transformation.init(params), params)
        np.testing.assert_allclose(updates["out"], -RATE * gradients(0)["out"], rtol=1e-6)


# -- the step count of Adam -----------------------------------------------------------------------


@pytest.mark.parametrize("period", [1, 3])
def test_adam_rel(period):
    adam = Adam()

    def step(name, param, gradient, number):
        return param + adam(name, gradient, number % period + 1)

    found = run(regularizers.adam_rel(optax.adam(RATE), period), 7)
    assert_close(found, by_hand(step, 7))


def test_adam_rel_restarts_no_count_of_a_schedule():
    schedule = optax.linear_schedule(RATE, 0.0, 7)
    chain = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))
    transformation = regularizers.adam_rel(chain, 3)
    state = transformation.init(PARAMS)
    update = jax.jit(transformation.update)
    for _ in range(7):
        _, state = update(gradients(0), state, PARAMS)
    counts = optax.tree_utils.tree_get_all_with_path(state, "count")
    assert sorted(int(count) for _, count in counts) == [1, 7]
    assert int(state.step) == 1


def test_a_restart_of_adam_rel_restarts_the_counts_of_all_entries():
    transformation = dormant.per_entry_counts(regularizers.adam_rel(optax.adam(RATE), 3))
    found, state, update = PARAMS, transformation.init(PARAMS), jax.jit(transformation.update)
    for step in range(5):
        updates, state = update(gradients(step), state, found)
        found = optax.apply_updates(found, updates)
    assert {int(count) for leaf in state.counts[0].values() for count in np.unique(leaf)} == {2}
    assert_close(found, run(regularizers.adam_rel(optax.adam(RATE), 3), 5))


def test_what_adam_rel_does_to_the_first_step_after_a_change():
    """Its paper's claim: 0.32 of Adam's step where the gradient stays as it was, and no more than
    about the learning rate where it grows a thousand times, which Adam answers with three."""
    param, lengths = {"x": jnp.zeros(())}, {}
    for name, adam in (
        ("adam", optax.adam(RATE)),
        ("rel", regularizers.adam_rel(optax.adam(RATE), 5_000)),
    ):
        state, update = adam.init(param), jax.jit(adam.update)
        for _ in range(5_000):
            _, state = update({"x": jnp.ones(())}, state, param)
        lengths[name] = [
            abs(float(update({"x": jnp.float32(size)}, state, param)[0]["x"])) / RATE
            for size in (1.0, 1_000.0)
        ]
    np.testing.assert_allclose(lengths["adam"], [1, np.sqrt(1000) / 10], rtol=0.01)
    np.testing.assert_allclose(lengths["rel"], [0.32, 1], rtol=0.02)

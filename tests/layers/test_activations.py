# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Each activation against its paper's formula in float64 NumPy, and what every one must pass."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from dormant import layers

X = np.random.default_rng(0).normal(0, 2, (6, 5))
ALPHA = np.linspace(-0.5, 1, 5)
KEY = jax.random.key(3)


def relu(x):
    return np.maximum(x, 0)


def gated(value, slope, alpha, lipschitz=1.0):
    """AdaLin as its paper writes it."""

    def formula(x):
        gate = np.cos(np.pi / 2 * np.abs(slope(x)) / lipschitz)
        return value(x) + alpha * x * gate

    return formula


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def swish_slope(x):
    return sigmoid(x) * (1 + x * (1 - sigmoid(x)))


def adaptive(activation, **options):
    return lambda x: layers.adaptive_linear(x, ALPHA, activation, **options)


# The function, and its formula.
FUNCTIONS = {
    "crelu": (layers.concatenated_relu, lambda x: np.concatenate([relu(x), relu(-x)], -1)),
    "fourier": (
        layers.deep_fourier_features,
        lambda x: np.concatenate([np.sin(x), np.cos(x)], -1),
    ),
    "adaptive relu": (adaptive(jax.nn.relu), gated(relu, lambda x: x > 0, ALPHA)),
    "adaptive tanh": (adaptive(jnp.tanh), gated(np.tanh, lambda x: 1 - np.tanh(x) ** 2, ALPHA)),
    "adaptive swish": (
        adaptive(nn.swish, lipschitz=1.1),
        gated(lambda x: x * sigmoid(x), swish_slope, ALPHA, 1.1),
    ),
    "smooth leaky": (
        layers.smooth_leaky_relu,
        lambda x: 0.1 * x + 0.9 * x * sigmoid(5 * x / 3),
    ),
    "smooth leaky, sharp": (
        functools.partial(layers.smooth_leaky_relu, alpha=0.3, c=8.0, p=0.5),
        lambda x: 0.3 * x + 0.7 * x * sigmoid(16 * x),
    ),
    "interval dropout": (layers.interval_dropout, lambda x: 0.9 * relu(x) - 0.1 * relu(-x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_those_of_the_formula(name):
    function, formula = FUNCTIONS[name]
    expected = formula(X)
    found = jax.jit(function)(jnp.asarray(X, jnp.float32))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    low = function(jnp.asarray(X, jnp.bfloat16))
    assert low.dtype == jnp.bfloat16
    # The input itself is rounded to 8 bits.
    rounded = formula(np.asarray(jnp.asarray(X, jnp.bfloat16), np.float64))
    np.testing.assert_allclose(np.asarray(low, np.float64), rounded, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_mapped_over_rows_it_is_the_same_and_its_gradients_are_finite(name):
    function, _ = FUNCTIONS[name]
    x = jnp.asarray(X, jnp.float32)
    np.testing.assert_allclose(jax.vmap(function)(x), function(x), rtol=1e-6)
    extreme = jnp.array([[0.0, -0.0, 1e30, -1e30, 1e-30]], jnp.float32)
    for values in (x, extreme):
        gradient = jax.jit(jax.grad(lambda x: jnp.sum(function(x))))(values)
        assert jnp.isfinite(gradient).all()


def test_no_gradient_flows_through_the_gate():
    x = jnp.asarray(X, jnp.float32)
    slope = 1 - np.tanh(X) ** 2
    gate = np.cos(np.pi / 2 * slope)
    found = jax.grad(lambda x: jnp.sum(layers.adaptive_linear(x, ALPHA, jnp.tanh)))(x)
    np.testing.assert_allclose(found, slope + ALPHA * gate, rtol=1e-4, atol=1e-6)
    by_alpha = jax.grad(lambda a: jnp.sum(layers.adaptive_linear(x, a, jnp.tanh)))(
        jnp.asarray(ALPHA, jnp.float32)
    )
    np.testing.assert_allclose(by_alpha, np.sum(X * gate, 0), rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(st.floats(-50, 50, width=32), st.floats(-2, 2, width=32))
def test_with_relu_adaptive_linear_is_prelu_exactly(x, alpha):
    found = layers.adaptive_linear(jnp.float32(x), alpha)
    assert found == (np.float32(x) if x > 0 else np.float32(alpha) * np.float32(x))


@settings(deadline=None, max_examples=50)
@given(st.floats(-50, 50, width=32))
def test_what_the_functions_are_known_for(x):
    x = jnp.full((1,), x, jnp.float32)
    positive, negative = layers.concatenated_relu(x)
    assert positive - negative == x[0] and positive + negative == abs(x[0])
    sine, cosine = layers.deep_fourier_features(x)
    assert sine**2 + cosine**2 == pytest.approx(1, rel=1e-5)
    assert 1 - 1e-5 <= abs(sine) + abs(cosine) <= 1.4143
    # Its halves are the derivatives of each other: one of them is steep.
    assert max(abs(sine), abs(cosine)) >= 0.707
    smooth = layers.smooth_leaky_relu(x)[0]
    assert min(0.1 * x[0], x[0]) - 1e-5 <= smooth <= max(0.1 * x[0], x[0]) + 1e-5


def test_interval_dropout_keeps_signs_with_their_probabilities():
    x = jnp.array([[2.0], [-3.0]]) * jnp.ones((2, 20_000))
    found = np.asarray(layers.interval_dropout(x, KEY, p=0.8))
    assert set(np.unique(found)) == {-3.0, 0.0, 2.0}
    assert np.mean(found[0] == 2) == pytest.approx(0.8, abs=0.015)
    assert np.mean(found[1] == -3) == pytest.approx(0.2, abs=0.015)
    expected = layers.interval_dropout(x, p=0.8)
    np.testing.assert_allclose(found.mean(1), expected[:, 0], atol=0.06)
    np.testing.assert_array_equal(layers.interval_dropout(x, KEY, p=1.0), jax.nn.relu(x))


def test_modules_are_the_functions():
    x = jnp.asarray(X, jnp.float32)
    ours = layers.linen.AdaptiveLinear(jnp.tanh)
    variables = ours.init(KEY, x)
    np.testing.assert_array_equal(variables["params"]["alpha"], np.zeros(5))
    np.testing.assert_array_equal(ours.apply(variables, x), jnp.tanh(x))
    expected = layers.adaptive_linear(x, ALPHA, jnp.tanh)
    given = {"params": {"alpha": jnp.asarray(ALPHA, jnp.float32)}}
    np.testing.assert_array_equal(ours.apply(given, x), expected)
    other = layers.nnx.AdaptiveLinear(5, jnp.tanh, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(other(x), jnp.tanh(x))
    other.alpha[...] = jnp.asarray(ALPHA, jnp.float32)
    np.testing.assert_array_equal(other(x), expected)


def test_interval_dropout_modules_drop_in_training_alone():
    x = jnp.asarray(X, jnp.float32)
    expected = layers.interval_dropout(x)
    ours = layers.linen.IntervalDropout()
    np.testing.assert_array_equal(ours.apply({}, x, deterministic=True), expected)
    one, two = (
        ours.apply({}, x, deterministic=False, rngs={"dropout": jax.random.key(seed)})
        for seed in (0, 1)
    )
    assert (one != two).any() and set(np.unique(one)) <= {0, *np.unique(x)}
    other = layers.nnx.IntervalDropout(rngs=nnx.Rngs(dropout=0))
    assert (other(x) != other(x)).any()
    other.eval()
    np.testing.assert_array_equal(other(x), expected)


def test_normalized_and_product_layers_are_what_they_say():
    x = jnp.asarray(X, jnp.float32)
    normal = (X - X.mean(-1, keepdims=True)) / np.sqrt(X.var(-1, keepdims=True) + 1e-6)
    ours = layers.linen.Normalized()
    np.testing.assert_allclose(ours.apply(ours.init(KEY, x), x), relu(normal), atol=1e-5)
    other = layers.nnx.Normalized(5, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(other(x), relu(normal), atol=1e-5)
    product = layers.linen.HadamardDense(3)
    params = product.init(KEY, x)
    one, two = (np.asarray(params["params"][f"Dense_{i}"]["kernel"]) for i in (0, 1))
    expected = np.tanh(X @ one) * np.tanh(X @ two)
    np.testing.assert_allclose(product.apply(params, x), expected, rtol=1e-4, atol=1e-6)
    pair = layers.nnx.HadamardDense(5, 3, rngs=nnx.Rngs(0))
    expected = np.tanh(X @ pair.one.kernel[...]) * np.tanh(X @ pair.other.kernel[...])
    np.testing.assert_allclose(pair(x), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: layers.adaptive_linear(x, 0.1, 3), "`activation` must be a function"),
        (lambda x: layers.adaptive_linear(x, 0.1, lipschitz=0), "`lipschitz` must be .* got 0"),
        (lambda x: layers.smooth_leaky_relu(x, -0.1), "`alpha` must be .*got -0.1"),
        (lambda x: layers.smooth_leaky_relu(x, c=0), "`c` must be .*got 0"),
        (lambda x: layers.smooth_leaky_relu(x, p=-1), "`p` must be .*got -1"),
        (lambda x: layers.interval_dropout(x, p=1.5), "`p` must be .*got 1.5"),
        (lambda x: layers.nothing, "no attribute 'nothing'"),
    ],
)
def test_wrong_options_are_named(call, message):
    with pytest.raises((ValueError, AttributeError), match=message):
        call(jnp.ones(3))

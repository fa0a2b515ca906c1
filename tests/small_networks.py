# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Small networks as plain functions of NumPy parameters, for the tests of recycling."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import dormant

STATES = jax.random.normal(jax.random.key(7), (6, 3))
IMAGES = jax.random.normal(jax.random.key(8), (6, 4, 4, 2))


def draw(shapes, seed, dtype="float32"):
    """Normal parameters as NumPy arrays, none of them zero."""
    random = np.random.default_rng(seed)
    return {name: random.normal(size=s).astype(jnp.dtype(dtype)) for name, s in shapes.items()}


def copy(params):
    return {name: array.copy() for name, array in params.items()}


def mask(neurons, *dormant_neurons):
    found = np.zeros(neurons, bool)
    found[list(dormant_neurons)] = True
    return found


def assert_same_bits(found, expected):
    assert set(found) == set(expected)
    for name in expected:
        array = np.asarray(found[name])
        assert array.dtype == expected[name].dtype, name
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
        assert array.tobytes() == expected[name].tobytes(), name


MLP = {"w1": (3, 4), "b1": (4,), "w2": (4, 5), "b2": (5,), "w3": (5, 2), "b3": (2,)}


def mlp(params, states):
    x = jax.nn.relu(states @ params["w1"] + params["b1"])
    x = jax.nn.relu(x @ params["w2"] + params["b2"])
    return x @ params["w3"] + params["b3"]


@functools.cache
def mlp_graph():
    return dormant.trace(mlp, draw(MLP, 0), STATES)


CNN = {"k1": (3, 3, 2, 3), "b1": (3,), "k2": (3, 3, 3, 2), "b2": (2,), "w3": (32, 4), "w4": (4, 2)}


def convolve(images, kernel, groups=1, numbers=("NHWC", "HWIO", "NHWC")):
    return jax.lax.conv_general_dilated(
        images, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=groups
    )


def cnn(params, images):
    x = jax.nn.relu(convolve(images, params["k1"]) + params["b1"])
    x = jax.nn.relu(convolve(x, params["k2"]) + params["b2"])
    x = jax.nn.relu(x.reshape(x.shape[0], -1) @ params["w3"])
    return x @ params["w4"]


@functools.cache
def cnn_graph():
    return dormant.trace(cnn, draw(CNN, 0), IMAGES)


RESIDUAL = {"w1": (3, 4), "w2": (4, 5), "w3": (5, 4), "w4": (4, 2)}


def residual(params, states):
    """Its layers w1 and w3 add up to a stream: they have an obstacle, w2 has none."""
    x = states @ params["w1"]
    return jax.nn.relu(x + jnp.tanh(x @ params["w2"]) @ params["w3"]) @ params["w4"]


@jax.jit
def init_residual(key):
    return {name: jax.random.normal(key, shape) for name, shape in RESIDUAL.items()}


@functools.cache
def residual_graph():
    return dormant.trace(residual, draw(RESIDUAL, 0), STATES)


# A network of nine hidden neurons with an initializer.
NINE_STATES = jax.random.normal(jax.random.key(4), (8, 3))


@functools.partial(jax.jit, static_argnums=1)
def init_nine(key, dtype=jnp.float32):
    one, two, three = jnp.split(jax.random.uniform(key, (43,), dtype, minval=-1.0), [15, 35])
    return {
        "w1": one.reshape(3, 5),
        "b1": jnp.zeros(5, dtype),
        "w2": two.reshape(5, 4),
        "w3": three.reshape(4, 2),
    }


def nine(params, states):
    x = jax.nn.relu(states.astype(params["w1"].dtype) @ params["w1"] + params["b1"])
    return jnp.tanh(x @ params["w2"]) @ params["w3"]


@functools.cache
def nine_graph():
    return dormant.trace(nine, jax.eval_shape(init_nine, jax.random.key(0)), NINE_STATES)


def nine_with_silent(seed=0, silent=((1,), (2,))):
    """Parameters whose first and second hidden layer have the given silent neurons."""
    params = {name: np.array(leaf) for name, leaf in init_nine(jax.random.key(seed)).items()}
    first, second = (list(neurons) for neurons in silent)
    params["w1"][:, first], params["b1"][first] = 0, -1
    params["w2"][:, second] = 0
    return params


def bits(leaf):
    """Type, shape and bytes of an array or of keys."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    array = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
    return str(leaf.dtype), leaf.shape, array.tobytes()


def same_bits(one, other):
    """Whether two trees hold the same, to the bit."""
    return jax.tree.map(bits, one) == jax.tree.map(bits, other)

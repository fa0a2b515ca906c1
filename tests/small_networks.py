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

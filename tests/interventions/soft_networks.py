# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""An MLP and a CNN of Flax, traced, and what feeds and reads a neuron, written down by hand."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import dormant
from tests.traced_networks import CNN, MLP

KEY = jax.random.key(5)
ADAM = optax.adam(1e-2)
VECTORS = jax.random.normal(jax.random.key(1), (6, 7))
IMAGES = jax.random.normal(jax.random.key(2), (3, 4, 4, 2))
# {network: (module, inputs, {hidden layer: the layer that reads it}, output layer)}
NETWORKS = {
    "mlp": (MLP(), VECTORS, {"Dense_0": "Dense_1", "Dense_1": "Dense_2"}, "Dense_2"),
    "tanh": (MLP(nn.tanh), VECTORS, {"Dense_0": "Dense_1", "Dense_1": "Dense_2"}, "Dense_2"),
    "cnn": (CNN(), IMAGES, {"Conv_0": "Conv_1", "Conv_1": "Dense_0"}, "Dense_0"),
}


def readers(network):
    return NETWORKS[network][2]


@functools.cache
def traced(network):
    module, inputs, *_ = NETWORKS[network]
    return dormant.trace(module.apply, jax.eval_shape(module.init, KEY, inputs), inputs)


@functools.cache
def activations(network):
    return jax.jit(traced(network).activations)


@functools.cache
def forward(network):
    return jax.jit(NETWORKS[network][0].apply)


def apply(network, params):
    return forward(network)(params, NETWORKS[network][1])


@functools.cache
def initializer(network):
    """The network's own, with biases that are not 0."""
    module, inputs, *_ = NETWORKS[network]

    @jax.jit
    def init(key):
        params = module.init(key, inputs)
        return jax.tree.map(lambda leaf: leaf + 0.1 if leaf.ndim == 1 else leaf, params)

    return init


@functools.cache
def trained(network):
    """Parameters and the state of Adam after one step: no moment is 0."""
    params = initializer(network)(jax.random.key(8))

    @jax.jit
    def step(params):
        return ADAM.update(jax.tree.map(jnp.ones_like, params), ADAM.init(params))[1]

    return params, step(params)


def float64(params):
    """`{layer: {"kernel", "bias"}}` as arrays of NumPy that can be written."""
    return jax.tree.map(lambda leaf: np.array(leaf, np.float64), params)["params"]


def feeding(layers, layer, neuron):
    """Views of what feeds a neuron."""
    return [layers[layer]["kernel"][..., neuron], layers[layer]["bias"][neuron : neuron + 1]]


def reading(layers, network, layer, neuron):
    """A view of what reads it: of a flatten one row for each position."""
    kernel = layers[readers(network)[layer]]["kernel"]
    width = len(layers[layer]["bias"])
    return kernel[:, :, neuron] if kernel.ndim == 4 else kernel[neuron::width]


def neurons(network):
    return {layer.name: layer.neurons for layer in traced(network).layers}


def some(network, chance=0.5, seed=0):
    """Masks of about that share of the neurons."""
    draw = np.random.default_rng(seed).random
    return {name: jnp.asarray(draw(width) < chance) for name, width in neurons(network).items()}


def scores(network, seed=1):
    """Scores between 0 and 4, none twice."""
    draw = np.random.default_rng(seed).random
    return {
        name: jnp.asarray(4 * draw(width), jnp.float32) for name, width in neurons(network).items()
    }


def acted(action, network, masks, given_scores=None, key=KEY):
    """What an action returns, of the trained parameters."""
    given_scores = given_scores or scores(network)
    return jax.jit(action.act)(*trained(network), masks, key, action.init(), given_scores)


def assert_near(found, layers, rtol=1e-5, atol=1e-6):
    for layer, arrays in layers.items():
        for name, expected in arrays.items():
            place = f"{layer}/{name}"
            array = found["params"][layer][name]
            np.testing.assert_allclose(array, expected, rtol=rtol, atol=atol, err_msg=place)


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)

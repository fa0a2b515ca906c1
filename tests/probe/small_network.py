# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What --network and --loss of the tests name: a Flax module, and functions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn


class Small(nn.Module):
    """Its first layer saturates, the second one rectifies."""

    @nn.compact
    def __call__(self, x):
        x = nn.tanh(nn.Dense(8)(x))
        x = nn.relu(nn.Dense(6)(x))
        return nn.Dense(2)(x)


INPUTS = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)


@functools.cache
def initial_params():
    return jax.jit(Small().init)(jax.random.key(0), INPUTS)


def params(dead=(1, 4)):
    """Variables of `Small` in NumPy, with dead neurons in the second layer."""
    found = jax.tree.map(np.array, initial_params())
    found["params"]["Dense_1"]["bias"][list(dead)] = -50
    return found


def module():
    return Small()


def functions():
    return apply, init


def apply(params, x):
    return jnp.tanh(x @ params["w1"]) @ params["w2"]


def init(key):
    return {"w1": jax.random.normal(key, (3, 4)), "w2": jax.random.normal(key, (4, 2))}


def needs_inputs():
    """As a Haiku network has it."""
    return apply, lambda key, x: init(key)


def residual():
    """A network whose first layer is a stream, and whose second one adds to it."""

    class Residual(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(4)(x)
            x = x + nn.Dense(4)(nn.relu(nn.Dense(5)(x)))
            return nn.Dense(2)(nn.relu(x))

    return Residual()


def linear():
    class Linear(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(x)

    return Linear()


def wider():
    class Wider(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Dense(9)(x))
            return nn.Dense(2)(x)

    return Wider()


def broken():
    raise RuntimeError("no network today")


def loss(params, x, target):
    return jnp.mean(jnp.square(Small().apply(params, x) - target))

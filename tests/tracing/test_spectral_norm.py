# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Kernels divided by one number that is made of parameters, as spectral norm by power iteration."""

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant

X = jax.random.normal(jax.random.key(0), (8, 6))
KEY = jax.random.key(1)
NORMALIZED = "a kernel that it needs is normalized over its entries"


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(12, name="a")(x))
        x = nn.relu(nn.SpectralNorm(nn.Dense(10, name="b"))(x, update_stats=False))
        self.sow("intermediates", "second", x)
        return nn.Dense(2, name="o")(x)


def flax_all(trained_alone):
    variables = Net().init(KEY, X)
    if trained_alone:
        fixed = {"batch_stats": variables["batch_stats"]}
        return lambda params, x: Net().apply({"params": params, **fixed}, x), variables["params"]
    return Net().apply, variables


def haiku():
    def net(x):
        x = jax.nn.relu(hk.Linear(12, name="a")(x))
        kernel = hk.get_parameter("b", (12, 10), init=hk.initializers.RandomNormal())
        x = jax.nn.relu(x @ hk.SpectralNorm()(kernel, update_stats=hk.running_init()))
        return hk.Linear(2, name="o")(x)

    transformed = hk.transform_with_state(net)
    variables = transformed.init(KEY, X)
    return lambda given, x: transformed.apply(*given, None, x)[0], variables


class Equinox(eqx.Module):
    a: eqx.nn.Linear
    b: eqx.nn.SpectralNorm
    o: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 4)
        self.a = eqx.nn.Linear(6, 12, key=keys[0])
        inner = eqx.nn.Linear(12, 10, key=keys[1])
        self.b = eqx.nn.SpectralNorm(inner, "weight", inference=True, key=keys[2])
        self.o = eqx.nn.Linear(10, 2, key=keys[3])

    def __call__(self, x, state):
        x, _ = self.b(jax.nn.relu(self.a(x)), state)
        return self.o(jax.nn.relu(x))


def equinox():
    model, state = eqx.nn.make_with_state(Equinox)(KEY)
    arrays, static = eqx.partition(model, eqx.is_array)

    def apply(variables, x):
        model = eqx.combine(variables[0], static)
        return jax.vmap(lambda row: model(row, variables[1]))(x)

    return apply, (arrays, state)


@pytest.mark.parametrize(
    "made",
    [lambda: flax_all(False), lambda: flax_all(True), haiku, equinox],
    ids=["flax, all variables", "flax, parameters", "haiku", "equinox"],
)
def test_a_layer_under_spectral_norm_is_measured_and_not_recycled(made):
    apply, params = made()
    graph = dormant.trace(apply, params, X)
    assert [layer.neurons for layer in graph.layers] == [12, 10]
    assert {layer.obstacle for layer in graph.layers} == {NORMALIZED}


def test_what_is_measured_is_what_the_network_computes():
    variables = Net().init(KEY, X)
    _, known = Net().apply(variables, X, mutable=["intermediates"])
    found = dormant.trace(Net().apply, variables, X).activations(variables, X)
    np.testing.assert_allclose(found["b"], known["intermediates"]["second"][0], rtol=1e-6)


def test_a_layer_whose_norm_scales_another_cannot_promise():
    """New weights of one neuron would change what all of the other layer put out."""

    def net(params, x):
        vector = jnp.ones((1, 6)) @ params["one"]
        norm = (vector @ vector.T)[0, 0]
        x = jax.nn.relu(x @ params["one"])
        return jax.nn.relu(x @ (params["two"] / norm)) @ params["out"]

    shapes = {"one": (6, 5), "two": (5, 4), "out": (4, 2)}
    params = {name: jax.random.normal(KEY, shape) for name, shape in shapes.items()}
    graph = dormant.trace(net, params, X)
    assert graph["one"].obstacle == "weight sharing: one is also used by a norm of another kernel"
    assert graph["two"].recyclable

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What `dormant.trace` makes of every layer, in an MLP and a CNN, of linen and of nnx."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import dormant
from dormant import layers
from tests.traced_networks import (
    VECTOR,
    Conv,
    Dense,
    Network,
    check_promise,
    flat,
    quick_compilation,
    recyclable,
)

__all__ = ["quick_compilation"]  # a fixture
IMAGE = jax.random.normal(jax.random.key(2), (2, 5, 5, 4))

# The same layer as `linen(x)` in a compact method and as `nnx(features, rngs)`.
LAYERS = {
    "crelu": (layers.concatenated_relu, lambda h, rngs: layers.concatenated_relu),
    "fourier": (layers.deep_fourier_features, lambda h, rngs: layers.deep_fourier_features),
    "smooth leaky": (layers.smooth_leaky_relu, lambda h, rngs: layers.smooth_leaky_relu),
    "interval dropout": (
        lambda x: layers.linen.IntervalDropout()(x, deterministic=True),
        lambda h, rngs: layers.nnx.IntervalDropout(rngs=rngs, deterministic=True),
    ),
    "adaptive relu": (
        lambda x: layers.linen.AdaptiveLinear(alpha_init=nn.initializers.normal())(x),
        lambda h, rngs: layers.nnx.AdaptiveLinear(
            h, alpha_init=nn.initializers.normal(), rngs=rngs
        ),
    ),
    "adaptive tanh": (
        lambda x: layers.linen.AdaptiveLinear(jnp.tanh)(x),
        lambda h, rngs: layers.nnx.AdaptiveLinear(h, jnp.tanh, rngs=rngs),
    ),
    "normalized": (
        lambda x: layers.linen.Normalized()(x),
        lambda h, rngs: layers.nnx.Normalized(h, rngs=rngs),
    ),
}
DOUBLED = ("crelu", "fourier")


class NnxMLP(nnx.Module):
    def __init__(self, activation, doubled, rngs):
        wide = 2 if doubled else 1
        self.one, self.two = nnx.Linear(7, 8, rngs=rngs), nnx.Linear(8 * wide, 6, rngs=rngs)
        self.three = nnx.Linear(6 * wide, 3, rngs=rngs)
        self.first, self.second = activation(8, rngs), activation(6, rngs)

    def __call__(self, x):
        return self.three(self.second(self.two(self.first(self.one(x)))))


class NnxCNN(nnx.Module):
    def __init__(self, activation, doubled, rngs):
        wide = 2 if doubled else 1
        self.one = nnx.Conv(4, 4, (3, 3), rngs=rngs)
        self.two = nnx.Conv(4 * wide, 5, (3, 3), rngs=rngs)
        self.three = nnx.Linear(5 * 5 * 5 * wide, 2, rngs=rngs)
        self.first, self.second = activation(4, rngs), activation(5, rngs)

    def __call__(self, x):
        return self.three(flat(self.second(self.two(self.first(self.one(x))))))


def linen_mlp(activation, x):
    x = activation(Dense(8, name="one")(x))
    x = activation(Dense(6, name="two")(x))
    return Dense(3, name="three")(x)


def linen_cnn(activation, x):
    x = activation(Conv(4, (3, 3), name="one")(x))
    x = activation(Conv(5, (3, 3), name="two")(x))
    return Dense(2, name="three")(flat(x))


def pure(kind, name):
    """`apply`, `init` and inputs of a network with the layer `name`."""
    of_linen, of_nnx = LAYERS[name]
    x = VECTOR if "MLP" in kind else IMAGE
    if "linen" in kind:
        function = linen_mlp if "MLP" in kind else linen_cnn
        network = Network(functools.partial(function, of_linen))
        return network.apply, lambda key: network.init(key, x), x
    model = NnxMLP if "MLP" in kind else NnxCNN

    def split(rngs):
        return nnx.split(model(of_nnx, name in DOUBLED, rngs), nnx.Param, ...)

    definition, _, rest = split(nnx.Rngs(0))
    return (
        lambda params, x: nnx.merge(definition, params, rest)(x),
        lambda key: split(nnx.Rngs(key))[1],
        x,
    )


KINDS = ("linen MLP", "linen CNN", "nnx MLP", "nnx CNN")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in LAYERS if name != "fourier"])
def test_silent_neurons_are_recycled_without_a_trace_or_the_reason_is_named(name, kind):
    apply, init, x = pure(kind, name)
    graph = check_promise(apply, init, x)
    keeps = name != "normalized"
    assert recyclable(graph) == {"one": keeps, "two": keeps}
    assert graph.output_layers == ("three",)
    if not keeps:
        assert all("normalized or gated by a statistic" in why for why in graph.obstacles)
    paths = [entries.path for entries in graph["one"].incoming]
    assert any("alpha" in path for path in paths) == ("adaptive" in name)
    halves = 2 if name in DOUBLED else 1
    params = init(jax.random.key(0))
    found = graph.activations(params, x)["one"]
    assert found.size == halves * (x.size // x.shape[-1]) * graph["one"].neurons


@pytest.mark.parametrize("kind", KINDS)
def test_no_neuron_of_fourier_features_is_silent(kind):
    apply, init, x = pure(kind, "fourier")
    params = jax.tree.map(jnp.zeros_like, init(jax.random.key(0)))
    graph = dormant.trace(apply, params, x)
    activations = graph.activations(params, x)
    for values in activations.values():  # of a network of zeros: sin(0) and cos(0)
        assert set(np.unique(values)) == {0.0, 1.0} and values.shape[-2] == 2
    masks = dormant.dormant_masks(dormant.dormancy_scores(activations), 0.025)
    assert not any(mask.any() for mask in masks.values())
    params = init(jax.random.key(0))
    for scores in dormant.dormancy_scores(graph.activations(params, x)).values():
        assert (scores > 0.7).all() and (scores < 1.42).all()


def test_a_constant_fourier_neuron_varies_for_the_scores_and_keeps_its_gradient():
    apply, init, x = pure("linen MLP", "fourier")
    params = init(jax.random.key(0))
    one = params["params"]["one"]
    one["kernel"] = one["kernel"].at[:, 2].set(0.0)
    graph = dormant.trace(apply, params, x)
    activations = graph.activations(params, x)
    assert np.ptp(activations["one"][:, :, 2], axis=0).max() == 0
    for score in (dormant.parts.variability_score, dormant.parts.contribution_utility):
        assert score(graph, params, activations)["one"][2] > 0.1
    gradient = jax.grad(lambda params: jnp.sum(apply(params, x)))(params)
    assert jnp.abs(gradient["params"]["one"]["bias"][2]) > 1e-3


def test_both_halves_of_a_neuron_are_recycled_together():
    apply, init, x = pure("linen MLP", "crelu")
    params = init(jax.random.key(0))
    graph = dormant.trace(apply, params, x)
    masks = {"one": jnp.arange(8) == 3}
    recycled = dormant.recycle(graph, params, init(jax.random.key(1)), masks)
    changed = np.asarray(
        recycled["params"]["two"]["kernel"] != params["params"]["two"]["kernel"]
    ).any(1)
    np.testing.assert_array_equal(np.flatnonzero(changed), [3, 3 + 8])


@pytest.mark.parametrize("of_nnx", [False, True])
def test_each_factor_of_a_product_is_a_layer(of_nnx):
    if of_nnx:

        class Product(nnx.Module):
            def __init__(self, rngs):
                self.hidden = layers.nnx.HadamardDense(7, 6, rngs=rngs)
                self.head = nnx.Linear(6, 2, rngs=rngs)

            def __call__(self, x):
                return self.head(self.hidden(x))

        definition, _ = nnx.split(Product(nnx.Rngs(0)))
        graph = check_promise(
            lambda state, x: nnx.merge(definition, state)(x),
            lambda key: nnx.split(Product(nnx.Rngs(key)))[1],
            VECTOR,
        )
    else:
        network = Network(lambda x: Dense(2)(layers.linen.HadamardDense(6)(x)))
        graph = check_promise(network.apply, lambda key: network.init(key, VECTOR), VECTOR)
    assert len(graph.layers) == 2 and all(layer.recyclable for layer in graph.layers)

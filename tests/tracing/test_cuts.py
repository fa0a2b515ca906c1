# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What is zeroed of a reader whose kernel is made of several parameter arrays."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import dormant
from tests.traced_networks import check_promise

INPUTS = jax.random.normal(jax.random.key(1), (32, 5))
TARGETS = jax.random.normal(jax.random.key(2), (32, 2))
SHAPES = {"first": (5, 16), "bias": (16,), "head": (16, 2), "part": (16, 3)}


def init(key):
    keys = jax.random.split(key, len(SHAPES))
    drawn = {
        name: jax.random.normal(each, shape)
        for each, (name, shape) in zip(keys, SHAPES.items(), strict=True)
    }
    return drawn | {
        "a_scale": jnp.ones(16),
        "a_mask": jnp.ones((16, 2)),
        "gate": jnp.ones((16, 2)),
        "head_mask": jnp.ones((16, 2)),
        "an_integer_mask": jnp.ones((16, 2), jnp.int32),
    }


def scaled(params):
    return params["head"] * params["a_scale"][:, None]


def scaled_twice(params):
    return params["a_scale"][:, None] * (params["head"] * jnp.sqrt(params["a_scale"])[:, None])


def pruned(params):
    return params["head_mask"] * params["head"]


def pruned_by_integers(params):
    return params["an_integer_mask"] * params["head"]


def pruned_before_it(params):
    return params["a_mask"] * params["head"]


def data_by_its_gradient(params):
    return jax.lax.stop_gradient(params["gate"]) * params["head"]


def rectified_factor(params):
    return jax.nn.relu(params["gate"]) * params["head"]


def scaled_and_pruned(params):
    return scaled(params) * params["head_mask"]


def scaled_sum(params):
    return (params["head"] + params["part"][:, :2]) * params["a_scale"][:, None]


CUTS = {
    scaled: ["head"],
    scaled_twice: ["head"],
    pruned: ["head"],
    pruned_by_integers: ["head"],
    scaled_and_pruned: ["head"],
    pruned_before_it: ["head"],
    data_by_its_gradient: ["head"],
    rectified_factor: ["head"],
    scaled_sum: ["head", "part"],
}


def network(kernel):
    def apply(params, x):
        return jax.nn.relu(x @ params["first"] + params["bias"]) @ kernel(params)

    return apply


@pytest.mark.parametrize("kernel", CUTS)
def test_one_factor_is_zeroed(kernel):
    graph = check_promise(network(kernel), init, INPUTS)
    assert graph["first"].recyclable
    assert sorted(entries.path for entries in graph["first"].outgoing) == CUTS[kernel]


@pytest.mark.parametrize("kernel", CUTS)
def test_a_recycled_neuron_is_read_again(kernel):
    apply, neurons = network(kernel), np.arange(16) < 6
    graph = dormant.trace(apply, init(jax.random.key(0)), INPUTS)
    params = init(jax.random.key(0))
    recycled = dormant.recycle(graph, params, init(jax.random.key(3)), {"first": neurons})
    np.testing.assert_array_equal(kernel(recycled)[neurons], 0)

    # The masks are data, which no optimizer changes.
    masks = {name: leaf for name, leaf in recycled.items() if "mask" in name}
    trained = {name: leaf for name, leaf in recycled.items() if "mask" not in name}

    def loss(trained):
        return jnp.mean((apply(trained | masks, INPUTS) - TARGETS) ** 2)

    updates, _ = optax.sgd(0.1).update(jax.grad(loss)(trained), optax.sgd(0.1).init(trained))
    trained = optax.apply_updates(trained, updates)
    assert (np.abs(kernel(trained | masks)[neurons]).max(1) > 0).all()


@pytest.mark.parametrize("dtype", [bool, int, float])
def test_a_mask_among_the_parameters_stays_as_it_is(dtype):
    def apply(params, x):
        hidden = jax.nn.relu(x @ (params["first"] * params["first_mask"]) + params["bias"])
        return hidden @ params["head"]

    params = init(jax.random.key(0)) | {"first_mask": jnp.eye(5, 16).astype(dtype)}
    fresh = init(jax.random.key(1)) | {"first_mask": jnp.ones((5, 16), dtype)}
    graph = dormant.trace(apply, params, INPUTS)
    assert graph.names == ("first",)
    recycled = dormant.recycle(graph, params, fresh, {"first": jnp.arange(16) < 3})
    np.testing.assert_array_equal(recycled["first_mask"], params["first_mask"])
    np.testing.assert_array_equal(recycled["first"][:, :3], fresh["first"][:, :3])


@pytest.mark.parametrize("kernel", [scaled, scaled_twice, pruned, pruned_before_it, scaled_sum])
def test_a_product_is_called_by_its_kernel_not_by_its_mask_or_scale(kernel):
    graph = dormant.trace(network(kernel), init(jax.random.key(0)), INPUTS)
    assert graph.output_layers == ("head",)
    assert graph["first"].read_by == ("head",)


def test_a_kernel_that_is_a_sum_or_product_of_many_arrays():
    names = [f"part_{number}" for number in range(12)]

    def init_many(key):
        keys = jax.random.split(key, len(names))
        drawn = {n: jax.random.normal(k, (16, 2)) for n, k in zip(names, keys, strict=True)}
        return init(key) | drawn

    def summed(params):
        return sum(params[name] for name in names)

    def multiplied(params):
        return functools.reduce(operator.mul, (params[name] for name in names))

    graph = check_promise(network(summed), init_many, INPUTS)
    assert {entries.path for entries in graph["first"].outgoing} == set(names)
    graph = dormant.trace(network(multiplied), init_many(jax.random.key(0)), INPUTS)
    assert len({entries.path for entries in graph["first"].outgoing}) == 1


@pytest.mark.parametrize("name", ["mask_encoder", "MaskedDense_0", "unmasked", "mask"])
def test_a_layer_may_be_called_after_a_mask(name):
    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2, name="head")(nn.relu(nn.Dense(6, name=name)(x)))

    params = Network().init(jax.random.key(0), INPUTS)
    (layer,) = dormant.trace(Network().apply, params, INPUTS).layers
    assert [entries.path.split("/")[-1] for entries in layer.incoming] == ["kernel", "bias"]


class MaskedDense(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x):
        shape = (x.shape[-1], self.features)
        weights = self.param("weights", nn.initializers.normal(), shape)
        return x @ (weights * self.param("mask", nn.initializers.ones, shape))


def test_a_kernel_is_cut_and_the_mask_beside_it_is_not():
    network = nn.Sequential([MaskedDense(6), nn.relu, MaskedDense(2)])
    params = network.init(jax.random.key(0), INPUTS)
    (layer,) = dormant.trace(network.apply, params, INPUTS).layers
    for entries in (*layer.incoming, *layer.outgoing):
        assert entries.path.endswith("weights")

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Gates are measured behind their own non-linearity, not where they meet what they gate."""

import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from tests.traced_networks import (
    VECTOR,
    check_promise,
    quick_compilation,  # noqa: F401  (a fixture)
    relu,
)

KEY = jax.random.key(3)
SHAPES = {"gate": (7, 6), "in": (7, 6), "out": (6, 2)}


def init(key):
    keys = jax.random.split(key, len(SHAPES))
    return {
        name: jax.random.normal(each, shape)
        for each, (name, shape) in zip(keys, SHAPES.items(), strict=True)
    }


def test_a_gate_comes_behind_the_layer_that_it_multiplies():
    def apply(params, x):
        return (nn.sigmoid(x @ params["gate"]) * jnp.tanh(x @ params["in"])) @ params["out"]

    params = {"gate": jnp.ones((7, 6)), "in": jnp.ones((7, 6)), "out": jnp.ones((6, 2))}
    graph = dormant.trace(apply, params, VECTOR)
    found = graph.activations(params, VECTOR)
    np.testing.assert_allclose(found["in"], jnp.tanh(VECTOR @ params["in"]), rtol=1e-5)
    np.testing.assert_allclose(found["gate"], nn.sigmoid(VECTOR @ params["gate"]), rtol=1e-5)


@pytest.mark.parametrize("function", [nn.sigmoid, jnp.tanh, relu])
def test_a_gate_of_what_is_no_layer_comes_before_the_sum_that_another_function_is_of(function):
    # As the forget gate of an LSTM whose memory is an input.
    def apply(params, x, memory):
        gate, new = function(x @ params["gate"]), jnp.tanh(x @ params["in"])
        return jnp.tanh(gate * memory + new) @ params["out"]

    params, memory = init(KEY), jnp.linspace(-1, 1, VECTOR.shape[0] * 6).reshape(-1, 6)
    found = dormant.trace(apply, params, VECTOR, memory).activations(params, VECTOR, memory)
    np.testing.assert_allclose(found["gate"], function(VECTOR @ params["gate"]), rtol=1e-5)
    np.testing.assert_allclose(found["in"], jnp.tanh(VECTOR @ params["in"]), rtol=1e-5)


def test_the_forget_gate_of_one_step_of_a_flax_cell_is_a_sigmoid():
    class Actor(nn.Module):
        @nn.compact
        def __call__(self, carry, x):
            carry, features = nn.LSTMCell(4, name="cell")(carry, x)
            return carry, nn.Dense(2)(features)

    carry = (jnp.full((len(VECTOR), 4), -0.5), jnp.full((len(VECTOR), 4), 0.5))
    params = Actor().init(KEY, carry, VECTOR)
    graph = dormant.trace(Actor().apply, params, carry, VECTOR, outputs=lambda out: out[1])
    assert 0 < float(graph.activations(params, carry, VECTOR)["cell/if+cell/hf"].min())


def test_what_comes_behind_a_gated_product_is_of_the_layer_that_is_linear_before():
    def gated(params, x):
        return relu((x @ params["in"]) * nn.sigmoid(x @ params["gate"]))

    def apply(params, x):
        return gated(params, x) @ params["out"]

    params = init(KEY)
    graph = dormant.trace(apply, params, VECTOR)
    found = graph.activations(params, VECTOR)
    np.testing.assert_allclose(found["gate"], nn.sigmoid(VECTOR @ params["gate"]), rtol=1e-5)
    np.testing.assert_allclose(found["in"], gated(params, VECTOR), rtol=1e-5, atol=1e-6)
    assert "multiplied with gate" in graph["in"].obstacle


def test_gates_of_one_kernel_are_measured_each_behind_its_own_function():
    def gates(params, x):
        forget, new, kept = jnp.split(x @ params["kernel"], 3, axis=-1)
        return jnp.concatenate([nn.sigmoid(forget), jnp.tanh(new), kept], axis=-1)

    def apply(params, x):
        forget, new, kept = jnp.split(gates(params, x), 3, axis=-1)
        return (forget * new + (1 - forget) * kept) @ params["out"]

    def init_both(key):
        return init(key) | {"kernel": jax.random.normal(key, (7, 18))}

    graph, params = check_promise(apply, init_both, VECTOR), init_both(KEY)
    found = graph.activations(params, VECTOR)["kernel"]
    np.testing.assert_allclose(found, gates(params, VECTOR), rtol=1e-5)
    assert "gated product" in graph["kernel"].obstacle


@pytest.mark.parametrize("cell", [hk.LSTM, hk.GRU])
def test_gates_of_a_haiku_cell_are_within_the_range_of_their_functions(cell):
    def function(x):
        core = cell(6)
        outputs, _ = hk.dynamic_unroll(core, x, core.initial_state(x.shape[1]))
        return hk.Linear(2)(outputs)

    network = hk.without_apply_rng(hk.transform(function))
    x = 30 * jax.random.normal(KEY, (7, 3, 4))
    params = network.init(KEY, x)
    graph = dormant.trace(network.apply, params, x)
    for activation in graph.activations(params, x).values():
        assert float(jnp.abs(activation).max()) <= 1
        assert float(jnp.abs(activation).max(axis=(0, 1)).min()) > 0


def test_the_reset_gate_of_a_flax_cell_is_a_sigmoid():
    network = nn.Sequential([nn.RNN(nn.GRUCell(6)), nn.Dense(2)])
    x = 3 * jax.random.normal(KEY, (3, 7, 4))
    params = network.init(KEY, x)
    graph = dormant.trace(network.apply, params, x)
    found = graph.activations(params, x)["layers_0/cell/ir+layers_0/cell/hr"]
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


def test_a_gate_that_is_a_statistic_of_other_neurons_comes_behind_what_it_multiplies():
    x = jax.random.normal(KEY, (5, 6, 7))

    def parts(params, x):
        value, gate = jnp.split(x @ params["kernel"], 2, axis=-1)
        return relu(value), nn.sigmoid(gate.mean(1, keepdims=True))

    def apply(params, x):
        value, gate = parts(params, x)
        return (value * gate) @ params["out"]

    params = init(KEY) | {"kernel": jax.random.normal(KEY, (7, 12))}
    found = dormant.trace(apply, params, x).activations(params, x)["kernel"]
    np.testing.assert_allclose(found[..., :6], parts(params, x)[0], rtol=1e-5, atol=1e-6)

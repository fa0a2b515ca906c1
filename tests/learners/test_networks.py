# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The Q-networks: parameter trees, widths, batch dimensions and options.
Equality with Dopamine's networks is tested in tests/agents/test_dqn_parity.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import dormant
from dormant.learners import ImpalaResNet, NatureCNN
from dormant.learners.networks import ResidualStack

KEY = jax.random.key(0)
PIXELS = jnp.zeros((84, 84, 4), jnp.uint8)


def init(network):
    return jax.jit(network.init)(KEY, PIXELS)


def shapes(network):
    params = jax.eval_shape(network.init, KEY, PIXELS)["params"]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape
        for path, leaf in jax.tree.leaves_with_path(params)
    }


@pytest.fixture(scope="module")
def observations():
    return np.random.default_rng(0).integers(0, 256, (2, 3, 84, 84, 4), dtype=np.uint8)


def test_nature_cnn_parameters():
    assert shapes(NatureCNN(6)) == {
        "Conv_0/kernel": (8, 8, 4, 32),
        "Conv_0/bias": (32,),
        "Conv_1/kernel": (4, 4, 32, 64),
        "Conv_1/bias": (64,),
        "Conv_2/kernel": (3, 3, 64, 64),
        "Conv_2/bias": (64,),
        "Dense_0/kernel": (11 * 11 * 64, 512),
        "Dense_0/bias": (512,),
        "final_layer/kernel": (512, 6),
        "final_layer/bias": (6,),
    }


def test_impala_parameters():
    expected = {
        "Dense_0/kernel": (11 * 11 * 64, 512),
        "Dense_0/bias": (512,),
        "final_layer/kernel": (512, 6),
        "final_layer/bias": (6,),
    }
    for stack, (channels, filters) in enumerate([(4, 32), (32, 64), (64, 64)]):
        for conv in range(5):
            name = f"Stack_{stack}/Conv_{conv}"
            expected[f"{name}/kernel"] = (3, 3, channels if conv == 0 else filters, filters)
            expected[f"{name}/bias"] = (filters,)
    assert shapes(ImpalaResNet(6)) == expected


@pytest.mark.parametrize("width, filters, dense", [(2, 64, 1024), (0.3, 10, 154), (1 / 64, 1, 8)])
@pytest.mark.parametrize(
    "network, first", [(NatureCNN, "Conv_0"), (ImpalaResNet, "Stack_0/Conv_0")]
)
def test_width_scales_every_layer_and_rounds_up(network, first, width, filters, dense):
    found = shapes(network(4, width=width))
    assert found[f"{first}/bias"] == (filters,)
    assert found["Dense_0/bias"] == (dense,)
    assert found["final_layer/bias"] == (4,)


@pytest.mark.parametrize(
    "network",
    [
        NatureCNN(3, width=1 / 8),
        pytest.param(ImpalaResNet(3, width=1 / 16), marks=pytest.mark.slow),
    ],
)
def test_any_leading_batch_dimensions(network, observations):
    params = init(network)
    q_values = jax.jit(network.apply)(params, observations)
    assert q_values.shape == (2, 3, 3) and q_values.dtype == jnp.float32
    one_batch = jax.jit(network.apply)(params, observations[1])
    single = jax.jit(network.apply)(params, observations[1, 2])
    np.testing.assert_allclose(one_batch, q_values[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(single, q_values[1, 2], rtol=1e-5, atol=1e-6)
    assert single.shape == (3,)


def test_pixels_are_scaled_to_the_unit_interval():
    network = NatureCNN(3, width=1 / 16)
    params = init(network)
    apply = jax.jit(network.apply)
    white = apply(params, jnp.full_like(PIXELS, 255))
    ones = apply(params, jnp.full(PIXELS.shape, 255.0))
    np.testing.assert_array_equal(white, ones)
    np.testing.assert_array_equal(apply(params, PIXELS), jnp.zeros(3))
    # Without biases the network is positively homogeneous: half as bright is half the Q-value.
    half = apply(params, jnp.full(PIXELS.shape, 127.5))
    np.testing.assert_allclose(half, white / 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "network", [NatureCNN(3, width=1 / 16), ImpalaResNet(3, width=1 / 16)], ids=["nature", "impala"]
)
def test_leaky_relu_has_the_layers_of_relu_and_lets_negative_values_through(network, observations):
    leaky, params, batch = network.clone(activation="leaky_relu"), init(network), observations[0]
    assert shapes(leaky) == shapes(network)
    graphs = [dormant.trace(module.apply, params, batch) for module in (network, leaky)]
    assert graphs[0].names == graphs[1].names
    recyclable = [[layer.recyclable for layer in graph.layers] for graph in graphs]
    assert recyclable[0] == recyclable[1] and any(recyclable[0])
    relu, leaked = (graph.activations(params, batch)["Dense_0"] for graph in graphs)
    assert relu.min() == 0 > leaked.min()


def test_leaky_relus_slope(observations):
    network, batch = NatureCNN(3, width=1 / 16, activation="leaky_relu"), observations[0]
    params = init(network)
    found = dormant.trace(network.apply, params, batch).activations(params, batch)["Conv_0"]
    convolution = nn.Conv(found.shape[-1], (8, 8), (4, 4))
    before = convolution.apply({"params": params["params"]["Conv_0"]}, batch / np.float32(255))
    assert before.min() < -0.01
    expected = jnp.where(before >= 0, before, 0.01 * before)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_initializers():
    nature = init(NatureCNN(6, width=1 / 4))["params"]
    for layer in nature.values():
        *window, fan_in, fan_out = layer["kernel"].shape
        limit = np.sqrt(6 / (np.prod(window) * (fan_in + fan_out)))
        largest = float(jnp.abs(layer["kernel"]).max())
        assert 0.95 * limit < largest <= limit
        assert not layer["bias"].any()
    stack = ResidualStack(32).init(KEY, jnp.zeros((8, 8, 32)))["params"]
    for name, layer in stack.items():
        kernel = layer["kernel"]
        limit = np.sqrt(6 / (9 * sum(kernel.shape[2:])))
        if name == "Conv_0":
            assert float(jnp.abs(kernel).max()) <= limit
            continue
        # Flax's default: a normal of variance 1 / fan_in, cut off at two standard deviations.
        assert float(jnp.abs(kernel).max()) > limit
        np.testing.assert_allclose(kernel.std(), 1 / np.sqrt(9 * kernel.shape[2]), rtol=0.03)


def test_modules_are_values():
    assert NatureCNN(6) == NatureCNN(6) and hash(NatureCNN(6)) == hash(NatureCNN(6))
    assert ImpalaResNet(6, width=2) != ImpalaResNet(6)


@pytest.mark.parametrize("network", [NatureCNN, ImpalaResNet])
@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_actions": 0}, r"`num_actions` must be a whole number >= 1; got 0$"),
        ({"num_actions": 2.0}, r"`num_actions` must be .* got 2\.0$"),
        ({"num_actions": True}, r"`num_actions` must be .* got True$"),
        ({"num_actions": 4, "width": 0}, r"`width` must be a number > 0; got 0$"),
        ({"num_actions": 4, "width": -1.5}, r"`width` must be .* got -1\.5$"),
        ({"num_actions": 4, "width": float("nan")}, r"`width` must be .* got nan$"),
        (
            {"num_actions": 4, "activation": "tanh"},
            r"`activation` must be one of 'relu', 'leaky_relu'; got 'tanh'$",
        ),
        ({"num_actions": 4, "width": "wide"}, r"`width` must be .* got 'wide'$"),
    ],
)
def test_option_errors(network, options, message):
    with pytest.raises(ValueError, match=message):
        network(**options)


def test_numpy_action_counts_are_whole_numbers():
    assert shapes(NatureCNN(np.int64(5)))["final_layer/bias"] == (5,)

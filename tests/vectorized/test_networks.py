# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The convolution as a product against Flax's own, and what `dormant.trace` makes of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import dormant
from dormant.vectorized import MLP, MinAtarCNN, gymnax_environment
from dormant.vectorized.agent import VectorizedDQN
from tests.learners.comparing import close

CHANNELS, ACTIONS = 6, 4
BATCH = jax.random.bernoulli(jax.random.key(0), 0.3, (5, 10, 10, CHANNELS))


class PlainCNN(nn.Module):
    """The same network of Flax's own layers; without dense layers it is that of Dopamine."""

    dense: tuple[int, ...]
    padding: str

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(16, (3, 3), padding=self.padding)(x.astype(jnp.float32)))
        x = x.reshape(*x.shape[:-3], -1)
        for neurons in self.dense:
            x = nn.relu(nn.Dense(neurons)(x))
        return nn.Dense(ACTIONS)(x)


@pytest.fixture(params=[((128,), "VALID"), ((), "SAME")], ids=["minatar", "dopamine"])
def pair(request):
    """Our network, the plain one, and parameters for both."""
    dense, padding = request.param
    ours = MinAtarCNN(ACTIONS, dense=dense, padding=padding, on_cpu=True)
    plain = PlainCNN(dense, padding)
    shapes = jax.eval_shape(plain.init, jax.random.key(1), BATCH[0])
    assert shapes == jax.eval_shape(ours.init, jax.random.key(1), BATCH[0])
    return ours, plain, random_like(shapes, 1)


def scores_of(graph, params):
    return jax.jit(lambda params: dormant.dormancy_scores(graph.activations(params, BATCH)))(params)


def random_like(shapes, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(leaf.dtype), shapes)


def test_outputs_and_gradients_are_those_of_flax(pair):
    ours, plain, params = pair

    def computed(network):
        """Its outputs for a batch and for one observation, and a gradient."""

        def loss(params):
            outputs = network.apply(params, BATCH)
            return jnp.sum(outputs**2), (outputs, network.apply(params, BATCH[0]))

        gradient, outputs = jax.jit(jax.grad(loss, has_aux=True))(params)
        return *outputs, gradient

    wanted, _, gradient = computed(plain)
    for network in (ours, ours.clone(on_cpu=False)):
        outputs, one, found = computed(network)
        np.testing.assert_allclose(outputs, wanted, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(one, wanted[0], rtol=1e-5, atol=1e-5)
        close(found, gradient, rtol=1e-4, atol=1e-4)


def test_scores_and_masks_are_those_of_the_plain_network(pair):
    ours, plain, params = pair
    graphs = [dormant.trace(network.apply, params, BATCH) for network in (ours, plain)]
    assert graphs[0].layers == graphs[1].layers
    assert graphs[0].names[0] == "Conv_0" and graphs[0].layers[0].neurons == 16
    scores = [scores_of(graph, params) for graph in graphs]
    for name, score in scores[1].items():
        np.testing.assert_allclose(scores[0][name], score, rtol=1e-4)


def test_a_recycle_at_tau_0_leaves_the_outputs(pair):
    network, _, params = pair
    graph = dormant.trace(network.apply, params, BATCH)
    # Three filters that are silent on observations without negative values.
    params["params"]["Conv_0"]["kernel"][..., 3:6] = -1.0
    params["params"]["Conv_0"]["bias"][3:6] = -1.0
    masks = dormant.dormant_masks(scores_of(graph, params), 0.0)
    assert masks["Conv_0"][3:6].all()
    fresh = random_like(params, 2)
    recycled = jax.jit(lambda *trees: dormant.recycle(graph, *trees))(params, fresh, masks)
    apply = jax.jit(network.apply)
    np.testing.assert_array_equal(apply(recycled, BATCH), apply(params, BATCH))


def test_mlp_flattens_any_observation():
    network = MLP(ACTIONS, (10, 10, CHANNELS), dense=(8,))
    params = jax.jit(network.init)(jax.random.key(0), BATCH[0])
    assert network.apply(params, BATCH[0]).shape == (ACTIONS,)
    assert network.apply(params, BATCH[None]).shape == (1, 5, ACTIONS)
    assert [layer.name for layer in dormant.trace(network.apply, params, BATCH).layers] == [
        "Dense_0"
    ]


def formula(name, x):
    x = np.asarray(x, np.float64)
    return {
        "relu": lambda: np.maximum(x, 0),
        "crelu": lambda: np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], -1),
        "fourier": lambda: np.concatenate([np.sin(x), np.cos(x)], -1),
        "tanh": lambda: np.tanh(x),
        "adaptive_linear": lambda: np.where(x > 0, x, 0.3 * x),
        "smooth_leaky_relu": lambda: 0.1 * x + 0.9 * x / (1 + np.exp(-5 * x / 3)),
    }[name]()


def slopes_of(name, params):
    """With the slope 0.3 for all neurons of an adaptive activation, which begins at 0."""
    alphas = {key: value["alpha"] for key, value in params["params"].items() if "alpha" in value}
    assert len(alphas) == (2 if name == "adaptive_linear" else 0)
    new = {key: {"alpha": jnp.full_like(alpha, 0.3)} for key, alpha in alphas.items()}
    assert not any(alpha.any() for alpha in alphas.values())
    return {"params": params["params"] | new}


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(
    "activation", ["relu", "crelu", "fourier", "tanh", "adaptive_linear", "smooth_leaky_relu"]
)
def test_activations_are_those_asked_for(activation, layer_norm):
    options = {"activation": activation, "layer_norm": layer_norm}
    network = MLP(ACTIONS, (7,), dense=(6, 5), **options)
    states = jax.random.normal(jax.random.key(4), (3, 7))
    params = slopes_of(activation, jax.jit(network.init)(jax.random.key(0), states[0]))
    x = np.asarray(states, np.float64)
    for layer in ("Dense_0", "Dense_1"):
        x = x @ np.asarray(params["params"][layer]["kernel"])
        if layer_norm:
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        x = formula(activation, x)
    expected = x @ np.asarray(params["params"]["Dense_2"]["kernel"])
    found = jax.jit(network.apply)(params, states)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    images = MinAtarCNN(ACTIONS, filters=4, dense=(5,), **options)
    params = random_like(jax.eval_shape(images.init, jax.random.key(0), BATCH[0]), 0)
    both = [images.clone(on_cpu=on_cpu) for on_cpu in (True, False)]
    outputs = jax.jit(lambda params: [each.apply(params, BATCH) for each in both])(params)
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-5)
    graph = dormant.trace(images.apply, params, BATCH)
    assert [(layer.name, layer.neurons) for layer in graph.layers] == [
        ("Conv_0", 4),
        ("Dense_0", 5),
    ]
    assert all(layer.recyclable != layer_norm for layer in graph.layers)


def test_gin_chooses_the_activation_and_the_norm():
    dqn = VectorizedDQN(
        environment="CartPole-v1", network="mlp", dense=(8, 6), activation="crelu", layer_norm=True
    )
    network = dqn.q_network(gymnax_environment("CartPole-v1"))
    params = jax.eval_shape(network.init, jax.random.key(0))["params"]
    assert params["Dense_1"]["kernel"].shape == (2 * 8, 6)
    assert params["LayerNorm_1"]["scale"].shape == (6,)
    assert not any(layer.recyclable for layer in network.graph.layers)
    for options in ({"activation": "tanh"}, {"layer_norm": True}):
        message = f"`VectorizedDQN.{[*options][0]}` must be .*: only 'minatar' and 'mlp' have"
        with pytest.raises(ValueError, match=message):
            VectorizedDQN(network="nature", **options)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: MinAtarCNN(0), "`num_actions` must be a whole number >= 1; got 0"),
        (lambda: MinAtarCNN(3, filters=1.5), "`filters` must be .*; got 1.5"),
        (lambda: MinAtarCNN(3, dense=(0,)), "`dense` must be .*; got 0"),
        (lambda: MinAtarCNN(3, padding="same"), "`padding` must be .*; got 'same'"),
        (lambda: MLP(3, (4,), dense=(-1,)), "`dense` must be .*; got -1"),
        (lambda: MLP(3, (4,), activation="gelu"), "`activation` must be one of .*; got 'gelu'"),
        (lambda: MinAtarCNN(3, layer_norm=1), "`layer_norm` must be True or False; got 1"),
    ],
)
def test_wrong_attributes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

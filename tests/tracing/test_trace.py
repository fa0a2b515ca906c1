# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The trace against real networks: activations, convolutions, wirings.
Obstacles, ensembles, other libraries and errors are in test_trace_limits.py."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from tests.traced_networks import (
    ACTION,
    IMAGE,
    MLP,
    VECTOR,
    Conv,
    Dense,
    check_flax,
    check_promise,
    flat,
    pipe,
    quick_compilation,  # noqa: F401  (a fixture)
    recyclable,
    relu,
)

ACTIVATIONS = {
    "relu": relu,
    "relu squared": lambda x: relu(x) ** 2,
    "relu6": nn.relu6,
    "leaky relu": nn.leaky_relu,
    "elu": nn.elu,
    "celu": nn.celu,
    "selu": nn.selu,
    "tanh": jnp.tanh,
    "swish": nn.swish,
    "gelu": nn.gelu,
    "hard swish": nn.hard_swish,
    "mish": lambda x: x * jnp.tanh(nn.softplus(x)),
    "sine": jnp.sin,
    "none": lambda x: x,
    "scaled relu": lambda x: 0.5 * relu(x),
    "jitted": jax.jit(relu),
    "checkpointed": jax.checkpoint(nn.elu),
    "concatenated relu": lambda x: jnp.concatenate([relu(x), relu(-x)], -1),
    "cast": lambda x: relu(x).astype(jnp.bfloat16).astype(jnp.float32),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_elementwise_activations(name):
    network = MLP(ACTIVATIONS[name])
    graph = check_promise(network.apply, lambda key: network.init(key, VECTOR), VECTOR)
    assert recyclable(graph) == {"Dense_0": True, "Dense_1": True}
    assert graph.output_layers == ("Dense_2",)


def test_measures_after_the_non_linearity():
    class Recorded(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.max_pool(self.keep("Conv_0", relu(Conv(4, (3, 3))(x))), (2, 2), (2, 2))
            x = self.keep("Dense_0", nn.swish(nn.LayerNorm()(Dense(6)(flat(x)))))
            x = self.keep("Dense_1", nn.leaky_relu(Dense(5)(x)))
            return Dense(2)(x)

        def keep(self, name, x):
            self.sow("intermediates", f"{name} output", x)
            return x

    network = Recorded()
    variables = {"params": network.init(jax.random.key(0), IMAGE)["params"]}
    _, recorded = network.apply(variables, IMAGE, mutable="intermediates")
    graph = dormant.trace(network.apply, variables, IMAGE[:1])
    activations = graph.activations(variables, IMAGE)  # another batch size than the trace's
    assert {f"{name} output" for name in activations} == set(recorded["intermediates"])
    for name, (expected,) in recorded["intermediates"].items():
        np.testing.assert_allclose(activations[name.split()[0]], expected, rtol=1e-5, atol=1e-6)


def test_activations_that_are_never_zero_are_measured_too():
    for activation in (nn.softplus, nn.sigmoid, jnp.cos):
        network = MLP(activation)
        params = network.init(jax.random.key(0), VECTOR)
        graph = dormant.trace(network.apply, params, VECTOR)
        hidden = activation(VECTOR @ params["params"]["Dense_0"]["kernel"])
        np.testing.assert_allclose(graph.activations(params, VECTOR)["Dense_0"], hidden, rtol=1e-5)


CONVOLUTIONS = {
    "pooling": lambda x: Dense(3)(
        flat(nn.avg_pool(nn.max_pool(relu(Conv(6, (3, 3), 2, "VALID")(x)), (2, 2)), (2, 2)))
    ),
    "max pool before relu": lambda x: Dense(3)(flat(relu(nn.max_pool(Conv(6, (3, 3))(x), (2, 2))))),
    "mean over space": lambda x: Dense(3)(relu(Conv(6, (3, 3))(x)).mean((1, 2))),
    "same padding, stride": lambda x: Dense(3)(flat(relu(Conv(6, (5, 5), 3, "SAME")(x)))),
    "explicit padding": lambda x: Dense(3)(
        flat(relu(Conv(6, (3, 3), padding=((1, 0), (2, 1)))(x)))
    ),
    "dilation": lambda x: Dense(3)(flat(relu(Conv(6, (3, 3), kernel_dilation=2)(x)))),
    "grouped": lambda x: Dense(3)(
        flat(relu(Conv(6, (3, 3), feature_group_count=2)(relu(Conv(8, (3, 3))(x)))))
    ),
    "depthwise": lambda x: Dense(3)(
        flat(relu(Conv(8, (3, 3), feature_group_count=8)(relu(Conv(8, (1, 1))(x)))))
    ),
    "transposed": lambda x: Dense(3)(
        flat(relu(nn.ConvTranspose(5, (3, 3), (2, 2))(relu(Conv(4, (3, 3))(x)))))
    ),
    "one dimension": lambda x: Dense(2)(flat(relu(Conv(4, (3,))(relu(Conv(5, (3,))(x[:, 0])))))),
    "channels moved first": lambda x: Dense(2)(
        flat(jnp.transpose(relu(Conv(4, (3, 3))(x)), (0, 3, 1, 2)))
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    graph = check_flax(CONVOLUTIONS[name], IMAGE)
    assert all(recyclable(graph).values())


VECTORS = {
    "dueling heads": lambda x: _dueling(relu(Dense(8)(x))),
    "branches": lambda x: Dense(2)(relu(jnp.concatenate([Dense(3)(x), Dense(4)(x)], -1))),
    "dense connections": lambda x: _densely_connected(relu(Dense(3)(x))),
    "slices": lambda x: _sliced(relu(Dense(8)(x))),
    "permuted": lambda x: Dense(2)(relu(Dense(4)(x))[:, jnp.array([3, 1, 0, 2])]),
    "reshapes": lambda x: Dense(2)(
        relu(Dense(6)(x)).reshape(5, 2, 3).transpose(0, 2, 1).reshape(5, 6)
    ),
    "several axes": lambda x: nn.DenseGeneral(3, axis=(-2, -1))(relu(nn.DenseGeneral((2, 4))(x))),
    "batch norm, running": lambda x: Dense(2)(
        relu(nn.BatchNorm(use_running_average=True)(Dense(6)(x)))
    ),
    "dropout, deterministic": lambda x: Dense(2)(nn.Dropout(0.5, deterministic=True)(MLP()(x))),
    "remat": lambda x: Dense(2)(nn.remat(MLP)()(x)),
    "jit": lambda x: Dense(2)(nn.jit(MLP)()(x)),
    "bfloat16": lambda x: MLP(dtype=jnp.bfloat16)(x),
    "product of layers": lambda x: Dense(2)(relu(Dense(6)(x)) * relu(Dense(6)(x))),
    "learned slope": lambda x: Dense(2)(nn.PReLU()(Dense(6)(x))),
    "softmax and sort behind the output": lambda x: jnp.sort(nn.softmax(MLP()(x))),
    "argmax behind the output": lambda x: jnp.argmax(MLP()(x), -1),
}


def _dueling(x):
    value, advantage = relu(Dense(4)(x)), relu(Dense(4)(x))
    value, advantage = Dense(1)(value), Dense(3)(advantage)
    return value + advantage - advantage.mean(-1, keepdims=True)


def _densely_connected(x):
    x = jnp.concatenate([x, relu(Dense(4)(x))], -1)
    return Dense(2)(x)


def _sliced(x):
    return Dense(2)(x[:, :4]) + Dense(2)(x[:, 4:])


@pytest.mark.parametrize("name", VECTORS)
def test_wirings(name):
    graph = check_flax(VECTORS[name], VECTOR)
    assert all(recyclable(graph).values())


def test_one_layer_read_by_several():
    graph = check_flax(VECTORS["dueling heads"], VECTOR)
    assert [(layer.fed_by, layer.read_by) for layer in graph.layers] == [
        (("input",), ("Dense_1", "Dense_2")),
        (("Dense_0",), ("Dense_3",)),
        (("Dense_0",), ("Dense_4",)),
    ]
    assert graph.output_layers == ("Dense_3", "Dense_4")


@pytest.mark.parametrize("late", [False, True])
def test_inputs_concatenated_as_in_a_critic(late):
    def critic(x, action):
        if late:
            x = relu(Dense(8)(x))
            x = jnp.concatenate([x, action], -1)
        else:
            x = relu(Dense(8)(jnp.concatenate([x, action], -1)))
        return pipe(x, Dense(6), relu, Dense(1))

    graph = check_flax(critic, VECTOR, ACTION)
    assert recyclable(graph) == {"Dense_0": True, "Dense_1": True}
    (rows,) = graph["Dense_0"].outgoing
    assert rows.index.array.tolist() == list(range(8)) + ([-1, -1] if late else [])

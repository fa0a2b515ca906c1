# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Layers that a network uses several times: one row of the table, read together, recycled once.
Each network is compared with what its uses are by hand."""

import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import dormant
from tests.traced_networks import (
    VECTOR,
    check_promise,
    quick_compilation,  # noqa: F401  (a fixture)
    relu,
)

OTHER = jax.random.normal(jax.random.key(7), VECTOR.shape)
KEY = jax.random.key(0)


def linear_init(**shapes):
    """Parameters `{name: {w, b}}` of the given kernel shapes."""

    def init(key):
        keys = dict(zip(shapes, jax.random.split(key, len(shapes)), strict=True))
        return {
            name: {"w": jax.random.normal(keys[name], shape), "b": jnp.zeros(shape[-1])}
            for name, shape in shapes.items()
        }

    return init


def linear(params, x):
    return x @ params["w"] + params["b"]


def hidden(params, x):
    return relu(linear(params["hidden"], x))


class Torso(nn.Module):
    """An actor and a critic method that share a torso."""

    def setup(self):
        self.torso, self.pi, self.v = nn.Dense(8), nn.Dense(3), nn.Dense(1)

    def actor(self, x):
        return self.pi(relu(self.torso(x)))

    def critic(self, x):
        return self.v(relu(self.torso(x)))

    def __call__(self, x):
        return self.actor(x), self.critic(x)


# -- identical uses -------------------------------------------------------------------------------


def test_a_torso_that_two_methods_call_is_one_layer():
    network = Torso()
    graph = check_promise(network.apply, lambda key: network.init(key, VECTOR), VECTOR)
    assert [(layer.name, layer.read_by) for layer in graph.layers] == [("torso", ("pi", "v"))]
    assert graph["torso"].recyclable and graph.output_layers == ("pi", "v")
    params = network.init(KEY, VECTOR)
    expected = relu(nn.Dense(8).apply({"params": params["params"]["torso"]}, VECTOR))
    np.testing.assert_allclose(graph.activations(params, VECTOR)["torso"], expected, rtol=1e-6)


def test_merged_uses_give_the_graph_written_by_hand():
    network = Torso()
    params = network.init(KEY, VECTOR)
    traced = dormant.trace(network.apply, params, VECTOR)
    paths = {name: f"params/{name}/kernel" for name in ("torso", "pi", "v")}
    by_hand = dormant.manual_graph(
        params,
        traced.measure,
        {"torso": ((paths["torso"], "params/torso/bias"), (paths["pi"], paths["v"]))},
        output_layers=("pi", "v"),
    )
    assert traced.layers == by_hand.layers


def test_identical_uses_of_other_libraries_are_merged():
    def haiku_network(x):
        torso = hk.Linear(8)
        return hk.Linear(3)(relu(torso(x))), hk.Linear(1)(relu(torso(x)))

    network = hk.without_apply_rng(hk.transform(haiku_network))
    graph = check_promise(network.apply, lambda key: network.init(key, VECTOR), VECTOR)
    assert graph.names == ("linear",) and graph["linear"].recyclable

    class Model(nnx.Module):
        def __init__(self, rngs):
            self.torso = nnx.Linear(7, 8, rngs=rngs)
            self.pi, self.v = nnx.Linear(8, 3, rngs=rngs), nnx.Linear(8, 1, rngs=rngs)

        def __call__(self, x):
            return self.pi(nnx.relu(self.torso(x))), self.v(nnx.relu(self.torso(x)))

    definition, _ = nnx.split(Model(nnx.Rngs(0)))
    graph = check_promise(
        lambda state, x: nnx.merge(definition, state)(x),
        lambda key: nnx.split(Model(nnx.Rngs(key)))[1],
        VECTOR,
    )
    assert graph.names == ("torso",) and graph["torso"].recyclable


def test_uses_behind_different_noise_are_not_merged():
    def apply(params, x, first, second):
        noisy = [hidden(params, x + jax.random.normal(key, x.shape)) for key in (first, second)]
        return linear(params["out"], noisy[0]) - linear(params["out"], noisy[1])

    init = linear_init(hidden=(7, 6), out=(6, 2))
    keys = jax.random.split(KEY)
    graph = check_promise(apply, init, VECTOR, *keys)
    assert graph.activations(init(KEY), VECTOR, *keys)["hidden"].shape == (5, 2, 6)


# -- different uses -------------------------------------------------------------------------------


def siamese(params, x, other):
    first, second = hidden(params, x), hidden(params, other)
    return linear(params["out"], first) - linear(params["out"], second)


def distance(params, x, other):
    return linear(params["out"], jnp.abs(hidden(params, x) - hidden(params, other)))


def summed(params, x, other):
    return linear(params["out"], hidden(params, x) + hidden(params, other))


def side_by_side(params, x, other):
    both = jnp.concatenate([hidden(params, x), hidden(params, other)], -1)
    return linear(params["wide"], both)


def own_readers(params, x, other):
    return linear(params["out"], hidden(params, x)), linear(params["far"], hidden(params, other))


def unrolled(params, x, other):
    carry = jnp.zeros((5, 2))
    for step in range(3):
        inputs = jnp.concatenate([x[:, : 7 - 2] * step + other[:, : 7 - 2], carry], -1)
        carry = jnp.tanh(linear(params["out"], hidden(params, inputs)))
    return carry


def along_the_batch(params, x, other):
    both = jnp.concatenate([hidden(params, x), hidden(params, other)], 0)
    return linear(params["out"], both)


INIT = linear_init(hidden=(7, 6), out=(6, 2), far=(6, 3), wide=(12, 2))
DIFFERENT = {
    "siamese": (siamese, ("out",), 2),
    "distance": (distance, ("out",), 2),
    "summed": (summed, ("out",), 2),
    "along the batch": (along_the_batch, ("out",), 2),
    "side by side": (side_by_side, ("wide",), 2),
    "own readers": (own_readers, ("out", "far"), 2),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_uses_are_read_together(name):
    apply, readers, uses = DIFFERENT[name]
    graph = check_promise(apply, INIT, VECTOR, OTHER)
    assert graph.names == ("hidden",) and graph["hidden"].recyclable
    assert graph["hidden"].read_by == readers
    incoming = [entries.path for entries in graph["hidden"].incoming]
    assert sorted(incoming) == ["hidden/b", "hidden/w"]  # drawn once
    assert {entries.path for entries in graph["hidden"].outgoing} == {f"{r}/w" for r in readers}
    params = INIT(KEY)
    expected = jnp.stack([hidden(params, VECTOR), hidden(params, OTHER)], axis=1)
    found = graph.activations(params, VECTOR, OTHER)["hidden"]
    assert found.shape == (5, uses, 6)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", DIFFERENT)
def test_dormant_only_where_silent_in_every_use(name):
    apply, _, _ = DIFFERENT[name]
    params = INIT(KEY)
    # Neuron 0 fires on positive inputs alone, neuron 1 on negative ones, neuron 2 never.
    columns = jnp.stack([jnp.ones(7), -jnp.ones(7), jnp.zeros(7)], axis=1)
    params["hidden"]["w"] = params["hidden"]["w"].at[:, :3].set(columns)
    positive, negative = jnp.abs(VECTOR), -jnp.abs(OTHER)
    graph = dormant.trace(apply, params, positive, negative)
    scores = dormant.dormancy_scores(graph.activations(params, positive, negative))
    mask = dormant.dormant_masks(scores, 0.0)["hidden"]
    assert mask[:3].tolist() == [False, False, True]
    recycled = dormant.recycle(graph, params, INIT(jax.random.key(1)), {"hidden": mask})
    before, after = apply(params, positive, negative), apply(recycled, positive, negative)
    jax.tree.map(np.testing.assert_array_equal, before, after)
    changed = recycled["hidden"]["w"] != params["hidden"]["w"]
    np.testing.assert_array_equal(changed.any(0), mask)


def test_uses_of_different_shapes_are_measured_together():
    def apply(params, x, sequence):
        return linear(params["out"], hidden(params, x)), linear(
            params["out"], hidden(params, sequence)
        )

    sequence = jax.random.normal(KEY, (5, 3, 7))
    graph = check_promise(apply, linear_init(hidden=(7, 6), out=(6, 2)), VECTOR, sequence)
    params = INIT(KEY)
    params = {name: params[name] for name in ("hidden", "out")}
    found = graph.activations(params, VECTOR, sequence)["hidden"]
    expected = jnp.concatenate([hidden(params, VECTOR)[:, None], hidden(params, sequence)], 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # Of another batch size there is no common batch axis.
    found = graph.activations(params, VECTOR, sequence[:2])["hidden"]
    assert found.shape == (5 + 2 * 3, 6)


def test_a_whole_siamese_tower_is_recycled():
    def tower(params, x):
        return relu(linear(params["second"], hidden(params, x)))

    def apply(params, x, other):
        joint = jnp.concatenate([tower(params, x), tower(params, other)], -1)
        return linear(params["out"], joint)

    graph = check_promise(
        apply, linear_init(hidden=(7, 6), second=(6, 4), out=(8, 2)), VECTOR, OTHER
    )
    assert [(layer.name, layer.recyclable) for layer in graph.layers] == [
        ("hidden", True),
        ("second", True),
    ]
    (rows,) = {each.index.array.tobytes() for each in graph["hidden"].outgoing}
    both = np.sum([each.index.array >= 0 for each in graph["second"].outgoing], axis=0)
    np.testing.assert_array_equal(both, np.ones(8))


def test_a_siamese_convolution_is_recycled():
    class Network(nn.Module):
        @nn.compact
        def __call__(self, x, other):
            conv, out = nn.Conv(4, (3, 3)), nn.Dense(2)
            return [out(relu(conv(image)).reshape(image.shape[0], -1)) for image in (x, other)]

    network, image = Network(), jax.random.normal(KEY, (2, 6, 6, 3))
    inputs = (image, image[::-1])
    graph = check_promise(network.apply, lambda key: network.init(key, *inputs), *inputs)
    assert graph["Conv_0"].recyclable
    params = network.init(KEY, *inputs)
    assert graph.activations(params, *inputs)["Conv_0"].shape == (2, 6, 6, 2, 4)


def test_weights_shared_over_time_are_one_layer():
    graph = check_promise(unrolled, linear_init(hidden=(7, 6), out=(6, 2)), VECTOR, OTHER)
    assert graph.names == ("hidden", "out")
    assert graph["hidden"].recyclable
    # Its activations are also the carry that the next step reads beside data.
    assert "same weights" in graph["out"].obstacle
    found = graph.activations(linear_init(hidden=(7, 6), out=(6, 2))(KEY), VECTOR, OTHER)
    assert found["hidden"].shape == (5, 3, 6)


# -- what cannot be promised ----------------------------------------------------------------------


def self_reading(params, x, other):
    once = relu(x @ params["square"])
    return relu(once @ params["square"]) @ params["head"]


def transposed(params, x, other):
    return relu(x @ params["square"]) @ params["square"].T


def also_on_data(params, x, other):
    return relu(x @ params["square"]) @ params["head"], other @ params["head"]


def flipped(params, x, other):
    layer = lambda x: relu(x @ params["square"])  # noqa: E731
    return (layer(x) + layer(other)[:, ::-1]) @ params["head"]


def also_output(params, x, other):
    return relu(x @ params["square"]) @ params["head"], other @ params["square"]


def swapped_bias(params, x, other):
    first, second = x @ params["square"], other @ params["square"]
    first, second = relu(first + params["b"]), relu(second + params["b"][::-1])
    return first @ params["head"], second @ params["head"]


def shifted_second_use(params, x, other):
    first, second = relu(x @ params["square"]), relu(other @ params["square"]) + 1
    return first @ params["head"], second @ params["head"]


def beside_data(params, x, other):
    both = jnp.concatenate([relu(x @ params["square"]), other], 0)
    return both @ params["head"]


SHARING = {
    "beside data along the batch": (beside_data, "head reads its neurons with shared weights"),
    "reads itself": (self_reading, "square reads other values with the same weights"),
    "transposed": (transposed, "a kernel that it needs is used more than once"),
    "reader also reads data": (also_on_data, "head reads other values with the same weights"),
    "summed in another order": (flipped, "head reads its neurons with shared weights"),
    "one use is an output": (also_output, "also an output"),
    "a bias in another order": (swapped_bias, "a bias or scale"),
    "one use is shifted": (shifted_second_use, "not zero where the neuron is silent"),
}


@pytest.mark.parametrize("name", SHARING)
def test_why_a_shared_layer_is_not_recycled(name):
    apply, reason = SHARING[name]
    shapes = {"square": (7, 7), "head": (7, 3), "b": (7,)}

    def init(key):
        return {name: jax.random.normal(key, shape) for name, shape in shapes.items()}

    graph = check_promise(apply, init, VECTOR, OTHER)
    assert graph.names == ("square",) and reason in graph["square"].obstacle
    assert graph.activations(init(KEY), VECTOR, OTHER)["square"].shape[-1] == 7


def test_also_cuts_the_readers_of_every_use():
    # Two uses, of which one is shifted: `also` names the layer, and with it both.
    shapes = {"square": (7, 7), "head": (7, 3), "far": (7, 2)}

    def apply(params, x, other):
        first, second = relu(x @ params["square"]), relu(other @ params["square"])
        return first @ params["head"], jnp.sort(second.sum(0) @ params["far"])

    def init(key):
        return {name: jax.random.normal(key, shape) for name, shape in shapes.items()}

    params = init(KEY)
    graph = dormant.trace(apply, params, VECTOR, OTHER)
    mask = jnp.arange(7) < 3
    recycled = dormant.recycle(
        graph, params, init(jax.random.key(1)), {"square": mask}, also=["square"]
    )
    for name in ("head", "far"):
        np.testing.assert_array_equal(
            recycled[name] == 0, jnp.broadcast_to(mask[:, None], shapes[name])
        )


def test_equal_uses_are_not_silent_uses():
    params = INIT(KEY)
    graph = dormant.trace(distance, params, VECTOR, OTHER)
    scores = dormant.dormancy_scores(graph.activations(params, VECTOR, VECTOR))
    assert not dormant.dormant_masks(scores, 0.0)["hidden"].any()


def test_a_use_that_gates_another_one_by_a_statistic():
    """Values of the one have no axis of neurons where those of the other do."""

    def apply(params, x, other):
        first, second = relu(x @ params["w"]), relu(other @ params["w"])
        scaled = first[:, 8:] / (1 + second[:, :8].max(-1, keepdims=True))
        return first[:, :8] @ params["first"], scaled @ params["second"]

    shapes = {"w": (7, 16), "first": (8, 3), "second": (8, 2)}

    def init(key):
        keys = jax.random.split(key, len(shapes))
        return {n: jax.random.normal(k, s) for k, (n, s) in zip(keys, shapes.items(), strict=True)}

    graph = check_promise(apply, init, VECTOR, OTHER)
    assert set(graph.activations(init(jax.random.key(0)), VECTOR, OTHER)) == {"w"}

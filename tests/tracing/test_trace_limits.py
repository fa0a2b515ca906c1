# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The trace at its limits: obstacles, ensembles, other libraries and layouts, what it refuses.
What it finds in ordinary networks is tested in test_trace.py."""

import functools

import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import dormant
from dormant.tracing import labels
from tests.traced_networks import (
    CNN,
    IMAGE,
    MLP,
    VECTOR,
    Dense,
    Network,
    check_flax,
    check_promise,
    flat,
    pipe,
    quick_compilation,  # noqa: F401  (a fixture)
    recyclable,
    relu,
    swap,
)

OBSTACLES = {
    "residual sum": (lambda x: _residual(relu(Dense(6)(x))), {"Dense_0", "Dense_2"}, "residual"),
    "norm before": (
        lambda x: pipe(x, Dense(6), nn.LayerNorm(), relu, Dense(2)),
        {"Dense_0"},
        "normalized",
    ),
    "norm after": (
        lambda x: pipe(x, Dense(6), relu, nn.LayerNorm(), Dense(2)),
        {"Dense_0"},
        "normalized",
    ),
    "rms norm": (
        lambda x: pipe(x, Dense(6), relu, nn.RMSNorm(), Dense(2)),
        {"Dense_0"},
        "normalized",
    ),
    "shared": (lambda x: _twice(x), {"Dense_0"}, "weight sharing"),
    "normalized kernel": (
        lambda x: pipe(x, nn.WeightNorm(Dense(6)), relu, Dense(2)),
        {"Dense_0"},
        "kernel that it needs is normalized",
    ),
    "output": (lambda x: _with_features(relu(Dense(6)(x))), {"Dense_0"}, "output of the network"),
    "gated": (lambda x: pipe(x, Dense(6), nn.glu, Dense(2)), {"Dense_0"}, "gated product"),
    "shifted": (
        lambda x: pipe(x, Dense(6), relu, lambda h: h + 1, Dense(2)),
        {"Dense_0"},
        "not zero",
    ),
    "mixed along time": (
        lambda x: pipe(x[None], Dense(6), relu, swap, Dense(4), swap, Dense(2)),
        {"Dense_0", "Dense_1"},
        "shared weights",
    ),
    "attention": (
        lambda x: pipe(x[None], Dense(8), relu, nn.MultiHeadDotProductAttention(2), Dense(3)),
        {"MultiHeadDotProductAttention_0/query", "MultiHeadDotProductAttention_0/key"},
        "as in attention logits",
    ),
}


def _residual(x):
    return Dense(2)(relu(x + Dense(6)(relu(Dense(6)(x)))))


def _twice(x):
    layer = Dense(7)
    return Dense(2)(relu(layer(relu(layer(x)))))


def _with_features(x):
    return Dense(2)(x), x


@pytest.mark.parametrize("name", OBSTACLES)
def test_layers_that_cannot_promise_say_why(name):
    function, expected, reason = OBSTACLES[name]
    graph = check_flax(function, VECTOR)
    found = {layer.name: layer.obstacle for layer in graph.layers if not layer.recyclable}
    assert set(found) == expected
    assert all(reason in obstacle for obstacle in found.values()), found
    assert reason in str(graph)


def test_ensembles_by_vmap_over_parameters():
    ensemble = functools.partial(
        nn.vmap,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=None,
        axis_size=2,
    )
    for module, inputs in ((MLP, VECTOR), (CNN, IMAGE)):
        graph = check_flax(lambda x, module=module: ensemble(module)()(x), inputs)
        names = [layer.name for layer in graph.layers]
        assert len(names) == 4 and all(recyclable(graph).values())
        assert [name[-3:] for name in names] == ["[0]", "[1]"] * 2
        # A member's neurons are its own: they touch its slice of every kernel only.
        second = graph.layers[1]
        for entries in second.incoming + second.outgoing:
            member = entries.index.array.reshape(2, -1)
            assert (member[0] == -1).all() and (member[1] >= 0).all()


def test_members_score_like_networks_of_their_own():
    network = MLP()
    keys = jax.random.split(jax.random.key(0), 2)
    stacked = jax.vmap(network.init, (0, None))(keys, VECTOR)
    together = jax.vmap(network.apply, (0, None))
    graph = dormant.trace(together, stacked, VECTOR)
    scores = dormant.dormancy_scores(graph.activations(stacked, VECTOR))
    for member, key in enumerate(keys):
        alone = network.init(key, VECTOR)
        single = dormant.trace(network.apply, alone, VECTOR)
        expected = dormant.dormancy_scores(single.activations(alone, VECTOR))
        for name, score in expected.items():
            np.testing.assert_allclose(scores[f"{name}[{member}]"], score, rtol=1e-5)


def test_batched_vmapped_and_single_inputs_agree():
    network = MLP()
    params = network.init(jax.random.key(0), VECTOR[0])
    batched = dormant.trace(network.apply, params, VECTOR)
    vmapped = dormant.trace(jax.vmap(network.apply, (None, 0)), params, VECTOR)
    single = dormant.trace(network.apply, params, VECTOR[0])
    assert batched.layers == vmapped.layers == single.layers
    for name, expected in batched.activations(params, VECTOR).items():
        np.testing.assert_allclose(vmapped.activations(params, VECTOR)[name], expected, rtol=1e-6)


def test_twin_networks():
    twin = lambda x: jnp.stack([MLP()(x) for _ in range(2)])  # noqa: E731
    graph = check_flax(twin, VECTOR)
    assert graph.names == ("MLP_0/Dense_0", "MLP_0/Dense_1", "MLP_1/Dense_0", "MLP_1/Dense_1")


def test_plain_function():
    def apply(params, x):
        for kernel, bias in params[:-1]:
            x = jnp.tanh(x @ kernel + bias)
        return x @ params[-1][0] + params[-1][1]

    def init(key):
        sizes = (7, 5, 4, 2)
        keys = jax.random.split(key, 3)
        return [
            (jax.random.normal(k, (m, n)), jnp.zeros(n))
            for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=True)
        ]

    assert recyclable(check_promise(apply, init, VECTOR)) == {"0": True, "1": True}


def test_haiku():
    network = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([6, 5, 2])(x)))
    graph = check_promise(network.apply, lambda key: network.init(key, VECTOR), VECTOR)
    assert recyclable(graph) == {"mlp/~/linear_0": True, "mlp/~/linear_1": True}


def test_nnx():
    class Model(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(4, 5, (3, 3), rngs=rngs)
            self.hidden = nnx.Linear(5, 6, rngs=rngs)
            self.output = nnx.Linear(6, 3, rngs=rngs)

        def __call__(self, x):
            x = nnx.relu(self.conv(x)).mean((1, 2))
            return self.output(nnx.relu(self.hidden(x)))

    definition, _ = nnx.split(Model(nnx.Rngs(0)))
    graph = check_promise(
        lambda state, x: nnx.merge(definition, state)(x),
        lambda key: nnx.split(Model(nnx.Rngs(key)))[1],
        IMAGE,
    )
    assert recyclable(graph) == {"conv": True, "hidden": True}


def test_channels_first_and_patches():
    def channels_first(params, x):
        numbers = ("NCHW", "OIHW", "NCHW")
        x = jax.lax.conv_general_dilated(
            x, params["conv"], (1, 1), "SAME", dimension_numbers=numbers
        )
        return relu(x).reshape(x.shape[0], -1) @ params["out"]

    def normal(*shape):
        return lambda key: jax.random.normal(key, shape)

    def init(shapes):
        return lambda key: {name: normal(*shape)(key) for name, shape in shapes.items()}

    shapes = {"conv": (5, 4, 3, 3), "out": (5 * 144, 2)}
    graph = check_promise(channels_first, init(shapes), IMAGE.transpose(0, 3, 1, 2))
    (rows,) = graph["conv"].outgoing
    np.testing.assert_array_equal(rows.index.array, np.repeat(np.arange(5), 144))

    def as_patches(params, x):
        for name in ("first", "second"):
            high, wide, _, channels = params[name].shape
            height, width = x.shape[1] - high + 1, x.shape[2] - wide + 1
            shifts = [(i, j) for i in range(high) for j in range(wide)]
            patches = [x[:, i : i + height, j : j + width] for i, j in shifts]
            x = relu(jnp.concatenate(patches, -1) @ params[name].reshape(-1, channels))
        return x.reshape(x.shape[0], -1) @ params["out"]

    shapes = {"first": (3, 3, 4, 5), "second": (3, 3, 5, 6), "out": (64 * 6, 2)}
    graph = check_promise(as_patches, init(shapes), IMAGE)
    (rows,) = graph["first"].outgoing
    assert rows.axes == (2,) and rows.index.array.tolist() == [0, 1, 2, 3, 4]


def test_noisy_layers_touch_mean_and_deviation():
    def layer(params, x, key):
        noise = jax.random.normal(key, params["w_mean"].shape)
        return x @ (params["w_mean"] + params["w_deviation"] * noise) + params["b"]

    def apply(params, x, key):
        return layer(params["out"], relu(layer(params["hidden"], x, key)), key)

    def init(key):
        def make(m, n):
            w = jax.random.normal(key, (m, n))
            return {"w_mean": w, "w_deviation": jnp.abs(w), "b": jnp.zeros(n)}

        return {"hidden": make(7, 5), "out": make(5, 2)}

    graph = check_promise(apply, init, VECTOR, jax.random.key(3))
    assert {entries.path for entries in graph["hidden"].outgoing} == {
        "out/w_mean",
        "out/w_deviation",
    }


FAILURES = {
    "neurons summed up one by one": (
        lambda x: pipe(x, Dense(6), relu, lambda h: jnp.cumsum(h, axis=-1), Dense(4)),
        "Dense_0/kernel.*'cumsum'",
    ),
    "no hidden layer": (lambda x: Dense(4)(x), "must have a hidden layer.*Dense_0"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_cannot_be_followed_is_named(name):
    function, message = FAILURES[name]
    network = Network(function)
    params = network.init(jax.random.key(0), VECTOR)
    with pytest.raises(dormant.TraceError, match=message):
        dormant.trace(network.apply, params, VECTOR)


def test_low_rank_kernels_are_named():
    params = {"u": jnp.ones((7, 2)), "v": jnp.ones((2, 5)), "out": jnp.ones((5, 2))}
    with pytest.raises(dormant.TraceError, match="'u'.*mixed by a product"):
        dormant.trace(lambda p, x: relu(x @ (p["u"] @ p["v"])) @ p["out"], params, VECTOR)


def test_leave_out():
    network = Network(
        lambda x: pipe(x.astype(int) % 9, nn.Embed(9, 5), flat, Dense(6), relu, Dense(2))
    )
    params = network.init(jax.random.key(0), VECTOR)
    graph = dormant.trace(network.apply, params, VECTOR, leave_out=("Embed_0",))
    assert graph.names == ("Dense_0",)
    with pytest.raises(dormant.TraceError, match="got 'Embed_7'"):
        dormant.trace(network.apply, params, VECTOR, leave_out=("Embed_7",))


def test_shapes_are_enough():
    network = MLP()
    shapes = jax.eval_shape(network.init, jax.random.key(0), VECTOR)
    graph = dormant.trace(network.apply, shapes, jax.ShapeDtypeStruct((5, 7), jnp.float32))
    params = network.init(jax.random.key(0), VECTOR)
    assert graph == dormant.trace(network.apply, params, VECTOR)
    assert hash(graph) == hash(dormant.trace(network.apply, params, VECTOR))


def test_tracing_inside_jit_and_gradients_through_activations():
    network = MLP()
    params = network.init(jax.random.key(0), VECTOR)

    @jax.jit
    def total(params, x):
        graph = dormant.trace(network.apply, params, x)
        return sum(jnp.sum(h) for h in graph.activations(params, x).values())

    assert np.isfinite(total(params, VECTOR))
    gradient = jax.grad(total)(params, VECTOR)["params"]
    assert bool(jnp.any(gradient["Dense_0"]["kernel"] != 0))
    assert not bool(jnp.any(gradient["Dense_2"]["kernel"] != 0))  # the output is never computed


def test_table():
    network = CNN()
    graph = dormant.trace(network.apply, network.init(jax.random.key(0), IMAGE), IMAGE)
    assert str(graph).splitlines() == [
        "layer   neurons  fed by  read by  recyclable",
        "------  -------  ------  -------  ----------",
        "Conv_0  4        input   Conv_1   yes",
        "Conv_1  5        Conv_0  Dense_0  yes",
        "output layers: Dense_0",
    ]


def test_a_block_of_a_deep_network_is_as_much_work_as_one_of_a_shallow_network(monkeypatch):
    """A residual stream holds all layers before it; alike, they are followed once."""
    calls = []
    combine = labels.combine
    monkeypatch.setattr(labels, "combine", lambda *each: calls.append(each) or combine(*each))

    def stacked(x, blocks):
        x = Dense(7)(x)
        for _ in range(blocks):
            x += Dense(7)(relu(Dense(7)(nn.LayerNorm()(x))))
        return Dense(2)(x)

    counts = []
    for blocks in (4, 8, 12):
        calls.clear()
        network = Network(functools.partial(stacked, blocks=blocks))
        dormant.trace(network.apply, network.init(jax.random.key(0), VECTOR), VECTOR)
        counts.append(len(calls))
    assert 0 < counts[1] - counts[0] == counts[2] - counts[1]


def test_unhashable_apply():
    class Unhashable:
        __hash__ = None

        def __call__(self, params, x):
            return x

    with pytest.raises(dormant.TraceError, match="hashable"):
        dormant.trace(Unhashable(), {}, VECTOR)


def _largest(h):
    """The three largest neurons, the others silenced."""
    return jnp.where(h >= jax.lax.top_k(h, 3)[0][..., -1:], h, 0)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (jnp.sort, "ranked against each other by sort"),
        (lambda h: jax.lax.top_k(h, 3)[0], "ranked against each other by top_k"),
        (
            lambda h: jnp.where(h >= jax.lax.top_k(h, 3)[0][..., -1:], h, 0),
            "normalized or gated by a statistic over them",
        ),
        (lambda h: jnp.sort(h, axis=0), None),
    ],
    ids=["sorted", "the largest", "only the largest", "over the batch"],
)
def test_neurons_that_are_ranked_against_each_other_are_measured(order, reason):
    network = Network(lambda x: pipe(x, Dense(6), relu, order, Dense(5), relu, Dense(4)))
    batch = jax.random.normal(jax.random.key(3), (4, 7))
    graph = check_promise(network.apply, lambda key: network.init(key, batch), batch)
    assert graph["Dense_1"].recyclable
    assert graph["Dense_0"].obstacle == (
        None if reason is None else f"its neurons are {reason} before Dense_1 reads them"
    )


def test_inputs_without_a_row_are_refused():
    params = {"first": jnp.ones((7, 8)), "head": jnp.ones((8, 2))}

    def apply(params, x, *others):
        return relu(x.reshape(len(x), -1) @ params["first"]) @ params["head"]

    with pytest.raises(ValueError, match=r"^`inputs` must have at least one row; got .* \(0, 7\)$"):
        dormant.trace(apply, params, jnp.ones((0, 7)))
    graph = dormant.trace(apply, params, VECTOR, jnp.ones(0))
    with pytest.raises(ValueError, match="^`inputs` must have at least one row"):
        graph.activations(params, jnp.ones((0, 7)))


def test_slices_of_one_product_are_followed_one_by_one():
    def function(x):
        query, key, value = jnp.unstack(Dense(12, name="all")(x).reshape(-1, 3, 4), axis=1)
        return Dense(2)(relu(query) * key + value)

    stacked = jax.random.normal(jax.random.key(3), (2, 7, 7))

    def apply(params, x):
        for kernel in jnp.unstack(params["kernels"]):
            x = relu(x @ kernel)
        return x @ params["out"]

    graph = check_flax(function, VECTOR)
    assert graph["all"].neurons == 12
    graph = dormant.trace(apply, {"kernels": stacked, "out": jnp.ones((7, 2))}, VECTOR)
    assert [layer.neurons for layer in graph.layers] == [7, 7]


def test_complex_numbers_and_functions_with_a_rule_of_their_own_for_vmap():
    doubled = jax.custom_batching.custom_vmap(lambda x: 2 * x)
    doubled.def_vmap(lambda size, mapped, x: (2 * x, True))

    def function(x):
        hidden = doubled(relu(Dense(6, name="hidden")(x)))
        return Dense(2)(jnp.real(hidden * (1 + 2j)))

    graph = check_flax(function, VECTOR)
    assert graph["hidden"].recyclable


def test_learned_queries_are_named_among_what_may_be_left_out():
    class Pooled(nn.Module):
        @nn.compact
        def __call__(self, x):
            latents = self.param("latents", nn.initializers.normal(), (2, 8))
            tokens = relu(Dense(8)(x))
            queries = jnp.broadcast_to(latents, (x.shape[0], 2, 8))
            read = nn.MultiHeadDotProductAttention(num_heads=2, name="attention")(queries, tokens)
            return Dense(3)(flat(read))

    x = jax.random.normal(jax.random.key(0), (4, 5, 3))
    params = Pooled().init(jax.random.key(1), x)
    with pytest.raises(dormant.TraceError, match="'params/latents'"):
        dormant.trace(Pooled().apply, params, x)
    assert len(dormant.trace(Pooled().apply, params, x, leave_out=["latents"]).layers) > 1

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Branches, embeddings and other choices by data, and sums over a named axis."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from tests.traced_networks import (
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
)
from tests.tracing.networks_over_time import KEY, SEQUENCE, after, init

# -- branches -------------------------------------------------------------------------------------


def test_layers_around_and_inside_a_cond():
    def apply(params, x, flag):
        h = relu(x @ params["encoder"])

        def deep(h):
            return relu(h @ params["inner"]) @ params["out"]

        def shallow(h):
            return jnp.tanh(h @ params["short"])

        h = jax.lax.cond(flag > 0, deep, shallow, h)
        return after(params, h)

    make = lambda key: init(key, short=(6, 4))  # noqa: E731
    for flag in (1, 0):
        graph = check_promise(apply, make, VECTOR, flag)
        assert recyclable(graph) == {
            "encoder": True,
            "inner": False,
            "out": False,
            "short": False,
            "post": True,
        }
        assert "one branch of a `cond`" in graph["inner"].obstacle
        assert set(graph["encoder"].read_by) == {"inner", "short"}
        found = graph.activations(make(KEY), VECTOR, flag)
        assert bool(found["inner"].any()) == bool(flag)
        assert bool(found["short"].any()) != bool(flag)


def test_a_switch_of_activations_is_followed():
    def apply(params, x, index):
        h = x @ params["encoder"]
        h = jax.lax.switch(index, [relu, jnp.tanh, lambda h: h], h)
        return h @ params["inner"]

    graph = check_promise(apply, init, VECTOR, 1)
    assert graph["encoder"].recyclable
    params = init(KEY)
    for index, function in enumerate([relu, jnp.tanh, lambda h: h]):
        found = graph.activations(params, VECTOR, index)["encoder"]
        np.testing.assert_allclose(found, function(VECTOR @ params["encoder"]), rtol=1e-5)


def test_a_branch_that_is_not_zero_for_a_silent_neuron():
    def apply(params, x, flag):
        h = relu(x @ params["encoder"])
        return jax.lax.cond(flag > 0, lambda h: h + 1, lambda h: h, h) @ params["inner"]

    for flag in (0, 1):
        graph = check_promise(apply, init, VECTOR, flag)
        assert "not zero where the neuron is silent" in graph["encoder"].obstacle


def test_a_cond_of_which_each_example_takes_its_own_branch():
    """`vmap` makes a select of it, and repeats what the branches read for every example."""

    def apply(params, x, flag):
        h = relu(x @ params["encoder"])

        def deep(h):
            return relu(h @ params["inner"] + params["bias"]) @ params["out"]

        h = jax.lax.cond(flag > 0, deep, lambda h: jnp.tanh(h @ params["short"]), h)
        return after(params, h)

    make = lambda key: init(key, short=(6, 4), bias=(5,))  # noqa: E731
    each = jax.vmap(apply, (None, 0, 0))
    flags = jnp.arange(len(VECTOR)) % 2
    graph = check_promise(each, make, VECTOR, flags)
    alone = dormant.trace(apply, make(KEY), VECTOR, 1)
    assert {layer.name: layer.neurons for layer in graph.layers} == {
        layer.name: layer.neurons for layer in alone.layers
    }
    assert [layer.name for layer in graph.layers if not layer.recyclable] == ["short", "out"]
    for one, other in (("short", "out"), ("out", "short")):
        assert graph[one].obstacle.startswith("several layers in one place")
        assert graph[one].obstacle.endswith(f"combined with {other}")


def test_a_cond_inside_a_scan():
    def apply(params, x):
        def step(carry, x):
            h = relu(x @ params["encoder"]) @ params["inner"]
            carry = jax.lax.cond(h.sum() > 0, lambda c: c * 2, lambda c: c + 1.0, carry)
            return carry, h

        return jax.lax.scan(step, 0.0, x.swapaxes(0, 1))

    graph = check_promise(apply, init, SEQUENCE)
    assert graph["encoder"].recyclable


# -- embeddings and indices -----------------------------------------------------------------------


def test_embeddings_are_data():
    def function(x):
        x = flat(nn.Embed(9, 5)(x.astype(int) % 9))
        return pipe(x, Dense(6), relu, Dense(2))

    graph = check_flax(function, VECTOR)
    assert recyclable(graph) == {"Dense_0": True}
    assert graph["Dense_0"].fed_by == ("input",)


def test_a_tied_embedding_is_not_cut():
    class Tied(nn.Module):
        @nn.compact
        def __call__(self, tokens):
            embed = nn.Embed(9, 5)
            h = relu(Dense(5, name="second")(relu(Dense(6, name="first")(embed(tokens)))))
            return embed.attend(h)

    tokens = jnp.arange(8).reshape(2, 4)
    graph = check_promise(Tied().apply, lambda key: Tied().init(key, tokens), tokens)
    assert graph["first"].recyclable
    assert graph["second"].obstacle == (
        "weight sharing: params/Embed_0/embedding is also used by gather"
    )


TASKS = {"first": (4, 6, 8), "second": (8, 8), "heads": (4, 8, 3)}


def init_tasks(key):
    return {name: jax.random.normal(key, shape) for name, shape in TASKS.items()}


# How a network has the weights of one task, or of one for each example: the network, its tasks.
CHOICES = {
    "one head": (lambda h, heads, task: h @ heads[task], jnp.int32(1)),
    "one head, cast": (lambda h, heads, task: h @ (heads[task].astype(h.dtype)), jnp.int32(1)),
    "one head, transposed": (
        lambda h, heads, task: h @ jnp.swapaxes(heads, 1, 2)[task].T, jnp.int32(1)
    ),
    "a head for each": (
        lambda h, heads, task: jnp.einsum("bi,bio->bo", h, heads[task]),
        jnp.arange(VECTOR.shape[0]) % 4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_a_layer_that_a_chosen_head_reads_is_a_hidden_one(name):
    read, tasks = CHOICES[name]

    def apply(params, x, task):
        h = relu(relu(x @ params["first"][0]) @ params["second"])
        return read(h, params["heads"], task)

    graph = dormant.trace(apply, init_tasks(KEY), VECTOR[:, :6], tasks)
    assert graph.names == ("first[0]", "second") and graph.output_layers == ("heads",)
    assert graph["second"].read_by == ("heads",) and graph.penultimate == ("second",)
    assert graph["first[0]"].recyclable
    assert graph["second"].obstacle.startswith("weight sharing: heads is also used by ")
    found = graph.activations(init_tasks(KEY), VECTOR[:, :6], tasks)
    assert found["second"].shape == (VECTOR.shape[0], 8)


def test_a_layer_whose_weights_are_chosen_is_measured():
    def apply(params, x, task):
        return relu(relu(x @ params["first"][task]) @ params["second"]) @ params["heads"][0]

    graph = dormant.trace(apply, init_tasks(KEY), VECTOR[:, :6], jnp.int32(2))
    assert recyclable(graph) == {"first": False, "second": True}
    assert graph["second"].fed_by == ("first",)
    params = init_tasks(KEY)
    found = graph.activations(params, VECTOR[:, :6], jnp.int32(2))["first"]
    expected = relu(VECTOR[:, :6] @ params["first"][2])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_chosen_rows_that_are_multiplied_with_each_other_are_no_layers():
    def apply(params, users, items):
        table = params["heads"].reshape(-1, 3)
        affinity = table[users] @ table[items].T
        return relu(affinity @ params["second"][: items.shape[0]]) @ params["second"][:, :2]

    graph = dormant.trace(apply, init_tasks(KEY), jnp.arange(5), jnp.arange(4))
    assert [name.partition("[")[0] for name in graph.names] == ["second"]


def test_a_time_step_chosen_by_data():
    def apply(params, x, index):
        h = relu(x @ params["encoder"])
        chosen = jax.lax.dynamic_index_in_dim(h, index, axis=1, keepdims=False)
        return (chosen + h[jnp.arange(3), index]) @ params["inner"]

    graph = check_promise(apply, init, SEQUENCE, 2)
    assert graph["encoder"].recyclable


def test_a_neuron_chosen_by_data_is_named():
    def apply(params, x, index):
        h = relu(x @ params["encoder"])
        return jnp.take(h, index, axis=1)[:, None] @ params["head"][:1]

    with pytest.raises(dormant.TraceError, match="encoder.*through the primitive 'gather'"):
        dormant.trace(apply, init(KEY), VECTOR, 2)


def test_an_embedding_inside_a_loop():
    network = Network(
        lambda tokens: Dense(2)(
            relu(Dense(6, name="post")(nn.RNN(nn.GRUCell(4))(nn.Embed(9, 5)(tokens))))
        )
    )
    tokens = jnp.arange(8).reshape(2, 4)
    graph = check_promise(network.apply, lambda key: network.init(key, tokens), tokens)
    assert graph["post"].recyclable


# -- named axes -----------------------------------------------------------------------------------


def synchronized(params, x):
    h = relu(x @ params["encoder"])
    return h @ params["inner"] + jax.lax.pmean(x.sum(), "devices")


def test_a_collective_is_followed_where_the_axis_is_not_bound():
    graph = dormant.trace(synchronized, init(KEY), VECTOR)
    assert recyclable(graph) == {"encoder": True}
    found = graph.activations(init(KEY), VECTOR)["encoder"]
    np.testing.assert_allclose(found, relu(VECTOR @ init(KEY)["encoder"]), rtol=1e-5, atol=1e-6)


def test_a_collective_is_followed_where_the_axis_is_bound():
    apply = jax.vmap(synchronized, (None, 0), axis_name="devices")
    graph = check_promise(apply, init, SEQUENCE)
    assert recyclable(graph) == {"encoder": True}


def test_a_synchronized_batch_norm_is_measured_as_one_device_computes_it():
    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            norm = nn.BatchNorm(use_running_average=False, axis_name="devices")
            return Dense(2, name="out")(relu(norm(Dense(6, name="hidden")(x))))

    network = Network()
    variables = jax.vmap(
        lambda x: network.init(KEY, x), axis_name="devices", out_axes=None, axis_size=1
    )(VECTOR[None])

    def apply(params, stats, x):
        variables = {"params": params, "batch_stats": stats}
        return network.apply(variables, x, mutable=["batch_stats"])[0]

    inputs = (variables["batch_stats"], VECTOR)
    graph = dormant.trace(apply, variables["params"], *inputs)
    assert graph["hidden"].recyclable
    found = graph.activations(variables["params"], *inputs)["hidden"]
    kernel = variables["params"]["hidden"]["kernel"]
    h = VECTOR @ kernel
    expected = relu((h - h.mean(0)) / jnp.sqrt(h.var(0) + 1e-5))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    # Inside of a bound axis the statistics are those of all devices.
    shards = jnp.stack([VECTOR, VECTOR * 2])
    together = jax.vmap(
        lambda x: graph.activations(variables["params"], inputs[0], x)["hidden"],
        axis_name="devices",
    )(shards)
    h = shards @ kernel
    expected = relu((h - h.mean((0, 1))) / jnp.sqrt(h.var((0, 1)) + 1e-5))
    np.testing.assert_allclose(together, expected, rtol=1e-3, atol=1e-4)


def test_constant_indices_are_read_inside_of_jit_for_a_new_batch_too():
    indices = jnp.array([3, 1, 0, 2])

    def apply(params, x):
        return relu(x @ params["hidden"])[:, indices] @ params["output"]

    keys = jax.random.split(jax.random.key(0))
    shapes = {"hidden": (5, 6), "output": (4, 2)}
    params = {n: jax.random.normal(k, shapes[n]) for n, k in zip(shapes, keys, strict=True)}
    graph = dormant.trace(apply, params, jnp.ones((2, 5)))
    inputs = jax.random.normal(jax.random.key(1), (16, 5))
    found = jax.jit(graph.activations)(params, inputs)["hidden"]
    np.testing.assert_allclose(found, relu(inputs @ params["hidden"]), rtol=1e-6)


@pytest.mark.parametrize("scaled", [lambda w: w, lambda w: 2 * w, lambda w: w * w.sum(0)])
def test_a_layer_that_a_chosen_and_scaled_kernel_reads_is_hidden(scaled):
    params = {"first": jnp.ones((5, 6)), "second": jnp.ones((6, 6)), "heads": jnp.ones((4, 6, 2))}

    def apply(params, x, task):
        hidden = relu(relu(x @ params["first"]) @ params["second"])
        return jax.vmap(lambda h, n: h @ scaled(params["heads"][n]))(hidden, task)

    graph = dormant.trace(apply, params, jnp.ones((8, 5)), jnp.arange(8) % 4)
    assert graph.names == ("first", "second")

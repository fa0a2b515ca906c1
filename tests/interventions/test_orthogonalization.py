# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""FIRE against singular value decompositions and Newton-Schulz in float64 NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import interventions, parts
from tests.interventions.soft_networks import (
    ADAM,
    KEY,
    VECTORS,
    acted,
    assert_near,
    assert_same,
    float64,
    some,
    traced,
    trained,
)
from tests.small_networks import convolve
from tests.traced_networks import quick_compilation  # noqa: F401

SGD = optax.sgd(0.1)


def everybody(network):
    return some(network, 1.1)


def newton_schulz(matrix, iterations):
    x = matrix / np.linalg.norm(matrix)
    for _ in range(iterations):
        x = 1.5 * x - 0.5 * x @ x.T @ x
    return x


def polar(matrix):
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    return left @ right


def expected(kernel, factor):
    """Of a kernel (…, in, out): each position's factor, scaled as the authors' code does."""
    *space, d_in, d_out = kernel.shape
    matrices = kernel.reshape(-1, d_in, d_out)
    scale = np.sqrt(d_out / d_in) / len(matrices)
    return np.stack([scale * factor(each) for each in matrices]).reshape(kernel.shape)


@pytest.mark.parametrize("iterations", [3, 10])
@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_every_kernel_takes_the_iterations_and_nothing_else_changes(network, iterations):
    action = parts.orthogonalization(traced(network), ADAM, iterations=iterations)
    params, opt_state, masks, _ = acted(action, network, everybody(network))
    layers = float64(trained(network)[0])
    for arrays in layers.values():
        factor = functools.partial(newton_schulz, iterations=iterations)
        arrays["kernel"] = expected(arrays["kernel"], factor)
    assert_near(params, layers, rtol=1e-4, atol=1e-5)
    assert_same(masks, everybody(network))
    mu, before = opt_state[0].mu["params"], trained(network)[1][0].mu["params"]
    assert all((layer["kernel"] == 0).all() for layer in mu.values())
    assert_same({n: mu[n]["bias"] for n in mu}, {n: before[n]["bias"] for n in mu})


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_enough_iterations_reach_the_polar_factor_which_stays(network):
    action = parts.orthogonalization(traced(network), ADAM, iterations=25)
    params, opt_state, *_ = acted(action, network, everybody(network))
    layers = float64(trained(network)[0])
    for arrays in layers.values():
        arrays["kernel"] = expected(arrays["kernel"], polar)
    assert_near(params, layers, rtol=1e-3, atol=2e-4)
    again = jax.jit(action.act)(params, opt_state, everybody(network), KEY, (), {})[0]
    assert_near(again, float64(params), rtol=1e-3, atol=2e-4)


def test_convolutions_and_kernels_of_other_layouts():
    """(out, in, …), an ensemble, and one output; the matrices are told apart by what they read."""
    shapes = {"c1": (4, 2, 3, 3), "c2": (5, 4, 3, 3), "w": (45, 1)}
    random = np.random.default_rng(0)
    params = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}

    def net(p, x):
        for name in ("c1", "c2"):
            x = jax.nn.relu(jax.lax.conv(x, p[name], (1, 1), "VALID"))
        return x.reshape(x.shape[0], -1) @ p["w"]

    graph = dormant.trace(net, params, jnp.ones((2, 2, 7, 7)))
    action = parts.orthogonalization(graph, SGD, iterations=40)
    masks = {layer.name: jnp.ones(layer.neurons, bool) for layer in graph.layers}
    found = jax.jit(action.act)(params, SGD.init(params), masks, KEY, (), {})[0]
    for name in ("c1", "c2"):
        last = np.moveaxis(np.asarray(params[name], np.float64), (1, 0), (2, 3))
        wanted = np.moveaxis(expected(last, polar), (2, 3), (1, 0))
        np.testing.assert_allclose(found[name], wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["w"], expected(params["w"], polar), rtol=1e-3, atol=1e-5)


def test_every_member_of_an_ensemble_has_its_own_matrix():
    random = np.random.default_rng(1)
    shapes = {"one": (2, 3, 6), "two": (2, 6, 4), "out": (2, 4, 1)}
    params = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}

    def member(p, x):
        return jax.nn.relu(jax.nn.relu(x @ p["one"]) @ p["two"]) @ p["out"]

    graph = dormant.trace(jax.vmap(member, (0, None)), params, jnp.ones((5, 3)))
    action = parts.orthogonalization(graph, SGD, iterations=40)
    masks = {layer.name: jnp.ones(layer.neurons, bool) for layer in graph.layers}
    found = jax.jit(action.act)(params, SGD.init(params), masks, KEY, (), {})[0]
    for name in shapes:
        wanted = np.stack([expected(each, polar) for each in params[name].astype(np.float64)])
        np.testing.assert_allclose(found[name], wanted, rtol=1e-3, atol=1e-4)


def test_every_member_has_a_matrix_of_each_position_of_its_first_convolution():
    random = np.random.default_rng(1)
    shapes = {"c": (2, 3, 3, 2, 4), "out": (2, 100, 1)}
    params = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    images = jnp.ones((5, 5, 5, 2))

    def member(p, x):
        return jax.nn.relu(convolve(x, p["c"])).reshape(len(x), -1) @ p["out"]

    def made(apply, params):
        graph = dormant.trace(apply, params, images)
        action = parts.orthogonalization(graph, SGD, iterations=40)
        masks = {layer.name: jnp.ones(layer.neurons, bool) for layer in graph.layers}
        return jax.jit(action.act)(params, SGD.init(params), masks, KEY, (), {})[0]

    together = made(jax.vmap(member, (0, None)), params)
    for number in range(2):
        alone = made(member, {name: params[name][number] for name in shapes})
        for name in shapes:
            np.testing.assert_allclose(together[name][number], alone[name], rtol=1e-4, atol=1e-5)


def test_what_reads_several_axes_of_the_inputs_is_one_matrix():
    """A dense kernel of three axes has the shape of a convolution's."""
    random = np.random.default_rng(2)
    shapes = {"w": (2, 3, 8), "out": (8, 1)}
    params = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}

    def net(p, x):
        return jax.nn.relu(jnp.einsum("bij,ijk->bk", x, p["w"])) @ p["out"]

    graph = dormant.trace(net, params, jnp.ones((5, 2, 3)))
    action = parts.orthogonalization(graph, SGD, iterations=40)
    masks = {layer.name: jnp.ones(layer.neurons, bool) for layer in graph.layers}
    found = jax.jit(action.act)(params, SGD.init(params), masks, KEY, (), {})[0]
    wanted = expected(params["w"].reshape(6, 8).astype(np.float64), polar)
    np.testing.assert_allclose(found["w"].reshape(6, 8), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("bad", [0.0, jnp.nan, jnp.inf, 1e30])
def test_kernels_without_a_polar_factor_and_large_ones(bad):
    params, opt_state = trained("mlp")
    kernel = params["params"]["Dense_1"]["kernel"]
    changed = kernel * 1e30 if bad == 1e30 else jnp.full_like(kernel, bad)
    layers = params["params"] | {"Dense_1": params["params"]["Dense_1"] | {"kernel": changed}}
    action = parts.orthogonalization(traced("mlp"), ADAM)
    new, *_ = jax.jit(action.act)({"params": layers}, opt_state, everybody("mlp"), KEY, (), {})
    found = new["params"]["Dense_1"]["kernel"]
    if bad == 1e30:
        wanted = expected(np.asarray(kernel, np.float64), lambda m: newton_schulz(m, 10))
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    else:
        np.testing.assert_array_equal(found, changed)
        assert np.isfinite(new["params"]["Dense_0"]["kernel"]).all()


def test_only_the_chosen_layers_and_selected_columns():
    action = parts.orthogonalization(traced("mlp"), ADAM, layers=("Dense_1",), moments="keep")
    assert action.layers == ("Dense_1",)
    masks = {"Dense_1": jnp.arange(6) < 3}
    params, opt_state, *_ = acted(action, "mlp", masks)
    before = trained("mlp")[0]["params"]
    assert_same(opt_state, trained("mlp")[1])
    for name in ("Dense_0", "Dense_2"):
        assert_same(params["params"][name], before[name])
    found, old = params["params"]["Dense_1"]["kernel"], before["Dense_1"]["kernel"]
    np.testing.assert_array_equal(found[:, 3:], old[:, 3:])
    assert (found[:, :3] != old[:, :3]).all()
    nobody = acted(action, "mlp", {"Dense_1": jnp.zeros(6, bool)})
    assert_same(nobody[:2], trained("mlp"))


def test_a_target_network_takes_its_own_polar_factors():
    action = parts.orthogonalization(traced("mlp"), ADAM)
    params, target = trained("mlp")[0], jax.tree.map(lambda leaf: leaf + 0.5, trained("mlp")[0])
    mirror = jax.jit(action.mirror)
    found = mirror(params, target, everybody("mlp"), True)
    wanted = jax.jit(action.act)(target, trained("mlp")[1], everybody("mlp"), KEY, (), {})[0]
    assert_near(found, float64(wanted))
    assert_same(mirror(params, target, some("mlp", 0.0), False), target)


def test_the_method_acts_when_due():
    method = interventions.fire(traced("mlp"), ADAM, 2)
    update, carry = jax.jit(method.update), (*trained("mlp"), method.init(KEY))
    carry = update(*carry, VECTORS)
    assert_same(carry[:2], trained("mlp"))
    carry = update(*carry, VECTORS)
    action = parts.orthogonalization(traced("mlp"), ADAM)
    assert_near(carry[0], float64(acted(action, "mlp", everybody("mlp"))[0]))
    assert [method.is_due(step) for step in (1, 2, 3, 4)] == [False, True, False, True]


@pytest.mark.parametrize(
    "options, said",
    [
        ({"iterations": 0}, "`iterations` must be a whole number >= 1; got 0"),
        ({"layers": ("Dense_9",)}, "`layers` must name layers among .*; got 'Dense_9'"),
        ({"layers": "encoder"}, "`layers` must be 'last_hidden', 'all' or names of layers"),
        ({"moments": None}, "`moments` must be one of 'reset', 'keep'; got None"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        parts.orthogonalization(traced("mlp"), ADAM, **options)


def orthogonalized(apply, params, *inputs, layers="all", graph=None):
    graph = graph or dormant.trace(apply, params, *inputs)
    action = parts.orthogonalization(graph, SGD, layers=layers, iterations=60)
    masks = {layer.name: jnp.ones(layer.neurons, bool) for layer in graph.layers}
    return jax.jit(action.act)(params, SGD.init(params), masks, KEY, (), {})[0]


def drawn(**shapes):
    random = np.random.default_rng(3)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_a_kernel_that_sums_over_stacked_layers_is_one_matrix():
    def joined(p, x):
        h = jnp.stack([jax.nn.relu(x @ p["a"]), jnp.tanh(x @ p["b"])])
        return jax.nn.relu(jnp.einsum("nbh,nhk->bk", h, p["v"])) @ p["out"]

    params = drawn(a=(4, 6), b=(4, 6), v=(2, 6, 5), out=(5, 2))
    found = orthogonalized(joined, params, jnp.ones((5, 4)))
    wanted = expected(params["v"].reshape(12, 5).astype(np.float64), polar)
    np.testing.assert_allclose(found["v"].reshape(12, 5), wanted, rtol=1e-3, atol=1e-4)


def test_a_layer_of_one_neuron_is_taken_as_it_is():
    """Its kernel has no axis along which neurons lie."""

    def gated(p, x):
        return jax.nn.relu(x @ p["w"]) * jax.nn.sigmoid(x @ p["gate"]) @ p["out"]

    params = drawn(w=(4, 6), gate=(4, 1), out=(6, 2))
    found = orthogonalized(gated, params, jnp.ones((5, 4)))
    wanted = expected(params["gate"].astype(np.float64), polar)
    np.testing.assert_allclose(found["gate"], wanted, rtol=1e-3, atol=1e-4)


def test_a_member_that_was_selected_is_taken_as_in_the_whole_graph():
    def member(p, x):
        return jax.nn.relu(x @ p["w"]) @ p["out"]

    params = drawn(w=(3, 4, 6), out=(3, 6, 2))
    apply = jax.vmap(member, (0, None))
    graph = dormant.trace(apply, params, jnp.ones((5, 4)))
    found = orthogonalized(apply, params, graph=graph.select("w[1]"), layers=["w[1]"])
    wanted = expected(params["w"][1].astype(np.float64), polar)
    np.testing.assert_allclose(found["w"][1], wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(found["w"][0], params["w"][0])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_members_may_lie_along_any_axis(axis):
    def member(p, x):
        return jax.nn.relu(x @ p["w"]) @ p["out"]

    params = drawn(w=(3, 4, 6), out=(3, 6, 2))
    moved = {name: np.moveaxis(leaf, 0, axis) for name, leaf in params.items()}
    found = orthogonalized(jax.vmap(member, (axis, None)), moved, jnp.ones((5, 4)))
    for name, leaf in params.items():
        wanted = np.stack([expected(each.astype(np.float64), polar) for each in leaf])
        np.testing.assert_allclose(np.moveaxis(found[name], axis, 0), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("groups", [1, 2, 4], ids=["whole", "grouped", "depthwise"])
def test_each_group_of_a_convolution_has_a_matrix_at_each_position(groups):
    params = drawn(k=(3, 3, 4 // groups, 4), w=(4, 2))

    def apply(params, images):
        hidden = jax.nn.relu(convolve(images, params["k"], groups))
        return hidden.mean((1, 2)) @ params["w"]

    found = orthogonalized(apply, params, jnp.ones((2, 5, 5, 4)))["k"]
    for at in np.ndindex(3, 3):
        pairs = (np.split(each[at], groups, -1) for each in (np.asarray(found), params["k"]))
        for own, kernel in zip(*pairs, strict=True):
            wanted = polar(kernel.astype(np.float64)) / 9
            np.testing.assert_allclose(own, wanted, rtol=1e-3, atol=1e-4)


def test_a_depthwise_kernel_that_keeps_its_channels_on_an_axis_of_their_own():
    params = drawn(a=(3, 3, 2, 4), k=(3, 3, 4, 2), w=(8, 2))

    def apply(params, images):
        hidden = jax.nn.relu(convolve(images, params["a"]))
        hidden = jax.nn.relu(convolve(hidden, params["k"].reshape(3, 3, 1, 8), 4))
        return hidden.mean((1, 2)) @ params["w"]

    found = np.asarray(orthogonalized(apply, params, jnp.ones((2, 5, 5, 2)))["k"])
    for at in np.ndindex(3, 3, 4):
        wanted = polar(params["k"][at][None].astype(np.float64)) * np.sqrt(2) / 9
        np.testing.assert_allclose(found[at][None], wanted, rtol=1e-3, atol=1e-4)


def test_every_member_of_an_ensemble_of_convolutions_has_its_own_matrices():
    params = drawn(a=(2, 3, 3, 2, 4), b=(2, 3, 3, 4, 5), w=(2, 5, 2))

    def member(params, images):
        hidden = jax.nn.relu(convolve(images, params["a"]))
        return jax.nn.relu(convolve(hidden, params["b"])).mean((1, 2)) @ params["w"]

    images = jnp.ones((2, 5, 5, 2))
    found = orthogonalized(jax.vmap(member, (0, None)), params, images)
    for number in range(2):
        alone = orthogonalized(member, {key: each[number] for key, each in params.items()}, images)
        for key in ("a", "b"):
            np.testing.assert_allclose(found[key][number], alone[key], rtol=1e-4, atol=1e-5)

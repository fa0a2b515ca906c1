# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What the graph says of kernels: which arrays and which parts of them, and their matrices."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import regularizers
from dormant.regularizers.kernels import kernels_of
from tests.small_networks import IMAGES, convolve, draw

RATE = 0.1


def test_the_matrix_of_a_kernel_goes_by_the_graph_not_by_the_layout():
    """A channels-first convolution has its outputs first; a member of a mapped network owns a part
    of every array; shared kernels count once."""

    def first(params, images):
        x = convolve(images, params["k"], numbers=("NCHW", "OIHW", "NCHW"))
        return jax.nn.relu(x).reshape(x.shape[0], -1) @ params["w"]

    params = draw({"k": (5, 2, 3, 3), "w": (80, 2)}, 1)
    images = jnp.moveaxis(IMAGES, -1, 1)
    traced = dormant.trace(first, params, images)
    kernel, output = kernels_of(traced, True)
    assert kernels_of(traced, False)[0].path == kernel.path == "k" and output.path == "w"
    matrix = kernel.matrix(params["k"])
    np.testing.assert_array_equal(matrix, params["k"].reshape(5, -1).T)
    np.testing.assert_array_equal(kernel.array(matrix), params["k"])

    def member(params, states):
        x = jax.nn.relu(states @ params["w"])
        return jax.nn.relu(x @ params["twice"]) @ params["twice"]

    stacked = draw({"w": (2, 3, 4), "twice": (2, 4, 4)}, 2)
    states = jax.random.normal(jax.random.key(0), (6, 3))
    mapped = dormant.trace(jax.vmap(member, (0, None)), stacked, states)
    hidden = kernels_of(mapped, False)
    assert [kernel.path for kernel in hidden].count("w") == 2
    for kernel, number in zip(hidden, (0, 1), strict=False):
        found = kernel.matrix(stacked["w"])
        np.testing.assert_array_equal(found, stacked["w"][number])
        back = np.asarray(kernel.array(found))
        np.testing.assert_array_equal(back[number], stacked["w"][number])
        assert not back[1 - number].any()


def regularized(name, graph, **options):
    if name == "parseval":
        return regularizers.parseval_regularization(optax.sgd(RATE), graph, 0.1, **options)
    if name == "projection":
        return regularizers.norm_projection(optax.sgd(RATE), graph, **options)
    if name == "spectral":
        return regularizers.spectral_regularization(optax.sgd(RATE), graph, 0.1, **options)
    if name == "isometry":
        return regularizers.isometry_decay(optax.sgd(RATE), graph, 0.1, **options)
    return regularizers.weight_clipping(optax.sgd(RATE), graph, 0.5, bound="initial", **options)


@pytest.mark.parametrize("groups", [3, 6], ids=["grouped", "depthwise"])
@pytest.mark.parametrize("name", ["parseval", "isometry"])
def test_each_group_of_a_convolution_is_a_matrix_of_its_own(name, groups):
    images = jax.random.normal(jax.random.key(0), (2, 5, 5, 6))
    params, slope = (draw({"k": (3, 3, 6 // groups, 6), "w": (6, 2)}, seed) for seed in (4, 5))

    def grouped(params, images):
        hidden = jax.nn.relu(convolve(images, params["k"], groups))
        return hidden.mean((1, 2)) @ params["w"]

    def apart(params, images):
        pieces = jnp.split(images, groups, -1)
        own = [convolve(x, k) for x, k in zip(pieces, params["k"], strict=True)]
        return jax.nn.relu(jnp.concatenate(own, -1)).mean((1, 2)) @ params["w"]

    def split(tree):
        return tree | {"k": jnp.split(tree["k"], groups, -1)}

    found, expected = (
        change.update(*each[:1], change.init(each[1]), each[1])[0]
        for change, each in (
            (regularized(name, dormant.trace(grouped, params, images), output_layers=True),
             (slope, params)),
            (regularized(name, dormant.trace(apart, split(params), images), output_layers=True),
             (split(slope), split(params))),
        )
    )  # fmt: skip
    joined = jnp.concatenate(expected["k"], -1)
    np.testing.assert_allclose(found["k"], joined, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", ["parseval", "spectral", "isometry"])
def test_members_convolutions_are_regularized_by_themselves(name, groups):
    """`vmap` makes one grouped convolution of those of all members."""
    shapes = {"a": (3, 3, 2, 4), "b": (3, 3, 4 // groups, 6), "w": (6, 2)}
    stacked, slope = (
        draw({key: (3, *shape) for key, shape in shapes.items()}, seed) for seed in (6, 7)
    )
    images = jax.random.normal(jax.random.key(0), (2, 5, 5, 2))

    def member(params, images):
        hidden = jax.nn.relu(convolve(images, params["a"]))
        hidden = jax.nn.relu(convolve(hidden, params["b"], groups))
        return hidden.mean((1, 2)) @ params["w"]

    whole = regularized(
        name, dormant.trace(jax.vmap(member, (0, None)), stacked, images), output_layers=True
    )
    found, _ = whole.update(slope, whole.init(stacked), stacked)
    one = jax.tree.map(lambda leaf: leaf[0], stacked)
    single = regularized(name, dormant.trace(member, one, images), output_layers=True)
    expected, _ = jax.vmap(lambda s, p: single.update(s, single.init(p), p))(slope, stacked)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-5), found, expected)


def test_a_depthwise_identity_has_a_spectral_norm_of_one():
    images = jax.random.normal(jax.random.key(0), (2, 5, 5, 4))
    kernel = jnp.zeros((3, 3, 1, 4)).at[1, 1].set(1.0)
    params = {"k": kernel, "w": jnp.ones((4, 2))}

    def apply(params, images):
        return jax.nn.relu(convolve(images, params["k"], 4)).mean((1, 2)) @ params["w"]

    graph = dormant.trace(apply, params, images)
    for change in (
        regularizers.spectral_regularization(optax.sgd(1.0), graph, 1.0, output_layers=False),
        regularizers.parseval_regularization(optax.sgd(1.0), graph, 1.0, scale=1.0),
    ):
        nothing = jax.tree.map(jnp.zeros_like, params)
        updates, _ = change.update(nothing, change.init(params), params)
        np.testing.assert_allclose(updates["k"], 0, atol=1e-6)


@pytest.mark.parametrize("output_layers", [False, True])
@pytest.mark.parametrize("name", ["parseval", "projection", "clipping", "spectral", "isometry"])
def test_members_of_a_mapped_network_are_regularized_by_themselves(name, output_layers):
    def member(params, states):
        return jax.nn.relu(states @ params["w"]) @ params["out"]

    stacked, slope = (
        draw({"w": (2, 3, 4), "out": (2, 4, 3)}, 2),
        draw({"w": (2, 3, 4), "out": (2, 4, 3)}, 3),
    )
    states = jax.random.normal(jax.random.key(0), (6, 3))
    made = functools.partial(regularized, name, output_layers=output_layers)
    whole = made(dormant.trace(jax.vmap(member, (0, None)), stacked, states))
    found, _ = whole.update(slope, whole.init(stacked), stacked)
    one = jax.tree.map(lambda leaf: leaf[0], stacked)
    single = made(dormant.trace(member, one, states))
    expected, _ = jax.vmap(lambda s, p: single.update(s, single.init(p), p))(slope, stacked)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6), found, expected)


def test_a_graph_of_all_variables_serves_an_optimizer_of_the_parameters():
    class Normalized(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(nn.relu(nn.BatchNorm(use_running_average=True)(nn.Dense(4)(x))))

    module, states = Normalized(), jax.random.normal(jax.random.key(0), (6, 3))
    variables = module.init(jax.random.key(1), states)
    traced = dormant.trace(module.apply, variables, states)
    transformation = regularizers.norm_projection(optax.sgd(RATE), traced)
    slope = jax.tree.map(jnp.ones_like, variables)
    whole, _ = transformation.update(slope, transformation.init(variables), variables)
    params = variables["params"]
    part, _ = transformation.update(slope["params"], transformation.init(params), params)
    jax.tree.map(np.testing.assert_array_equal, part, whole["params"])
    new = optax.apply_updates(params, part)["Dense_1"]["kernel"]
    np.testing.assert_allclose(
        np.linalg.norm(new), np.linalg.norm(params["Dense_1"]["kernel"]), rtol=1e-5
    )

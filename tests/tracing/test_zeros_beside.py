# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Zeros that a network puts beside its values: around an image, before the first time step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from tests.traced_networks import (
    check_promise,
    quick_compilation,  # noqa: F401  (a fixture)
    recyclable,
    relu,
)

IMAGES = jax.random.normal(jax.random.key(0), (5, 8, 8, 2))
SEQUENCES = jax.random.normal(jax.random.key(1), (5, 9, 4))
SHAPES = {"first": (3, 3, 2, 4), "second": (3, 3, 4, 6), "head": (6, 2)}
OVER_TIME = {"first": (4, 6), "second": (6, 6), "head": (6, 2)}


def init(shapes):
    def drawn(key):
        keys = jax.random.split(key, len(shapes))
        pairs = zip(keys, shapes.items(), strict=True)
        return {name: jax.random.normal(each, shape) for each, (name, shape) in pairs}

    return drawn


def convolve(x, kernel):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=numbers)


def convolutions(padded):
    def apply(params, x):
        h = relu(convolve(x, params["first"]))
        return relu(convolve(padded(h), params["second"])).mean((1, 2)) @ params["head"]

    return apply


def over_time(shifted):
    def apply(params, x):
        h = relu(x @ params["first"])
        return relu(shifted(h) @ params["second"]) @ params["head"]

    return apply


AROUND = ((0, 0), (1, 1), (1, 1), (0, 0))
BEFORE = ((0, 0), (1, 0), (0, 0))
PADDINGS = {
    "around an image": lambda h: jnp.pad(h, AROUND),
    "strips beside it": lambda h: jnp.concatenate([jnp.zeros_like(h[:, :2]), h], axis=1),
    "between its pixels": lambda h: jax.lax.pad(
        h, 0.0, [(0, 0, 0), (1, 1, 1), (0, 2, 1), (0, 0, 0)]
    ),
}
SHIFTS = {
    "padded": lambda h: jnp.pad(h, BEFORE)[:, :-1],
    "joined": lambda h: jnp.concatenate([jnp.zeros_like(h[:, :1]), h[:, :-1]], axis=1),
    "added": lambda h: h + jnp.pad(h, BEFORE)[:, :-1],
    "stacked": lambda h: jnp.stack([h, jnp.zeros_like(h)], axis=1)[:, 0],
    "gathered": lambda h: h.at[:, jnp.arange(9) + 1].get(mode="fill", fill_value=0),
    "beside": lambda h: jnp.concatenate([h, jnp.zeros_like(h)], axis=1)[:, 4:12],
}


@pytest.mark.parametrize("name", PADDINGS)
def test_zeros_around_an_image(name):
    graph = check_promise(convolutions(PADDINGS[name]), init(SHAPES), IMAGES)
    assert recyclable(graph) == {"first": True, "second": True}


@pytest.mark.parametrize("name", SHIFTS)
def test_zeros_before_the_first_step(name):
    graph = check_promise(over_time(SHIFTS[name]), init(OVER_TIME), SEQUENCES)
    assert recyclable(graph) == {"first": True, "second": True}


def test_zeros_around_a_single_pixel_or_step():
    graph = check_promise(
        convolutions(PADDINGS["around an image"]), init(SHAPES), IMAGES[:, :3, :3]
    )
    assert recyclable(graph) == {"first": True, "second": True}
    graph = check_promise(over_time(SHIFTS["padded"]), init(OVER_TIME), SEQUENCES[:, :1])
    assert recyclable(graph) == {"first": True, "second": True}


def test_other_values_beside_a_neuron_are_read_with_its_weights():
    ones = convolutions(lambda h: jnp.pad(h, AROUND, constant_values=1))
    assert "shared weights" in check_promise(ones, init(SHAPES), IMAGES)["first"].obstacle
    joined = over_time(lambda h: jnp.concatenate([SEQUENCES[:, :, :1] + 0 * h, h], axis=1))
    assert check_promise(joined, init(OVER_TIME), SEQUENCES)["first"].obstacle


@pytest.mark.parametrize("fill", [0.0, 1.0, 3.0, np.nan])
def test_what_a_gather_fills_in_is_no_neuron(fill):
    later = over_time(lambda h: h.at[:, jnp.arange(9) + 1].get(mode="fill", fill_value=fill))
    params = init(OVER_TIME)(jax.random.key(3))
    graph = dormant.trace(later, params, SEQUENCES)
    found = graph.activations(params, SEQUENCES)["first"]
    np.testing.assert_allclose(found, relu(SEQUENCES @ params["first"]), rtol=1e-6)
    assert graph["first"].recyclable == (fill == 0)


def test_zeros_among_the_neurons_are_no_neurons():
    def apply(params, x):
        wide = jnp.pad(relu(x @ params["first"]), ((0, 0), (0, 0), (0, 3)))
        return relu(wide @ params["wide"]) @ params["head"]

    shapes = OVER_TIME | {"wide": (9, 6)}
    graph = check_promise(apply, init(shapes), SEQUENCES)
    [entries] = graph["first"].outgoing
    assert entries.index.array.ravel().tolist() == [0, 1, 2, 3, 4, 5, -1, -1, -1]


def test_activations_are_measured_before_the_zeros():
    apply = convolutions(PADDINGS["around an image"])
    params = init(SHAPES)(jax.random.key(2))
    found = dormant.trace(apply, params, IMAGES).activations(params, IMAGES)
    assert found["first"].shape == (5, 6, 6, 4)


def side_by_side(params, x):
    first, second = relu(x @ params["first"]), relu(x @ params["second"])
    return jnp.pad(first, ((0, 0), (0, 3))) + jnp.pad(second, ((0, 0), (6, 0)))


def with_a_gap(params, x):
    first, second = relu(x @ params["first"]), relu(x @ params["second"])
    wide = jnp.pad(first, ((0, 0), (0, 4))) - jnp.pad(second, ((0, 0), (7, 0)))
    return jnp.concatenate([wide[:, :6], wide[:, 7:]], axis=1)


def overlapping(params, x):
    first, second = relu(x @ params["first"]), relu(x @ params["second"])
    return jnp.pad(first, ((0, 0), (0, 3))) + jnp.pad(second, ((0, 0), (5, 1)))


BESIDE = {"first": (4, 6), "second": (4, 3), "head": (9, 2)}


@pytest.mark.parametrize("joined", [side_by_side, with_a_gap])
def test_layers_that_padding_puts_side_by_side_are_recyclable(joined):
    def apply(params, x):
        return joined(params, x) @ params["head"]

    graph = check_promise(apply, init(BESIDE), SEQUENCES[0])
    assert recyclable(graph) == {"first": True, "second": True}


def test_layers_that_padding_puts_in_one_place_are_not():
    def apply(params, x):
        return overlapping(params, x) @ params["head"]

    graph = check_promise(apply, init(BESIDE), SEQUENCES[0])
    assert "sum of layers" in graph["first"].obstacle
    assert "sum of layers" in graph["second"].obstacle

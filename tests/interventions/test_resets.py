# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What all methods of `interventions.resets` have in common, besides what the grid tests."""

import inspect

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dormant import interventions
from tests.interventions.soft_networks import (
    ADAM,
    IMAGES,
    KEY,
    assert_near,
    assert_same,
    float64,
    initializer,
    traced,
    trained,
)
from tests.traced_networks import quick_compilation  # noqa: F401

METHODS = [
    name
    for name in interventions.__all__
    if getattr(interventions, name).__module__ == "dormant.interventions.resets"
]


def method(name, **options):
    function = getattr(interventions, name)
    given = {"graph": traced("cnn"), "init": initializer("cnn"), "optimizer": ADAM, "period": 1}
    given |= {"utility": "random"} if name.startswith("selective") else {}
    taken = inspect.signature(function).parameters
    return function(**{key: value for key, value in (given | options).items() if key in taken})


@pytest.mark.parametrize("name", METHODS)
def test_sharded_over_a_mesh_and_donated(name):
    mesh = Mesh(np.array(jax.devices()[:1]), ("batch",))
    replicated = NamedSharding(mesh, PartitionSpec())
    by_rows = NamedSharding(mesh, PartitionSpec("batch"))
    made = method(name)
    assert made.needs == ()
    sharded = jax.jit(
        made.update,
        in_shardings=(replicated, replicated, replicated, by_rows),
        out_shardings=replicated,
        donate_argnums=(0, 1, 2),
    )
    start = (*jax.tree.map(lambda leaf: leaf.copy(), trained("cnn")), made.init(KEY))
    carry = jax.device_put(start, replicated)
    params, _, state = sharded(*carry, jax.device_put(IMAGES, by_rows))
    assert all(leaf.sharding == replicated for leaf in jax.tree.leaves((params, state)))
    expected, _, own = jax.jit(made.update)(*trained("cnn"), made.init(KEY), IMAGES)
    assert_near(params, float64(expected))
    assert_same(state.report.recycled, own.report.recycled)


@pytest.mark.parametrize("name", METHODS)
def test_what_every_method_refuses(name):
    assert len(inspect.signature(getattr(interventions, name)).parameters) <= 8
    with pytest.raises(ValueError, match="`period` must be a whole number >= 1; got 0"):
        method(name, period=0)
    with pytest.raises(ValueError, match="`optimizer` must be an optax transformation"):
        method(name, optimizer="adam")
    with pytest.raises(ValueError, match="`graph` must be a NeuronGraph"):
        method(name, graph={})
    if name != "fire":
        with pytest.raises(ValueError, match="`init` must be a function of one key"):
            method(name, init=None)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The plasticity probe: losses from given and from fresh parameters, paired over the seeds."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from dormant.plasticity import plasticity_probe
from tests.small_networks import draw, mlp

WIDTH = {"w1": (3, 16), "b1": (16,), "w2": (16, 16), "b2": (16,), "w3": (16, 2), "b3": (2,)}
INPUTS = jax.random.normal(jax.random.key(0), (12, 3))
STEPS, SEEDS = 60, 5


def init(key):
    keys = jax.random.split(key, len(WIDTH))
    return {
        name: jax.random.normal(each, shape) / np.sqrt(shape[0])
        if len(shape) == 2
        else jnp.zeros(shape)
        for each, (name, shape) in zip(keys, WIDTH.items(), strict=True)
    }


OPTIMIZER = optax.adam(1e-2)


def probe(params, key=3):
    options = {"optimizer": OPTIMIZER, "steps": STEPS, "seeds": SEEDS}
    return plasticity_probe(mlp, params, init, INPUTS, jax.random.key(key), **options)


@pytest.fixture(scope="module")
def of_fresh():
    return probe(init(jax.random.key(9)))


@pytest.fixture(scope="module")
def of_dead():
    params = init(jax.random.key(9))
    return probe(params | {"b1": params["b1"] - 100.0})


@pytest.mark.parametrize("kind", ["random", "network"])
def test_a_fresh_network_has_lost_nothing_and_a_dead_one_all(of_fresh, of_dead, kind):
    kept, lost = getattr(of_fresh, kind), getattr(of_dead, kind)
    assert abs(kept.mean) < 0.1
    assert kept.low - 0.1 < 0 < kept.high + 0.1
    assert lost.low > 0.4
    # With no neuron alive the network fits constants alone, of which the targets have next to none.
    assert lost.current[:, -1] == pytest.approx(1, abs=0.3)
    assert (lost.fresh == kept.fresh).all()  # the same seeds


def test_all_start_at_the_variance_of_the_targets(of_fresh, of_dead):
    for found in (*of_fresh, *of_dead):
        assert found.current.shape == found.fresh.shape == (SEEDS, STEPS + 1)
        np.testing.assert_allclose(found.current[:, 0], found.fresh[:, 0], rtol=1e-5)
        np.testing.assert_allclose(found.current[:, 0], 1, rtol=1e-5)


def test_the_scale_of_the_outputs_does_not_matter(of_fresh):
    params = init(jax.random.key(9))
    moved = probe(params | {"b3": params["b3"] + 40.0})
    np.testing.assert_allclose(moved.random.mean, of_fresh.random.mean, atol=0.02)


def test_the_interval_is_students(of_dead):
    for fits in of_dead:
        difference = np.asarray(fits.current[:, -1] - fits.fresh[:, -1], np.float64)
        np.testing.assert_allclose(fits.difference, difference, rtol=1e-6)
        ends = stats.t.interval(0.95, SEEDS - 1, difference.mean(), stats.sem(difference))
        np.testing.assert_allclose([fits.low, fits.high], ends, rtol=1e-4)


def test_the_fits_are_gradient_descent_on_the_change_of_the_outputs():
    key = jax.random.key(2)
    start, options = {"w": jnp.ones((3, 2))}, {"optimizer": optax.sgd(0.1), "steps": 3, "seeds": 2}
    found = plasticity_probe(linear, start, init_linear, INPUTS, key, **options)
    inputs = np.asarray(INPUTS, np.float64)
    for seed, seed_key in enumerate(jax.random.split(key, 2)):
        fresh_key, network_key, random_key = jax.random.split(seed_key, 3)
        drawn = np.asarray(jax.random.normal(random_key, (12, 2)), np.float64)
        made = inputs @ np.asarray(init_linear(network_key)["w"], np.float64)
        for fits, targets in zip(found, (drawn, made), strict=True):
            targets = (targets - targets.mean(0)) / targets.std(0)
            # The change of a linear network's outputs does not depend on where it starts.
            change = np.zeros((3, 2))
            for step in range(4):
                error = inputs @ change - targets
                loss = np.square(error).mean()
                np.testing.assert_allclose(fits.current[seed, step], loss, rtol=1e-4)
                np.testing.assert_allclose(fits.fresh[seed, step], loss, rtol=1e-4)
                change -= 0.1 * 2 * inputs.T @ error / error.size


def linear(params, x):
    return x @ params["w"]


def init_linear(key):
    return {"w": jax.random.normal(key, (3, 2))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "`steps` must be a whole number >= 1; got 0"),
        ({"seeds": 1}, "`seeds` must be a whole number >= 2; got 1"),
        ({"optimizer": None}, "`optimizer` must be"),
        ({"inputs": jnp.ones((4, 5))}, "`inputs` must be what the network takes; got float32"),
        ({"inputs": jnp.ones((0, 3))}, "`inputs` must be arrays of at least one row; got"),
        ({"params": {"w": jnp.ones((3, 2), int)}}, "`params` must be a tree of floating arrays"),
        ({"params": {"v": jnp.ones((3, 2))}}, "must have the structure and shapes"),
        ({"key": 0}, "`key` must be one key"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    arguments = {"params": {"w": jnp.ones((3, 2))}, "inputs": INPUTS, "key": jax.random.key(0)}
    arguments |= changes
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        plasticity_probe(linear, init=init_linear, **arguments)


def test_a_broken_network_gives_no_number():
    params = {name: jnp.asarray(array) for name, array in draw({"w": (3, 2)}, 0).items()}
    params["w"] = params["w"].at[0, 0].set(jnp.nan)
    found = plasticity_probe(
        linear, params, init_linear, INPUTS, jax.random.key(0), steps=2, seeds=2
    )
    assert np.isnan(found.random.mean) and np.isnan(found.network.low)

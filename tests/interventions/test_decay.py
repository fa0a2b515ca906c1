# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Weight decay in both senses, against the update rules written out and against optax's AdamW."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant

PARAMS = {"w": jnp.asarray([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.asarray([0.1, -0.2])}


def run(optimizer, steps=4):
    update, params = jax.jit(optimizer.update), PARAMS
    state = optimizer.init(params)
    for step in range(steps):
        gradient = jax.tree.map(lambda leaf, s=step: jnp.sin(leaf + s), PARAMS)
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def assert_close(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected)


def by_hand(steps, learning_rate, decay):
    """Gradient descent with `decay(params, rate)` taken off the parameters at each step."""
    params = {name: np.asarray(leaf, np.float64) for name, leaf in PARAMS.items()}
    for step in range(steps):
        rate = learning_rate(step) if callable(learning_rate) else learning_rate
        for name, leaf in params.items():
            gradient = np.sin(np.asarray(PARAMS[name], np.float64) + step)
            params[name] = leaf - rate * gradient - decay(leaf, rate)
    return params


def test_l2_adds_to_the_gradient():
    found = run(dormant.weight_decay(optax.sgd(0.1), 0.3))
    assert_close(found, by_hand(4, 0.1, lambda leaf, rate: rate * 0.3 * leaf))
    adam = optax.adam(0.1)
    chained = optax.chain(optax.add_decayed_weights(0.3), adam)  # through the moments
    assert_close(run(dormant.weight_decay(adam, 0.3)), run(chained))
    assert not np.allclose(run(adam)["w"], run(chained)["w"])


def schedule(step):
    return 0.1 / (1 + step)


@pytest.mark.parametrize("learning_rate", [0.1, schedule], ids=["constant", "schedule"])
def test_decoupled_is_adamw_when_the_optimizer_is_adam(learning_rate):
    decayed = dormant.weight_decay(
        optax.adam(learning_rate), 0.3, kind="decoupled", learning_rate=learning_rate
    )
    assert_close(run(decayed), run(optax.adamw(learning_rate, weight_decay=0.3)))


def test_decoupled_without_a_learning_rate_decays_by_the_coefficient_itself():
    found = run(dormant.weight_decay(optax.sgd(0.1), 0.3, kind="decoupled"))
    assert_close(found, by_hand(4, 0.1, lambda leaf, rate: 0.3 * leaf))


def test_no_decay_is_the_optimizer_itself():
    optimizer = optax.sgd(0.1)
    assert dormant.weight_decay(optimizer, 0.0) is optimizer


def test_moments_of_a_decayed_optimizer_are_reset():
    def mlp(params, states):
        return jax.nn.relu(states @ params["w"] + params["b"]) @ params["out"]

    params = PARAMS | {"out": jnp.ones((2, 1))}
    graph = dormant.trace(mlp, params, jnp.ones((3, 2)))
    masks = {"w": np.array([True, False])}
    for kind in ("l2", "decoupled"):
        optimizer = dormant.weight_decay(optax.sgd(0.1, momentum=0.9), 0.3, kind=kind)
        _, state = optimizer.update(params, optimizer.init(params), params)
        after = dormant.reset_moments(optimizer, graph, state, masks)
        trace = optax.tree_utils.tree_get(after, "trace")
        assert np.all(np.asarray(trace["w"])[:, 0] == 0) and np.all(np.asarray(trace["w"])[:, 1])


@pytest.mark.parametrize(
    "options, named, value",
    [
        ({"coefficient": -1e-5}, "`coefficient`", "-1e-05"),
        ({"coefficient": float("nan")}, "`coefficient`", "nan"),
        ({"coefficient": "1e-5"}, "`coefficient`", "'1e-5'"),
        ({"kind": "L2"}, "`kind`", "'L2'"),
        ({"learning_rate": 0.1}, "`learning_rate`", "0.1"),
        ({"kind": "decoupled", "learning_rate": -3}, "`learning_rate`", "-3"),
        ({"kind": "decoupled", "learning_rate": "0.1"}, "`learning_rate`", "'0.1'"),
        ({"optimizer": None}, "`optimizer`", "None"),
    ],
)
def test_errors_name_the_input_and_end_with_the_value(options, named, value):
    with pytest.raises(ValueError) as error:
        dormant.weight_decay(**({"optimizer": optax.sgd(0.1), "coefficient": 1e-5} | options))
    assert str(error.value).startswith(named) and str(error.value).endswith(f"got {value}")

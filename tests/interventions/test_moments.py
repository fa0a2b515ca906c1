# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Optimizer state under a recycle: moments of touched entries are 0, all else is kept to the bit.
The touched entries and the number of moments are written down here, not taken from the package."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

import dormant
from tests.small_networks import MLP as SHAPES
from tests.small_networks import draw, mlp_graph

MASKS = {"w1": np.arange(4) == 1, "w2": np.arange(5) == 3}
WEIGHTS_ONLY = {name: name.startswith("w") for name in SHAPES}


def touched():
    """What recycling neuron 1 of w1 and neuron 3 of w2 rewrites."""
    found = {name: np.zeros(shape, bool) for name, shape in SHAPES.items()}
    found["w1"][:, 1] = found["b1"][1] = found["w2"][1, :] = True
    found["w2"][:, 3] = found["b2"][3] = found["w3"][3, :] = True
    return found


def trained(optimizer, steps=3, dtype="float32"):
    """The optimizer's state after a few updates with gradients that are nowhere zero."""
    params = draw(SHAPES, 0, dtype)
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    for step in range(steps):
        _, state = update(draw(SHAPES, 1 + step, dtype), state, params)
    return state


def reset(optimizer, state, **options):
    run = functools.partial(dormant.reset_moments, optimizer, mlp_graph(), **options)
    return jax.jit(run)(state, MASKS)


def leaves(state):
    return [
        (jax.tree_util.keystr(path, simple=True, separator="/"), np.asarray(leaf))
        for path, leaf in jax.tree.leaves_with_path(state)
    ]


def schedule():
    return optax.linear_schedule(1e-2, 1e-3, 10)


def is_matrix(params):
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def weights_by_name(params):
    return {name: name.startswith("w") for name, _ in params.items()}


def weights_by_path(params):
    return traverse_util.path_aware_map(lambda path, leaf: path[-1].startswith("w"), params)


# Per optimizer: how to make it, and how many arrays of its state have a parameter's entries.
OPTIMIZERS = {
    "adam": (lambda: optax.adam(1e-2), 12),
    "adam in bfloat16": (lambda: optax.adam(1e-2, mu_dtype=jnp.bfloat16), 12),
    "adamw": (lambda: optax.adamw(1e-2, weight_decay=1e-3), 12),
    "weight decay + adam": (
        lambda: optax.chain(optax.add_decayed_weights(1e-5), optax.adam(1e-2)),
        12,
    ),
    "rmsprop": (lambda: optax.rmsprop(1e-2), 6),
    "centered rmsprop + momentum": (lambda: optax.rmsprop(1e-2, centered=True, momentum=0.9), 18),
    "sgd + momentum": (lambda: optax.sgd(1e-2, momentum=0.9), 6),
    "sgd": (lambda: optax.sgd(1e-2), 0),
    "clip + schedule": (
        lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule())),
        12,
    ),
    "inject_hyperparams": (lambda: optax.inject_hyperparams(optax.adam)(schedule()), 12),
    "MultiSteps": (lambda: optax.MultiSteps(optax.adam(1e-2), every_k_schedule=2), 18),
    "masked by a tree": (lambda: optax.masked(optax.adam(1e-2), WEIGHTS_ONLY), 6),
    "masked by a function": (lambda: optax.masked(optax.adam(1e-2), is_matrix), 6),
    "masked by names": (lambda: optax.masked(optax.adam(1e-2), weights_by_name), 6),
    "masked by paths": (lambda: optax.masked(optax.adam(1e-2), weights_by_path), 6),
    "weight decay in a mask": (
        lambda: optax.adamw(1e-2, weight_decay=1e-3, mask=is_matrix),
        12,
    ),
    "partition": (
        lambda: optax.partition(
            {"adam": optax.adam(1e-2), "sgd": optax.sgd(1e-2, momentum=0.9)},
            {name: "adam" if name in ("w1", "b2") else "sgd" for name in SHAPES},
        ),
        8,
    ),
    # Its counts, one for each entry, are among what restarts.
    "per_entry_counts": (lambda: dormant.per_entry_counts(optax.adam(schedule())), 18),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_moments_of_touched_entries_are_zero_and_all_else_is_kept(name):
    make, expected_moments = OPTIMIZERS[name]
    optimizer = make()
    before = trained(optimizer)
    after = reset(optimizer, before)
    assert jax.tree.structure(after) == jax.tree.structure(before)
    moments = 0
    for (path, old), (_, new) in zip(leaves(before), leaves(after), strict=True):
        assert (new.dtype, new.shape) == (old.dtype, old.shape), path
        expected = old.copy()
        parameter = path.split("/")[-1]
        if old.shape == SHAPES.get(parameter):
            moments += 1
            assert np.all(old[touched()[parameter]] != 0), path  # else the test says nothing
            expected[touched()[parameter]] = 0
        assert new.tobytes() == expected.tobytes(), path
    assert moments == expected_moments


def test_accumulated_gradients_of_an_unfinished_step_are_moments_too():
    optimizer = optax.MultiSteps(optax.adam(1e-2), every_k_schedule=2)
    before = trained(optimizer)
    after = reset(optimizer, before)
    assert before.mini_step == after.mini_step == 1
    for name, entries in touched().items():
        assert np.all(np.asarray(after.acc_grads[name])[entries] == 0)
        assert np.all(np.asarray(after.acc_grads[name])[~entries] != 0)


def test_moments_that_are_not_kept_per_entry_stay():
    optimizer = optax.adafactor(1e-2, min_dim_size_to_factor=4)  # factors w2, nothing else
    before = trained(optimizer)
    after = reset(optimizer, before)
    factored, reset_ = (optax.tree_utils.tree_get(s, "FactoredState") for s in (before, after))
    for field in ("v_row", "v_col"):
        for name in SHAPES:
            old, new = getattr(factored, field)[name], getattr(reset_, field)[name]
            np.testing.assert_array_equal(new, old)
    np.testing.assert_array_equal(reset_.v["w2"], factored.v["w2"])
    for name in SHAPES.keys() - {"w2"}:
        assert np.all(np.asarray(reset_.v[name])[touched()[name]] == 0)


def test_bfloat16_moments_keep_their_dtype():
    optimizer = optax.adam(1e-2)
    after = reset(optimizer, trained(optimizer, dtype="bfloat16"))[0]
    for tree in (after.mu, after.nu):
        for name, entries in touched().items():
            assert tree[name].dtype == jnp.bfloat16
            assert np.all((np.asarray(tree[name]) == 0) == entries)


def test_nothing_is_reset_without_a_dormant_neuron():
    optimizer = optax.adam(1e-2)
    before = trained(optimizer)
    nobody = {name: np.zeros_like(mask) for name, mask in MASKS.items()}
    run = jax.jit(functools.partial(dormant.reset_moments, optimizer, mlp_graph()))
    for masks in ({}, nobody):
        after = run(before, masks)
        for (path, old), (_, new) in zip(leaves(before), leaves(after), strict=True):
            assert old.tobytes() == new.tobytes(), path


def test_a_kept_count_makes_the_first_steps_larger():
    # The reason for the option: late in training the bias correction of fresh moments is missing,
    # and the first step is (1 - b1) / sqrt(1 - b2) = 3.16 times the learning rate.
    optimizer = optax.adam(1e-2)
    state = optax.tree_utils.tree_set(trained(optimizer), count=jnp.int32(100_000))
    updates, _ = jax.jit(optimizer.update)(draw(SHAPES, 100), reset(optimizer, state))
    np.testing.assert_allclose(np.abs(updates["w1"][:, 1]), 3.16e-2, rtol=1e-2)


# -- options --------------------------------------------------------------------------------------


def test_flatten_layout_and_also_follow_the_recycle():
    def cnn(params, images):
        x = jax.lax.conv_general_dilated(
            images, params["k"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x).reshape(x.shape[0], -1) @ params["w1"]
        return x + jax.nn.relu(x @ params["w2"]) @ params["w3"]

    shapes = {"k": (1, 1, 1, 2), "w1": (8, 3), "w2": (3, 4), "w3": (4, 3)}
    params = {name: jnp.ones(shape) for name, shape in shapes.items()}
    cnn_graph = dormant.trace(cnn, params, jnp.ones((1, 2, 2, 1)))
    assert not cnn_graph["w1"].recyclable
    optimizer = optax.sgd(1.0, momentum=0.9)
    state = jax.jit(optimizer.update)(params, optimizer.init(params))[1]
    masks = {"k": np.array([True, False]), "w1": np.array([True, False, False])}

    def trace_of(**options):
        run = functools.partial(dormant.reset_moments, optimizer, cnn_graph, **options)
        return jax.jit(run)(state, masks)[0].trace

    np.testing.assert_array_equal(trace_of()["w1"][:, 1], [0, 1] * 4)
    np.testing.assert_array_equal(trace_of()["w2"], np.ones((3, 4)))
    released = trace_of(flatten_layout="released_code", also=["w1"])
    np.testing.assert_array_equal(released["w1"][:, 1], [0] * 4 + [1] * 4)
    np.testing.assert_array_equal(released["w1"][:, 0], np.zeros(8))
    np.testing.assert_array_equal(released["w2"][0], np.zeros(4))


@pytest.mark.parametrize(
    "call, named, ending",
    [
        ({"flatten_layout": "repeat"}, "`flatten_layout`", "got 'repeat'"),
        ({"masks": {"w3": np.ones(2, bool)}}, "among w1, w2", "got 'w3'"),
        ({"masks": {"w1": np.ones(3, bool)}}, "boolean array of shape (4,)", "got bool (3,)"),
        ({"masks": {"w1": np.ones(4, int)}}, "boolean array of shape (4,)", "got int64 (4,)"),
        ({"also": ["b1"]}, "`also` must name layers among w1, w2", "got 'b1'"),
    ],
)
def test_errors_name_the_input_and_end_with_the_value(call, named, ending):
    optimizer = optax.adam(1e-2)
    arguments = {"opt_state": optimizer.init(draw(SHAPES, 0)), "masks": MASKS, **call}
    with pytest.raises(ValueError) as error:
        dormant.reset_moments(optimizer, mlp_graph(), **arguments)
    assert named in str(error.value) and str(error.value).endswith(ending)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adagrad(0.1),
        optax.contrib.schedule_free_sgd(0.1),
        optax.contrib.cocob(),
        optax.contrib.prodigy(1.0),
        optax.adam(0.1),
    ],
    ids=["adagrad", "schedule_free", "cocob", "prodigy", "adam"],
)
def test_recycled_entries_get_the_state_of_a_new_optimizer(optimizer):
    old, new = draw(SHAPES, 0), draw(SHAPES, 1)
    state, update = optimizer.init(old), jax.jit(optimizer.update)
    for seed in (2, 3):
        _, state = update(draw(SHAPES, seed), state, old)
    masks = {"w1": np.array([True, False, False, True]), "w2": np.zeros(5, bool)}
    reset = functools.partial(dormant.reset_moments, optimizer, mlp_graph())
    found = jax.jit(reset)(state, masks, params=new)
    touched = dormant.parts.touched_entries(mlp_graph(), masks)
    either = jax.tree.map(lambda one, other: one | other, *touched)

    wanted = optax.tree_utils.tree_map_params(
        optimizer, lambda value, mask: (value, mask), state, either
    )
    compared = 0

    def is_pair(leaf):
        return isinstance(leaf, tuple) and len(leaf) == 2 and hasattr(leaf[1], "ndim")

    for leaf, pair, initial in zip(
        jax.tree.leaves(found),
        jax.tree.leaves(wanted, is_leaf=is_pair),
        jax.tree.leaves(optimizer.init(new)),
        strict=True,
    ):
        if is_pair(pair):
            compared += 1
            np.testing.assert_array_equal(leaf, np.where(pair[1], initial, pair[0]))
    assert compared >= len(SHAPES)


def test_a_state_that_is_not_kept_like_the_parameters_is_refused():
    optimizer, params = optax.sm3(0.1), draw(SHAPES, 0)
    masks = {"w1": np.ones(4, bool)}
    with pytest.raises(ValueError, match="^`optimizer` must keep its state in trees like the par"):
        dormant.reset_moments(optimizer, mlp_graph(), optimizer.init(params), masks)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.contrib.schedule_free_adamw(0.1),
        optax.contrib.cocob(),
        optax.contrib.prodigy(1.0),
        optax.contrib.sam(optax.adam(0.1), optax.sgd(0.01), 2),
        optax.contrib.mechanize(optax.adam(0.1)),
    ],
    ids=["schedule_free", "cocob", "prodigy", "sam", "mechanize"],
)
def test_copies_of_the_parameters_are_not_begun_at_zero(optimizer):
    state, masks = optimizer.init(draw(SHAPES, 0)), {"w1": np.ones(4, bool)}
    with pytest.raises(ValueError, match="^`params` must be the recycled parameters, as this opt"):
        dormant.reset_moments(optimizer, mlp_graph(), state, masks)
    dormant.reset_moments(optimizer, mlp_graph(), state, masks, params=draw(SHAPES, 1))

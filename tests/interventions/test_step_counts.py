# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Step counts per entry: with any optax optimizer, recycled entries take the steps of a new one.
What an entry by itself would do is optax's own answer, of the old state and of a new one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

import dormant
from tests.small_networks import draw, init_nine
from tests.small_networks import nine_graph as graph

SHAPES = {name: leaf.shape for name, leaf in jax.eval_shape(init_nine, jax.random.key(0)).items()}
MASKS = {"w1": np.arange(5) == 1, "w2": np.arange(4) == 3}
PARAMS = draw(SHAPES, 0)


def touched():
    """What recycling neuron 1 of w1 and neuron 3 of w2 rewrites."""
    found = {name: np.zeros(shape, bool) for name, shape in SHAPES.items()}
    found["w1"][:, 1] = found["b1"][1] = found["w2"][1, :] = True
    found["w2"][:, 3] = found["w3"][3, :] = True
    return found


def is_matrix(params):
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def labels_by_name(params):
    """As optax's documentation of `multi_transform` makes them."""
    return {name: "first" if name in ("w1", "b1") else "other" for name, _ in params.items()}


ENTRYWISE = {
    "adam": lambda: optax.adam(1e-2),
    "adam in bfloat16": lambda: optax.adam(1e-2, mu_dtype=jnp.bfloat16),
    "adamw": lambda: optax.adamw(1e-2, weight_decay=0.1),
    "adamw in a mask": lambda: optax.adamw(1e-2, weight_decay=0.1, mask=is_matrix),
    "nadam": lambda: optax.nadam(1e-2),
    "nadamw": lambda: optax.nadamw(1e-2),
    "radam": lambda: optax.radam(1e-2, threshold=4.0),  # takes both branches within the test
    "amsgrad": lambda: optax.amsgrad(1e-2),
    "adamax": lambda: optax.adamax(1e-2),
    "adabelief": lambda: optax.adabelief(1e-2),
    "yogi": lambda: optax.yogi(1e-2),
    "adan": lambda: optax.adan(1e-2),
    "adopt": lambda: contrib.adopt(1e-2),
    "acprop": lambda: contrib.acprop(1e-2),
    "l2 + adam": lambda: dormant.weight_decay(optax.adam(1e-2), 1e-2),
    "inject_hyperparams": lambda: optax.inject_hyperparams(optax.adam)(1e-2),
    "apply_if_finite": lambda: optax.apply_if_finite(optax.adam(1e-2), 3),
    "MultiSteps": lambda: optax.MultiSteps(optax.adam(1e-2), 2),
    "partition": lambda: optax.partition(
        {"adam": optax.adam(1e-2), "sgd": optax.sgd(1e-2, momentum=0.9)},
        {name: "adam" if name in ("w1", "b1") else "sgd" for name in SHAPES},
    ),
    "partition by names": lambda: optax.partition(
        {"first": optax.adam(1e-2), "other": optax.sgd(1e-2, momentum=0.9)}, labels_by_name
    ),
    "partition without adam": lambda: optax.partition(
        {"adam": optax.adam(1e-2), "sgd": optax.sgd(1e-2)}, dict.fromkeys(SHAPES, "sgd")
    ),
    "masked": lambda: optax.masked(optax.adam(1e-2), is_matrix),
    "sgd + momentum": lambda: optax.sgd(1e-2, momentum=0.9),
}


def operands_of_none(updates, params):
    """Operations that take no operand (iota) and that have no result (a print)."""
    del params
    jax.debug.callback(lambda size: None, optax.tree.norm(updates))
    return jax.tree.map(
        lambda leaf: leaf + 1e-3 * jnp.arange(leaf.size, dtype=leaf.dtype).reshape(leaf.shape),
        updates,
    )


ENTRYWISE["operations without operand or result"] = lambda: optax.chain(
    optax.stateless(operands_of_none), optax.adam(1e-2)
)


def trained(optimizer, steps=50):
    state, update = optimizer.init(PARAMS), jax.jit(optimizer.update)
    for seed in range(steps):
        updates, state = update(draw(SHAPES, 1 + seed), state, PARAMS)
    return updates, state


def reset(optimizer, state):
    return jax.jit(functools.partial(dormant.reset_moments, optimizer, graph()))(
        state, MASKS, params=PARAMS
    )


def assert_close(found, expected, rtol=1e-5):
    for name in SHAPES:
        np.testing.assert_allclose(found[name], expected[name], rtol=rtol, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", ENTRYWISE)
def test_recycled_entries_restart_as_in_a_new_optimizer_and_all_others_go_on(name):
    plain = ENTRYWISE[name]()
    optimizer = dormant.per_entry_counts(plain)
    updates, state = trained(optimizer)
    expected, kept = trained(plain)
    assert_close(updates, expected)
    state, fresh = reset(optimizer, state), plain.init(PARAMS)
    update, plain_update = jax.jit(optimizer.update), jax.jit(plain.update)
    for seed in range(100, 110):
        gradients = draw(SHAPES, seed)
        found, state = update(gradients, state, PARAMS)
        of_fresh, fresh = plain_update(gradients, fresh, PARAMS)
        of_kept, kept = plain_update(gradients, kept, PARAMS)
        expected = {
            name: np.where(entries, of_fresh[name], of_kept[name])
            for name, entries in touched().items()
        }
        assert_close(found, expected)
        assert all(found[name].dtype == of_kept[name].dtype for name in SHAPES)


def test_a_kept_count_makes_adams_steps_larger_than_these():
    plain = optax.adam(1e-2)
    largest = []
    for optimizer in (plain, dormant.per_entry_counts(plain)):
        state, steps = optax.tree_utils.tree_set(trained(plain)[1], count=jnp.int32(100_000)), []
        if optimizer is not plain:
            counts = {name: jnp.full(shape, 100_000) for name, shape in SHAPES.items()}
            state = optimizer.init(PARAMS)._replace(inner=state, counts=(counts,))
        state = reset(optimizer, state)
        for _ in range(40):  # one gradient, for which a new Adam's steps are the learning rate
            updates, state = jax.jit(optimizer.update)(draw(SHAPES, 100), state, PARAMS)
            steps.append(np.abs(updates["w1"][:, 1]).max())
        largest.append(max(steps))
    assert largest[0] > 6e-2
    assert largest[1] < 1.001e-2


def test_schedules_and_norms_go_by_the_whole_tree():
    """A recycled entry's learning rate is that of the step, and gradients are clipped together."""
    rate = optax.linear_schedule(1e-2, 1e-3, 60)
    plain = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    optimizer = dormant.per_entry_counts(plain)
    state = reset(optimizer, trained(optimizer)[1])
    found, _ = jax.jit(optimizer.update)(draw(SHAPES, 100), state, PARAMS)
    for name, entries in touched().items():
        np.testing.assert_allclose(np.abs(found[name][entries]), rate(50), rtol=1e-5)


def test_updates_are_those_of_optax_to_the_bit_until_something_is_recycled():
    for plain in (optax.adam(1e-2), optax.adamw(optax.linear_schedule(1e-2, 1e-3, 10))):
        found, expected = trained(dormant.per_entry_counts(plain)), trained(plain)
        for name in SHAPES:
            assert found[0][name].tobytes() == expected[0][name].tobytes()
        jax.tree.map(np.testing.assert_array_equal, found[1].inner, expected[1])


def test_no_power_is_taken_of_every_entry():
    """XLA's pow is slow on a CPU: with it Adam's step of the nature CNN took 1.6 times as long."""
    optimizer = dormant.per_entry_counts(optax.adam(1e-2))
    jaxpr = jax.make_jaxpr(optimizer.update)(PARAMS, optimizer.init(PARAMS))
    shapes = [e.outvars[0].aval.shape for e in jaxpr.eqns if e.primitive.name == "pow"]
    assert shapes == [(), ()]


def test_counts_restart_with_their_moments_whichever_optimizer_is_named():
    plain = optax.adam(1e-2)
    optimizer = dormant.per_entry_counts(plain)
    state = trained(optimizer, 3)[1]
    for named in (plain, optimizer):
        (count,) = reset(named, state).counts
        for name, entries in touched().items():
            assert count[name].dtype == jnp.int32
            np.testing.assert_array_equal(count[name], np.where(entries, 0, 3))


def test_it_is_made_once_and_leaves_alone_what_counts_nothing():
    optimizer = dormant.per_entry_counts(optax.adam(1e-2))
    assert dormant.per_entry_counts(optimizer) is optimizer
    for plain in (optax.sgd(1e-2), optax.rmsprop(1e-2), optax.sm3(1e-2), optax.identity()):
        assert dormant.per_entry_counts(plain).init(PARAMS).counts == ()


@pytest.mark.parametrize("given", [None, optax.adam, "adam"])
def test_it_takes_optimizers_alone(given):
    with pytest.raises(ValueError, match="^`optimizer` must be an optax transformation; got"):
        dormant.per_entry_counts(given)


def test_extra_arguments_and_gradients_without_parameters_go_through():
    plain = optax.chain(optax.adam(1e-2), contrib.reduce_on_plateau())
    optimizer = dormant.per_entry_counts(plain)
    gradients = draw(SHAPES, 1)
    found, _ = optimizer.update(gradients, optimizer.init(PARAMS), value=jnp.float32(1.0))
    expected, _ = plain.update(gradients, plain.init(PARAMS), value=jnp.float32(1.0))
    assert_close(found, expected)


def test_vmapped_over_seeds_and_scanned_equals_single_steps():
    optimizer = dormant.per_entry_counts(optax.adamw(1e-2))
    seeds = [draw(SHAPES, seed) for seed in (0, 1)]

    def run(params):
        def body(carry, step):
            params, state = carry
            updates, state = optimizer.update(params, state, params)
            params = optax.apply_updates(params, updates)
            again = dormant.reset_moments(optimizer, graph(), state, MASKS, params=params)
            state = jax.tree.map(lambda new, old: jnp.where(step == 3, new, old), again, state)
            return (params, state), None

        return jax.lax.scan(body, (params, optimizer.init(params)), jnp.arange(6))[0]

    found = jax.jit(jax.vmap(run))(jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds))
    for seed, params in enumerate(seeds):
        expected = jax.jit(run)(params)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(one[seed], other, rtol=1e-5)
    assert set(np.unique(found[1].counts[0]["w1"])) == {2, 6}

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""ReDo under jit, vmap, scan, donation, sharding and in bfloat16.
A network of nine hidden neurons, of which one per layer is silent, trains for a few steps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import dormant
from tests.small_networks import NINE_STATES as STATES
from tests.small_networks import bits
from tests.small_networks import init_nine as init
from tests.small_networks import nine as mlp
from tests.small_networks import nine_graph as graph

KEY = jax.random.key(3)
TARGETS = jax.random.normal(jax.random.key(5), (8, 2))
ADAM = optax.adam(1e-2)


@functools.partial(jax.jit, static_argnums=1)
def network(key, dtype=jnp.float32):
    params = init(key, dtype)
    params["w1"], params["b1"] = params["w1"].at[:, 1].set(0), params["b1"].at[1].set(-1)
    params["w2"] = params["w2"].at[:, 2].set(0)
    return params


@functools.cache
def intervention(period=2):
    return dormant.redo(graph(), init, ADAM, 0.1, period)


def start(key=KEY):
    params = network(jax.random.fold_in(key, 0))
    return params, ADAM.init(params), intervention().init(jax.random.fold_in(key, 1))


def train(redo, carry, states=STATES):
    """One gradient step of a regression, then the intervention."""
    params, opt_state, state = carry
    grads = jax.grad(lambda p: jnp.mean((mlp(p, states) - TARGETS) ** 2))(params)
    updates, opt_state = ADAM.update(grads, opt_state)
    return redo.update(optax.apply_updates(params, updates), opt_state, state, states)


def assert_same_bits(one, other):
    leaves = zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True)
    assert [path for (path, a), b in leaves if bits(a) != bits(b)] == []


def structs(tree):
    def describe(leaf):
        return leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)  # keys have none

    return jax.tree.map(describe, tree)


# -- jit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recycles", [False, True])
def test_one_compilation_serves_every_step(recycles):
    traces = []

    def apply(params, states):
        traces.append(1)
        return mlp(params, states)

    traced = dormant.trace(apply, network(KEY), STATES)
    redo = dormant.track(traced, period=2)
    if recycles:
        redo = dormant.redo(traced, init, ADAM, period=2)
    update = jax.jit(redo.update)
    carry = (*start()[:2], redo.init(KEY))
    carry = update(*carry, STATES)
    after_the_first = len(traces)
    for _ in range(4):  # two of these steps are due
        carry = update(*carry, STATES)
    assert carry[2].report.step == 4
    assert update._cache_size() == 1 and len(traces) == after_the_first


def test_an_update_keeps_shapes_dtypes_and_weak_types():
    # Else the second call of a jitted update would compile again, and a scan would refuse it.
    carry = start()
    assert structs(jax.eval_shape(intervention().update, *carry, STATES)) == structs(carry)


# -- vmap and scan --------------------------------------------------------------------------------


def test_vmap_over_four_seeds_equals_four_single_updates_to_the_bit():
    carries = [start(jax.random.key(seed)) for seed in range(4)]
    # One of the four is a step ahead: due and not due side by side.
    carries[3] = (*carries[3][:2], carries[3][2]._replace(step=jnp.int32(1)))
    carries[1] = (*carries[1][:2], carries[1][2]._replace(step=jnp.int32(1)))
    update = jax.jit(intervention().update)
    batched = jax.jit(jax.vmap(intervention().update, (0, 0, 0, None)))
    found = batched(*jax.tree.map(lambda *leaves: jnp.stack(leaves), *carries), STATES)
    for seed, carry in enumerate(carries):
        expected = update(*carry, STATES)
        assert_same_bits(jax.tree.map(lambda leaf, s=seed: leaf[s], found), expected)
        assert (expected[2].report.recycled_total > 0) == (seed in (1, 3))


def test_four_vmapped_runs_equal_four_single_runs():
    # The gradients of a batched product may differ in the last bit; the recycles may not.
    carries = [start(jax.random.key(seed)) for seed in range(4)]
    step = jax.jit(lambda carry: train(intervention(), carry))
    batched = jax.jit(jax.vmap(lambda carry: train(intervention(), carry)))
    found = jax.tree.map(lambda *leaves: jnp.stack(leaves), *carries)
    for _ in range(5):
        found = batched(found)
        carries = [step(carry) for carry in carries]
    for seed, (params, _, state) in enumerate(carries):
        assert state.report.step == 4 and state.report.recycled_total > 0
        dormant_sets = jax.tree.map(lambda leaf, s=seed: leaf[s], found[2].dormant)
        assert_same_bits(dormant_sets, state.dormant)
        assert found[2].report.recycled_total[seed] == state.report.recycled_total
        for name, leaf in params.items():
            np.testing.assert_allclose(found[0][name][seed], leaf, rtol=1e-4, atol=1e-6)


def test_scan_equals_a_python_loop_to_the_bit():
    redo = dormant.intervene(
        graph(),
        selection=dormant.parts.capped(dormant.parts.below_threshold(0.1), 0.5),
        action=dormant.parts.recycling(graph(), init, ADAM),
        when=dormant.parts.every(2),
    )
    looped, update = start(), jax.jit(redo.update)
    for _ in range(5):
        looped = update(*looped, STATES)

    @jax.jit
    def scan(carry):
        def body(carry, _):
            return redo.update(*carry, STATES), None

        return jax.lax.scan(body, carry, length=5)[0]

    scanned = scan(start())
    assert scanned[2].report.step == 4 and scanned[2].report.recycled_total > 0
    assert_same_bits(scanned, looped)


# -- donation and sharding ------------------------------------------------------------------------


def test_donated_arguments():
    update = jax.jit(intervention().update)
    donating = jax.jit(intervention().update, donate_argnums=(0, 1, 2))
    expected, found = start(), start()
    for _ in range(4):
        given = jax.tree.leaves(found[0])
        expected, found = update(*expected, STATES), donating(*found, STATES)
        assert all(leaf.is_deleted() for leaf in given)
    assert_same_bits(found, expected)


def test_sharded_over_a_mesh_of_one_device():
    mesh = Mesh(np.array(jax.devices()[:1]), ("batch",))
    replicated = NamedSharding(mesh, PartitionSpec())
    by_rows = NamedSharding(mesh, PartitionSpec("batch"))
    redo = intervention(period=1)
    update = jax.jit(
        redo.update,
        in_shardings=(replicated, replicated, replicated, by_rows),
        out_shardings=replicated,
    )
    carry = jax.device_put(start(), replicated)
    found = update(*carry, jax.device_put(STATES, by_rows))
    assert all(leaf.sharding == replicated for leaf in jax.tree.leaves(found))
    assert_same_bits(found, jax.jit(redo.update)(*start(), STATES))


# -- dtypes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "incoming_scale, moments_dtype", [("fresh", None), ("live_norm", jnp.float32)]
)
def test_bfloat16_networks_stay_bfloat16(incoming_scale, moments_dtype):
    optimizer = optax.adam(1e-2, mu_dtype=moments_dtype)
    params = network(KEY, jnp.bfloat16)
    ones = jax.tree.map(jnp.ones_like, params)
    opt_state = jax.jit(optimizer.update)(ones, optimizer.init(params))[1]
    low_graph = dormant.trace(mlp, params, STATES)
    # The initializer draws in float32, as most do: values are cast.
    redo = dormant.intervene(
        low_graph,
        selection=dormant.parts.below_threshold(0.0),
        action=dormant.parts.recycling(low_graph, init, optimizer, incoming_scale=incoming_scale),
        when=dormant.parts.every(1),
    )
    before = params, opt_state, redo.init(KEY)
    after = jax.jit(redo.update)(*before, STATES)
    assert structs(after) == structs(before)
    new_params, _, state = after
    assert [int(n) for n in state.report.recycled.values()] == [1, 1]
    assert np.all(np.asarray(new_params["w1"][:, 1], np.float32) != 0)
    if incoming_scale == "fresh":
        fresh = jax.jit(init)(jax.random.fold_in(KEY, 1))["w1"][:, 1].astype(jnp.bfloat16)
        assert_same_bits(new_params["w1"][:, 1], fresh)
    apply = jax.jit(mlp)
    assert_same_bits(apply(new_params, STATES), apply(params, STATES))

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What every regularizer must pass, whatever it does: one grid over all of them.
An MLP 3-5-4-2 with Adam and a teacher that never changes; four steps."""

import functools

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import dormant
from dormant import regularizers
from tests.small_networks import NINE_STATES as STATES
from tests.small_networks import init_nine as init
from tests.small_networks import nine as mlp
from tests.small_networks import nine_graph as graph
from tests.small_networks import same_bits

TARGETS = jax.random.normal(jax.random.key(5), (8, 2))
STEPS, RATE = 4, 1e-2


def schedule(step):
    return RATE / (1 + step)


def all_penalties(graph, tx):
    tx = regularizers.l2_init(regularizers.adam_rel(tx, 3), 0.5)
    tx = regularizers.spectral_regularization(tx, graph, 0.1)
    return regularizers.parseval_regularization(tx, graph, 0.1)


REGULARIZERS = {
    "l2_init": lambda graph, tx: regularizers.l2_init(tx, 0.5),
    "l2_init, decoupled": lambda graph, tx: regularizers.l2_init(
        tx, 5.0, kind="decoupled", learning_rate=schedule
    ),
    "clipping, fan-in": lambda graph, tx: regularizers.weight_clipping(tx, graph, 1.5),
    "clipping, initial": lambda graph, tx: regularizers.weight_clipping(
        tx, graph, 0.8, bound="initial"
    ),
    "spectral": lambda graph, tx: regularizers.spectral_regularization(tx, graph, 0.5),
    "parseval": lambda graph, tx: regularizers.parseval_regularization(tx, graph, 0.5),
    "isometry": lambda graph, tx: regularizers.isometry_decay(
        tx, graph, 1.0, learning_rate=schedule
    ),
    "projection": lambda graph, tx: regularizers.norm_projection(tx, graph),
    "adam_rel": lambda graph, tx: regularizers.adam_rel(tx, 2),
    "all": lambda graph, tx: regularizers.norm_projection(
        regularizers.isometry_decay(
            regularizers.weight_clipping(all_penalties(graph, tx), graph, 2.0), graph, 0.05
        ),
        graph,
        output_layers=True,
    ),
}
TRACES = []
# Where a test takes a second or more to compile, all of them at once stand for each.
ALL_AT_ONCE = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "all" else pytest.mark.slow) for name in REGULARIZERS],
)


@functools.cache
def make(name):
    return REGULARIZERS[name](graph(), optax.adam(RATE))


@jax.jit
def gradient(params):
    def loss(params):
        return jnp.mean((mlp(params, STATES).astype(jnp.float32) - TARGETS) ** 2)

    return jax.grad(loss)(params)


def step_of(transformation):
    def step(params, state, **inputs):
        updates, state = transformation.update(gradient(params), state, params, **inputs)
        return optax.apply_updates(params, updates), state

    return step


@functools.cache
def compiled(name):
    def step(params, state):
        TRACES.append(1)
        return step_of(make(name))(params, state)

    return jax.jit(step, donate_argnums=(0, 1))


def start(name, seed=0, dtype=jnp.float32):
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), init(jax.random.key(seed)))
    return params, make(name).init(params)


def run(name, carry, steps=STEPS):
    for _ in range(steps):
        carry = compiled(name)(*jax.tree.map(jnp.copy, carry))
    return carry


@functools.cache
def finished(name, seed=0):
    return run(name, start(name, seed))


@functools.cache
def plain():
    """The parameters that Adam alone ends at."""
    adam, params = optax.adam(RATE), init(jax.random.key(0))
    state, step = adam.init(params), jax.jit(step_of(adam))
    for _ in range(STEPS):
        params, state = step(params, state)
    return params


def structs(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), tree)


def assert_close(one, other, rtol=1e-5, atol=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), one, other)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_it_changes_the_training(name):
    params, _ = finished(name)
    assert max(float(jnp.abs(params[leaf] - plain()[leaf]).max()) for leaf in params) > 3e-4


@pytest.mark.parametrize("name", REGULARIZERS)
def test_one_compilation_serves_every_step(name):
    carry = run(name, start(name), 1)
    traces = len(TRACES)
    carry = run(name, carry, STEPS - 1)
    assert len(TRACES) == traces and compiled(name)._cache_size() == 1
    assert structs(carry) == structs(start(name))


@pytest.mark.parametrize("name", REGULARIZERS)
def test_parameters_and_state_are_donated_together(name):
    """Which fails where one is an alias of the other."""
    params = init(jax.random.key(0))
    for begin in (make(name).init, jax.jit(make(name).init)):
        carry = (jax.tree.map(jnp.copy, params), begin(params))
        carry = compiled(name)(carry[0], begin(carry[0]))
        assert_close(carry, run(name, start(name), 1))


@ALL_AT_ONCE
def test_vmapped_over_seeds_and_scanned_equals_single_updates(name):
    @jax.jit
    @jax.vmap
    def whole_run(seed):
        params = init(jax.random.key(seed))
        carry = (params, make(name).init(params))
        step = step_of(make(name))
        return jax.lax.scan(lambda carry, _: (step(*carry), None), carry, length=STEPS)[0]

    found = whole_run(jnp.arange(2))
    for seed in (0, 1):
        single = jax.tree.map(lambda leaf, seed=seed: leaf[seed], found)
        assert_close(single, finished(name, seed), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_bfloat16_stays_bfloat16(name):
    before = start(name, dtype=jnp.bfloat16)
    after = jax.jit(step_of(make(name)))(*before)
    assert structs(after) == structs(before) and after[0]["w1"].dtype == jnp.bfloat16
    precise, _ = run(name, start(name), 1)
    assert_close(jax.tree.map(jnp.float32, after[0]), precise, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_run_continues_from_a_checkpoint_to_the_bit(name):
    half = run(name, start(name), STEPS // 2)
    written = flax.serialization.to_bytes(jax.tree.map(np.asarray, half))
    restored = flax.serialization.from_bytes(start(name, 7), written)
    restored = jax.tree.map(jnp.asarray, restored)
    assert same_bits(restored, half)
    assert same_bits(run(name, restored, STEPS // 2), finished(name))


@pytest.mark.parametrize("name", REGULARIZERS)
def test_within_a_chain_and_a_mask(name):
    """What is masked keeps its gradient; every array is regularized by itself, so that the others
    take the steps that they take without the mask."""
    params = init(jax.random.key(0))
    mask = {leaf: leaf not in ("w1", "b1") for leaf in params}
    doubled = jax.tree.map(lambda leaf: 2 * leaf, gradient(params))
    whole, _ = jax.jit(make(name).update)(doubled, make(name).init(params), params)
    for given in (mask, lambda tree: {leaf: leaf not in ("w1", "b1") for leaf in tree}):
        chain = optax.chain(optax.scale(2.0), optax.masked(make(name), given))
        update = jax.jit(chain.update)
        updates, _ = update(gradient(params), chain.init(params), params)
        for leaf in params:
            expected = whole[leaf] if mask[leaf] else doubled[leaf]
            np.testing.assert_allclose(updates[leaf], expected, rtol=1e-5, atol=1e-7, err_msg=leaf)


@ALL_AT_ONCE
def test_with_a_recycle_of_neurons(name):
    """`as_transformation` equals the intervention beside the optimizer; afterwards the entries that
    mirror the parameters are those of a new state, and those of whole kernels are kept."""
    counted = dormant.per_entry_counts(make(name))
    redo = dormant.redo(graph(), init, make(name), 0.8, 2)
    face = dormant.as_transformation(make(name), redo, jax.random.key(3))
    params = init(jax.random.key(0))
    beside = (params, counted.init(params), redo.init(jax.random.key(3)))
    carry = (params, face.init(params))

    @jax.jit
    def step(carry, beside):
        params, state = step_of(face)(*carry, inputs=STATES)
        stepped, opt_state = step_of(counted)(*beside[:2])
        return (params, state), redo.update(stepped, opt_state, beside[2], STATES), opt_state

    for _ in range(2):
        carry, beside, before = step(carry, beside)
    assert 0 < int(beside[2].report.recycled_total) < 9
    assert_close(carry[0], beside[0])
    assert_close(carry[1].optimizer, beside[1])
    touched = dormant.parts.touched_entries(graph(), beside[2].masks).either
    numbers = optax.tree_utils.tree_map_params(
        counted, lambda value, mask: jnp.broadcast_to(mask, value.shape), before, touched,
        transform_non_params=lambda value: jnp.zeros(jnp.shape(value), bool),
    )  # fmt: skip
    new = counted.init(beside[0])
    jax.tree.map(
        lambda mask, old, initial, found: np.testing.assert_allclose(
            found, jnp.where(mask, initial, old), rtol=1e-5
        ),
        numbers,
        before,
        new,
        beside[1],
    )
    carry, *_ = step(carry, beside)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(carry[0]))


def test_recycled_entries_are_pulled_to_their_new_values():
    """L2 Init by hand: a fresh column to itself, the rows that read it to 0."""
    transformation = regularizers.l2_init(optax.sgd(0.1), 0.5)
    params = init(jax.random.key(0))
    state = transformation.init(params)
    moved = jax.tree.map(lambda leaf: leaf + 1, params)
    masks = {"w1": jnp.arange(5) == 2}
    recycled = dormant.recycle(graph(), moved, init(jax.random.key(9)), masks)
    state = dormant.reset_moments(transformation, graph(), state, masks, params=recycled)
    updates, _ = transformation.update(jax.tree.map(jnp.zeros_like, params), state, recycled)
    found = {leaf: np.asarray(update) for leaf, update in updates.items()}
    assert not found["w1"][:, 2].any() and not found["w2"][2].any() and not found["b1"][2].any()
    np.testing.assert_allclose(found["w1"][:, [0, 1, 3, 4]], -0.1, rtol=1e-5)
    np.testing.assert_allclose(found["w3"], -0.1, rtol=1e-5)
    with pytest.raises(ValueError, match="`params` must be the recycled parameters"):
        dormant.reset_moments(transformation, graph(), state, masks)


class Network(nnx.Module):
    def __init__(self, rngs):
        self.first, self.second = nnx.Linear(3, 6, rngs=rngs), nnx.Linear(6, 2, rngs=rngs)

    def __call__(self, x):
        return self.second(nnx.relu(self.first(x)))


@functools.cache
def nnx_graph():
    definition, params = nnx.split(Network(nnx.Rngs(0)))
    return dormant.trace(lambda params, x: nnx.merge(definition, params)(x), params, STATES)


@ALL_AT_ONCE
def test_an_nnx_optimizer(name):
    transformation = REGULARIZERS[name](nnx_graph(), optax.adam(RATE))
    model = Network(nnx.Rngs(0))
    definition, params = nnx.split(Network(nnx.Rngs(0)))
    optimizer = nnx.Optimizer(model, transformation, wrt=nnx.Param)

    def loss(model):
        return jnp.mean((model(STATES) - TARGETS) ** 2)

    @nnx.jit
    def step(model, optimizer):
        optimizer.update(model, nnx.grad(loss)(model))

    @jax.jit
    def by_hand(params, state):
        gradients = jax.grad(lambda p: loss(nnx.merge(definition, p)))(params)
        updates, state = transformation.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    carry = (params, transformation.init(params))
    for _ in range(2):
        step(model, optimizer)
        carry = by_hand(*carry)
    found, expected = jax.tree.leaves(nnx.state(model)), jax.tree.leaves(carry[0])
    assert len(found) == len(expected) == 4
    assert_close(found, expected)


def test_accumulated_gradients_are_one_step():
    name = "all"
    multi = optax.MultiSteps(make(name), 2)
    params = init(jax.random.key(0))
    carry, step = (params, multi.init(params)), jax.jit(step_of(multi))
    for _ in range(2):
        carry = step(*carry)
    assert_close(carry[0], run(name, start(name), 1)[0])


# -- what is refused, and what is nothing ---------------------------------------------------------


def test_a_coefficient_of_zero_is_the_optimizer_itself():
    adam = optax.adam(RATE)
    assert regularizers.l2_init(adam, 0.0) is adam
    assert regularizers.l2_init(adam, 0, kind="decoupled", learning_rate=schedule) is adam
    assert regularizers.spectral_regularization(adam, graph(), 0) is adam
    assert regularizers.parseval_regularization(adam, graph(), 0.0) is adam
    assert regularizers.isometry_decay(adam, graph(), 0.0) is adam


@pytest.mark.parametrize("name", [name for name in REGULARIZERS if name != "adam_rel"])
def test_an_update_needs_the_parameters(name):
    params, state = start(name)
    with pytest.raises(ValueError, match="^`params` must be given to `update`; got None$"):
        make(name).update(gradient(params), state)


@pytest.mark.parametrize(
    "function, options, message",
    [
        ("l2_init", {"coefficient": -1.0}, r"`coefficient` must be a number >= 0; got -1.0"),
        ("l2_init", {"kind": "L2"}, "`kind` must be one of 'l2', 'decoupled'; got 'L2'"),
        ("l2_init", {"learning_rate": 0.1}, "`learning_rate` must be None with kind 'l2'; got 0.1"),
        ("l2_init", {"optimizer": None}, "`optimizer` must be an optax transformation; got None"),
        ("weight_clipping", {"kappa": 0}, "`kappa` must be a number > 0; got 0"),
        ("weight_clipping", {"bound": "he"}, "`bound` must be one of 'fan_in', .*; got 'he'"),
        ("weight_clipping", {"graph": 3}, "`graph` must be a NeuronGraph .*; got 3"),
        ("spectral_regularization", {"power": 0}, "`power` must be a whole number >= 1; got 0"),
        ("spectral_regularization", {"iterations": 0.5}, "`iterations` must be a whole .* got 0.5"),
        ("parseval_regularization", {"scale": 0}, "`scale` must be a number > 0; got 0"),
        ("parseval_regularization", {"coefficient": "1"}, "`coefficient` must be .*; got '1'"),
        ("isometry_decay", {"learning_rate": -1}, "`learning_rate` must be None, .*; got -1"),
        ("isometry_decay", {"coefficient": float("nan")}, "`coefficient` must be .*; got nan"),
        ("norm_projection", {"output_layers": 1}, "`output_layers` must be True or False; got 1"),
        ("norm_projection", {"optimizer": 3}, "`optimizer` must be an optax transf.*; got 3"),
        ("adam_rel", {"period": 0}, "`period` must be a whole number of updates >= 1; got 0"),
        ("adam_rel", {"optimizer": dormant.per_entry_counts(optax.adam(1.0))},
         "`optimizer` must be one that `per_entry_counts` is put around afterwards; got .*"),
    ],
)  # fmt: skip
def test_options_that_are_refused(function, options, message):
    valid = {"optimizer": optax.adam(RATE)}
    valid |= {"period": 2} if function == "adam_rel" else {}
    valid |= {} if function in ("adam_rel", "l2_init") else {"graph": graph()}
    needs_one = function not in ("adam_rel", "weight_clipping", "norm_projection")
    valid |= {"coefficient": 0.1} if needs_one else {}
    with pytest.raises(ValueError, match=f"^{message}$"):
        getattr(regularizers, function)(**(valid | options))


def test_an_optimizer_without_a_step_count_is_refused():
    with pytest.raises(ValueError, match="^`optimizer` must be one with a step count beside"):
        regularizers.adam_rel(optax.sgd(0.1), 2).init(init(jax.random.key(0)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"w1": jnp.ones((3, 5)), "b1": jnp.ones(5), "w2": jnp.ones((5, 4))},
        {"w1": jnp.ones((3, 6)), "b1": jnp.ones(5), "w2": jnp.ones((5, 4)), "w3": jnp.ones((4, 2))},
        {"x": jnp.ones((3, 5))},
    ],
    ids=["without a kernel", "of another shape", "of other names"],
)
def test_parameters_of_another_network_are_refused(wrong):
    message = r"^`params` must be those .* w1 \[3, 5\], w2 \[5, 4\], w3 \[4, 2\]; got "
    with pytest.raises(ValueError, match=message):
        make("spectral").init(wrong)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The optax face: the same parameters as `update` beside the optimizer gives, in every loop.
Nine hidden neurons, of which one is silent and stays so, and a teacher that never changes."""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

import dormant
from tests.small_networks import NINE_STATES as STATES
from tests.small_networks import init_nine as init
from tests.small_networks import nine as mlp
from tests.small_networks import nine_graph, nine_with_silent, same_bits

KEY = jax.random.key(3)
# With the optimizer as it is given; what the default adds has a test of its own.
as_transformation = functools.partial(dormant.as_transformation, adam_count="keep")
TARGETS = jax.random.normal(jax.random.key(5), (8, 2))
OPTIMIZERS = {
    "adam": lambda: optax.adam(1e-2),
    "per_entry_counts": lambda: dormant.per_entry_counts(optax.adam(1e-2)),
    "sgd + momentum": lambda: optax.sgd(1e-2, momentum=0.9),
    "MultiSteps": lambda: optax.MultiSteps(optax.adam(1e-2), every_k_schedule=2),
    "inject_hyperparams": lambda: optax.inject_hyperparams(optax.adam)(1e-2),
    "clip + adamw": lambda: optax.chain(
        optax.clip_by_global_norm(0.5), optax.adamw(1e-2, weight_decay=0.1)
    ),
}

# In bfloat16 `inject_hyperparams` makes Adam's b2 of 0.999 a 1, and its updates NaN.
BFLOAT16 = [name for name in OPTIMIZERS if name != "inject_hyperparams"]


def network(dtype=jnp.float32):
    return {
        name: jnp.asarray(leaf, dtype) for name, leaf in nine_with_silent(0, ((1,), ())).items()
    }


@jax.jit
def gradient(params):
    def loss(params):
        return jnp.mean((mlp(params, STATES).astype(jnp.float32) - TARGETS) ** 2)

    return jax.grad(loss)(params)


def compiled_redo(optimizer, tau=0.8, period=1, graph=None):
    """ReDo whose update is one program, which both faces then run."""
    redo = dormant.redo(graph or nine_graph(), init, optimizer, tau, period)
    return redo._replace(update=jax.jit(redo.update))


def beside(optimizer, intervention, carry, *inputs):
    """One gradient step, and the intervention after it: what the optax face must equal."""
    params, opt_state, state = carry
    slope = gradient(params)
    updates, opt_state = optimizer.update(slope, opt_state, params)
    stepped = optax.apply_updates(params, updates)
    # Called as the optax face calls it, so that a compiled update serves both.
    given = {"gradient": slope, "pre_activation_gradients": None}
    return intervention.update(stepped, opt_state, state, *inputs, **given)


def within(tx, carry, **keywords):
    params, state = carry
    updates, state = tx.update(gradient(params), state, params, **keywords)
    return optax.apply_updates(params, updates), state


@functools.partial(jax.jit, static_argnums=0)
def warm(optimizer, params):
    """A state whose moments are not 0; of MultiSteps an unfinished one."""
    ones = jax.tree.map(jnp.ones_like, params)
    return optimizer.update(ones, optimizer.init(params), params)[1]


def assert_equal_but_for_fresh_rounding(found, expected, old, masks):
    """To the bit, but for entries drawn anew, which are sums with the old ones."""
    fresh = dormant.parts.touched_entries(nine_graph(), masks).incoming
    for name in expected:
        drawn = np.broadcast_to(fresh[name], expected[name].shape) & (expected[name] != 0)
        np.testing.assert_array_equal(found[name][~drawn], expected[name][~drawn], err_msg=name)
        error = np.abs(np.asarray(found[name] - expected[name], np.float32))
        scale = np.maximum(np.abs(old[name]), np.abs(expected[name] - old[name]))
        assert (error <= np.spacing(np.asarray(scale, np.float32))).all(), name


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_due_step(name):
    optimizer, params = OPTIMIZERS[name](), network()
    redo = compiled_redo(optimizer)
    tx, opt_state = as_transformation(optimizer, redo, KEY), warm(optimizer, params)
    assert same_bits(tx.init(params), (optimizer.init(params), redo.init(KEY)))
    expected, expected_opt_state, state = beside(
        optimizer, redo, (params, opt_state, redo.init(KEY)), STATES
    )
    assert 0 < int(state.report.recycled_total) < 9
    start = tx.init(params)._replace(optimizer=opt_state)
    found, found_state = within(tx, (params, start), inputs=STATES)
    assert_equal_but_for_fresh_rounding(found, expected, params, state.masks)
    assert not np.asarray(found["w2"])[np.asarray(state.masks["w1"])].any()
    assert same_bits(found_state, (expected_opt_state, state))
    # A jitted one is another program, whose products may round otherwise.
    jitted, _ = jax.jit(lambda carry: within(tx, carry, inputs=STATES))((params, start))
    for leaf in expected:
        np.testing.assert_allclose(jitted[leaf], expected[leaf], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(jitted[leaf] == 0, expected[leaf] == 0)


def test_adam_counts_per_entry_unless_the_released_count_is_asked_for():
    optimizer, params = optax.adam(1e-2), network()
    redo = compiled_redo(optimizer)
    counted = dormant.per_entry_counts(optimizer)
    assert same_bits(
        as_transformation(optimizer, redo, KEY).init(params)[0], optimizer.init(params)
    )
    for tx in (
        dormant.as_transformation(optimizer, redo, KEY),
        dormant.as_transformation(counted, redo, KEY),
        as_transformation(counted, redo, KEY),
    ):
        assert same_bits(tx.init(params)[0], counted.init(params))
        params, state = within(tx, (network(), tx.init(network())), inputs=STATES)
        expected = beside(
            counted, redo, (network(), counted.init(network()), redo.init(KEY)), STATES
        )
        assert same_bits(state, expected[1:])
        (count,) = state.optimizer.counts
        assert set(np.unique(count["w1"])) == {0, 1}
    with pytest.raises(ValueError, match="`adam_count` must be one of 'keep', 'per_entry'; got 1"):
        dormant.as_transformation(optimizer, redo, KEY, adam_count=1)


@pytest.mark.parametrize("name", BFLOAT16)
def test_one_due_step_in_bfloat16_is_exact(name):
    optimizer, params = OPTIMIZERS[name](), network(jnp.bfloat16)
    low_graph = dormant.trace(mlp, params, STATES)
    redo = compiled_redo(optimizer, graph=low_graph)
    tx, opt_state = as_transformation(optimizer, redo, KEY), warm(optimizer, params)
    expected, *_, state = beside(optimizer, redo, (params, opt_state, redo.init(KEY)), STATES)
    assert 0 < int(state.report.recycled_total) < 9
    start = tx.init(params)._replace(optimizer=opt_state)
    found, _ = within(tx, (params, start), inputs=STATES)
    assert found["w1"].dtype == jnp.bfloat16
    assert same_bits(found, expected)


@pytest.mark.parametrize(
    "name, dtype",
    [(name, jnp.float32) for name in OPTIMIZERS] + [("adam", jnp.bfloat16)],
)
def test_outputs_at_tau_zero_are_those_of_the_optimizer_alone(name, dtype):
    optimizer, params = OPTIMIZERS[name](), network(dtype)
    traced = dormant.trace(mlp, params, STATES)
    redo = compiled_redo(optimizer, 0.0, graph=traced)
    tx, opt_state = as_transformation(optimizer, redo, KEY), optimizer.init(params)
    updates, _ = optimizer.update(gradient(params), opt_state, params)
    alone = optax.apply_updates(params, updates)
    found, state = within(tx, (params, tx.init(params)), inputs=STATES)
    assert int(state.intervention.report.recycled_total) == 1
    assert np.asarray(found["w1"], np.float32)[:, 1].all()
    assert not np.array_equal(found["w2"], alone["w2"])
    assert same_bits(jax.jit(mlp)(found, STATES), jax.jit(mlp)(alone, STATES))


def test_without_inputs_a_step_is_only_counted():
    optimizer, params = optax.adam(1e-2), network()
    redo = compiled_redo(optimizer, period=2)
    tx = as_transformation(optimizer, redo, KEY)
    carry, alone = (params, tx.init(params)), (params, optimizer.init(params))
    for _ in range(3):  # the second would be due
        carry, alone = within(tx, carry), within(optimizer, alone)
    assert same_bits((carry[0], carry[1].optimizer), alone)
    assert int(carry[1].intervention.step) == 3
    assert int(carry[1].intervention.report.step) == -1
    _, state = within(tx, carry, inputs=STATES)
    assert int(state.intervention.report.step) == 4


def test_several_inputs_are_a_tuple():
    def two_inputs(params, first, second):
        return mlp(params, jnp.concatenate([first, second], axis=-1))

    inputs = (STATES[:, :1], STATES[:, 1:])
    traced, optimizer = dormant.trace(two_inputs, network(), *inputs), optax.adam(1e-2)
    found = []
    nine = compiled_redo(optimizer)
    of_two = compiled_redo(optimizer, graph=traced)
    for redo, given in ((of_two, inputs), (nine, (STATES,)), (nine, STATES)):
        tx = as_transformation(optimizer, redo, KEY)
        found.append(within(tx, (network(), tx.init(network())), inputs=given))
    assert int(found[0][1].intervention.report.recycled_total) > 0
    assert same_bits(found[1], found[2])
    assert same_bits(found[0][0], found[1][0])


def test_an_observation_that_is_a_namedtuple_is_one_input():
    """As environments with several arrays in an observation give it."""

    class Observation(NamedTuple):
        view: jax.Array
        mask: jax.Array

    def net(params, observation):
        return mlp(params, jnp.where(observation.mask, observation.view, 0.0))

    params, seen = network(), Observation(STATES, jnp.ones(STATES.shape, bool))
    adam = optax.adam(1e-2)
    graph = dormant.trace(net, params, seen)
    tx = as_transformation(adam, dormant.redo(graph, init, adam, tau=0.1, period=1), KEY)
    updates, state = tx.update(gradient(params), tx.init(params), params, inputs=seen)
    again, _ = tx.update(gradient(params), tx.init(params), params, inputs=(seen,))
    assert same_bits(updates, again)
    assert int(state.intervention.report.recycled_total) > 0
    assert dormant.regularizers.churn_loss(net, params, params, seen) == 0


def test_a_tracker_is_given_the_gradient_of_the_update():
    optimizer, params = optax.sgd(0.1), network()
    tx = as_transformation(optimizer, dormant.track(nine_graph(), period=1), KEY)
    _, state = within(tx, (params, tx.init(params)), inputs=STATES)
    norm = optax.tree_utils.tree_norm(gradient(params))
    found = state.intervention.report.network.gradient_norm_total
    np.testing.assert_allclose(found, norm, rtol=1e-5)
    twice = jax.tree.map(lambda leaf: 2 * leaf, gradient(params))
    _, state = within(tx, (params, tx.init(params)), inputs=STATES, gradient=twice)
    found = state.intervention.report.network.gradient_norm_total
    np.testing.assert_allclose(found, 2 * norm, rtol=1e-5)


# -- in loops -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("adam", "MultiSteps") else pytest.mark.slow)
        for name in OPTIMIZERS
    ],
)
def test_scanned_and_vmapped_over_seeds(name):
    optimizer, steps = OPTIMIZERS[name](), 6
    redo = dormant.redo(nine_graph(), init, optimizer, 0.6, period=2)

    def start(seed):
        return init(jax.random.fold_in(KEY, seed)), jax.random.fold_in(KEY, 100 + seed)

    def scanned(step, carry):
        return jax.lax.scan(lambda carry, _: (step(carry), None), carry, length=steps)[0]

    @jax.jit
    @jax.vmap
    def with_face(seed):
        params, key = start(seed)
        tx = as_transformation(optimizer, redo, key)
        carry = (params, tx.init(params))
        return scanned(lambda carry: within(tx, carry, inputs=STATES), carry)

    @jax.jit
    @jax.vmap
    def by_hand(seed):
        params, key = start(seed)
        carry = (params, optimizer.init(params), redo.init(key))
        return scanned(lambda carry: beside(optimizer, redo, carry, STATES), carry)

    found, state = with_face(jnp.arange(3))
    expected, _, expected_state = by_hand(jnp.arange(3))
    report, expected_report = state.intervention.report, expected_state.report
    assert report.step.tolist() == [6, 6, 6]
    assert len(set(expected_report.recycled_total.tolist())) > 1  # seeds differ
    np.testing.assert_array_equal(report.recycled_total, expected_report.recycled_total)
    for leaf in expected:
        np.testing.assert_allclose(found[leaf], expected[leaf], rtol=1e-3, atol=1e-5)


def test_last_within_a_chain():
    inner, clip = optax.adam(1e-2), optax.clip_by_global_norm(0.05)
    chain = optax.chain(
        clip, as_transformation(inner, dormant.redo(nine_graph(), init, inner, 0.8, 2), KEY)
    )
    outer = optax.chain(clip, inner)
    redo = dormant.redo(nine_graph(), init, outer, 0.8, 2)
    params = network()
    found, expected = (params, chain.init(params)), (params, outer.init(params), redo.init(KEY))
    step = jax.jit(lambda carry: within(chain, carry, inputs=STATES))
    by_hand = jax.jit(lambda carry: beside(outer, redo, carry, STATES))
    for _ in range(3):
        found, expected = step(found), by_hand(expected)
    report = found[1][1].intervention.report
    assert int(report.recycled_total) == int(expected[2].report.recycled_total) > 0
    for leaf in params:
        np.testing.assert_allclose(found[0][leaf], expected[0][leaf], rtol=1e-4, atol=1e-6)


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(6)(x))
        return nn.Dense(2)(nn.relu(nn.Dense(5)(x)))


def test_a_flax_train_state():
    module, optimizer = Linen(), optax.adam(1e-2)

    @jax.jit
    def initialize(key):
        return module.init(key, STATES)

    def loss(params):
        return jnp.mean((module.apply(params, STATES) - TARGETS) ** 2)

    params = initialize(jax.random.key(0))
    traced = dormant.trace(module.apply, params, STATES)
    redo = dormant.redo(traced, initialize, optimizer, 0.5, period=2)
    tx = as_transformation(optimizer, redo, KEY)
    state = TrainState.create(apply_fn=module.apply, params=params, tx=tx)

    @functools.partial(jax.jit, static_argnames="is_due")
    def step(state, is_due):
        gradients = jax.grad(loss)(state.params)
        if not is_due:
            return state.apply_gradients(grads=gradients)
        updates, opt_state = state.tx.update(
            gradients, state.opt_state, state.params, inputs=STATES
        )
        params = optax.apply_updates(state.params, updates)
        return state.replace(step=state.step + 1, params=params, opt_state=opt_state)

    @jax.jit
    def by_hand(params, opt_state, redo_state):
        updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state)
        return redo.update(optax.apply_updates(params, updates), opt_state, redo_state, STATES)

    expected = params, optimizer.init(params), redo.init(KEY)
    for number in range(1, 6):
        state = step(state, is_due=redo.is_due(number))
        expected = by_hand(*expected)
        np.testing.assert_array_equal(
            state.opt_state.intervention.report.step, expected[2].report.step
        )
    assert int(state.step) == int(state.opt_state.intervention.step) == 5
    total = int(state.opt_state.intervention.report.recycled_total)
    assert total == int(expected[2].report.recycled_total) > 0
    assert int(state.opt_state.intervention.report.step) == 4
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        state.params,
        expected[0],
    )


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.first, self.second = nnx.Linear(3, 6, rngs=rngs), nnx.Linear(6, 2, rngs=rngs)

    def __call__(self, x):
        return self.second(nnx.relu(self.first(x)))


def test_an_nnx_optimizer():
    """Its `update` passes keyword arguments on: our inputs, and the optimizer's own `value`."""
    model, optimizer = (
        Nnx(nnx.Rngs(0)),
        optax.chain(optax.adam(1e-2), optax.contrib.reduce_on_plateau(patience=1, factor=0.5)),
    )
    definition, params = nnx.split(Nnx(nnx.Rngs(0)))  # not those that the optimizer changes

    def apply(params, states):
        return nnx.merge(definition, params)(states)

    def initialize(key):
        return nnx.state(Nnx(nnx.Rngs(key)))

    def loss(model):
        return jnp.mean((model(STATES) - TARGETS) ** 2)

    traced = dormant.trace(apply, params, STATES)
    redo = dormant.redo(traced, initialize, optimizer, 0.5, period=2)
    found = nnx.Optimizer(model, as_transformation(optimizer, redo, KEY), wrt=nnx.Param)

    @nnx.jit
    def step(model, found):
        gradients = nnx.grad(loss)(model)
        found.update(model, gradients, inputs=STATES, value=1.0)

    @jax.jit
    def by_hand(params, opt_state, state):
        gradients = jax.grad(lambda p: loss(nnx.merge(definition, p)))(params)
        updates, opt_state = optimizer.update(gradients, opt_state, params, value=1.0)
        return redo.update(optax.apply_updates(params, updates), opt_state, state, STATES)

    expected = params, optimizer.init(params), redo.init(KEY)
    for number in range(1, 6):
        step(model, found)
        expected = by_hand(*expected)
        assert int(found.opt_state.intervention.step[...]) == number
    report, expected_report = found.opt_state.intervention.report, expected[2].report
    assert int(report.step[...]) == 4
    assert int(report.recycled_total[...]) == int(expected_report.recycled_total) > 0
    assert found.opt_state.optimizer[1].scale[...] == expected[1][1].scale < 1  # `value` arrived
    assert report.dormant_fraction(0.5) == expected_report.dormant_fraction(0.5)
    for one, other in zip(
        jax.tree.leaves(nnx.state(model)), jax.tree.leaves(expected[0]), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"optimizer": "adam"}, "`optimizer` must be an optax transformation; got 'adam'"),
        ({"intervention": None}, "`intervention` must be an Intervention, such as .*; got None"),
        ({"key": 0}, r"`key` must be one key, such as jax.random.key\(0\); got 0"),
        ({"key": jax.random.split(KEY, 2)}, "`key` must be one key, .*"),
    ],
    ids=["optimizer", "intervention", "number", "keys"],
)
def test_arguments_that_are_refused(wrong, message):
    optimizer = optax.adam(1e-2)
    redo = dormant.redo(nine_graph(), init, optimizer)
    arguments = {"optimizer": optimizer, "intervention": redo, "key": KEY} | wrong
    with pytest.raises(ValueError, match=f"(?s)^{message}$"):
        as_transformation(**arguments)


def test_an_update_needs_the_parameters():
    optimizer, params = optax.adam(1e-2), network()
    tx = as_transformation(optimizer, dormant.redo(nine_graph(), init, optimizer), KEY)
    with pytest.raises(ValueError, match="^`params` must be given to `update`; got None$"):
        tx.update(gradient(params), tx.init(params), inputs=STATES)


def test_within_what_masks_parameters_it_says_that_it_goes_around():
    adam = optax.adam(1e-2)
    tx = as_transformation(adam, compiled_redo(adam), KEY)
    params = network()
    labels = dict.fromkeys(params, "a") | {"w1": "b"}
    for masking in (
        optax.multi_transform({"a": tx, "b": optax.sgd(0.1)}, labels),
        optax.masked(tx, {name: name != "w1" for name in params}),
    ):
        with pytest.raises(ValueError, match="`params` must be the network's: wrap it around"):
            masking.init(params)
    around = optax.multi_transform({"a": adam, "b": optax.sgd(0.1)}, labels)
    tx = as_transformation(around, compiled_redo(around), KEY)
    updates, _ = tx.update(gradient(params), tx.init(params), params, inputs=STATES)
    assert jax.tree.structure(updates) == jax.tree.structure(params)

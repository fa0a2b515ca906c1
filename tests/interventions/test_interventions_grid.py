# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What every intervention must pass, whatever it does: one grid over all of them.
An MLP 5-8-8-3 without a silent neuron; every intervention acts at every second step."""

import functools

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant

STATES = jax.random.normal(jax.random.key(4), (16, 5))
ADAM = optax.adam(1e-2)
STEPS = 4


def init(key):
    one, two, three = jnp.split(jax.random.uniform(key, (128,), minval=-1.0), [40, 104])
    return {
        "w1": one.reshape(5, 8),
        "b1": jnp.full(8, 0.25, jnp.float32),
        "w2": two.reshape(8, 8),
        "w3": three.reshape(8, 3),
    }


TRACES = []


def mlp(params, states):
    TRACES.append(1)
    x = jax.nn.softplus(states.astype(params["w1"].dtype) @ params["w1"] + params["b1"])
    return jax.nn.softplus(x @ params["w2"]) @ params["w3"]


@functools.cache
def graph():
    return dormant.trace(mlp, jax.eval_shape(init, jax.random.key(0)), STATES)


def redo(tau=0.9, **options):
    return lambda *a: dormant.redo(*a, tau, 2, **options)


def variant(max_fraction=1.0, **recycling):
    """ReDo made of its parts."""
    return lambda graph, *a: dormant.intervene(
        graph,
        selection=dormant.parts.capped(dormant.parts.below_threshold(0.9), max_fraction),
        action=dormant.parts.recycling(graph, *a, **recycling),
        when=dormant.parts.every(2),
    )


def fixed_budget(order):
    # A quarter of the neurons at step 2, none at step 4.
    return lambda *a: dormant.fixed_budget(*a, dormant.cosine_fraction(0.5, 3), 2, order=order)


def layer_reset(layers):
    return lambda *a: dormant.layer_reset(*a, layers, 2)


def reborn(*a):
    return dormant.interventions.reborn(*a, 0.9, 2, threshold=1.05, receivers=2)


def weights(*a):
    method = dormant.interventions.selective_weight_reinitialization
    return method(*a, 0.2, 2, utility="magnitude")


def fire(graph, init, optimizer):
    return dormant.interventions.fire(graph, optimizer, 2)


def prune(graph, init, optimizer):
    return dormant.prune(graph, optimizer, 0.9, 2)


def track(graph, init, optimizer):
    return dormant.track(graph, period=2)


def track_measures(graph, init, optimizer):
    named = ("srank", "fau", "update_norm", "stagnant_units", "deviation_from_isometry")
    return dormant.track(graph, period=2, measures=named)


def regrama(graph, *a):
    """With the gradients of a loss, which a training loop would give."""
    made = dormant.interventions.regrama(graph, *a, 0.9, 2)

    def update(params, opt_state, state, *inputs):
        def gradients(graph):
            return graph.pre_activation_gradients(jnp.sum, params, *inputs)

        if not inputs:
            return made.update(params, opt_state, state)
        return made.update(params, opt_state, state, *inputs, pre_activation_gradients=gradients)

    return made._replace(update=update)


def continual_backprop(*a):
    return dormant.interventions.continual_backprop(*a, 0.25, 0, period=2)


def self_normalized_resets(*a):
    return dormant.interventions.self_normalized_resets(*a, 1.0, 2)


def stagnation(graph, *a):
    return dormant.intervene(
        graph,
        score=dormant.parts.stagnation_score(),
        selection=dormant.parts.over_network(dormant.parts.budget(0.25)),
        action=dormant.parts.recycling(graph, *a),
        when=dormant.parts.every(2),
    )


def combined(*a):
    return dormant.combine(redo=redo()(*a), prune=prune(*a), track=track(*a))


INTERVENTIONS = {
    "redo": redo(),
    "redo, scheduled tau": redo(optax.linear_schedule(0.9, 0.5, STEPS)),
    "redo, adaptive tau": redo(dormant.adaptive_tau(0.5, 0.9, maximum=0.95)),
    "redo, at most a fraction": variant(max_fraction=0.25),
    "redo, utility": redo(score=dormant.parts.contribution_utility),
    "redo, outgoing fresh": variant(outgoing="fresh"),
    "redo, live norm": variant(incoming_scale="live_norm"),
    "budget, lowest": fixed_budget("lowest"),
    "budget, random": fixed_budget("random"),
    "budget, highest": fixed_budget("highest"),
    "reset, last hidden": layer_reset("last_hidden"),
    "reset, all": layer_reset("all"),
    "reset, chosen": layer_reset(("w1", "w3")),
    "reset, partial": lambda *a: dormant.interventions.partial_resets(*a, 0.5, 2),
    "reset, interpolated": lambda *a: dormant.interventions.interpolated_reset(*a, 0.5, 2),
    "reset, weights": weights,
    "reset, shrunk": lambda *a: dormant.interventions.shrink_and_perturb(*a, period=2),
    "reset, fire": fire,
    "reborn": reborn,
    "prune": prune,
    "regrama": regrama,
    "continual backprop": continual_backprop,
    "self-normalized resets": self_normalized_resets,
    "stagnation, over the network": stagnation,
    "track": track,
    "track, measures": track_measures,
    "combine": combined,
}
ACTING = [name for name in INTERVENTIONS if not name.startswith("track")]
KEEPING_MOMENTS = ("reset, partial", "reset, shrunk")
DRAWING_NOTHING = ("prune", "reset, fire")
# The others act on somebody whatever the scores are.
CHOOSING = [name for name in INTERVENTIONS if "reset" not in name and name != "continual backprop"]


@functools.cache
def make(name):
    return INTERVENTIONS[name](graph(), init, ADAM)


@functools.cache
def compiled(name):
    return jax.jit(make(name).update)


@jax.jit
def moments(params):
    """Adam's state after one step: no moment is 0."""
    return ADAM.update(jax.tree.map(jnp.ones_like, params), ADAM.init(params))[1]


@functools.cache
def drawn(seed, dtype):
    params = jax.jit(init)(jax.random.key(seed))
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), dtype), params)


def start(name, seed=0, dtype=jnp.float32):
    params = drawn(seed, dtype)
    return params, moments(params), make(name).init(jax.random.key(seed + 10))


def run(name, carry, steps=STEPS, states=STATES):
    for _ in range(steps):
        carry = compiled(name)(*carry, states)
    return carry


@functools.cache
def finished(name, seed=0):
    return run(name, start(name, seed))


def is_key(leaf):
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def plain(leaf):
    """A leaf as a NumPy array, a key as its data."""
    return np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def as_in(template, array):
    return jax.random.wrap_key_data(array) if is_key(template) else jnp.asarray(array)


def values(tree):
    return {jax.tree_util.keystr(p): plain(leaf) for p, leaf in jax.tree.leaves_with_path(tree)}


def assert_same_bits(one, other):
    one, other = values(one), values(other)
    assert one.keys() == other.keys()
    for path, array in one.items():
        assert array.dtype == other[path].dtype, path
        assert array.tobytes() == other[path].tobytes(), path


def structs(tree):
    return jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)), tree
    )


def parts(state):
    return list(state.values()) if isinstance(state, dict) else [state]


def at_step_two(state):
    if isinstance(state, dict):
        return {name: at_step_two(part) for name, part in state.items()}
    return state._replace(step=jnp.int32(2))


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_one_compilation_serves_every_step(name):
    carry = run(name, start(name), 1)
    traces = len(TRACES)
    carry = run(name, carry, STEPS - 1)
    assert len(TRACES) == traces
    assert compiled(name)._cache_size() == 1
    assert structs(carry) == structs(start(name))
    assert all(int(part.report.step) == STEPS for part in parts(carry[2]))


@pytest.mark.parametrize("name", ACTING)
def test_it_acts_on_somebody(name):
    params, opt_state, state = finished(name)
    before = start(name)
    assert any((params[leaf] != before[0][leaf]).any() for leaf in params)
    begun = any((opt_state[0].mu[leaf] == 0).any() for leaf in params)
    assert begun == (name not in KEEPING_MOMENTS)
    assert max(int(part.report.recycled_total) for part in parts(state)) > 0


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_vmapped_over_seeds_and_scanned_equals_single_updates(name):
    """Values of metrics may differ in the last bits, as products of batches do."""
    singles = [finished(name, seed) for seed in (0, 1)]
    starts = [start(name, seed) for seed in (0, 1)]

    @jax.jit
    @jax.vmap
    def whole_run(carry):
        def body(carry, _):
            return compiled(name)(*carry, STATES), None

        return jax.lax.scan(body, carry, length=STEPS)[0]

    found = whole_run(jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts))
    for seed, single in enumerate(singles):
        expected = values(single)
        for path, array in values(jax.tree.map(lambda leaf, s=seed: leaf[s], found)).items():
            np.testing.assert_allclose(array, expected[path], rtol=1e-5, err_msg=path)


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_bfloat16_stays_bfloat16(name):
    before = start(name, dtype=jnp.bfloat16)
    assert before[0]["w1"].dtype == before[1][0].mu["w1"].dtype == jnp.bfloat16
    after = run(name, before)
    assert structs(after) == structs(before)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(after[0]))
    recycled = [int(part.report.recycled_total) for part in parts(after[2])]
    assert any(recycled) == (name in ACTING)


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_a_run_continues_from_a_checkpoint_to_the_bit(name):
    half = run(name, start(name), STEPS // 2)
    written = flax.serialization.to_bytes(jax.tree.map(plain, half))
    template = start(name, 7)
    restored = flax.serialization.from_bytes(jax.tree.map(plain, template), written)
    restored = jax.tree.map(as_in, template, restored)
    assert_same_bits(restored, half)
    assert_same_bits(run(name, restored, STEPS // 2), finished(name))


@pytest.mark.parametrize("name", ACTING)
def test_what_happens_depends_on_the_key_alone(name):
    assert_same_bits(run(name, start(name)), finished(name))
    params, opt_state, _ = start(name)
    other = run(name, (params, opt_state, start(name, 3)[2]))[0]
    differs = any((other[leaf] != finished(name)[0][leaf]).any() for leaf in params)
    assert differs == (name not in DRAWING_NOTHING)


@pytest.mark.parametrize("name", CHOOSING)
def test_nothing_changes_when_nobody_is_selected(name):
    # Neurons that are all alike score 1, more than every tau here; budgets are spent by step 4.
    params = jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.5), init(jax.random.key(0)))
    before = (params, moments(params), at_step_two(make(name).init(jax.random.key(1))))
    params, opt_state, state = run(name, before, 2)
    assert_same_bits((params, opt_state), before[:2])
    for part in parts(state):
        assert int(part.report.step) == STEPS and int(part.report.recycled_total) == 0
        assert not any(mask.any() for mask in part.masks.values())


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_an_infinite_observation_changes_nothing(name):
    before = start(name)
    params, opt_state, state = run(name, before, 2, STATES.at[3].set(jnp.inf))
    assert_same_bits((params, opt_state), before[:2])
    for part in parts(state):
        report = part.report
        assert int(report.step) == 2 and int(report.recycled_total) == 0
        assert np.isnan(report.pooled).all()
        assert all(np.isnan(fraction).all() for fraction in report.by_layer.values())
        assert np.isnan(report.dormant_fraction(0.1))


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_without_inputs_a_step_is_only_counted(name):
    intervention = make(name)
    params, opt_state, state = intervention.update(*start(name))
    params, opt_state, state = intervention.update(params, opt_state, state)  # would be due
    assert_same_bits((params, opt_state), start(name)[:2])
    for part in parts(state):
        assert int(part.step) == 2 and int(part.report.step) == -1

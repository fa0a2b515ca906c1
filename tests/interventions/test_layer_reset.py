# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Periodic reset of layers: which entries are drawn anew, and what becomes of their moments.
Expected entries are written down by parameter name; everything else is compared bitwise."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant

KEY = jax.random.key(3)
STATES = jax.random.normal(jax.random.key(4), (6, 3))
SHAPES = {
    "w1": (3, 4),
    "b1": (4,),
    "wv": (4, 5),
    "bv": (5,),
    "wa": (4, 3),
    "v": (5, 1),
    "a": (3, 2),
}
NAMES = (*SHAPES, "b_a", "log_alpha")


@jax.jit
def init(key):
    sizes = [int(np.prod(shape)) for shape in SHAPES.values()]
    parts = jnp.split(jax.random.uniform(key, (sum(sizes),)), np.cumsum(sizes)[:-1])
    drawn = zip(SHAPES.items(), parts, strict=True)
    constant = {"b_a": jnp.full(2, 0.5, jnp.float32), "log_alpha": jnp.ones((), jnp.float32)}
    return {name: part.reshape(shape) for (name, shape), part in drawn} | constant


def dueling(params, states):
    x = jax.nn.relu(states @ params["w1"] + params["b1"])
    value = jax.nn.relu(x @ params["wv"] + params["bv"]) @ params["v"]
    return value + (jax.nn.relu(x @ params["wa"]) @ params["a"] + params["b_a"])


@functools.cache
def graph():
    return dormant.trace(dueling, jax.eval_shape(init, KEY), STATES)


@functools.cache
def params():
    """Other values than the initializer's everywhere."""
    return jax.tree.map(lambda leaf: leaf + 2.0, init(jax.random.key(0)))


def trained(optimizer):
    update, state = jax.jit(optimizer.update), optimizer.init(params())
    for _ in range(3):
        _, state = update(params(), state, params())
    return state


def reset(optimizer, **options):
    opt_state = trained(optimizer)
    intervention = dormant.layer_reset(graph(), init, optimizer, period=1, **options)
    update = jax.jit(intervention.update)
    return opt_state, update(params(), opt_state, intervention.init(KEY), STATES)


CHOICES = {
    "last_hidden": ("wv", "bv", "wa"),
    "all": NAMES,
    ("w1",): ("w1", "b1"),
    ("wa", "a"): ("wa", "a", "b_a"),
    ("v",): ("v",),
}


@pytest.mark.parametrize("layers", CHOICES, ids=str)
def test_chosen_layers_are_drawn_anew_and_nothing_else(layers):
    opt_state, (found, found_opt_state, state) = reset(optax.adam(1e-2), layers=layers)
    fresh = init(jax.random.fold_in(KEY, 1))
    for name in NAMES:
        expected = fresh[name] if name in CHOICES[layers] else params()[name]
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
        for moment in ("mu", "nu"):
            old = getattr(opt_state[0], moment)[name]
            expected = jnp.zeros_like(old) if name in CHOICES[layers] else old
            new = getattr(found_opt_state[0], moment)[name]
            np.testing.assert_array_equal(new, expected, err_msg=name)
    assert found_opt_state[0].count == 3
    for layer, mask in state.masks.items():
        assert np.all(mask == (layer in CHOICES[layers]))
        assert int(state.report.recycled[layer]) == int(mask.sum())


def test_layers_are_reset_at_every_period_with_other_values():
    optimizer = optax.sgd(0.1)
    intervention = dormant.intervene(
        graph(),
        selection=dormant.parts.whole_layers(),
        action=dormant.parts.redrawing(graph(), init, optimizer),
        when=dormant.parts.every(2, start=3),
    )
    update, state = jax.jit(intervention.update), intervention.init(KEY)
    drawn = [params()["wv"]]
    for _ in range(6):
        new, _, state = update(params(), optimizer.init(params()), state, STATES)
        drawn.append(new["wv"])
    changed = [step for step in range(1, 7) if (drawn[step] != params()["wv"]).any()]
    assert changed == [4, 6] and (drawn[4] != drawn[6]).all()


def schedule():
    return optax.cosine_decay_schedule(1e-2, 9)


OPTIMIZERS = {
    "sgd + momentum": lambda: optax.sgd(1e-2, momentum=0.9),
    "rmsprop": lambda: optax.rmsprop(1e-2),
    "clip + adamw": lambda: optax.chain(optax.clip(1.0), optax.adamw(schedule())),
    "inject_hyperparams": lambda: optax.inject_hyperparams(optax.adam)(1e-2),
    "MultiSteps": lambda: optax.MultiSteps(optax.adam(1e-2), every_k_schedule=2),
    "masked": lambda: optax.masked(optax.adam(1e-2), {name: name != "wa" for name in NAMES}),
    "per_entry_counts": lambda: dormant.per_entry_counts(optax.adam(1e-2)),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_moments_are_found_by_structure(name):
    before, (_, after, _) = reset(OPTIMIZERS[name]())
    assert jax.tree.structure(after) == jax.tree.structure(before)
    zeroed = 0
    old_leaves = jax.tree.leaves_with_path(before)
    for (path, old), new in zip(old_leaves, jax.tree.leaves(after), strict=True):
        assert (old.dtype, old.shape) == (new.dtype, new.shape)
        parameter = jax.tree_util.keystr(path, simple=True, separator="/").split("/")[-1]
        if parameter in CHOICES["last_hidden"]:
            assert np.all(np.asarray(old) != 0) and np.all(np.asarray(new) == 0)
            zeroed += 1
        else:
            np.testing.assert_array_equal(new, old)
    assert zeroed > 0


def test_moments_may_be_kept():
    optimizer = optax.adam(1e-2)
    before = trained(optimizer)
    action = dormant.parts.redrawing(graph(), init, optimizer, moments="keep")
    masks = {name: jnp.ones(graph()[name].neurons, bool) for name in action.layers}
    after, opt_state, *_ = jax.jit(action.act)(params(), before, masks, KEY, (), {})
    jax.tree.map(np.testing.assert_array_equal, opt_state, before)
    assert (after["wv"] != params()["wv"]).all()


def test_counts_per_entry_restart():
    _, (_, after, _) = reset(dormant.per_entry_counts(optax.adam(1e-2)))
    counts = {name: int(np.max(count)) for name, count in after.counts[0].items()}
    assert counts == {name: 0 if name in CHOICES["last_hidden"] else 3 for name in NAMES}


def test_a_residual_layer_can_be_reset():
    """An obstacle to recycling is none here: a reset changes outputs in any case."""

    def residual(params, states):
        x = states @ params["w1"]
        return (x + jax.nn.relu(x @ params["w2"]) @ params["w3"]) @ params["w4"]

    @jax.jit
    def residual_init(key):
        shapes = {"w1": (3, 4), "w2": (4, 5), "w3": (5, 4), "w4": (4, 2)}
        return {name: jax.random.normal(key, shape) for name, shape in shapes.items()}

    old, optimizer = residual_init(jax.random.key(8)), optax.sgd(0.1)
    stream = dormant.trace(residual, old, STATES)
    assert not stream["w1"].recyclable and stream.penultimate == ("w1", "w3")
    intervention = dormant.layer_reset(stream, residual_init, optimizer, period=1)
    update = jax.jit(intervention.update)
    new, *_ = update(old, optimizer.init(old), intervention.init(KEY), STATES)
    assert [name for name in old if (new[name] != old[name]).any()] == ["w1", "w3"]


def test_a_graph_written_by_hand_needs_its_output_layers_for_the_last_hidden_one():
    def measure(params, states):
        return {"w1": jax.nn.relu(states @ params["w1"] + params["b1"])}

    wiring = {"w1": (["w1", "b1"], ["wv", "wa"])}
    by_hand = functools.partial(dormant.manual_graph, params(), measure, wiring)
    with pytest.raises(ValueError, match="^`layers` must name at least .*; got 'last_hidden'$"):
        dormant.layer_reset(by_hand(), init, optax.sgd(0.1))
    named = by_hand(output_layers=("wv",))
    intervention = dormant.layer_reset(named, init, optax.sgd(0.1), ("w1", "wv"), period=1)
    opt_state = optax.sgd(0.1).init(params())
    new, *_ = jax.jit(intervention.update)(params(), opt_state, intervention.init(KEY), STATES)
    assert [name for name in NAMES if (new[name] != params()[name]).any()] == ["w1", "b1", "wv"]
    with pytest.raises(ValueError, match="^`output_layers` must be of layers among .*; got 'w9'$"):
        by_hand(output_layers=("w9",))


@pytest.mark.parametrize(
    "options, named, value",
    [
        ({"layers": "last"}, "`layers`", "'last'"),
        ({"layers": ()}, "`layers`", "()"),
        ({"layers": ("w1", "b1")}, "`layers`", "'b1'"),
        ({"layers": 3}, "`layers`", "3"),
        ({"layers": ("w1", 2)}, "`layers`", "('w1', 2)"),
        ({"graph": None}, "`graph`", "None"),
        ({"period": 0}, "`period`", "0"),
        ({"optimizer": None}, "`optimizer`", "None"),
        ({"init": 1}, "`init`", "1"),
    ],
)
def test_errors_name_the_input_and_end_with_the_value(options, named, value):
    arguments = {"graph": graph(), "init": init, "optimizer": optax.adam(1e-2)} | options
    for make in (dormant.layer_reset, dormant.parts.redrawing):
        if options.keys() & inspect.signature(make).parameters.keys():
            with pytest.raises(ValueError) as error:
                make(**arguments)
            assert str(error.value).startswith(named) and str(error.value).endswith(value)


def test_moments_are_reset_or_kept():
    with pytest.raises(ValueError, match="^`moments` must be one of 'reset', 'keep'; got 'zero'$"):
        dormant.parts.redrawing(graph(), init, optax.sgd(0.1), moments="zero")


@pytest.mark.parametrize("layers", CHOICES, ids=str)
def test_a_mirror_gets_the_values_just_drawn_at_the_steps_of_the_action_alone(layers):
    action = dormant.parts.redrawing(graph(), init, optax.sgd(0.1), layers=layers)
    opt_state, target = optax.sgd(0.1).init(params()), jax.tree.map(jnp.negative, params())
    masks = {name: jnp.ones(graph()[name].neurons, bool) for name in action.layers}
    new, _, masks, _ = jax.jit(action.act)(params(), opt_state, masks, KEY, (), {})
    mirrored = jax.jit(action.mirror)(new, target, masks, True)
    for name in NAMES:
        expected = new[name] if name in CHOICES[layers] else target[name]
        np.testing.assert_array_equal(mirrored[name], expected, err_msg=name)
    nobody = jax.tree.map(jnp.zeros_like, masks)
    jax.tree.map(
        np.testing.assert_array_equal, jax.jit(action.mirror)(new, target, nobody, False), target
    )

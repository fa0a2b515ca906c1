# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The composer and its state: masks of this step, the historical overlap, custom parts, combine.
A network of five hidden neurons, of which chosen ones are silenced by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant

KEY = jax.random.key(3)
STATES = jax.random.normal(jax.random.key(4), (8, 3))
SGD = optax.sgd(0.1)


@jax.jit
def init(key):
    one, two = jnp.split(jax.random.uniform(key, (25,), minval=-1.0), [15])
    return {"w1": one.reshape(3, 5), "b1": jnp.full(5, 3.0, jnp.float32), "w2": two.reshape(5, 2)}


def mlp(params, states):
    return jax.nn.relu(states @ params["w1"] + params["b1"]) @ params["w2"]


@functools.cache
def graph():
    return dormant.trace(mlp, jax.eval_shape(init, KEY), STATES)


def network(*silent):
    params = {name: np.array(leaf) for name, leaf in init(jax.random.key(0)).items()}
    params["w1"][:, list(silent)], params["b1"][list(silent)] = 0, -1
    return params


def run(intervention, silent_sets):
    """The states after each update, of networks with these silent neurons."""
    update, state, states = jax.jit(intervention.update), intervention.init(KEY), []
    for silent in silent_sets:
        *_, state = update(network(*silent), SGD.init(network()), state, STATES)
        states.append(state)
    return states


# -- history --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [dormant.track, functools.partial(dormant.redo, init=init, optimizer=SGD, tau=0.0)],
    ids=["track", "redo"],
)
def test_overlap_with_the_union_of_all_earlier_sets(make):
    sets = [(0,), (1, 2), (0, 1, 3), (), (0, 4), (2, 3)]
    states = run(make(graph(), period=1, taus=(0.0, 1e9)), sets)
    union, overlaps = set(), []
    for current, state in zip(sets, states, strict=True):
        assert np.flatnonzero(state.dormant["w1"][0]).tolist() == list(current)
        assert np.flatnonzero(state.history["w1"][0]).tolist() == sorted(union)
        smaller = min(len(union), len(current))
        overlaps.append(len(union & set(current)) / smaller if smaller else np.nan)
        union |= set(current)
    assert overlaps[1:3] == [0.0, 2 / 3]  # with the set before alone: 0 and 1/2
    found = [state.report.overlap_history["w1"] for state in states]
    np.testing.assert_allclose([value[0] for value in found], overlaps, rtol=1e-6)
    np.testing.assert_array_equal([value[1] for value in found], [np.nan] + [1.0] * 5)
    assert found[0].dtype == jnp.float32


def test_steps_that_score_nothing_leave_the_history_alone():
    states = run(dormant.track(graph(), period=2), [(0,), (1,), (2,), (1, 3)])
    history = [np.flatnonzero(state.history["w1"][0]).tolist() for state in states]
    assert history == [[], [], [], [1]]
    assert states[3].report.overlap_history["w1"][0] == 1


# -- masks ----------------------------------------------------------------------------------------


def test_masks_are_those_of_this_very_step():
    redo = dormant.redo(graph(), init, SGD, 0.0, period=2)
    states = run(redo, [(0,), (1, 2), (1, 2), (3,)])
    masks = [np.flatnonzero(state.masks["w1"]).tolist() for state in states]
    assert masks == [[], [1, 2], [], [3]]
    update = jax.jit(redo.update)
    *_, without_inputs = update(network(3), SGD.init(network()), states[3])
    assert not without_inputs.masks["w1"].any()
    assert int(without_inputs.report.recycled["w1"]) == 1  # of the last scoring


def test_a_tracker_acts_on_nobody():
    state = run(dormant.track(graph(), period=1), [(0, 1)])[0]
    assert not state.masks["w1"].any() and state.report.recycled["w1"] == 0


def test_masks_of_layers_that_are_not_recycled_are_empty():
    def residual(params, states):
        x = states @ params["w1"]
        return jax.nn.relu(x + jnp.tanh(x @ params["w2"]) @ params["w3"]) @ params["w4"]

    shapes = {"w1": (3, 4), "w2": (4, 5), "w3": (5, 4), "w4": (4, 2)}
    params = {name: jax.random.normal(KEY, shape) for name, shape in shapes.items()}
    stream = dormant.trace(residual, params, STATES)
    redo = dormant.redo(stream, lambda key: params, SGD, 1e9, 1)
    *_, state = jax.jit(redo.update)(params, SGD.init(params), redo.init(KEY), STATES)
    assert {name: int(mask.sum()) for name, mask in state.masks.items()} == {
        "w1": 0,
        "w2": 5,
        "w3": 0,
    }


# -- parts of one's own ---------------------------------------------------------------------------


def test_parts_of_ones_own():
    """Score: the neuron's number; selection: counts its calls; action: writes the step's masks."""

    def number(graph, params, activations):
        return {name: jnp.arange(h.shape[-1], dtype=jnp.float32) for name, h in activations.items()}

    def select(scores, calls, step, key):
        return {name: score == step for name, score in scores.items()}, calls + 1

    def act(params, opt_state, masks, key, state, scores):
        params = params | {"b1": jnp.where(masks["w1"], 7.0, params["b1"])}
        return params, opt_state, masks, state

    def maintain(params, opt_state, state):
        return params | {"w2": params["w2"] + 1.0}, opt_state

    intervention = dormant.intervene(
        graph(),
        score=number,
        selection=dormant.parts.Selection(lambda layers: jnp.zeros((), jnp.int32), select),
        action=dormant.parts.Action(("w1",), act, maintain=maintain),
        when=dormant.parts.every(2),
    )
    params, opt_state, state = init(KEY), (), intervention.init(KEY)
    update = jax.jit(intervention.update)
    for _ in range(4):
        params, opt_state, state = update(params, opt_state, state, STATES)
    assert params["b1"].tolist() == [3, 3, 7, 3, 7]
    np.testing.assert_allclose(params["w2"], init(KEY)["w2"] + 4, rtol=1e-6)
    assert state.selection == 2 and state.report.recycled_total == 2
    *_, idle = update(params, opt_state, state)
    assert idle.selection == 2 and idle.step == 5


def test_the_selection_key_changes_with_the_step_and_is_not_the_initializers():
    seen = []

    def select(scores, state, step, key):
        return {name: score < 0 for name, score in scores.items()}, jax.random.key_data(key)

    def act(params, opt_state, masks, key, state, scores):
        return params, opt_state, masks, jax.random.key_data(key)

    empty = jax.random.key_data(KEY)
    intervention = dormant.intervene(
        graph(),
        selection=dormant.parts.Selection(lambda layers: empty, select),
        action=dormant.parts.Action(("w1",), act, lambda: empty),
        when=dormant.parts.every(1),
    )
    for state in run(intervention, [(), (), ()]):
        seen += [tuple(state.selection.tolist()), tuple(state.action.tolist())]
    assert len(set(seen)) == 6
    fresh_key = jax.random.key_data(jax.random.fold_in(KEY, 3))
    np.testing.assert_array_equal(state.action, fresh_key)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"selection": 0.1}, "`selection` must be a Selection; got 0.1"),
        ({"action": None}, "`action` must be an Action; got None"),
        ({"when": 100}, r"`when` must be a function \(step\) that .*; got 100"),
        ({"score": "activation"}, r"`score` must be a function \(graph, .*\); got 'activation'"),
        ({"score_batch": 0}, "`score_batch` must be a whole number >= 1; got 0"),
        ({"taus": ()}, r"`taus` must hold at least one threshold; got \(\)"),
        ({"graph": 3}, "`graph` must be a NeuronGraph from `dormant.trace`; got 3"),
    ],
    ids=str,
)
def test_intervene_checks_what_it_is_given(wrong, message):
    arguments = {
        "graph": graph(),
        "selection": dormant.parts.below_threshold(0.1),
        "action": dormant.parts.pruning(graph(), SGD),
        "when": dormant.parts.every(1),
    }
    with pytest.raises(ValueError, match=f"^{message}$"):
        dormant.intervene(**(arguments | wrong))


def test_a_budget_is_a_capped_threshold_that_everyone_passes():
    def after(selection, **options):
        intervention = dormant.intervene(
            graph(),
            selection=selection,
            action=dormant.parts.recycling(graph(), init, SGD),
            when=dormant.parts.every(1),
            **options,
        )
        params, _, state = jax.jit(intervention.update)(
            network(2), SGD.init(network()), intervention.init(KEY), STATES
        )
        return params, state.masks

    everyone = dormant.parts.capped(dormant.parts.below_threshold(1e9), 0.4)
    for options in ({}, {"score": dormant.parts.contribution_utility}):
        budget = after(dormant.parts.budget(0.4), **options)
        assert int(budget[1]["w1"].sum()) == 2
        jax.tree.map(np.testing.assert_array_equal, budget, after(everyone, **options))


FACTORIES = {
    "redo": lambda **options: dormant.redo(graph(), init, SGD, 1e9, 2, **options),
    "fixed_budget": lambda **options: dormant.fixed_budget(graph(), init, SGD, 0.4, 2, **options),
    "layer_reset": lambda **options: dormant.layer_reset(graph(), init, SGD, "all", 2, **options),
    "prune": lambda **options: dormant.prune(graph(), SGD, 1e9, 2, **options),
    "track": lambda **options: dormant.track(graph(), period=2, **options),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_taus_and_the_scored_rows_reach_what_every_factory_makes(name):
    intervention = FACTORIES[name](taus=(0.5, 0.0, 100.0), score_batch=4)
    state = run(intervention, [(), (0,)])[-1]
    scores = dormant.dormancy_scores(graph().activations(network(0), STATES[:4]))
    expected = [
        dormant.dormant_fraction(dormant.dormant_masks(scores, tau)) for tau in state.report.taus
    ]
    assert state.report.taus[:3].tolist() == [0.0, 0.5, 100.0]
    np.testing.assert_array_equal(state.report.pooled, expected)
    assert int(state.report.recycled_total) == {"fixed_budget": 2, "track": 0}.get(name, 5)
    with pytest.raises(ValueError, match="at least `score_batch` = 9 rows"):
        run(FACTORIES[name](score_batch=9), [()])


# -- combine --------------------------------------------------------------------------------------


def two_networks():
    """An actor and a critic in one tree, each with a graph of its own over the whole tree."""

    def actor(params, states):
        return mlp(params["actor"], states)

    def critic(params, states):
        return mlp(params["critic"], states)

    params = {"actor": network(1), "critic": network(0, 4)}
    return params, {f.__name__: dormant.trace(f, params, STATES) for f in (actor, critic)}


def init_both(key):
    return {"actor": init(jax.random.fold_in(key, 0)), "critic": init(jax.random.fold_in(key, 1))}


def test_combined_interventions_act_one_after_the_other():
    params, graphs = two_networks()
    each = {name: dormant.redo(g, init_both, SGD, 0.0, 1) for name, g in graphs.items()}
    both = dormant.combine(**each)
    state = both.init(KEY)
    assert (
        jax.random.key_data(state["actor"].key) != jax.random.key_data(state["critic"].key)
    ).any()
    found, _, after = jax.jit(both.update)(params, SGD.init(params), state, STATES)
    expected, opt_state = params, SGD.init(params)
    for name, intervention in each.items():
        update = jax.jit(intervention.update)
        expected, opt_state, part = update(expected, opt_state, state[name], STATES)
        jax.tree.map(np.testing.assert_array_equal, part.masks, after[name].masks)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    counts = {name: int(part.report.recycled_total) for name, part in after.items()}
    assert counts == {"actor": 1, "critic": 2}
    for name, silent in (("actor", [1]), ("critic", [0, 4])):
        changed = (found[name]["w1"] != params[name]["w1"]).any(axis=0)
        assert np.flatnonzero(changed).tolist() == silent


def test_combined_trackers_measure_their_own_part_and_its_gradient():
    params, graphs = two_networks()
    both = dormant.combine(**{name: dormant.track(g, period=1) for name, g in graphs.items()})
    gradient = {"actor": network(), "critic": jax.tree.map(np.zeros_like, network())}
    *_, state = jax.jit(both.update)(params, (), both.init(KEY), STATES, gradient=gradient)
    metrics = {name: part.report.network for name, part in state.items()}
    assert metrics["actor"].gradient_norm_total > 0 == metrics["critic"].gradient_norm_total
    own = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in params["critic"].values()))
    np.testing.assert_allclose(metrics["critic"].weight_norm_total, own, rtol=1e-6)


def test_the_gradient_reaches_trackers_beside_other_interventions():
    redo, track = dormant.redo(graph(), init, SGD, 0.0, 1), dormant.track(graph(), period=1)
    both = dormant.combine(redo=redo, track=track)
    params = network(1)
    update = jax.jit(both.update)
    _, _, state = update(params, SGD.init(params), both.init(KEY), STATES, gradient=params)
    assert state["track"].report.network.gradient_norm_total > 0
    assert state["redo"].report.recycled_total == 1


def test_combine_checks_what_it_is_given():
    with pytest.raises(ValueError, match="^`combine` needs at least one intervention; got {}$"):
        dormant.combine()
    for wrong in (None, SGD):
        with pytest.raises(ValueError, match="^`redo` must be an Intervention, such as .*; got "):
            dormant.combine(redo=wrong)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""ReDo and the tracker: what they do when they are due, what they score on, what they refuse.
A network of nine hidden neurons, of which chosen ones are silenced by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from tests.small_networks import NINE_STATES as STATES
from tests.small_networks import init_nine as init
from tests.small_networks import init_residual, residual_graph, same_bits
from tests.small_networks import nine as mlp
from tests.small_networks import nine_graph as graph
from tests.small_networks import nine_with_silent as network

KEY = jax.random.key(3)
ADAM = optax.adam(1e-2)
EVERY_NEURON = 1e9  # a tau above every score


def redo(tau=0.1, period=1_000, **options):
    return dormant.redo(graph(), init, ADAM, tau, period, **options)


def track(**options):
    return dormant.track(graph(), **options)


def adam_state(params):
    """Adam after one step, so that no moment is zero."""
    ones = jax.tree.map(np.ones_like, params)
    return jax.jit(ADAM.update)(ones, ADAM.init(params))[1]


@jax.jit
def dormant_at(params, tau):
    """Masks of the dormant neurons, by the functions that are tested elsewhere."""
    scores = dormant.dormancy_scores(graph().activations(params, STATES))
    return dormant.dormant_masks(scores, tau)


def at_step(intervention, step, key=KEY):
    """A state whose next update is gradient step `step`."""
    return intervention.init(key)._replace(step=jnp.int32(step - 1))


def run(intervention, steps, params=None):
    """Scans over `steps` updates of a constant network; the outputs after each of them."""
    params = network() if params is None else params
    state = intervention.init(KEY)

    def body(carry, _):
        carry = intervention.update(*carry, STATES)
        return carry, (carry[0], carry[2])

    carry = (params, adam_state(params), state)
    return jax.jit(lambda carry: jax.lax.scan(body, carry, length=steps))(carry)[1]


# -- when it acts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [track, functools.partial(redo, tau=EVERY_NEURON)])
def test_without_inputs_a_step_is_counted_and_nothing_else_happens(make):
    intervention = make(period=2)
    params, opt_state, state = network(), adam_state(network()), intervention.init(KEY)
    for step in (1, 2, 3):  # step 2 would be due
        new_params, new_opt_state, new_state = intervention.update(params, opt_state, state)
        assert all(new_params[name] is params[name] for name in params)
        assert new_opt_state is opt_state
        assert new_state.step == step and new_state.step.dtype == jnp.int32
        assert same_bits(new_state._replace(step=state.step), state)
        state = new_state
    *_, state = jax.jit(intervention.update)(params, opt_state, state, STATES)
    assert state.step == state.report.step == 4


def test_tau_may_be_a_schedule_of_the_gradient_step():
    def only_at_step_four(step):
        return jnp.where(step == 4, EVERY_NEURON, 0.0)

    params = network(silent=((), ()))
    _, states = run(redo(only_at_step_four, 2), 5, params)
    assert states.report.step.tolist() == [-1, 2, 2, 4, 4]
    assert states.report.recycled_total.tolist() == [0, 0, 0, 9, 9]
    schedule = optax.linear_schedule(0.0, 4.0, 10)  # 0.8 at the second gradient step
    _, states = run(redo(schedule, 2), 2, params)
    masks = dormant_at(params, 0.8)
    assert 0 < sum(int(mask.sum()) for mask in masks.values()) < 9
    for name, mask in masks.items():
        assert states.report.recycled[name][1] == mask.sum()


# -- what it does ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"outgoing": "fresh", "incoming_scale": "live_norm", "moments": "keep"},
    ],
    ids=str,
)
def test_a_due_step_is_score_mask_recycle_and_reset(options):
    params, opt_state = network(), adam_state(network())
    intervention = redo(0.9, 5)
    if options:
        intervention = dormant.intervene(
            graph(),
            selection=dormant.parts.below_threshold(0.9),
            action=dormant.parts.recycling(graph(), init, ADAM, **options),
            when=dormant.parts.every(5),
        )
    update = jax.jit(intervention.update)
    state = at_step(intervention, 5)
    found_params, found_opt_state, state = update(params, opt_state, state, STATES)

    @jax.jit
    def by_hand(params, opt_state):
        scores = dormant.dormancy_scores(graph().activations(params, STATES))
        masks = dormant.dormant_masks(scores, 0.9)
        fresh = init(jax.random.fold_in(KEY, 5))
        settings = {k: v for k, v in options.items() if k != "moments"}
        return (
            dormant.recycle(graph(), params, fresh, masks, **settings),
            dormant.reset_moments(ADAM, graph(), opt_state, masks),
            masks,
        )

    expected_params, expected_opt_state, masks = by_hand(params, opt_state)
    assert same_bits(found_params, expected_params)
    expected_opt_state = opt_state if "moments" in options else expected_opt_state
    assert same_bits(found_opt_state, expected_opt_state)
    assert {name: int(n) for name, n in state.report.recycled.items()} == {
        name: int(mask.sum()) for name, mask in masks.items()
    }
    assert state.report.recycled_total == sum(int(mask.sum()) for mask in masks.values()) > 0


def test_outputs_do_not_change_at_tau_zero():
    params, apply = network(), jax.jit(mlp)
    recycle = redo(0.0, 1)
    new_params, _, state = jax.jit(recycle.update)(
        params, adam_state(params), recycle.init(KEY), STATES
    )
    assert {name: int(n) for name, n in state.report.recycled.items()} == {"w1": 1, "w2": 1}
    assert np.all(np.asarray(new_params["w1"])[:, 1] != 0)
    assert same_bits(apply(params, STATES), apply(new_params, STATES))


def test_counts_per_entry_restart_with_the_moments():
    optimizer, params = dormant.per_entry_counts(optax.adam(1e-2)), network()
    opt_state = jax.jit(optimizer.update)(params, optimizer.init(params))[1]
    recycle = dormant.redo(graph(), init, optimizer, 0.0, 1)
    _, found, _ = jax.jit(recycle.update)(params, opt_state, recycle.init(KEY), STATES)
    np.testing.assert_array_equal(found.counts[0]["w1"], [[1, 0, 1, 1, 1]] * 3)


@pytest.mark.parametrize("also, recycled", [((), 0), (["w1"], 1)])
def test_layers_with_an_obstacle_are_measured_and_recycled_only_on_request(also, recycled):
    params = init_residual(KEY)
    params["w1"], params["w3"] = (params[name].at[:, 1].set(0.0) for name in ("w1", "w3"))
    assert [layer.name for layer in residual_graph().layers if not layer.recyclable] == ["w1", "w3"]
    intervention = dormant.intervene(
        residual_graph(),
        selection=dormant.parts.below_threshold(0.0),
        action=dormant.parts.recycling(residual_graph(), init_residual, ADAM, also=also),
        when=dormant.parts.every(1),
    )
    new_params, _, state = jax.jit(intervention.update)(
        params, ADAM.init(params), intervention.init(KEY), STATES
    )
    assert state.report.by_layer["w1"][0] == 0.25
    counts = {name: int(n) for name, n in state.report.recycled.items()}
    assert counts == {"w1": recycled, "w2": 0, "w3": 0}
    assert bool((new_params["w1"] != params["w1"]).any()) == bool(also)


def test_recycling_depends_on_the_key_and_the_step_alone():
    recycle = redo(EVERY_NEURON, 3)
    update = jax.jit(recycle.update)
    params, opt_state = network(), adam_state(network())

    def fresh(step, key=KEY):
        return update(params, opt_state, at_step(recycle, step, key), STATES)[0]["w1"]

    assert same_bits(fresh(6), fresh(6))
    assert same_bits(run(recycle, 6)[0]["w1"][-1], fresh(6))  # step 3 has acted before
    assert (fresh(6) != fresh(3)).all()
    assert (fresh(6) != fresh(6, jax.random.key(9))).all()


def test_the_state_keeps_the_key_also_an_old_style_one():
    recycle, params = redo(EVERY_NEURON, 1), network()
    for key in (KEY, jax.random.PRNGKey(0)):
        *_, state = jax.jit(recycle.update)(params, adam_state(params), recycle.init(key), STATES)
        assert same_bits(state.key, key)


# -- tracking only --------------------------------------------------------------------------------


def test_a_tracker_changes_nothing():
    tracker = track(period=2, start=2, end=9, taus=(0.0, 0.5), score_batch=4)
    params, opt_state = network(), adam_state(network())
    new_params, new_opt_state, state = jax.jit(tracker.update)(
        params, opt_state, at_step(tracker, 2), STATES
    )
    assert same_bits(new_params, params) and same_bits(new_opt_state, opt_state)
    assert state.report.step == 2 and state.report.by_layer["w1"][0] == np.float32(0.2)
    assert state.report.recycled_total == 0


def test_a_run_with_a_tracker_is_bit_equal_to_one_without():
    targets = jax.random.normal(jax.random.key(6), (8, 2))
    tracker = track(period=2)

    def train(tracked):
        params = init(jax.random.key(0))

        def body(carry, _):
            params, opt_state, state = carry
            grads = jax.grad(lambda p: jnp.mean((mlp(p, STATES) - targets) ** 2))(params)
            updates, opt_state = ADAM.update(grads, opt_state)
            params = optax.apply_updates(params, updates)
            if tracked:
                params, opt_state, state = tracker.update(params, opt_state, state, STATES)
            return (params, opt_state, state), None

        carry = (params, ADAM.init(params), tracker.init(KEY))
        return jax.jit(lambda carry: jax.lax.scan(body, carry, length=7)[0])(carry)

    with_tracker, without = train(True), train(False)
    assert same_bits(with_tracker[:2], without[:2])
    assert with_tracker[2].report.step == 6


# -- the batch to score on ------------------------------------------------------------------------


def test_score_batch_scores_on_the_first_rows():
    params = network(silent=((), ()))
    params["w1"][:, 1], params["b1"][1] = (1, 0, 0), 0
    states = np.array(STATES)
    states[:, 0] = [-1, -1, -1, 1, 1, 1, 1, 1]  # neuron 1 is silent on the first three rows
    for score_batch, silent in ((3, True), (4, False)):
        recycle = redo(0.0, 1, score_batch=score_batch)
        new_params, _, state = jax.jit(recycle.update)(
            params, adam_state(params), recycle.init(KEY), states
        )
        assert state.dormant["w1"][0, 1] == silent
        assert (new_params["w1"][:, 1] != params["w1"][:, 1]).any() == silent


def test_score_batch_leaves_scalars_and_keys_whole():
    def noisy(params, inputs, scale, key):
        noise = jax.random.normal(key, (3,))
        return mlp(params, scale * inputs["states"] + 1e-3 * noise)

    inputs = ({"states": STATES}, jnp.float32(2.0), KEY)
    noisy_graph = dormant.trace(noisy, network(), *inputs)
    tracker = dormant.track(noisy_graph, period=1, score_batch=2)
    *_, state = jax.jit(tracker.update)(network(), (), tracker.init(KEY), *inputs)
    assert state.report.step == 1


def test_score_batch_leaves_statistics_tables_and_old_keys_whole():
    """Whatever their length: fewer than the batch, as many as its rows, or more."""

    def scaled(params, states, mean, table, key):
        noise = 1e-3 * jax.random.normal(key, (3,))
        return mlp(params, (states - mean) + noise + table[states[:, 0].astype(int)])

    inputs = STATES, jnp.ones(3), jnp.arange(24.0).reshape(8, 3), jax.random.PRNGKey(0)
    scaled_graph = dormant.trace(scaled, network(), *inputs)
    tracker = dormant.track(scaled_graph, period=1, score_batch=4)
    *_, state = jax.jit(tracker.update)(network(), (), tracker.init(KEY), *inputs)
    found = scaled_graph.activations(network(), STATES[:4], *inputs[1:])
    for name, scores in dormant.dormancy_scores(found).items():
        np.testing.assert_array_equal(state.dormant[name][0], scores <= 0.0)
    assert state.report.step == 1


def test_score_batch_larger_than_the_inputs():
    for intervention in (track(score_batch=9), redo(score_batch=9)):
        with pytest.raises(ValueError, match=r"`score_batch` = 9 rows; got shape \(8, 3\)$"):
            intervention.update(network(), (), intervention.init(KEY), STATES)


# -- what they refuse -----------------------------------------------------------------------------

COMMON_ERRORS = [
    ({"period": -5}, "`period`", "-5"),
    ({"period": None}, "`period`", "None"),
    ({"score_batch": 0}, "`score_batch`", "0"),
    ({"score_batch": 64.0}, "`score_batch`", "64.0"),
    ({"taus": ()}, "`taus`", "()"),
    ({"taus": (0.0, -0.1)}, "`taus`", "-0.1"),
    ({"taus": 0.1}, "`taus`", "0.1"),
    ({"taus": ("0.1",)}, "`taus`", "'0.1'"),
    ({"graph": None}, "`graph`", "None"),
]
REDO_ERRORS = [
    ({"tau": -0.1}, "`tau`", "-0.1"),
    ({"tau": None}, "`tau`", "None"),
    ({"score": "activation"}, "`score`", "'activation'"),
    ({"optimizer": "adam"}, "`optimizer`", "'adam'"),
    ({"init": None}, "`init`", "None"),
]


def check_error(factory, arguments, named, ending):
    with pytest.raises(ValueError) as error:
        factory(**arguments)
    assert str(error.value).startswith(f"{named} must"), error.value
    assert str(error.value).endswith(f"got {ending}"), error.value


@pytest.mark.parametrize("options, named, ending", COMMON_ERRORS + REDO_ERRORS, ids=str)
def test_redo_refuses_invalid_options_when_it_is_made(options, named, ending):
    arguments = {"graph": graph(), "init": init, "optimizer": ADAM} | options
    check_error(dormant.redo, arguments, named, ending)


@pytest.mark.parametrize("options, named, ending", COMMON_ERRORS, ids=str)
def test_trackers_refuse_invalid_options_when_they_are_made(options, named, ending):
    check_error(dormant.track, {"graph": graph()} | options, named, ending)


@pytest.mark.parametrize(
    "options, named, ending",
    [
        ({"outgoing": "one"}, "`outgoing`", "'one'"),
        ({"incoming_scale": "norm"}, "`incoming_scale`", "'norm'"),
        ({"moments": True}, "`moments`", "True"),
        ({"flatten_layout": "tile"}, "`flatten_layout`", "'tile'"),
        ({"also": ("w9",)}, "`also`", "'w9'"),
        ({"graph": None}, "`graph`", "None"),
    ],
    ids=str,
)
def test_recycling_refuses_invalid_options_when_it_is_made(options, named, ending):
    arguments = {"graph": graph(), "init": init, "optimizer": ADAM} | options
    check_error(dormant.parts.recycling, arguments, named, ending)


INITIALIZERS = {
    "no key": (lambda: init(KEY), r"^`init` must be a function of one key .*; got <function"),
    "two keys": (lambda one, two: init(one), r"^`init` must be a function of one key .*; got <f"),
    "another width": (
        lambda key: init(key) | {"w1": jnp.ones((3, 6))},
        r"^`init\(key\)` must have the structure and shapes that the graph was traced with",
    ),
    "a layer more": (
        lambda key: init(key) | {"w9": jnp.ones(3)},
        r"^`init\(key\)` must have the structure and shapes that the graph was traced with",
    ),
}


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("make", [dormant.redo, dormant.fixed_budget, dormant.layer_reset])
def test_an_initializer_that_does_not_fit_is_refused_when_they_are_made(make, name):
    wrong, message = INITIALIZERS[name]
    with pytest.raises(ValueError, match=message):
        make(graph(), wrong, ADAM)


@pytest.mark.parametrize(
    "key", [0, None, jnp.zeros(2), jnp.zeros((), jnp.uint32), jax.random.split(KEY, 3)], ids=str
)
def test_what_is_no_key_is_refused(key):
    for intervention in (redo(), track(), dormant.combine(one=redo(), other=track())):
        with pytest.raises(ValueError, match="^`key` must be one key, such as .*; got "):
            intervention.init(key)

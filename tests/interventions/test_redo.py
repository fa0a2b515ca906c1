"""ReDo and the tracker: when they act, what they do then, what they report, what they refuse.
A network of nine hidden neurons, of which chosen ones are silenced by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant

KEY = jax.random.key(3)
STATES = jax.random.normal(jax.random.key(4), (8, 3))
ADAM = optax.adam(1e-2)
EVERY_NEURON = 1e9  # a tau above every score


def init(key):
    one, two, three = jnp.split(jax.random.uniform(key, (43,), minval=-1.0), [15, 35])
    return {
        "w1": one.reshape(3, 5),
        "b1": jnp.zeros(5),
        "w2": two.reshape(5, 4),
        "w3": three.reshape(4, 2),
    }


def mlp(params, states):
    x = jax.nn.relu(states @ params["w1"] + params["b1"])
    return jnp.tanh(x @ params["w2"]) @ params["w3"]


@functools.cache
def graph():
    return dormant.trace(mlp, jax.eval_shape(init, KEY), STATES)


def network(seed=0, silent=((1,), (2,))):
    """Parameters whose first and second hidden layer have the given silent neurons."""
    params = {name: np.array(leaf) for name, leaf in init(jax.random.key(seed)).items()}
    first, second = (list(neurons) for neurons in silent)
    params["w1"][:, first], params["b1"][first] = 0, -1
    params["w2"][:, second] = 0
    return params


def adam_state(params):
    """Adam after one step, so that no moment is zero."""
    ones = jax.tree.map(np.ones_like, params)
    return jax.jit(ADAM.update)(ones, ADAM.init(params))[1]


def same_bits(one, other):
    def bits(leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return leaf.dtype, np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes()

    return jax.tree.map(bits, one) == jax.tree.map(bits, other)


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

WINDOWS = [
    (3, 0, None, [3, 6, 9, 12]),
    (1, 0, 4, [1, 2, 3]),
    (4, 4, 12, [4, 8]),  # start is included, end is not
    (4, 5, 13, [8, 12]),
    (20, 0, None, []),
    (2, 6, 6, []),
]


@pytest.mark.parametrize("period, start, end, expected", WINDOWS)
def test_is_due_for_numbers_and_arrays(period, start, end, expected):
    steps = range(14)
    assert [s for s in steps if dormant.parts.is_due(s, period, start, end)] == expected
    due = dormant.parts.is_due(jnp.arange(14), period, start, end)
    assert np.flatnonzero(due).tolist() == expected
    assert isinstance(dormant.parts.is_due(3, period, start, end), bool)


@pytest.mark.parametrize("period, start, end, expected", WINDOWS[:4])
def test_redo_acts_at_exactly_the_steps_that_are_due(period, start, end, expected):
    redo = dormant.redo(graph(), init, ADAM, EVERY_NEURON, period, start=start, end=end)
    params, states = run(redo, 13)
    assert states.step.tolist() == list(range(1, 14))
    w1 = np.concatenate([network()["w1"][None], params["w1"]])
    changed = [step for step in range(1, 14) if (w1[step] != w1[step - 1]).any()]
    assert changed == expected
    scored = [-1] + states.report.step.tolist()
    assert sorted(set(scored) - {-1}) == expected
    assert [step for step in range(1, 14) if scored[step] != scored[step - 1]] == expected


def test_track_scores_at_exactly_the_steps_that_are_due():
    _, states = run(dormant.track(graph(), period=4, start=5, end=13), 13)
    assert states.report.step.tolist() == [-1] * 7 + [8] * 4 + [12] * 2


@pytest.mark.parametrize("tau", [None, EVERY_NEURON])
def test_without_inputs_a_step_is_counted_and_nothing_else_happens(tau):
    intervention = dormant.redo(graph(), init, ADAM, tau, period=2)
    params, opt_state, state = network(), adam_state(network()), intervention.init(KEY)
    for step in (1, 2, 3):  # step 2 would be due
        new_params, new_opt_state, new_state = intervention.update(params, opt_state, state)
        assert new_params is params and new_opt_state is opt_state
        assert new_state.step == step and new_state.step.dtype == jnp.int32
        assert same_bits(new_state._replace(step=state.step), state)
        state = new_state
    *_, state = jax.jit(intervention.update)(params, opt_state, state, STATES)
    assert state.step == state.report.step == 4


def test_tau_may_be_a_schedule_of_the_gradient_step():
    def only_at_step_four(step):
        return jnp.where(step == 4, EVERY_NEURON, 0.0)

    params = network(silent=((), ()))
    _, states = run(dormant.redo(graph(), init, ADAM, only_at_step_four, 2), 5, params)
    assert states.report.step.tolist() == [-1, 2, 2, 4, 4]
    assert states.report.recycled_total.tolist() == [0, 0, 0, 9, 9]
    schedule = optax.linear_schedule(0.0, 4.0, 10)  # 0.8 at the second gradient step
    _, states = run(dormant.redo(graph(), init, ADAM, schedule, 2), 2, params)
    masks = dormant_at(params, 0.8)
    assert 0 < sum(int(mask.sum()) for mask in masks.values()) < 9
    for name, mask in masks.items():
        assert states.report.recycled[name][1] == mask.sum()


# -- what it does ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tau": 0.9, "max_fraction": 0.4},
        {"tau": 0.9, "outgoing": "fresh", "incoming_scale": "live_norm", "moments": "keep"},
    ],
    ids=str,
)
def test_a_due_step_is_score_mask_recycle_and_reset(options):
    params, opt_state = network(), adam_state(network())
    redo = dormant.redo(graph(), init, ADAM, period=5, **options)
    update = jax.jit(redo.update)
    found_params, found_opt_state, state = update(params, opt_state, at_step(redo, 5), STATES)

    @jax.jit
    def by_hand(params, opt_state):
        scores = dormant.dormancy_scores(graph().activations(params, STATES))
        masks = dormant.dormant_masks(
            scores, options.get("tau", 0.1), max_fraction=options.get("max_fraction")
        )
        fresh = init(jax.random.fold_in(KEY, 5))
        settings = {k: v for k, v in options.items() if k in ("outgoing", "incoming_scale")}
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
    redo = dormant.redo(graph(), init, ADAM, tau=0.0, period=1)
    new_params, _, state = jax.jit(redo.update)(params, adam_state(params), redo.init(KEY), STATES)
    assert {name: int(n) for name, n in state.report.recycled.items()} == {"w1": 1, "w2": 1}
    assert np.all(np.asarray(new_params["w1"])[:, 1] != 0)
    assert same_bits(apply(params, STATES), apply(new_params, STATES))


def test_adam_count_per_entry():
    optimizer, params = dormant.adam(1e-2), network()
    opt_state = jax.jit(optimizer.update)(params, optimizer.init(params))[1]
    redo = dormant.redo(graph(), init, optimizer, 0.0, 1, adam_count="per_entry")
    _, found, _ = jax.jit(redo.update)(params, opt_state, redo.init(KEY), STATES)
    np.testing.assert_array_equal(found[0].count["w1"], [[1, 0, 1, 1, 1]] * 3)


def test_layers_with_an_obstacle_are_measured_and_recycled_only_on_request():
    def residual(params, states):
        x = states @ params["w1"]
        return jax.nn.relu(x + jnp.tanh(x @ params["w2"]) @ params["w3"]) @ params["w4"]

    def residual_init(key):
        shapes = {"w1": (3, 4), "w2": (4, 5), "w3": (5, 4), "w4": (4, 2)}
        return {name: jax.random.normal(key, shape) for name, shape in shapes.items()}

    params = residual_init(KEY)
    params["w1"], params["w3"] = (params[name].at[:, 1].set(0.0) for name in ("w1", "w3"))
    residual_graph = dormant.trace(residual, params, STATES)
    stream = [layer.name for layer in residual_graph.layers if not layer.recyclable]
    assert stream == ["w1", "w3"]
    for also, expected in (((), 0), (["w1"], 1)):
        redo = dormant.redo(residual_graph, residual_init, ADAM, 0.0, 1, also=also)
        new_params, _, state = jax.jit(redo.update)(
            params, ADAM.init(params), redo.init(KEY), STATES
        )
        assert state.report.dormant_fraction["w1"][0] == 0.25
        assert {name: int(n) for name, n in state.report.recycled.items()} == {
            "w1": expected,
            "w2": 0,
            "w3": 0,
        }
        assert bool((new_params["w1"] != params["w1"]).any()) == bool(also)


def test_recycling_depends_on_the_key_and_the_step_alone():
    redo = dormant.redo(graph(), init, ADAM, EVERY_NEURON, period=3)
    update = jax.jit(redo.update)
    params, opt_state = network(), adam_state(network())

    def fresh(step, key=KEY):
        return update(params, opt_state, at_step(redo, step, key), STATES)[0]["w1"]

    assert same_bits(fresh(6), fresh(6))
    assert same_bits(run(redo, 6)[0]["w1"][-1], fresh(6))  # step 3 has acted before
    assert (fresh(6) != fresh(3)).all()
    assert (fresh(6) != fresh(6, jax.random.key(9))).all()


def test_the_state_keeps_the_key_also_an_old_style_one():
    redo, params = dormant.redo(graph(), init, ADAM, EVERY_NEURON, period=1), network()
    for key in (KEY, jax.random.PRNGKey(0)):
        *_, state = jax.jit(redo.update)(params, adam_state(params), redo.init(key), STATES)
        assert same_bits(state.key, key)


# -- what it reports ------------------------------------------------------------------------------


def test_before_the_first_scoring():
    report = dormant.track(graph(), taus=(0.0, 0.5)).init(KEY).report
    assert report.step == -1 and report.recycled_total == 0
    assert report.pooled.tolist() == [0, 0]
    for name in ("w1", "w2"):
        assert report.dormant_fraction[name].tolist() == [0, 0]
        assert np.isnan(report.overlap[name]).all()
        assert report.recycled[name] == 0


@pytest.mark.parametrize("tau", [None, 0.9])
def test_the_report_is_what_the_scores_say(tau):
    taus = (0.0, 0.1, 0.9)
    redo = dormant.redo(graph(), init, ADAM, tau, period=2, taus=taus)
    update = jax.jit(redo.update)
    before, now = network(0, ((1, 3), (0,))), network(1, ((1,), ()))
    state = at_step(redo, 2)
    *_, state = update(before, adam_state(before), state, STATES)
    *_, state = update(now, adam_state(now), state, STATES)
    assert state.report.step == 2  # step 3 scores nothing
    *_, state = update(now, adam_state(now), state, STATES)
    report = state.report
    assert report.step == 4 and report.step.dtype == jnp.int32

    for i, threshold in enumerate(taus):
        previous, current = dormant_at(before, threshold), dormant_at(now, threshold)
        np.testing.assert_allclose(report.pooled[i], dormant.dormant_fraction(current))
        overlap = dormant.overlap_coefficient(current, previous)
        for name, mask in current.items():
            np.testing.assert_allclose(report.dormant_fraction[name][i], mask.mean())
            np.testing.assert_array_equal(report.overlap[name][i], overlap[name])
            np.testing.assert_array_equal(state.dormant[name][i], mask)
    assert report.overlap["w1"][0] == 1 and np.isnan(report.overlap["w2"][0])
    recycled = {} if tau is None else dormant_at(now, tau)
    counts = [int(recycled[name].sum()) if recycled else 0 for name in ("w1", "w2")]
    assert [int(report.recycled[name]) for name in ("w1", "w2")] == counts


def test_recycled_counts_are_of_the_last_scoring_and_the_total_of_all():
    redo = dormant.redo(graph(), init, ADAM, tau=0.0, period=1)
    update, state = jax.jit(redo.update), redo.init(KEY)
    totals = []
    for params in (network(0, ((1, 4), ())), network(1, ((0,), (1, 2, 3))), network(2, ((), ()))):
        *_, state = update(params, adam_state(params), state, STATES)
        totals.append(int(state.report.recycled_total))
    assert totals == [2, 6, 6]
    assert [int(n) for n in state.report.recycled.values()] == [0, 0]
    assert state.report.recycled_total.dtype == jnp.int32


# -- tracking only --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [dormant.track, functools.partial(dormant.redo, init=init, optimizer=ADAM, tau=None)]
)
def test_a_tracker_changes_nothing(make):
    tracker = make(graph(), period=2, start=2, end=9, taus=(0.0, 0.5), score_batch=4)
    params, opt_state = network(), adam_state(network())
    new_params, new_opt_state, state = jax.jit(tracker.update)(
        params, opt_state, at_step(tracker, 2), STATES
    )
    assert same_bits(new_params, params) and same_bits(new_opt_state, opt_state)
    assert state.report.step == 2 and state.report.dormant_fraction["w1"][0] == np.float32(0.2)
    assert state.report.recycled_total == 0


def test_a_run_with_a_tracker_is_bit_equal_to_one_without():
    targets = jax.random.normal(jax.random.key(6), (8, 2))
    tracker = dormant.track(graph(), period=2)

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
        redo = dormant.redo(graph(), init, ADAM, 0.0, 1, score_batch=score_batch)
        new_params, _, state = jax.jit(redo.update)(
            params, adam_state(params), redo.init(KEY), states
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


def test_score_batch_larger_than_the_inputs():
    for intervention in (
        dormant.track(graph(), score_batch=9),
        dormant.redo(graph(), init, ADAM, score_batch=9),
    ):
        with pytest.raises(ValueError, match=r"`score_batch` = 9 rows; got shape \(8, 3\)$"):
            intervention.update(network(), (), intervention.init(KEY), STATES)

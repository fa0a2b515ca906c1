# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The update skeleton: order of an update, counting, buffers, compilation, options.
A quadratic loss on one small array lets every number be worked out by hand."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant.learners import (
    Gradients,
    Interventions,
    gradient_learner,
    periodic_target,
    step_learner,
)
from tests.learners.comparing import close
from tests.learners.quadratic_learner import (
    INPUTS,
    KEY,
    LEARNING_RATE,
    add_observation,
    build,
    init_params,
    quadratic,
    recorder,
)


def buffers(state):
    return [array.unsafe_buffer_pointer() for array in jax.tree.leaves(state)]


def test_initial_state():
    state = build(tracker=recorder(0), intervention=recorder(0)).init(KEY)
    assert state.gradient_step.dtype == jnp.int32 and state.gradient_step == 0
    np.testing.assert_array_equal(state.params["w"], state.target_params["w"])
    assert state.tracker.calls == 0 and state.intervention.calls == 0
    assert build().init(KEY).tracker == () and build().init(KEY).intervention == ()


def test_update_is_gradient_then_optimizer_then_tracker_then_intervention_then_target():
    learner = build(
        tracker=recorder(0.0), intervention=recorder(100.0), target_rule=periodic_target(1)
    )
    state = learner.init(KEY)
    batch = jnp.array([1.0, 2.0, 3.0])
    new, metrics = jax.jit(learner.update)(state, batch, (INPUTS,))

    before = np.asarray(state.params["w"])
    gradient = before - np.asarray(batch)
    stepped = before - LEARNING_RATE * gradient
    np.testing.assert_allclose(new.tracker.seen, stepped, rtol=1e-6)
    np.testing.assert_allclose(new.intervention.seen, stepped, rtol=1e-6)
    # Of the loss at the parameters that are scored, with the same batch.
    np.testing.assert_allclose(new.tracker.gradient, stepped - np.asarray(batch), rtol=1e-6)
    np.testing.assert_allclose(new.params["w"], stepped + 100, rtol=1e-6)
    np.testing.assert_array_equal(new.target_params["w"], new.params["w"])
    assert new.gradient_step == 1
    np.testing.assert_allclose(metrics["loss"], 0.5 * np.sum(gradient**2), rtol=1e-6)
    np.testing.assert_allclose(metrics["w_mean"], before.mean(), rtol=1e-5)
    assert all(value.dtype == jnp.float32 and value.shape == () for value in metrics.values())


def test_intervention_sees_what_the_tracker_hands_on():
    learner = build(tracker=recorder(7.0), intervention=recorder(0.0))
    state, _ = learner.update(learner.init(KEY), jnp.zeros(3))
    np.testing.assert_allclose(state.intervention.seen, state.tracker.seen + 7, rtol=1e-6)


def test_without_score_inputs_both_only_count():
    learner = build(tracker=recorder(0), intervention=recorder(0))
    update = jax.jit(learner.update)
    state = learner.init(KEY)
    for step in range(6):
        state, _ = update(state, jnp.zeros(3), (INPUTS, INPUTS) if step % 3 == 2 else None)
        expected = 2 * INPUTS.sum() if step % 3 == 2 else 0
        assert state.tracker.inputs_sum == expected == state.intervention.inputs_sum
    assert state.gradient_step == state.tracker.calls == state.intervention.calls == 6
    assert state.tracker.scored == state.intervention.scored == 2


def test_parameters_of_a_seed_do_not_depend_on_tracker_or_intervention():
    plain = build().init(KEY).params["w"]
    np.testing.assert_array_equal(plain, build(tracker=recorder(0)).init(KEY).params["w"])
    both = build(tracker=recorder(0), intervention=recorder(0))
    np.testing.assert_array_equal(plain, both.init(KEY).params["w"])


@pytest.mark.parametrize("jitted", [False, True])
def test_no_two_arrays_of_a_state_share_a_buffer(jitted):
    own = {"w": jnp.ones(3)}
    learner = build(init=lambda key: own, optimizer=optax.adam(0.1), intervention=recorder(0.0))
    init = jax.jit(learner.init) if jitted else learner.init
    sync_target = jax.jit(learner.sync_target) if jitted else learner.sync_target
    first = init(KEY)
    for state in (first, sync_target(first)):
        pointers = [*buffers(state), own["w"].unsafe_buffer_pointer()]
        assert len(set(pointers)) == len(pointers)


@pytest.mark.parametrize("target_rule", [periodic_target(1), periodic_target(2)])
def test_donated_states(target_rule):
    own = {"w": jnp.ones(3)}
    learner = build(init=lambda key: own, tracker=recorder(0.0), target_rule=target_rule)
    update = jax.jit(learner.update, donate_argnums=0)
    sync_target = jax.jit(learner.sync_target, donate_argnums=0)
    reference = state = learner.init(KEY)
    for step in range(6):
        donated = state if step else learner.init(KEY)
        state, _ = update(donated, jnp.full(3, 0.5))
        reference, _ = learner.update(reference, jnp.full(3, 0.5))
        assert donated.params["w"].is_deleted()
        if step % 2:
            state, reference = sync_target(state), learner.sync_target(reference)
    close(state, reference)
    assert not own["w"].is_deleted()


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adam(0.1),
        optax.adamw(optax.linear_schedule(0.1, 0.0, 10)),
        optax.chain(optax.clip_by_global_norm(1.0), optax.rmsprop(0.1, momentum=0.9)),
        optax.inject_hyperparams(optax.adam)(learning_rate=0.1),
        optax.MultiSteps(optax.adam(0.1), every_k_schedule=2),
    ],
    ids=["adam", "adamw_schedule", "clip_rmsprop", "inject_hyperparams", "multi_steps"],
)
def test_second_call_compiles_nothing_and_scan_equals_loop(optimizer):
    learner = build(optimizer=optimizer, intervention=recorder(0.0), target_rule=periodic_target(2))
    update = jax.jit(learner.update)
    batches = jnp.linspace(0, 1, 15).reshape(5, 3)
    state = learner.init(KEY)
    for batch in batches:
        state, _ = update(state, batch, (INPUTS,))
    assert update._cache_size() == 1
    update(state, batches[0])
    update(state, batches[1])
    assert update._cache_size() == 2

    def step(state, batch):
        return learner.update(state, batch, (INPUTS,))

    scanned, metrics = jax.lax.scan(step, learner.init(KEY), batches)
    assert metrics["loss"].shape == (5,)
    close(scanned, state)


def test_weak_types_and_python_numbers_compile_once():
    learner = build(init=lambda key: {"w": jnp.asarray(1.0), "scale": 2.0})
    update = jax.jit(learner.update)
    state = learner.init(KEY)
    for _ in range(2):
        state, _ = update(state, jnp.float32(0.5))
    assert update._cache_size() == 1


def test_act_hands_everything_to_the_policy():
    learner = build()
    state = learner.init(KEY)
    action = learner.act(state, jnp.float32(2.0), KEY, 0.5)
    np.testing.assert_allclose(action, state.params["w"][0] + 2.5, rtol=1e-6)


def test_evaluation_acts_by_its_own_policy_or_else_by_the_same():
    observation = jnp.float32(2.0)
    for evaluation_policy, extra in ((None, 2.5), (lambda params, *rest: params["w"][0], 0.0)):
        learner = build(evaluation_policy=evaluation_policy)
        state = learner.init(KEY)
        action = learner.act_in_evaluation(state, observation, KEY, 0.5)
        np.testing.assert_allclose(action, state.params["w"][0] + extra, rtol=1e-6)


def test_the_key_of_an_update_is_the_states_folded_with_the_gradient_step():
    def loss(params, target_params, batch, key):
        return jnp.sum(params["w"] * batch), {"drawn": jax.random.uniform(key)}

    learner = build(loss=loss)
    state = learner.init(KEY)
    expected_key = jax.random.fold_in(KEY, 3)
    assert jnp.array_equal(jax.random.key_data(state.key), jax.random.key_data(expected_key))
    update = jax.jit(learner.update)
    for step in range(1, 4):
        state, metrics = update(state, jnp.ones(3))
        expected = jax.random.uniform(jax.random.fold_in(expected_key, step))
        np.testing.assert_allclose(metrics["drawn"], expected)
    assert jnp.array_equal(jax.random.key_data(state.key), jax.random.key_data(expected_key))


@pytest.mark.parametrize("gives_gradient", [True, False])
def test_a_whole_step_of_another_library(gives_gradient):
    """What `step_learner` wraps: a compiled function that steps the optimizer itself."""
    optimizer = optax.adam(LEARNING_RATE)

    def gradient_of(params, target_params, batch, key):
        return jax.grad(quadratic, has_aux=True)(params, target_params, batch, key)[0]

    @jax.jit
    def train(w, opt_state, batch):
        value, _ = quadratic(w, None, batch, None)
        updates, opt_state = optimizer.update(gradient_of(w, None, batch, None), opt_state, w)
        return optax.apply_updates(w, updates), opt_state, value

    def step(params, target_params, opt_state, batch, key):
        params, opt_state, value = train(params, opt_state, batch)
        return params, opt_state, {"loss": value}

    tracker, target_rule = recorder(0.0), periodic_target(2)
    wrapped = step_learner(
        init_params,
        optimizer,
        step=step,
        gradients=Gradients(gradient_of) if gives_gradient else None,
        policy=add_observation,
        target_rule=target_rule,
        interventions=Interventions(tracker),
    )
    learner = build(optimizer=optimizer, tracker=tracker, target_rule=target_rule)
    states = [learner.init(KEY), wrapped.init(KEY)]
    update_wrapped = jax.jit(wrapped.update, donate_argnums=0)
    for _ in range(3):
        states[0], ours = learner.update(states[0], jnp.ones(3), (INPUTS,))
        states[1], theirs = update_wrapped(states[1], jnp.ones(3), (INPUTS,))
        np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-6)
    gradient = states[1].tracker.gradient
    assert np.isnan(gradient).all() != gives_gradient
    tracker = states[0].tracker._replace(gradient=gradient)
    close(states[0]._replace(tracker=tracker), states[1])


def test_an_update_is_a_step_and_what_follows_it():
    learner = build(
        tracker=recorder(0.0), intervention=recorder(100.0), target_rule=periodic_target(2)
    )
    whole = halves = learner.init(KEY)
    for inputs in (None, (INPUTS,), None):
        batch = jnp.array([1.0, 2.0, 3.0])
        whole, metrics = learner.update(whole, batch, inputs)
        halves, of_step = learner.step(halves, batch)
        assert halves.gradient_step == whole.gradient_step - 1
        # Without inputs nothing reads the batch.
        halves = learner.after_step(halves, None if inputs is None else batch, inputs)
        close(metrics, of_step)
    assert whole.tracker.calls == 3 and whole.tracker.scored == 1
    close(whole, halves)


def test_weighted_samples_and_per_sample_metrics():
    """What prioritized replay needs: weights in the batch, one number per sample out."""

    class WeightedBatch(NamedTuple):
        value: jax.Array
        weight: jax.Array

    def loss(params, target_params, batch, key):
        per_sample = (params["w"][0] - batch.value) ** 2
        return jnp.mean(batch.weight * per_sample), {"sample_loss": per_sample}

    learner = build(loss=loss)
    state = learner.init(KEY)
    batch = WeightedBatch(jnp.arange(4.0), jnp.array([1.0, 0.0, 0.0, 0.0]))
    new, metrics = jax.jit(learner.update)(state, batch)
    w = float(state.params["w"][0])
    np.testing.assert_allclose(metrics["sample_loss"], (w - np.arange(4)) ** 2, rtol=1e-5)
    np.testing.assert_allclose(new.params["w"][0], w - LEARNING_RATE * 0.5 * w, rtol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"init": None}, r"`init` must be a function; got None$"),
        ({"loss": "huber"}, r"`loss` must be a function; got 'huber'$"),
        ({"policy": 1}, r"`policy` must be a function; got 1$"),
        ({"evaluation_policy": 1}, r"`evaluation_policy` must be a function; got 1$"),
        ({"target_intervention": 1}, r"`target_intervention` must be a function; got 1$"),
        (
            {"target_intervention": quadratic},
            r"`target_intervention` must be None where there is no `intervention`; got <function",
        ),
        ({"target_rule": 4}, r"`target_rule` must be a function; got 4$"),
        ({"optimizer": "adam"}, r"`optimizer` must be a pair \(init, update\); got 'adam'$"),
        ({"tracker": 3}, r"`tracker` must be None or a pair \(init, update\); got 3$"),
        ({"intervention": recorder}, r"`intervention` must be None or a pair .* got <function"),
    ],
)
def test_option_errors(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_step_must_be_a_function():
    with pytest.raises(ValueError, match=r"`step` must be a function; got None$"):
        step_learner(init_params, optax.sgd(0.1), step=None, policy=add_observation)


def test_interventions_must_be_bundled():
    with pytest.raises(
        ValueError, match=r"^`interventions` must be learners\.Interventions\(...\)"
    ):
        gradient_learner(
            init_params, optax.sgd(0.1), loss=quadratic, policy=add_observation,
            interventions=recorder(0),
        )  # fmt: skip


def test_score_inputs_must_be_a_tuple():
    learner = build(tracker=recorder(0))
    with pytest.raises(ValueError, match=r"`score_inputs` must be None or the tuple .* got \w+$"):
        learner.update(learner.init(KEY), jnp.zeros(3), INPUTS)


def test_the_tracked_gradient_is_of_the_steps_batch_key_and_target():
    def loss(params, target_params, batch, key):
        noise = jax.random.normal(key, (3,))
        return jnp.sum(params["w"] ** 2 * (noise + target_params["w"] * batch)), {}

    learner = build(loss=loss, tracker=recorder(0.0), target_rule=periodic_target(1))
    state = learner.init(KEY)
    for seed in range(2):
        batch = jnp.arange(3.0) + seed
        before = state
        state, _ = learner.update(state, batch, (INPUTS,))
        noise = jax.random.normal(jax.random.fold_in(before.key, seed + 1), (3,))
        expected = 2 * state.params["w"] * (noise + before.target_params["w"] * batch)
        np.testing.assert_allclose(state.tracker.gradient, expected, rtol=1e-5)


def test_the_gradient_is_computed_only_where_the_tracker_is_due():
    def apply(params, states):
        return jax.nn.relu(states @ params["w1"]) @ params["w2"]

    def init(key):
        keys = jax.random.split(key)
        return {"w1": jax.random.normal(keys[0], (4, 256)),
                "w2": jax.random.normal(keys[1], (256, 2))}  # fmt: skip

    computed = []

    def loss(params, target_params, batch, key):
        value = jnp.mean(apply(params, batch) ** 2)
        jax.debug.callback(lambda: computed.append(1))
        return value, {}

    states = jax.random.normal(KEY, (8, 4))
    graph = dormant.trace(apply, jax.eval_shape(init, KEY), states)
    learner = gradient_learner(
        init, optax.sgd(0.1), loss=loss, policy=add_observation,
        interventions=Interventions(dormant.track(graph, period=3)),
    )  # fmt: skip
    state, update = learner.init(KEY), jax.jit(learner.update)
    counts = []
    for _ in range(3):
        computed.clear()
        state, _ = update(state, states, (states,))
        jax.effects_barrier()
        counts.append(len(computed))
    assert counts == [1, 1, 2]


def test_an_intervention_that_needs_what_the_learner_has_not_is_refused_at_once():
    needy = recorder(0.0)._replace(needs=("pre_activation_gradients",))
    with pytest.raises(ValueError, match="`intervention`.*needs 'pre_activation_gradients'"):
        build(intervention=needy)
    build(intervention=needy._replace(needs=("gradient",)))

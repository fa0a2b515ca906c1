# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The Rainbow learner on tiny networks: targets and losses by hand, weights, noise, augmentation.
Equality with Dopamine's updates is tested in tests/agents/test_rainbow_parity.py."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dormant.learners import RainbowOptions, WeightedBatch, dqn, project_distribution, rainbow
from tests.learners.comparing import bundled, close, identical
from tests.learners.small_networks import (
    ACTIONS,
    ATOMS,
    BATCH,
    FEATURES,
    OBSERVATION,
    SUPPORT,
    NoisyMLP,
    discrete_batches,
    weighted_batches,
)

DISCOUNT = 0.9
KEY = jax.random.key(0)


def linear_q(params, observation, key):
    del key
    return observation @ params


def init_linear_q(key):
    return jax.random.normal(key, (FEATURES, ACTIONS))


def linear_logits(params, observation, key):
    del key
    return jnp.einsum("f,fan->an", observation, params)


def init_linear_logits(key):
    return jax.random.normal(key, (FEATURES, ACTIONS, ATOMS))


def init_noisy(key):
    return NoisyMLP().init(key, OBSERVATION, key)


def make(**options):
    arguments = {
        "apply": linear_logits,
        "init": init_linear_logits,
        "optimizer": optax.sgd(0.1),
        "discount": DISCOUNT,
        "support": SUPPORT,
    }
    return rainbow(**bundled("options", RainbowOptions, arguments | options))


def make_q(**options):
    return make(**({"apply": linear_q, "init": init_linear_q, "support": None} | options))


def with_other_target(state, init):
    return state._replace(target_params=init(jax.random.key(1)))


def softmax(logits):
    exponential = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponential / exponential.sum(axis=-1, keepdims=True)


def projected(values, probabilities):
    """Bellemare et al. (2017), algorithm 1: an atom's mass goes to its two neighbors."""
    result, spacing = np.zeros(ATOMS), SUPPORT[1] - SUPPORT[0]
    for value, probability in zip(values, probabilities, strict=True):
        position = (np.clip(value, SUPPORT[0], SUPPORT[-1]) - SUPPORT[0]) / spacing
        below, above = int(np.floor(position)), int(np.ceil(position))
        if below == above:
            result[below] += probability
        else:
            result[below] += probability * (above - position)
            result[above] += probability * (position - below)
    return result


def test_projection_by_algorithm_1():
    rng = np.random.default_rng(0)
    for scale in (0.1, 1, 5):
        values = rng.normal(scale=scale, size=7).astype(np.float32)
        probabilities = rng.dirichlet(np.ones(7)).astype(np.float32)
        found = project_distribution(values, probabilities, jnp.asarray(SUPPORT))
        close(found, projected(values, probabilities))
        np.testing.assert_allclose(found.sum(), 1, rtol=1e-5)


@pytest.mark.parametrize("double", [False, True])
def test_distributional_losses_by_hand(double):
    learner, batch = make(double=double), weighted_batches()
    state = with_other_target(learner.init(KEY), init_linear_logits)
    _, metrics = jax.jit(learner.update)(state, batch)
    online, target = (np.asarray(p, np.float64) for p in (state.params, state.target_params))
    losses, chosen_q, choices = [], [], []
    for s, a, r, s2, done, _ in zip(*batch, strict=True):
        next_probabilities = softmax(np.einsum("f,fan->an", s2, target))
        chooser = softmax(np.einsum("f,fan->an", s2, online if double else target))
        best = np.argmax(chooser @ SUPPORT)
        labels = projected(r + DISCOUNT * (1 - done) * SUPPORT, next_probabilities[best])
        probabilities = softmax(np.einsum("f,fan->an", s, online))[a]
        losses.append(-np.sum(labels * np.log(probabilities)))
        chosen_q.append(probabilities @ SUPPORT)
        choices.append(best != np.argmax(next_probabilities @ SUPPORT))
    assert any(choices) == double
    close(metrics["sample_loss"], np.array(losses), rtol=1e-4)
    close(metrics["loss"], np.mean(batch.weight * losses), rtol=1e-4)
    close(metrics["q_mean"], np.mean(chosen_q), rtol=1e-4)


@pytest.mark.parametrize("loss", ["huber", "mse"])
@pytest.mark.parametrize("double", [False, True])
def test_losses_of_q_values_by_hand(double, loss):
    learner, batch = make_q(double=double, loss=loss), weighted_batches()
    state = with_other_target(learner.init(KEY), init_linear_q)
    _, metrics = jax.jit(learner.update)(state, batch)
    online, target = (np.asarray(p, np.float64) for p in (state.params, state.target_params))
    losses = []
    for s, a, r, s2, done, _ in zip(*batch, strict=True):
        best = np.argmax(s2 @ (online if double else target))
        error = abs((s @ online)[a] - r - DISCOUNT * (1 - done) * (s2 @ target)[best])
        losses.append(error**2 if loss == "mse" else min(error, 1) * (error - min(error, 1) / 2))
    close(metrics["sample_loss"], np.array(losses), rtol=1e-4)
    close(metrics["loss"], np.mean(batch.weight * losses), rtol=1e-4)


@pytest.mark.parametrize("loss", ["huber", "mse"])
def test_with_weights_of_one_and_no_option_on_it_is_dqn(loss):
    plain = dqn(
        lambda params, observation: observation @ params,
        init_linear_q, optax.adam(0.1), discount=DISCOUNT, loss=loss, target_period=2,
    )  # fmt: skip
    learner = make_q(optimizer=optax.adam(0.1), loss=loss, target_period=2)
    states = [plain.init(KEY), learner.init(KEY)]
    for step in range(3):
        batch = discrete_batches(seed=step)
        states[0], expected = jax.jit(plain.update)(states[0], batch)
        ones = np.ones(BATCH, np.float32)
        states[1], found = jax.jit(learner.update)(states[1], WeightedBatch(*batch, ones))
        close({name: found[name] for name in expected}, expected)
    close(*states)


def test_weights_scale_each_transitions_gradient():
    learner, batch = make(), weighted_batches()
    state = learner.init(KEY)
    update = jax.jit(learner.update)

    def step(weight):
        new, metrics = update(state, batch._replace(weight=weight.astype(np.float32)))
        return np.asarray(new.params - state.params), metrics["sample_loss"]

    each = [step(row)[0] for row in np.eye(BATCH)]
    together, losses = step(batch.weight)
    close(together, sum(w * change for w, change in zip(batch.weight, each, strict=True)), 1e-4)
    identical(losses, step(np.zeros(BATCH))[1])
    assert not step(np.zeros(BATCH))[0].any() and together.any()


def test_every_update_has_its_own_noise_which_batch_rows_share():
    learner = make(apply=NoisyMLP().apply, init=init_noisy, optimizer=optax.sgd(0.0))
    update = jax.jit(learner.update)
    batch = weighted_batches()
    # All rows alike: with one noise for the batch their losses are alike, too.
    alike = WeightedBatch(*(np.repeat(x[:1], BATCH, axis=0) for x in batch))
    first, metrics = update(learner.init(KEY), alike)
    _, later = update(first, alike)
    assert np.ptp(metrics["sample_loss"]) < 1e-6
    assert abs(metrics["loss"] - later["loss"]) > 1e-4
    identical(update(learner.init(KEY), alike)[1], metrics)


def test_noise_explores_and_is_off_in_evaluation():
    learner = make(
        apply=NoisyMLP().apply, init=init_noisy, evaluation_apply=NoisyMLP(noisy=False).apply
    )
    state, keys = learner.init(KEY), jax.random.split(KEY, 200)
    observation = discrete_batches().state[0]
    acting, evaluating = (
        jax.jit(jax.vmap(act, in_axes=(None, None, 0, None)))(state, observation, keys, 0.0)
        for act in (learner.act, learner.act_in_evaluation)
    )
    assert len(np.unique(acting)) > 1 and acting.dtype == jnp.int32
    logits = NoisyMLP(noisy=False).apply(state.params, observation, KEY)
    best = np.argmax(softmax(np.asarray(logits)) @ SUPPORT)
    np.testing.assert_array_equal(evaluating, best)
    random = jax.vmap(learner.act_in_evaluation, in_axes=(None, None, 0, None))
    assert len(np.unique(random(state, observation, keys, 1.0))) == ACTIONS


def test_augmentation_of_both_states_as_float32_with_two_keys():
    seen = []

    def augment(states, key):
        seen.append(states.dtype)
        return states + jax.random.normal(key, states.shape)

    batch = weighted_batches()
    batch = batch._replace(
        state=(100 * batch.state).astype(np.int8), next_state=(100 * batch.next_state).astype(int)
    )
    learner, plain = make_q(augment=augment), make_q()
    state = learner.init(KEY)
    new, metrics = jax.jit(learner.update)(state, batch)
    _, state_key, next_key = jax.random.split(jax.random.fold_in(state.key, 1), 3)
    by_hand = batch._replace(
        state=batch.state + jax.random.normal(state_key, batch.state.shape),
        next_state=batch.next_state + jax.random.normal(next_key, batch.next_state.shape),
    )
    expected, expected_metrics = jax.jit(plain.update)(plain.init(KEY), by_hand)
    close((new.params, metrics), (expected.params, expected_metrics), rtol=1e-4)
    assert set(seen) == {jnp.dtype(jnp.float32)}


def test_an_action_out_of_range_gives_nan_instead_of_another_actions_value():
    batch = weighted_batches()
    batch.action[3], batch.action[0] = ACTIONS, -1
    _, metrics = make().update(make().init(KEY), batch)
    outside = np.isin(np.arange(BATCH), [0, 3])
    np.testing.assert_array_equal(np.isnan(metrics["sample_loss"]), outside)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"discount": 2}, r"`discount` must be a number in \[0, 1\]; got 2$"),
        ({"loss": "mae"}, r"`loss` must be one of 'huber', 'mse'; got 'mae'$"),
        ({"double": 1}, r"`double` must be True or False; got 1$"),
        ({"support": [1.0]}, r"`support` must be None or at least 2 .* got \[1\.0\]$"),
        ({"support": [1.0, 0.0]}, r"`support` must be .* got \[1\.0, 0\.0\]$"),
        ({"support": [0.0, 1.0, 3.0]}, r"`support` must be .* equally spaced"),
        ({"support": [0.0, float("inf")]}, r"`support` must be .* got \[0\.0, inf\]$"),
        ({"support": 10.0}, r"`support` must be .* got 10\.0$"),
        ({"apply": 0}, r"`apply` must be a function \(params, observation, key\); got 0$"),
        ({"evaluation_apply": 0}, r"`evaluation_apply` must be a function .* got 0$"),
        ({"augment": "drq"}, r"`augment` must be a function \(states, key\); got 'drq'$"),
        ({"target_period": 0}, r"`target_period` must be None or .* got 0$"),
    ],
)
def test_option_errors(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_options_must_be_bundled():
    with pytest.raises(ValueError, match=r"`options` must be RainbowOptions\(\.\.\.\); got {}$"):
        rainbow(linear_q, init_linear_q, optax.sgd(0.1), discount=DISCOUNT, options={})


@pytest.mark.parametrize("field, shape", [("weight", (BATCH, 1)), ("reward", ()), ("weight", (3,))])
def test_batches_of_a_wrong_shape(field, shape):
    learner = make()
    batch = weighted_batches()._replace(**{field: np.ones(shape, np.float32)})
    with pytest.raises(ValueError, match=r"`batch` must have .* weight of shape \(B,\).* got \{"):
        learner.update(learner.init(KEY), batch)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"apply": linear_q, "init": init_linear_q}, rf"shape \(A, {ATOMS}\); got \(3,\)"),
        ({"support": None}, rf"q_values of shape \(A,\); got \(3, {ATOMS}\)"),
        ({"support": [0.0, 1.0]}, rf"logits of shape \(A, 2\); got \(3, {ATOMS}\)"),
    ],
)
def test_networks_of_another_kind(options, message):
    learner = make(**options)
    state = learner.init(KEY)
    with pytest.raises(ValueError, match=message):
        learner.update(state, weighted_batches())
    with pytest.raises(ValueError, match=message):
        learner.act(state, OBSERVATION, KEY, 0.0)

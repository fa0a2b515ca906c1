# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Scores with a past, and continual backprop and SNR that are made of them, against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dormant
from dormant import parts

KEY = jax.random.key(0)
STATES = jax.random.normal(jax.random.key(1), (8, 3))
ADAM = optax.adam(1e-2)


def mlp(params, states):
    return jax.nn.relu(states @ params["w1"] + params["b1"]) @ params["w2"]


@jax.jit
def init(key):
    one, two = jax.random.split(key)
    w1, w2 = jax.random.normal(one, (3, 4)), jax.random.normal(two, (4, 2))
    return {"w1": w1, "b1": jnp.zeros(4), "w2": w2}


PARAMS = init(KEY)
GRAPH = dormant.trace(mlp, PARAMS, STATES)


def scored(score, sequence):
    """The scores of layer w1 after each of a sequence of (params, activations)."""
    measure = jax.jit(score.measure, static_argnums=0)
    state, found = score.init(GRAPH), []
    for params, activations in sequence:
        scores, state = measure(GRAPH, parts.ScoreInputs(params, {"w1": activations}), state)
        found.append(np.asarray(scores["w1"]))
    return found, state


def constant(values):
    return lambda graph, params, activations: {"w1": activations["w1"][0] * values}


def test_a_running_average_is_corrected_for_its_beginning():
    series = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    score = parts.running_average(constant(1.0), 0.9)
    found, state = scored(score, [(PARAMS, row[None]) for row in series])
    average = np.zeros(4)
    for step, row in enumerate(np.asarray(series, np.float64), 1):
        average = 0.9 * average + 0.1 * row
        np.testing.assert_allclose(found[step - 1], average / (1 - 0.9**step), rtol=1e-5)
    # A neuron that was acted on begins anew, the others go on.
    state = score.reset(state, {"w1": jnp.asarray([True, False, False, False])})
    inputs = parts.ScoreInputs(PARAMS, {"w1": jnp.full((1, 4), 2.0)})
    scores, _ = score.measure(GRAPH, inputs, state)
    expected = (0.9 * average + 0.2) / (1 - 0.9**7)
    expected[0] = 2.0
    np.testing.assert_allclose(scores["w1"], expected, rtol=1e-5)


def test_a_decay_that_is_one_in_float32_is_corrected_for():
    found, _ = scored(
        parts.running_average(constant(1.0), 1 - 1e-9), [(PARAMS, jnp.full((1, 4), 3.0))] * 2
    )
    np.testing.assert_allclose(found, 3.0, rtol=1e-5)


def test_an_unknown_score_is_unknown_once_and_leaves_the_average():
    rows = [np.full((1, 4), value, np.float32) for value in (1.0, np.nan, 3.0)]
    found, _ = scored(parts.running_average(constant(1.0), 0.5), [(PARAMS, row) for row in rows])
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[2], (0.5 * 0.5 * 1 + 0.5 * 3) / (1 - 0.25))


def test_contribution_is_activation_times_outgoing_weights():
    activations = {"w1": jnp.abs(STATES @ PARAMS["w1"])}
    found = parts.contribution_score(GRAPH, PARAMS, activations)["w1"]
    mean = np.asarray(activations["w1"], np.float64).mean(0)
    expected = mean * np.abs(np.asarray(PARAMS["w2"], np.float64)).sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def slow_inter_firing(batches, maximum_age):
    """The definition, batch by batch and gap by gap, with bins a quarter of an octave wide."""

    def bin_of(length):
        return int(np.floor(4 * np.log2(np.float32(max(length, 1)))))

    neurons = batches[0].shape[1]
    age, gaps, found = [0] * neurons, [[] for _ in range(neurons)], []
    for batch in batches:
        scores = []
        for neuron, values in enumerate(batch.T):
            length = age[neuron] + len(values)
            if (values > 0).any():
                gaps[neuron].append(length)
                age[neuron] = 0
                scores.append(1.0)
                continue
            age[neuron] = length
            longer = [bin_of(gap) >= bin_of(length + len(values)) for gap in gaps[neuron]]
            share = (1 + sum(longer)) / (1 + len(longer))
            scores.append(0.0 if length >= maximum_age else share)
        found.append(scores)
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.02, 0.9))
def test_inter_firing_score_is_that_of_its_definition(seed, rate):
    random = np.random.default_rng(seed)
    batches = [(random.random((5, 4)) < rate).astype(np.float32) for _ in range(8)]
    found, _ = scored(parts.inter_firing_score(30), [(PARAMS, batch) for batch in batches])
    np.testing.assert_allclose(found, slow_inter_firing(batches, 30), rtol=1e-5)


def test_a_convolution_fires_anywhere_in_space():
    activation = jnp.zeros((3, 2, 2, 4)).at[1, 0, 1, 2].set(1.0)
    _, state = scored(parts.inter_firing_score(), [(PARAMS, activation)])
    assert state.age["w1"].tolist() == [3, 3, 0, 3]


def test_a_neuron_that_fires_on_some_of_every_batch_is_usual_and_one_that_has_died_is_not():
    random = np.random.default_rng(0)
    # Of 64 samples at least one; the last neuron dies after 200 batches.
    fires = random.random((300, 64, 4)) < np.asarray([0.2, 0.5, 0.9, 0.5])
    fires[200:, :, 3] = False
    batches = [(PARAMS, jnp.asarray(batch, jnp.float32)) for batch in fires]
    found, _ = scored(parts.inter_firing_score(), batches)
    found = np.asarray(found)
    assert (found[:, :3] == 1).all() and (found[:200, 3] == 1).all()
    assert (found[200:, 3] <= 0.01).all()


def test_few_gaps_reject_nothing():
    # Two batches with a firing, then silence: no more than 1 / (1 + 2) is known.
    batches = [(PARAMS, jnp.full((8, 4), value)) for value in (1.0, 1.0, *[0.0] * 20)]
    found, _ = scored(parts.inter_firing_score(), batches)
    np.testing.assert_allclose(np.asarray(found)[2:], 1 / 3, rtol=1e-6)


def test_what_a_reset_ended_counts_as_a_gap():
    score = parts.inter_firing_score()
    batches = [(PARAMS, jnp.full((8, 4), value)) for value in (1.0, 0.0, 0.0)]
    _, state = scored(score, batches)
    after = score.reset(state, {"w1": jnp.asarray([True, False, False, False])})
    assert after.age["w1"].tolist() == [0, 16, 16, 16]
    assert after.gaps["w1"].sum(axis=1).tolist() == [2, 1, 1, 1]


def test_stagnation_is_the_relative_change_of_incoming_weights():
    moved = PARAMS | {"w1": PARAMS["w1"].at[:, 1:].multiply(1.5)}
    activations = jnp.ones((2, 4))
    found, _ = scored(
        parts.stagnation_score(), [(params, activations) for params in (PARAMS, moved, moved)]
    )
    assert np.isnan(found[0]).all()
    change = np.asarray(moved["w1"] - PARAMS["w1"], np.float64)
    expected = np.linalg.norm(change, axis=0) / np.linalg.norm(
        np.asarray(moved["w1"], np.float64), axis=0
    )
    np.testing.assert_allclose(found[1], expected / expected.mean(), rtol=1e-5)
    assert found[1][0] == 0 and not found[2].any()


def run(intervention, params, steps):
    update = jax.jit(intervention.update)
    opt_state, state = ADAM.init(params), intervention.init(KEY)
    masks = []
    for _ in range(steps):
        params, opt_state, state = update(params, opt_state, state, STATES)
        masks.append(np.flatnonzero(state.masks["w1"]).tolist())
    return params, state, masks


def test_continual_backprop_replaces_what_is_owed_of_the_mature_lowest_first():
    # The utility orders neurons 2, 0, 3, 1; at a rate of 1 / 8 four mature ones owe one neuron
    # every second step.
    weights = jnp.asarray([[0.2, 0.0], [4.0, 0.0], [0.1, 0.0], [1.0, 0.0]])
    params = PARAMS | {"b1": jnp.full(4, 30.0), "w1": jnp.ones((3, 4)), "w2": weights}
    intervention = dormant.interventions.continual_backprop(GRAPH, init, ADAM, 1 / 8, 3)
    after, state, masks = run(intervention, params, 8)
    # Mature after step 3: half a neuron each step. Three mature ones owe 3 / 8 from step 6 on.
    assert masks == [[], [], [], [], [2], [], [], [0]]
    assert not after["w2"][jnp.asarray([0, 2])].any()
    np.testing.assert_array_equal(after["w2"][1], weights[1])
    assert state.selection.age["w1"].tolist() == [0, 8, 3, 8]


def test_self_normalized_resets_act_on_the_longest_silence_alone():
    # Neuron 0 never fires, neuron 1 always.
    params = PARAMS | {"b1": jnp.asarray([-100.0, 100.0, 0.0, 0.0])}
    snr = dormant.interventions.self_normalized_resets(GRAPH, init, ADAM, maximum_age=24)
    _, state, masks = run(snr, params, 4)
    assert masks[:2] == [[], []] and masks[2] == [0]
    assert state.score.age["w1"][1] == 0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: parts.running_average(constant(1.0), 1.0), "`decay`"),
        (lambda: parts.running_average(3), "`score`"),
        (lambda: parts.inter_firing_score(0), "`maximum_age`"),
        (lambda: parts.mature_and_rare(1.5), "`rate`"),
        (lambda: parts.mature_and_rare(0.1, -1), "`maturity`"),
        (lambda: parts.below_quantile(-0.1), "`fraction`"),
        (lambda: parts.over_network(0.1), "`selection`"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

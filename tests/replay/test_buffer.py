# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Drawing from the replay, uniformly and by priority, and saving and resuming it."""

import json

import numpy as np
import pytest

from dormant.replay import ReplayBuffer, ReplayOptions, importance_weights


def options(**changes):
    given = {"capacity": 40, "observation_shape": (3,), "observation_dtype": np.float32}
    given |= {"stack_size": 2, "update_horizon": 2, "batch_size": 8}
    return ReplayOptions(**(given | changes))


def fill(buffer, count, seed=0):
    """`count` random steps, an episode of which ends at every tenth or so."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        end = rng.random() < 0.1
        terminal = bool(end and rng.random() < 0.5)
        buffer.add(rng.random(3), number % 5, float(number), terminal, bool(end))
    return buffer


def assert_same_draws(one, other):
    for _ in range(3):
        for ours, theirs in zip(one.sample(), other.sample(), strict=True):
            np.testing.assert_equal(ours, theirs)


@pytest.mark.parametrize("prioritized", [False, True])
def test_all_that_can_be_drawn_is_drawn_equally_often(prioritized):
    buffer = fill(ReplayBuffer(options(prioritized=prioritized), seed=0), 100)
    sample = buffer.sample(200 * len(buffer))
    counts = np.bincount(sample.keys - sample.keys.min())
    assert len(counts) == len(buffer) > 20
    # Standard deviation 14 about 200.
    assert counts.min() > 130 and counts.max() < 270
    np.testing.assert_allclose(sample.probabilities, 1 / len(buffer))


def test_draws_are_in_proportion_to_the_priorities():
    buffer = fill(ReplayBuffer(options(prioritized=True, priority_exponent=0.5), seed=0), 100)
    keys = np.unique(buffer.sample(1_000).keys)
    assert len(keys) == len(buffer)
    priorities = np.random.default_rng(1).exponential(size=len(keys))
    priorities[3] = 0.0
    buffer.set_priorities(keys, priorities)
    expected = np.sqrt(priorities) / np.sqrt(priorities).sum()
    draws = 100_000
    sample = buffer.sample(draws)
    np.testing.assert_allclose(sample.probabilities, expected[np.searchsorted(keys, sample.keys)])
    counts = np.bincount(np.searchsorted(keys, sample.keys), minlength=len(keys))
    assert counts[3] == 0
    deviation = np.sqrt(draws * expected * (1 - expected))
    assert (np.abs(counts - draws * expected) <= 5 * deviation).all()


def test_new_transitions_get_the_highest_priority_ever_set():
    buffer = ReplayBuffer(options(prioritized=True), seed=0)
    rng = np.random.default_rng(0)
    for number in range(12):
        buffer.add(rng.random(3), 0, 0.0, False)
        if number == 6:
            keys = np.arange(len(buffer))
            buffer.set_priorities(keys, np.full(len(keys), 0.25))
            buffer.set_priorities(keys[:1], np.array([8.0]))
            buffer.set_priorities(keys[:1], np.array([0.5]))
    sample = buffer.sample(500)
    total = 0.5 + 4 * 0.25 + 5 * 8.0
    expected = np.where(sample.keys == 0, 0.5, np.where(sample.keys < 5, 0.25, 8.0)) / total
    np.testing.assert_allclose(sample.probabilities, expected)


def test_priorities_of_overwritten_transitions_are_let_go():
    buffer = fill(ReplayBuffer(options(prioritized=True), seed=0), 60)
    old = buffer.sample(100).keys
    fill(buffer, 60, seed=1)
    buffer.set_priorities(old, np.full(len(old), 1e9))
    np.testing.assert_allclose(buffer.sample().probabilities, 1 / len(buffer))


@pytest.mark.parametrize("capacity", [16, 32, 33])
def test_a_prioritized_buffer_may_have_any_capacity(capacity):
    buffer = fill(ReplayBuffer(options(capacity=capacity, prioritized=True), seed=0), 5 * capacity)
    sample = buffer.sample(50 * capacity)
    assert len(np.unique(sample.keys)) == len(buffer) <= capacity
    np.testing.assert_array_equal(sample.batch.reward, buffer.gather(sample.keys).reward)


def test_without_any_priority_draws_are_uniform():
    buffer = fill(ReplayBuffer(options(prioritized=True), seed=0), 60)
    keys = np.unique(buffer.sample(1_000).keys)
    buffer.set_priorities(keys, np.zeros(len(keys)))
    sample = buffer.sample(1_000)
    np.testing.assert_array_equal(np.unique(sample.keys), keys)
    np.testing.assert_allclose(sample.probabilities, 1 / len(keys))


def test_draws_from_a_generator_of_ones_own_change_nothing():
    one, other = (fill(ReplayBuffer(options(), seed=3), 70) for _ in range(2))
    few = one.draw_uniformly(np.random.default_rng(1), 5)
    many = one.draw_uniformly(np.random.default_rng(1), 500)
    np.testing.assert_array_equal(few, many[:5])
    assert len(np.unique(many)) == len(one)
    assert_same_draws(one, other)


def test_weights_are_dopamines():
    probabilities = np.array([0.5, 0.125, 0.001])
    expected = 1 / np.sqrt(probabilities + 1e-10)
    weights = importance_weights(probabilities)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected / expected[-1], rtol=1e-6)


@pytest.mark.parametrize("prioritized", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 25, 40, 130])
def test_a_resumed_buffer_goes_on_as_if_it_had_not_stopped(steps, prioritized):
    buffer = fill(ReplayBuffer(options(prioritized=prioritized), seed=1), steps)
    if len(buffer):
        keys = buffer.sample().keys
        if prioritized:
            buffer.set_priorities(keys, np.linspace(0.1, 5.0, len(keys)))
    resumed = ReplayBuffer(options(prioritized=prioritized), seed=99)
    fill(resumed, 55, seed=9)
    resumed.restore(buffer.state())
    assert (len(resumed), resumed.add_count) == (len(buffer), buffer.add_count)
    if len(buffer):
        assert_same_draws(buffer, resumed)
    # Some stay and some are new, whose priority is the highest ever set.
    for count in (12, 50):
        fill(buffer, count, seed=2)
        fill(resumed, count, seed=2)
        assert_same_draws(buffer, resumed)


def test_a_buffer_is_made_from_its_state_alone():
    buffer = fill(ReplayBuffer(options(prioritized=True, batch_size=32), seed=1), 130)
    assert_same_draws(buffer, ReplayBuffer.from_state(buffer.state()))
    with pytest.raises(KeyError, match="fixed"):
        ReplayBuffer.from_state({"other": 1})


def test_only_the_filled_part_is_its_state():
    buffer = fill(ReplayBuffer(options(capacity=10_000, prioritized=True), seed=0), 10)
    arrays = buffer.state()["arrays"]
    assert set(arrays) == {
        "observation", "action", "reward", "terminal", "age", "eligible", "priority"
    }  # fmt: skip
    assert sum(array.nbytes for array in arrays.values()) < 1_000
    assert json.loads(buffer.state()["fixed"])["capacity"] == 10_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capacity": 41}, "with capacity 40, as it was saved; got capacity 41"),
        ({"stack_size": 3, "update_horizon": 1}, "as it was saved; got stack_size 3, update_hor"),
        ({"prioritized": True}, "with prioritized False, as it was saved; got prioritized True"),
    ],
)
def test_the_state_of_another_buffer_is_refused(changes, message):
    state = fill(ReplayBuffer(options(), seed=0), 30).state()
    one, other = (fill(ReplayBuffer(options(**changes), seed=0), 30) for _ in range(2))
    with pytest.raises(ValueError, match=message):
        one.restore(state)
    assert_same_draws(one, other)


@pytest.mark.parametrize("prioritized", [False, True])
def test_an_empty_buffer_gives_no_sample(prioritized):
    buffer = ReplayBuffer(options(prioritized=prioritized), seed=0)
    with pytest.raises(ValueError, match="needs a transition in the replay; got none"):
        buffer.sample()


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_priority_that_is_none_is_refused(bad):
    buffer = fill(ReplayBuffer(options(prioritized=True), seed=0), 30)
    with pytest.raises(ValueError, match="`priorities` must be finite and >= 0; got"):
        buffer.set_priorities(np.array([5, 6]), np.array([1.0, bad]))
    with pytest.raises(ValueError, match="`prioritized` must be True to set priorities; got False"):
        ReplayBuffer(options(), seed=0).set_priorities(np.array([0]), np.array([1.0]))


def test_a_priority_that_the_exponent_makes_infinite_is_refused():
    buffer = fill(ReplayBuffer(options(prioritized=True, priority_exponent=3.0), seed=0), 30)
    with pytest.raises(ValueError, match=r"`priorities` \*\* 3.0 must be finite; got "):
        buffer.set_priorities(np.array([5]), np.array([1e200]))
    np.testing.assert_allclose(buffer.sample().probabilities, 1 / len(buffer))

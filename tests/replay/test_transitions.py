# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The ring of frames against a slow replay that keeps whole episodes, for random streams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dormant.replay import ReplayOptions, TransitionStore
from tests.replay.whole_episodes import WholeEpisodes

KINDS = {
    "frames": {"observation_shape": (2, 3)},
    "vectors": {
        "observation_shape": (3,),
        "observation_dtype": np.float32,
        "action_shape": (2,),
        "action_dtype": np.float32,
    },
}


@st.composite
def streams(draw):
    """Options, and what comes of each step of a stream of episodes.

    The episode goes on, is cut short, ends in a terminal, or is left without a word of its end.
    """
    stack, horizon = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    options = ReplayOptions(
        capacity=draw(st.integers(stack + horizon, 25)),
        stack_size=stack,
        update_horizon=horizon,
        discount=draw(st.sampled_from([0.0, 0.5, 0.99, 1.0])),
        **KINDS[draw(st.sampled_from(sorted(KINDS)))],
    )
    # Episodes shorter than a stack and longer than the buffer; the last may go on.
    episodes = st.tuples(st.integers(1, 40), st.sampled_from(["cut", "terminal", "left"]))
    ends = []
    for length, end in draw(st.lists(episodes, max_size=10)):
        ends += ["on"] * (length - 1) + [end]
    return options, ends + ["on"] * draw(st.integers(0, 10))


def steps(options, ends, seed=0):
    """The steps of a stream: random, so that no two frames are alike."""
    rng = np.random.default_rng(seed)
    for end in ends:
        observation = rng.integers(1, 255, options.observation_shape)
        action = rng.integers(0, 9, options.action_shape)
        yield (
            observation.astype(options.observation_dtype),
            action.astype(options.action_dtype),
            float(rng.normal()),
            end == "terminal",
            end in ("cut", "terminal"),
        )


def assert_equal(batch, expected):
    for name in expected._fields:
        ours, theirs = getattr(batch, name), getattr(expected, name)
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, name
        if name == "reward":
            # The sums run in another order.
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=name)


@settings(max_examples=150, deadline=None)
@given(streams())
def test_the_ring_holds_what_whole_episodes_say(stream):
    options, ends = stream
    store, reference = TransitionStore(options), WholeEpisodes(options)
    for number, step in enumerate(steps(options, ends)):
        store.add(*step)
        reference.add(*step)
        if ends[number] == "left":
            store.cut()
            reference.cut()
        # At the edges of episodes, and now and then in between.
        if not (ends[number] != "on" or number % 7 == 0 or number == len(ends) - 1):
            continue
        expected, ever = reference.transitions()
        assert store.end_key == ever
        assert len(store) == (0 if expected is None else len(expected.reward))
        if expected is not None:
            assert_equal(store.gather(np.arange(store.first_key, store.end_key)), expected)


def test_one_short_episode_by_hand():
    options = ReplayOptions(
        capacity=10, observation_shape=(), stack_size=2, update_horizon=3, discount=0.5
    )
    store = TransitionStore(options)
    for number in range(4):
        store.add(np.uint8(number + 1), number, float(number + 1), number == 3, number == 3)
    batch = store.gather(np.arange(store.first_key, store.end_key))
    np.testing.assert_array_equal(batch.state, [[0, 1], [1, 2], [2, 3], [3, 4]])
    np.testing.assert_array_equal(batch.action, [0, 1, 2, 3])
    # 1 + 2 / 2 + 3 / 4; 2 + 3 / 2 + 4 / 4; 3 + 4 / 2; 4.
    np.testing.assert_array_equal(batch.reward, np.float32([2.75, 4.5, 5.0, 4.0]))
    np.testing.assert_array_equal(batch.next_state, [[3, 4], [4, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(batch.terminal, [False, True, True, True])


def test_an_episode_cut_short_keeps_back_its_last_steps():
    options = ReplayOptions(capacity=20, observation_shape=(1,), update_horizon=3)
    store = TransitionStore(options)
    for number in range(5):
        store.add(np.full(1, number, np.uint8), number, 0.0, False, number == 4)
    batch = store.gather(np.arange(store.first_key, store.end_key))
    np.testing.assert_array_equal(batch.action, [0, 1])
    np.testing.assert_array_equal(batch.next_state.ravel(), [3, 4])
    assert not batch.terminal.any()


def test_no_transition_spans_a_cut():
    options = ReplayOptions(capacity=20, observation_shape=(), stack_size=2, update_horizon=2)
    store = TransitionStore(options)
    store.cut()  # where nothing is stored it changes nothing
    for number in range(8):
        if number == 4:
            store.cut()
        store.add(np.uint8(number + 1), number, 0.0, False, False)
    batch = store.gather(np.arange(store.first_key, store.end_key))
    np.testing.assert_array_equal(batch.state, [[0, 1], [1, 2], [0, 5], [5, 6]])
    np.testing.assert_array_equal(batch.next_state, [[2, 3], [3, 4], [6, 7], [7, 8]])


def test_what_was_gathered_stays_as_it_was():
    options = ReplayOptions(capacity=6, observation_shape=(2, 3), stack_size=2)
    store = TransitionStore(options)
    stream = list(steps(options, ["on"] * 30))
    for step in stream[:6]:
        store.add(*step)
    batch = store.gather(np.arange(store.first_key, store.end_key))
    before = [np.array(field) for field in batch]
    for step in stream[6:]:
        store.add(*step)
    store.gather(np.arange(store.first_key, store.end_key))
    for field, expected in zip(batch, before, strict=True):
        np.testing.assert_array_equal(field, expected)


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        ((np.zeros((3, 3), np.uint8), 0), ValueError, r"`observation` .* \(2, 3\); got \(3, 3\)"),
        ((np.zeros((2, 3), np.uint8), [0]), ValueError, r"`action` .* \(\); got \(1,\)"),
        ((np.zeros((2, 3), np.float32), 0), TypeError, "Cannot cast"),
    ],
)
def test_a_step_of_another_shape_or_kind_is_refused(step, error, message):
    store = TransitionStore(ReplayOptions(capacity=6, observation_shape=(2, 3)))
    with pytest.raises(error, match=message):
        store.add(*step, 0.0, False, False)


def test_a_refused_step_leaves_the_store_as_it_was():
    options = ReplayOptions(capacity=4, observation_shape=(1,))
    store = TransitionStore(options)
    for number in range(6):
        store.add(np.full(1, number, np.uint8), number, 0.0, False, False)
    before = store.counters()
    with pytest.raises(TypeError):
        store.add(np.zeros(1, np.float32), 0, 0.0, False, False)
    assert store.counters() == before

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Our replay against Dopamine's on the same steps: what its accumulator hands to the learner.
Equal but for the end of an episode, where Dopamine's is wrong (google/dopamine #228)."""

import numpy as np
import pytest

from dormant.agents import dopamine_compat
from dormant.replay import ReplayBuffer, ReplayOptions

dopamine_compat.install()
from dopamine.jax.replay_memory import accumulator, elements, replay_buffer, samplers  # noqa: E402

DISCOUNT, CAPACITY = 0.9, 200


def both(stack, horizon):
    ours = ReplayBuffer(
        ReplayOptions(
            CAPACITY, (2, 3), stack_size=stack, update_horizon=horizon, discount=DISCOUNT
        ),
        seed=5,
    )
    theirs = replay_buffer.ReplayBuffer(
        accumulator.TransitionAccumulator(stack, horizon, DISCOUNT),
        samplers.UniformSamplingDistribution(5),
        batch_size=32,
        max_capacity=CAPACITY,
    )
    return ours, theirs


def play(ours, theirs, lengths, terminal):
    rng = np.random.default_rng(0)
    for length in lengths:
        for step in range(length):
            end = step == length - 1
            observation = rng.integers(1, 256, (2, 3), dtype=np.uint8)
            what = (observation, int(rng.integers(4)), float(rng.normal()), end and terminal, end)
            ours.add(*what)
            theirs.add(elements.TransitionElement(*what))


@pytest.mark.parametrize(("stack", "horizon"), [(1, 1), (4, 1), (2, 3), (4, 10)])
def test_draws_equal_dopamines_where_episodes_are_cut_short(stack, horizon):
    """The same transitions, drawn by the same seed in the same order."""
    ours, theirs = both(stack, horizon)
    play(ours, theirs, lengths=(1, 2, 7, 30, 11, 40), terminal=False)
    assert len(ours) == ours.add_count == theirs.add_count > 40
    for _ in range(3):
        batch, expected = ours.sample().batch, theirs.sample()
        np.testing.assert_array_equal(batch.state, expected.state)
        np.testing.assert_array_equal(batch.next_state, expected.next_state)
        np.testing.assert_array_equal(batch.action, expected.action)
        np.testing.assert_allclose(batch.reward, expected.reward, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(batch.terminal, expected.is_terminal)


def test_dopamines_accumulator_still_errs_at_a_terminal():
    """The last step is lost with its reward, the one before it is called terminal, four times over.
    When this fails, the difference has gone."""
    ours, theirs = both(stack=4, horizon=1)
    play(ours, theirs, lengths=(6,), terminal=True)
    all_of_theirs = [element.unpack() for element in theirs._memory.values()]
    all_of_ours = ours.gather(np.arange(6))
    assert [bool(element.is_terminal) for element in all_of_theirs] == [False] * 4 + [True] * 4
    assert all_of_ours.terminal.tolist() == [False] * 5 + [True]
    rewards = np.float32([element.reward for element in all_of_theirs])
    np.testing.assert_array_equal(rewards[:5], all_of_ours.reward[:5])
    assert set(rewards[4:]) == {all_of_ours.reward[4]} != {all_of_ours.reward[5]}

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""When an intervention acts: `parts.every` against a plain loop, and what asks it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dormant
from dormant.parts import every
from tests.small_networks import NINE_STATES, init_nine, nine_graph, nine_with_silent

KEY = jax.random.key(3)
SGD = optax.sgd(0.1)
WINDOWS = [
    (3, 0, None, [3, 6, 9, 12]),
    (1, 0, 4, [1, 2, 3]),
    (4, 4, 12, [4, 8]),  # start is included, end is not
    (4, 5, 13, [8, 12]),
    (20, 0, None, []),
    (2, 6, 7, [6]),
]


@pytest.mark.parametrize("period, start, end, expected", WINDOWS)
def test_steps_that_are_due(period, start, end, expected):
    is_due = every(period, start, end)
    assert [step for step in range(14) if is_due(step)] == expected
    assert np.flatnonzero(is_due(jnp.arange(14))).tolist() == expected
    assert np.flatnonzero(jax.jit(is_due)(np.arange(14))).tolist() == expected
    assert isinstance(is_due(3), bool)


@settings(deadline=None, database=None, max_examples=200)
@given(
    period=st.integers(1, 12),
    start=st.integers(0, 40),
    length=st.none() | st.integers(1, 40),
)
def test_every_equals_a_plain_loop(period, start, length):
    """Counts up to the period and starts over, as a training loop by hand would do."""
    end = None if length is None else start + length
    expected, since_the_last = [], 0
    for step in range(1, 90):
        since_the_last += 1
        if since_the_last == period:
            since_the_last = 0
            if step >= start and (end is None or step < end):
                expected.append(step)
    is_due = every(period, start, end)
    assert [step for step in range(90) if is_due(step)] == expected
    assert np.flatnonzero(is_due(np.arange(90))).tolist() == expected


def test_interventions_say_when_they_are_due():
    arguments = (nine_graph(), init_nine, SGD)
    combined = dormant.combine(
        redo=dormant.redo(*arguments, period=4), track=dormant.track(nine_graph(), period=6)
    )
    expected = {
        dormant.redo(*arguments, period=4): [4, 8, 12],
        dormant.fixed_budget(*arguments, period=5): [5, 10],
        dormant.layer_reset(*arguments, period=6): [6, 12],
        dormant.prune(nine_graph(), SGD, period=7): [7],
        dormant.track(nine_graph(), period=4, start=5, end=12): [8],
        combined: [4, 6, 8, 12],
    }
    for intervention, steps in expected.items():
        assert [step for step in range(14) if intervention.is_due(step)] == steps
        assert np.flatnonzero(intervention.is_due(jnp.arange(14))).tolist() == steps


def test_an_intervention_made_by_hand_is_always_due():
    by_hand = dormant.Intervention(lambda key: (), lambda params, opt_state, state: None)
    assert by_hand.is_due(1) and by_hand.is_due(7)


@pytest.mark.parametrize("period, start, end, expected", WINDOWS[:4])
def test_what_acts_is_what_says_that_it_is_due(period, start, end, expected):
    recycle_all = dormant.intervene(
        nine_graph(),
        selection=dormant.parts.whole_layers(),
        action=dormant.parts.recycling(nine_graph(), init_nine, SGD),
        when=every(period, start, end),
    )
    track = dormant.track(nine_graph(), period=period, start=start, end=end)
    params, update = nine_with_silent(), {}
    for name, intervention in (("recycle", recycle_all), ("track", track)):
        update[name] = jax.jit(intervention.update)
    states = {"recycle": recycle_all.init(KEY), "track": track.init(KEY)}
    acted, scored = [], {"recycle": [], "track": []}
    for step in range(1, 14):
        for name, run in update.items():
            new, _, states[name] = run(params, SGD.init(params), states[name], NINE_STATES)
            if int(states[name].report.step) == step:
                scored[name].append(step)
            if any((new[leaf] != params[leaf]).any() for leaf in params):
                acted.append((name, step))
    assert acted == [("recycle", step) for step in expected]
    assert scored == {"recycle": expected, "track": expected}


def test_when_may_be_any_function_of_the_step():
    redo = dormant.intervene(
        nine_graph(),
        selection=dormant.parts.below_threshold(0.0),
        action=dormant.parts.recycling(nine_graph(), init_nine, SGD),
        when=lambda step: (step == 1) | (step == 3),
    )
    params, state, scored = nine_with_silent(), redo.init(KEY), []
    for _ in range(4):
        *_, state = redo.update(params, SGD.init(params), state, NINE_STATES)
        scored.append(int(state.report.step))
    assert scored == [1, 1, 3, 3]


@pytest.mark.parametrize(
    "options, named, ending",
    [
        ({"period": 0}, "`period`", "0"),
        ({"period": 1.5}, "`period`", "1.5"),
        ({"period": True}, "`period`", "True"),
        ({"start": -1}, "`start`", "-1"),
        ({"start": "0"}, "`start`", "'0'"),
        ({"start": 10, "end": 9}, "`end`", "9"),
        ({"start": 10, "end": 10}, "`end`", "10"),  # would never act
        ({"end": 1e6}, "`end`", "1000000.0"),
    ],
)
def test_errors_name_the_option_and_end_with_the_value(options, named, ending):
    for make in (every, lambda **options: dormant.track(nine_graph(), **options)):
        with pytest.raises(ValueError) as error:
            make(**options)
        assert str(error.value).startswith(named) and str(error.value).endswith(f"got {ending}")

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Counters without a seed axis, within combined interventions too."""

import jax
import numpy as np
import optax

import dormant
from dormant.learners import Batch, Interventions, dqn
from dormant.vectorized import axes_of, take_seed
from tests.vectorized.small_environments import BLANK, NETWORK, graph, init, keys


def learner():
    parts = {
        name: dormant.redo(graph(), init, optax.adam(1e-3), period=period)
        for name, period in (("often", 2), ("seldom", 5))
    }
    return dqn(
        NETWORK.apply,
        init,
        optax.adam(1e-3),
        discount=0.9,
        interventions=Interventions(dormant.track(graph(), period=3), dormant.combine(**parts)),
    )


def states(number):
    made = learner()
    axes = axes_of(jax.eval_shape(made.init, jax.random.key(0)))
    return jax.jit(jax.vmap(made.init, out_axes=axes))(keys(number))


def test_every_counter_is_one_for_all_seeds():
    state = states(3)
    interventions = [state.tracker, *state.intervention.values()]
    assert [part.step.shape for part in interventions] == [()] * 3
    assert [part.report.step.shape for part in interventions] == [()] * 3
    assert state.gradient_step.shape == ()
    counters = {id(state.gradient_step)}
    counters |= {id(part.step) for part in interventions}
    counters |= {id(part.report.step) for part in interventions}
    others = [leaf for leaf in jax.tree.leaves(state) if id(leaf) not in counters]
    assert {leaf.shape[0] for leaf in others} == {3}


def test_after_a_step_they_still_are():
    made, state = learner(), jax.eval_shape(lambda: states(3))
    axes = axes_of(state)
    batch = Batch(BLANK[None], np.zeros(1, np.int32), np.zeros(1), BLANK[None], np.zeros(1))

    def step(state):
        return made.update(state, batch, (BLANK[None],))[0]

    # Mapping raises unless what `axes` says to be shared comes out without a seed axis.
    after = jax.eval_shape(jax.vmap(step, in_axes=(axes,), out_axes=axes), state)
    assert jax.tree.map(lambda leaf: leaf.shape, after) == jax.tree.map(
        lambda leaf: leaf.shape, state
    )


def test_taking_a_seed_gives_the_state_of_that_seed_alone():
    state, alone = states(3), jax.jit(learner().init)(keys(3)[1])
    taken = take_seed(state, 1)
    assert jax.tree.structure(taken) == jax.tree.structure(alone)
    for one, other in zip(
        jax.tree.leaves(taken.params), jax.tree.leaves(alone.params), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert [leaf.shape for leaf in jax.tree.leaves(taken)] == [
        leaf.shape for leaf in jax.tree.leaves(alone)
    ]

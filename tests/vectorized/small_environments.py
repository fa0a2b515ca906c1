# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""An environment whose episodes are known beforehand, and learners that compile quickly."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import dormant
from dormant.learners import Interventions, dqn
from dormant.vectorized import MLP, Environment, Settings, Step, make_program

TERMINAL_AFTER, CUT_OFF_AFTER = 5, 7


def clock(storage_dtype=bool):
    """Episodes of 5 steps that end by themselves and of 7 that are cut off, in turns.

    The observation is 8 bits: the number of the episode and the steps since its start. The reward
    of a step is its action plus a hundredth, so that returns tell what was done and how long.
    """

    def observe(state):
        episode, time, _ = state
        code = (episode % 16) * 16 + time
        return ((code >> jnp.arange(8)) & 1).astype(jnp.float32)

    def reset(key):
        first = jax.random.randint(key, (), 0, 2)
        state = (first, jnp.int32(0), jax.random.uniform(key))
        return state, observe(state)

    def step(state, action, key):
        episode, time, _ = state
        time = time + 1
        terminal = (episode % 2 == 0) & (time == TERMINAL_AFTER)
        truncated = (episode % 2 == 1) & (time == CUT_OFF_AFTER)
        noise = jax.random.uniform(key)
        final = observe((episode, time, noise))
        ended = terminal | truncated
        state = (episode + ended, jnp.where(ended, 0, time), noise)
        reward = action.astype(jnp.float32) + 0.01
        return Step(state, observe(state), reward, terminal, truncated, final)

    return Environment(
        "clock", reset, step, 3, (8,), jnp.dtype(jnp.float32), jnp.dtype(storage_dtype)
    )


NETWORK = MLP(3, (8,), dense=(16,))
# Of numpy: an array of JAX would choose the devices before a test can.
BLANK = np.zeros(8, np.float32)
SETTINGS = Settings(
    num_environments=2,
    update_period=4,
    updates_per_burst=3,
    batch_size=8,
    replay_capacity=64,
    min_replay_history=16,
    update_horizon=2,
    gamma=0.9,
    epsilon_train=0.1,
    epsilon_decay_period=40,
    score_batch=16,
)


def init(key):
    return NETWORK.init(key, BLANK)


def graph():
    params = jax.eval_shape(init, jax.random.key(0))
    return dormant.trace(NETWORK.apply, params, BLANK[None])


def learner_factory(*, track=None, redo=None, rate=1e-2, tau=0.1):
    """`make_learner` of a DQN; `track` and `redo` are periods in gradient steps, or None.

    Of the hyperparameters it takes "rate" and "tau", where they are given."""
    traced = graph()

    def make_learner(hyperparameters):
        optimizer = optax.adam(hyperparameters.get("rate", rate))

        def scheduled_tau(step):
            return hyperparameters["tau"]

        threshold = scheduled_tau if "tau" in hyperparameters else tau
        return dqn(
            NETWORK.apply,
            init,
            optimizer,
            discount=SETTINGS.discount,
            target_period=5,
            interventions=Interventions(
                dormant.track(traced, period=track) if track else None,
                dormant.redo(traced, init, optimizer, threshold, redo) if redo else None,
            ),
        )

    return make_learner


def program(make_learner=None, settings=SETTINGS, **options):
    return make_program(clock(), make_learner or learner_factory(), settings, **options)


def keys(number, seed=0):
    return jax.random.split(jax.random.key(seed), number)


def run(of, seed_keys, rounds=6, hyperparameters=None):
    """State, and the progress of warm-up and of the rounds after it."""
    state, filled = of.fill(of.init(seed_keys, hyperparameters))
    state, progress = of.advance(state, rounds)
    return state, filled, progress

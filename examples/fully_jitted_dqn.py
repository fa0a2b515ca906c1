# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""DQN with ReDo on MinAtar Breakout: environment, replay, updates and recycling in one program.
In the manner of PureJaxRL: gymnax environments, lax.scan over time, vmap over seeds."""

import argparse
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import optax

import dormant
from dormant import learners

ENVIRONMENTS = 4  # per seed: one update every four agent steps, DQN's replay ratio of 0.25
WARM_UP, CAPACITY, BATCH = 250, 20_000, 32  # environment steps; transitions
PERIOD = 200  # gradient steps between two recycles, and between two syncs of the target network


class Progress(NamedTuple):
    """One entry per period, each measured just before its recycle."""

    average_return: jax.Array  # of the last episode of each environment
    dormant_percent: jax.Array  # over all hidden layers, tau 0.1
    recycled: jax.Array  # int32: neurons recycled so far, this one included


class Carry(NamedTuple):
    """What one environment step hands to the next."""

    learner: learners.LearnerState
    redo: dormant.parts.InterventionState
    environment: gymnax.EnvState
    observation: jax.Array  # (ENVIRONMENTS, 10, 10, 4)
    replay: learners.Batch  # (CAPACITY, ...)
    running_return: jax.Array  # (ENVIRONMENTS,) of the episodes under way
    last_return: jax.Array  # (ENVIRONMENTS,) of the last finished ones


def make_train(steps: int, tau: float | None) -> Callable[[jax.Array], Progress]:
    """`train(key)` takes `steps` gradient steps; tau None measures dormancy without recycling."""
    environment, settings = gymnax.make("Breakout-MinAtar")
    network = nn.Sequential([
        lambda x: x.reshape((*x.shape[:-3], -1)), nn.Dense(128), nn.relu, nn.Dense(128), nn.relu,
        nn.Dense(environment.action_space(settings).n),
    ])  # fmt: skip
    blank = jnp.zeros(environment.observation_space(settings).shape)
    optimizer = optax.adam(3e-4)

    def init(key):
        return network.init(key, blank)

    graph = dormant.trace(network.apply, jax.eval_shape(init, jax.random.key(0)), blank[None])
    # Under vmap a lax.cond computes both its branches. So it is not ReDo that counts the gradient
    # steps here: an inner scan takes PERIOD of them, then ReDo is called, and acts every time.
    redo = dormant.redo(graph, init, optimizer, tau=tau, period=1, taus=[0.1])
    learner = learners.dqn(network.apply, init, optimizer, discount=0.99, target_period=PERIOD)

    def interact(carry: Carry, index, key) -> Carry:
        act_key, step_key = jax.random.split(key)
        epsilon = learners.linearly_decaying_epsilon(steps / 4, index, WARM_UP, 0.05)
        action = jax.vmap(learner.act, (None, 0, 0, None))(
            carry.learner, carry.observation, jax.random.split(act_key, ENVIRONMENTS), epsilon
        )
        observation, state, reward, terminated, truncated, info = jax.vmap(
            environment.step, (0, 0, 0, None)
        )(jax.random.split(step_key, ENVIRONMENTS), carry.environment, action, settings)
        # `observation` already belongs to the next episode where one has ended.
        new = learners.Batch(
            carry.observation, action, reward, info["final_observation"], terminated
        )
        start = index * ENVIRONMENTS % CAPACITY

        def write(values, rows):
            rows = rows.astype(values.dtype)
            return jax.lax.dynamic_update_slice_in_dim(values, rows, start, axis=0)

        replay = jax.tree.map(write, carry.replay, new)
        done, total = terminated | truncated, carry.running_return + reward
        return carry._replace(
            environment=state,
            observation=observation,
            replay=replay,
            running_return=jnp.where(done, 0.0, total),
            last_return=jnp.where(done, total, carry.last_return),
        )

    def sample(carry: Carry, index, key, size: int) -> learners.Batch:
        filled = jnp.minimum((index + 1) * ENVIRONMENTS, CAPACITY)
        rows = jax.random.randint(key, (size,), 0, filled)
        return jax.tree.map(lambda values: values[rows], carry.replay)

    def recycle(carry: Carry, index, key) -> Carry:
        states = sample(carry, index, key, 64).state
        params, opt_state, redo_state = redo.update(
            carry.learner.params, carry.learner.opt_state, carry.redo, states
        )
        learner_state = carry.learner._replace(params=params, opt_state=opt_state)
        return carry._replace(learner=learner_state, redo=redo_state)

    def train(key: jax.Array) -> Progress:
        init_key, redo_key, score_key, reset_key, loop_key = jax.random.split(key, 5)
        observation, state = jax.vmap(environment.reset, (0, None))(
            jax.random.split(reset_key, ENVIRONMENTS), settings
        )
        many = jnp.zeros((CAPACITY, *blank.shape))
        whole, real = jnp.zeros(CAPACITY, jnp.int32), jnp.zeros(CAPACITY)
        replay = learners.Batch(many, whole, real, many, real)
        carry = Carry(
            learner.init(init_key), redo.init(redo_key), state, observation, replay,
            jnp.zeros(ENVIRONMENTS), jnp.zeros(ENVIRONMENTS),
        )  # fmt: skip

        def warm_up(carry, index):
            return interact(carry, index, jax.random.fold_in(loop_key, index)), None

        def step(carry, index):
            act_key, batch_key = jax.random.split(jax.random.fold_in(loop_key, index))
            carry = interact(carry, index, act_key)
            batch = sample(carry, index, batch_key, BATCH)
            return carry._replace(learner=learner.update(carry.learner, batch)[0]), None

        def period(carry, first):
            carry, _ = jax.lax.scan(step, carry, first + jnp.arange(PERIOD))
            last = first + PERIOD - 1
            carry = recycle(carry, last, jax.random.fold_in(score_key, last))
            report = carry.redo.report
            average = jnp.mean(carry.last_return)
            return carry, Progress(average, 100 * report.pooled[0], report.recycled_total)

        carry, _ = jax.lax.scan(warm_up, carry, jnp.arange(WARM_UP))
        return jax.lax.scan(period, carry, WARM_UP + PERIOD * jnp.arange(steps // PERIOD))[1]

    return train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6_000, help="gradient steps of each seed")
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    keys = jax.random.split(jax.random.key(0), arguments.seeds)
    for name, tau in (("plain DQN", None), ("with ReDo", 0.025)):
        progress = jax.jit(jax.vmap(make_train(arguments.steps, tau)))(keys)
        print(f"{name}, mean of {arguments.seeds} seeds")
        print("  step  return  dormant %  recycled")
        for index in range(0, arguments.steps // PERIOD):
            values = [float(jnp.mean(field[:, index])) for field in progress]
            if (index + 1) % 5 == 0 or arguments.steps < 5 * PERIOD:
                print("{:6d}{:8.2f}{:11.1f}{:10.0f}".format((index + 1) * PERIOD, *values))


if __name__ == "__main__":
    main()

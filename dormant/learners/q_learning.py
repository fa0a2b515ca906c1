# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What Q-learners share: Q-values and those of the actions taken, and exploration, epsilon-greedy,
with noisy networks or without."""

from collections.abc import Callable
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp

from dormant.checks import check_number
from dormant.learners.learner import Policy
from dormant.learners.targets import Params

# (params, observation without a batch dimension) -> q_values (A,)
QFunction = Callable[[Params, jax.Array], jax.Array]
# (params, observation without a batch dimension, key) -> q_values (A,)
KeyedQFunction = Callable[[Params, jax.Array, jax.Array], jax.Array]


def check_q_values(shape: tuple[int, ...]) -> None:
    """Raises ValueError unless `shape`, that of one observation's Q-values, is (A,)."""
    if len(shape) != 1:
        raise ValueError(
            "`apply` must map one observation without a batch dimension to q_values of shape (A,);"
            f" got {shape}"
        )


def of_actions(outputs: jax.Array, actions: jax.Array) -> jax.Array:
    """Picks each row's action: outputs (B, A, ...), integer actions (B,) -> (B, ...).

    An action out of range gives NaN, which stops a run, where indexing would take another action.
    """
    actions = jnp.where(actions < 0, outputs.shape[1], actions)
    index = actions.reshape(-1, *(1,) * (outputs.ndim - 1))
    return jnp.take_along_axis(outputs, index, axis=1)[:, 0]


def epsilon_greedy(apply: QFunction) -> Policy:
    """Policy of a Q-learner: a random action with probability epsilon, else the greedy one.

    As in Dopamine, random means `uniform <= epsilon`: even epsilon 0 explores once in 2^23 draws.
    For the same key the action is that of Dopamine's `select_action`, whose agent carries on with
    `jax.random.split(key, 3)[0]`.

    Args:
      apply: `apply(params, observation) -> q_values`, float (A,), for one observation.

    Returns:
      `policy(params, observation, key, epsilon) -> action`, int32 (). The key is consumed.
    """

    def policy(params: Params, observation: jax.Array, key: jax.Array, epsilon: Any) -> jax.Array:
        _, uniform_key, action_key = jax.random.split(key, 3)
        return _explore(apply(params, observation), uniform_key, action_key, epsilon)

    return policy


def keyed_epsilon_greedy(apply: KeyedQFunction) -> Policy:
    """`epsilon_greedy` of `apply(params, observation, key) -> q_values`, such as a noisy network's.

    For the same key the action is that of Dopamine's full Rainbow agent, which carries on with
    `jax.random.split(key, 4)[0]`.
    """

    def policy(params: Params, observation: jax.Array, key: jax.Array, epsilon: Any) -> jax.Array:
        _, uniform_key, network_key, action_key = jax.random.split(key, 4)
        q_values = apply(params, observation, network_key)
        return _explore(q_values, uniform_key, action_key, epsilon)

    return policy


def _explore(
    q_values: jax.Array, uniform_key: jax.Array, action_key: jax.Array, epsilon: Any
) -> jax.Array:
    check_q_values(q_values.shape)
    random_action = jax.random.randint(action_key, (), 0, q_values.shape[-1])
    explore = jax.random.uniform(uniform_key) <= epsilon
    return jnp.where(explore, random_action, jnp.argmax(q_values)).astype(jnp.int32)


def linearly_decaying_epsilon(
    decay_period: float, agent_step: Any, warmup: float, epsilon: float
) -> jax.Array:
    """Exploration schedule of DQN: 1 during the warm-up, linearly down to epsilon, then constant.

    Args:
      decay_period: agent steps over which epsilon decays, > 0.
      agent_step: agent steps taken so far, int or integer array.
      warmup: agent steps before the decay begins.
      epsilon: the final value, in [0, 1].

    Returns:
      float32 of the shape of agent_step.

    Raises:
      ValueError: when decay_period is a Python number <= 0.
    """
    if isinstance(decay_period, Real):
        check_number("decay_period", decay_period, above=0)
    # As an array, so that a Python int is computed with in float32 as a traced one is.
    steps_left = decay_period + warmup - jnp.asarray(agent_step)
    bonus = (1.0 - epsilon) * steps_left / decay_period
    return epsilon + jnp.clip(bonus, 0.0, 1.0 - epsilon)

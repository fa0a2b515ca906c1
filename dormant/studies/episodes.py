# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Evaluation in studies: compiled episodes of a policy, and what a record says of them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from dormant.learners.learner import Policy
from dormant.vectorized import Environment, play_episodes

# Agent steps after which an episode that goes on is given up; gymnax's games end before.
_MOST_STEPS = 10_000
EPSILON = 0.001  # the paper's, in evaluation

# (params, key) -> (undiscounted returns (E,), NaN where given up; agent steps (E,))
Evaluate = Callable[[Any, jax.Array], tuple[ArrayLike, ArrayLike]]


def evaluation(
    environment: Environment, policy: Policy, episodes: int, most_steps: int = _MOST_STEPS
) -> Evaluate:
    """Compiles E episodes that are played side by side, each to its end.

    Args:
      environment: of the episodes.
      policy: acts with epsilon 0.001.
      episodes: E, at least 1.
      most_steps: agent steps after which an episode is given up.
    """

    @jax.jit
    def evaluate(params: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        def act(observation: jax.Array, key: jax.Array) -> jax.Array:
            return policy(params, observation, key, EPSILON)

        return play_episodes(environment, act, key, episodes, most_steps)

    return evaluate


def evaluation_entries(returns: ArrayLike, lengths: ArrayLike) -> Mapping[str, Any]:
    """The entries of the "iteration" record, of the episodes that came to their end."""
    returns, lengths = np.asarray(returns), np.asarray(lengths)
    ended = ~np.isnan(returns)
    entries = {
        "eval_returns": returns[ended].tolist(),
        "eval_episode_lengths": lengths[ended].tolist(),
    }
    return entries | ({"eval_average_return": mean_return(returns)} if ended.any() else {})


def mean_return(returns: Any) -> float:
    """Of the episodes that came to their end; NaN where none did."""
    ended = np.asarray(returns)[~np.isnan(returns)]
    return float(ended.mean()) if ended.size else math.nan

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Environments as pure functions of arrays, with automatic resets: gymnax's, and any of its style.

gymnax's MinAtar games (1.0.1) are not those of MinAtar 1.0.15: there are no sticky actions (there:
0.1), the action set is the minimal one (there: all 6), and an episode is truncated after 1 000
agent steps. Freeway is so after 2 500; there its step 2 501 is terminal. In Asterix a spawn deletes
an entity where all 8 rows are filled, and in one of eight cases where only one is free; there it
does nothing, or fills that row. Returns of the two must not be compared."""

import difflib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.checks import check

# How the names of games end whose planes hold zeros and ones, so that replay can keep one bit for
# each.
MINATAR = "-MinAtar"


class Step(NamedTuple):
    """What one agent step leads to; `...` is the shape of one observation.

    Where an episode has ended, `state` and `observation` already belong to the next one.

    Attributes:
      state: tree of arrays.
      observation: (...), the one to act on next.
      reward: float32 (), of this step.
      terminal: bool (), the episode ended by itself, nothing follows.
      truncated: bool (), the episode was cut off; its last value is still to be learned.
      final_observation: (...), which this action led to, also where an episode has ended.
    """

    state: Any
    observation: jax.Array
    reward: jax.Array
    terminal: jax.Array
    truncated: jax.Array
    final_observation: jax.Array


class Environment(NamedTuple):
    """One environment with discrete actions as pure functions; vmap them for several.

    Attributes:
      name: the game's name.
      reset: `reset(key) -> (state, observation)`. The key is consumed.
      step: `step(state, action, key) -> Step` with an integer action (). The key is consumed.
      num_actions: A, actions are 0 to A - 1.
      observation_shape: of one observation.
      observation_dtype: of one observation.
      storage_dtype: what replay keeps: bool where all values are 0 or 1, else a dtype that holds
        every value exactly.
    """

    name: str
    reset: Callable[[jax.Array], tuple[Any, jax.Array]]
    step: Callable[[Any, jax.Array, jax.Array], Step]
    num_actions: int
    observation_shape: tuple[int, ...]
    observation_dtype: Any
    storage_dtype: Any

    @property
    def observation_size(self) -> int:
        """Number of values in one observation."""
        return math.prod(self.observation_shape)


def gymnax_environment(name: str) -> Environment:
    """One of gymnax's environments by its name, with its default parameters.

    Speeds differ widely: with 64 environments on a CPU, Seaquest-MinAtar makes 8 000 to 10 000
    agent steps a second, the other MinAtar games 140 000 to 600 000.

    Args:
      name: such as "Breakout-MinAtar" or "CartPole-v1".

    Raises:
      ValueError: when gymnax does not know the name, or its actions are not discrete.
      ImportError: when gymnax, or what it imports, is not installed.
    """
    try:
        import gymnax
    except ModuleNotFoundError as error:
        # What is missing may be something that gymnax imports.
        raise ImportError(
            f"this environment needs gymnax ({error}): pip install 'dormant[vectorized]'"
        ) from error
    known = gymnax.registered_envs
    if not isinstance(name, str) or name not in known:
        close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
        allowed = " or ".join(close) if close else "one of " + ", ".join(known)
        check(False, "name", f"an environment of gymnax, {allowed}", name)
    environment, params = gymnax.make(name)
    return from_gymnax(environment, params, name)


def from_gymnax(
    environment: Any, params: Any = None, name: str | None = None, storage_dtype: Any = None
) -> Environment:
    """Any environment of gymnax's style (1.0.1 or later), one's own too.

    Args:
      environment: has `reset(key, params) -> (observation, state)`, `step(key, state, action,
        params) -> (observation, state, reward, terminated, truncated, info)` that resets by itself
        and gives `info["final_observation"]`, `action_space(params).n`, and `default_params`.
      params: its parameters; None for its default ones.
      name: None for the environment's own.
      storage_dtype: what replay keeps of observations. None: bool for gymnax's MinAtar games, else
        the dtype of the observations.

    Raises:
      ValueError: when the environment is not of this style, or its actions are not discrete.
    """
    params = environment.default_params if params is None else params
    name = environment.name if name is None else name
    num_actions = getattr(environment.action_space(params), "n", None)
    if num_actions is None:
        raise ValueError(
            f"`environment` must have discrete actions; got {environment.action_space(params)!r}"
            f" of {name}"
        )

    def reset(key: jax.Array) -> tuple[Any, jax.Array]:
        observation, state = environment.reset(key, params)
        return _strong(state), observation

    def step(state: Any, action: jax.Array, key: jax.Array) -> Step:
        observation, state, reward, terminal, truncated, info = environment.step(
            key, state, action, params
        )
        return Step(
            _strong(state),
            observation,
            jnp.asarray(reward, jnp.float32),
            jnp.asarray(terminal, bool),
            jnp.asarray(truncated, bool),
            info["final_observation"],
        )

    key = jax.eval_shape(lambda: jax.random.key(0))
    state, observation = jax.eval_shape(reset, key)
    action = jax.ShapeDtypeStruct((), jnp.int32)
    try:
        after = jax.eval_shape(step, state, action, key)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "`environment.step` must return (observation, state, reward, terminated, truncated,"
            f" info) with info['final_observation'], as gymnax 1.0.1 does; got {error!r} of {name}"
        ) from error
    if jax.tree.map(_shape, after.state) != jax.tree.map(_shape, state):
        raise ValueError(
            "`environment.step` must return a state of the shapes and types that `reset` returns;"
            f" got {jax.tree.map(_shape, after.state)} of {name}"
        )
    if storage_dtype is None:
        # gymnax's MinAtar has observations of 0 and 1.
        is_minatar = str(name).endswith(MINATAR) and type(environment).__module__[:7] == "gymnax."
        storage_dtype = bool if is_minatar else observation.dtype
    return Environment(
        str(name),
        reset,
        step,
        int(num_actions),
        tuple(observation.shape),
        jnp.dtype(observation.dtype),
        jnp.dtype(storage_dtype),
    )


def _strong(state: Any) -> Any:
    """The same values as arrays without weak types, which would change a loop's carry."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), state)


def _shape(leaf: jax.Array) -> tuple:
    return leaf.shape, leaf.dtype

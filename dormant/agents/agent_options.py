# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The options of an agent, those of the Dopamine agent among them: where they stand, and checks."""

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dormant.agents.inherited_options import inherited_option, inherited_value, option_name
from dormant.checks import LARGEST_COUNT, is_count, require, require_count, require_number
from dormant.memory import machine_memory, shortage
from dormant.runs.options import LARGEST_SEED, LearnerOptions


def options_of(agent: type, given: Any) -> LearnerOptions:
    """The options that an agent class is given, or `LearnerOptions()` as gin configures it."""
    options = LearnerOptions() if given is None else given
    allowed = "None or @LearnerOptions(), with its parentheses"
    is_options = isinstance(options, LearnerOptions)
    require(is_options, f"{agent.__name__}.options", allowed, options)
    return options


def seed_of(agent: type, configured: Any) -> int:
    """The seed of a run of an agent class, a whole number >= 0.

    What `LearnerOptions.seed` is, or, where that is None, what the Dopamine agent's seed is bound
    to, else 0.
    """
    seed = inherited_option(agent, "seed", 0) if configured is None else configured
    name = option_name(agent, "seed") if configured is None else "LearnerOptions.seed"
    require_count(name, seed, 0, most=LARGEST_SEED)
    return seed


def check_inherited(agent: Any, given: Mapping[str, Any]) -> None:
    """Checks the options of a Dopamine agent: those given to it, and those bound in gin.

    Args:
      agent: has `counts`, `fractions` and `functions`, which say what its options are.
      given: the options that its constructor is given, by name.

    Raises:
      ConfigurationError: when one is not allowed.
    """

    def values(*names: str) -> Iterator[tuple[str, Any]]:
        for name in names:
            value = given.get(name, inherited_value(type(agent), name))
            if value is not inspect.Parameter.empty:
                yield option_name(type(agent), name), value

    for name, least in agent.counts.items():
        for option, value in values(name):
            require_count(option, value, least, most=LARGEST_COUNT)
    for option, value in values(*agent.fractions):
        require_number(option, value, 0, 1)
    for option, value in values(*agent.functions):
        require(callable(value), option, "a function or class", value)
    for option, shape in values("observation_shape"):
        is_shape = isinstance(shape, tuple) and all(is_count(size, 1) for size in shape)
        require(is_shape, option, "a tuple of whole numbers >= 1", shape)
        for stack, frames in values("stack_size"):
            # Dopamine's constructor makes a stack of float64.
            problem = shortage(8 * math.prod(shape) * frames, machine_memory())
            allowed = f"such that a stack fits into this machine's memory: {problem}"
            require(problem is None, stack, allowed, frames)
    for option, value in values("observation_dtype"):
        try:
            np.dtype(value)
        except TypeError:
            require(False, option, "a dtype, such as %dormant.FLOAT32", value)
    for option, value in values("collector_allowlist"):
        require(_are_names(value), option, "names of collectors", value)


def check_observations(agent: Any, shape: Sequence[int] | None, dtype: Any) -> None:
    """Checks that an environment's observations lose nothing where the agent stores them.

    Only the size of a number may change: float64 is stored as float32, but CartPole's floats as
    bytes would all be 0.

    Args:
      agent: has `observation_shape` and `observation_dtype`.
      shape, dtype: of one observation; None where it is not known.

    Raises:
      ConfigurationError: naming the binding that is to be another.
    """
    if shape is not None:
        # Dopamine's own buffers take (84, 84, 1) for (84, 84).
        fits = math.prod(shape) == math.prod(agent.observation_shape)
        allowed = f"{tuple(shape)}, the shape of the environment's observations"
        name = option_name(type(agent), "observation_shape")
        require(fits, name, allowed, agent.observation_shape)
    if dtype is not None:
        stored = np.dtype(agent.observation_dtype)
        allowed = f"able to hold the environment's observations, which are {np.dtype(dtype)}"
        name = option_name(type(agent), "observation_dtype")
        require(np.can_cast(dtype, stored, "same_kind"), name, allowed, stored.name)


def _are_names(value: Any) -> bool:
    is_list = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
    return isinstance(value, str) or is_list

"""What every agent checks of a run before it learns: which seed it has, and that the observations
are those that the bindings announce."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dormant.runs.options import inherited_option, option_name, require, require_whole_number


def seed_of(agent: type, configured: Any) -> int:
    """The seed of a run of an agent.

    Args:
      agent: the class.
      configured: what `LearnerOptions.seed` is; None for what the Dopamine agent's seed is bound
        to, else 0.

    Raises:
      ConfigurationError: when it is not a whole number >= 0.
    """
    seed = inherited_option(agent, "seed", 0) if configured is None else configured
    require_whole_number("seed", 0, seed)
    return seed


def check_observations(agent: Any, shape: Sequence[int] | None, dtype: Any) -> None:
    """Checks that an environment's observations lose nothing where the agent stores them.

    Only the size of a number may change: float64 is stored as float32, but CartPole's floats as
    bytes would all be 0.

    Args:
      agent: has `observation_shape` and `observation_dtype`.
      shape: of one observation; None where it is not known.
      dtype: of one observation; None where it is not known.

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
        fits = np.can_cast(dtype, np.dtype(agent.observation_dtype), "same_kind")
        allowed = f"able to hold the environment's observations, which are {np.dtype(dtype)}"
        name = option_name(type(agent), "observation_dtype")
        require(fits, name, allowed, np.dtype(agent.observation_dtype).name)

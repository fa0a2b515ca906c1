"""Options that every agent understands, and how a wrong one is reported.
No Dopamine here, so that a check never waits for TensorFlow's import."""

import dataclasses
import math
from numbers import Real
from typing import Any

import gin

# Taus at which every run measures dormancy: silent, the paper's default-ratio tau, the paper's tau.
TAUS = (0.0, 0.025, 0.1)
TARGET_UPDATE_UNITS = ("agent_steps", "gradient_steps")


class ConfigurationError(ValueError):
    """A mistake in what the user asked for: reported in one line, without a traceback."""


def require(condition: bool, name: str, allowed: str, received: Any) -> None:
    """Raises ConfigurationError when condition is false; the text ends with the value received."""
    if not condition:
        raise ConfigurationError(f"{name} must be {allowed}; received {received!r}")


def require_choice(name: str, choices: tuple[str, ...], received: Any) -> None:
    """Raises ConfigurationError when received is not one of choices."""
    allowed = "one of " + ", ".join(repr(choice) for choice in choices)
    require(isinstance(received, str) and received in choices, name, allowed, received)


def require_whole_number(name: str, minimum: int, received: Any, units: str = "") -> None:
    """Raises ConfigurationError when received is not an int >= minimum."""
    allowed = f"a whole number{' of ' + units if units else ''} >= {minimum}"
    is_whole = isinstance(received, int) and not isinstance(received, bool)
    require(is_whole and received >= minimum, name, allowed, received)


def bound_in_gin(configurable: str, parameter: str, default: Any) -> Any:
    """What gin binds to `configurable.parameter`, or default where nothing is bound."""
    return gin.get_bindings(configurable).get(parameter, default)


def is_number(value: Any, minimum: float, maximum: float = math.inf) -> bool:
    """True for a finite real number within [minimum, maximum]; False for NaN and for booleans."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return math.isfinite(value) and minimum <= value <= maximum


def updates_per_burst(replay_ratio: float, update_period: int) -> int:
    """Gradient updates made in one burst, every update_period agent steps.

    Args:
      replay_ratio: gradient updates per agent step.
      update_period: agent steps between two bursts, >= 1.

    Returns:
      replay_ratio * update_period, a whole number >= 1.

    Raises:
      ConfigurationError: when that product is not a whole number >= 1.
    """
    require_whole_number("update_period", 1, update_period, "agent steps")
    require(is_number(replay_ratio, 0.0), "replay_ratio", "a number > 0", replay_ratio)
    updates = replay_ratio * update_period
    nearest = round(updates)
    if nearest >= 1 and math.isclose(updates, nearest, rel_tol=1e-9):
        return nearest
    below, above = math.floor(updates), math.floor(updates) + 1
    valid = " and ".join(f"{n / update_period:.6g}" for n in (below, above) if n >= 1)
    raise ConfigurationError(
        "replay_ratio * update_period, the gradient updates of one burst, must be a whole number"
        f" >= 1: the nearest valid replay_ratio at update_period {update_period}: {valid};"
        f" received {replay_ratio!r}"
    )


@dataclasses.dataclass(frozen=True)
class LearnerOptions:
    """What an agent does with its learner, whichever the algorithm.

    Attributes:
      replay_ratio: gradient updates per agent step, > 0.
      target_update_unit: unit of the agent's target_update_period.
      weight_decay: coefficient of the L2 term that is added to the gradient, >= 0.
      redo: a `ReDo`, or None to recycle nothing.
      tracker: a `Tracker`.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    replay_ratio: float
    target_update_unit: str
    weight_decay: float
    redo: Any
    tracker: Any

    def __post_init__(self) -> None:
        require_choice("target_update_unit", TARGET_UPDATE_UNITS, self.target_update_unit)
        require(
            is_number(self.weight_decay, 0.0), "weight_decay", "a number >= 0", self.weight_decay
        )
        has_period = self.redo is None or hasattr(self.redo, "period")
        require(has_period, "redo", "None or @ReDo()", self.redo)
        require(hasattr(self.tracker, "tracking_period"), "tracker", "@Tracker()", self.tracker)

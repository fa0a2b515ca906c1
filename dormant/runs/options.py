# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Options that every agent understands, and what gin binds to those of Dopamine's agents.
No Dopamine here, so that a check never waits for TensorFlow's import."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax

import dormant
from dormant import checks
from dormant.checks import ConfigurationError, require
from dormant.interventions.decay import WEIGHT_DECAY_KINDS
from dormant.learners import Interventions
from dormant.memory import bytes_of, check_memory
from dormant.runs.interventions import Tracker
from dormant.runs.regularizers import Regularizer  # their names in gin come with it

# JAX takes no more of a seed than its 32 lowest bits.
LARGEST_SEED = 2**32 - 1
_CHOICES = {
    "target_update_unit": ("agent_steps", "gradient_steps"),
    "weight_decay_kind": WEIGHT_DECAY_KINDS,
    "replay_scheme": ("configured", "released_code"),
}

# Dopamine's own constants for its small environments are float64, which JAX would not use.
gin.constant("dormant.FLOAT32", np.float32)


def bound_in_gin(option: str, default: Any) -> Any:
    """What gin binds to an option such as "JaxDQNAgent.gamma", else the default."""
    configurable, _, parameter = option.rpartition(".")
    return gin.get_bindings(configurable).get(parameter, default)


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
    checks.require_count("update_period", update_period, 1, "agent steps")
    checks.require_number("replay_ratio", replay_ratio, 0)
    updates = replay_ratio * update_period
    most = checks.LARGEST_COUNT
    allowed = f"at most {most} gradient updates of one burst, as they are counted in int32"
    require(updates <= most, "replay_ratio` * `update_period", allowed, updates)
    nearest = round(updates)
    if nearest >= 1 and math.isclose(updates, nearest, rel_tol=1e-9):
        return nearest
    below, above = math.floor(updates), math.floor(updates) + 1
    valid = " or ".join(f"{n / update_period:.6g}" for n in (below, above) if n >= 1)
    raise ConfigurationError(
        "`replay_ratio` * update_period, the gradient updates of one burst, must be a whole number"
        f" >= 1, at update_period {update_period} with {valid}; got {replay_ratio!r}"
    )


@gin.configurable
@dataclasses.dataclass(frozen=True)
class LearnerOptions:
    """What an agent does with its learner, whichever the algorithm: `LearnerOptions.*` in gin.

    Attributes:
      replay_ratio: gradient updates per agent step, > 0. Every update_period agent steps there is a
        burst of replay_ratio * update_period updates, which must be a whole number >= 1.
      target_update_unit: "agent_steps" (the paper) or "gradient_steps": what the agent's
        target_update_period counts.
      weight_decay: coefficient of the weight decay, >= 0 (fig. 1: 1e-5). The default is Dopamine's;
        on four MinAtar games 1e-5 changed the score by -0.04 [-0.06, -0.02] at replay ratio .25,
        -0.03 [-0.07, 0.02] at .5, +0.05 [0.02, 0.09] at 1 and +0.07 [0.05, 0.10] at 2, most of all
        in Freeway (+0.16 [0.12, 0.19] at 1; docs/which-intervention.md).
      weight_decay_kind: "l2", a term added to the gradient, as released, or "decoupled" (AdamW).
      regularizers: what goes around the optimizer, from the inside out, such as `(@L2Init(),)`; see
        `dormant.regularizers`. Adam's per-entry count and the weight decay go around them.
      intervention: such as `@ReDo()`, of those in `dormant.runs.interventions`; None to only track.
      tracker: None for `Tracker()` as gin configures it.
      replay_scheme: "configured" for the sampling that the agent's own replay_scheme names, or
        "released_code" for Dopamine's, which is uniform whatever that says (google/dopamine #230).
      seed: fixes everything random in the run; None for what the Dopamine agent's seed is bound to,
        else 0.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    replay_ratio: float = 0.25
    target_update_unit: str = "agent_steps"
    weight_decay: float = 0.0
    weight_decay_kind: str = "l2"
    regularizers: Any = ()
    intervention: Any = None
    tracker: Any = None
    replay_scheme: str = "configured"
    seed: int | None = None

    def __post_init__(self) -> None:
        name = "LearnerOptions."
        checks.require_number(f"{name}replay_ratio", self.replay_ratio, above=0)
        checks.require_number(f"{name}weight_decay", self.weight_decay, 0)
        for option, choices in _CHOICES.items():
            checks.require_choice(f"{name}{option}", getattr(self, option), choices)
        regularizers = self.regularizers
        are_options = isinstance(regularizers, list | tuple) and all(
            isinstance(each, Regularizer) for each in regularizers
        )
        allowed = "a tuple of regularizers such as (@L2Init(),), with their parentheses"
        require(are_options, f"{name}regularizers", allowed, regularizers)
        require_intervention(f"{name}intervention", self.intervention)
        tracks = self.tracker is None or is_configured(self.tracker, "tracking_period")
        allowed = "None or @Tracker(), with its parentheses"
        require(tracks, f"{name}tracker", allowed, self.tracker)
        if self.seed is not None:
            checks.require_count(f"{name}seed", self.seed, 0, most=LARGEST_SEED)
        if self.tracker is None:
            object.__setattr__(self, "tracker", Tracker())

    @property
    def per_entry_count(self) -> bool:
        """Whether Adam counts the steps of each parameter entry, as the intervention may ask."""
        return getattr(self.intervention, "adam_count", "keep") == "per_entry"

    def finished(
        self,
        optimizer: optax.GradientTransformation,
        graph: dormant.NeuronGraph,
        learning_rate: float | optax.Schedule,
    ) -> optax.GradientTransformation:
        """An optimizer with the regularizers, Adam's per-entry count and weight decay asked for.

        Args:
          optimizer: the plain one.
          graph: of the network that it trains.
          learning_rate: of the optimizer.

        Raises:
          ConfigurationError: when an option does not fit the network.
        """
        for regularizer in self.regularizers:
            optimizer = regularizer.around(optimizer, graph, learning_rate)
        if self.per_entry_count:
            optimizer = dormant.per_entry_counts(optimizer)
        kind = self.weight_decay_kind
        rate = learning_rate if kind == "decoupled" else None
        return dormant.weight_decay(optimizer, self.weight_decay, kind=kind, learning_rate=rate)

    @property
    def wrap(self) -> Callable[..., Any] | None:
        """What the intervention makes of a network's `apply` and `init` first; None: nothing."""
        return getattr(self.intervention, "WRAP", None)

    @property
    def _parts(self) -> list[Any]:
        return [self.tracker, *([] if self.intervention is None else [self.intervention])]

    @property
    def score_batch(self) -> int:
        """Observations on which neurons are scored; each takes the first ones that it asks for."""
        return max(part.score_batch for part in self._parts)

    def check_score_batches(
        self,
        graph: dormant.NeuronGraph,
        init: Callable[[jax.Array], Any],
        inputs: Sequence[Any],
        available: int | None,
    ) -> None:
        """Checks that the observations and activations of every score batch fit.

        Args:
          graph, init: of the network.
          inputs: its inputs for a batch of one, or their shapes.
          available: bytes of the device; None where they cannot be told.

        Raises:
          ConfigurationError: when they do not.
        """
        params = jax.eval_shape(init, jax.random.key(0))
        activations = jax.eval_shape(graph.activations, params, *inputs)
        row = bytes_of(inputs) + bytes_of(activations)
        for part in self._parts:
            what = f"its observations and their activations, {row} bytes of each"
            with checks.errors_of(type(part).__name__):
                check_memory(
                    "score_batch", part.score_batch, part.score_batch * row, what, available
                )

    def is_due(self, gradient_step: jax.Array) -> jax.Array:
        """bool (): whether either does something at a gradient step, 1 for the first."""
        due = [part.is_due(gradient_step) for part in self._parts]
        return functools.reduce(jnp.logical_or, due)

    def shared_period(self, *lengths: int) -> int:
        """The largest number of gradient steps that divides both periods and the lengths given."""
        acting = [] if self.intervention is None else [self.intervention.period]
        return math.gcd(self.tracker.tracking_period, *acting, *lengths)

    def interventions(
        self,
        graph: dormant.NeuronGraph,
        init: Callable[[jax.Array], Any],
        optimizer: optax.GradientTransformation,
    ) -> Interventions:
        """What tracks and what acts on a network, as the learners' constructors take it; arguments
        and errors as those of `Configured.action`."""
        acting = self.intervention
        return Interventions(
            tracker=self.tracker.intervention(graph),
            intervention=acting and acting.intervention(graph, init, optimizer),
        )


def is_configured(value: Any, attribute: str) -> bool:
    """Whether `value` is what gin made of a reference with its parentheses, such as `@ReDo()`.

    Args:
      value: of an option.
      attribute: that all of the kind asked for have.
    """
    # A class has it too: in gin, @ReDo without parentheses.
    return hasattr(value, attribute) and not inspect.isclass(value)


def require_intervention(option: str, value: Any) -> None:
    """Raises ConfigurationError unless an option is None or an intervention such as `@ReDo()`."""
    acts = value is None or is_configured(value, "period")
    require(acts, option, "None or an intervention such as @ReDo(), with its parentheses", value)

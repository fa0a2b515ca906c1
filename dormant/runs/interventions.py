"""The gin face of interventions and tracking: `ReDo.tau`, `Reset.period`, `Tracker.*`.
Frozen and validated dataclasses; the algorithms themselves are in `dormant`."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import gin
import numpy as np
import optax

import dormant
from dormant.interventions.actions import MOMENTS
from dormant.interventions.moments import ADAM_COUNTS
from dormant.interventions.recycling import FLATTEN_LAYOUTS, INCOMING_SCALES, OUTGOING
from dormant.interventions.factories import SCORES
from dormant.runs.options import (
    is_number,
    require,
    require_choice,
    require_whole_number,
)
from dormant.interventions.selections import ORDERS

# A schedule of the gradient step in a gin file: `ReDo.tau = @optax.linear_schedule()`.
for _schedule in (
    optax.constant_schedule,
    optax.linear_schedule,
    optax.cosine_decay_schedule,
    optax.polynomial_schedule,
):
    gin.external_configurable(_schedule, module="optax")
gin.external_configurable(dormant.cosine_fraction, module="dormant")

Schedule = Callable[[Any], Any]


@gin.configurable
@dataclasses.dataclass(frozen=True)
class AdaptiveTau:
    """Options of a threshold that follows the scores: `ReDo.tau = @AdaptiveTau()`.

    Attributes:
      target_fraction: fraction of each layer's neurons that shall score at most tau, in [0, 1].
      initial: the first tau, between minimum and maximum.
      step_size: how fast tau follows, > 0.
      minimum: least tau, > 0.
      maximum: largest tau.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    target_fraction: float = 0.05
    initial: float = 0.1
    step_size: float = 0.5
    minimum: float = 1e-4
    maximum: float = 1.0

    def __post_init__(self) -> None:
        name = "AdaptiveTau."
        in_unit = is_number(self.target_fraction, 0.0, 1.0)
        require(in_unit, f"{name}target_fraction", "a number in [0, 1]", self.target_fraction)
        for option in ("step_size", "minimum"):
            value = getattr(self, option)
            require(is_number(value, 0.0) and value > 0, f"{name}{option}", "a number > 0", value)
        is_maximum = is_number(self.maximum, self.minimum)
        require(is_maximum, f"{name}maximum", f"a number >= {self.minimum}", self.maximum)
        is_initial = is_number(self.initial, self.minimum, self.maximum)
        allowed = f"a number in [{self.minimum}, {self.maximum}]"
        require(is_initial, f"{name}initial", allowed, self.initial)

    def rule(self) -> dormant.parts.ThresholdRule:
        """The pure rule `dormant.adaptive_tau` with these options."""
        return dormant.adaptive_tau(**_options(self))


def _is_schedule(value: Any) -> bool:
    """Whether `value` maps a gradient step to a number: @optax.linear_schedule() does, called."""
    if not callable(value) or inspect.isclass(value):
        return False
    try:
        return np.ndim(value(0)) == 0
    except (TypeError, ValueError):
        return False


class _Periodic:
    """What the options of all interventions share: when they act and what they score on."""

    def _check_timing(self) -> None:
        name = type(self).__name__
        require_whole_number(f"{name}.period", 1, self.period, "gradient steps")
        require_whole_number(f"{name}.start", 0, self.start, "gradient steps")
        if self.end is not None:
            require_whole_number(f"{name}.end", self.start + 1, self.end, "gradient steps")
        require_whole_number(f"{name}.score_batch", 1, self.score_batch, "observations")

    def _check_choices(self, **choices: Sequence[str]) -> None:
        for option, allowed in choices.items():
            name = f"{type(self).__name__}.{option}"
            require_choice(name, tuple(allowed), getattr(self, option))

    def _check_tau(self) -> None:
        require(
            _is_schedule(self.tau) or isinstance(self.tau, AdaptiveTau) or is_number(self.tau, 0.0),
            f"{type(self).__name__}.tau",
            "a number >= 0, a schedule of the gradient step or @AdaptiveTau(), with parentheses",
            self.tau,
        )

    def is_due(self, gradient_step: int) -> bool:
        """True when the update numbered gradient_step (the first is 1) is followed by an action."""
        return bool(dormant.parts.is_due(gradient_step, self.period, self.start, self.end))


@gin.configurable
@dataclasses.dataclass(frozen=True)
class ReDo(_Periodic):
    """Options of ReDo (paper, algorithm 1). Enabled by `LearnerOptions.intervention = @ReDo()`.

    Attributes:
      tau: threshold of the score: a number >= 0, a schedule of the gradient step such as
        @optax.linear_schedule(), or @AdaptiveTau(). The paper: 0.1, and 0.025 at replay ratio 0.25.
      period: gradient steps between two recycles (the paper's F).
      start: gradient step before which nothing is recycled.
      end: gradient step from which on nothing is recycled; None for never.
      outgoing: recycled neurons' outgoing weights: "zero", or "fresh" (fig. 22).
      incoming_scale: norm of the new incoming weights: "fresh", as the initializer drew them, or
        "live_norm", that of the layer's live neurons (fig. 23).
      moments: optimizer moments of the recycled entries: "reset" or "keep".
      adam_count: Adam's step count: "keep", or "per_entry" to correct the bias of recycled entries
        anew.
      flatten_layout: "channels_last", or "released_code" for the released code's mask at the
        flatten.
      max_fraction: at most this fraction of a layer's neurons at once, in (0, 1]; None for no cap.
      score: "activation", or "contribution_utility" (fig. 25).
      score_batch: observations scored when a recycle is due (fig. 24). They are drawn apart from
        the training batches.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    tau: float | Schedule | AdaptiveTau = 0.1
    period: int = 1_000
    start: int = 0
    end: int | None = None
    outgoing: str = "zero"
    incoming_scale: str = "fresh"
    moments: str = "reset"
    adam_count: str = "keep"
    flatten_layout: str = "channels_last"
    max_fraction: float | None = None
    score: str = "activation"
    score_batch: int = 64

    def __post_init__(self) -> None:
        self._check_timing()
        self._check_tau()
        self._check_choices(**_RECYCLING_CHOICES)
        require(
            self.max_fraction is None
            or (is_number(self.max_fraction, 0.0, 1.0) and self.max_fraction > 0),
            "ReDo.max_fraction",
            "None or a number in (0, 1]",
            self.max_fraction,
        )

    def intervention(self, graph: Any, init: Callable, optimizer: Any) -> dormant.Intervention:
        """The pure intervention `dormant.redo` with these options.

        Args:
          graph: the network's neuron graph, from `dormant.trace`.
          init: `init(key) -> params`, the network's own initializer.
          optimizer: the optax transformation whose state is reset with the neurons.
        """
        return dormant.redo(graph, init, optimizer, **_options(self))


@gin.configurable
@dataclasses.dataclass(frozen=True)
class FixedBudget(_Periodic):
    """Options of recycling a fixed fraction of every layer (fig. 15).

    Attributes:
      fraction: of each layer's neurons, in [0, 1], or a schedule of the gradient step: in the paper
        @dormant.cosine_fraction() with initial = 0.1.
      period: gradient steps between two recycles.
      order: "lowest" scores, "random" neurons or "highest" scores.
      start, end, outgoing, incoming_scale, moments, adam_count, flatten_layout, score, score_batch:
        as for `ReDo`.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    fraction: float | Schedule = 0.1
    period: int = 1_000
    order: str = "lowest"
    start: int = 0
    end: int | None = None
    outgoing: str = "zero"
    incoming_scale: str = "fresh"
    moments: str = "reset"
    adam_count: str = "keep"
    flatten_layout: str = "channels_last"
    score: str = "activation"
    score_batch: int = 64

    def __post_init__(self) -> None:
        self._check_timing()
        self._check_choices(order=ORDERS, **_RECYCLING_CHOICES)
        require(
            _is_schedule(self.fraction) or is_number(self.fraction, 0.0, 1.0),
            "FixedBudget.fraction",
            "a number in [0, 1] or a schedule of the gradient step",
            self.fraction,
        )

    def intervention(self, graph: Any, init: Callable, optimizer: Any) -> dormant.Intervention:
        """The pure intervention `dormant.fixed_budget`; arguments as `ReDo.intervention`."""
        return dormant.fixed_budget(graph, init, optimizer, **_options(self))


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Reset(_Periodic):
    """Options of the periodic reset of whole layers (fig. 1, 14).

    Attributes:
      layers: "last_hidden" (the paper's baseline), "all", or a list of layer names.
      period: gradient steps between two resets; the paper's search found 100 000 best.
      moments: optimizer moments of the redrawn entries: "reset" or "keep".
      start, end, adam_count: as for `ReDo`.
      score_batch: observations on which dormancy is reported at a reset.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    layers: str | Sequence[str] = "last_hidden"
    period: int = 100_000
    start: int = 0
    end: int | None = None
    moments: str = "reset"
    adam_count: str = "keep"
    score_batch: int = 64

    def __post_init__(self) -> None:
        self._check_timing()
        self._check_choices(moments=MOMENTS, adam_count=ADAM_COUNTS)
        named = isinstance(self.layers, list | tuple) and len(self.layers) > 0
        require(
            self.layers in ("last_hidden", "all")
            or (named and all(isinstance(name, str) for name in self.layers)),
            "Reset.layers",
            "'last_hidden', 'all' or a list of layer names",
            self.layers,
        )

    def intervention(self, graph: Any, init: Callable, optimizer: Any) -> dormant.Intervention:
        """The pure intervention `dormant.layer_reset`; arguments as `ReDo.intervention`.

        Raises:
          ConfigurationError: when the network has no layer of a name in `layers`.
        """
        if not isinstance(self.layers, str):
            for name in self.layers:
                require_choice("Reset.layers", tuple(graph.incoming), name)
        return dormant.layer_reset(graph, init, optimizer, **_options(self))


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Prune(_Periodic):
    """Options of pruning every neuron found dormant, for good (fig. 6, 19).

    Attributes:
      tau: neurons with a score <= tau are pruned; as for `ReDo`.
      period: gradient steps between two prunings.
      start, end, score_batch: as for `ReDo`.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    tau: float | Schedule | AdaptiveTau = 0.0
    period: int = 1_000
    start: int = 0
    end: int | None = None
    score_batch: int = 64

    adam_count = "keep"  # no field: a pruned entry is not trained again

    def __post_init__(self) -> None:
        self._check_timing()
        self._check_tau()

    def intervention(self, graph: Any, init: Callable, optimizer: Any) -> dormant.Intervention:
        """The pure intervention `dormant.prune`; arguments as `ReDo.intervention`."""
        del init
        return dormant.prune(graph, optimizer, **_options(self))


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Tracker:
    """Options of dormancy tracking, which every run does and which changes nothing it trains.

    Attributes:
      tracking_period: gradient steps between two records in metrics.jsonl.
      score_batch: observations scored for a record (the paper: 64). Where an intervention is due at
        the same gradient step, both take the first ones of one batch.
      rank_threshold: delta of the effective rank (tab. 7), in (0, 1).

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    tracking_period: int = 1_000
    score_batch: int = 64
    rank_threshold: float = 0.01

    def __post_init__(self) -> None:
        require_whole_number("Tracker.tracking_period", 1, self.tracking_period, "gradient steps")
        require_whole_number("Tracker.score_batch", 1, self.score_batch, "observations")
        inside = is_number(self.rank_threshold, 0.0, 1.0) and 0 < self.rank_threshold < 1
        require(inside, "Tracker.rank_threshold", "a number in (0, 1)", self.rank_threshold)

    def is_due(self, gradient_step: int) -> bool:
        """True when the update numbered gradient_step (the first is 1) is followed by a record."""
        return bool(dormant.parts.is_due(gradient_step, self.tracking_period))

    def intervention(self, graph: Any) -> dormant.Intervention:
        """The pure tracker `dormant.track` with these options and the taus 0, 0.025 and 0.1."""
        options = _options(self)
        return dormant.track(graph, period=options.pop("tracking_period"), **options)


def tracker_of(options: Any) -> Tracker:
    """The tracker of a run's `LearnerOptions`; as gin configures it where they name none."""
    return Tracker() if options.tracker is None else options.tracker


_RECYCLING_CHOICES = {
    "outgoing": OUTGOING,
    "incoming_scale": INCOMING_SCALES,
    "moments": MOMENTS,
    "adam_count": ADAM_COUNTS,
    "flatten_layout": FLATTEN_LAYOUTS,
    "score": tuple(SCORES),
}


def _options(options: Any) -> dict[str, Any]:
    """The fields of a dataclass as the core's keyword arguments."""
    found = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return {
        name: value.rule() if isinstance(value, AdaptiveTau) else value
        for name, value in found.items()
    }

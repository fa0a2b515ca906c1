"""The gin face of recycling and tracking: `ReDo.tau`, `ReDo.period`, `Tracker.tracking_period`.
Frozen and validated dataclasses; the algorithm itself is `dormant.redo` and `dormant.track`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import gin
import optax

import dormant
from dormant.agents.options import (
    TAUS,
    is_number,
    require,
    require_choice,
    require_whole_number,
)
from dormant.moments import ADAM_COUNTS
from dormant.recycle import FLATTEN_LAYOUTS, INCOMING_SCALES, OUTGOING
from dormant.redo import MOMENTS

# A schedule of the gradient step in a gin file: `ReDo.tau = @optax.linear_schedule()`.
for _schedule in (
    optax.constant_schedule,
    optax.linear_schedule,
    optax.cosine_decay_schedule,
    optax.polynomial_schedule,
):
    gin.external_configurable(_schedule, module="optax")


@gin.configurable
@dataclasses.dataclass(frozen=True)
class ReDo:
    """Options of ReDo (paper, algorithm 1). Enabled by `DormantDQNAgent.redo = @ReDo()`.

    Attributes:
      tau: threshold of the dormancy score, a number >= 0 or a schedule of the gradient step. The
        paper: 0.1, and 0.025 at replay ratio 0.25.
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
      score_batch: observations scored when a recycle is due (fig. 24). They are drawn apart from
        the training batches.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    tau: float | Callable[[Any], Any] = 0.1
    period: int = 1_000
    start: int = 0
    end: int | None = None
    outgoing: str = "zero"
    incoming_scale: str = "fresh"
    moments: str = "reset"
    adam_count: str = "keep"
    flatten_layout: str = "channels_last"
    max_fraction: float | None = None
    score_batch: int = 64

    def __post_init__(self) -> None:
        require(
            callable(self.tau) or is_number(self.tau, 0.0),
            "ReDo.tau",
            "a number >= 0 or a schedule of the gradient step",
            self.tau,
        )
        require_whole_number("ReDo.period", 1, self.period, "gradient steps")
        require_whole_number("ReDo.start", 0, self.start, "gradient steps")
        if self.end is not None:
            require_whole_number("ReDo.end", self.start + 1, self.end, "gradient steps")
        require_choice("ReDo.outgoing", OUTGOING, self.outgoing)
        require_choice("ReDo.incoming_scale", INCOMING_SCALES, self.incoming_scale)
        require_choice("ReDo.moments", MOMENTS, self.moments)
        require_choice("ReDo.adam_count", ADAM_COUNTS, self.adam_count)
        require_choice("ReDo.flatten_layout", FLATTEN_LAYOUTS, self.flatten_layout)
        require(
            self.max_fraction is None
            or (is_number(self.max_fraction, 0.0, 1.0) and self.max_fraction > 0),
            "ReDo.max_fraction",
            "None or a number in (0, 1]",
            self.max_fraction,
        )
        require_whole_number("ReDo.score_batch", 1, self.score_batch, "observations")

    def is_due(self, gradient_step: int) -> bool:
        """True when the update numbered gradient_step (the first is 1) is followed by a recycle."""
        return bool(dormant.is_due(gradient_step, self.period, self.start, self.end))

    def intervention(self, graph: Any, init: Callable, optimizer: Any) -> Any:
        """The pure intervention `dormant.redo` with these options.

        Args:
          graph: the network's neuron graph, from `dormant.trace`.
          init: `init(key) -> params`, the network's own initializer.
          optimizer: the optax transformation whose state is reset with the neurons.
        """
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del options["score_batch"]
        return dormant.redo(graph, init, optimizer, taus=TAUS, **options)


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Tracker:
    """Options of dormancy tracking, which every run does and which changes nothing it trains.

    Attributes:
      tracking_period: gradient steps between two records in metrics.jsonl.
      score_batch: observations scored for a record (the paper: 64). Where a recycle is due at the
        same gradient step, its batch (`ReDo.score_batch`) serves both.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    tracking_period: int = 1_000
    score_batch: int = 64

    def __post_init__(self) -> None:
        require_whole_number("Tracker.tracking_period", 1, self.tracking_period, "gradient steps")
        require_whole_number("Tracker.score_batch", 1, self.score_batch, "observations")

    def is_due(self, gradient_step: int) -> bool:
        """True when the update numbered gradient_step (the first is 1) is followed by a record."""
        return bool(dormant.is_due(gradient_step, self.tracking_period))

    def intervention(self, graph: Any) -> Any:
        """The pure tracker `dormant.track` with these options and the taus 0, 0.025 and 0.1."""
        return dormant.track(graph, taus=TAUS, period=self.tracking_period)

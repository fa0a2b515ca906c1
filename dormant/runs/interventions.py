# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The gin face of interventions and tracking: `ReDo.tau`, `Reset.period`, `Tracker.*`.

What an option means, its default and its check stand with the part of `dormant.parts` that takes
it. Here parts are put together under one name, and errors are told in gin's terms."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import gin
import optax

import dormant
from dormant import interventions as published
from dormant import parts
from dormant.checks import LARGEST_COUNT, check_choice, check_count, errors_of, require
from dormant.interventions.network_metrics import check_rank_threshold
from dormant.interventions.step_counts import ADAM_COUNTS
from dormant.measures.catalog import resolved
from dormant.runs.registered import registered
from dormant.runs.smallest_network import smallest_network

# A schedule of the gradient step in a gin file: `ReDo.tau = @optax.linear_schedule()`.
for _schedule in (
    optax.constant_schedule,
    optax.linear_schedule,
    optax.cosine_decay_schedule,
    optax.polynomial_schedule,
):
    gin.external_configurable(_schedule, module="optax")
gin.external_configurable(dormant.cosine_fraction, module="dormant")

SCORES: dict[str, parts.Score | parts.ScoreFunction] = {
    "activation": parts.activation_score,
    "contribution_utility": parts.contribution_utility,
    "contribution": parts.contribution_score,
    "variability": parts.variability_score,
    "gradient": parts.gradient_score(),
    "weight_gradient": parts.gradient_score("weights"),
    "inter_firing": parts.inter_firing_score(),
    "stagnation": parts.stagnation_score(),
}
# What an action is given of the network; all else that it takes is an option, but for what is
# reported of it and how it scores, which have no names in gin.
_NETWORK = ("graph", "init", "optimizer")
_REPORTED = ("taus", "score")


@functools.wraps(dormant.adaptive_tau)
def _adaptive_tau(*arguments: Any, **options: Any) -> parts.ThresholdRule:
    with errors_of("AdaptiveTau"):
        return dormant.adaptive_tau(*arguments, **options)


AdaptiveTau = gin.external_configurable(_adaptive_tau, "AdaptiveTau", module="dormant")


def capped_threshold(
    tau: float | optax.Schedule | parts.ThresholdRule = 0.1,
    max_fraction: float | optax.Schedule | None = None,
) -> parts.Selection:
    """The neurons with score at most tau, or the lowest of them where they are too many.

    Args:
      tau: as in `dormant.parts.below_threshold`; in gin also `@AdaptiveTau()` or a schedule such as
        `@optax.linear_schedule()`.
      max_fraction: at most this part of each layer, in [0, 1], or a schedule; None for no limit.
    """
    selection = parts.below_threshold(tau)
    return selection if max_fraction is None else parts.capped(selection, max_fraction)


def scoring(
    score: str = "activation", score_decay: float = 0.0, score_batch: int = 64
) -> dict[str, Any]:
    """The arguments `score` and `score_batch` of `dormant.intervene`.

    Args:
      score: "activation" (Eq. 1), "contribution_utility" (fig. 25), "contribution" (continual
        backprop's, not relative to the layer), "variability", "gradient" (GraMa of pre-activations,
        which DQN's own learner gives), "weight_gradient" (GraMa of weights), "inter_firing" (SNR)
        or "stagnation".
      score_decay: of a running average of the scores, in [0, 1); 0 for none.
      score_batch: observations scored when something is due (fig. 24). They are drawn apart from
        the training batches, on which gradients are taken.
    """
    check_choice("score", score, tuple(SCORES))
    check_count("score_batch", score_batch, 1, most=LARGEST_COUNT)
    averaged = parts.running_average(SCORES[score], score_decay)
    return {"score": averaged if score_decay else SCORES[score], "score_batch": score_batch}


class Configured:
    """The options of an intervention, which is made of them once there is a network.

    A frozen dataclass with the options of `_SELECTION`, `_ACTION`, `parts.every` and `scoring`.

    Attributes:
      adam_count: Adam's step count: "per_entry" for `dormant.per_entry_counts`, whose count of an
        entry restarts when the entry is recycled or redrawn, or "keep" for the released one count.

    Raises:
      ConfigurationError: when an option that does not depend on the network is not allowed.
    """

    _SELECTION: ClassVar[Callable[..., parts.Selection]]
    _ACTION: ClassVar[Callable[..., parts.Action]]
    # What makes the network's `apply` and `init` ones that the action can act on; None: nothing.
    WRAP: ClassVar[Callable[..., Any] | None] = None
    adam_count: ClassVar[str] = "keep"  # where it is no option

    def __post_init__(self) -> None:
        with errors_of(self.name, {"decay": "score_decay"}):
            self._made_by(type(self)._SELECTION)
            self._made_by(scoring)
            check_choice("adam_count", self.adam_count, ADAM_COUNTS)
            self.is_due  # noqa: B018  (checks when it acts)
            self._check_action()

    @property
    def name(self) -> str:
        """What it is called in gin."""
        return type(self).__name__

    @functools.cached_property
    def is_due(self) -> parts.When:
        """`is_due(gradient_step)`: whether the update of that number, from 1, is followed by it."""
        return self._made_by(parts.every)

    def action(self, graph: dormant.NeuronGraph, init: Callable, optimizer: Any) -> parts.Action:
        """What it does to the neurons that it selects.

        Args:
          graph: the network's neuron graph, from `dormant.trace`.
          init: `init(key) -> params`, the network's own initializer.
          optimizer: the optax transformation whose state is reset with the neurons.

        Raises:
          ConfigurationError: when an option is not allowed or does not fit the network.
        """
        with errors_of(self.name):
            return self._made_by(type(self)._ACTION, graph=graph, init=init, optimizer=optimizer)

    def intervention(
        self, graph: dormant.NeuronGraph, init: Callable, optimizer: Any
    ) -> dormant.Intervention:
        """The pure intervention; arguments and errors as those of `action`."""
        return dormant.intervene(
            graph,
            selection=self._made_by(type(self)._SELECTION),
            action=self.action(graph, init, optimizer),
            when=self.is_due,
            **self._made_by(scoring),
        )

    def _check_action(self) -> None:
        """Checks what can be told before there is a network: all but the names of its layers."""
        self._made_by(type(self)._ACTION, **smallest_network(type(self).WRAP) | self._stand_ins)

    @property
    def _stand_ins(self) -> dict[str, Any]:
        """Names of layers that the smallest network has, for options that hold names."""
        known = {"also": (), "layers": ("hidden",), "head": ("hidden",)}
        return {
            option: names for option, names in known.items() if _is_names(vars(self).get(option))
        }

    def _made_by(self, part: Callable[..., Any], **given: Any) -> Any:
        """Calls a part with what it takes of the options and of what is given besides."""
        values, taken = vars(self) | given, inspect.signature(part).parameters
        return part(**{name: values[name] for name in taken if name in values})


class FromFactory(Configured):
    """The options of an intervention that one factory of `dormant.interventions` makes whole."""

    _SELECTION: ClassVar[Callable[..., parts.Selection]] = parts.whole_layers
    _FACTORY: ClassVar[Callable[..., dormant.Intervention]]

    def action(self, graph: dormant.NeuronGraph, init: Callable, optimizer: Any) -> parts.Action:
        """Raises ConfigurationError: what it does is not told apart, so that it has no mirror."""
        del graph, init, optimizer
        allowed = "an intervention whose action another network can mirror, such as @ReDo()"
        require(False, "LearnerOptions.intervention", allowed, self)
        raise AssertionError("`require` raises")

    def intervention(
        self, graph: dormant.NeuronGraph, init: Callable, optimizer: Any
    ) -> dormant.Intervention:
        with errors_of(self.name):
            return self._made_by(type(self)._FACTORY, graph=graph, init=init, optimizer=optimizer)

    def _check_action(self) -> None:
        self._made_by(type(self)._FACTORY, **smallest_network(type(self).WRAP) | self._stand_ins)


def _options_of(part: Callable[..., Any]) -> dict[str, Any]:
    """{option: default} of a part, without what it is given of the network."""
    taken = inspect.signature(part).parameters.values()
    return {each.name: each.default for each in taken if each.name not in _NETWORK}


def _is_names(value: Any) -> bool:
    """Whether an option holds names of layers, which only the network can check."""
    is_list = isinstance(value, list | tuple) and len(value) > 0
    return is_list and all(isinstance(name, str) for name in value)


def _configured_whole(name: str, factory: Callable[..., Any], **defaults: Any) -> type:
    """Registers an intervention in gin that one factory makes, with its options and defaults."""
    options = {key: value for key, value in _options_of(factory).items() if key not in _REPORTED}
    options |= {"score_batch": 64, "adam_count": "per_entry"}
    explained = (scoring, factory, Configured)
    return registered(name, FromFactory, options | defaults, factory, explained, _FACTORY=factory)


def _configured(
    name: str,
    described: Callable[..., Any],
    selection: Callable[..., Any],
    action: Callable[..., Any],
    without: tuple[str, ...] = (),
    wrap: Callable[..., Any] | None = None,
    **defaults: Any,
) -> type:
    """Registers an intervention in gin, with the options of its parts but those that would have no
    effect, and with their defaults but those given."""
    options: dict[str, Any] = {}
    for part in (selection, action, parts.every, scoring):
        options |= _options_of(part)
    options["adam_count"] = "per_entry"
    options = {name: value for name, value in options.items() if name not in without}
    return registered(
        name,
        Configured,
        options | defaults,
        described,
        (selection, action, parts.every, scoring, Configured),
        _SELECTION=selection,
        _ACTION=action,
        WRAP=wrap,
    )


_SCORELESS = ("score", "score_decay")
ReDo = _configured("ReDo", dormant.redo, capped_threshold, parts.recycling)
FixedBudget = _configured("FixedBudget", published.fixed_budget, parts.budget, parts.recycling)
Reset = _configured(
    "Reset",
    published.layer_reset,
    parts.whole_layers,
    parts.redrawing,
    _SCORELESS,
    period=100_000,
)
ReGraMa = _configured(
    "ReGraMa",
    published.regrama,
    capped_threshold,
    parts.recycling,
    tau=0.01,
    score="gradient",
)
ContinualBackprop = _configured(
    "ContinualBackprop",
    published.continual_backprop,
    parts.mature_and_rare,
    parts.recycling,
    period=1,
    score="contribution",
    score_decay=0.99,
)
SelfNormalizedResets = _configured(
    "SelfNormalizedResets",
    published.self_normalized_resets,
    capped_threshold,
    parts.recycling,
    tau=0.01,
    period=1,
    score="inter_firing",
)
PartialResets = _configured(
    "PartialResets", published.partial_resets, parts.whole_layers, parts.partial_recycling
)
ReBorn = _configured(
    "ReBorn", published.reborn, parts.below_threshold, parts.weight_sharing, scales=(0.3, 0.8)
)
SelectiveWeightReinitialization = _configured_whole(
    "SelectiveWeightReinitialization", published.selective_weight_reinitialization
)
ShrinkAndPerturb = _configured_whole(
    "ShrinkAndPerturb", published.shrink_and_perturb, adam_count="keep"
)
InterpolatedReset = _configured_whole("InterpolatedReset", published.interpolated_reset)
FIRE = _configured_whole("FIRE", published.fire)
# Injects once, at the first gradient step that is due.
PlasticityInjection = _configured(
    "PlasticityInjection",
    published.plasticity_injection,
    parts.whole_layers,
    parts.injecting,
    _SCORELESS,
    parts.injectable,
    period=100_000,
)
Prune = _configured(
    "Prune", published.prune, parts.below_threshold, parts.pruning, ("adam_count",), tau=0.0
)


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Tracker:
    """Options of dormancy tracking, which every run does and which changes nothing it trains.

    Attributes:
      tracking_period: gradient steps between two records in metrics.jsonl.
      score_batch: observations scored for a record (the paper: 64). Where an intervention is due at
        the same gradient step, both take the first ones of one batch.
      rank_threshold: delta of the effective rank (tab. 7), in (0, 1).
      measures: names of what else is measured, among `dormant.measures.BY_NAME`, such as
        `("srank", "fau")`; each is an entry `measure_…` of the record. A rank is at most
        `score_batch`.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    tracking_period: int = 1_000
    score_batch: int = 64
    rank_threshold: float = 0.01
    measures: Sequence[str] = ()

    def __post_init__(self) -> None:
        with self._told():
            check_count("score_batch", self.score_batch, 1, most=LARGEST_COUNT)
            check_rank_threshold(self.rank_threshold)
            resolved(self.measures)
            object.__setattr__(self, "measures", tuple(self.measures))
            self.is_due  # noqa: B018  (checks the period)

    @functools.cached_property
    def is_due(self) -> parts.When:
        """`is_due(gradient_step)`: whether the update of that number is followed by a record."""
        return parts.every(self.tracking_period)

    def intervention(self, graph: dormant.NeuronGraph) -> dormant.Intervention:
        """The pure tracker `dormant.track` with these options and the default taus."""
        with self._told():
            return dormant.track(
                graph,
                period=self.tracking_period,
                score_batch=self.score_batch,
                rank_threshold=self.rank_threshold,
                measures=self.measures,
            )

    def _told(self) -> Any:
        return errors_of("Tracker", {"period": "tracking_period"})

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What an intervention carries from step to step, and what it reports of the last scoring."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dormant.checks import ConfigurationError, check, check_key, is_number
from dormant.graph import NeuronGraph, ParameterTree
from dormant.interventions.masks import check_tau, dormant_fraction, dormant_masks, overlap
from dormant.interventions.network_metrics import NetworkMetrics
from dormant.interventions.selections import Selection, are_known
from dormant.measures.measure import Value


class Report(NamedTuple):
    """What the last scoring found, before anything was done. T is the number of reported taus.

    Before the first scoring fractions, overlaps, thresholds, metrics and measures are NaN.
    Fractions are NaN too where a layer has no scores, as an activation is not finite.

    Attributes:
      step: int32 (), the gradient step of the scoring; -1 before the first.
      taus: float32 (T,), the thresholds of every (T,) below, ascending.
      pooled: float32 (T,), dormant neurons over neurons, of all layers.
      by_layer: {layer: float32 (T,)}, dormant neurons over neurons of each layer.
      overlap: {layer: float32 (T,)}, overlap coefficient of the dormant set with that of the
        scoring before; NaN where either is empty, and at the first scoring.
      overlap_history: {layer: float32 (T,)}, the same with the union of all earlier sets.
      threshold: {layer: float32 ()}, the tau that selected; NaN where none did, as with a budget.
      recycled: {layer: int32 ()}, neurons acted on at the last scoring.
      recycled_total: int32 (), neurons acted on since the start, over all layers.
      network: `NetworkMetrics` of `track`; () for the others.
      measures: {name: float32 () or {layer: float32 ()}}, those that `track` was asked for; {} for
        the others.
    """

    step: jax.Array
    taus: jax.Array
    pooled: jax.Array
    by_layer: dict[str, jax.Array]
    overlap: dict[str, jax.Array]
    overlap_history: dict[str, jax.Array]
    threshold: dict[str, jax.Array]
    recycled: dict[str, jax.Array]
    recycled_total: jax.Array
    network: NetworkMetrics | tuple[()]
    measures: dict[str, Value] = {}

    def dormant_fraction(self, tau: float, layer: str | None = None) -> jax.Array:
        """Dormant neurons over neurons at one of `taus`: float32 scalar in [0, 1].

        Args:
          tau: one of the reported thresholds.
          layer: of this layer; None for all hidden layers together.

        Raises:
          ValueError: if there is no such layer, or outside `jax.jit` no such tau. Inside, where
            taus have no values yet, the fraction is NaN then.
        """
        check_tau(tau)
        is_layer = layer is None or (isinstance(layer, str) and layer in self.by_layer)
        check(is_layer, "layer", f"one of {', '.join(self.by_layer)}", layer)
        found = self.taus == jnp.float32(tau)
        if not isinstance(found, jax.core.Tracer) and not np.all(np.any(found, axis=-1)):
            known = ", ".join(f"{each:g}" for each in np.unique(self.taus))
            raise ValueError(f"`tau` must be one of the reported taus, {known}; got {tau!r}")
        fractions = self.pooled if layer is None else self.by_layer[layer]
        at_tau = jnp.sum(jnp.where(found, fractions, 0.0), axis=-1)
        return jnp.where(jnp.any(found, axis=-1), at_tau, jnp.nan)


class InterventionState(NamedTuple):
    """State of every periodic intervention. T is the number of reported taus.

    Attributes:
      step: int32 (), gradient steps so far.
      key: (), folded with the step at every scoring, never advanced.
      dormant: {layer: bool (T, H)}, the dormant sets of the last scoring.
      history: {layer: bool (T, H)}, the union of the sets of all scorings before it.
      masks: {layer: bool (H,)}, neurons acted on at this very step.
      report: `Report` of the last scoring.
      score: state of the score.
      selection: state of the selection.
      action: state of the action; of `track` the parameters that its measures compare with.
    """

    step: jax.Array
    key: jax.Array
    dormant: dict[str, jax.Array]
    history: dict[str, jax.Array]
    masks: dict[str, jax.Array]
    report: Report
    score: Any
    selection: Any
    action: Any


def initial_state(graph: NeuronGraph, taus: tuple[float, ...], key: jax.Array) -> InterventionState:
    """The state before the first step, with T taus; ValueError unless `key` is one key, and
    ConfigurationError where JAX is told to raise an error at every NaN."""
    check_key("key", key)
    flag = "jax_debug_nans"
    if getattr(jax.config, flag):
        raise ConfigurationError(
            f"`{flag}` must be False, as a report says NaN of what has not been measured"
            " (docs/faq.md); got True"
        )
    count = len(taus)

    def undefined(*shape: int) -> jax.Array:
        return jnp.full(shape, jnp.nan, jnp.float32)  # each its own, so that all can be donated

    report = Report(
        step=jnp.asarray(-1, jnp.int32),
        taus=jnp.asarray(taus, jnp.float32),
        pooled=undefined(count),
        by_layer=_each(graph, lambda _: undefined(count)),
        overlap=_each(graph, lambda _: undefined(count)),
        overlap_history=_each(graph, lambda _: undefined(count)),
        threshold=_each(graph, lambda _: undefined()),
        recycled=_each(graph, lambda _: jnp.zeros((), jnp.int32)),
        recycled_total=jnp.zeros((), jnp.int32),
        network=(),
    )
    return InterventionState(
        step=jnp.zeros((), jnp.int32),
        key=jnp.array(key),  # a copy: a state that is donated must not take the caller's with it
        dormant=_each(graph, lambda neurons: jnp.zeros((count, neurons), bool)),
        history=_each(graph, lambda neurons: jnp.zeros((count, neurons), bool)),
        masks=nobody(graph),
        report=report,
        score=(),
        selection=(),
        action=(),
    )


def observe(
    state: InterventionState, scores: dict[str, jax.Array], taus: tuple[float, ...]
) -> InterventionState:
    """Writes what the dormancy scores say into the state."""
    per_tau = [dormant_masks(scores, tau) for tau in taus]
    dormant = {name: jnp.stack([masks[name] for masks in per_tau]) for name in scores}
    history = {name: state.history[name] | state.dormant[name] for name in scores}
    known = are_known(scores)
    all_known = functools.reduce(jnp.logical_and, known.values())
    fractions = jnp.stack([dormant_fraction(masks) for masks in per_tau])
    report = state.report._replace(
        step=state.step,
        by_layer={
            name: jnp.where(known[name], jnp.mean(mask, axis=-1, dtype=jnp.float32), jnp.nan)
            for name, mask in dormant.items()
        },
        pooled=jnp.where(all_known, fractions, jnp.nan),
        overlap={name: overlap(mask, state.dormant[name]) for name, mask in dormant.items()},
        overlap_history={name: overlap(mask, history[name]) for name, mask in dormant.items()},
    )
    return state._replace(dormant=dormant, history=history, report=report)


def nobody(graph: NeuronGraph) -> dict[str, jax.Array]:
    """{layer: bool (H,)}, all False: the masks of a step at which no neuron is acted on."""
    return _each(graph, lambda neurons: jnp.zeros(neurons, bool))


def _each(graph: NeuronGraph, make: Callable[[int], jax.Array]) -> dict[str, jax.Array]:
    return {layer.name: make(layer.neurons) for layer in graph.layers}


def shapes_of(init: Callable[[jax.Array], InterventionState]) -> InterventionState:
    """The state that `init` returns, without values and without its key, of which there are two
    kinds."""
    return jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))._replace(key=())


def check_state(state: Any, made: InterventionState) -> None:
    """Raises ValueError unless `state` has the structure and shapes of the one that was made."""
    allowed = "the state that this intervention's own `init` returns"
    check(isinstance(state, InterventionState), "state", allowed, state)
    # Two keys may have different types.
    given, own = ParameterTree.of(state._replace(key=())), ParameterTree.of(made)
    if given != own:
        raise ValueError(f"`state` must be {allowed}; got that of another intervention or graph")


def reported_taus(taus: Sequence[float], selection: Selection | None = None) -> tuple[float, ...]:
    """The taus to report, ascending, with the selection's own; ValueError if one is not valid."""
    try:
        listed = () if isinstance(taus, str) else tuple(taus)
    except TypeError:
        listed = ()
    if not listed:
        raise ValueError(f"`taus` must hold at least one threshold; got {taus!r}")
    for tau in listed:
        check(is_number(tau) and float(tau) >= 0, "taus", "numbers >= 0", tau)
    own = () if selection is None else selection.fixed_taus
    by_value = {np.float32(tau): float(tau) for tau in (*own, *listed)}
    return tuple(by_value[value] for value in sorted(by_value))

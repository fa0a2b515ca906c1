# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""An intervention that only measures: dormancy, norms and ranks, and what else is named."""

import functools
from collections.abc import Sequence
from typing import Any

import jax

from dormant.graph import NeuronGraph, check_graph
from dormant.interventions.carried import (
    carried_at_start,
    carried_on,
    check_initial,
    compared_with,
)
from dormant.interventions.intervention import Intervention
from dormant.interventions.network_metrics import check_rank_threshold, metrics_of, nan_metrics
from dormant.interventions.scored_rows import activations_on, check_score_batch, scored_rows
from dormant.interventions.scores import check_gradients, dormancy_scores
from dormant.interventions.state import (
    InterventionState,
    check_state,
    initial_state,
    observe,
    reported_taus,
    shapes_of,
)
from dormant.interventions.structures import as_traced
from dormant.interventions.timing import every
from dormant.measures import Measure, MeasureInputs, measured
from dormant.measures.catalog import resolved
from dormant.measures.measure import DEFAULT_TAUS, unmeasured
from dormant.measures.spectra import singular_values


def track(
    graph: NeuronGraph,
    *,
    taus: Sequence[float] = DEFAULT_TAUS,
    measures: Sequence[str | Measure] = (),
    period: int = 1_000,
    start: int = 0,
    end: int | None = None,
    score_batch: int | None = None,
    rank_threshold: float = 0.01,
) -> Intervention:
    """Measures dormancy, `network_metrics` and what else is named, and changes nothing.

    Args:
      graph: the network's neuron graph.
      taus: the thresholds to report, each at least 0.
      measures: what else to measure, in the same pass: names of `dormant.measures.BY_NAME`, such as
        "srank", or measures that were made with options, such as `measures.pca_rank(0.95)` and
        `measures.churn(apply)`. Their values stand in `state.report.measures`.
      period, start, end: at which gradient steps, as `parts.every` takes them.
      score_batch: score on the first rows of the inputs only; None for all of them. A rank is at
        most the number of rows (`measures.rank_cap`); a UserWarning tells when it is traced.
      rank_threshold: delta of the effective rank, in (0, 1).

    Returns:
      An `Intervention` whose state is an `InterventionState`. Gradient norms are measured when its
      update is given `gradient=`, else they are NaN; a function is called only where something is
      due. Its `init(key, params)` must be given the initial parameters where a measure compares
      with them; its state carries earlier parameters only where one needs them.

    Raises:
      ValueError: if an option is not valid.
    """
    check_graph(graph)
    taus = reported_taus(taus)
    is_due = every(period, start, end)
    check_score_batch(score_batch)
    check_rank_threshold(rank_threshold)
    named = resolved(measures)

    def measure(gradient, operands):
        state, params, inputs = operands
        if callable(gradient):
            gradient = gradient()
        if gradient is not None:
            gradient = as_traced(graph.parameters, gradient, "gradient")
        activations = activations_on(graph, params, inputs)
        state = observe(state, dormancy_scores(activations), taus)
        spectra = singular_values(graph, activations)
        metrics = metrics_of(graph, params, activations, gradient, spectra, rank_threshold)
        earlier = compared_with(graph, state.action, params)
        given = MeasureInputs(params, activations, inputs, gradient, spectra, **earlier)
        values = measured(graph, named, given)
        report = state.report._replace(network=metrics, measures=values)
        return state._replace(report=report, action=carried_on(graph, state.action, params))

    def update(params, opt_state, state: InterventionState, *inputs, gradient=None, **others):
        check_gradients((), others)
        check_state(state, made)
        state = state._replace(step=state.step + 1)
        if inputs:
            # Only the state comes out of the conditional: the parameters need not be copied.
            # A function is called inside it, so that an undue gradient is not computed.
            due = functools.partial(measure, gradient)
            operands = (
                state,
                as_traced(graph.parameters, params),
                scored_rows(graph, params, inputs, score_batch),
            )
            state = jax.lax.cond(is_due(state.step), due, lambda operands: operands[0], operands)
        return params, opt_state, state

    def initial(key: jax.Array, params: Any = None) -> InterventionState:
        state = initial_state(graph, taus, key)
        report = state.report._replace(
            network=nan_metrics(graph), measures=unmeasured(graph, named)
        )
        return state._replace(report=report, action=carried_at_start(graph, named, params))

    def init(key: jax.Array, params: Any = None) -> InterventionState:
        check_initial(named, params)
        return initial(key, params)

    made = shapes_of(initial)
    return Intervention(init, update, is_due)

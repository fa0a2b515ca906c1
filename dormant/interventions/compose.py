# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Interventions composed of a score, a selection and an action."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dormant.checks import check, check_arrays, check_when
from dormant.graph import NeuronGraph, check_graph
from dormant.interventions.actions import Action
from dormant.interventions.intervention import Intervention
from dormant.interventions.scored_rows import activations_on, check_score_batch, scored_rows
from dormant.interventions.scores import (
    Score,
    ScoreFunction,
    Scores,
    activation_score,
    as_score,
    check_gradients,
    dormancy_scores,
    score_inputs,
)
from dormant.interventions.selections import Selection, are_known
from dormant.interventions.state import (
    InterventionState,
    Report,
    check_state,
    initial_state,
    nobody,
    observe,
    reported_taus,
    shapes_of,
)
from dormant.interventions.structures import as_traced, rewrap_as
from dormant.interventions.timing import When
from dormant.measures.measure import DEFAULT_TAUS

# Steps are int32, so none of them folds a key with this number.
_SELECTION_KEY = 2**32 - 1


def intervene(
    graph: NeuronGraph,
    *,
    selection: Selection,
    action: Action,
    when: When,
    score: Score | ScoreFunction = activation_score,
    score_batch: int | None = None,
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """Whenever it is due: scores the neurons, selects some of them and acts on those.

    `redo`, `fixed_budget`, `layer_reset` and `prune` are made with it, of parts that stand in
    `dormant.parts`. One forward pass serves the scores and the report, which is always of dormancy
    scores (paper, Eq. 1), whatever the score.

    Args:
      graph: the network's neuron graph.
      selection: which neurons, such as `parts.below_threshold(0.1)`.
      action: what is done to them, such as `parts.recycling(graph, init, optimizer)`.
      when: at which gradient steps, such as `parts.every(1_000)`.
      score: a `parts.Score`, such as `parts.gradient_score()`, or a plain function
        `score(graph, params, activations) -> {layer: (H,)}`, such as `parts.contribution_utility`;
        is given the layers that the action can act on. Nothing is done to a layer with a score of
        NaN.
      score_batch: score on the first rows of the inputs only; None for all of them.
      taus: the thresholds to report; a fixed one of the selection is reported besides.

    Returns:
      An `Intervention` whose state is an `InterventionState`; jit, vmap and scan safe,
      and sharding safe by `NamedSharding`; inside `pmap` every device needs the same inputs.

    Raises:
      ValueError: if an argument is not valid.
    """
    check_graph(graph)
    score = as_score(score)
    check(isinstance(selection, Selection), "selection", "a Selection", selection)
    check(isinstance(action, Action), "action", "an Action", action)
    check_when("when", when)
    taus = reported_taus(taus, selection)
    check_score_batch(score_batch)
    acted_on = graph.select(action.layers)

    def scored(gradients, params, state, inputs) -> tuple[Scores, InterventionState]:
        """The scores of the layers that are acted on; what was scored stands in the state."""
        activations = activations_on(graph, params, inputs)
        state = observe(state, dormancy_scores(activations), taus)
        measured = {name: activations[name] for name in action.layers}
        given = score_inputs(acted_on, score.needs, params, measured, gradients)
        scores, score_state = score.measure(acted_on, given, state.score)
        _check_scores(acted_on, scores)
        return scores, state._replace(score=score_state)

    def act(gradients, operands):
        params, opt_state, state, inputs = operands
        scores, state = scored(gradients, params, state, inputs)
        selection_key = jax.random.fold_in(state.key, _SELECTION_KEY)
        thresholds = selection.thresholds(action.layers, state.selection, state.step)
        masks, selection_state = selection.select(
            scores, state.selection, state.step, jax.random.fold_in(selection_key, state.step)
        )
        # Whatever the selection: nothing is known of a layer without scores.
        known = are_known(scores)
        masks = {name: mask & known[name] for name, mask in masks.items()}
        params, opt_state, masks, action_state = action.act(
            params,
            opt_state,
            masks,
            jax.random.fold_in(state.key, state.step),
            state.action,
            scores,
        )
        state = state._replace(
            masks=state.masks | masks,
            score=score.reset(state.score, masks),
            selection=selection_state,
            action=action_state,
        )
        return params, opt_state, state._replace(report=_with_action(state, thresholds))

    def update(params, opt_state, state: InterventionState, *inputs, **gradients):
        given = params
        params = as_traced(graph.parameters, params)
        check_state(state, made)
        check_arrays("opt_state", opt_state)
        state = state._replace(step=state.step + 1, masks=nobody(graph))
        params, opt_state = action.maintain(params, opt_state, state.action)
        if inputs:
            operands = (params, opt_state, state, scored_rows(graph, params, inputs, score_batch))
            # Functions are called inside it, so that undue gradients are not computed.
            due = functools.partial(act, check_gradients(score.needs, gradients))
            params, opt_state, state = jax.lax.cond(
                when(state.step), due, lambda operands: operands[:3], operands
            )
        return rewrap_as(params, given), opt_state, state

    def init(key: jax.Array) -> InterventionState:
        state = initial_state(graph, taus, key)
        return state._replace(
            score=score.init(acted_on),
            selection=selection.init(acted_on.neurons),
            action=action.init(),
        )

    made = shapes_of(init)
    return Intervention(init, update, when, score.needs)


def _with_action(state: InterventionState, thresholds: dict[str, jax.Array]) -> Report:
    """The report, with the thresholds that selected and the numbers of neurons acted on."""
    counts = {name: jnp.sum(mask, dtype=jnp.int32) for name, mask in state.masks.items()}
    return state.report._replace(
        threshold=state.report.threshold | thresholds,
        recycled=counts,
        recycled_total=state.report.recycled_total + sum(counts.values()),
    )


def _check_scores(graph: NeuronGraph, scores: Any) -> None:
    """Raises ValueError unless there is one score for every neuron of the graph's layers."""
    wanted = {layer.name: (layer.neurons,) for layer in graph.layers}
    found = scores
    if isinstance(scores, Mapping):
        found = {name: np.shape(score) for name, score in scores.items()}
    check(found == wanted, "score", f"a function that returns arrays of shapes {wanted}", found)
    for name, score in scores.items():  # a mask would pass for scores of 0 and 1
        dtype = jnp.result_type(score)
        is_number = jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)
        check(is_number, "score", "a function that returns real numbers", f"{dtype} of {name!r}")

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Interventions: pure functions beside an optax optimizer, composed of score, selection, action."""

import functools
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dormant.checks import (
    check,
    check_arrays,
    check_key,
    check_when,
    is_pair,
)
from dormant.graph import NeuronGraph, check_graph
from dormant.interventions.actions import Action
from dormant.interventions.carried import (
    carried_at_start,
    carried_on,
    check_initial,
    compared_with,
)
from dormant.interventions.measures import check_rank_threshold, metrics_of, unmeasured
from dormant.interventions.scored_rows import activations_on, check_score_batch, scored_rows
from dormant.interventions.scores import (
    Score,
    ScoreFunction,
    activation_score,
    as_score,
    check_gradients,
    dormancy_scores,
    score_inputs,
)
from dormant.interventions.selections import Selection, are_known
from dormant.interventions.state import (
    DEFAULT_TAUS,
    InterventionState,
    check_state,
    initial_state,
    nobody,
    observe,
    reported_taus,
    shapes_of,
)
from dormant.interventions.structures import as_traced, rewrap_as
from dormant.interventions.timing import When, every
from dormant.measures import Measure, MeasureInputs, measured
from dormant.measures.catalog import resolved
from dormant.measures.measure import unmeasured as unmeasured_values
from dormant.measures.spectra import singular_values

# Steps are int32, so none of them folds a key with this number.
_SELECTION_KEY = 2**32 - 1


class Intervention(NamedTuple):
    """Something done to a network while it trains.

    Attributes:
      init: `init(key) -> state`. The key is consumed. Of `track` also `init(key, params)`, for
        measures that compare with the initial parameters.
      update: `update(params, opt_state, state, *inputs, gradient=None,
        pre_activation_gradients=None) -> (params, opt_state, state)`. One call is one gradient
        step. `inputs` are the network's inputs to score on; without any, nothing is scored and the
        step is only counted, for callers who know on the host that nothing is due. `gradient` is
        the loss gradient, a tree like the parameters, or a function without arguments that computes
        it; `pre_activation_gradients` what `graph.pre_activation_gradients` returns, or a function
        of the graph that does. Functions are called only where something is due that reads them:
        `track`, and scores that need them. Parameters and optimizer state come back in the
        structure in which they were given: trees of arrays, states of `flax.nnx`, or the variables
        of `nnx.Optimizer`.
      is_due: `is_due(step) -> bool`, whether the update numbered `step` (the first is 1) scores and
        acts when it is given inputs; for whole numbers and integer arrays.
      needs: which of the keywords of `update` it cannot do without.
    """

    init: Callable[..., Any]
    update: Callable[..., tuple[Any, Any, Any]]
    is_due: When = lambda step: True
    needs: tuple[str, ...] = ()


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
      An `Intervention` whose state is an `InterventionState`; jit, vmap, scan and sharding safe.

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

    def act(gradients, operands):
        params, opt_state, state, inputs = operands
        activations = activations_on(graph, params, inputs)
        state = observe(state, dormancy_scores(activations), taus)
        measured = {name: activations[name] for name in action.layers}
        given = score_inputs(acted_on, score.needs, params, measured, gradients)
        scores, score_state = score.measure(acted_on, given, state.score)
        _check_scores(acted_on, scores)
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
        score_state = score.reset(score_state, masks)
        masks = state.masks | masks
        counts = {name: jnp.sum(mask, dtype=jnp.int32) for name, mask in masks.items()}
        report = state.report._replace(
            threshold=state.report.threshold | thresholds,
            recycled=counts,
            recycled_total=state.report.recycled_total + sum(counts.values()),
        )
        state = state._replace(
            masks=masks,
            report=report,
            score=score_state,
            selection=selection_state,
            action=action_state,
        )
        return params, opt_state, state

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
            selection=selection.init({layer.name: layer.neurons for layer in acted_on.layers}),
            action=action.init(),
        )

    made = shapes_of(init)
    return Intervention(init, update, when, score.needs)


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
            network=unmeasured(graph), measures=unmeasured_values(graph, named)
        )
        return state._replace(report=report, action=carried_at_start(graph, named, params))

    def init(key: jax.Array, params: Any = None) -> InterventionState:
        check_initial(named, params)
        return initial(key, params)

    made = shapes_of(initial)
    return Intervention(init, update, is_due)


def combine(**interventions: Intervention) -> Intervention:
    """Several interventions as one, applied in the order given.

    For a network of several traced parts in one parameter tree, such as an actor and a critic. Each
    sees what those before it have done.

    Args:
      **interventions: at least one, by name.

    Returns:
      An `Intervention` whose state is `{name: state}`. Each is given all inputs, and the gradient.
      It is due when one of them is.

    Raises:
      ValueError: if there is none, or if one is not an `Intervention`.
    """
    if not interventions:
        raise ValueError(f"`combine` needs at least one intervention; got {interventions!r}")
    for name, intervention in interventions.items():
        check_intervention(name, intervention)

    def init(key: jax.Array, params: Any = None) -> dict[str, Any]:
        check_key("key", key)
        return {
            name: state_at_start(intervention, jax.random.fold_in(key, number), params)
            for number, (name, intervention) in enumerate(interventions.items())
        }

    def update(params, opt_state, state: dict[str, Any], *inputs, **keywords):
        known = isinstance(state, dict) and state.keys() == interventions.keys()
        check(known, "state", f"what `init` returns, a dict of {', '.join(interventions)}", state)
        new_state = {}
        for name, intervention in interventions.items():
            params, opt_state, new_state[name] = intervention.update(
                params, opt_state, state[name], *inputs, **keywords
            )
        return params, opt_state, new_state

    def is_due(step: int | jax.Array) -> bool | jax.Array:
        due = [intervention.is_due(step) for intervention in interventions.values()]
        return functools.reduce(operator.or_, due)

    needs = (name for intervention in interventions.values() for name in intervention.needs)
    return Intervention(init, update, is_due, tuple(dict.fromkeys(needs)))


def state_at_start(intervention: Intervention, key: jax.Array, params: Any) -> Any:
    """The state at the start of training; `params` reach the interventions that take them."""
    takes_params = "params" in inspect.signature(intervention.init).parameters
    return intervention.init(key, params) if takes_params else intervention.init(key)


def check_intervention(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is an `Intervention`; an optimizer is none."""
    is_intervention = is_pair(value) and callable(getattr(value, "is_due", None))
    check(is_intervention, name, "an Intervention, such as `dormant.redo` returns", value)


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

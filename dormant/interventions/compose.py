"""Interventions: pure functions beside an optax optimizer, composed of score, selection, action."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.checks import check_count, is_pair
from dormant.graph import NeuronGraph
from dormant.interventions.actions import Action
from dormant.interventions.masks import check_tau, dormant_fraction, dormant_masks, overlap
from dormant.interventions.measures import (
    NetworkMetrics,
    check_rank_threshold,
    network_metrics,
    unmeasured,
)
from dormant.interventions.scores import Score, dormancy_scores
from dormant.interventions.selections import Selection

DEFAULT_TAUS = (0.0, 0.025, 0.1)
# Steps are int32, so none of them folds a key with this number.
_SELECTION_KEY = 2**32 - 1


class Intervention(NamedTuple):
    """Something done to a network while it trains.

    Attributes:
      init: `init(key) -> state`. The key is consumed.
      update: `update(params, opt_state, state, *inputs, gradient=None) -> (params, opt_state,
        state)`. One call is one gradient step. `inputs` are the network's inputs to score on;
        without any, nothing is scored and the step is only counted, for callers who know on the
        host that nothing is due (`is_due`). `gradient` is the loss gradient, or a function without
        arguments that computes it; `track` alone reads it.
    """

    init: Callable[[jax.Array], Any]
    update: Callable[..., tuple[Any, Any, Any]]


class Report(NamedTuple):
    """What the last scoring found, before anything was done. T is the number of reported taus.

    `step` is -1 before the first scoring; fractions are then 0, overlaps and metrics NaN.
    """

    step: jax.Array  # int32 (): gradient step of the scoring
    dormant_fraction: dict[str, jax.Array]  # float32 (T,) per layer
    pooled: jax.Array  # float32 (T,): dormant neurons / neurons over all layers
    overlap: dict[str, jax.Array]  # float32 (T,): with the previous scoring's set; NaN if undefined
    overlap_history: dict[str, jax.Array]  # float32 (T,): with the union of all earlier sets
    recycled: dict[str, jax.Array]  # int32 () per layer: neurons acted on at the last scoring
    recycled_total: jax.Array  # int32 (): since the start, over all layers
    network: NetworkMetrics | tuple[()]  # of `track`; () for the others


class InterventionState(NamedTuple):
    """State of every periodic intervention. T is the number of reported taus."""

    step: jax.Array  # int32 (): gradient steps so far
    key: jax.Array  # folded with the step at every scoring, never advanced
    dormant: dict[str, jax.Array]  # bool (T, H): the dormant sets of the last scoring
    history: dict[str, jax.Array]  # bool (T, H): the union of the sets of all scorings before it
    masks: dict[str, jax.Array]  # bool (H,): neurons acted on at this very step
    report: Report
    selection: Any  # state of the selection rule
    action: Any  # state of the action


def is_due(
    step: int | jax.Array, period: int, start: int = 0, end: int | None = None
) -> bool | jax.Array:
    """Whether gradient step `step` (1 for the first) is a multiple of `period` in [start, end)."""
    due = (step % period == 0) & (step > 0) & (step >= start)
    return due if end is None else due & (step < end)


def intervene(
    graph: NeuronGraph,
    *,
    score: Score,
    selection: Selection,
    action: Action,
    period: int,
    start: int = 0,
    end: int | None = None,
    score_batch: int | None = None,
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """Every `period` gradient steps: scores the neurons, selects some of them and acts on those.

    `redo`, `fixed_budget`, `layer_reset` and `prune` are made with it. One forward pass serves the
    scores and the report, which is always of dormancy scores (paper, Eq. 1), whatever the score.

    Args:
      graph: the network's neuron graph.
      score: `score(graph, params, activations) -> {layer: (H,)}`, such as
        `dormant.parts.activation_score`; is given the layers that the action can act on.
      selection: which neurons, such as `dormant.parts.below_threshold(0.1)`.
      action: what is done to them, such as `dormant.parts.recycling(graph, init, optimizer)`.
      period: gradient steps between two scorings.
      start: first gradient step at which to act.
      end: first gradient step at which to act no more; None for never.
      score_batch: score on the first rows of the inputs only; None for all of them.
      taus: the thresholds to report.

    Returns:
      An `Intervention` whose state is an `InterventionState`; jit, vmap, scan and sharding safe.

    Raises:
      ValueError: if an option is not valid.
    """
    taus = check_timing(graph, taus, period, start, end, score_batch)
    acted_on = graph.select(action.layers)

    def act(operands):
        params, opt_state, state, inputs = operands
        activations = graph.activations(params, *inputs)
        state = _observe(state, dormancy_scores(activations), taus)
        scores = score(acted_on, params, {name: activations[name] for name in action.layers})
        selection_key = jax.random.fold_in(state.key, _SELECTION_KEY)
        masks, selection_state = selection.select(
            scores, state.selection, state.step, jax.random.fold_in(selection_key, state.step)
        )
        params, opt_state, masks, action_state = action.act(
            params, opt_state, masks, jax.random.fold_in(state.key, state.step), state.action
        )
        masks = state.masks | masks
        counts = {name: jnp.sum(mask, dtype=jnp.int32) for name, mask in masks.items()}
        report = state.report._replace(
            recycled=counts, recycled_total=state.report.recycled_total + sum(counts.values())
        )
        state = state._replace(
            masks=masks, report=report, selection=selection_state, action=action_state
        )
        return params, opt_state, state

    def update(params, opt_state, state: InterventionState, *inputs, gradient=None):
        del gradient
        state = state._replace(step=state.step + 1, masks=_nobody(graph))
        params, opt_state = action.maintain(params, opt_state, state.action)
        if not inputs:
            return params, opt_state, state
        operands = (params, opt_state, state, _rows(inputs, score_batch))
        due = is_due(state.step, period, start, end)
        return jax.lax.cond(due, act, lambda operands: operands[:3], operands)

    def init(key: jax.Array) -> InterventionState:
        state = _initial_state(graph, taus, key)
        return state._replace(selection=selection.init(action.layers), action=action.init())

    return Intervention(init, update)


def track(
    graph: NeuronGraph,
    *,
    taus: Sequence[float] = DEFAULT_TAUS,
    period: int = 1_000,
    start: int = 0,
    end: int | None = None,
    score_batch: int | None = None,
    rank_threshold: float = 0.01,
) -> Intervention:
    """Measures dormancy and `network_metrics` every `period` gradient steps and changes nothing.

    Args:
      graph: the network's neuron graph.
      taus: the thresholds to report, each at least 0.
      period: gradient steps between two scorings.
      start: first gradient step at which to score.
      end: first gradient step at which to score no more; None for never.
      score_batch: score on the first rows of the inputs only; None for all of them.
      rank_threshold: delta of the effective rank, in (0, 1).

    Returns:
      An `Intervention` whose state is an `InterventionState`. Gradient norms are measured when its
      update is given `gradient=`, the loss gradient, a tree like the parameters, or a function
      without arguments that computes it, which is called only where something is due.

    Raises:
      ValueError: if an option is not valid.
    """
    taus = check_timing(graph, taus, period, start, end, score_batch)
    check_rank_threshold(rank_threshold)

    def observe(state, params, inputs, gradient):
        activations = graph.activations(params, *inputs)
        state = _observe(state, dormancy_scores(activations), taus)
        metrics = network_metrics(
            graph, params, activations, gradient, rank_threshold=rank_threshold
        )
        return state._replace(report=state.report._replace(network=metrics))

    def update(params, opt_state, state: InterventionState, *inputs, gradient=None):
        state = state._replace(step=state.step + 1)
        if inputs:
            # Only the state comes out of the conditional: the parameters need not be copied.
            # A function is called inside it, so that an undue gradient is not computed.
            def act(operands):
                return observe(*operands, gradient() if callable(gradient) else gradient)

            operands = (state, params, _rows(inputs, score_batch))
            due = is_due(state.step, period, start, end)
            state = jax.lax.cond(due, act, lambda operands: operands[0], operands)
        return params, opt_state, state

    def init(key: jax.Array) -> InterventionState:
        state = _initial_state(graph, taus, key)
        return state._replace(report=state.report._replace(network=unmeasured(graph)))

    return Intervention(init, update)


def combine(**interventions: Intervention) -> Intervention:
    """Several interventions as one, applied in the order given.

    For a network of several traced parts in one parameter tree, such as an actor and a critic. Each
    sees what those before it have done.

    Args:
      **interventions: at least one, by name.

    Returns:
      An `Intervention` whose state is `{name: state}`. Each is given all inputs, and the gradient.

    Raises:
      ValueError: if there is none, or if one is not a pair (init, update).
    """
    if not interventions:
        raise ValueError(f"`combine` needs at least one intervention; got {interventions!r}")
    for name, intervention in interventions.items():
        if not is_pair(intervention):
            raise ValueError(f"`{name}` must be a pair (init, update); got {intervention!r}")

    def init(key: jax.Array) -> dict[str, Any]:
        return {
            name: intervention.init(jax.random.fold_in(key, number))
            for number, (name, intervention) in enumerate(interventions.items())
        }

    def update(params, opt_state, state: dict[str, Any], *inputs, **keywords):
        new_state = {}
        for name, intervention in interventions.items():
            params, opt_state, new_state[name] = intervention.update(
                params, opt_state, state[name], *inputs, **keywords
            )
        return params, opt_state, new_state

    return Intervention(init, update)


def _each(graph: NeuronGraph, make: Callable[[int], jax.Array]) -> dict[str, jax.Array]:
    return {layer.name: make(layer.neurons) for layer in graph.layers}


def _nobody(graph: NeuronGraph) -> dict[str, jax.Array]:
    return _each(graph, lambda neurons: jnp.zeros(neurons, bool))


def _initial_state(
    graph: NeuronGraph, taus: tuple[float, ...], key: jax.Array
) -> InterventionState:
    count = len(taus)
    report = Report(
        step=jnp.asarray(-1, jnp.int32),
        dormant_fraction=_each(graph, lambda _: jnp.zeros(count, jnp.float32)),
        pooled=jnp.zeros(count, jnp.float32),
        overlap=_each(graph, lambda _: jnp.full(count, jnp.nan, jnp.float32)),
        overlap_history=_each(graph, lambda _: jnp.full(count, jnp.nan, jnp.float32)),
        recycled=_each(graph, lambda _: jnp.zeros((), jnp.int32)),
        recycled_total=jnp.zeros((), jnp.int32),
        network=(),
    )
    return InterventionState(
        step=jnp.zeros((), jnp.int32),
        key=jnp.asarray(key),
        dormant=_each(graph, lambda neurons: jnp.zeros((count, neurons), bool)),
        history=_each(graph, lambda neurons: jnp.zeros((count, neurons), bool)),
        masks=_nobody(graph),
        report=report,
        selection=(),
        action=(),
    )


def _observe(
    state: InterventionState, scores: dict[str, jax.Array], taus: tuple[float, ...]
) -> InterventionState:
    """Writes what the dormancy scores say into the state."""
    per_tau = [dormant_masks(scores, tau) for tau in taus]
    dormant = {name: jnp.stack([masks[name] for masks in per_tau]) for name in scores}
    history = {name: state.history[name] | state.dormant[name] for name in scores}
    report = state.report._replace(
        step=state.step,
        dormant_fraction={
            name: jnp.mean(mask, axis=-1, dtype=jnp.float32) for name, mask in dormant.items()
        },
        pooled=jnp.stack([dormant_fraction(masks) for masks in per_tau]),
        overlap={name: overlap(mask, state.dormant[name]) for name, mask in dormant.items()},
        overlap_history={name: overlap(mask, history[name]) for name, mask in dormant.items()},
    )
    return state._replace(dormant=dormant, history=history, report=report)


def _rows(inputs: tuple[Any, ...], score_batch: int | None) -> tuple[Any, ...]:
    """The first `score_batch` rows of every input that has a batch axis."""
    if score_batch is None:
        return inputs

    def cut(leaf: jax.Array) -> jax.Array:
        if jnp.ndim(leaf) == 0 or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf
        if leaf.shape[0] < score_batch:
            raise ValueError(
                f"the inputs must have at least `score_batch` = {score_batch} rows; "
                f"got shape {leaf.shape}"
            )
        return leaf[:score_batch]

    return jax.tree.map(cut, inputs)


def check_timing(graph, taus, period, start, end, score_batch) -> tuple[float, ...]:
    """The taus; ValueError unless what every periodic intervention is given is valid."""
    if not isinstance(graph, NeuronGraph):
        raise ValueError(f"`graph` must be a NeuronGraph from `dormant.trace`; got {graph!r}")
    listed = tuple(taus) if hasattr(taus, "__iter__") else ()
    if not listed:
        raise ValueError(f"`taus` must hold at least one threshold; got {taus!r}")
    for tau in listed:
        check_tau(tau, "taus")
    for name, value, least in (("period", period, 1), ("start", start, 0)):
        check_count(name, value, least)
    if end is not None:
        check_count("end", end, start)
    if score_batch is not None:
        check_count("score_batch", score_batch, 1)
    return listed

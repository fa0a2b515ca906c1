# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Interventions: pure functions beside an optax optimizer, composed of score, selection, action."""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dormant.checks import (
    check,
    check_count,
    check_function,
    check_key,
    check_when,
    is_number,
    is_pair,
)
from dormant.graph import NeuronGraph, ParameterTree, check_graph
from dormant.interventions.actions import Action
from dormant.interventions.masks import check_tau, dormant_fraction, dormant_masks, overlap
from dormant.interventions.measures import (
    NetworkMetrics,
    check_rank_threshold,
    network_metrics,
    unmeasured,
)
from dormant.interventions.scores import Score, activation_score, dormancy_scores
from dormant.interventions.selections import Selection
from dormant.interventions.structures import as_traced, rewrap_as
from dormant.interventions.timing import When, every

DEFAULT_TAUS = (0.0, 0.025, 0.1)
# Steps are int32, so none of them folds a key with this number.
_SELECTION_KEY = 2**32 - 1


def _always(step: int | jax.Array) -> bool:
    del step
    return True


class Intervention(NamedTuple):
    """Something done to a network while it trains.

    Attributes:
      init: `init(key) -> state`. The key is consumed.
      update: `update(params, opt_state, state, *inputs, gradient=None) -> (params, opt_state,
        state)`. One call is one gradient step. `inputs` are the network's inputs to score on;
        without any, nothing is scored and the step is only counted, for callers who know on the
        host that nothing is due. `gradient` is the loss gradient, or a function without arguments
        that computes it; `track` alone reads it. Parameters and optimizer state come back in the
        structure in which they were given: trees of arrays, states of `flax.nnx`, or the variables
        of `nnx.Optimizer`.
      is_due: `is_due(step) -> bool`, whether the update numbered `step` (the first is 1) scores and
        acts when it is given inputs; for whole numbers and integer arrays.
    """

    init: Callable[[jax.Array], Any]
    update: Callable[..., tuple[Any, Any, Any]]
    is_due: When = _always


class Report(NamedTuple):
    """What the last scoring found, before anything was done. T is the number of reported taus.

    `step` is -1 before the first scoring; fractions are then 0, overlaps, thresholds and metrics
    NaN.
    """

    step: jax.Array  # int32 (): gradient step of the scoring
    taus: jax.Array  # float32 (T,): the thresholds of every (T,) below, ascending
    pooled: jax.Array  # float32 (T,): dormant neurons / neurons over all layers
    by_layer: dict[str, jax.Array]  # float32 (T,): dormant neurons / neurons of each layer
    overlap: dict[str, jax.Array]  # float32 (T,): with the previous scoring's set; NaN if undefined
    overlap_history: dict[str, jax.Array]  # float32 (T,): with the union of all earlier sets
    threshold: dict[str, jax.Array]  # float32 () per layer: the tau that selected; NaN without one
    recycled: dict[str, jax.Array]  # int32 () per layer: neurons acted on at the last scoring
    recycled_total: jax.Array  # int32 (): since the start, over all layers
    network: NetworkMetrics | tuple[()]  # of `track`; () for the others

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
    """State of every periodic intervention. T is the number of reported taus."""

    step: jax.Array  # int32 (): gradient steps so far
    key: jax.Array  # folded with the step at every scoring, never advanced
    dormant: dict[str, jax.Array]  # bool (T, H): the dormant sets of the last scoring
    history: dict[str, jax.Array]  # bool (T, H): the union of the sets of all scorings before it
    masks: dict[str, jax.Array]  # bool (H,): neurons acted on at this very step
    report: Report
    selection: Any  # state of the selection
    action: Any  # state of the action


def intervene(
    graph: NeuronGraph,
    *,
    selection: Selection,
    action: Action,
    when: When,
    score: Score = activation_score,
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
      score: `score(graph, params, activations) -> {layer: (H,)}`, such as
        `parts.contribution_utility`; is given the layers that the action can act on.
      score_batch: score on the first rows of the inputs only; None for all of them.
      taus: the thresholds to report; a fixed one of the selection is reported besides.

    Returns:
      An `Intervention` whose state is an `InterventionState`; jit, vmap, scan and sharding safe.

    Raises:
      ValueError: if an argument is not valid.
    """
    check_graph(graph)
    check_function("score", score, "(graph, params, activations)", 3)
    for name, part, kind in (("selection", selection, Selection), ("action", action, Action)):
        if not isinstance(part, kind):
            article = "an" if kind is Action else "a"
            raise ValueError(f"`{name}` must be {article} {kind.__name__}; got {part!r}")
    check_when("when", when)
    taus = _reported_taus(taus, selection)
    _check_score_batch(score_batch)
    acted_on = graph.select(action.layers)

    def act(operands):
        params, opt_state, state, inputs = operands
        activations = _measured(graph, params, inputs)
        state = _observe(state, dormancy_scores(activations), taus)
        scores = score(acted_on, params, {name: activations[name] for name in action.layers})
        _check_scores(acted_on, scores)
        selection_key = jax.random.fold_in(state.key, _SELECTION_KEY)
        thresholds = selection.thresholds(action.layers, state.selection, state.step)
        masks, selection_state = selection.select(
            scores, state.selection, state.step, jax.random.fold_in(selection_key, state.step)
        )
        params, opt_state, masks, action_state = action.act(
            params, opt_state, masks, jax.random.fold_in(state.key, state.step), state.action
        )
        masks = state.masks | masks
        counts = {name: jnp.sum(mask, dtype=jnp.int32) for name, mask in masks.items()}
        report = state.report._replace(
            threshold=state.report.threshold | thresholds,
            recycled=counts,
            recycled_total=state.report.recycled_total + sum(counts.values()),
        )
        state = state._replace(
            masks=masks, report=report, selection=selection_state, action=action_state
        )
        return params, opt_state, state

    def update(params, opt_state, state: InterventionState, *inputs, gradient=None):
        del gradient
        given = params
        params = as_traced(graph.parameters, params)
        _check_state(state, made)
        state = state._replace(step=state.step + 1, masks=_nobody(graph))
        params, opt_state = action.maintain(params, opt_state, state.action)
        if inputs:
            operands = (params, opt_state, state, _rows(inputs, score_batch))
            params, opt_state, state = jax.lax.cond(
                when(state.step), act, lambda operands: operands[:3], operands
            )
        return rewrap_as(params, given), opt_state, state

    def init(key: jax.Array) -> InterventionState:
        state = _initial_state(graph, taus, key)
        return state._replace(selection=selection.init(action.layers), action=action.init())

    made = _shapes(init)
    return Intervention(init, update, when)


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
      period, start, end: at which gradient steps, as `parts.every` takes them.
      score_batch: score on the first rows of the inputs only; None for all of them.
      rank_threshold: delta of the effective rank, in (0, 1).

    Returns:
      An `Intervention` whose state is an `InterventionState`. Gradient norms are measured when its
      update is given `gradient=`, the loss gradient, a tree like the parameters, or a function
      without arguments that computes it, which is called only where something is due.

    Raises:
      ValueError: if an option is not valid.
    """
    check_graph(graph)
    taus = _reported_taus(taus)
    is_due = every(period, start, end)
    _check_score_batch(score_batch)
    check_rank_threshold(rank_threshold)

    def observe(operands, gradient):
        state, params, inputs = operands
        activations = _measured(graph, params, inputs)
        state = _observe(state, dormancy_scores(activations), taus)
        metrics = network_metrics(
            graph, params, activations, gradient, rank_threshold=rank_threshold
        )
        return state._replace(report=state.report._replace(network=metrics))

    def update(params, opt_state, state: InterventionState, *inputs, gradient=None):
        _check_state(state, made)
        state = state._replace(step=state.step + 1)
        if inputs:
            # Only the state comes out of the conditional: the parameters need not be copied.
            # A function is called inside it, so that an undue gradient is not computed.
            def act(operands):
                measured = gradient() if callable(gradient) else gradient
                if measured is not None:
                    measured = as_traced(graph.parameters, measured, "gradient")
                return observe(operands, measured)

            operands = (state, as_traced(graph.parameters, params), _rows(inputs, score_batch))
            state = jax.lax.cond(is_due(state.step), act, lambda operands: operands[0], operands)
        return params, opt_state, state

    def init(key: jax.Array) -> InterventionState:
        state = _initial_state(graph, taus, key)
        return state._replace(report=state.report._replace(network=unmeasured(graph)))

    made = _shapes(init)
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

    def init(key: jax.Array) -> dict[str, Any]:
        check_key("key", key)
        return {
            name: intervention.init(jax.random.fold_in(key, number))
            for number, (name, intervention) in enumerate(interventions.items())
        }

    def update(params, opt_state, state: dict[str, Any], *inputs, **keywords):
        known = isinstance(state, dict) and set(state) == set(interventions)
        check(known, "state", f"what `init` returns, a dict of {', '.join(interventions)}", state)
        new_state = {}
        for name, intervention in interventions.items():
            params, opt_state, new_state[name] = intervention.update(
                params, opt_state, state[name], *inputs, **keywords
            )
        return params, opt_state, new_state

    def is_due(step: int | jax.Array) -> bool | jax.Array:
        return functools.reduce(
            operator.or_, (each.is_due(step) for each in interventions.values())
        )

    return Intervention(init, update, is_due)


def check_intervention(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is an `Intervention`; an optimizer is none."""
    is_intervention = is_pair(value) and callable(getattr(value, "is_due", None))
    check(is_intervention, name, "an Intervention, such as `dormant.redo` returns", value)


def _each(graph: NeuronGraph, make: Callable[[int], jax.Array]) -> dict[str, jax.Array]:
    return {layer.name: make(layer.neurons) for layer in graph.layers}


def _nobody(graph: NeuronGraph) -> dict[str, jax.Array]:
    return _each(graph, lambda neurons: jnp.zeros(neurons, bool))


def _initial_state(
    graph: NeuronGraph, taus: tuple[float, ...], key: jax.Array
) -> InterventionState:
    check_key("key", key)
    count = len(taus)

    def undefined(*shape: int) -> jax.Array:
        return jnp.full(shape, jnp.nan, jnp.float32)  # each its own, so that all can be donated

    report = Report(
        step=jnp.asarray(-1, jnp.int32),
        taus=jnp.asarray(taus, jnp.float32),
        pooled=jnp.zeros(count, jnp.float32),
        by_layer=_each(graph, lambda _: jnp.zeros(count, jnp.float32)),
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
        masks=_nobody(graph),
        report=report,
        selection=(),
        action=(),
    )


def _shapes(init: Callable[[jax.Array], InterventionState]) -> InterventionState:
    """The state that `init` returns, without values and without its key, of which there are two
    kinds."""
    return jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))._replace(key=())


def _check_state(state: Any, made: InterventionState) -> None:
    """Raises ValueError unless `state` has the structure and shapes of the one that was made."""
    allowed = "the state that this intervention's own `init` returns"
    check(isinstance(state, InterventionState), "state", allowed, state)
    # Two keys may have different types.
    given, own = ParameterTree.of(state._replace(key=())), ParameterTree.of(made)
    if given != own:
        raise ValueError(f"`state` must be {allowed}; got that of another intervention or graph")


def _measured(graph: NeuronGraph, params: Any, inputs: tuple[Any, ...]) -> dict[str, jax.Array]:
    """The activations on the inputs; ValueError where the network does not take these."""
    try:
        return graph.activations(params, *inputs)
    except (TypeError, AttributeError) as error:
        shapes = [
            f"{getattr(leaf, 'dtype', type(leaf).__name__)}{list(np.shape(leaf))}"
            for leaf in jax.tree.leaves(inputs, is_leaf=lambda leaf: leaf is None)
        ]
        said = str(error).partition("\n")[0]
        raise ValueError(
            f"`inputs` must be what the network takes; got {', '.join(shapes)}: {said}"
        ) from error


def _check_scores(graph: NeuronGraph, scores: Any) -> None:
    """Raises ValueError unless there is one score for every neuron of the graph's layers."""
    wanted = {layer.name: (layer.neurons,) for layer in graph.layers}
    found = scores
    if isinstance(scores, Mapping):
        found = {name: np.shape(score) for name, score in scores.items()}
    check(found == wanted, "score", f"a function that returns arrays of shapes {wanted}", found)


def _observe(
    state: InterventionState, scores: dict[str, jax.Array], taus: tuple[float, ...]
) -> InterventionState:
    """Writes what the dormancy scores say into the state."""
    per_tau = [dormant_masks(scores, tau) for tau in taus]
    dormant = {name: jnp.stack([masks[name] for masks in per_tau]) for name in scores}
    history = {name: state.history[name] | state.dormant[name] for name in scores}
    report = state.report._replace(
        step=state.step,
        by_layer={
            name: jnp.mean(mask, axis=-1, dtype=jnp.float32) for name, mask in dormant.items()
        },
        pooled=jnp.stack([dormant_fraction(masks) for masks in per_tau]),
        overlap={name: overlap(mask, state.dormant[name]) for name, mask in dormant.items()},
        overlap_history={name: overlap(mask, history[name]) for name, mask in dormant.items()},
    )
    return state._replace(dormant=dormant, history=history, report=report)


def _rows(inputs: tuple[Any, ...], score_batch: int | None) -> tuple[Any, ...]:
    """The first `score_batch` rows of every input that has a batch axis."""
    for leaf in jax.tree.leaves(inputs):
        rows = np.shape(leaf)[:1]
        check(rows != (0,), "inputs", "of at least one row", f"shape {np.shape(leaf)}")
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


def _check_score_batch(score_batch: int | None) -> None:
    if score_batch is not None:
        check_count("score_batch", score_batch, 1)


def _reported_taus(taus: Sequence[float], selection: Selection | None = None) -> tuple[float, ...]:
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

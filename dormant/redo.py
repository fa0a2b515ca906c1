"""ReDo and the tracker as transformations: two pure functions beside an optax optimizer."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dormant.graph import NeuronGraph
from dormant.moments import ADAM_COUNTS, check_per_entry, reset_moments
from dormant.recycle import (
    FLATTEN_LAYOUTS,
    INCOMING_SCALES,
    OUTGOING,
    check_choice,
    recycle,
)
from dormant.scores import dormancy_scores
from dormant.selection import (
    check_max_fraction,
    check_tau,
    dormant_fraction,
    dormant_masks,
    overlap,
)

DEFAULT_TAUS = (0.0, 0.025, 0.1)
MOMENTS = ("reset", "keep")


class Intervention(NamedTuple):
    """Something done to a network while it trains.

    Attributes:
      init: `init(key) -> state`. The key is consumed.
      update: `update(params, opt_state, state, *inputs) -> (params, opt_state, state)`. One call is
        one gradient step. `inputs` are the network's inputs to score on; without any, the step is
        only counted, for callers who know on the host that nothing is due (`is_due`).
    """

    init: Callable[[jax.Array], Any]
    update: Callable[..., tuple[Any, Any, Any]]


class Report(NamedTuple):
    """What the last scoring found. T is the number of reported taus.

    Before a recycle, if one followed. `step` is -1 before the first scoring; fractions are then 0.
    """

    step: jax.Array  # int32 (): gradient step of the scoring
    dormant_fraction: dict[str, jax.Array]  # float32 (T,) per layer
    pooled: jax.Array  # float32 (T,): dormant neurons / neurons over all layers
    overlap: dict[str, jax.Array]  # float32 (T,): with the previous scoring's set; NaN if undefined
    recycled: dict[str, jax.Array]  # int32 () per layer, at the last scoring
    recycled_total: jax.Array  # int32 (): since the start, over all layers


class RedoState(NamedTuple):
    """State of `redo` and `track`."""

    step: jax.Array  # int32 (): gradient steps so far
    key: jax.Array  # folded with the step at every recycle, never advanced
    dormant: dict[str, jax.Array]  # bool (T, H): the dormant sets of the last scoring
    report: Report


def is_due(
    step: int | jax.Array, period: int, start: int = 0, end: int | None = None
) -> bool | jax.Array:
    """Whether gradient step `step` (1 for the first) is a multiple of `period` in [start, end)."""
    due = (step % period == 0) & (step > 0) & (step >= start)
    return due if end is None else due & (step < end)


def track(
    graph: NeuronGraph,
    *,
    taus: Sequence[float] = DEFAULT_TAUS,
    period: int = 1_000,
    start: int = 0,
    end: int | None = None,
    score_batch: int | None = None,
) -> Intervention:
    """Measures dormancy every `period` gradient steps and changes nothing.

    Args:
      graph: the network's neuron graph.
      taus: the thresholds to report, each at least 0.
      period: gradient steps between two scorings.
      start: first gradient step at which to score.
      end: first gradient step at which to score no more; None for never.
      score_batch: score on the first rows of the inputs only; None for all of them.

    Returns:
      An `Intervention` whose state is a `RedoState`.

    Raises:
      ValueError: if an option is not valid.
    """
    taus = _check_common(graph, taus, period, start, end, score_batch)

    def update(params, opt_state, state: RedoState, *inputs):
        state = state._replace(step=state.step + 1)
        if not inputs:
            return params, opt_state, state

        rows = _rows(inputs, score_batch)

        def act(state: RedoState) -> RedoState:
            return _observe(state, dormancy_scores(graph.activations(params, *rows)), taus)

        due = is_due(state.step, period, start, end)
        return params, opt_state, jax.lax.cond(due, act, lambda state: state, state)

    return Intervention(lambda key: _initial_state(graph, taus, key), update)


def redo(
    graph: NeuronGraph,
    init: Callable[[jax.Array], Any],
    optimizer: optax.GradientTransformation,
    tau: float | Callable[[jax.Array], jax.Array] | None = 0.1,
    period: int = 1_000,
    *,
    start: int = 0,
    end: int | None = None,
    outgoing: str = "zero",
    incoming_scale: str = "fresh",
    moments: str = "reset",
    adam_count: str = "keep",
    flatten_layout: str = "channels_last",
    max_fraction: float | None = None,
    score_batch: int | None = None,
    also: Sequence[str] = (),
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """ReDo (paper, Algorithm 1): recycles the tau-dormant neurons every `period` gradient steps.

    Call it right after the optimizer's step. Every `period`-th call scores the neurons on `inputs`,
    draws the incoming entries of the dormant ones anew with `init`, zeroes their outgoing entries
    and the optimizer's moments of both. At tau = 0 the network's outputs on `inputs` do not change.

    Args:
      graph: the network's neuron graph.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: the optimizer whose state `update` is given.
      tau: threshold, at least 0, or an optax schedule of the gradient step; None only tracks.
      period: gradient steps between two recycles (F in the paper).
      start: first gradient step at which to recycle.
      end: first gradient step at which to recycle no more; None for never.
      outgoing: `"zero"` or `"fresh"` (paper, figure 22).
      incoming_scale: `"fresh"` or `"live_norm"` (paper, figure 23).
      moments: `"reset"` or `"keep"`: the optimizer's moments of recycled entries.
      adam_count: `"keep"`, or `"per_entry"` with an optimizer made from `dormant.scale_by_adam`.
      flatten_layout: `"channels_last"` or `"released_code"`; see `dormant.recycle`.
      max_fraction: recycle at most this fraction of a layer at a time; None for no limit.
      score_batch: score on the first rows of the inputs only; None for all of them.
      also: layers to recycle although the graph names an obstacle; outputs may then change.
      taus: the thresholds to report.

    Returns:
      An `Intervention` whose state is a `RedoState`; jit, vmap, scan and sharding safe.

    Raises:
      ValueError: if an option is not valid.
    """
    taus = _check_common(graph, taus, period, start, end, score_batch)
    if tau is not None and not callable(tau):
        check_tau(tau)
    check_max_fraction(max_fraction)
    check_choice("outgoing", outgoing, OUTGOING)
    check_choice("incoming_scale", incoming_scale, INCOMING_SCALES)
    check_choice("moments", moments, MOMENTS)
    check_choice("adam_count", adam_count, ADAM_COUNTS)
    check_choice("flatten_layout", flatten_layout, FLATTEN_LAYOUTS)
    also = tuple(also)
    for name in also:
        if name not in graph.names:
            known = ", ".join(graph.names)
            raise ValueError(f"`also` must name layers among {known}; got {name!r}")
    if tau is None:
        return track(graph, taus=taus, period=period, start=start, end=end, score_batch=score_batch)
    if not callable(init):
        raise ValueError(f"`init` must be a function of a key; got {init!r}")
    if not hasattr(optimizer, "init") or not hasattr(optimizer, "update"):
        raise ValueError(f"`optimizer` must be an optax transformation; got {optimizer!r}")
    if adam_count == "per_entry":
        shapes = jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))
        check_per_entry(jax.eval_shape(optimizer.init, shapes))
    recycled = [layer.name for layer in graph.layers if layer.recyclable or layer.name in also]

    def act(operands):
        params, opt_state, state, inputs = operands
        scores = dormancy_scores(graph.activations(params, *inputs))
        state = _observe(state, scores, taus)
        threshold = tau(state.step) if callable(tau) else tau
        masks = dormant_masks(scores, threshold, max_fraction=max_fraction)
        masks = {name: masks[name] for name in recycled}
        fresh = init(jax.random.fold_in(state.key, state.step))
        params = recycle(
            graph,
            params,
            fresh,
            masks,
            outgoing=outgoing,
            incoming_scale=incoming_scale,
            flatten_layout=flatten_layout,
            also=also,
        )
        if moments == "reset":
            opt_state = reset_moments(
                optimizer,
                graph,
                opt_state,
                masks,
                adam_count=adam_count,
                flatten_layout=flatten_layout,
                also=also,
            )
        counts = {name: jnp.sum(mask, dtype=jnp.int32) for name, mask in masks.items()}
        report = state.report._replace(
            recycled={**state.report.recycled, **counts},
            recycled_total=state.report.recycled_total + sum(counts.values()),
        )
        return params, opt_state, state._replace(report=report)

    def update(params, opt_state, state: RedoState, *inputs):
        state = state._replace(step=state.step + 1)
        if not inputs:
            return params, opt_state, state
        operands = (params, opt_state, state, _rows(inputs, score_batch))
        due = is_due(state.step, period, start, end)
        return jax.lax.cond(due, act, lambda operands: operands[:3], operands)

    return Intervention(lambda key: _initial_state(graph, taus, key), update)


def _initial_state(graph: NeuronGraph, taus: tuple[float, ...], key: jax.Array) -> RedoState:
    def each(make: Callable[[int], jax.Array]) -> dict[str, jax.Array]:
        return {layer.name: make(layer.neurons) for layer in graph.layers}

    count = len(taus)
    report = Report(
        step=jnp.asarray(-1, jnp.int32),
        dormant_fraction=each(lambda _: jnp.zeros(count, jnp.float32)),
        pooled=jnp.zeros(count, jnp.float32),
        overlap=each(lambda _: jnp.full(count, jnp.nan, jnp.float32)),
        recycled=each(lambda _: jnp.zeros((), jnp.int32)),
        recycled_total=jnp.zeros((), jnp.int32),
    )
    dormant = each(lambda neurons: jnp.zeros((count, neurons), bool))
    return RedoState(jnp.zeros((), jnp.int32), jnp.asarray(key), dormant, report)


def _observe(state: RedoState, scores: dict[str, jax.Array], taus: tuple[float, ...]) -> RedoState:
    """Writes what `scores` say into the state's report."""
    per_tau = [dormant_masks(scores, tau) for tau in taus]
    dormant = {name: jnp.stack([masks[name] for masks in per_tau]) for name in scores}
    report = state.report._replace(
        step=state.step,
        dormant_fraction={
            name: jnp.mean(mask, axis=-1, dtype=jnp.float32) for name, mask in dormant.items()
        },
        pooled=jnp.stack([dormant_fraction(masks) for masks in per_tau]),
        overlap={name: overlap(mask, state.dormant[name]) for name, mask in dormant.items()},
        recycled={name: jnp.zeros((), jnp.int32) for name in scores},
    )
    return state._replace(dormant=dormant, report=report)


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


def _check_common(graph, taus, period, start, end, score_batch) -> tuple[float, ...]:
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


def check_count(name: str, value: int, least: int) -> None:
    """Raises ValueError unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise ValueError(f"`{name}` must be a whole number of at least {least}; got {value!r}")

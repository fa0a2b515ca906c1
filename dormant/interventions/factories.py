"""The paper's interventions, each composed of a score, a selection rule and an action."""

from collections.abc import Sequence
from typing import Any

import optax

from dormant.checks import check_choice
from dormant.graph import NeuronGraph
from dormant.interventions.actions import (
    Initializer,
    check_recycling,
    pruning,
    recycling,
    redrawing,
)
from dormant.interventions.compose import DEFAULT_TAUS, Intervention, check_timing, intervene, track
from dormant.interventions.scores import activation_score, contribution_utility
from dormant.interventions.selections import (
    Selection,
    ThresholdRule,
    below_threshold,
    budget,
    whole_layers,
)

SCORES = {"activation": activation_score, "contribution_utility": contribution_utility}


def redo(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    tau: float | optax.Schedule | ThresholdRule | None = 0.1,
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
    score: str = "activation",
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
      tau: threshold, at least 0; an optax schedule of the gradient step; `dormant.adaptive_tau(…)`;
        None only tracks.
      period: gradient steps between two recycles (F in the paper).
      start: first gradient step at which to recycle.
      end: first gradient step at which to recycle no more; None for never.
      outgoing: `"zero"` or `"fresh"` (paper, figure 22).
      incoming_scale: `"fresh"` or `"live_norm"` (paper, figure 23).
      moments: `"reset"` or `"keep"`: the optimizer's moments of recycled entries.
      adam_count: `"keep"`, or `"per_entry"` with an optimizer made from `parts.scale_by_adam`.
      flatten_layout: `"channels_last"` or `"released_code"`; see `dormant.recycle`.
      max_fraction: recycle at most this fraction of a layer at a time; None for no limit.
      score: what tau is compared with: `"activation"` (Eq. 1), or `"contribution_utility"` (figure
        25), with which a neuron at 0 need not be silent, so outputs may change at tau = 0.
      score_batch: score on the first rows of the inputs only; None for all of them.
      also: layers to recycle although the graph names an obstacle; outputs may then change.
      taus: the thresholds to report.

    Returns:
      An `Intervention` whose state is an `InterventionState`; jit, vmap, scan and sharding safe.

    Raises:
      ValueError: if an option is not valid.
    """
    check_timing(graph, taus, period, start, end, score_batch)
    also = check_recycling(
        graph, outgoing, incoming_scale, moments, adam_count, flatten_layout, also
    )
    selection = below_threshold(0.0 if tau is None else tau, max_fraction)
    check_choice("score", score, tuple(SCORES))
    if tau is None:
        return track(graph, taus=taus, period=period, start=start, end=end, score_batch=score_batch)
    return _recycle_selected(
        selection, score, graph, init, optimizer, outgoing=outgoing, incoming_scale=incoming_scale,
        moments=moments, adam_count=adam_count, flatten_layout=flatten_layout, also=also,
        period=period, start=start, end=end, score_batch=score_batch, taus=taus,
    )  # fmt: skip


def fixed_budget(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    fraction: float | optax.Schedule = 0.1,
    period: int = 1_000,
    *,
    order: str = "lowest",
    start: int = 0,
    end: int | None = None,
    outgoing: str = "zero",
    incoming_scale: str = "fresh",
    moments: str = "reset",
    adam_count: str = "keep",
    flatten_layout: str = "channels_last",
    score: str = "activation",
    score_batch: int | None = None,
    also: Sequence[str] = (),
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """Recycles a fixed fraction of every layer each `period` gradient steps (paper, figure 15).

    Deviations from the released `NeuronRecyclerScheduled`: ties at the limit (see `parts.budget`)
    and the schedule's unit, which is a gradient step here.

    Args:
      graph: the network's neuron graph.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: the optimizer whose state `update` is given.
      fraction: of each layer, in [0, 1]; or a schedule of the gradient step, in the paper
        `dormant.cosine_fraction(0.1, gradient_steps)`.
      period: gradient steps between two recycles.
      order: the neurons of `"lowest"` score, of `"highest"` score, or `"random"` ones.
      start: as in `redo`, like all that follow.
      end: see `redo`.
      outgoing: see `redo`.
      incoming_scale: see `redo`.
      moments: see `redo`.
      adam_count: see `redo`.
      flatten_layout: see `redo`.
      score: see `redo`.
      score_batch: see `redo`.
      also: see `redo`.
      taus: see `redo`.

    Returns:
      An `Intervention` whose state is an `InterventionState`; jit, vmap, scan and sharding safe.

    Raises:
      ValueError: if an option is not valid.
    """
    check_timing(graph, taus, period, start, end, score_batch)
    check_choice("score", score, tuple(SCORES))
    return _recycle_selected(
        budget(fraction, order), score, graph, init, optimizer, outgoing=outgoing,
        incoming_scale=incoming_scale, moments=moments, adam_count=adam_count,
        flatten_layout=flatten_layout, also=also,
        period=period, start=start, end=end, score_batch=score_batch, taus=taus,
    )  # fmt: skip


def layer_reset(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    layers: str | Sequence[str] = "last_hidden",
    period: int = 100_000,
    *,
    start: int = 0,
    end: int | None = None,
    moments: str = "reset",
    adam_count: str = "keep",
    score_batch: int | None = None,
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """Draws whole layers anew every `period` gradient steps (Nikishin et al. 2022; figures 1, 14).

    A layer's kernel, biases and normalization parameters are taken from `init`, with their moments;
    what reads it is left alone. Unlike the released `LayerReset`, whose biases become 0 and whose
    kernels Xavier-uniform, everything gets its original distribution.

    Args:
      graph: the network's neuron graph.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: the optimizer whose state `update` is given.
      layers: `"last_hidden"`, the hidden layers that an output layer reads (the paper's baseline);
        `"all"`, every parameter of the tree; or names of hidden and output layers.
      period: gradient steps between two resets.
      start: first gradient step at which to reset.
      end: first gradient step at which to reset no more; None for never.
      moments: `"reset"` or `"keep"`: the optimizer's moments of redrawn entries.
      adam_count: `"keep"`, or `"per_entry"` with an optimizer made from `parts.scale_by_adam`.
      score_batch: report on the first rows of the inputs only; None for all of them.
      taus: the thresholds to report.

    Returns:
      An `Intervention` whose state is an `InterventionState`; jit, vmap, scan and sharding safe.

    Raises:
      ValueError: if an option is not valid, or if a layer shares its incoming weights.
    """
    check_timing(graph, taus, period, start, end, score_batch)
    chosen = chosen_layers(graph, layers)
    return intervene(
        graph,
        score=activation_score,
        selection=whole_layers([name for name in chosen if name in graph.names]),
        action=redrawing(
            graph,
            init,
            optimizer,
            outputs=[name for name in chosen if name in graph.output_layers],
            everything=isinstance(layers, str) and layers == "all",
            moments=moments,
            adam_count=adam_count,
        ),
        period=period,
        start=start,
        end=end,
        score_batch=score_batch,
        taus=taus,
    )


def prune(
    graph: NeuronGraph,
    optimizer: optax.GradientTransformation,
    tau: float | optax.Schedule | ThresholdRule = 0.0,
    period: int = 1_000,
    *,
    start: int = 0,
    end: int | None = None,
    score_batch: int | None = None,
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """Prunes the tau-dormant neurons for good (paper, figures 6 and 19).

    Every `period` gradient steps the entries that feed or read a dormant neuron become 0, and stay
    0 after every later step; `update` must therefore be called at every gradient step, with inputs
    or without. The report's `recycled` counts the neurons newly pruned; the state's `action` holds
    all of them. At tau = 0 the network's outputs on `inputs` do not change.

    Args:
      graph: the network's neuron graph.
      optimizer: the optimizer whose state `update` is given.
      tau: as in `redo`.
      period: gradient steps between two prunings.
      start: first gradient step at which to prune.
      end: first gradient step at which to prune no more; None for never.
      score_batch: score on the first rows of the inputs only; None for all of them.
      taus: the thresholds to report.

    Returns:
      An `Intervention` whose state is an `InterventionState`; jit, vmap, scan and sharding safe.

    Raises:
      ValueError: if an option is not valid.
    """
    check_timing(graph, taus, period, start, end, score_batch)
    return intervene(
        graph,
        score=activation_score,
        selection=below_threshold(tau),
        action=pruning(graph, optimizer),
        period=period,
        start=start,
        end=end,
        score_batch=score_batch,
        taus=taus,
    )


def _recycle_selected(
    selection: Selection,
    score: str,
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    *,
    period: int,
    start: int,
    end: int | None,
    score_batch: int | None,
    taus: Sequence[float],
    **how: Any,
) -> Intervention:
    """ReDo's action on what `selection` chooses; `how` are the options of `recycling`."""
    return intervene(
        graph,
        score=SCORES[score],
        selection=selection,
        action=recycling(graph, init, optimizer, **how),
        period=period,
        start=start,
        end=end,
        score_batch=score_batch,
        taus=taus,
    )


def chosen_layers(graph: NeuronGraph, layers: str | Sequence[str]) -> tuple[str, ...]:
    """The names of the layers that `layer_reset` redraws; ValueError unless `layers` is valid."""
    known = tuple(graph.incoming)
    if isinstance(layers, str):
        check_choice("layers", layers, ("last_hidden", "all"))
        chosen = known if layers == "all" else graph.penultimate
    else:
        chosen = tuple(layers)
    for name in chosen:
        if name not in known:
            raise ValueError(f"`layers` must name layers among {', '.join(known)}; got {name!r}")
        if not graph.incoming.get(name) and layers != "all":
            raise ValueError(f"`layers` must have incoming weights of their own; got {name!r}")
    if not chosen:
        raise ValueError(f"`layers` must name at least one layer of the graph; got {layers!r}")
    return chosen

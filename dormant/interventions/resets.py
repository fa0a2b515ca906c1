# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Published methods that reset a network in part or in a softer way, each composed of its parts.
All are interventions: what `init` and `update` do stands in `dormant.intervene`."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dormant.checks import check_choice, check_number
from dormant.graph import NeuronGraph, check_graph
from dormant.interventions.actions import Initializer
from dormant.interventions.blending import blending
from dormant.interventions.compose import intervene
from dormant.interventions.intervention import Intervention
from dormant.interventions.layer_entries import chosen_layers
from dormant.interventions.orthogonalization import orthogonalization
from dormant.interventions.partial_recycling import partial_recycling
from dormant.interventions.scores import GRADIENT, Score, ScoreFunction, activation_score
from dormant.interventions.selections import ThresholdRule, below_threshold, whole_layers
from dormant.interventions.timing import every
from dormant.interventions.weight_reinitialization import reinitializing
from dormant.interventions.weight_sharing import weight_sharing

NOISES = ("normal", "init")


def partial_resets(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    rate: float = 0.015,
    period: int = 1_000,
    *,
    sharpness: float = 16.0,
    transform: str = "sigmoid",
    score: Score | ScoreFunction = activation_score,
) -> Intervention:
    """Continuous continual backpropagation: replaces a part of every neuron, by its score.

    See `parts.partial_recycling`, which tells the formulas and their source. Outputs change.

    Args:
      graph, init, optimizer, score: as in `dormant.redo`; the source scores with a running mean of
        the absolute gradients of a neuron's weights.
      rate: the fraction that is replaced of a neuron of the mean score or less, in [0, 1].
      period: gradient steps between two resets.
      sharpness, transform: as in `parts.partial_recycling`.

    Raises:
      ValueError: if an option is not valid.
    """
    action = partial_recycling(
        graph, init, optimizer, rate=rate, sharpness=sharpness, transform=transform
    )
    return intervene(
        graph, selection=whole_layers(), action=action, when=every(period), score=score
    )


def reborn(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    tau: float | optax.Schedule | ThresholdRule = 0.1,
    period: int = 1_000,
    *,
    threshold: float = 3.0,
    receivers: int = 5,
    scales: tuple[float, float] = (0.3, 0.8),
) -> Intervention:
    """ReBorn: over-active neurons share their weights with dormant ones (Qin et al., NeurIPS 2024).

    See `parts.weight_sharing`. At tau = 0 the network's outputs on `inputs` stay up to rounding
    where non-linearities are positively homogeneous, as relu is; for others give scales (1, 1).

    Args:
      graph, init, optimizer, tau: as in `dormant.redo`.
      period: gradient steps between two.
      threshold, receivers, scales: as in `parts.weight_sharing`.

    Raises:
      ValueError: if an option is not valid.
    """
    action = weight_sharing(
        graph, init, optimizer, threshold=threshold, receivers=receivers, scales=scales
    )
    return intervene(graph, selection=below_threshold(tau), action=action, when=every(period))


def selective_weight_reinitialization(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    rate: float = 0.001,
    period: int = 1_000,
    *,
    utility: str = "gradient",
    criterion: str = "proportional",
    values: str = "resample",
) -> Intervention:
    """Redraws single weights of least utility (Hernandez-Garcia et al. 2025, arXiv:2508.00212).

    See `parts.weight_reinitialization`. The report counts neurons with an incoming weight redrawn.

    Args:
      graph, init, optimizer: as in `dormant.redo`.
      rate, criterion, values: as in `parts.weight_reinitialization`.
      period: gradient steps between two.
      utility: `"gradient"`, for which `update` is to be given `gradient=`, the loss gradient or a
        function that computes it; `"magnitude"` or `"random"`.

    Raises:
      ValueError: if an option is not valid; `update` raises one where its gradient is missing.
    """

    options: dict[str, Any] = {"utility": utility, "criterion": criterion, "values": values}
    action = reinitializing(graph, init, optimizer, rate, **options)
    when = every(period)

    def made_with(gradient: Any) -> Intervention:
        return intervene(graph, selection=whole_layers(), action=action(gradient), when=when)

    made = made_with(None)

    def update(params, opt_state, state, *inputs, **gradients):
        gradient = gradients.get(GRADIENT) if utility == GRADIENT else None
        intervention = made if gradient is None else made_with(gradient)
        return intervention.update(params, opt_state, state, *inputs, **gradients)

    needs = (GRADIENT,) if utility == GRADIENT else ()
    return Intervention(made.init, update, made.is_due, needs)


def shrink_and_perturb(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    shrink: float = 0.6,
    perturb: float = 0.01,
    period: int = 100_000,
    *,
    noise: str = "init",
    layers: str | Sequence[str] = "all",
) -> Intervention:
    """Shrinks every parameter and adds noise: `W <- shrink W + perturb noise` (Ash & Adams 2020).

    arXiv:1910.08475, with the defaults of its experiments, in which it precedes each training on
    more data. The optimizer's moments are kept; `parts.blending` resets them on request.

    Args:
      graph, init, optimizer: as in `dormant.redo`.
      shrink: factor of the parameters, in [0, 1].
      perturb: factor of the noise, at least 0.
      period: gradient steps between two.
      noise: `"init"`, fresh values of `init`; or the paper's `"normal"`, of standard deviation 1.
      layers: `"all"`, which is every parameter of the tree, or as in `parts.redrawing`.

    Raises:
      ValueError: if an option is not valid.
    """
    check_graph(graph)
    check_choice("noise", noise, NOISES)
    check_number("shrink", shrink, 0, 1)
    check_number("perturb", perturb, 0)

    def normal(key: jax.Array) -> Any:
        drawn = graph.parameters.leaves("init(key)", init(key))
        for path, own in zip(drawn, jax.random.split(key, len(drawn)), strict=True):
            if jnp.issubdtype(drawn[path].dtype, jnp.inexact):
                drawn[path] = jax.random.normal(own, drawn[path].shape, jnp.float32)
        return graph.parameters.unflatten(drawn)

    source = init if noise == "init" else normal
    action = blending(graph, source, optimizer, keep=shrink, fresh=perturb, layers=layers)
    return intervene(graph, selection=whole_layers(), action=action, when=every(period))


def interpolated_reset(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    keep: float = 0.5,
    period: int = 20_000,
    *,
    head: str | Sequence[str] = "last_hidden",
    layers: str | Sequence[str] = "all",
    score_batch: int | None = None,
) -> Intervention:
    """The resets of SR-SPR (D'Oro et al. 2023) and BBF (Schwarzer et al. 2023, arXiv:2305.19452).

    The head is drawn anew, with its moments; every other parameter becomes `keep W + (1 - keep)
    W_new` and keeps its moments. BBF keeps a half, every 20 000 gradient steps in its released
    settings, SR-SPR 0.8.

    Args:
      graph, init, optimizer, score_batch: as in `dormant.redo`.
      keep: factor of the old values, in [0, 1].
      period: gradient steps between two resets.
      head: `"last_hidden"`, the hidden layers that an output layer reads, with the output layers;
        or names of hidden and output layers, which may be none.
      layers: which others are moved: `"all"`, which is every parameter of the tree, or as in
        `parts.redrawing`.

    Raises:
      ValueError: if an option is not valid, or if a layer shares its incoming weights.
    """
    check_graph(graph)
    check_number("keep", keep, 0, 1)
    if not isinstance(head, list | tuple) or head:
        chosen_layers(graph, "head", head)
    redrawn = (*graph.penultimate, *graph.output_layers) if head == "last_hidden" else head
    action = blending(
        graph, init, optimizer, keep=keep, fresh=1 - keep, layers=layers, redrawn=redrawn
    )
    return intervene(
        graph,
        selection=whole_layers(),
        action=action,
        when=every(period),
        score_batch=score_batch,
    )


def fire(
    graph: NeuronGraph,
    optimizer: optax.GradientTransformation,
    period: int = 100_000,
    *,
    layers: str | Sequence[str] = "all",
    iterations: int = 10,
    moments: str = "reset",
    score_batch: int | None = None,
) -> Intervention:
    """FIRE: makes every kernel orthogonal (Han et al., ICLR 2026, arXiv:2602.08040).

    See `parts.orthogonalization`. The paper does it once, before training goes on with new data.

    Args:
      graph, optimizer, score_batch: as in `dormant.redo`.
      period: gradient steps between two.
      layers, iterations, moments: as in `parts.orthogonalization`.

    Raises:
      ValueError: if an option is not valid, or if a layer shares its incoming weights.
    """
    action = orthogonalization(
        graph, optimizer, layers=layers, iterations=iterations, moments=moments
    )
    return intervene(
        graph,
        selection=whole_layers(),
        action=action,
        when=every(period),
        score_batch=score_batch,
    )

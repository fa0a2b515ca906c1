# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The paper's interventions, each composed of a score, a selection, an action and their timing.
All are what `dormant.intervene` returns: jit, vmap and scan safe."""

from collections.abc import Sequence

import optax

from dormant.graph import NeuronGraph
from dormant.interventions.actions import Initializer, pruning, recycling
from dormant.interventions.blending import redrawing
from dormant.interventions.compose import intervene
from dormant.interventions.intervention import Intervention
from dormant.interventions.scores import Score, ScoreFunction, activation_score
from dormant.interventions.selections import ThresholdRule, below_threshold, budget, whole_layers
from dormant.interventions.timing import every
from dormant.measures.measure import DEFAULT_TAUS


def redo(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    tau: float | optax.Schedule | ThresholdRule = 0.1,
    period: int = 1_000,
    *,
    score: Score | ScoreFunction = activation_score,
    score_batch: int | None = None,
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """ReDo (paper, Algorithm 1): recycles the tau-dormant neurons every `period` gradient steps.

    Call it right after the optimizer's step. Every `period`-th call scores the neurons on `inputs`,
    draws the incoming entries of the dormant ones anew with `init`, zeroes their outgoing entries
    and begins the optimizer's moments of both anew. At tau = 0 the network's outputs on `inputs` do
    not change.

    A network with running statistics is traced on all of its variables, and `update` takes and
    returns these in the place of the parameters, beside the optimizer's state of `params` alone;
    the statistics of a recycled neuron are then what `init` gives them.

    Variants are composed with `dormant.intervene`: of `parts.below_threshold`, `parts.capped`,
    `parts.recycling`, which says how neurons are recycled, and `parts.every`.

    The defaults of `tau` and `period` are the paper's. On two MinAtar games (`results/minatar_tau`,
    ten seeds, 100,000 agent steps) no other fixed tau of 0 to 0.2 and no period of 100 to 10,000 is
    told apart from them in score: theirs is 0.099, the others' 0.089 to 0.114, and 0.102 without
    ReDo. They differ in dormancy: in Space Invaders 30 % of the neurons are dormant without ReDo,
    23 % at tau 0, 9 % at 0.1 and 8 % at 0.2; at tau 0.1 2 % with period 100, 17 % with 10,000.

    Args:
      graph: the network's neuron graph.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: the optimizer whose state `update` is given, plain or with `per_entry_counts`: this
        restarts Adam's step count as well, and `as_transformation` adds it by itself.
      tau: threshold, at least 0; an optax schedule of the gradient step; or `adaptive_tau(…)`.
      period: gradient steps between two recycles (F in the paper).
      score: what tau is compared with: `parts.activation_score` (Eq. 1), or
        `parts.contribution_utility` (figure 25), with which a neuron at 0 need not be silent, so
        that outputs may change at tau = 0.
      score_batch: score on the first rows of the inputs only; None for all of them.
      taus: the thresholds to report; a fixed `tau` is reported besides.

    Returns:
      An `Intervention` whose state is an `InterventionState`; jit, vmap and scan safe, and sharding
      safe by `NamedSharding`; inside `pmap` every device needs the same inputs.

    Raises:
      ValueError: if an option is not valid.
    """
    return intervene(
        graph,
        selection=below_threshold(tau),
        action=recycling(graph, init, optimizer),
        when=every(period),
        score=score,
        score_batch=score_batch,
        taus=taus,
    )


def fixed_budget(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    fraction: float | optax.Schedule = 0.1,
    period: int = 1_000,
    *,
    order: str = "lowest",
    score_batch: int | None = None,
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """Recycles a fixed fraction of every layer each `period` gradient steps (paper, figure 15).

    Deviations from the released `NeuronRecyclerScheduled`: ties at the limit (see `parts.budget`)
    and the schedule's unit, which is a gradient step here.

    Args:
      graph, init, optimizer, score_batch, taus: as in `redo`.
      fraction: of each layer, in [0, 1]; or a schedule of the gradient step, in the paper
        `dormant.cosine_fraction(0.1, gradient_steps)`.
      period: gradient steps between two recycles.
      order: the neurons of `"lowest"` score, of `"highest"` score, or `"random"` ones.

    Raises:
      ValueError: if an option is not valid.
    """
    return intervene(
        graph,
        selection=budget(fraction, order),
        action=recycling(graph, init, optimizer),
        when=every(period),
        score_batch=score_batch,
        taus=taus,
    )


def layer_reset(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    layers: str | Sequence[str] = "last_hidden",
    period: int = 100_000,
    *,
    score_batch: int | None = None,
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """Draws whole layers anew every `period` gradient steps (Nikishin et al. 2022; figures 1, 14).

    A layer's kernel, biases and normalization parameters are taken from `init`, with their moments;
    what reads it is left alone. Unlike the released `LayerReset`, whose biases become 0 and whose
    kernels Xavier-uniform, everything gets its original distribution.

    Args:
      graph, init, optimizer, score_batch, taus: as in `redo`.
      layers: `"last_hidden"`, `"all"` or names of layers, as `parts.redrawing` takes them.
      period: gradient steps between two resets.

    Raises:
      ValueError: if an option is not valid, or if a layer shares its incoming weights.
    """
    return intervene(
        graph,
        selection=whole_layers(),
        action=redrawing(graph, init, optimizer, layers=layers),
        when=every(period),
        score_batch=score_batch,
        taus=taus,
    )


def prune(
    graph: NeuronGraph,
    optimizer: optax.GradientTransformation,
    tau: float | optax.Schedule | ThresholdRule = 0.0,
    period: int = 1_000,
    *,
    score_batch: int | None = None,
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """Prunes the tau-dormant neurons for good (paper, figures 6 and 19).

    Every `period` gradient steps the entries that feed or read a dormant neuron become 0, and stay
    0 after every later step; `update` must therefore be called at every gradient step, with inputs
    or without. The report's `recycled` counts the neurons newly pruned; the state's `action` holds
    all of them. At tau = 0 the network's outputs on `inputs` do not change.

    Args:
      graph, optimizer, tau, score_batch, taus: as in `redo`.
      period: gradient steps between two prunings.

    Raises:
      ValueError: if an option is not valid.
    """
    return intervene(
        graph,
        selection=below_threshold(tau),
        action=pruning(graph, optimizer),
        when=every(period),
        score_batch=score_batch,
        taus=taus,
    )

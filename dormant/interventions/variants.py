# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Published kin of ReDo that score or select otherwise, each composed as in `factories`."""

from collections.abc import Sequence

import optax

from dormant.graph import NeuronGraph
from dormant.interventions.actions import Initializer, recycling
from dormant.interventions.compose import intervene
from dormant.interventions.intervention import Intervention
from dormant.interventions.running_scores import inter_firing_score, running_average
from dormant.interventions.scores import contribution_score, gradient_score
from dormant.interventions.selections import (
    ThresholdRule,
    below_threshold,
    capped,
    mature_and_rare,
)
from dormant.interventions.timing import every
from dormant.measures.measure import DEFAULT_TAUS


def regrama(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    tau: float | optax.Schedule | ThresholdRule = 0.01,
    period: int = 1_000,
    *,
    of: str = "pre_activations",
    max_fraction: float | optax.Schedule = 1.0,
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """ReGraMa: recycles the neurons that get next to no gradient (Liu et al. 2025, 2505.24061).

    What recycling does is as in `redo`. The gradient is given to `update` by keyword; see
    `parts.gradient_score`. What it recycles need not be silent, so outputs may change even at
    tau = 0.

    Args:
      graph, init, optimizer, taus: as in `redo`; the taus are those of dormancy scores.
      tau: a neuron is inactive when its score is at most this.
      period: gradient steps between two recycles.
      of: whose gradient: `"pre_activations"` or `"weights"`.
      max_fraction: at most this share of a layer at a time, those of the least gradient.

    Raises:
      ValueError: if an option is not valid.
    """
    return intervene(
        graph,
        score=gradient_score(of),
        selection=capped(below_threshold(tau), max_fraction),
        action=recycling(graph, init, optimizer),
        when=every(period),
        taus=taus,
    )


def continual_backprop(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    rate: float | optax.Schedule = 1e-4,
    maturity: int = 100,
    *,
    decay: float = 0.99,
    period: int = 1,
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """Continual backprop: at each step a few mature neurons of least utility (Dohare et al. 2024).

    The utility is a running average of `E|h_i| sum|w_out|`; the neurons are recycled as in `redo`,
    with outgoing weights of 0. The article keeps the average activation of a neuron that it removes
    in the biases of what reads it; here nothing is added to them.

    Args:
      graph, init, optimizer, taus: as in `redo`.
      rate: share of the mature neurons of a layer that is recycled at each scoring.
      maturity: scorings before a neuron may be recycled.
      decay: of the running average.
      period: gradient steps between two scorings, 1 in the article. Under `jax.vmap` over seeds
        every scoring step computes a recycle.

    Raises:
      ValueError: if an option is not valid.
    """
    return intervene(
        graph,
        score=running_average(contribution_score, decay),
        selection=mature_and_rare(rate, maturity),
        action=recycling(graph, init, optimizer),
        when=every(period),
        taus=taus,
    )


def self_normalized_resets(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    eta: float | optax.Schedule = 0.01,
    period: int = 1,
    *,
    maximum_age: int = 1_000_000,
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """SNR: recycles a neuron that has not fired for longer than it usually does (Farias & Jozefiak
    2025).

    A neuron is recycled when at most the share `eta` of the gaps between its own firings were as
    long as the present one; see `parts.inter_firing_score`.

    Args:
      graph, init, optimizer, taus: as in `redo`.
      eta: rejection level, at least 0: the one hyperparameter.
      period: gradient steps between two scorings, each of which counts the samples it is given.
      maximum_age: samples without firing after which a neuron is recycled whatever its past.

    Raises:
      ValueError: if an option is not valid.
    """
    return intervene(
        graph,
        score=inter_firing_score(maximum_age),
        selection=below_threshold(eta),
        action=recycling(graph, init, optimizer),
        when=every(period),
        taus=taus,
    )

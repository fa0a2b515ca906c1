# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What interventions are composed of: scores, selections, actions, timing, and their types."""

from dormant.graph import Entries, IndexMap, Layer
from dormant.interventions.actions import Action, pruning, recycling
from dormant.interventions.blending import blending, redrawing
from dormant.interventions.injection import (
    injectable,
    injecting,
    trainable,
    trainable_layers,
)
from dormant.interventions.network_metrics import NetworkMetrics
from dormant.interventions.orthogonalization import orthogonalization
from dormant.interventions.partial_recycling import partial_recycling
from dormant.interventions.recycling import touched_entries
from dormant.interventions.running_scores import (
    inter_firing_score,
    running_average,
    stagnation_score,
)
from dormant.interventions.scores import (
    Score,
    ScoreFunction,
    ScoreInputs,
    activation_score,
    contribution_score,
    contribution_utility,
    gradient_score,
    variability_score,
)
from dormant.interventions.selections import (
    Selection,
    ThresholdRule,
    below_quantile,
    below_threshold,
    budget,
    capped,
    mature_and_rare,
    over_network,
    whole_layers,
)
from dormant.interventions.state import InterventionState
from dormant.interventions.timing import When, every
from dormant.interventions.weight_reinitialization import weight_reinitialization
from dormant.interventions.weight_sharing import weight_sharing

__all__ = [
    "Action",
    "Entries",
    "IndexMap",
    "InterventionState",
    "Layer",
    "NetworkMetrics",
    "Score",
    "ScoreFunction",
    "ScoreInputs",
    "Selection",
    "ThresholdRule",
    "When",
    "activation_score",
    "below_quantile",
    "below_threshold",
    "blending",
    "budget",
    "capped",
    "contribution_score",
    "contribution_utility",
    "every",
    "gradient_score",
    "injectable",
    "injecting",
    "inter_firing_score",
    "mature_and_rare",
    "orthogonalization",
    "over_network",
    "partial_recycling",
    "pruning",
    "recycling",
    "redrawing",
    "running_average",
    "stagnation_score",
    "touched_entries",
    "trainable",
    "trainable_layers",
    "variability_score",
    "weight_reinitialization",
    "weight_sharing",
    "whole_layers",
]

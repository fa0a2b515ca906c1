# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What interventions are composed of: scores, selections, actions, timing, and their types."""

from dormant.graph import Entries, IndexMap, Layer
from dormant.interventions.actions import Action, pruning, recycling, redrawing
from dormant.interventions.measures import NetworkMetrics
from dormant.interventions.recycling import touched_entries
from dormant.interventions.scores import (
    Score,
    ScoreFunction,
    ScoreInputs,
    activation_score,
    contribution_utility,
)
from dormant.interventions.selections import (
    Selection,
    ThresholdRule,
    below_threshold,
    budget,
    capped,
    whole_layers,
)
from dormant.interventions.state import InterventionState
from dormant.interventions.timing import When, every

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
    "below_threshold",
    "budget",
    "capped",
    "contribution_utility",
    "every",
    "pruning",
    "recycling",
    "redrawing",
    "touched_entries",
    "whole_layers",
]

"""What interventions are composed of: scores, selections, actions, timing, and their types."""

from dormant.graph import Entries, IndexMap, Layer
from dormant.interventions.actions import Action, pruning, recycling, redrawing
from dormant.interventions.compose import InterventionState
from dormant.interventions.measures import NetworkMetrics
from dormant.interventions.moments import scale_by_adam
from dormant.interventions.recycling import touched_entries
from dormant.interventions.scores import Score, activation_score, contribution_utility
from dormant.interventions.selections import (
    Selection,
    ThresholdRule,
    below_threshold,
    budget,
    capped,
    whole_layers,
)
from dormant.interventions.timing import When, every

__all__ = [
    "Action",
    "Entries",
    "IndexMap",
    "InterventionState",
    "Layer",
    "NetworkMetrics",
    "Score",
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
    "scale_by_adam",
    "touched_entries",
    "whole_layers",
]

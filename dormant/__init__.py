"""dormant: measure and recycle dormant neurons of JAX networks (Sokar et al., ICML 2023)."""

from dormant.actions import Action, pruning, recycling, redrawing
from dormant.facts import TraceError
from dormant.graph import Entries, IndexMap, Layer, NeuronGraph, manual_graph
from dormant.intervention import (
    Intervention,
    InterventionState,
    Report,
    combine,
    intervene,
    is_due,
    track,
)
from dormant.moments import adam, reset_moments, scale_by_adam
from dormant.network_metrics import NetworkMetrics, network_metrics
from dormant.recycle import recycle, touched_entries
from dormant.redo import fixed_budget, layer_reset, prune, redo
from dormant.scores import activation_score, contribution_utility, dormancy_scores
from dormant.selection import dormant_fraction, dormant_masks, overlap_coefficient
from dormant.selection_rules import (
    Selection,
    ThresholdRule,
    adaptive_tau,
    below_threshold,
    budget,
    cosine_fraction,
    whole_layers,
)
from dormant.trace import trace
from dormant.version import __version__
from dormant.weight_decay import weight_decay

__all__ = [
    "Action",
    "Entries",
    "IndexMap",
    "Intervention",
    "InterventionState",
    "Layer",
    "NetworkMetrics",
    "NeuronGraph",
    "Report",
    "Selection",
    "ThresholdRule",
    "TraceError",
    "__version__",
    "activation_score",
    "adam",
    "adaptive_tau",
    "below_threshold",
    "budget",
    "combine",
    "contribution_utility",
    "cosine_fraction",
    "dormancy_scores",
    "dormant_fraction",
    "dormant_masks",
    "fixed_budget",
    "intervene",
    "is_due",
    "layer_reset",
    "manual_graph",
    "network_metrics",
    "overlap_coefficient",
    "prune",
    "pruning",
    "recycle",
    "recycling",
    "redo",
    "redrawing",
    "reset_moments",
    "scale_by_adam",
    "touched_entries",
    "trace",
    "track",
    "weight_decay",
    "whole_layers",
]

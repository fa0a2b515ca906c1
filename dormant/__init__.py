"""dormant: measure and recycle dormant neurons of JAX networks (Sokar et al., ICML 2023)."""

from dormant.facts import TraceError
from dormant.graph import Entries, IndexMap, Layer, NeuronGraph, manual_graph
from dormant.moments import adam, reset_moments, scale_by_adam
from dormant.recycle import recycle, touched_entries
from dormant.redo import Intervention, RedoState, Report, is_due, redo, track
from dormant.scores import dormancy_scores
from dormant.selection import dormant_fraction, dormant_masks, overlap_coefficient
from dormant.trace import trace
from dormant.version import __version__

__all__ = [
    "Entries",
    "IndexMap",
    "Intervention",
    "Layer",
    "NeuronGraph",
    "RedoState",
    "Report",
    "TraceError",
    "__version__",
    "adam",
    "dormancy_scores",
    "dormant_fraction",
    "dormant_masks",
    "is_due",
    "manual_graph",
    "overlap_coefficient",
    "recycle",
    "redo",
    "reset_moments",
    "scale_by_adam",
    "touched_entries",
    "trace",
    "track",
]

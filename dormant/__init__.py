# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""dormant: measure and recycle dormant neurons of JAX networks (Sokar et al., ICML 2023).
What the interventions are composed of is in `dormant.parts`."""

from dormant import interventions as interventions
from dormant import layers, measures, parts, regularizers
from dormant.graph import NeuronGraph
from dormant.interventions.compose import intervene
from dormant.interventions.decay import weight_decay
from dormant.interventions.factories import fixed_budget, layer_reset, prune, redo
from dormant.interventions.intervention import Intervention, combine
from dormant.interventions.masks import dormant_fraction, dormant_masks, overlap_coefficient
from dormant.interventions.moments import reset_moments
from dormant.interventions.network_metrics import network_metrics
from dormant.interventions.recycling import recycle
from dormant.interventions.scores import dormancy_scores
from dormant.interventions.selections import adaptive_tau, cosine_fraction
from dormant.interventions.state import Report
from dormant.interventions.step_counts import per_entry_counts
from dormant.interventions.tracking import track
from dormant.interventions.transformation import as_transformation
from dormant.plasticity import plasticity_probe
from dormant.tracing.connections import TraceError
from dormant.tracing.manual import manual_graph
from dormant.tracing.tracer import trace
from dormant.version import __version__

__all__ = [
    "Intervention",
    "NeuronGraph",
    "Report",
    "TraceError",
    "__version__",
    "adaptive_tau",
    "as_transformation",
    "combine",
    "cosine_fraction",
    "dormancy_scores",
    "dormant_fraction",
    "dormant_masks",
    "fixed_budget",
    "intervene",
    "layer_reset",
    "layers",
    "manual_graph",
    "measures",
    "network_metrics",
    "overlap_coefficient",
    "parts",
    "per_entry_counts",
    "plasticity_probe",
    "prune",
    "recycle",
    "redo",
    "regularizers",
    "reset_moments",
    "trace",
    "track",
    "weight_decay",
]

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What is done to a network while it trains: score, selection, action, and what they make up.
The published methods by name; what they are composed of is in `dormant.parts`."""

from dormant.interventions.factories import fixed_budget, layer_reset, prune, redo
from dormant.interventions.injection import plasticity_injection
from dormant.interventions.resets import (
    fire,
    interpolated_reset,
    partial_resets,
    reborn,
    selective_weight_reinitialization,
    shrink_and_perturb,
)
from dormant.interventions.transformation import as_transformation
from dormant.interventions.variants import continual_backprop, regrama, self_normalized_resets

__all__ = [
    "as_transformation",
    "continual_backprop",
    "fire",
    "fixed_budget",
    "interpolated_reset",
    "layer_reset",
    "partial_resets",
    "plasticity_injection",
    "prune",
    "reborn",
    "redo",
    "regrama",
    "selective_weight_reinitialization",
    "self_normalized_resets",
    "shrink_and_perturb",
]

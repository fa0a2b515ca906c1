# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Measures of a network in training, by name for `dormant.track(graph, measures=("srank", "fau"))`
or made with options: `measures.pca_rank(0.95)`, `measures.churn(apply)`."""

from dormant.measures.activity import fau, linearized_units, low_variability_units
from dormant.measures.catalog import BY_NAME, CATALOG, CHEAP
from dormant.measures.gradients import (
    gradient_covariance,
    hessian_eigenvalue,
    optimization_readiness,
)
from dormant.measures.isometry import deviation_from_isometry
from dormant.measures.measure import Measure, MeasureInputs, measured, rank_cap
from dormant.measures.norms import (
    distance_from_initialization,
    effective_learning_rate,
    feature_norm,
    gradient_norm,
    stagnant_units,
    update_norm,
    weight_norm,
)
from dormant.measures.outputs import churn, greedy_action_changes, ntk_rank
from dormant.measures.ranks import effective_rank, feature_rank, pca_rank, srank, stable_rank

__all__ = [
    "BY_NAME",
    "CATALOG",
    "CHEAP",
    "Measure",
    "MeasureInputs",
    "churn",
    "deviation_from_isometry",
    "distance_from_initialization",
    "effective_learning_rate",
    "effective_rank",
    "fau",
    "feature_norm",
    "feature_rank",
    "gradient_covariance",
    "gradient_norm",
    "greedy_action_changes",
    "hessian_eigenvalue",
    "linearized_units",
    "low_variability_units",
    "measured",
    "ntk_rank",
    "optimization_readiness",
    "pca_rank",
    "rank_cap",
    "srank",
    "stable_rank",
    "stagnant_units",
    "update_norm",
    "weight_norm",
]

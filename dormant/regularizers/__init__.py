# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Regularizers against the loss of plasticity: what an optimizer does besides at every step.

Each takes an optax optimizer and returns one, as `dormant.weight_decay` does, and goes wherever
that goes: `optax.chain`, `optax.masked`, `nnx.Optimizer`, `dormant.as_transformation`. Where only
kernels are meant, the neuron graph says which arrays these are and which axes are their outputs.
A chain reads from the inside: `norm_projection(l2_init(adam, 1e-3), graph)` projects last.
`optax.MultiSteps` belongs outside, around the result. `churn_loss` is a term of the loss,
whose gradient `churn_reduction` adds.
"""

from dormant.regularizers.churn import ChurnReductionState, churn_loss, churn_reduction
from dormant.regularizers.kernels import KernelsState
from dormant.regularizers.penalties import (
    L2InitState,
    isometry_decay,
    l2_init,
    parseval_regularization,
    spectral_regularization,
)
from dormant.regularizers.projections import norm_projection, weight_clipping
from dormant.regularizers.relative_steps import AdamRelState, adam_rel

__all__ = [
    "AdamRelState",
    "ChurnReductionState",
    "KernelsState",
    "L2InitState",
    "adam_rel",
    "churn_loss",
    "churn_reduction",
    "isometry_decay",
    "l2_init",
    "norm_projection",
    "parseval_regularization",
    "spectral_regularization",
    "weight_clipping",
]

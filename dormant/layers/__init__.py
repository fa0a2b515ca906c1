# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Activations and layers that keep plasticity. Those with parameters or keys are modules, of
`dormant.layers.linen` and `dormant.layers.nnx`, which are loaded where they are used."""

import importlib
from typing import TYPE_CHECKING, Any

from dormant.layers.activations import (
    adaptive_linear,
    concatenated_relu,
    deep_fourier_features,
    interval_dropout,
    smooth_leaky_relu,
)

if TYPE_CHECKING:
    from dormant.layers import linen, nnx

__all__ = [
    "adaptive_linear",
    "concatenated_relu",
    "deep_fourier_features",
    "interval_dropout",
    "linen",
    "nnx",
    "smooth_leaky_relu",
]


def __getattr__(name: str) -> Any:
    # Flax takes as long to load as everything else here, and many networks are not of Flax.
    if name in ("linen", "nnx"):
        return importlib.import_module(f"dormant.layers.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

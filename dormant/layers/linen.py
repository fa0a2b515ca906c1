# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Layers and activations with parameters or keys, for `flax.linen`. Neurons are the last axis of
what they are called on; what an activation means for ReDo stands with its function."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from dormant.layers.activations import Activation, adaptive_linear, interval_dropout


class AdaptiveLinear(nn.Module):
    """`adaptive_linear` with a learned `alpha`, (H,), one for each neuron.

    Attributes:
      activation, lipschitz: as there.
      alpha_init: of `alpha`; by default 0, with which training begins at the plain activation.
    """

    activation: Activation = jax.nn.relu
    lipschitz: float = 1.0
    alpha_init: jax.nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        alpha = self.param("alpha", self.alpha_init, (x.shape[-1],), jnp.float32)
        return adaptive_linear(x, alpha, self.activation, lipschitz=self.lipschitz)


class IntervalDropout(nn.Module):
    """`interval_dropout` with a key out of the stream "dropout"; none is used in evaluation.

    Attributes:
      p: as there.
    """

    p: float = 0.9

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool) -> jax.Array:
        key = None if deterministic else self.make_rng("dropout")
        return interval_dropout(x, key, p=self.p)


class Normalized(nn.Module):
    """LayerNorm before a non-linearity, `activation(LayerNorm(x))`, as NaP has it (Lyle et al.
    2024, 2407.01800): `Normalized(relu)(Dense(128)(x))`, or behind a convolution, over channels.

    For ReDo: the norm's mean and variance are over the layer's neurons, so that none can be
    recycled without changing what all others give. `dormant.trace` names that as the layer's
    obstacle: it is measured, and recycled only where `also` asks for it. A neuron is silent where
    its normalized pre-activation is below 0 on the whole batch, or its scale and bias are.

    Attributes:
      activation: elementwise, such as relu.
      dtype: of the norm, as of `flax.linen.LayerNorm`.
    """

    activation: Activation = jax.nn.relu
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return self.activation(nn.LayerNorm(dtype=self.dtype)(x))


class HadamardDense(nn.Module):
    """The product of two dense layers, `activation(A x + a) * activation(B x + b)` (Kooi et al.
    2024, 2406.09079), with tanh, for which the paper recommends it.

    For ReDo: both factors are layers of the graph, each with neurons of its own, and a product with
    a silent factor is 0. A saturated tanh is not silent: score with `parts.variability_score`.

    Attributes:
      features: number of neurons H.
      activation: elementwise.
      dtype: as of `flax.linen.Dense`.
    """

    features: int
    activation: Activation = jnp.tanh
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., inputs) -> (..., H)."""
        one, other = (nn.Dense(self.features, dtype=self.dtype) for _ in range(2))
        return self.activation(one(x)) * self.activation(other(x))

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Layers and activations with parameters or keys, for `flax.nnx`: those of `dormant.layers.linen`
under the same names. The number of neurons H is given, as nnx does not infer it."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from dormant.layers.activations import Activation, adaptive_linear, interval_dropout


class AdaptiveLinear(nnx.Module):
    """`adaptive_linear` with a learned `alpha`, (H,), one for each neuron.

    Args:
      features: neurons, H.
      activation, lipschitz: as there.
      alpha_init: of `alpha`; by default 0, with which training begins at the plain activation.
      rngs: streams of keys; "params" is used.
    """

    def __init__(
        self,
        features: int,
        activation: Activation = jax.nn.relu,
        *,
        lipschitz: float = 1.0,
        alpha_init: jax.nn.initializers.Initializer = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ):
        self.activation, self.lipschitz = activation, lipschitz
        self.alpha = nnx.Param(alpha_init(rngs.params(), (features,), jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        return adaptive_linear(x, self.alpha[...], self.activation, lipschitz=self.lipschitz)


class IntervalDropout(nnx.Module):
    """`interval_dropout` with a key out of the stream "dropout"; none is used in evaluation.

    Trace a model in evaluation, on its parameters: `definition, params, rest = nnx.split(model,
    nnx.Param, ...)` leaves the stream in `rest`.

    Args:
      p: as there.
      rngs: streams of keys.
      deterministic: whether to evaluate; `model.eval()` and `model.train()` set it.
    """

    def __init__(self, p: float = 0.9, *, rngs: nnx.Rngs, deterministic: bool = False):
        self.p, self.rngs, self.deterministic = p, rngs.fork(), deterministic

    def __call__(self, x: jax.Array) -> jax.Array:
        key = None if self.deterministic else self.rngs.dropout()
        return interval_dropout(x, key, p=self.p)


class Normalized(nnx.Module):
    """LayerNorm before a non-linearity: `linen.Normalized`, where it stands what that means.

    Args:
      features: neurons, H.
      activation: elementwise, such as relu.
      dtype: of the norm, as of `flax.nnx.LayerNorm`.
      rngs: streams of keys.
    """

    def __init__(
        self,
        features: int,
        activation: Activation = jax.nn.relu,
        *,
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        self.activation = activation
        self.norm = nnx.LayerNorm(features, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.activation(self.norm(x))


class HadamardDense(nnx.Module):
    """The product of two dense layers: `linen.HadamardDense`, where it stands what that means.

    Args:
      inputs: size of the last axis of what it reads.
      features: neurons, H.
      activation: elementwise.
      dtype: as of `flax.nnx.Linear`.
      rngs: streams of keys.
    """

    def __init__(
        self,
        inputs: int,
        features: int,
        activation: Activation = jnp.tanh,
        *,
        dtype: Any = None,
        rngs: nnx.Rngs,
    ):
        self.activation = activation
        self.one = nnx.Linear(inputs, features, dtype=dtype, rngs=rngs)
        self.other = nnx.Linear(inputs, features, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., inputs) -> (..., H)."""
        return self.activation(self.one(x)) * self.activation(self.other(x))

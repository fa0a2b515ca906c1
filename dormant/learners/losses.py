# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Losses of one prediction against one target, elementwise, with their gin and option names."""

import jax
import jax.numpy as jnp


def huber_loss(targets: jax.Array, predictions: jax.Array) -> jax.Array:
    """Huber loss with delta 1, elementwise; x - 0.5 where x = |targets - predictions| > 1."""
    x = jnp.abs(targets - predictions)
    return jnp.where(x <= 1.0, 0.5 * x**2, 0.5 + (x - 1.0))


def mse_loss(targets: jax.Array, predictions: jax.Array) -> jax.Array:
    """Squared error, elementwise and without the factor 0.5."""
    return jnp.power(targets - predictions, 2)


LOSSES = {"huber": huber_loss, "mse": mse_loss}

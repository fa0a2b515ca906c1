"""Dormancy scores (paper, Eq. 1)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

_TINY = jnp.finfo(jnp.float32).tiny


def dormancy_scores(activations: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """A neuron's mean absolute activation over its layer's: `s_i = E|h_i| / mean_k E|h_k|`.

    Sokar et al. 2023, Eq. 1. The scores of a layer average 1. The mean runs over the batch and,
    for a convolution, over space.

    Args:
      activations: `{layer: (B, …, H)}` of any floating dtype, as `graph.activations` returns.

    Returns:
      `{layer: (H,)}` float32. A wholly silent layer scores 0 everywhere, and a neuron scores
      exactly 0 if and only if it is silent on the whole batch.
    """
    return {name: _scores(activation) for name, activation in activations.items()}


def _scores(activation: jax.Array) -> jax.Array:
    magnitude = jnp.abs(activation.astype(jnp.float32))
    # Dividing by the largest value first cannot overflow, whatever the scale. It is quartered
    # when large, because XLA may multiply by the reciprocal, which vanishes above 2 ** 126.
    quarter = jnp.where(jnp.max(magnitude) > 1, 0.25, 1.0)
    largest = jnp.max(magnitude * quarter)
    scaled = magnitude * quarter / jnp.where(largest > 0, largest, 1.0)
    batch_axes = tuple(range(activation.ndim - 1))
    mean = jnp.mean(scaled, axis=batch_axes)
    layer_mean = jnp.mean(mean)
    scores = mean / jnp.where(layer_mean > 0, layer_mean, 1.0)
    # A score that underflows must not make a live neuron look silent.
    silent = jnp.all(magnitude == 0, axis=batch_axes)
    return jnp.where(silent, 0.0, jnp.maximum(scores, _TINY))

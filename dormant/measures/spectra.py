# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Features of a batch as matrices, and the singular values that every rank is made of."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dormant.graph import NeuronGraph


def feature_shape(activation: Any) -> tuple[int, int]:
    """Rows B and columns d of a layer's features; an unbatched input is one row."""
    shape = activation.shape
    rows = shape[0] if len(shape) > 1 else 1
    return rows, int(np.prod(shape)) // max(rows, 1)


def features(activation: jax.Array) -> jax.Array:
    """(B, d) float32: one row for each input; a convolution's are all its positions and channels.
    An unbatched input is one row."""
    return activation.astype(jnp.float32).reshape(feature_shape(activation)[0], -1)


def singular_values(
    graph: NeuronGraph, activations: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """Of the features that an output layer reads: `{layer: (min(B, d),)}` float32, descending. NaN
    where an activation is not finite."""
    return {
        name: jnp.linalg.svd(features(activations[name]), compute_uv=False)
        for name in graph.penultimate
    }


def srank_of(values: jax.Array, delta: float) -> jax.Array:
    """The least k for which the k largest of the descending values sum to `1 - delta` of all: a
    scalar, 0 where all are 0, NaN where they are not finite."""
    cumulative = jnp.cumsum(values)
    total = cumulative[-1]
    rank = 1 + jnp.sum(cumulative[:-1] < (1 - delta) * total)
    return jnp.where(total > 0, rank, jnp.where(total == 0, 0, jnp.nan))


def effective_rank_of(values: jax.Array) -> jax.Array:
    """The exponential of the entropy of the values over their sum: a scalar, 0 where all are 0, NaN
    where they are not finite."""
    total = jnp.sum(values)
    shares = values / jnp.where(total > 0, total, 1.0)
    entropy = -jnp.sum(
        jnp.where(shares > 0, shares * jnp.log(jnp.where(shares > 0, shares, 1.0)), 0.0)
    )
    return jnp.where(total > 0, jnp.exp(entropy), jnp.where(total == 0, 0.0, jnp.nan))

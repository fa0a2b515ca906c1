# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which neurons are dormant, and how sets of them compare."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from dormant.checks import check, check_mapping, check_mask, check_number


def dormant_masks(scores: Mapping[str, jax.Array], tau: float | jax.Array) -> dict[str, jax.Array]:
    """The tau-dormant neurons: those with score at most `tau` (paper, Definition 3.1).

    Args:
      scores: `{layer: (H,)}` float32 dormancy scores.
      tau: threshold, at least 0; a scalar array is allowed.

    Returns:
      `{layer: (H,)}` bool.

    Raises:
      ValueError: if `tau` is negative.
    """
    check_mapping("scores", scores, "{layer: (H,) scores}")
    check_tau(tau)
    tau = float(tau) if isinstance(tau, int) else tau
    return {name: score <= tau for name, score in scores.items()}


def dormant_fraction(masks: Mapping[str, jax.Array]) -> jax.Array:
    """Dormant neurons over neurons, pooled over all layers: float32 scalar in [0, 1].

    Args:
      masks: `{layer: (H,)}` bool, at least one layer.

    Raises:
      ValueError: if there is no layer, or if a mask is not boolean.
    """
    _check_masks("masks", masks)
    if not masks:
        raise ValueError(f"`masks` must hold at least one layer; got {masks!r}")
    dormant = jnp.asarray(sum(jnp.sum(mask, dtype=jnp.float32) for mask in masks.values()))
    return dormant / sum(mask.shape[0] for mask in masks.values())


def overlap_coefficient(
    masks_a: Mapping[str, jax.Array], masks_b: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """`|X ∩ Y| / min(|X|, |Y|)` of two sets of neurons, layer by layer (paper, section 3.1).

    In [0, 1], and 1 wherever one set holds the other: it does not see how large they are.

    Args:
      masks_a: `{layer: (H,)}` bool.
      masks_b: the same layers and shapes.

    Returns:
      `{layer: scalar}` float32; NaN where either set is empty, for which it is undefined.

    Raises:
      ValueError: if the two do not hold the same layers, or if a mask is not boolean.
    """
    _check_masks("masks_a", masks_a)
    _check_masks("masks_b", masks_b)
    if set(masks_a) != set(masks_b):
        raise ValueError(
            f"`masks_b` must hold the layers of `masks_a`, {sorted(masks_a)}; got {sorted(masks_b)}"
        )
    for name, mask in masks_a.items():
        check_mask(f"masks_b[{name!r}]", masks_b[name], mask.shape[0])
    return {name: overlap(mask, masks_b[name]) for name, mask in masks_a.items()}


def overlap(mask_a: jax.Array, mask_b: jax.Array) -> jax.Array:
    """The overlap coefficient of two (…, H) bool masks over their last axis; NaN if undefined."""
    both = jnp.sum(mask_a & mask_b, axis=-1, dtype=jnp.float32)
    smaller = jnp.minimum(
        jnp.sum(mask_a, axis=-1, dtype=jnp.float32), jnp.sum(mask_b, axis=-1, dtype=jnp.float32)
    )
    return jnp.where(smaller > 0, both / jnp.maximum(smaller, 1.0), jnp.nan)


def check_tau(tau: float | jax.Array, name: str = "tau", besides: str = "") -> None:
    """Raises ValueError if `tau` is negative or not one number; one that is traced has no value
    yet. `besides`: what else it may be."""
    is_traced = isinstance(tau, jax.core.Tracer) and tau.ndim == 0
    if not is_traced:
        try:
            check_number(name, tau, 0)
        except ValueError:
            check(False, name, f"a number >= 0{besides}", tau)


def _check_masks(name: str, masks: Mapping[str, jax.Array]) -> None:
    check_mapping(name, masks, "{layer: (H,) bool}")
    for layer, mask in masks.items():
        check_mask(f"{name}[{layer!r}]", mask, np.size(mask))

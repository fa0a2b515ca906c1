# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What one update consumes: transitions sampled from replay, with importance weights or without."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.checks import check


class Batch(NamedTuple):
    """B transitions sampled from replay; `...` is the shape of one observation.

    Attributes:
      state: (B, ...), any dtype the network takes (Atari: uint8).
      action: (B,), integer; for continuous control float32 (B, *action_shape).
      reward: (B,), float32, summed over the n steps with discounting.
      next_state: (B, ...), the observation n steps later.
      terminal: (B,), 1 (or True) where the episode ended within the n steps.
    """

    state: jax.Array
    action: jax.Array
    reward: jax.Array
    next_state: jax.Array
    terminal: jax.Array


class WeightedBatch(NamedTuple):
    """A `Batch` with importance weights: 1 for all where replay is uniform.

    Attributes:
      state, action, reward, next_state, terminal: as of `Batch`.
      weight: (B,), float32, multiplies each transition's loss.
    """

    state: jax.Array
    action: jax.Array
    reward: jax.Array
    next_state: jax.Array
    terminal: jax.Array
    weight: jax.Array


def check_batch(
    batch: Any, one_per_transition: Sequence[str], any_shape: Sequence[str] = ("state",)
) -> None:
    """Raises ValueError unless every field holds B transitions.

    Args:
      batch: a `Batch` or `WeightedBatch`.
      one_per_transition: fields that must have shape (B,).
      any_shape: fields that must have shape (B, ...); `next_state` must have that of `state`.
    """
    # A reward of shape (B, 1) would broadcast to B x B targets and learn nonsense without an error.
    names = (*any_shape, "next_state", *one_per_transition)
    has_all = all(hasattr(batch, name) for name in names)
    check(has_all, "batch", f"a batch with {', '.join(names)}, such as `learners.Batch`", batch)
    shapes = {name: jnp.shape(getattr(batch, name)) for name in names}
    leading = {shape[:1] for shape in shapes.values()}
    is_vector = all(len(shapes[name]) == 1 for name in one_per_transition)
    if len(leading) != 1 or () in leading or not is_vector:
        vectors, others = ", ".join(one_per_transition), ", ".join(any_shape)
        raise ValueError(
            f"`batch` must have {vectors} of shape (B,) and {others}, next_state of shape"
            f" (B, ...); got {shapes}"
        )


def continues(batch: Any) -> jax.Array:
    """float32 of the shape of terminal: 0 where the episode ended within the n steps, else 1."""
    return 1.0 - batch.terminal.astype(jnp.float32)

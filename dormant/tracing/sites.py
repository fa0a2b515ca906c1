# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Where activations stand among the values of a program, and how they are read there."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# How often activations of the neurons that have the most may be repeated: 59 and 60, each equally
# often, would be 3 540 of both.
_MOST_REPEATS = 16


class Site(NamedTuple):
    """Where activations of a layer's neurons stand: `value`, with them along `axes`."""

    value: int
    axes: tuple[int, ...]
    order: np.ndarray  # (k, N): for each neuron, its k positions along the flattened `axes`
    neurons: np.ndarray  # (N,): which ones of the layer they are, in ascending order
    depth: int = 0  # how many loops it is inside of; their steps are axes in front

    def arrange(self, activation: jax.Array) -> jax.Array:
        """The activations of its neurons, (B, …, N), with the steps of loops before N."""
        if self.depth:
            arranged = jax.vmap(self._replace(depth=self.depth - 1).arrange)(activation)
            return jnp.moveaxis(arranged, 0, -2)
        rest = [a for a in range(activation.ndim) if a not in self.axes]
        moved = activation.transpose(rest + list(self.axes))
        moved = moved.reshape([activation.shape[a] for a in rest] + [-1])
        copies, neurons = self.order.shape
        if copies == 1 and np.array_equal(self.order[0], np.arange(moved.shape[-1])):
            return moved
        taken = jnp.take(moved, self.order.ravel(), axis=-1)
        shape = moved.shape[:-1] + ((copies,) if copies > 1 else ()) + (neurons,)
        return taken.reshape(shape)


def equally_many(sizes: Sequence[int]) -> list[np.ndarray]:
    """For each of several sizes indices below it, equally many of all: each index equally often
    where that is possible within `_MOST_REPEATS`, else to within one."""
    number = min(math.lcm(*sizes), _MOST_REPEATS * max(sizes))
    return [np.arange(number) * size // number for size in sizes]


def measured(parts: Sequence[Sequence[Site]], values: Mapping[int, jax.Array]) -> jax.Array:
    """(B, …, H) a layer's activations, whose neurons stand, part by part, at the sites of each use.

    Several uses lie along one more axis, as positions in space do: (B, …, uses, H). Those of
    different shapes are flattened, where they have one batch size to (B, n, H), else to (n, H). So
    are parts of different shapes, and those of fewer activations are repeated, so that each neuron
    has equally many.
    """
    found = [_of_uses([site.arrange(values[site.value]) for site in sites]) for sites in parts]
    if len(found) == 1:
        return found[0]
    # A site of one neuron has no axis of its own: its axis of size 1 stays among the others.
    others = [activation.shape[:-1] for activation in found]
    if len({tuple(size for size in shape if size > 1) for shape in others}) == 1:
        shape = min(others, key=len)
        found = [activation.reshape(*shape, activation.shape[-1]) for activation in found]
    else:
        found = _repeated(_flattened(found))
    order = np.argsort(np.concatenate([sites[0].neurons for sites in parts]))
    return jnp.take(jnp.concatenate(found, axis=-1), order, axis=-1)


def _of_uses(found: Sequence[jax.Array]) -> jax.Array:
    """The activations of the same neurons in several uses as one array."""
    if len(found) == 1:
        return found[0]
    if len({activation.shape for activation in found}) == 1 and found[0].ndim > 1:
        return jnp.stack(found, axis=-2)
    return jnp.concatenate(_flattened(found), axis=-2)


def _flattened(found: Sequence[jax.Array]) -> list[jax.Array]:
    """Activations of different shapes as (B, n, neurons), else (n, neurons)."""
    batches = {activation.ndim > 1 and activation.shape[0] for activation in found}
    rows = found[0].shape[:1] if batches == {found[0].shape[0]} else ()
    return [activation.reshape(*rows, -1, activation.shape[-1]) for activation in found]


def _repeated(found: Sequence[jax.Array]) -> list[jax.Array]:
    """Activations (…, n, neurons) with as many n of each."""
    places = equally_many([activation.shape[-2] for activation in found])
    return [jnp.take(each, at, axis=-2) for each, at in zip(found, places, strict=True)]

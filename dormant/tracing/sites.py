# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Where activations stand among the values of a program, and how they are read there."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


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


def measured(uses: Sequence[Sequence[Site]], values: Mapping[int, jax.Array]) -> jax.Array:
    """(B, …, H) a layer's activations at the sites of each of its uses.

    Several uses lie along one more axis, as positions in space do: (B, …, uses, H). Uses of
    different shapes are flattened, where they have one batch size to (B, n, H), else to (n, H).
    """
    found = [_of_use(sites, values) for sites in uses]
    shapes = {activation.shape for activation in found}
    if len(found) == 1:
        return found[0]
    if len(shapes) == 1 and found[0].ndim > 1:
        return jnp.stack(found, axis=-2)
    neurons = found[0].shape[-1]
    if {len(shape) > 1 and shape[0] for shape in shapes} == {found[0].shape[0]}:
        flat = [activation.reshape(activation.shape[0], -1, neurons) for activation in found]
    else:
        flat = [activation.reshape(-1, neurons) for activation in found]
    return jnp.concatenate(flat, axis=-2)


def _of_use(sites: Sequence[Site], values: Mapping[int, jax.Array]) -> jax.Array:
    """(B, …, H) the activations of one use, whose neurons stand at one or several sites."""
    found = [site.arrange(values[site.value]) for site in sites]
    if len(found) == 1:
        return found[0]
    # A site of one neuron has no axis of its own: its axis of size 1 stays among the others.
    others = min((activation.shape[:-1] for activation in found), key=len)
    found = [activation.reshape(*others, activation.shape[-1]) for activation in found]
    order = np.argsort(np.concatenate([site.neurons for site in sites]))
    return jnp.take(jnp.concatenate(found, axis=-1), order, axis=-1)

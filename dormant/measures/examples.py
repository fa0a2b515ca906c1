# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Gradients for parts of a batch, and parameters as one vector."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def flat_parameters(params: Any) -> tuple[jax.Array, Callable[[jax.Array], Any]]:
    """The floating parameters as one float32 vector, and the way back to the tree, in which all
    else stays what it is."""
    leaves, treedef = jax.tree.flatten(params)
    places = [
        place for place, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    vector = jnp.concatenate([jnp.ravel(leaves[place]).astype(jnp.float32) for place in places])

    def tree(vector: jax.Array) -> Any:
        filled, start = list(leaves), 0
        for place in places:
            leaf = leaves[place]
            part = jax.lax.slice_in_dim(vector, start, start + leaf.size)
            filled[place], start = part.reshape(leaf.shape).astype(leaf.dtype), start + leaf.size
        return jax.tree.unflatten(treedef, filled)

    return vector, tree


def rows_of(inputs: tuple[Any, ...], rows: int, multiple_of: int = 1) -> tuple[Any, ...]:
    """The first rows of every input, as many as there are up to `rows`, in a whole number of
    groups; what has no rows, such as a key, stays."""
    batched = [jnp.shape(leaf)[0] for leaf in jax.tree.leaves(inputs) if _has_rows(leaf)]
    kept = min([rows, *batched]) // multiple_of * multiple_of
    return jax.tree.map(lambda leaf: leaf[:kept] if _has_rows(leaf) else leaf, inputs)


def one_by_one(
    function: Callable[..., jax.Array], params: Any, inputs: tuple[Any, ...], size: int = 1
) -> jax.Array:
    """(B / size, P) float32: the gradients of `function(params, *inputs)` for each group of `size`
    rows of the inputs."""
    vector, tree = flat_parameters(params)
    leaves, treedef = jax.tree.flatten(inputs)
    are_batched = [_has_rows(leaf) for leaf in leaves]
    groups = [
        leaf.reshape(-1, size, *leaf.shape[1:]) if is_batched else leaf
        for leaf, is_batched in zip(map(jnp.asarray, leaves), are_batched, strict=True)
    ]

    def gradient(*group: Any) -> jax.Array:
        inputs = jax.tree.unflatten(treedef, group)
        return jax.grad(lambda vector: function(tree(vector), *inputs))(vector)

    axes = [0 if is_batched else None for is_batched in are_batched]
    return jax.vmap(gradient, in_axes=axes)(*groups)


def _has_rows(leaf: Any) -> bool:
    return jnp.ndim(leaf) > 0 and not jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key)

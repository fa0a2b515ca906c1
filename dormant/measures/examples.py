# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Gradients for parts of a batch, and parameters as one vector."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.measures.measure import MeasureInputs
from dormant.measures.rows import first_rows, rows_of


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


class Examples(NamedTuple):
    """Some rows of a network's inputs.

    Attributes:
      inputs: those of the network, each with these rows; what has no rows stays.
      have_rows: of their leaves, in flattening order, which have any.
    """

    inputs: tuple[Any, ...]
    have_rows: tuple[bool, ...]


def examples_of(
    function: Callable[..., Any], inputs: MeasureInputs, rows: int, multiple_of: int = 1
) -> Examples:
    """The first rows of the measured inputs, as many as there are up to `rows`, in a whole number
    of groups.

    `rows_of` says which inputs have rows.

    Raises:
      ValueError: if no input has any.
    """
    found = rows_of(function, inputs.params, inputs.inputs, inputs.activations)
    kept = min(rows, found.number) // multiple_of * multiple_of
    return Examples(first_rows(inputs.inputs, found.have_rows, kept), found.have_rows)


def one_by_one(
    function: Callable[..., jax.Array], params: Any, examples: Examples, size: int = 1
) -> jax.Array:
    """(B / size, P) float32: the gradients of `function(params, *inputs)` for each group of `size`
    rows of the inputs."""
    vector, tree = flat_parameters(params)
    leaves, treedef = jax.tree.flatten(examples.inputs)
    pairs = list(zip(leaves, examples.have_rows, strict=True))
    groups = [
        jnp.reshape(leaf, (-1, size, *jnp.shape(leaf)[1:])) for leaf, has_rows in pairs if has_rows
    ]

    def gradient(*group: Any) -> jax.Array:
        given = iter(group)
        mixed = [next(given) if has_rows else leaf for leaf, has_rows in pairs]
        inputs = jax.tree.unflatten(treedef, mixed)
        return jax.grad(lambda vector: function(tree(vector), *inputs))(vector)

    return jax.vmap(gradient)(*groups)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Gradients for parts of a batch, and parameters as one vector."""

import collections
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.measures.measure import MeasureInputs


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

    An input has rows if its first axis is as long as that of the activations, and if
    `function(params, *inputs)` can be called with more of them: running statistics of as many
    neurons as there are rows, a table, and a key have none.

    Raises:
      ValueError: if no input has any.
    """
    have_rows = _have_rows(function, inputs)
    leaves, treedef = jax.tree.flatten(inputs.inputs)
    found = [
        jnp.shape(leaf)[0] for leaf, has_rows in zip(leaves, have_rows, strict=True) if has_rows
    ]
    kept = min(rows, found[0]) // multiple_of * multiple_of
    cut = [leaf[:kept] if has else leaf for leaf, has in zip(leaves, have_rows, strict=True)]
    return Examples(jax.tree.unflatten(treedef, cut), have_rows)


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


def _have_rows(function: Callable[..., Any], inputs: MeasureInputs) -> tuple[bool, ...]:
    leaves, treedef = jax.tree.flatten(inputs.inputs)
    lengths = collections.Counter(
        activation.shape[0] for activation in inputs.activations.values() if activation.ndim > 1
    )
    firsts = [jnp.shape(leaf)[0] if _is_array(leaf) else None for leaf in leaves]
    batch = next((length for length, _ in lengths.most_common() if length in firsts), None)
    if batch is None:
        shapes = [jnp.shape(leaf) for leaf in leaves]
        raise ValueError(
            f"`inputs` must have rows: an array as long as activations along its first axis; got "
            f"shapes {shapes}"
        )
    candidates = [place for place, first in enumerate(firsts) if first == batch]

    def can_grow(places: Sequence[int]) -> bool:
        """Whether the function takes twice as many rows of these leaves."""

        def call(*longer: Any) -> Any:
            mixed = list(leaves)
            for place, leaf in zip(places, longer, strict=True):
                mixed[place] = leaf
            return function(inputs.params, *jax.tree.unflatten(treedef, mixed))

        given = [leaves[place] for place in places]
        longer = [
            jax.ShapeDtypeStruct((2 * leaf.shape[0], *leaf.shape[1:]), leaf.dtype) for leaf in given
        ]
        try:
            jax.eval_shape(call, *longer)
        except Exception:  # of any library: shapes that do not fit
            return False
        return True

    if len(candidates) > 1:
        subsets = (
            places
            for size in range(len(candidates), 0, -1)
            for places in itertools.combinations(candidates, size)
        )
        candidates = list(next(filter(can_grow, subsets), candidates))
    return tuple(place in candidates for place in range(len(leaves)))


def _is_array(leaf: Any) -> bool:
    """Whether a leaf may have rows, as a typed key and a number have none."""
    return jnp.ndim(leaf) > 0 and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)

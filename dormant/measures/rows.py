# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which inputs of a network have a row for each example, and the first rows of these."""

import collections
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Rows(NamedTuple):
    """Which inputs have rows.

    Attributes:
      number: how many there are.
      have_rows: of the leaves of the inputs, in flattening order, which have them.
    """

    number: int
    have_rows: tuple[bool, ...]


def rows_of(
    function: Callable[..., Any],
    params: Any,
    inputs: tuple[Any, ...],
    activations: Mapping[str, Any],
) -> Rows:
    """The rows of a network's inputs.

    An input has rows if its first axis is as long as that of the activations, and if
    `function(params, *inputs)` can be called with more of them: running statistics of as many
    neurons as there are rows, a table, and a key have none.

    Args:
      function: the network, or what calls it.
      params: its first argument.
      inputs: its others.
      activations: {layer: (B, …, H)} of these inputs; shapes alone will do.

    Raises:
      ValueError: if no input has any.
    """
    leaves, treedef = jax.tree.flatten(inputs)
    lengths = collections.Counter(
        activation.shape[0] for activation in activations.values() if activation.ndim > 1
    )
    firsts = [jnp.shape(leaf)[0] if may_have_rows(leaf) else None for leaf in leaves]
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
            return function(params, *jax.tree.unflatten(treedef, mixed))

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
    return Rows(batch, tuple(place in candidates for place in range(len(leaves))))


def first_rows(inputs: tuple[Any, ...], have_rows: Sequence[bool], number: int) -> tuple[Any, ...]:
    """The inputs with their first rows; what has none stays whole."""
    leaves, treedef = jax.tree.flatten(inputs)
    pairs = zip(leaves, have_rows, strict=True)
    return jax.tree.unflatten(treedef, [leaf[:number] if has else leaf for leaf, has in pairs])


def may_have_rows(leaf: Any) -> bool:
    """Whether a leaf has a first axis that may be of rows: typed keys and numbers have none."""
    return jnp.ndim(leaf) > 0 and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)

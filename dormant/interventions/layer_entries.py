# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Entries of whole layers and of masked neurons: which they are, and values put into them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from dormant.checks import check
from dormant.graph import Entries, NeuronGraph, ParameterTree, check_layers

# masks {layer: (H,) bool} -> for every parameter a bool mask broadcastable to its shape
EntriesOfMasks = Callable[[dict[str, jax.Array]], Any]


def chosen_layers(graph: NeuronGraph, name: str, layers: str | Sequence[str]) -> tuple[str, ...]:
    """The names of hidden and output layers that `layers` stands for; ValueError, which calls it
    `name`, unless it is valid."""
    known = tuple(graph.incoming)
    is_word = isinstance(layers, str) and layers in ("all", "last_hidden")
    is_names = isinstance(layers, list | tuple) and all(isinstance(each, str) for each in layers)
    check(is_word or is_names, name, "'last_hidden', 'all' or names of layers", layers)
    if layers == "all":
        chosen = known
    else:
        chosen = graph.penultimate if layers == "last_hidden" else tuple(layers)
    check_layers(name, chosen, known)
    for layer in chosen:
        if not graph.incoming[layer] and layers != "all":
            raise ValueError(f"`{name}` must have incoming weights of their own; got {layer!r}")
    if not chosen:
        raise ValueError(f"`{name}` must name at least one layer of the graph; got {layers!r}")
    return chosen


def entry_masks(
    parameters: ParameterTree, neurons: Sequence[tuple[tuple[Entries, ...], jax.Array]]
) -> Any:
    """For every parameter leaf a bool mask broadcastable to its shape, of the entries of the masked
    neurons: pairs of a layer's entries and its (H,) mask."""
    ndims = {path: len(shape) for path, shape in parameters.shape_of.items()}
    found = {path: jnp.zeros((1,) * ndim, bool) for path, ndim in ndims.items()}
    for layer, mask in neurons:
        for entries in layer:
            found[entries.path] |= entries.mask(mask, ndims[entries.path])
    return parameters.unflatten(found)


def entries_of_layers(
    graph: NeuronGraph, chosen: Sequence[str], everything: bool, role: str | None = None
) -> EntriesOfMasks:
    """What feeds the masked neurons of the chosen hidden layers, and the chosen output layers.

    Args:
      chosen: names of hidden and output layers.
      everything: every parameter of the tree instead, also those of no layer.
      role: only entries of this role, such as "kernel"; None for all.
    """
    incoming = {
        name: tuple(each for each in entries if role in (None, each.role))
        for name, entries in graph.incoming.items()
        if name in chosen
    }
    widths = {
        name: max((entries.index.array.max() + 1 for entries in incoming[name]), default=0)
        for name in incoming
        if name in graph.output_layers
    }

    def entries(masks: dict[str, jax.Array]) -> Any:
        # What has no scores goes with what has: where no layer's are known, nothing is done.
        some = jnp.stack([jnp.any(mask) for mask in masks.values()]).any() if masks else True
        if everything:
            return jax.tree.map(lambda none: ~none & some, entry_masks(graph.parameters, ()))
        neurons = {name: mask for name, mask in masks.items() if name in chosen}
        neurons |= {name: jnp.full(width, some) for name, width in widths.items()}
        pairs = [(incoming[name], mask) for name, mask in neurons.items()]
        return entry_masks(graph.parameters, pairs)

    return entries


def in_whole_shapes(entries: Any, params: Any) -> Any:
    """The masks of entries in the shapes of the parameters themselves."""
    return jax.tree.map(lambda mask, value: jnp.broadcast_to(mask, value.shape), entries, params)


def entries_are_finite(entries: Any, values: Any) -> jax.Array:
    """bool (): whether the values of these entries are all finite."""

    def are_finite(mask: jax.Array, new: jax.Array) -> jax.Array:
        if not jnp.issubdtype(new.dtype, jnp.inexact):
            return jnp.ones((), bool)
        return jnp.all(jnp.isfinite(new) | ~mask)

    finite = jax.tree.map(are_finite, entries, values)
    return jnp.stack(jax.tree.leaves(finite)).all()


def have_finite(values: Sequence[tuple[Entries, jax.Array]], neurons: int) -> jax.Array:
    """bool (H,): whether all entries of a neuron are finite, of arrays with its entries in them."""
    bad = jnp.zeros(neurons, jnp.float32)
    for entries, value in values:
        bad += entries.sums((~jnp.isfinite(value)).astype(jnp.float32), neurons)
    return bad == 0


def replaced(entries: Any, values: Any, params: Any) -> Any:
    """The parameters with the values of these entries taken from another tree."""
    return jax.tree.map(
        lambda mask, new, old: jnp.where(mask, in_dtype_of(old, new), old), entries, values, params
    )


def in_dtype_of(old: jax.Array, new: jax.Array) -> jax.Array:
    """The array `new` in the dtype of `old`; a typed key, which is cast to none, as it is."""
    return new if new.dtype == old.dtype else new.astype(old.dtype)


def in_dtypes_of(
    old: Mapping[str, jax.Array], drawn: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """Fresh leaves by path, in the dtypes of the old ones."""
    return {path: in_dtype_of(old[path], leaf) for path, leaf in drawn.items()}

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Recycling: a dormant neuron's incoming weights are drawn anew, its outgoing ones set to zero."""

import dataclasses
import functools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dormant.checks import check, check_choice, check_mapping, check_mask
from dormant.graph import (
    Entries,
    IndexMap,
    Layer,
    NeuronGraph,
    check_graph,
    check_layers,
    some_names,
)
from dormant.interventions.layer_entries import entry_masks, have_finite, in_dtypes_of

OUTGOING = ("zero", "fresh")
INCOMING_SCALES = ("fresh", "live_norm")
# Arrays with the values that go into some of their entries; then with the neurons that are meant.
_Values = Iterator[tuple[Entries, jax.Array]]
_Written = tuple[jax.Array, Entries, jax.Array]
FLATTEN_LAYOUTS = ("channels_last", "released_code")


def recycle(
    graph: NeuronGraph,
    params: Any,
    fresh: Any,
    masks: Mapping[str, jax.Array],
    *,
    outgoing: str = "zero",
    incoming_scale: str = "fresh",
    flatten_layout: str = "channels_last",
    also: Sequence[str] = (),
) -> Any:
    """Recycles the masked neurons (paper, Algorithm 1).

    Incoming entries (kernel, bias, normalization parameters) are taken from `fresh`; outgoing
    entries become 0. An entry that is both, between two recycled neurons, becomes 0, as in the
    released code. Layers with an `obstacle` are left alone unless named in `also`.

    Running statistics of a recycled neuron begin anew with its weights where they are part of the
    tree: trace the network on all of its variables, as it is evaluated, `dormant.trace(lambda
    variables, x: net.apply(variables, x, train=False), variables, x)`, and give those here.

    Args:
      graph: the network's neuron graph.
      params: parameter tree, such as `{"params": …, "batch_stats": …}` of a network that was traced
        on these.
      fresh: tree of the same structure from the network's own initializer.
      masks: `{layer: (H,)}` bool; layers that are missing are left alone.
      outgoing: `"zero"`, or `"fresh"` for values of `fresh` (paper, figure 22).
      incoming_scale: `"fresh"`, or `"live_norm"` to scale each fresh kernel column to the mean
        norm of the columns of the layer's neurons that are not recycled (paper, figure 23).
      flatten_layout: `"channels_last"`, or `"released_code"` for the rows that Dopamine's released
        code takes at the boundary between a convolution and a dense layer.
      also: layers to recycle in spite of their obstacle; outputs may then change. One whose neurons
        no weights read singly, as queries in attention, has nothing to set to 0: a warning says so.

    Returns:
      The new parameter tree, same structure, shapes and dtypes. A neuron whose fresh entries would
      not be finite is left alone, as under `jax.jit` nothing can be raised.

    Raises:
      ValueError: if an option, a layer name or a mask is not valid, or if `fresh` does not have the
        structure and shapes of `params` or is not finite.
    """
    also = check_recycling(graph, outgoing, incoming_scale, flatten_layout, also)
    check_fresh(graph, fresh)
    options: dict[str, Any] = {"flatten_layout": flatten_layout, "also": also}
    options |= {"outgoing": outgoing, "incoming_scale": incoming_scale}
    return recycle_usable(graph, params, fresh, masks, **options)[0]


def recycle_usable(
    graph: NeuronGraph,
    params: Any,
    fresh: Any,
    masks: Mapping[str, jax.Array],
    *,
    outgoing: str,
    incoming_scale: str = "fresh",
    flatten_layout: str,
    also: tuple[str, ...],
) -> tuple[Any, dict[str, jax.Array]]:
    """`recycle` with options that are known to be valid, and the masks of the neurons recycled: all
    but those whose fresh entries are not finite."""
    wiring = with_flatten_layout(graph, flatten_layout)
    old = graph.parameters.leaves("params", params)
    drawn = graph.parameters.leaves("fresh", fresh)
    drawn = in_dtypes_of(old, drawn)

    def incoming_values(layer: Layer, mask: jax.Array) -> _Values:
        for entries in layer.incoming:
            value = drawn[entries.path]
            if incoming_scale == "live_norm" and entries.role == "kernel":
                value = _scaled_to_live(entries, mask, old[entries.path], value)
            yield entries, value

    def outgoing_values(layer: Layer) -> _Values:
        for entries in layer.outgoing:
            value = drawn[entries.path]
            yield entries, value if outgoing == "fresh" else jnp.zeros_like(value)

    incoming: list[_Written] = []
    read: list[_Written] = []
    layers = list(_masked_layers(wiring, masks, also))
    done = dict(masks)
    for layer, mask in layers:
        fed, reading = list(incoming_values(layer, mask)), list(outgoing_values(layer))
        mask &= have_finite([*fed, *reading], layer.neurons)
        done[layer.name] = mask
        incoming += [(mask, *each) for each in fed]
        read += [(mask, *each) for each in reading]
    new = dict(old)
    for mask, entries, value in (*incoming, *read):
        where = entries.mask(mask, value.ndim)
        new[entries.path] = jnp.where(where, value, new[entries.path])
    return graph.parameters.unflatten(new), done


def check_fresh(graph: NeuronGraph, fresh: Any, name: str = "fresh") -> None:
    """Raises ValueError where values that a recycle draws are whole numbers or, as far as they are
    known and not traced, not finite."""
    layers = [layer for layer in graph.layers if layer.obstacle is None]
    drawn = {entries.path for layer in layers for entries in layer.incoming}
    for path, leaf in graph.parameters.leaves(name, fresh).items():
        if path not in drawn:
            continue
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            raise ValueError(
                f"`{name}` must hold floating numbers; got {jnp.result_type(leaf)} in {path}"
            )
        if not isinstance(leaf, jax.core.Tracer) and not np.all(np.isfinite(np.asarray(leaf))):
            raise ValueError(f"`{name}` must be finite; got values that are not in {path}")


def check_recycling(
    graph: NeuronGraph,
    outgoing: str,
    incoming_scale: str,
    flatten_layout: str,
    also: Sequence[str],
) -> tuple[str, ...]:
    """`also` as a tuple; ValueError unless the options of `recycle` are valid."""
    check_graph(graph)
    check_choice("outgoing", outgoing, OUTGOING)
    check_choice("incoming_scale", incoming_scale, INCOMING_SCALES)
    check_choice("flatten_layout", flatten_layout, FLATTEN_LAYOUTS)
    _check_also(graph, also)
    return tuple(also)


def _check_also(graph: NeuronGraph, also: Sequence[str]) -> None:
    check(isinstance(also, list | tuple), "also", "a list of layers", also)
    check_layers("also", also, graph.names)
    unread = [name for name in also if graph[name].read_by and not graph[name].outgoing]
    if unread:
        warnings.warn(
            f"`also`: of {some_names(unread)} no weights are known that read single neurons:"
            " incoming weights are drawn anew, and none is set to 0 or begun anew behind them",
            stacklevel=4,
        )


class Touched(NamedTuple):
    """For every parameter leaf, a bool mask broadcastable to its shape.

    Attributes:
      incoming: entries that feed the neurons, in the parameters' structure.
      outgoing: entries that read them.
    """

    incoming: Any
    outgoing: Any

    @property
    def either(self) -> Any:
        return jax.tree.map(jnp.logical_or, self.incoming, self.outgoing)


def touched_entries(
    graph: NeuronGraph,
    masks: Mapping[str, jax.Array],
    *,
    flatten_layout: str = "channels_last",
    also: Sequence[str] = (),
) -> Touched:
    """The entries that `recycle` rewrites: bool masks in the parameters' structure."""
    check_graph(graph)
    _check_also(graph, also)
    layers = _masked_layers(with_flatten_layout(graph, flatten_layout), masks, also)
    return Touched(
        entry_masks(graph.parameters, [(layer.incoming, mask) for layer, mask in layers]),
        entry_masks(graph.parameters, [(layer.outgoing, mask) for layer, mask in layers]),
    )


def _masked_layers(
    graph: NeuronGraph, masks: Mapping[str, jax.Array], also: Sequence[str]
) -> list[tuple[Layer, jax.Array]]:
    check_mapping("masks", masks, "{layer: (H,) bool}")
    check_layers("masks", masks, graph.names)
    found = []
    for name, mask in masks.items():
        layer = graph[name]
        check_mask(f"masks[{name!r}]", mask, layer.neurons)
        if layer.recyclable or name in also:
            found.append((layer, jnp.asarray(mask)))
    return found


def _scaled_to_live(
    entries: Entries, mask: jax.Array, old: jax.Array, fresh: jax.Array
) -> jax.Array:
    """Scales each neuron's fresh entries to the mean norm of the neurons that stay."""

    def norms(array: jax.Array) -> jax.Array:
        squares = jnp.square(array.astype(jnp.float32))
        return jnp.sqrt(entries.sums(squares, mask.shape[0]))

    live = ~mask
    mean_norm = jnp.sum(jnp.where(live, norms(old), 0.0)) / jnp.maximum(jnp.sum(live), 1)
    fresh_norms = norms(fresh)
    usable = (fresh_norms > 0) & jnp.any(live) & jnp.isfinite(mean_norm)
    factor = jnp.where(usable, mean_norm / jnp.where(fresh_norms > 0, fresh_norms, 1.0), 1.0)
    return fresh * entries.spread(factor, old.ndim, 1.0).astype(fresh.dtype)


@functools.lru_cache(maxsize=64)
def with_flatten_layout(graph: NeuronGraph, flatten_layout: str) -> NeuronGraph:
    """The graph, or the one that Dopamine's released code assumes at a flatten.

    The released code gives row `r` of a dense kernel behind a flattened convolution to channel
    `r // positions` (`repeat`); in a channels-last flatten it belongs to `r % H` (`tile`).
    """
    check_choice("flatten_layout", flatten_layout, FLATTEN_LAYOUTS)
    if flatten_layout == "channels_last":
        return graph
    layers = []
    for layer in graph.layers:
        outgoing = tuple(_repeated(entries, layer.neurons) for entries in layer.outgoing)
        layers.append(dataclasses.replace(layer, outgoing=outgoing))
    return dataclasses.replace(graph, layers=tuple(layers))


def _repeated(entries: Entries, neurons: int) -> Entries:
    rows = entries.index.array
    positions = rows.size // neurons
    if entries.axes != (0,) or positions == 1 or rows.size % neurons:
        return entries
    if not np.array_equal(rows, np.tile(np.arange(neurons), positions)):
        return entries
    return dataclasses.replace(entries, index=IndexMap.of(np.repeat(np.arange(neurons), positions)))

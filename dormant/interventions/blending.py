# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What is done to whole layers: fresh values are mixed into their parameters or replace them."""

import functools
import operator
from collections.abc import Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dormant.checks import check_number
from dormant.graph import NeuronGraph, check_graph
from dormant.interventions.actions import Action, Initializer, check_training
from dormant.interventions.layer_entries import (
    chosen_layers,
    entries_are_finite,
    entries_of_layers,
    in_dtype_of,
    replaced,
)
from dormant.interventions.moments import reset_entries, trained_places


def blending(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    *,
    keep: float,
    fresh: float,
    layers: str | Sequence[str] = "all",
    redrawn: str | Sequence[str] = (),
    moments: str = "keep",
) -> Action:
    """Shrinks parameters and adds fresh ones: `W <- keep W + fresh init(key)`.

    Variables beside those that the optimizer's state is of, such as running statistics of
    BatchNorm, stay as they are, but at keep = 0 they are drawn anew too: a variance that was
    shrunk, or that normal noise was added to, is none. Where an optimizer keeps no state, as plain
    SGD, nothing tells them apart.

    With a small `fresh` it is shrink and perturb (Ash & Adams 2020, arXiv:1910.08475), whose noise
    is normal: give an `init` that draws it. With `fresh = 1 - keep` it is the interpolation of
    SR-SPR (D'Oro et al. 2023) and BBF (Schwarzer et al. 2023, arXiv:2305.19452), which draw their
    last layers anew besides: those in `redrawn`. Meant for `parts.whole_layers()`; of other
    selections, what feeds the selected neurons is blended. Outputs change.

    In a target network the same entries become those of the network, as there is no telling what
    was drawn; the released code of BBF blends its target with values of its own.

    Args:
      graph: the network's neuron graph.
      init: `init(key) -> params`, the network's own initializer, or that of the noise.
      optimizer: the optimizer whose state is reset with the parameters.
      keep: factor of the old values, in [0, 1]. At 0 integers and keys of the tree are the fresh
        ones, else they stay.
      fresh: factor of the fresh ones, at least 0. With keep = 1 and fresh = 0 nothing changes.
      layers: which are blended, as `parts.redrawing` takes them; `"all"` is every parameter of the
        tree, also those of no layer.
      redrawn: hidden and output layers that are drawn anew instead, with their moments.
      moments: `"reset"` or `"keep"`: the optimizer's moments of blended entries. Kept in BBF's
        released code and in public ones of shrink and perturb.

    Raises:
      ValueError: if an option is not valid, if a layer shares its incoming weights, or if `init`
        does not give the graph's parameters, or gives such as are not finite.
    """
    check_graph(graph)
    check_number("keep", keep, 0, 1)
    check_number("fresh", fresh, 0)
    chosen = chosen_layers(graph, "layers", layers)
    is_none = isinstance(redrawn, list | tuple) and not redrawn
    anew = () if is_none else chosen_layers(graph, "redrawn", redrawn)
    check_training(graph, init, optimizer, moments)
    parameters = graph.parameters
    blended_entries = entries_of_layers(graph, chosen, layers == "all")
    redrawn_entries = entries_of_layers(graph, anew, redrawn == "all")

    def blend(new: jax.Array, old: jax.Array) -> jax.Array:
        if not jnp.issubdtype(old.dtype, jnp.inexact):
            return old if keep else new  # a counter or key: there is nothing in between
        dtype = jnp.promote_types(old.dtype, jnp.float32)
        # What counts nothing is left out: 0 times infinity is no number, and -0 + 0 is not -0.
        terms = [
            value if factor == 1 else factor * value.astype(dtype)
            for factor, value in ((keep, old), (fresh, new))
            if factor
        ]
        return functools.reduce(operator.add, terms or [jnp.zeros_like(old)]).astype(old.dtype)

    def act(params, opt_state, masks, key, state, scores):
        del scores
        drawn = parameters.unflatten(parameters.leaves("fresh", init(key)))
        blended, whole = blended_entries(masks), redrawn_entries(masks)
        if keep:
            blended = _at(trained_places(optimizer, graph, opt_state), blended)
        entries = jax.tree.map(jnp.logical_or, blended, whole)
        new = jax.tree.map(
            lambda is_whole, new, old: jnp.where(is_whole, in_dtype_of(old, new), blend(new, old)),
            whole,
            drawn,
            params,
        )
        usable = entries_are_finite(entries, new)
        entries = jax.tree.map(lambda mask: mask & usable, entries)
        masks = {name: mask & usable for name, mask in masks.items()}
        params = replaced(entries, new, params)
        begun = entries if moments == "reset" else jax.tree.map(lambda mask: mask & usable, whole)
        if moments == "reset" or anew:
            opt_state = reset_entries(optimizer, graph, opt_state, begun, params)
        return params, opt_state, masks, state

    def mirror(params, others, masks, acted):
        entries = jax.tree.map(
            lambda *either: jnp.logical_or(*either) & acted,
            blended_entries(masks),
            redrawn_entries(masks),
        )
        params = parameters.unflatten(parameters.leaves("params", params))
        return replaced(entries, params, others)

    hidden = tuple(name for name in graph.names if name in {*chosen, *anew})
    return Action(hidden, act, mirror=mirror)


def _at(places: Collection[int], entries: Any) -> Any:
    """The masks of entries, without those of arrays in other places."""
    leaves, treedef = jax.tree.flatten(entries)
    kept = [mask if place in places else jnp.zeros_like(mask) for place, mask in enumerate(leaves)]
    return jax.tree.unflatten(treedef, kept)


def redrawing(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    *,
    layers: str | Sequence[str] = "last_hidden",
    moments: str = "reset",
) -> Action:
    """Draws what feeds the selected neurons anew and leaves what reads them (Nikishin et al. 2022).

    Args:
      graph: the network's neuron graph.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: the optimizer whose state is reset with the parameters.
      layers: `"last_hidden"`, the hidden layers that an output layer reads (the paper's baseline);
        `"all"`; or names of hidden and output layers. Output layers, whose neurons have no scores,
        are redrawn at every action, and with `"all"` every parameter of the tree is, also those of
        no layer.
      moments: `"reset"` or `"keep"`: the optimizer's moments of redrawn entries.

    Raises:
      ValueError: if an option is not valid, if a layer shares its incoming weights, or if `init`
        does not give the graph's parameters, or gives such as are not finite.
    """
    return blending(graph, init, optimizer, keep=0, fresh=1, layers=layers, moments=moments)

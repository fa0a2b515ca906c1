# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What is done to selected neurons: what an action is, recycling, pruning for good."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dormant.checks import check_choice, first_line, shown
from dormant.graph import NeuronGraph, check_graph
from dormant.interventions.moments import reset_entries, reset_moments
from dormant.interventions.recycling import (
    check_fresh,
    check_recycling,
    recycle_usable,
    touched_entries,
)
from dormant.interventions.structures import check_optimizer, frozen_parameters

MOMENTS = ("reset", "keep")
Initializer = Callable[[jax.Array], Any]


class Action(NamedTuple):
    """What an intervention does to the selected neurons.

    Attributes:
      layers: names of the hidden layers that it can act on.
      act: `act(params, opt_state, masks, key, state, scores) -> (params, opt_state, masks, state)`,
        with masks {layer: (H,)} bool of `layers` and the scores {layer: (H,)} that they were
        selected by; returns the masks of the neurons that it acted on. The key is consumed.
      init: `init() -> state`.
      maintain: `maintain(params, opt_state, state) -> (params, opt_state)`, after every gradient
        step, before anything is scored.
      mirror: `mirror(params, others, masks, acted) -> others`: does to the parameters of a copy of
        the network, such as a target network, what `act` has just done to `params`, with the same
        fresh values. `masks` are those that `act` returned, none outside its steps; `acted` is
        whether this is one of its steps. None where the action has no such counterpart.
    """

    layers: tuple[str, ...]
    act: Callable[..., tuple[Any, Any, dict[str, jax.Array], Any]]
    init: Callable[[], Any] = tuple
    maintain: Callable[..., tuple[Any, Any]] = lambda params, opt_state, state: (params, opt_state)
    mirror: Callable[[Any, Any, dict[str, jax.Array], jax.Array], Any] | None = None


def recycling(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    *,
    outgoing: str = "zero",
    incoming_scale: str = "fresh",
    moments: str = "reset",
    flatten_layout: str = "channels_last",
    also: Sequence[str] = (),
) -> Action:
    """ReDo's action: `dormant.recycle` and `dormant.reset_moments` (paper, Algorithm 1).

    Args:
      graph: the network's neuron graph.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: the optimizer whose state is reset with the neurons.
      moments: `"reset"` or `"keep"`: the optimizer's moments of recycled entries.
      outgoing, incoming_scale, flatten_layout, also: as in `dormant.recycle`.

    Raises:
      ValueError: if an option is not valid, or `init` does not give the graph's parameters, or
        gives such as are not finite.

    Warns:
      UserWarning: no layer of the network can be recycled; it names the reasons. Or the graph has
        a note on a layer that can be.
    """
    also = check_recycling(graph, outgoing, incoming_scale, flatten_layout, also)
    check_training(graph, init, optimizer, moments)
    layers = actable_layers(graph, also)
    wiring: dict[str, Any] = {"flatten_layout": flatten_layout, "also": also}
    options = wiring | {"outgoing": outgoing}

    def act(params, opt_state, masks, key, state, scores):
        del scores
        params, masks = recycle_usable(
            graph, params, init(key), masks, incoming_scale=incoming_scale, **options
        )
        if moments == "reset":
            opt_state = reset_moments(optimizer, graph, opt_state, masks, params=params, **wiring)
        return params, opt_state, masks, state

    def mirror(params, others, masks, acted):
        del acted
        return recycle_usable(graph, others, params, masks, **options)[0]

    return Action(layers, act, mirror=mirror)


def pruning(graph: NeuronGraph, optimizer: optax.GradientTransformation) -> Action:
    """Sets the entries that feed and read a neuron to 0 and keeps them there (figures 6 and 19).

    The pruned neurons are the action's state, {layer: (H,)} bool. Their moments are reset once;
    whatever the optimizer makes of them later, the entries return to 0 after every gradient step.
    Layers with an obstacle are left alone: pruning their silent neurons would change outputs.

    Args:
      graph: the network's neuron graph.
      optimizer: the optimizer whose state is reset with the parameters.

    Raises:
      ValueError: if `optimizer` is not an optax transformation.
    """
    check_graph(graph)
    check_optimizer(optimizer)
    layers = {layer.name: layer.neurons for layer in graph.layers if layer.recyclable}

    def init() -> dict[str, jax.Array]:
        return {name: jnp.zeros(neurons, bool) for name, neurons in layers.items()}

    def act(params, opt_state, masks, key, pruned, scores):
        del key, scores
        newly = {name: mask & ~pruned[name] for name, mask in masks.items()}
        pruned = {name: pruned[name] | mask for name, mask in masks.items()}
        params, opt_state = maintain(params, opt_state, pruned)
        entries = touched_entries(graph, newly).either
        opt_state = reset_entries(optimizer, graph, opt_state, entries, params)
        return params, opt_state, newly, pruned

    def maintain(params, opt_state, pruned):
        def zero(mask: jax.Array, value: jax.Array) -> jax.Array:
            return jnp.where(mask, jnp.zeros((), value.dtype), value)

        return jax.tree.map(zero, touched_entries(graph, pruned).either, params), opt_state

    return Action(tuple(layers), act, init, maintain)


def actable_layers(graph: NeuronGraph, also: Sequence[str] = ()) -> tuple[str, ...]:
    """The names of the layers whose neurons can be recycled, and of those in `also`; warns where
    there is none, and of what the graph notes on them."""
    layers = tuple(layer.name for layer in graph.layers if layer.recyclable or layer.name in also)
    if not layers:
        reasons = "; ".join(
            f"{names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}: {obstacle}"
            for obstacle, names in graph.obstacles.items()
        )
        text = f"no layer of this network can be recycled, so that nothing will be: {reasons}"
        warnings.warn(text, stacklevel=4)
    for note in graph.select(layers).notes:
        warnings.warn(note, stacklevel=4)
    return layers


def check_training(graph: NeuronGraph, init: Any, optimizer: Any, moments: str) -> None:
    """Raises ValueError unless these are valid for an action that draws parameters anew: `moments`,
    the optimizer, and an `init(key)` that returns finite parameters of the graph's shapes."""
    check_choice("moments", moments, MOMENTS)
    check_optimizer(optimizer)
    asked = "`init` must be a function of one key that returns the graph's parameters"
    if not callable(init):
        raise ValueError(f"{asked}; got {shown(init)}")
    try:
        fresh = jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))
    except TypeError as error:
        said = first_line(error)
        raise ValueError(f"{asked}; got {shown(init)}, which says {said}") from error
    graph.parameters.leaves("init(key)", fresh)
    # What it returns under `jax.jit` is not known; neurons are then left alone for it.
    check_fresh(graph, jax.jit(init)(jax.random.key(0)), "init(key)")
    _warn_of_frozen(graph, optimizer)


def _warn_of_frozen(graph: NeuronGraph, optimizer: optax.GradientTransformation) -> None:
    """Warns of recyclable layers with kernels that the optimizer never changes: what is drawn anew
    there, or set to 0, would stay so."""
    frozen = frozen_parameters(optimizer, graph.parameters)
    found = [
        (entries.path, layer.name)
        for layer in graph.layers
        if layer.recyclable
        for entries in (*layer.incoming, *layer.outgoing)
        if entries.role == "kernel" and entries.path in frozen
    ]
    if found:
        paths, layers = (", ".join(dict.fromkeys(names)) for names in zip(*found, strict=True))
        warnings.warn(
            f"`optimizer` never changes {paths}, so that what is drawn anew there, or set to 0,"
            f" would not be trained: leave out {layers} with `graph.select`",
            stacklevel=5,
        )

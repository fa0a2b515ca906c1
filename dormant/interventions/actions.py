"""What is done to selected neurons: recycling, redrawing whole layers, pruning for good."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dormant.checks import check_choice, is_pair
from dormant.graph import NeuronGraph
from dormant.interventions.moments import ADAM_COUNTS, check_per_entry, reset_entries, reset_moments
from dormant.interventions.recycling import (
    FLATTEN_LAYOUTS,
    INCOMING_SCALES,
    OUTGOING,
    recycle,
    touched_entries,
)

MOMENTS = ("reset", "keep")
Initializer = Callable[[jax.Array], Any]


class Action(NamedTuple):
    """What an intervention does to the selected neurons.

    Attributes:
      layers: names of the hidden layers that it can act on.
      init: `init() -> state`.
      act: `act(params, opt_state, masks, key, state) -> (params, opt_state, masks, state)`, with
        masks {layer: (H,)} bool of `layers`; returns those of the neurons that it acted on. The key
        is consumed.
      maintain: `maintain(params, opt_state, state) -> (params, opt_state)`, after every gradient
        step, before anything is scored.
    """

    layers: tuple[str, ...]
    init: Callable[[], Any]
    act: Callable[..., tuple[Any, Any, dict[str, jax.Array], Any]]
    maintain: Callable[[Any, Any, Any], tuple[Any, Any]]


def recycling(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    *,
    outgoing: str = "zero",
    incoming_scale: str = "fresh",
    moments: str = "reset",
    adam_count: str = "keep",
    flatten_layout: str = "channels_last",
    also: Sequence[str] = (),
) -> Action:
    """ReDo's action: `dormant.recycle` and `dormant.reset_moments` (paper, Algorithm 1).

    Args:
      graph: the network's neuron graph.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: the optimizer whose state is reset with the neurons.
      outgoing: `"zero"` or `"fresh"` (paper, figure 22).
      incoming_scale: `"fresh"` or `"live_norm"` (paper, figure 23).
      moments: `"reset"` or `"keep"`: the optimizer's moments of recycled entries.
      adam_count: `"keep"`, or `"per_entry"` with an optimizer made from `parts.scale_by_adam`.
      flatten_layout: `"channels_last"` or `"released_code"`; see `dormant.recycle`.
      also: layers to recycle although the graph names an obstacle; outputs may then change.

    Raises:
      ValueError: if an option is not valid.
    """
    also = check_recycling(
        graph, outgoing, incoming_scale, moments, adam_count, flatten_layout, also
    )
    _check_training(init, optimizer, adam_count)
    layers = tuple(layer.name for layer in graph.layers if layer.recyclable or layer.name in also)

    def act(params, opt_state, masks, key, state):
        params = recycle(
            graph,
            params,
            init(key),
            masks,
            outgoing=outgoing,
            incoming_scale=incoming_scale,
            flatten_layout=flatten_layout,
            also=also,
        )
        if moments == "reset":
            opt_state = reset_moments(
                optimizer,
                graph,
                opt_state,
                masks,
                adam_count=adam_count,
                flatten_layout=flatten_layout,
                also=also,
            )
        return params, opt_state, masks, state

    return Action(layers, _no_state, act, _keep)


def redrawing(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    *,
    outputs: Sequence[str] = (),
    everything: bool = False,
    moments: str = "reset",
    adam_count: str = "keep",
) -> Action:
    """Draws what feeds the selected neurons anew and leaves what reads them (Nikishin et al. 2022).

    Args:
      graph: the network's neuron graph.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: the optimizer whose state is reset with the parameters.
      outputs: output layers, which have no scores, to redraw at every action.
      everything: redraw every parameter of the tree, also those of no layer.
      moments: `"reset"` or `"keep"`: the optimizer's moments of redrawn entries.
      adam_count: `"keep"`, or `"per_entry"` with an optimizer made from `parts.scale_by_adam`.

    Raises:
      ValueError: if an option is not valid.
    """
    check_choice("moments", moments, MOMENTS)
    check_choice("adam_count", adam_count, ADAM_COUNTS)
    for name in outputs:
        check_choice("outputs", name, graph.output_layers)
    _check_training(init, optimizer, adam_count)
    parameters = graph.parameters
    ndims = {
        path: len(shape) for path, shape in zip(parameters.paths, parameters.shapes, strict=True)
    }

    def redrawn(masks: dict[str, jax.Array]) -> Any:
        touched = touched_entries(graph, masks, also=tuple(masks)).incoming
        found = parameters.broadcastable_leaves(touched)
        for name in outputs:
            for entries in graph.incoming[name]:
                path, neurons = entries.path, entries.index.array.max() + 1
                whole = entries.mask(jnp.ones(neurons, bool), ndims[path])
                found[path] = found[path] | whole
        if everything:
            found = {path: jnp.ones((1,) * ndim, bool) for path, ndim in ndims.items()}
        return parameters.unflatten(found)

    def act(params, opt_state, masks, key, state):
        entries = redrawn(masks)
        fresh = parameters.unflatten(parameters.leaves("fresh", init(key)))
        params = jax.tree.map(
            lambda mask, new, old: jnp.where(mask, new.astype(old.dtype), old),
            entries,
            fresh,
            params,
        )
        if moments == "reset":
            opt_state = reset_entries(optimizer, opt_state, entries, adam_count=adam_count)
        return params, opt_state, masks, state

    return Action(graph.names, _no_state, act, _keep)


def pruning(graph: NeuronGraph, optimizer: optax.GradientTransformation) -> Action:
    """Sets the entries that feed and read a neuron to 0 and keeps them there (figures 6 and 19).

    The pruned neurons are the action's state, {layer: (H,)} bool. Their moments are set to 0 once;
    whatever the optimizer makes of them later, the entries return to 0 after every gradient step.
    Layers with an obstacle are left alone: pruning their silent neurons would change outputs.

    Args:
      graph: the network's neuron graph.
      optimizer: the optimizer whose state is reset with the parameters.

    Raises:
      ValueError: if `optimizer` is not an optax transformation.
    """
    check_optimizer(optimizer)
    layers = {layer.name: layer.neurons for layer in graph.layers if layer.recyclable}

    def of(pruned: dict[str, jax.Array]) -> Any:
        touched = touched_entries(graph, pruned)
        return jax.tree.map(jnp.logical_or, touched.incoming, touched.outgoing)

    def init() -> dict[str, jax.Array]:
        return {name: jnp.zeros(neurons, bool) for name, neurons in layers.items()}

    def act(params, opt_state, masks, key, pruned):
        del key
        newly = {name: mask & ~pruned[name] for name, mask in masks.items()}
        pruned = {name: pruned[name] | mask for name, mask in masks.items()}
        opt_state = reset_entries(optimizer, opt_state, of(newly))
        params, opt_state = maintain(params, opt_state, pruned)
        return params, opt_state, newly, pruned

    def maintain(params, opt_state, pruned):
        def zero(mask: jax.Array, value: jax.Array) -> jax.Array:
            return jnp.where(mask, jnp.zeros((), value.dtype), value)

        return jax.tree.map(zero, of(pruned), params), opt_state

    return Action(tuple(layers), init, act, maintain)


def check_recycling(
    graph: NeuronGraph,
    outgoing: str,
    incoming_scale: str,
    moments: str,
    adam_count: str,
    flatten_layout: str,
    also: Sequence[str],
) -> tuple[str, ...]:
    """`also` as a tuple; ValueError unless the options of `recycling` are valid."""
    check_choice("outgoing", outgoing, OUTGOING)
    check_choice("incoming_scale", incoming_scale, INCOMING_SCALES)
    check_choice("moments", moments, MOMENTS)
    check_choice("adam_count", adam_count, ADAM_COUNTS)
    check_choice("flatten_layout", flatten_layout, FLATTEN_LAYOUTS)
    also = tuple(also)
    for name in also:
        if name not in graph.names:
            known = ", ".join(graph.names)
            raise ValueError(f"`also` must name layers among {known}; got {name!r}")
    return also


def check_optimizer(optimizer: Any) -> None:
    """Raises ValueError unless `optimizer` is an optax transformation."""
    if not is_pair(optimizer):
        raise ValueError(f"`optimizer` must be an optax transformation; got {optimizer!r}")


def _check_training(init: Any, optimizer: Any, adam_count: str) -> None:
    if not callable(init):
        raise ValueError(f"`init` must be a function of a key; got {init!r}")
    check_optimizer(optimizer)
    if adam_count == "per_entry":
        shapes = jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))
        check_per_entry(jax.eval_shape(optimizer.init, shapes))


def _no_state() -> tuple[()]:
    return ()


def _keep(params, opt_state, state):
    del state
    return params, opt_state

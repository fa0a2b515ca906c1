# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Reinitialization of single weights: those of least utility, whatever neuron they belong to."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dormant.checks import check, check_choice, check_number
from dormant.graph import NeuronGraph, check_graph, stacking_axes
from dormant.interventions.actions import Action, Initializer, check_training
from dormant.interventions.layer_entries import entries_of_layers, in_whole_shapes, replaced
from dormant.interventions.moments import reset_entries
from dormant.interventions.scores import GRADIENT
from dormant.interventions.structures import as_traced

UTILITIES = ("gradient", "magnitude", "random")
CRITERIA = ("proportional", "threshold")
VALUES = ("resample", "zero")


def weight_reinitialization(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    *,
    rate: float = 0.001,
    utility: str = "magnitude",
    criterion: str = "proportional",
    values: str = "resample",
    gradient: Any | Callable[[], Any] = None,
) -> Action:
    """Redraws the weights of least utility (Hernandez-Garcia et al. 2025, arXiv:2508.00212).

    Utilities are compared within each kernel, of an ensemble each member's (see
    `NeuronGraph.stacked`). Biases and normalization parameters stay, which the paper redraws too.
    The optimizer's moments of redrawn weights are reset. Meant for `parts.whole_layers()`; the
    masks that it returns are of the neurons with an incoming weight redrawn. Outputs change.

    Args:
      graph: the network's neuron graph.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: the optimizer whose state is reset with the weights.
      rate: with `"proportional"`, the fraction of each kernel's weights, at most 1; the last of
        them by chance, so that the mean is exact. With `"threshold"`, the utility relative to the
        kernel's mean utility up to which a weight is redrawn.
      utility: `"magnitude"` |w|; `"gradient"` |w g|, the first-order change of the loss where w is
        set to 0; or `"random"`. Of equal ones the first are redrawn. `"magnitude"` is the one with
        which the method does not maintain plasticity in its authors' experiments.
      criterion: `"proportional"` or `"threshold"`.
      values: `"resample"`, those of `init`, or `"zero"`, the mean of kernels' usual initializers,
        with which the same weights are redrawn over and over, as the paper measures.
      gradient: for `"gradient"`: the loss gradient, a tree like the parameters, or a function that
        computes it. `dormant.interventions.selective_weight_reinitialization` takes it by update.

    Raises:
      ValueError: if an option is not valid, if a gradient is needed and missing, or if `init` does
        not give the graph's parameters, or gives such as are not finite.
    """
    options = {"utility": utility, "criterion": criterion, "values": values}
    return reinitializing(graph, init, optimizer, rate, **options)(gradient)


def reinitializing(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    rate: float,
    *,
    utility: str,
    criterion: str,
    values: str,
) -> Callable[[Any], Action]:
    """`weight_reinitialization` as a function of the gradient, with everything else checked."""
    check_graph(graph)
    check_choice("criterion", criterion, CRITERIA)
    check_number("rate", rate, 0, 1 if criterion == "proportional" else float("inf"))
    check_choice("utility", utility, UTILITIES)
    check_choice("values", values, VALUES)
    check_training(graph, init, optimizer, "reset")
    of_masks = entries_of_layers(graph, tuple(graph.incoming), everything=False, role="kernel")
    paths = {
        entries.path
        for layer in graph.incoming.values()
        for entries in layer
        if entries.role == "kernel"
    }
    kernels = tuple(path for path in graph.parameters.paths if path in paths)
    stacked = {path: stacking_axes(graph, path) for path in kernels}

    def usefulness(
        leaves: dict[str, jax.Array], gradient: Any, key: jax.Array
    ) -> dict[str, jax.Array]:
        found = {path: jnp.abs(leaves[path].astype(jnp.float32)) for path in kernels}
        if utility == "random":
            keys = zip(kernels, jax.random.split(key, len(kernels)), strict=True)
            return {path: jax.random.uniform(own, found[path].shape) for path, own in keys}
        if utility == "gradient":
            check(gradient is not None, GRADIENT, "given, as the utility reads it", gradient)
            given = gradient() if callable(gradient) else gradient
            given = as_traced(graph.parameters, given, GRADIENT)
            slopes = graph.parameters.leaves(GRADIENT, given)
            return {path: found[path] * jnp.abs(slopes[path]) for path in kernels}
        return found

    def least(useful: jax.Array, key: jax.Array) -> jax.Array:
        if criterion == "threshold":
            return useful <= rate * jnp.mean(useful)
        whole, rest = divmod(rate * useful.size, 1)
        count = int(whole) + (jax.random.uniform(key) < rest)
        order = jnp.argsort(useful.ravel())
        chosen = jnp.zeros(useful.size, bool).at[order].set(jnp.arange(useful.size) < count)
        return chosen.reshape(useful.shape)

    def least_of_each(useful: jax.Array, key: jax.Array, axes: tuple[int, ...]) -> jax.Array:
        """`least` of every member or block by itself."""
        if not axes:
            return least(useful, key)
        first = range(len(axes))
        moved = jnp.moveaxis(useful, axes, first)
        members = moved.reshape(-1, *moved.shape[len(axes) :])
        chosen = jax.vmap(least)(members, jax.random.split(key, len(members)))
        return jnp.moveaxis(chosen.reshape(moved.shape), first, axes)

    def act(gradient, params, opt_state, masks, key, state, scores):
        del scores
        fresh_key, utility_key, count_key = jax.random.split(key, 3)
        leaves = graph.parameters.leaves("params", params)
        drawn = graph.parameters.leaves("fresh", init(fresh_key))
        entries = graph.parameters.leaves("entries", in_whole_shapes(of_masks(masks), params))
        useful = usefulness(leaves, gradient, utility_key)
        for number, path in enumerate(kernels):
            new = drawn[path].astype(leaves[path].dtype)
            drawn[path] = new if values == "resample" else jnp.zeros_like(new)
            own_key = jax.random.fold_in(count_key, number)
            chosen = least_of_each(useful[path], own_key, stacked[path])
            entries[path] &= chosen & jnp.isfinite(drawn[path])
        touched = graph.parameters.unflatten(entries)
        params = replaced(touched, graph.parameters.unflatten(drawn), params)
        opt_state = reset_entries(optimizer, graph, opt_state, touched, params)
        return params, opt_state, {name: redrawn(entries, name) for name in masks}, state

    def redrawn(entries: dict[str, jax.Array], name: str) -> jax.Array:
        """bool (H,): the neurons that a redrawn weight feeds."""
        counts = jnp.zeros(graph[name].neurons, jnp.float32)
        for each in graph[name].incoming:
            counts += each.sums(entries[each.path].astype(jnp.float32), graph[name].neurons)
        return counts > 0

    return lambda gradient: Action(graph.names, functools.partial(act, gradient))

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Partial recycling: the less a neuron does, the more of it is replaced by fresh weights."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from dormant.checks import check_choice, check_number
from dormant.graph import Entries, NeuronGraph, check_graph
from dormant.interventions.actions import Action, Initializer, actable_layers, check_training
from dormant.interventions.layer_entries import have_finite, in_dtypes_of
from dormant.interventions.moments import reset_moments

# Of how far a score is above the threshold, times the sharpness: 1 at 0 and below.
TRANSFORMS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "sigmoid": lambda excess: 2 * jax.nn.sigmoid(-excess),
    "exp": lambda excess: jnp.exp(-excess),
    "softplus": lambda excess: jax.nn.softplus(-excess) / math.log(2),
    "linear": lambda excess: jnp.maximum(1 - excess, 0.0),
}


def partial_recycling(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    *,
    rate: float = 0.015,
    threshold: float = 1.0,
    sharpness: float = 16.0,
    transform: str = "sigmoid",
    moments: str = "keep",
) -> Action:
    """Replaces the fraction `p_i` of every selected neuron, which falls with its score.

    What feeds neuron i becomes `(1 - p_i) W + p_i W_new`, with `W_new = init(key)`, and what reads
    it `(1 - p_i) W`; `p_i = rate` at scores up to `threshold` and `rate f(sharpness (score_i -
    threshold))` above it. With f 0 above the threshold and rate = 1 it is `parts.recycling`. Scores
    have mean 1. These are the "calibrated partial resets" of github.com/LucMc/continual-learning,
    whose paper calls them continuous continual backpropagation (submitted to ICLR 2026); the
    formulas are those of that code, with which the defaults agree.

    Deviations from it: biases and normalization parameters are replaced like kernels, and an entry
    between two neurons first approaches its fresh value and is then shrunk, so that p = 1 is a
    recycle. There, the score is a running mean of the weights' absolute gradients. Outputs change,
    unless the neuron is silent.

    Args:
      graph: the network's neuron graph.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: the optimizer whose state is reset with the neurons.
      rate: the largest fraction that is replaced at a time, in [0, 1].
      threshold: a score, up to which that is done.
      sharpness: how fast the fraction falls above it, more than 0.
      transform: f, 1 at 0 and falling: `"sigmoid"` (twice that of the negative), `"exp"`,
        `"softplus"` (of the negative, over log 2) or `"linear"` (1 - x, 0 from 1 on).
      moments: `"reset"` or `"keep"`: the optimizer's moments of the selected neurons' entries.

    Raises:
      ValueError: if an option is not valid, or `init` does not give the graph's parameters, or
        gives such as are not finite.

    Warns:
      UserWarning: as `parts.recycling` does.
    """
    check_graph(graph)
    check_number("rate", rate, 0, 1)
    check_number("threshold", threshold)
    check_number("sharpness", sharpness, above=0)
    check_choice("transform", transform, tuple(TRANSFORMS))
    check_training(graph, init, optimizer, moments)
    layers = actable_layers(graph)

    def act(params, opt_state, masks, key, state, scores):
        old = graph.parameters.leaves("params", params)
        drawn = in_dtypes_of(old, graph.parameters.leaves("fresh", init(key)))
        fractions, acted = {}, {}
        for name in layers:
            layer = graph[name]
            fed = [(entries, drawn[entries.path]) for entries in layer.incoming]
            excess = jnp.maximum(sharpness * (scores[name] - threshold), 0.0)
            fraction = rate * jnp.minimum(TRANSFORMS[transform](excess), 1.0)
            acted[name] = masks[name] & have_finite(fed, layer.neurons) & (fraction > 0)
            fractions[name] = jnp.where(acted[name], fraction, 0.0)
        new = dict(old)
        for name in layers:
            for entries in graph[name].incoming:
                value, fresh = new[entries.path], drawn[entries.path]
                new[entries.path] = _mixed(entries, fractions[name], value, fresh)
        for name in layers:
            for entries in graph[name].outgoing:
                value = new[entries.path]
                zeros = jnp.zeros_like(value)
                new[entries.path] = _mixed(entries, fractions[name], value, zeros)
        params = graph.parameters.unflatten(new)
        if moments == "reset":
            opt_state = reset_moments(optimizer, graph, opt_state, acted, params=params)
        return params, opt_state, acted, state

    return Action(layers, act)


def _mixed(entries: Entries, fractions: jax.Array, value: jax.Array, fresh: jax.Array) -> jax.Array:
    """`(1 - p_i) value + p_i fresh` in the entries of each neuron; to the bit at 0 and 1."""
    fraction = entries.spread(fractions, value.ndim, 0.0)
    mixed = ((1 - fraction) * value + fraction * fresh).astype(value.dtype)
    return jnp.where(fraction > 0, jnp.where(fraction < 1, mixed, fresh), value)

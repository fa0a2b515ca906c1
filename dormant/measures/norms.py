# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Norms of features, weights, gradients and changes, each layer by itself.

Norms of parameters are Euclidean and cover a layer's kernel, its biases and its normalization
parameters, output layers too; entries that several neurons share count once. Norms are at
least 0 and have no upper end."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dormant.checks import check_number
from dormant.graph import Entries, NeuronGraph
from dormant.measures.measure import (
    EVERY,
    GRADIENT,
    HIDDEN,
    INITIAL,
    PREVIOUS,
    Measure,
    MeasureInputs,
    named,
)
from dormant.measures.spectra import features


def feature_norm() -> Measure:
    """The mean over the batch of the Euclidean norm of a hidden layer's activations.

    It cannot tell a few units that grow from all that do.
    """

    def measure(graph, inputs):
        return {name: feature_norm_of(inputs.activations[name]) for name in graph.names}

    return Measure(
        "feature_norm", "Euclidean norm of a layer's activations, batch mean", HIDDEN, measure
    )


def weight_norm() -> Measure:
    """`‖W‖` of a layer's parameters.

    Behind a normalization it says nothing of what the layer computes, only of the size of a step.
    """
    return _of_layers(
        "weight_norm", "Euclidean norm of a layer's parameters", lambda inputs: inputs.params
    )


def gradient_norm() -> Measure:
    """`‖g‖` of the gradient that the tracker is given; NaN where it is given none.

    It is that of one batch, and sees neither its noise nor what the optimizer makes of it.
    """
    return _of_layers(
        "gradient_norm",
        "Euclidean norm of the loss's gradient at the measured parameters",
        lambda inputs: inputs.gradient,
        GRADIENT,
    )


def update_norm() -> Measure:
    """`‖W - W_before‖`, W_before being the parameters of the measurement before.

    With a period of 1 000 it is how far 1 000 updates went, interventions included, not the sum of
    their lengths: what goes to and fro cancels. At the first measurement W_before is what the
    tracker's `init` was given as `params`; NaN where it was given none.
    """
    return _of_layers(
        "update_norm",
        "Euclidean norm of the change of a layer's parameters since the measurement before",
        lambda inputs: difference(inputs.params, inputs.previous),
        PREVIOUS,
    )


def distance_from_initialization() -> Measure:
    """`‖W - W_0‖`, W_0 being what the tracker's `init` was given as `params`.

    Neurons that changed places are far from where they began, and compute the same.
    """
    return _of_layers(
        "distance_from_initialization",
        "Euclidean norm of a layer's parameters minus the initial ones",
        lambda inputs: difference(inputs.params, inputs.initial),
        INITIAL,
    )


def effective_learning_rate() -> Measure:
    """`‖g‖ / ‖W‖` of a layer, without the optimizer's learning rate.

    Lyle et al. 2024 (arXiv 2407.01800) and SimbaV2 (Lee et al. 2025): behind a normalization, the
    size of a step is its length over that of the weights. NaN where no gradient is given and for
    weights that are all 0. It does not see what an adaptive optimizer makes of the gradient.
    """

    def measure(graph, inputs):
        gradients = layer_norms(graph, "gradient", inputs.gradient)
        weights = layer_norms(graph, "params", inputs.params)
        return {
            name: jnp.where(norm > 0, gradients[name] / jnp.where(norm > 0, norm, 1.0), jnp.nan)
            for name, norm in weights.items()
        }

    return Measure(
        "effective_learning_rate",
        "norm of a layer's gradient over the norm of its parameters (Lyle et al. 2024)",
        EVERY,
        measure,
        frozenset({GRADIENT}),
    )


def stagnant_units(threshold: float = 1e-3) -> Measure:
    """The share of a layer's units with `‖w_i - w_i,before‖ <= threshold ‖w_i‖`, in [0, 1].

    w_i are the incoming kernel entries of unit i, w_i,before those of the measurement before, as of
    `update_norm`. After KNIFE (Liu et al. 2026, arXiv 2606.25335), which calls neurons stagnant
    whose updates become negligible relative to their weights; the threshold is ours and goes with
    the period. It does not see a unit that moves and learns nothing. A unit whose kernel is all 0
    and stays so is stagnant. NaN for a layer without kernel entries of its own, and where a weight
    is not finite.

    Raises:
      ValueError: if `threshold` is negative.
    """
    check_number("threshold", threshold, 0)

    def measure(graph, inputs):
        now = graph.parameters.leaves("params", inputs.params)
        change = graph.parameters.leaves("previous", difference(inputs.params, inputs.previous))

        def share(layer) -> Any:
            kernels = tuple(each for each in layer.incoming if each.role == "kernel")
            moved = _unit_norms(change, kernels, layer.neurons)
            own = _unit_norms(now, kernels, layer.neurons)
            known = jnp.all(jnp.isfinite(moved) & jnp.isfinite(own)) & bool(kernels)
            return jnp.where(known, jnp.mean(moved <= threshold * own), jnp.nan)

        return {layer.name: share(layer) for layer in graph.layers}

    return Measure(
        named("stagnant_units", threshold, 1e-3),
        f"share of units whose kernel changed by at most {threshold:g} of its norm since the"
        " measurement before (Liu et al. 2026)",
        HIDDEN,
        measure,
        frozenset({PREVIOUS}),
    )


def feature_norm_of(activation: jax.Array) -> jax.Array:
    """The mean over the batch of the Euclidean norm of a layer's features."""
    return jnp.mean(jnp.linalg.norm(features(activation), axis=-1))


def layer_norms(graph: NeuronGraph, name: str, tree: Any) -> dict[str, jax.Array]:
    """{layer: its norm} of a tree like the parameters, which errors call `name`."""
    leaves = graph.parameters.leaves(name, tree)
    return {layer: norm_of(leaves, entries) for layer, entries in graph.incoming.items()}


def norm_of(leaves: Mapping[str, jax.Array], layer: tuple[Entries, ...]) -> jax.Array:
    """Euclidean norm of the given entries, each counted once."""
    covered: dict[str, np.ndarray] = {}
    for entries in layer:
        own = entries.along_axes(entries.index.array >= 0, jnp.ndim(leaves[entries.path]))
        covered[entries.path] = covered.get(entries.path, False) | own
    squares = jnp.zeros((), jnp.float32)
    for path, mask in covered.items():
        values = jnp.asarray(leaves[path], jnp.float32)
        values = values if mask.all() else jnp.where(mask, values, 0.0)
        squares += jnp.sum(jnp.square(values))
    return jnp.sqrt(squares)


def difference(one: Any, other: Any) -> Any:
    """`one - other` in float32, of two trees of one structure; what is no floating array is 0."""

    def of(left: Any, right: Any) -> jax.Array:
        if not jnp.issubdtype(left.dtype, jnp.floating):
            return jnp.zeros(np.shape(left), jnp.float32)
        return jnp.asarray(left, jnp.float32) - jnp.asarray(right, jnp.float32)

    return jax.tree.map(of, one, other)


def _unit_norms(
    leaves: Mapping[str, jax.Array], kernels: tuple[Entries, ...], neurons: int
) -> jax.Array:
    """(H,) float32: the norm of each neuron's entries."""
    squares = jnp.zeros(neurons, jnp.float32)
    for entries in kernels:
        squares += entries.sums(jnp.square(jnp.asarray(leaves[entries.path], jnp.float32)), neurons)
    return jnp.sqrt(squares)


def _of_layers(
    name: str, meaning: str, tree: Callable[[MeasureInputs], Any], *needs: str
) -> Measure:
    def measure(graph, inputs):
        return layer_norms(graph, name, tree(inputs))

    return Measure(name, meaning, EVERY, measure, frozenset(needs))

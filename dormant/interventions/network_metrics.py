# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Effective rank, and norms of features, weights and gradients: the paper's other measurements.
Everything is computed from one batch of activations, in float32 whatever the network's dtype."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.checks import check, check_mapping, check_number
from dormant.graph import NeuronGraph, check_graph
from dormant.measures.norms import feature_norm_of, layer_norms, norm_of
from dormant.measures.spectra import singular_values, srank_of


class NetworkMetrics(NamedTuple):
    """What `network_metrics` measures. Every array is a float32 scalar.

    Attributes:
      effective_rank: {layer: ()}, srank of the features that an output layer reads.
      feature_norm: {layer: ()}, mean Euclidean norm of a hidden layer over the batch.
      weight_norm: {layer: ()}, Euclidean norm; output layers too.
      gradient_norm: {layer: ()}, the same of the gradient; NaN where none was given.
      weight_norm_total: (), over the parameters of all those layers.
      gradient_norm_total: (), the same of the gradient.
    """

    effective_rank: dict[str, jax.Array]
    feature_norm: dict[str, jax.Array]
    weight_norm: dict[str, jax.Array]
    gradient_norm: dict[str, jax.Array]
    weight_norm_total: jax.Array
    gradient_norm_total: jax.Array


def network_metrics(
    graph: NeuronGraph,
    params: Any,
    activations: Mapping[str, jax.Array],
    gradient: Any = None,
    *,
    rank_threshold: float = 0.01,
) -> NetworkMetrics:
    """Effective rank and norms of one network on one batch.

    The effective rank of the features `(B, d)` of a layer is srank (Kumar et al., ICLR 2021,
    section 3): the least k for which the k largest of their singular values sum to
    `1 - rank_threshold` of all. It is at most min(B, d) and 0 for features that are all zero
    (paper, table 7). A convolution's features are all its positions and channels.

    Weight and gradient norms cover each layer's kernel, biases and normalization parameters. The
    totals cover the parameters of all layers of the graph once each, not other parameters in the
    same tree, such as those of another network.

    Args:
      graph: the network's neuron graph.
      params: parameter tree.
      activations: `{layer: (B, …, H)}`, as `graph.activations` returns.
      gradient: the loss gradient, a tree like `params`; None leaves the gradient norms NaN.
      rank_threshold: delta of srank, in (0, 1).

    Returns:
      `NetworkMetrics`.

    Raises:
      ValueError: if `rank_threshold` lies outside (0, 1), or if `params` or `gradient` does not
        have the structure and shapes that the graph was traced with.
    """
    check_graph(graph)
    check_rank_threshold(rank_threshold)
    check_mapping("activations", activations, "{layer: (B, …, H)}")
    missing = [name for name in graph.penultimate if name not in activations]
    check(not missing, "activations", f"those of {', '.join(missing)} too", [*activations])
    spectra = singular_values(graph, activations)
    return metrics_of(graph, params, activations, gradient, spectra, rank_threshold)


def metrics_of(
    graph: NeuronGraph,
    params: Any,
    activations: Mapping[str, jax.Array],
    gradient: Any,
    spectra: Mapping[str, jax.Array],
    rank_threshold: float,
) -> NetworkMetrics:
    """`network_metrics` of features whose singular values are known."""
    together = tuple(entries for layer in graph.incoming.values() for entries in layer)

    def norms(name: str, tree: Any) -> tuple[dict[str, jax.Array], jax.Array]:
        leaves = graph.parameters.leaves(name, tree)
        return layer_norms(graph, name, tree), norm_of(leaves, together)

    weight_norm, weight_norm_total = norms("params", params)
    if gradient is None:
        gradient_norm_total = jnp.asarray(jnp.nan, jnp.float32)
        gradient_norm = dict.fromkeys(weight_norm, gradient_norm_total)
    else:
        gradient_norm, gradient_norm_total = norms("gradient", gradient)
    metrics = NetworkMetrics(
        effective_rank={name: srank_of(values, rank_threshold) for name, values in spectra.items()},
        feature_norm={name: feature_norm_of(each) for name, each in activations.items()},
        weight_norm=weight_norm,
        gradient_norm=gradient_norm,
        weight_norm_total=weight_norm_total,
        gradient_norm_total=gradient_norm_total,
    )
    return jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), metrics)


def nan_metrics(graph: NeuronGraph) -> NetworkMetrics:
    """The metrics before the first measurement: the same structure, all NaN."""

    def each(names: Any) -> dict[str, jax.Array]:
        return {name: jnp.full((), jnp.nan, jnp.float32) for name in names}

    layers = tuple(graph.incoming)
    total = each(("weights", "gradients"))
    return NetworkMetrics(
        each(graph.penultimate), each(graph.names), each(layers), each(layers), *total.values()
    )


def check_rank_threshold(rank_threshold: float) -> None:
    """Raises ValueError unless `rank_threshold` lies in (0, 1)."""
    check_number("rank_threshold", rank_threshold, above=0, below=1)

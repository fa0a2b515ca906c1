# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How far a layer's kernel is from an isometry."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from dormant.graph import Entries, NeuronGraph, by_member
from dormant.measures.measure import EVERY, Measure


def deviation_from_isometry() -> Measure:
    """`‖WᵀW - I‖_F²` of a layer's kernel W, of one column for each neuron; 0 of an isometry.

    FIRE's DfI (Han et al. 2026, arXiv 2602.08040). A kernel of more columns than rows cannot have
    orthonormal columns; of such a one the rows are compared, `‖WWᵀ - I‖_F²`, which is less by the
    difference of their numbers. A convolution's W has a row for each position of the kernel and
    channel that it reads. Of an output layer of an ensemble it is the members' sum. It needs no
    data, and so sees nothing of what the layer does to the inputs that occur, of biases and of
    normalizations. It has no upper end. NaN for a layer without a kernel of its own.
    """

    def measure(graph, inputs):
        leaves = graph.parameters.leaves("params", inputs.params)
        return {
            name: _deviation(graph, leaves, entries) for name, entries in graph.incoming.items()
        }

    return Measure(
        "deviation_from_isometry",
        "squared Frobenius norm of WᵀW - I of a layer's kernel (Han et al. 2026)",
        EVERY,
        measure,
    )


def kernel_matrix(leaves: Mapping[str, jax.Array], layer: tuple[Entries, ...]) -> jax.Array | None:
    """(inputs, H) float32: a layer's kernel with a column for each neuron; None without one."""
    found = [_columns(leaves[each.path], each) for each in layer if each.role == "kernel"]
    parts = [part for part in found if part is not None]
    is_matrix = len(parts) == len(found) and len({part.shape[1] for part in parts}) == 1
    return jnp.concatenate(parts) if is_matrix else None


def _columns(kernel: jax.Array, entries: Entries) -> jax.Array | None:
    """(…, H) of one array: of neurons that have several positions each, as many times the rows.
    None where some have more than others."""
    kernel = jnp.asarray(kernel, jnp.float32)
    others = tuple(axis for axis in range(kernel.ndim) if axis not in entries.axes)
    index = entries.index.array.reshape(-1)
    positions = kernel.transpose(*others, *entries.axes).reshape(-1, index.size)
    neurons = int(index.max()) + 1
    if entries.groups > 1 and np.array_equal(index[index >= 0], np.arange(neurons)):
        # A grouped convolution: the rows of all groups, each zero in the columns of the others.
        group = np.arange(neurons) // (neurons // entries.groups)
        own = np.arange(entries.groups)[:, None, None] == group
        return (positions[:, index >= 0] * own).reshape(-1, neurons)
    if np.array_equal(index, np.arange(neurons)):
        return positions
    places = [np.flatnonzero(index == neuron) for neuron in range(neurons)]
    if len({len(each) for each in places}) > 1:
        return None
    return positions[:, np.stack(places, axis=-1)].reshape(-1, neurons)


def _deviation(
    graph: NeuronGraph, leaves: Mapping[str, jax.Array], layer: tuple[Entries, ...]
) -> jax.Array:
    kernels = [each for each in layer if each.role == "kernel"]
    members = [by_member(graph, each) for each in kernels]
    if len({len(each) for each in members}) > 1:  # some kernels are of all members
        members = [(each,) for each in kernels]
    found = [_of_member(leaves, each) for each in zip(*members, strict=True)]
    return jnp.sum(jnp.stack(found)) if found else jnp.full((), jnp.nan, jnp.float32)


def _of_member(leaves: Mapping[str, jax.Array], layer: tuple[Entries, ...]) -> jax.Array:
    matrix = kernel_matrix(leaves, layer)
    if matrix is None:
        return jnp.full((), jnp.nan, jnp.float32)
    rows, columns = matrix.shape
    matrix = matrix.T if columns > rows else matrix
    gram = jnp.matmul(matrix.T, matrix, precision=jax.lax.Precision.HIGHEST)
    return jnp.sum(jnp.square(gram - jnp.eye(len(gram), dtype=jnp.float32)))

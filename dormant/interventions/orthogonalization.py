# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Orthogonalization: every kernel becomes the nearest one whose singular values are all alike."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dormant.checks import LARGEST_COUNT, check_choice, check_count
from dormant.graph import Entries, NeuronGraph, check_graph, stacking_axes
from dormant.interventions.actions import MOMENTS, Action
from dormant.interventions.layer_entries import (
    chosen_layers,
    entries_of_layers,
    in_whole_shapes,
    replaced,
)
from dormant.interventions.moments import reset_entries
from dormant.interventions.structures import check_optimizer


class _Axes(NamedTuple):
    """What lies along the axes of a kernel."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    members: tuple[int, ...]  # of an ensemble, or blocks of a scan
    positions: tuple[int, ...]  # neither
    groups: int = 1  # equal parts of the outputs' one axis, of a grouped convolution


def orthogonalization(
    graph: NeuronGraph,
    optimizer: optax.GradientTransformation,
    *,
    layers: str | Sequence[str] = "all",
    iterations: int = 10,
    moments: str = "reset",
) -> Action:
    """FIRE's action: kernels become their polar factors (Han et al., ICLR 2026, arXiv:2602.08040).

    The polar factor `W (W^T W)^(-1/2)` is the nearest matrix to W whose singular values are all 1.
    It is approached by the Newton-Schulz iteration `X <- 1.5 X - 0.5 X X^T X` from `W / |W|`, with
    the Frobenius norm, and scaled by `sqrt(d_out / d_in)`. A convolution has a matrix for each of
    its K positions, scaled by `sqrt(d_out / d_in) / K`, as in the authors' code. Biases and
    normalization parameters stay. Singular values below about `1.5^-iterations` of the norm do not
    reach 1, and 0 stays 0: silent neurons without weights are not revived. Outputs change.

    Meant for `parts.whole_layers()`; of other selections, the columns of the selected neurons are
    replaced. In a target network the kernels become their own polar factors; the authors' code
    copies the network's instead.

    Args:
      graph: the network's neuron graph.
      optimizer: the optimizer whose state is reset with the kernels.
      layers: hidden and output layers, as `parts.redrawing` takes them. A kernel that feeds several
        layers is one matrix.
      iterations: of Newton-Schulz, at least 1.
      moments: `"reset"` or `"keep"`: the optimizer's moments of the kernels. The authors begin with
        a new optimizer.

    Raises:
      ValueError: if an option is not valid, or if a layer shares its incoming weights.
    """
    check_graph(graph)
    check_optimizer(optimizer)
    check_count("iterations", iterations, 1, most=LARGEST_COUNT)
    check_choice("moments", moments, MOMENTS)
    chosen = chosen_layers(graph, "layers", layers)
    kernels = {
        entries.path: _matrix_axes(graph, entries)
        for name in chosen
        for entries in graph.incoming[name]
        if entries.role == "kernel"
    }
    of_masks = entries_of_layers(graph, chosen, everything=False, role="kernel")

    def orthogonalized(entries: Any, params: Any) -> tuple[Any, Any]:
        masks = graph.parameters.leaves("entries", in_whole_shapes(entries, params))
        leaves = graph.parameters.leaves("params", params)
        new = dict(leaves)
        for path, axes in kernels.items():
            new[path], usable = _polar_factors(leaves[path], axes, iterations)
            masks[path] &= usable
        entries = graph.parameters.unflatten(masks)
        return replaced(entries, graph.parameters.unflatten(new), params), entries

    def act(params, opt_state, masks, key, state, scores):
        del key, scores
        params, entries = orthogonalized(of_masks(masks), params)
        if moments == "reset":
            opt_state = reset_entries(optimizer, graph, opt_state, entries, params)
        return params, opt_state, masks, state

    def mirror(params, others, masks, acted):
        del params
        entries = jax.tree.map(lambda mask: mask & acted, of_masks(masks))
        return orthogonalized(entries, others)[0]

    return Action(tuple(name for name in graph.names if name in chosen), act, mirror=mirror)


def _matrix_axes(graph: NeuronGraph, entries: Entries) -> _Axes:
    """The axes of a kernel.

    Inputs lie along the axes by which the layers before are read. Where there are none, as at the
    network's inputs, they are all that is neither outputs nor a convolution's window.
    """
    shapes = graph.parameters.shape_of
    stacked = stacking_axes(graph, entries.path)
    outputs = tuple(axis for axis in entries.axes if axis not in stacked)
    every = range(len(shapes[entries.path]))
    others = tuple(axis for axis in every if axis not in (*outputs, *stacked))
    if entries.groups > 1 and len(outputs) == 1:
        inputs = tuple(axis for axis in others if axis not in entries.window)
        return _Axes(inputs, outputs, stacked, entries.window, entries.groups)
    read = [
        each.axes for layer in graph.layers for each in layer.outgoing if each.path == entries.path
    ]
    if read:
        inputs = tuple(axis for axis in read[0] if axis not in stacked)
    else:
        inputs = tuple(axis for axis in others if axis not in entries.window)
    return _Axes(
        tuple(axis for axis in inputs if axis not in outputs),
        tuple(axis for axis in outputs if axis not in inputs),
        (*stacked, *(axis for axis in inputs if axis in outputs)),
        tuple(axis for axis in others if axis not in inputs),
    )


def _polar_factors(kernel: jax.Array, axes: _Axes, iterations: int) -> tuple[jax.Array, jax.Array]:
    """The kernel's scaled polar factors, and bool (): whether they are finite."""
    if axes.groups > 1:
        (axis,) = axes.outputs
        shape = kernel.shape
        parts = kernel.reshape((*shape[:axis], axes.groups, -1, *shape[axis + 1 :]))
        kinds = axes.inputs, axes.outputs, axes.members, axes.positions
        inputs, _, members, places = (tuple(at + (at > axis) for at in each) for each in kinds)
        of_group = _Axes(inputs, (axis + 1,), (*members, axis), places)
        found, usable = _polar_factors(parts, of_group, iterations)
        return found.reshape(shape), usable
    order = (*axes.members, *axes.positions, *axes.inputs, *axes.outputs)
    d_in, d_out, positions = (
        math.prod(kernel.shape[axis] for axis in each)
        for each in (axes.inputs, axes.outputs, axes.positions)
    )
    moved = jnp.transpose(kernel, order)
    matrices = moved.reshape(-1, d_in, d_out).astype(jnp.promote_types(kernel.dtype, jnp.float32))
    # Where a matrix is zero, the division is by one. The largest first: squares may overflow.
    x = matrices / _or_one(jnp.max(jnp.abs(matrices), axis=(1, 2), keepdims=True))
    x = x / _or_one(jnp.linalg.norm(x, axis=(1, 2), keepdims=True))
    x = jnp.swapaxes(x, 1, 2) if d_out > d_in else x  # the smaller of the two products
    multiply = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)

    def step(_: int, x: jax.Array) -> jax.Array:
        return 1.5 * x - 0.5 * multiply(x, multiply(jnp.swapaxes(x, 1, 2), x))

    x = jax.lax.fori_loop(0, iterations, step, x)
    x = jnp.swapaxes(x, 1, 2) if d_out > d_in else x
    x = x * (math.sqrt(d_out / d_in) / positions)
    found = jnp.transpose(x.reshape(moved.shape), np.argsort(order).tolist()).astype(kernel.dtype)
    return found, jnp.all(jnp.isfinite(found))


def _or_one(value: jax.Array) -> jax.Array:
    return jnp.where(value > 0, value, 1.0)

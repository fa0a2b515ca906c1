# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The kernels of a network as matrices, and gradient transformations that act on each of them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dormant.checks import check_flag
from dormant.graph import NeuronGraph, by_member, check_graph, plain_path
from dormant.interventions.structures import check_params, is_masked


class Kernel(NamedTuple):
    """One kernel: an array of the parameters, or some columns of one that holds several kernels."""

    path: str  # of the array in the graph's parameter tree
    shape: tuple[int, ...]
    axes: tuple[int, ...]  # along which the output changes
    columns: np.ndarray | None  # int, its positions along those axes; None for all of them
    groups: int = 1  # equal parts of the columns, each of which reads other inputs

    @property
    def fan_in(self) -> int:
        return math.prod(self.shape) // math.prod(self.shape[axis] for axis in self.axes)

    def matrix(self, array: jax.Array) -> jax.Array:
        """(fan-in, fan-out), at least float32. The rows of a convolution are (height, width,
        channel), flattened."""
        moved = jnp.moveaxis(array, self.axes, range(-len(self.axes), 0))
        matrix = precise(moved).reshape(self.fan_in, -1)
        return matrix if self.columns is None else matrix[:, self.columns]

    def of_each_group(self, function: Callable[[jax.Array, Any], tuple[jax.Array, Any]]):
        """`function(matrix, kept) -> (matrix, kept)` for each group's own columns and what is kept
        of it, with a leading axis of groups; the function itself where there is one group."""
        if self.groups == 1:
            return function

        def of_all(matrix: jax.Array, kept: Any) -> tuple[jax.Array, Any]:
            parts = matrix.reshape(self.fan_in, self.groups, -1).swapaxes(0, 1)
            found, kept = jax.vmap(function)(parts, kept)
            return found.swapaxes(0, 1).reshape(matrix.shape), kept

        return of_all

    def array(self, matrix: jax.Array) -> jax.Array:
        """The matrix in the place that it has in the array; the rest is 0."""
        if self.columns is not None:
            whole = jnp.zeros((self.fan_in, math.prod(self.shape) // self.fan_in), matrix.dtype)
            matrix = whole.at[:, self.columns].set(matrix)
        others = [axis for axis in range(len(self.shape)) if axis not in self.axes]
        moved = matrix.reshape([self.shape[axis] for axis in (*others, *self.axes)])
        return jnp.moveaxis(moved, range(-len(self.axes), 0), self.axes)

    def where(self, own: jax.Array, others: Any) -> jax.Array:
        """`own`, a scalar, for the entries of the kernel, `others` for those beside it."""
        if self.columns is None:
            return own
        ones = jnp.ones((self.fan_in, len(self.columns)), bool)
        return jnp.where(self.array(ones), own, others)


class KernelsState(NamedTuple):
    """State of a transformation of kernels.

    Attributes:
      step: int32 (), updates so far.
      kernels: what is kept of each kernel, in the order of the layers.
    """

    step: jax.Array
    kernels: tuple[Any, ...]


# `begin(kernel, array) -> kept`, and `change(kernel, kept, array, update, step) -> (update, kept)`.
Begin = Callable[[Kernel, jax.Array], Any]
Change = Callable[[Kernel, Any, jax.Array, jax.Array, jax.Array], tuple[jax.Array, Any]]


def transform_kernels(
    graph: NeuronGraph,
    change: Change,
    begin: Begin = lambda kernel, array: (),
    *,
    output_layers: bool,
) -> optax.GradientTransformation:
    """A transformation that changes the update of every kernel by itself.

    Parameters may be those that the graph was traced with, a part of them, such as the `params` of
    Flax's variables, or the variables of `flax.nnx`; `optax.masked` may leave some out.
    """
    kernels = kernels_of(graph, output_layers)

    def init(params: optax.Params) -> KernelsState:
        arrays = _arrays(graph, kernels, params)
        # Of what is masked the state keeps the shape, and so it does for optax's placeholder.
        kept = [
            begin(kernel, arrays.get(kernel.path, (0, jnp.zeros(kernel.shape)))[1])
            for kernel in kernels
        ]
        return KernelsState(jnp.zeros((), jnp.int32), tuple(kept))

    def update(updates, state: KernelsState, params=None):
        check_params(params)
        arrays = _arrays(graph, kernels, params)
        leaves, treedef = jax.tree.flatten(updates, is_leaf=is_masked)
        kept = list(state.kernels)
        for number, kernel in enumerate(kernels):
            if kernel.path in arrays:
                place, array = arrays[kernel.path]
                changed, kept[number] = change(
                    kernel, kept[number], array, leaves[place], state.step
                )
                leaves[place] = changed.astype(leaves[place].dtype)
        step = optax.safe_increment(state.step)
        return jax.tree.unflatten(treedef, leaves), KernelsState(step, tuple(kept))

    return optax.GradientTransformation(init, update)


def kernels_of(graph: NeuronGraph, output_layers: bool) -> tuple[Kernel, ...]:
    """The kernels that feed the hidden layers, and the output layers too; shared ones once, and of
    an ensemble each member's: of one with hidden layers of its own, see `NeuronGraph.stacked`."""
    check_graph(graph)
    check_flag("output_layers", output_layers)
    shapes = graph.parameters.shape_of
    hidden = {layer.name for layer in graph.layers}
    found: dict[Any, Kernel] = {}
    for name, layer in graph.incoming.items():
        chosen = layer if output_layers or name in hidden else ()
        for whole in (each for each in chosen if each.role == "kernel"):
            for entries in by_member(graph, whole):
                own = np.flatnonzero(entries.index.array >= 0)
                columns = None if own.size == entries.index.array.size else own
                key = (entries.path, entries.axes, own.tobytes())
                found[key] = Kernel(
                    entries.path, shapes[entries.path], entries.axes, columns, entries.groups
                )
    return tuple(found.values())


def precise(array: Any) -> jax.Array:
    """The array in float32, or in float64 where it is that."""
    return jnp.asarray(array, jnp.promote_types(jnp.result_type(array), jnp.float32))


def _arrays(
    graph: NeuronGraph, kernels: tuple[Kernel, ...], params: Any
) -> dict[str, tuple[int, jax.Array]]:
    """{path of a kernel: (its place among the leaves, the array)}, without what is masked. Raises
    ValueError unless `params` are the graph's parameters or a part of them with the kernels."""
    leaves = jax.tree.leaves_with_path(params, is_leaf=is_masked)
    if not leaves:
        return {}
    given = [plain_path(jax.tree_util.keystr(p, simple=True, separator="/")) for p, _ in leaves]
    known = {plain_path(path): path for path in graph.parameters.paths}
    shapes = {kernel.path: kernel.shape for kernel in kernels}
    for prefix in [path.removesuffix(given[0]) for path in known if path.endswith(given[0])]:
        arrays = {
            known.get(prefix + path, prefix + path): (place, leaf)
            for place, (path, (_, leaf)) in enumerate(zip(given, leaves, strict=True))
        }
        fits = arrays.keys() <= set(known.values()) and shapes.keys() <= arrays.keys()
        found = {path: arrays[path] for path in shapes if fits and not is_masked(arrays[path][1])}
        if fits and all(jnp.shape(leaf) == shapes[path] for path, (_, leaf) in found.items()):
            return found
    wanted = ", ".join(f"{path} {list(shape)}" for path, shape in shapes.items())
    got = [f"{path} {list(np.shape(leaf))}" for path, (_, leaf) in zip(given, leaves, strict=True)]
    raise ValueError(
        "`params` must be those that the graph was traced with, or a part with the kernels"
        f" {wanted}; got {', '.join(got)}"
    )

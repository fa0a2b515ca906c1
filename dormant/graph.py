# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The neuron graph: which parameter entries feed each hidden neuron, and which entries read it."""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import PyTreeDef

from dormant.checks import as_names, check


@dataclasses.dataclass(frozen=True)
class IndexMap:
    """A small constant int32 array that compares and hashes by value.

    Attributes:
      shape: of `array`.
      data: the bytes of its values.
    """

    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, array: np.ndarray) -> "IndexMap":
        """The map of an array of whole numbers, of any shape, which is kept as int32."""
        array = np.asarray(array, np.int32)
        return cls(array.shape, array.tobytes())

    @property
    def array(self) -> np.ndarray:
        """The values: int32 of shape `shape`, read-only."""
        return np.frombuffer(self.data, np.int32).reshape(self.shape)

    def __repr__(self) -> str:
        return f"IndexMap(shape={self.shape})"


@dataclasses.dataclass(frozen=True)
class Entries:
    """Which neuron of a layer each entry of one parameter array belongs to.

    Attributes:
      path: path of the array in the parameter tree, such as `params/Dense_0/kernel`.
      axes: the axes of the array along which the neuron changes, ascending.
      index: int32, shape `array.shape[axes]`; the neuron of each position, -1 for none.
      role: `"kernel"` (part of a linear map) or `"elementwise"` (bias, normalization scale).
      window: of a kernel, the axes of the array along which the positions of a convolution's window
        lie, ascending; () where there is none.
      adds: False of an elementwise array that is no summand, such as a scale or a slope.
      groups: of a kernel, that of a grouped convolution: its outputs in as many equal parts, each
        of which reads other inputs.
    """

    path: str
    axes: tuple[int, ...]
    index: IndexMap
    role: str = "kernel"
    window: tuple[int, ...] = ()
    adds: bool = True
    groups: int = 1

    def mask(self, neurons: jax.Array, ndim: int) -> jax.Array:
        """Spreads a (H,) bool mask over the array: bool, broadcastable to its `ndim` dimensions."""
        return self.spread(neurons, ndim, False)

    def spread(self, values: jax.Array, ndim: int, fill: bool | float) -> jax.Array:
        """Spreads (H,) values over the array, broadcastable to its `ndim` dimensions; positions of
        no neuron hold `fill`."""
        index = self.index.array
        if index.ndim != 1 or not np.array_equal(index, np.arange(values.shape[0])):
            values = jnp.where(index >= 0, values[np.maximum(index, 0)], fill)
        return self.along_axes(values, ndim)

    def along_axes(self, values: Any, ndim: int) -> Any:
        """`values`, an array of shape `index.shape`, broadcastable to the array's `ndim` axes."""
        shape = [1] * ndim
        for axis, size in zip(self.axes, self.index.shape, strict=True):
            shape[axis] = size
        return values.reshape(shape)

    def sums(self, values: jax.Array, neurons: int) -> jax.Array:
        """Adds up values of the array's shape by neuron: (H,); -1 counts nowhere."""
        others = tuple(axis for axis in range(values.ndim) if axis not in self.axes)
        owner = np.where(self.index.array >= 0, self.index.array, neurons)
        totals = jnp.zeros(neurons + 1, values.dtype)
        return totals.at[owner].add(jnp.sum(values, axis=others))[:neurons]


@functools.lru_cache(maxsize=128)
def leaf_paths(treedef: PyTreeDef) -> tuple[str, ...]:
    """The path of every leaf of a tree, such as `params/Dense_0/kernel`, in flattening order.

    Of keys that hold a slash themselves two may spell one path, as `{"a/w": ..., "a": {"w": ...}}`
    does: those are `['a/w']` and `['a']['w']`.
    """
    tree = jax.tree.unflatten(treedef, range(treedef.num_leaves))
    keys = [path for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path in keys]
    times = collections.Counter(paths)
    pairs = zip(paths, keys, strict=True)
    return tuple(path if times[path] == 1 else jax.tree_util.keystr(key) for path, key in pairs)


@dataclasses.dataclass(frozen=True)
class ParameterTree:
    """Structure and shapes of a parameter tree, without its values."""

    treedef: PyTreeDef
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, params: Any) -> "ParameterTree":
        """That of a tree of arrays, or of their shapes."""
        leaves, treedef = jax.tree.flatten(params)
        return cls(treedef, tuple(tuple(np.shape(leaf)) for leaf in leaves))

    @property
    def paths(self) -> tuple[str, ...]:
        """The path of every array, such as `params/Dense_0/kernel`, in flattening order."""
        return leaf_paths(self.treedef)

    @property
    def shape_of(self) -> dict[str, tuple[int, ...]]:
        """The shape of every array by its path, in flattening order."""
        return dict(zip(self.paths, self.shapes, strict=True))

    def leaves(self, name: str, tree: Any) -> dict[str, Any]:
        """The leaves of `tree` by path; ValueError unless structure and shapes are these."""
        given = ParameterTree.of(tree)
        if given != self:
            raise ValueError(
                f"`{name}` must have the structure and shapes that the graph was traced with, "
                f"{self.treedef} {self.shapes}; got {given.treedef} {given.shapes}"
            )
        return dict(zip(self.paths, jax.tree.leaves(tree), strict=True))

    def unflatten(self, leaves: Mapping[str, Any]) -> Any:
        """The tree of this structure with leaves given by path, as `leaves` returns them."""
        return jax.tree.unflatten(self.treedef, [leaves[path] for path in self.paths])


@dataclasses.dataclass(frozen=True)
class Layer:
    """One hidden layer.

    Attributes:
      name: path of its kernel without the last part, such as `Dense_0`.
      neurons: number of neurons H; a feature map of a convolution is one neuron.
      incoming: entries that feed each neuron: kernel columns, biases, normalization parameters.
      outgoing: entries of later kernels that read each neuron; where a kernel is the product of
        several arrays, of the largest one.
      fed_by: names of the layers that it reads; `"input"` for the network's inputs.
      read_by: names of the layers that read it.
      obstacle: None when a silent neuron of the layer can be recycled without changing the
        network's outputs, else the reason why not. Such a layer is measured, not recycled.
      note: what to know before its neurons are recycled; None where there is nothing.
    """

    name: str
    neurons: int
    incoming: tuple[Entries, ...]
    outgoing: tuple[Entries, ...]
    fed_by: tuple[str, ...] = ()
    read_by: tuple[str, ...] = ()
    obstacle: str | None = None
    note: str | None = None

    @property
    def recyclable(self) -> bool:
        """Whether its silent neurons can be recycled without changing the network's outputs."""
        return self.obstacle is None


@dataclasses.dataclass(frozen=True)
class NeuronGraph:
    """Hidden layers of a network and how to measure them. Static and hashable.

    Attributes:
      layers: the hidden layers, in the order in which the network computes them.
      output_layers: names of the layers that nothing reads; they are never hidden layers.
      parameters: structure and shapes of the parameter tree.
      measure: `measure(params, *inputs) -> {layer: (…, H)}`.
      output_incoming: for each output layer, the entries that feed it: kernel columns and biases.
      in_no_layer: paths of the parameter matrices that are in none of them, such as embeddings and
        weights that activations multiply before they are used: what these make is not measured.
      stacked: `(path, axes)` of the arrays along which the members of an ensemble lie that is
        mapped over its parameters, or blocks that are scanned over theirs: such as have hidden
        layers of their own in the graph that the network was traced to.
    """

    layers: tuple[Layer, ...]
    output_layers: tuple[str, ...]
    parameters: "ParameterTree"
    measure: Callable[..., dict[str, jax.Array]]
    output_incoming: tuple[tuple[Entries, ...], ...] = ()
    in_no_layer: tuple[str, ...] = ()
    stacked: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the hidden layers, in the order of `layers`."""
        return tuple(layer.name for layer in self.layers)

    @property
    def neurons(self) -> dict[str, int]:
        """`{layer: H}` of the hidden layers: how many neurons each has."""
        return {layer.name: layer.neurons for layer in self.layers}

    @property
    def penultimate(self) -> tuple[str, ...]:
        """Names of the hidden layers that an output layer reads."""
        outputs = set(self.output_layers)
        return tuple(layer.name for layer in self.layers if outputs & set(layer.read_by))

    @property
    def incoming(self) -> dict[str, tuple[Entries, ...]]:
        """The entries that feed each layer, hidden layers first, then output layers."""
        outputs = dict(zip(self.output_layers, self.output_incoming, strict=True))
        return {layer.name: layer.incoming for layer in self.layers} | outputs

    def __getitem__(self, name: str) -> Layer:
        """The hidden layer of that name; KeyError, as of a mapping, where there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"no hidden layer of that name; there are {', '.join(self.names)}: {name!r}")

    def activations(self, params: Any, *inputs: Any) -> dict[str, jax.Array]:
        """Activations of every hidden layer, after the non-linearity (paper, section 2).

        Args:
          params: parameter tree of the traced network.
          *inputs: the network's inputs, of any batch size.

        Returns:
          `{layer: (B, …, H)}` in the network's own dtype; H is always the last axis, and a
          convolution keeps its spatial axes between B and H.
        """
        return self.measure(params, *inputs)

    def pre_activation_gradients(
        self, loss: Callable[[Any], jax.Array], params: Any, *inputs: Any
    ) -> dict[str, jax.Array]:
        """The gradient of a loss with respect to what each neuron's weights and inputs sum up to.

        A pre-activation is what the layer's linear map returns, before normalization and
        non-linearity; its gradient is that of its bias, for each row and position apart. Where the
        loss is a mean over the batch, so many times smaller than each row's own (Liu et al. 2025,
        arXiv:2505.24061, score neurons with it). It is the derivative of what the network computes,
        without the rules of `jax.custom_jvp` and `jax.custom_vjp`: that of `relu` at exactly 0 is a
        half. Warns where there are functions of the latter.

        Args:
          loss: `loss(outputs) -> float ()`, of what the traced `apply` returns, with `None` for
            what is no array.
          params: parameter tree of the traced network.
          *inputs: the network's inputs, of any batch size.

        Returns:
          `{layer: (B, …, H)}`, as `activations` has it.

        Raises:
          ValueError: if the graph was written by hand, or if a layer is inside of a loop or branch.
        """
        compute = _pre_activation_gradients_of(self.measure)
        if compute is None:
            raise ValueError("`graph` must be one that `dormant.trace` made; got a manual one")
        return compute(loss, params, *inputs)

    def select(self, names: str | Sequence[str]) -> "NeuronGraph":
        """The same graph restricted to the named layers, one or several, for measuring or recycling
        only those. Raises ValueError where a name is of no hidden layer."""
        names = as_names("names", names)
        check_layers("names", names, self.names)
        kept = tuple(self[name] for name in names)
        measure = _Restricted(self.measure, names)
        return dataclasses.replace(self, layers=kept, measure=measure)

    def __str__(self) -> str:
        rows = [("layer", "neurons", "fed by", "read by", "recyclable")]
        shown, left_out = self.layers, self.layers[:0]
        if len(self.layers) > _MOST_ROWS:
            left_out = self.layers[_FIRST_ROWS:-_LAST_ROWS]
            shown = (*self.layers[:_FIRST_ROWS], *self.layers[-_LAST_ROWS:])
        for layer in shown:
            fed_by, read_by = some_names(layer.fed_by), some_names(layer.read_by)
            recyclable = "yes" if layer.recyclable else f"no: {layer.obstacle}"
            rows.append((layer.name, str(layer.neurons), fed_by, read_by, recyclable))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        if left_out:
            able = sum(layer.recyclable for layer in left_out)
            between = f"... {len(left_out)} more, {able} of them recyclable; `graph.layers` has all"
            lines.insert(2 + _FIRST_ROWS, between)
        lines.append(f"output layers: {some_names(self.output_layers) or 'none'}")
        if self.in_no_layer:
            lines.append(f"in no layer: {some_names(self.in_no_layer)}")
        if obstacles := self.obstacles:
            able = len(self.layers) - sum(map(len, obstacles.values()))
            lines.append(f"recyclable: {able} of {len(self.layers)} layers")
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    @property
    def obstacles(self) -> dict[str, tuple[str, ...]]:
        """`{obstacle: names of the layers that have it}`; empty where every layer is recyclable."""
        return _names_by((layer.obstacle, layer.name) for layer in self.layers)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before neurons are recycled, each with the names of its layers."""
        found = _names_by((layer.note, layer.name) for layer in self.layers)
        return tuple(f"{some_names(names)}: {note}" for note, names in found.items())


def _names_by(pairs: Iterable[tuple[str | None, str]]) -> dict[str, tuple[str, ...]]:
    """Pairs of a text and a name as `{text: its names}`, without those of None."""
    found: dict[str, tuple[str, ...]] = {}
    for text, name in pairs:
        if text is not None:
            found[text] = (*found.get(text, ()), name)
    return found


# Of a table: a longer one shows its first and last rows.
_MOST_ROWS, _FIRST_ROWS, _LAST_ROWS = 40, 24, 8
_MOST_NAMES = 4


def some_names(names: Sequence[str]) -> str:
    """Names with commas between them; of many the first and the last."""
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return f"{names[0]}, {names[1]}, ... {len(names) - 3} more, {names[-1]}"


def check_graph(graph: Any) -> None:
    """Raises ValueError unless `graph` is a neuron graph."""
    check(isinstance(graph, NeuronGraph), "graph", "a NeuronGraph from `dormant.trace`", graph)


def check_layers(name: str, layers: Iterable[str], known: Sequence[str]) -> None:
    """Raises ValueError unless all `layers` are among the `known` ones; it calls them `name`."""
    for layer in layers:
        if layer not in known:
            raise ValueError(f"`{name}` must name layers among {', '.join(known)}; got {layer!r}")


def stacking_axes(graph: NeuronGraph, path: str) -> tuple[int, ...]:
    """The axes of a parameter array along which members or blocks lie, ascending; () without any:
    `NeuronGraph.stacked`."""
    return dict(graph.stacked).get(path, ())


def share_of_groups(groups: int, own: np.ndarray, every: np.ndarray) -> int:
    """How many of a kernel's groups its own positions (bool) make up, out of every one's."""
    share, whole = int(own.sum()), max(1, int(every.sum()))
    return max(1, -(-groups * share // whole))


def by_member(graph: NeuronGraph, entries: Entries) -> tuple[Entries, ...]:
    """The entries of each member or block that the array holds, whose neurons are numbered from 0.

    Those of a hidden layer are of one; an output layer is one layer for all members.
    """
    axes, index = stacking_axes(graph, entries.path), entries.index.array
    along = [number for number, axis in enumerate(entries.axes) if axis in axes]
    if not along:
        return (entries,)
    found = []
    for place in itertools.product(*(range(index.shape[number]) for number in along)):
        at = np.indices(index.shape)[along]
        is_here = (at == np.reshape(place, (-1, *[1] * index.ndim))).all(axis=0) & (index >= 0)
        if is_here.any():
            numbers = np.searchsorted(np.unique(index[is_here]), index)
            own = IndexMap.of(np.where(is_here, numbers, -1))
            groups = share_of_groups(entries.groups, is_here, index >= 0)
            found.append(dataclasses.replace(entries, index=own, groups=groups))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class _Restricted:
    """Measures only the named layers; a dataclass rather than a closure so that graphs compare."""

    measure: Callable[..., dict[str, jax.Array]]
    names: tuple[str, ...]

    def __call__(self, params: Any, *inputs: Any) -> dict[str, jax.Array]:
        measured = self.measure(params, *inputs)
        return {name: measured[name] for name in self.names}

    @property
    def pre_activation_gradients(self) -> Callable[..., dict[str, jax.Array]] | None:
        """None where the whole graph has none."""
        compute = _pre_activation_gradients_of(self.measure)
        if compute is None:
            return None

        def selected(*arguments: Any) -> dict[str, jax.Array]:
            found = compute(*arguments)
            return {name: found[name] for name in self.names}

        return selected


def _pre_activation_gradients_of(measure: Any) -> Callable[..., dict[str, jax.Array]] | None:
    return getattr(measure, "pre_activation_gradients", None)


_LEAF_NAMES = frozenset("kernel w weight weights W bias b embedding scale".split())


def plain_path(path: str) -> str:
    """A parameter path without the name of the variable that `flax.nnx` wraps every array in."""
    return path.removesuffix("/value")


def layer_name(path: str) -> str:
    """The layer that a parameter path belongs to: `params/Dense_0/kernel` is of `Dense_0`."""
    parts = plain_path(path.removeprefix("params/")).split("/")
    if len(parts) > 1 and (parts[-1] in _LEAF_NAMES or parts[-1].isdigit()):
        parts = parts[:-1]
    return "/".join(parts)

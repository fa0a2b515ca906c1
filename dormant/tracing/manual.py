# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A neuron graph that is written by hand."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from dormant.checks import check
from dormant.graph import Entries, IndexMap, Layer, NeuronGraph, ParameterTree, layer_name


def manual_graph(
    params: Any,
    measure: Callable[..., dict[str, jax.Array]],
    wiring: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    *,
    output_layers: Sequence[str] = (),
) -> NeuronGraph:
    """A neuron graph written by hand, for a network that `dormant.trace` cannot follow.

    The layout is Flax's: a neuron is the last axis of its kernel and of its bias, and the last but
    one axis of the kernels that read it. A reading kernel with more rows than the layer has
    neurons comes after a channels-last flatten: its row `r` belongs to neuron `r % H`. All axes but
    the last two are the window of a convolution.

    Args:
      params: parameter tree (arrays or `ShapeDtypeStruct`s); gives the shapes.
      measure: `measure(params, *inputs) -> {layer: (B, …, H)}`.
      wiring: `{layer: (incoming paths, outgoing paths)}`, paths such as `params/Dense_0/kernel`.
      output_layers: names of the output layers, such as `Dense_2`: what reads the last hidden
        layers. Resets and the effective rank need them.

    Raises:
      ValueError: if a path is not in the tree, a shape does not fit the layer's width, or an output
        layer has no parameters.
    """
    parameters = ParameterTree.of(params)
    shapes = parameters.shape_of

    def shape_of(path: str) -> tuple[int, ...]:
        check(path in shapes, "wiring", f"of parameters among {', '.join(sorted(shapes))}", path)
        return shapes[path]

    layers = []
    for name, (incoming_paths, outgoing_paths) in wiring.items():
        allowed = f"such that an incoming path leads to {name!r}"
        check(len(incoming_paths) > 0, "wiring", allowed, incoming_paths)
        neurons = shape_of(incoming_paths[0])[-1]
        incoming = []
        for path in incoming_paths:
            shape = shape_of(path)
            allowed = f"such that the last axis of {path!r} is the {neurons} neurons of {name!r}"
            check(shape[-1] == neurons, "wiring", allowed, shape)
            incoming.append(_columns(path, shape))
        outgoing = []
        for path in outgoing_paths:
            shape = shape_of(path)
            fits = len(shape) > 1 and shape[-2] % neurons == 0
            multiple = f"a multiple of the {neurons} neurons of {name!r}"
            allowed = f"such that the last but one axis of {path!r} is {multiple}"
            check(fits, "wiring", allowed, shape)
            outgoing.append(_along(path, len(shape) - 2, np.arange(shape[-2]) % neurons, "kernel"))
        read_by = tuple(dict.fromkeys(layer_name(path) for path in outgoing_paths))
        fed_by = tuple(
            other for other, (_, reading) in wiring.items() if incoming_paths[0] in reading
        )
        layers.append(
            Layer(name, neurons, tuple(incoming), tuple(outgoing), fed_by or ("input",), read_by)
        )
    output_incoming = []
    for name in output_layers:
        found = [_columns(path, shapes[path]) for path in shapes if layer_name(path) == name]
        known = ", ".join(dict.fromkeys(map(layer_name, shapes)))
        check(bool(found), "output_layers", f"of layers among {known}", name)
        output_incoming.append(tuple(sorted(found, key=lambda entries: entries.role != "kernel")))
    return NeuronGraph(
        tuple(layers), tuple(output_layers), parameters, measure, tuple(output_incoming)
    )


def _columns(path: str, shape: tuple[int, ...]) -> Entries:
    """Entries of a kernel or bias whose last axis is the neuron."""
    role = "kernel" if len(shape) > 1 else "elementwise"
    entries = _along(path, len(shape) - 1, np.arange(shape[-1]), role)
    return dataclasses.replace(entries, window=tuple(range(len(shape) - 2)))


def _along(path: str, axis: int, index: np.ndarray, role: str) -> Entries:
    """Entries whose neuron changes along one axis; a single neuron changes along none."""
    if (index == index[0]).all():
        return Entries(path, (), IndexMap.of(index[0]), role)
    return Entries(path, (axis,), IndexMap.of(index), role)

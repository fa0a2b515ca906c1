# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a measure is, what it is given, and how several of them are taken in one pass."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dormant.checks import check
from dormant.graph import NeuronGraph
from dormant.measures.spectra import feature_shape, singular_values

# A measure's value: {layer: float32 ()}, or one float32 () of the whole network.
Value = dict[str, jax.Array] | jax.Array

# The dormancy thresholds that are reported where no others are asked for.
DEFAULT_TAUS = (0.0, 0.025, 0.1)

# What a measure may need besides the activations, the parameters and the inputs.
GRADIENT = "gradient"
SINGULAR_VALUES = "singular values"
PREVIOUS = "previous params"
INITIAL = "initial params"
APPLY = "apply"
LOSS = "loss"
NEEDS = (GRADIENT, SINGULAR_VALUES, PREVIOUS, INITIAL, APPLY, LOSS)

# What a measure has a number for.
HIDDEN = "hidden layers"
PENULTIMATE = "layers that an output layer reads"
EVERY = "all layers"
NETWORK = "network"


class MeasureInputs(NamedTuple):
    """What measures are given. A tree "like `params`" has its structure and its shapes.

    Attributes:
      params: parameter tree of the traced network.
      activations: {layer: (B, …, H)}, as `graph.activations` returns.
      inputs: the network's inputs, of B rows.
      gradient: like `params`; None where it is not known.
      singular_values: {layer: (min(B, d),) float32} of the features that an output layer reads,
        descending.
      previous: like `params`: those of the measurement before; None where unknown.
      initial: like `params`: those at the start; None where unknown.
    """

    params: Any
    activations: Mapping[str, jax.Array]
    inputs: tuple[Any, ...] = ()
    gradient: Any = None
    singular_values: Mapping[str, jax.Array] | None = None
    previous: Any = None
    initial: Any = None


class Measure(NamedTuple):
    """Something to measure of a network, once for a batch.

    Attributes:
      name: under which the value stands in a report.
      meaning: in a line.
      of: what it has a number for: "hidden layers", "layers that an output layer reads", "all
        layers" (hidden ones, then output layers), or "network" for one number.
      measure: `measure(graph, inputs) -> {layer: ()}`, or one scalar; pure.
      needs: those of `NEEDS` that it reads. Without its gradient, its previous or its initial
        parameters a value is NaN.
      unit: of its numbers; "" for none.
      expensive: whether it took more than 2 % of 1 000 updates of the nature CNN
        (`benchmarks/measures.py`); such a one is not in `CHEAP`.
      capped: whether it is a rank that the number of rows caps, as `rank_cap` tells.
    """

    name: str
    meaning: str
    of: str
    measure: Callable[[NeuronGraph, MeasureInputs], Value]
    needs: frozenset[str] = frozenset()
    unit: str = ""
    expensive: bool = False
    capped: bool = False


def named(name: str, value: float, default: float) -> str:
    """The name of a measure with an option: a variant such as `pca_rank_0.95` has one of its own,
    so that it can stand beside the default in a report."""
    return name if value == default else f"{name}_{value:g}"


def layers_of(graph: NeuronGraph, measure: Measure) -> tuple[str, ...] | None:
    """The layers that a measure has a number for; None where it is one number of the network."""
    kinds = {
        HIDDEN: graph.names,
        PENULTIMATE: graph.penultimate,
        EVERY: tuple(graph.incoming),
        NETWORK: None,
    }
    check(measure.of in kinds, f"{measure.name}.of", f"one of {', '.join(kinds)}", measure.of)
    return kinds[measure.of]


def unmeasured(graph: NeuronGraph, measures: Sequence[Measure]) -> dict[str, Value]:
    """`{name: value}` before the first measurement: all NaN, each array with its own buffer."""
    return {measure.name: _undefined(graph, measure) for measure in measures}


def measured(
    graph: NeuronGraph, measures: Sequence[Measure], inputs: MeasureInputs
) -> dict[str, Value]:
    """The values of measures on one batch, in float32 whatever the network's dtype.

    The singular values of the features are computed once for all measures that need them, where
    `inputs` lacks them.

    Args:
      graph: the network's neuron graph.
      measures: as the catalog has them, or of one's own.
      inputs: what they are given.

    Returns:
      `{name: {layer: float32 ()} | float32 ()}`. NaN where a measure needs a gradient or parameters
      that `inputs` lacks.

    Warns:
      UserWarning: when traced, of each rank that the rows cap below the width of the features.

    Raises:
      ValueError: if a measure returns something else than it declares.
    """
    if inputs.singular_values is None and any(SINGULAR_VALUES in each.needs for each in measures):
        inputs = inputs._replace(singular_values=singular_values(graph, inputs.activations))
    absent = {
        need
        for need, given in (
            (GRADIENT, inputs.gradient),
            (PREVIOUS, inputs.previous),
            (INITIAL, inputs.initial),
        )
        if given is None
    }
    _warn_of_few_rows(graph, measures, inputs.activations)
    return {
        measure.name: _undefined(graph, measure)
        if absent & measure.needs
        else _checked(graph, measure, measure.measure(graph, inputs))
        for measure in measures
    }


def rank_cap(graph: NeuronGraph, activations: Mapping[str, Any]) -> dict[str, int]:
    """The largest rank that the features of a batch can have: `{layer: min(B, d)}`.

    A rank that equals its cap says nothing about the network: score on more rows than the features
    have columns. A convolution's features are all its positions and channels.

    Args:
      graph: the network's neuron graph.
      activations: `{layer: (B, …, H)}`, arrays or shapes, of at least the layers that an output
        layer reads.
    """
    return {name: min(feature_shape(activations[name])) for name in graph.penultimate}


def _warn_of_few_rows(
    graph: NeuronGraph, measures: Sequence[Measure], activations: Mapping[str, jax.Array]
) -> None:
    capped = ", ".join(measure.name for measure in measures if measure.capped)
    if not capped:
        return
    for name, cap in rank_cap(graph, activations).items():
        rows, width = feature_shape(activations[name])
        if cap < width:
            warnings.warn(
                f"{capped} of {name}: at most {rows}, the rows of the batch, as the features have"
                f" {width} columns; measure on more rows to see a higher rank",
                stacklevel=2,
            )


def _undefined(graph: NeuronGraph, measure: Measure) -> Value:
    layers = layers_of(graph, measure)
    if layers is None:
        return jnp.full((), jnp.nan, jnp.float32)
    return {name: jnp.full((), jnp.nan, jnp.float32) for name in layers}


def _checked(graph: NeuronGraph, measure: Measure, value: Any) -> Value:
    """The value in float32; ValueError unless it has one number for each of its layers."""
    layers = layers_of(graph, measure)
    named = {"": value} if layers is None else value
    wanted = dict.fromkeys(("",) if layers is None else layers, ())
    shapes = isinstance(named, Mapping) and {name: np.shape(each) for name, each in named.items()}
    allowed = "one scalar" if layers is None else f"a scalar for each of {', '.join(layers)}"
    check(shapes == wanted, f"{measure.name}.measure(…)", allowed, shapes if layers else value)
    numbers = {name: jnp.asarray(named[name], jnp.float32) for name in wanted}
    return numbers[""] if layers is None else numbers

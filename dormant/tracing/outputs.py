# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which of the values that a network returns a recycle must keep, and which only come along."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from dormant.checks import first_line, shown_shapes
from dormant.tracing.connections import Connections, TraceError
from dormant.tracing.jaxpr import Abstract, Program
from dormant.tracing.labels import Label, along_varying_axes

# What Flax returns beside the outputs for `mutable=[…]`: state and logs.
_COLLECTIONS = frozenset("batch_stats intermediates losses perturbations".split())
_ARRAYS = (jax.Array, np.ndarray, np.generic, bool, int, float, complex)


class Output(NamedTuple):
    """A value that a recycle must keep."""

    value: int
    name: str  # such as `[0]['value']`; empty for the only one


@dataclasses.dataclass(frozen=True)
class Observed:
    """A network that returns what to keep, and beside it the rest of its outputs.

    A dataclass rather than a closure, so that graphs hash and compare.
    """

    apply: Callable
    outputs: Callable | None

    def __call__(self, params: Any, *inputs: Any) -> tuple[Any, Any]:
        out = self.apply(params, *inputs)
        if self.outputs is None:
            return _arrays_of(out, "apply"), None
        try:
            chosen = self.outputs(out)
        except Exception as error:  # of the user's function
            raise TraceError(
                "`outputs` must be a function of what `apply` returns, here"
                f" {shown_shapes(out)}: {first_line(error)}"
            ) from error
        kept = _arrays_of(chosen, "outputs")
        if not jax.tree.leaves(kept):
            raise TraceError(
                "`outputs` must choose at least one array of what `apply` returns, here"
                f" {shown_shapes(out)}; got {chosen!r}"
            )
        return kept, _arrays_of(out, None)


def _arrays_of(out: Any, name: str | None) -> Any:
    """A tree with only its arrays; TraceError for other objects if a `name` is given."""

    def array(path, leaf):
        if isinstance(leaf, _ARRAYS):
            return leaf
        if name is None or isinstance(leaf, str | bytes | type) or callable(leaf):
            return None
        kind, place = type(leaf).__name__, jax.tree_util.keystr(path)
        raise TraceError(
            f"`{name}` must return arrays; got a {kind}{place and f' at {place}'}: choose arrays of"
            f" it with `outputs`, as in `outputs=lambda out: out{place}.logits`"
        )

    return jax.tree_util.tree_map_with_path(array, out)


def kept_outputs(
    program: Program, connections: Connections, arguments: Abstract, chosen: bool
) -> tuple[Output, ...]:
    """The outputs that a recycle must keep: those that were chosen, or all but state and logs.

    State and logs are Flax's collections of that kind, and running statistics: means over inputs,
    of each neuron, that come back in the place of an array of the same shape among the inputs.
    """
    _, inputs = arguments.restored(arguments.arrays(arguments.leaves))
    returning = {
        (path[1:], np.shape(leaf)) for path, leaf in jax.tree_util.tree_flatten_with_path(inputs)[0]
    }
    kept, statistics = [], []
    for value, path in zip(program.outputs, program.output_paths, strict=True):
        place, *rest = path
        if getattr(place, "idx", None) != 0:
            continue
        is_collection = any(str(getattr(key, "key", "")) in _COLLECTIONS for key in rest)
        labels = connections.layers_of.get(value, {}).values()
        # What is returned alone has no place by which it could come back.
        comes_back = bool(rest) and any(
            (tuple(rest[start:]), program.shapes[value]) in returning for start in (0, 1)
        )
        is_statistic = comes_back and all(map(_is_of_each_neuron, labels))
        output = Output(value, jax.tree_util.keystr(tuple(rest)))
        if chosen or not (is_collection or is_statistic):
            kept.append(output)
        elif not is_collection:
            statistics.append(output)
    # A network that returned statistics alone would have no outputs: those are its outputs.
    return tuple(kept or statistics)


def _is_of_each_neuron(label: Label) -> bool:
    """Whether a value is a statistic of each neuron and the same for all inputs, unlike a number
    for each row, such as a log-probability."""
    varying = along_varying_axes(label.index)[0]
    sizes = enumerate(label.index.shape)
    return label.statistic and all(size == 1 or axis in varying for axis, size in sizes)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which primitives leave a zero where their operands have one.

Products with zero count as zero: activations and parameters are assumed to be finite.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np

from dormant.primitives import (
    POOLS,
    PRODUCTS,
    REDUCTIONS,
    SCANS,
    SCATTERS,
    is_by_any_function,
    written_by,
)
from dormant.tracing import labels as lb
from dormant.tracing.connections import Connections
from dormant.tracing.jaxpr import Operation, Program

_KEEP_ZERO = (
    (lb.MOVING - {"gather"})
    | (POOLS - {"reduce_window"})  # which may be by any function
    | (REDUCTIONS - {"argmax", "argmin"})
    | (SCANS - {"cumlogsumexp"})
    | PRODUCTS
    | frozenset(
        "neg abs sign tanh sin tan asin atan sinh asinh atanh expm1 log1p sqrt cbrt square "
        "erf floor ceil round real imag conj step_input step_output".split()
    )
)
_ALL_ZERO = frozenset("add add_any sub select_n complex".split())


def leaves_zero(operation: Operation) -> bool:
    """Whether every result of an operation is zero where all is zero that it is made of."""
    if operation.name == "gather":  # NaN, filled in out of bounds, stays so when readers are cut
        fill = operation.params.get("fill_value")
        return fill is None or fill == 0 or bool(np.isnan(fill))
    return operation.name in _KEEP_ZERO


def keeps_zero(
    operation: Operation,
    vanishes: Callable[[int], bool],
    zeros: Collection[int],
    bounds: Mapping[int, tuple[float, float]],
) -> bool:
    """Whether the results of an operation that does not leave every zero (`leaves_zero`) are zero
    in the places where `vanishes` says that its operands are.

    Args:
      zeros: values that are zero throughout.
      bounds: of constants the least and the largest element.
    """
    name, inputs = operation.name, operation.inputs

    def within(value: int, low: float, high: float) -> bool:
        """Whether a value is a constant with all elements between the two."""
        least, largest = bounds.get(value, (-np.inf, np.inf))
        return low <= least and largest <= high and value in bounds

    if is_by_any_function(name, operation.params):
        return False
    if name in SCATTERS:
        kept = name == "scatter-mul" or written_by(name, inputs) in zeros
        return kept and vanishes(inputs[0])
    if name in ("mul", "and"):
        return any(map(vanishes, inputs))
    if name in _ALL_ZERO:
        return all(map(vanishes, inputs[1:] if name == "select_n" else inputs))
    if name in ("max", "min"):
        low, high = (-np.inf, 0.0) if name == "max" else (0.0, np.inf)
        fine = [vanishes(value) for value in inputs]
        return any(fine) and all(
            zero or within(value, low, high) for value, zero in zip(inputs, fine, strict=True)
        )
    if name in ("div", "rem"):
        return vanishes(inputs[0])
    if name == "atan2":  # pi where the other is negative
        return within(inputs[1], 0.0, np.inf) and vanishes(inputs[0])
    if name == "integer_pow":
        return operation.params["y"] > 0 and vanishes(inputs[0])
    if name == "pow":
        return within(inputs[1], np.finfo(np.float64).tiny, np.inf) and vanishes(inputs[0])
    if name == "clamp":
        low, value, high = inputs
        inside = within(low, -np.inf, 0.0) and within(high, 0.0, np.inf)
        return inside and vanishes(value)
    return False


def zero_values(program: Program, bounds: Mapping[int, tuple[float, float]]) -> frozenset[int]:
    """The values that are zero throughout whatever goes in: `zeros_like(h)`, a broadcast zero,
    `0 * h`."""
    zeros = [value for value, found in bounds.items() if found == (0, 0)]
    return frozenset(_made_of_zeros(program, zeros, bounds))


def zero_with_parameters(
    program: Program, connections: Connections, uncut: Collection[int] = ()
) -> set[int]:
    """The values whose elements are zero where all parameters are that they are made of.

    A kernel that is none of them, such as `softplus(w)`, still reads where its parameters are cut.

    Args:
      uncut: numbers of parameter arrays that are not zero.
    """
    kept = {*connections.left_out, *uncut}
    cut = [value for leaf, value in enumerate(program.parameters) if leaf not in kept]
    return _made_of_zeros(program, [*connections.zeros, *cut], connections.bounds)


def _made_of_zeros(
    program: Program, start: Iterable[int], bounds: Mapping[int, tuple[float, float]]
) -> set[int]:
    """The values that are zero, as far as they are made of those to start with."""
    zero = set(start)

    def stays(operation: Operation) -> bool:
        inputs = operation.inputs
        if not leaves_zero(operation):
            return keeps_zero(operation, zero.__contains__, zero, bounds)
        if operation.name in PRODUCTS:
            return not zero.isdisjoint(inputs)
        moved = inputs[:1] if operation.name in lb.EVALUATED_MOVES else inputs
        return bool(moved) and zero.issuperset(moved)

    for operation in program.operations:
        if stays(operation):
            zero.update(operation.outputs)
    return zero

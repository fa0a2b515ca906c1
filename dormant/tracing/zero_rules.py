# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which primitives leave a zero where their operands have one.

Products with zero count as zero: activations and parameters are assumed to be finite.
"""

from collections.abc import Callable, Collection

import numpy as np

from dormant.primitives import PRODUCTS
from dormant.tracing import labels as lb
from dormant.tracing.connections import Connections
from dormant.tracing.jaxpr import Operation, Program
from dormant.tracing.propagation import POOLS, REDUCTIONS, SCANS, SCATTERS

_KEEP_ZERO = (
    (lb.MOVING - {"gather"})
    | (POOLS - {"reduce_window"})  # which may be by any function
    | (REDUCTIONS - {"argmax", "argmin"})
    | (SCANS - {"cumlogsumexp"})
    | PRODUCTS
    | frozenset(
        "neg abs sign tanh sin tan asin atan sinh asinh atanh expm1 log1p sqrt cbrt square "
        "erf floor ceil round step_input step_output".split()
    )
)
_ALL_ZERO = frozenset("add add_any sub select_n".split())


def leaves_zero(operation: Operation) -> bool:
    """Whether every result of an operation is zero where all is zero that it is made of."""
    if operation.name == "gather":  # NaN, filled in out of bounds, stays so when readers are cut
        fill = operation.params.get("fill_value")
        return fill is None or fill == 0 or bool(np.isnan(fill))
    return operation.name in _KEEP_ZERO


def keeps_zero(
    operation: Operation, vanishes: Callable[[int], bool], connections: Connections
) -> bool:
    """Whether the results of an operation that does not leave every zero (`leaves_zero`) are zero
    in the places where `vanishes` says that its operands are."""
    name, inputs = operation.name, operation.inputs

    def within(value: int, low: float, high: float) -> bool:
        """Whether a value is a constant with all elements between the two."""
        least, largest = connections.bounds.get(value, (-np.inf, np.inf))
        return low <= least and largest <= high and value in connections.bounds

    if name in SCATTERS:
        written = inputs[1] if name == "dynamic_update_slice" else inputs[2]
        kept = name == "scatter-mul" or written in connections.zeros
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


def zero_with_parameters(
    program: Program, connections: Connections, uncut: Collection[int] = ()
) -> set[int]:
    """The values whose elements are zero where all parameters are that they are made of.

    A kernel that is none of them, such as `softplus(w)`, still reads where its parameters are cut.

    Args:
      uncut: numbers of parameter arrays that are not zero.
    """
    zero = set(connections.zeros)
    kept = {*connections.left_out, *uncut}
    zero.update(value for leaf, value in enumerate(program.parameters) if leaf not in kept)

    def made_of_zeros(operation: Operation) -> bool:
        inputs = operation.inputs
        if operation.name in PRODUCTS:
            return not zero.isdisjoint(inputs)
        moved = inputs[:1] if operation.name in lb.EVALUATED_MOVES else inputs
        return zero.issuperset(moved)

    for operation in program.operations:
        if leaves_zero(operation):
            stays = made_of_zeros(operation)
        else:
            stays = keeps_zero(operation, zero.__contains__, connections)
        if stays:
            zero.update(operation.outputs)
    return zero

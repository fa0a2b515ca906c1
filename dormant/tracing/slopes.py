# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Whether what is made of a parameter array changes with it where the array is zero."""

from collections.abc import Collection, Mapping, Sequence

from dormant.primitives import PRODUCTS
from dormant.tracing.jaxpr import Operation

# Of no slope anywhere; then of none, or an infinite one, at zero.
_FLAT = frozenset(
    "stop_gradient sign floor ceil round is_finite not and or xor eq ne lt le gt ge argmax "
    "argmin".split()
)
_FLAT_AT_ZERO = frozenset("square pow sqrt cbrt rsqrt cos cosh".split())


def changing(
    operations: Sequence[Operation],
    start: int,
    zero: Collection[int],
    bounds: Mapping[int, tuple[float, float]],
) -> set[int]:
    """The values of a part of a program whose derivative by the value `start` is not 0.

    Args:
      operations: the part, in order.
      start: a value that is zero.
      zero: it, and all values that are zero with it.
      bounds: of constants the least and the largest element.
    """
    found, made_of = {start}, {start}

    def others_of(operation: Operation, place: int) -> tuple[int, ...]:
        return operation.inputs[:place] + operation.inputs[place + 1 :]

    def wins(operation: Operation, place: int) -> bool:
        """Whether a zero among the operands is what a maximum or minimum returns."""
        others = others_of(operation, place)
        if any(value in zero for value in others):
            return False
        known = [bounds[value] for value in others if value in bounds]
        if operation.name == "max":
            return all(largest < 0 for _, largest in known)
        return all(least > 0 for least, _ in known)

    def passes(operation: Operation, place: int) -> bool:
        """Whether a changing operand changes the result."""
        name, value = operation.name, operation.inputs[place]
        if name in _FLAT or (name == "select_n" and place == 0):
            return False
        if name == "select_n" and operation.inputs[0] in made_of:  # which case zero takes
            return found.issuperset(operation.inputs[1:])
        if name == "mul" or name in PRODUCTS or name == "div":
            return not any(other in zero for other in others_of(operation, place))
        if value not in zero:
            return True
        if name == "integer_pow":
            return operation.params["y"] == 1
        if name in ("max", "min"):
            return wins(operation, place)
        if name == "clamp":
            low, _, high = (bounds.get(each, (-1.0, 1.0)) for each in operation.inputs)
            return place == 1 and low[1] < 0 < high[0]
        return name not in _FLAT_AT_ZERO

    for operation in operations:
        if not made_of.isdisjoint(operation.inputs):
            made_of.update(operation.outputs)
        places = [place for place, value in enumerate(operation.inputs) if value in found]
        if any(passes(operation, place) for place in places):
            found.update(operation.outputs)
    return found

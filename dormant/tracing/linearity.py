# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0


"""Which values a layer leads to linearly, and to nothing else: there it may meet other kernels."""

import collections
from collections.abc import Mapping

from dormant.primitives import LINEAR, PRODUCTS
from dormant.tracing import labels as lb
from dormant.tracing.jaxpr import Program

_IN_PLACE = lb.REARRANGED | lb.COLLECTIVES


class Ways:
    """The ways of values through a program."""

    def __init__(self, program: Program):
        self.program = program
        self.producer = {v: op for op in program.operations for v in op.outputs}
        self.uses = collections.Counter(program.outputs)
        for operation in program.operations:
            self.uses.update(set(operation.inputs))

    def only_leads(self, layers_of: Mapping, layer: int, output: int, value: int) -> bool:
        """Whether `layer`, whose linear map makes `output`, goes to `value` and nowhere else, by
        linear operations on single elements."""
        while self.uses[value] == 1:
            if value == output:
                return True
            operation = self.producer[value]
            held = [v for v in operation.inputs if layer in layers_of.get(v, ())]
            divides = operation.name == "div" and held[:1] != [operation.inputs[0]]
            is_linear = operation.name in LINEAR and not divides
            if len(held) != 1 or not (is_linear or operation.name in _IN_PLACE):
                return False
            (value,) = held
        return False

    def reaches_a_product(self, value: int) -> bool:
        """Whether a later product may read what comes of a value."""
        reached = {value}
        for operation in self.program.operations:
            if not reached.isdisjoint(operation.inputs):
                if operation.name in PRODUCTS:
                    return True
                reached.update(operation.outputs)
        return False

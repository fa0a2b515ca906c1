# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Programs with the bodies of loops and branches opened, so that layers inside them are followed.

The body of a `scan` or `while` stands among a program's operations once, as one step whose carry is
data; small operations of this file's own lead into and out of it. A scan over stacked parameters,
as over the layers of a deep network, is unrolled: there every step is a layer of its own. What runs
is the program's schedule, in which loops are whole.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp

from dormant.primitives import equations_of
from dormant.tracing.jaxpr import Abstract, Flattener, Operation, Program, read_program
from dormant.tracing.labels import COLLECTIVES
from dormant.tracing.schedule import Branches, Scan, While, read_by

# Never run; they only tell where values go.
CARRY = jex.Primitive("carry")  # (initial carry, carry out of a step) -> carry into a step
LAST_CARRY = jex.Primitive("last_carry")  # (initial carry, carry out of a step) -> after the loop
STEP_INPUT = jex.Primitive("step_input")  # (T, …) -> (…)
STEP_OUTPUT = jex.Primitive("step_output")  # (…) -> (T, …)
LOOP_END = jex.Primitive("loop_end")  # `start` and `stop`: the operations of the body
DECIDES = jex.Primitive("decides")  # what the condition of a `while` reads

_MOST_UNROLLED = 64  # steps


def open_program(
    apply: Callable, arguments: Abstract, axes: Sequence[tuple[str, int]] = ()
) -> Program:
    """`read_program` with the bodies of loops and branches opened."""
    return read_program(apply, arguments, _OpeningFlattener(), axes)


def axis_sizes(program: Program) -> tuple[tuple[str, int], ...]:
    """The named axes of a program and their sizes here, 1 where nothing binds them."""
    names = {
        name
        for operation in program.operations
        if operation.name in COLLECTIVES
        for name in operation.params["axes"]
        if isinstance(name, str)
    }
    return tuple((name, _axis_size(name)) for name in sorted(names))


def _axis_size(name: str) -> int:
    try:
        return int(jax.lax.axis_size(name))
    except NameError:
        return 1


class _OpeningFlattener(Flattener):
    """Walks into the bodies of loops and branches."""

    def __init__(self) -> None:
        super().__init__()
        self._depth, self._in_branch = 0, False
        self._data: set[int] = set()
        self._parametric: set[int] = set()  # computed from parameters and constants alone

    def _new(self, aval: Any) -> int:
        number = super()._new(aval)
        self.depths.append(self._depth)
        if self._in_branch:
            self.conditional.add(number)
        return number

    def _arguments(self, parameters: Sequence[int], inputs: Sequence[int]) -> None:
        self._parametric.update(parameters)
        self._data.update(inputs)

    def _add(self, eqn: jex.JaxprEqn, inputs: list[int]) -> list[int]:
        opening = {"scan": self._scan, "while": self._while, "cond": self._cond}
        return opening.get(eqn.primitive.name, super()._add)(eqn, inputs)

    def _follow(self, primitive: jex.Primitive, inputs, outputs, **params) -> None:
        """Adds an operation that is followed and never run."""
        self.operations.append(Operation(primitive, params, tuple(inputs), tuple(outputs)))

    def _derive(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        if self._data.intersection(inputs):
            self._data.update(outputs)
        elif self._parametric.intersection(inputs):
            self._parametric.update(outputs)

    @contextlib.contextmanager
    def _body(self, depth: int = 0, in_branch: bool = False) -> Iterator[list[Any]]:
        """Collects the schedule of a body; what is computed there is not known outside."""
        saved = self.schedule, self._computed, self._depth, self._in_branch
        self.schedule, self._computed = [], dict(self._computed)
        self._depth += depth
        self._in_branch |= in_branch
        yield self.schedule
        self.schedule, self._computed, self._depth, self._in_branch = saved

    def _walk_closed(self, closed: jex.ClosedJaxpr, arguments: list[int]) -> list[int]:
        constants = [self._constant(value) for value in closed.consts]
        return self._walk(closed.jaxpr, constants, arguments)

    def _inline(self, function: Callable, *numbers: int) -> list[int]:
        structs = [jax.ShapeDtypeStruct(self.shapes[n], self.dtypes[n]) for n in numbers]
        return self._walk_closed(jax.make_jaxpr(function)(*structs), list(numbers))

    # -- loops ---------------------------------------------------------------------------------

    def _loop(
        self,
        body: jex.ClosedJaxpr,
        consts: list[int],
        initial: list[int],
        xs: list[int],
        depth: int,
    ) -> tuple[list[int], list[int], list[int], list[Any], range, list[int]]:
        """Walks through one step of a loop.

        Returns the carry into the step, what it takes of `xs`, what comes out, its schedule, its
        values and which parts of the carry change. The others are constants of the loop.
        """
        avals = [var.aval for var in body.jaxpr.invars]
        changing = list(range(len(initial)))
        carried = len(initial)
        for attempt in range(2):
            mark, first = self._mark(), len(self.shapes)
            with self._body(depth) as schedule:
                carry = [
                    self._new(avals[len(consts) + k]) if k in changing else initial[k]
                    for k in range(carried)
                ]
                x_in = [self._new(aval) for aval in avals[len(consts) + carried :]]
                carry_numbers = [carry[k] for k in changing]
                self._data.update(carry_numbers)
                self._data.update(x_in)
                start = len(self.operations)
                for k in changing:
                    self._follow(CARRY, (initial[k],), (carry[k],))
                for outer, inner in zip(xs, x_in, strict=True):
                    self._follow(STEP_INPUT, (outer,), (inner,))
                results = self._walk_closed(body, [*consts, *carry, *x_in])
            constant = [k for k in changing if results[k] == carry[k]]
            if attempt == 0 and constant:
                changing = [k for k in changing if k not in constant]
                self._rewind(mark)
                continue
            break
        for place, k in enumerate(changing):
            operation = self.operations[start + place]
            self.operations[start + place] = operation._replace(inputs=(initial[k], results[k]))
        self._follow(LOOP_END, (), (), start=start, stop=len(self.operations))
        return carry, x_in, results, schedule, range(first, len(self.shapes)), changing

    def _mark(self) -> tuple[int, int]:
        return len(self.operations), len(self.shapes)

    def _rewind(self, mark: tuple[int, int]) -> None:
        operations, values = mark
        del self.operations[operations:], self.shapes[values:]
        del self.dtypes[values:], self.depths[values:]
        for numbers in (self._data, self._parametric, self.conditional):
            numbers.difference_update([number for number in numbers if number >= values])
        for number in [number for number in self.constants if number >= values]:
            del self.constants[number]

    def _finish(self, initial: list[int], results: list[int], changing: list[int]) -> list[int]:
        """The carry after a loop."""
        final = list(initial)
        for k in changing:
            final[k] = self._new_like(results[k])
            self._follow(LAST_CARRY, (initial[k], results[k]), (final[k],))
        return final

    def _new_like(self, number: int, *axes: int) -> int:
        shape = (*axes, *self.shapes[number])
        return self._new(jax.ShapeDtypeStruct(shape, self.dtypes[number]))

    def _scan(self, eqn: jex.JaxprEqn, inputs: list[int]) -> list[int]:
        body, length, reverse = (eqn.params[name] for name in ("jaxpr", "length", "reverse"))
        first, second = eqn.params["num_consts"], eqn.params["num_carry"]
        second += first
        consts, initial, xs = inputs[:first], inputs[first:second], inputs[second:]
        stacked_kernels = self._parametric.intersection(xs) or self._picks_a_parameter(body, consts)
        if stacked_kernels and length <= _MOST_UNROLLED:
            return self._unrolled(body, consts, initial, xs, length, reverse)
        carry, x_in, results, schedule, inside, changing = self._loop(body, consts, initial, xs, 1)
        final = self._finish(initial, results, changing)
        ys = results[len(initial) :]
        stacked = [self._new_like(number, length) for number in ys]
        for inner, outer in zip(ys, stacked, strict=True):
            self._follow(STEP_OUTPUT, (inner,), (outer,))
        self._data.update([*final, *stacked])

        def of(numbers):
            return tuple(numbers[k] for k in changing)

        ends = (tuple(xs), tuple(x_in), tuple(ys), tuple(stacked))
        options = {"length": length, "reverse": reverse}
        self.schedule.append(
            Scan(
                of(initial), of(carry), of(results), of(final), *ends,
                tuple(schedule), inside, options,
            )
        )  # fmt: skip
        return [*final, *stacked]

    def _picks_a_parameter(self, body: jex.ClosedJaxpr, consts: list[int]) -> bool:
        """Whether a step seems to pick its own slice of an array of stacked parameters."""
        shapes = {self.shapes[n] for n in self._parametric.intersection(consts)}
        return any(
            eqn.primitive.name == "dynamic_slice"
            and getattr(eqn.invars[0].aval, "shape", None) in shapes
            for eqn in equations_of(body)
        )

    def _unrolled(self, body, consts, carry, xs, length, reverse) -> list[int]:
        rows: list[list[int]] = []
        for step in reversed(range(length)) if reverse else range(length):
            slices = [
                self._inline(lambda x, at=step: jax.lax.index_in_dim(x, at, keepdims=False), x)[0]
                for x in xs
            ]
            results = self._walk_closed(body, [*consts, *carry, *slices])
            carry = results[: len(carry)]
            rows.append(results[len(carry) :])
        rows = rows[::-1] if reverse else rows
        stacked = [
            self._inline(lambda *row: jnp.stack(row), *column)[0]
            for column in zip(*rows, strict=True)
        ]
        return [*carry, *stacked]

    def _while(self, eqn: jex.JaxprEqn, inputs: list[int]) -> list[int]:
        first = eqn.params["cond_nconsts"]
        second = first + eqn.params["body_nconsts"]
        consts, initial = inputs[first:second], inputs[second:]
        start = len(self.shapes)
        carry, _, results, schedule, _, changing = self._loop(
            eqn.params["body_jaxpr"], consts, initial, [], 0
        )
        operations = len(self.operations)
        with self._body() as condition:
            (predicate,) = self._walk_closed(eqn.params["cond_jaxpr"], [*inputs[:first], *carry])
        del self.operations[operations:]  # layers inside of a condition are not followed
        read = {predicate, *read_by(condition)}
        self._follow(DECIDES, [n for n in (*inputs[:first], *carry) if n in read], ())
        inside = range(start, len(self.shapes))
        final = self._finish(initial, results, changing)
        self._data.update(final)

        def of(numbers):
            return tuple(numbers[k] for k in changing)

        self.schedule.append(
            While(
                of(initial), of(carry), of(results), of(final),
                predicate, tuple(condition), tuple(schedule), inside,
            )
        )  # fmt: skip
        return final

    # -- branches ------------------------------------------------------------------------------

    def _cond(self, eqn: jex.JaxprEqn, inputs: list[int]) -> list[int]:
        index, *operands = inputs
        branches, start = [], len(self.shapes)
        for body in eqn.params["branches"]:
            first = len(self.shapes)
            with self._body(in_branch=True) as schedule:
                results = self._walk_closed(body, list(operands))
            inside = range(first, len(self.shapes))
            branches.append((tuple(schedule), tuple(results), inside))
        inside = range(start, len(self.shapes))
        outputs = [self._new(var.aval) for var in eqn.outvars]
        for k, output in enumerate(outputs):
            chosen = (index, *(results[k] for _, results, _ in branches))
            self._follow(jax.lax.select_n_p, chosen, (output,))
            self._derive(chosen, (output,))
        self.schedule.append(Branches(index, tuple(branches), tuple(outputs), inside))
        return outputs

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Programs with the bodies of loops and branches opened, so that layers inside them are followed.

The body of a `scan` or `while` stands among a program's operations once, as one step whose carry is
data; small operations of this file's own lead into and out of it. A scan over stacked parameters,
as over the layers of a deep network, is unrolled: there every step is a layer of its own. What runs
is the program's schedule, in which loops are whole.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp

from dormant.tracing.jaxpr import (
    Abstract,
    Flattener,
    Operation,
    Program,
    apply_operation,
    read_program,
)
from dormant.tracing.labels import COLLECTIVES

# Never run; they only tell where values go.
CARRY = jex.Primitive("carry")  # (initial carry, carry out of a step) -> carry into a step
LAST_CARRY = jex.Primitive("last_carry")  # (initial carry, carry out of a step) -> after the loop
STEP_INPUT = jex.Primitive("step_input")  # (T, …) -> (…)
STEP_OUTPUT = jex.Primitive("step_output")  # (…) -> (T, …)
LOOP_END = jex.Primitive("loop_end")  # `start` and `stop`: the operations of the body
DECIDES = jex.Primitive("decides")  # what the condition of a `while` reads

_MOST_UNROLLED = 64  # steps
_NOTHING: Mapping[int, jax.Array] = MappingProxyType({})


class Scan(NamedTuple):
    """A `scan` in a schedule; every field but the last three holds numbers of values."""

    initial: tuple[int, ...]
    carry_in: tuple[int, ...]
    carry_out: tuple[int, ...]
    final: tuple[int, ...]
    xs: tuple[int, ...]
    x_in: tuple[int, ...]
    ys: tuple[int, ...]
    stacked: tuple[int, ...]
    body: tuple[Any, ...]  # a schedule
    inside: range  # the values of the body
    options: dict[str, Any]  # length and reverse

    @property
    def inputs(self) -> tuple[int, ...]:
        return (*self.initial, *self.xs, *self.carry_out, *self.ys, *_read_by(self.body))

    @property
    def outputs(self) -> tuple[int, ...]:
        return (*self.final, *self.stacked)

    def run(self, values: dict[int, Any], wanted: set[int]) -> dict[int, Any]:
        """Its outputs, and the wanted values of the body, (T, …), over all steps."""

        def step(carry, slices):
            now = values | dict(zip(self.carry_in + self.x_in, [*carry, *slices], strict=True))
            _run(self.body, now, {*self.carry_out, *self.ys, *wanted})
            carried = [now[number] for number in self.carry_out]
            return carried, ([now[number] for number in self.ys], {w: now[w] for w in wanted})

        initial = [values[number] for number in self.initial]
        xs = [values[number] for number in self.xs]
        final, (stacked, found) = jax.lax.scan(step, initial, xs, **self.options)
        return dict(zip(self.outputs, [*final, *stacked], strict=True)) | found


class While(NamedTuple):
    """A `while` loop in a schedule."""

    initial: tuple[int, ...]
    carry_in: tuple[int, ...]
    carry_out: tuple[int, ...]
    final: tuple[int, ...]
    predicate: int
    condition: tuple[Any, ...]  # a schedule
    body: tuple[Any, ...]  # a schedule
    inside: range

    @property
    def inputs(self) -> tuple[int, ...]:
        read = (*_read_by(self.condition), *_read_by(self.body))
        return (*self.initial, *self.carry_out, self.predicate, *read)

    @property
    def outputs(self) -> tuple[int, ...]:
        return self.final

    def run(self, values: dict[int, Any], wanted: set[int]) -> dict[int, Any]:
        """Its outputs, and the mean size of the wanted values of the body over the steps that ran.

        How many steps run is not known beforehand, so the values themselves cannot be kept. A loop
        that runs no step has not shown any neuron to be silent: its values are 1.
        """

        def now(carry):
            return values | dict(zip(self.carry_in, carry, strict=True))

        def goes_on(state):
            inside = now(state[0])
            _run(self.condition, inside, {self.predicate})
            return inside[self.predicate]

        def sizes(carry):
            inside = now(carry)
            _run(self.body, inside, {*self.carry_out, *wanted})
            found = {w: jnp.abs(inside[w]).astype(jnp.float32) for w in wanted}
            return [inside[number] for number in self.carry_out], found

        def step(state):
            carry, totals, steps = state
            carry, found = sizes(carry)
            return carry, jax.tree.map(jnp.add, totals, found), steps + 1

        initial = [jnp.asarray(values[number]) for number in self.initial]
        shapes = jax.eval_shape(lambda carry: sizes(carry)[1], initial)
        totals = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        final, totals, steps = jax.lax.while_loop(goes_on, step, (initial, totals, 0))
        means = jax.tree.map(lambda t: jnp.where(steps > 0, t / jnp.maximum(steps, 1), 1), totals)
        return dict(zip(self.final, final, strict=True)) | means


class Branches(NamedTuple):
    """A `cond` or `switch` in a schedule."""

    choice: int
    branches: tuple[
        tuple[tuple[Any, ...], tuple[int, ...], range], ...
    ]  # schedule, results, values
    outputs: tuple[int, ...]
    inside: range

    @property
    def inputs(self) -> tuple[int, ...]:
        read = [(*results, *_read_by(body)) for body, results, _ in self.branches]
        return (self.choice, *(number for numbers in read for number in numbers))

    def run(self, values: dict[int, Any], wanted: set[int]) -> dict[int, Any]:
        """Its outputs, and the wanted values of its branches, 0 in a branch that does not run."""

        def branch(body, results, inside):
            own = {w for w in wanted if w in inside}

            def run():
                now = dict(values)
                _run(body, now, {*results, *own})
                return [now[number] for number in results], {w: now[w] for w in own}

            return run

        runs = [branch(*each) for each in self.branches]
        shapes: dict[int, Any] = {}
        for run in runs:
            shapes |= jax.eval_shape(run)[1]

        def with_zeros(run):
            def padded():
                results, found = run()
                others = {w: shape for w, shape in shapes.items() if w not in found}
                zeros = {w: jnp.zeros(shape.shape, shape.dtype) for w, shape in others.items()}
                return results, found | zeros

            return padded

        outputs, found = jax.lax.switch(values[self.choice], [with_zeros(run) for run in runs])
        return dict(zip(self.outputs, outputs, strict=True)) | found


def _read_by(schedule: Sequence[Any]) -> Iterator[int]:
    for step in schedule:
        yield from step.inputs


def evaluate(
    program: Program,
    wanted: Sequence[int],
    arguments: Sequence[Any],
    added: Mapping[int, jax.Array] = _NOTHING,
) -> list[Any]:
    """The `wanted` values for the given leaves of (params, inputs); the rest is never computed.

    What is `added` to values outside of loops and branches goes on into what is computed of them.

    A value inside of a `scan` comes with an axis for the steps in front, (T, …); one of a `while`
    as its mean size over the steps; one of a branch that does not run as 0.
    """
    values = dict(program.constants)
    values.update(zip(program.parameters + program.inputs, arguments, strict=True))
    _run(program.schedule, values, set(wanted), added)
    return [values[number] for number in wanted]


def _run(
    schedule: Sequence[Any],
    values: dict[int, Any],
    wanted: set[int],
    added: Mapping[int, jax.Array] = _NOTHING,
) -> None:
    """Writes into `values` what is wanted and what it takes."""
    needed, steps = set(wanted), []
    for step in reversed(schedule):
        inner = set() if isinstance(step, Operation) else {w for w in wanted if w in step.inside}
        if inner or needed.intersection(step.outputs):
            steps.append((step, inner))
            needed.update(step.inputs)
    for step, inner in reversed(steps):
        if isinstance(step, Operation):
            results = _apply(step, [values[number] for number in step.inputs])
            values.update(zip(step.outputs, results, strict=True))
            for number in added.keys() & set(step.outputs):
                values[number] = values[number] + added[number]
        else:
            values.update(step.run(values, inner))


def _apply(operation: Operation, operands: list[Any]) -> Sequence[Any]:
    try:
        return apply_operation(operation, operands)
    except NameError:
        if operation.name in COLLECTIVES:
            return operands  # outside of the `vmap` or `pmap` that names the axis, its size is 1
        raise


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
            for eqn in _equations(body.jaxpr)
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
        read = {predicate, *_read_by(condition)}
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


def _equations(jaxpr: jex.Jaxpr) -> Iterator[jex.JaxprEqn]:
    """The equations of a jaxpr and of the bodies in it."""
    for eqn in jaxpr.eqns:
        yield eqn
        for value in eqn.params.values():
            for body in value if isinstance(value, tuple | list) else (value,):
                if isinstance(body, jex.ClosedJaxpr):
                    yield from _equations(body.jaxpr)
                elif isinstance(body, jex.Jaxpr):
                    yield from _equations(body)

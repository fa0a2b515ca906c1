# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What runs of a program: its schedule, in which loops and branches are whole."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.tracing.jaxpr import Operation, Program, apply_operation
from dormant.tracing.labels import COLLECTIVES

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
        return (*self.initial, *self.xs, *self.carry_out, *self.ys, *read_by(self.body))

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
        read = (*read_by(self.condition), *read_by(self.body))
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
        read = [(*results, *read_by(body)) for body, results, _ in self.branches]
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


def read_by(schedule: Sequence[Any]) -> Iterator[int]:
    """The values that the steps of a schedule read."""
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

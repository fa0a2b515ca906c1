# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""A network as a flat list of primitive operations, read from the jaxpr of the user's own function.

Calls (`jit`, `remat`, `custom_jvp`, …) are inlined, so that everything above this file sees one
straight line of primitives over numbered values.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import numpy as np
from jax.tree_util import PyTreeDef

from dormant.checks import check_arrays, first_line, shown_shapes
from dormant.tracing.connections import TraceError

# Inlining these does not change a value; one of their parameters holds the body.
_CALLS = frozenset(
    "jit pjit closed_call core_call remat remat2 checkpoint custom_jvp_call custom_vjp_call "
    "custom_vjp_call_jaxpr".split()
)
_BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")


class Operation(NamedTuple):
    """One primitive applied to numbered values."""

    primitive: jex.Primitive
    params: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.primitive.name


class Program(NamedTuple):
    """A straight line of operations over numbered values.

    Values are numbered from 0. `shapes[v]` and `dtypes[v]` describe value `v`; `constants` holds
    the values known while tracing (literals and closed-over arrays).
    """

    operations: tuple[Operation, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]
    constants: dict[int, Any]
    parameters: tuple[int, ...]  # one value per leaf of the parameter tree
    inputs: tuple[int, ...]  # one value per leaf of the other arguments
    outputs: tuple[int, ...]


class Abstract(NamedTuple):
    """Shapes and dtypes of a call's arguments; hashable, so a program is read once per shape."""

    treedef: PyTreeDef  # of (params, inputs)
    leaves: tuple[jax.ShapeDtypeStruct, ...]
    num_parameters: int


def abstract_arguments(params: Any, inputs: Sequence[Any]) -> Abstract:
    """The shapes and dtypes of `params` and `inputs` (arrays, tracers or `ShapeDtypeStruct`s)."""
    check_arrays("params", params)
    check_arrays("inputs", tuple(inputs))
    leaves, treedef = jax.tree.flatten((params, tuple(inputs)))
    structs = tuple(
        jax.ShapeDtypeStruct(
            np.shape(leaf), leaf.dtype if hasattr(leaf, "dtype") else np.result_type(leaf)
        )
        for leaf in leaves
    )
    return Abstract(treedef, structs, len(jax.tree.leaves(params)))


def read_program(apply: Callable, arguments: Abstract) -> Program:
    """Traces `apply(params, *inputs)` once and flattens its jaxpr into a `Program`.

    Raises:
      TraceError: when `apply` fails on arguments of these shapes.
    """
    params, inputs = jax.tree.unflatten(arguments.treedef, arguments.leaves)
    try:
        closed = jax.make_jaxpr(apply)(params, *inputs)
    except Exception as error:  # of the user's network, as of Flax, when a shape is wrong
        raise TraceError(
            f"`inputs` must be what `apply` takes beside such `params`; got {shown_shapes(inputs)}:"
            f" {first_line(error)}"
        ) from error
    return _Flattener().flatten(closed, arguments.num_parameters)


class _Flattener:
    """Numbers values while it walks a closed jaxpr; used once per program."""

    def __init__(self):
        self.operations: list[Operation] = []
        self.shapes: list[tuple[int, ...]] = []
        self.dtypes: list[Any] = []
        self.constants: dict[int, Any] = {}

    def flatten(self, closed: jex.ClosedJaxpr, num_parameters: int) -> Program:
        arguments = [self._new(var.aval) for var in closed.jaxpr.invars]
        constants = [self._constant(value) for value in closed.consts]
        outputs = self._walk(closed.jaxpr, constants, arguments)
        return Program(
            tuple(self.operations),
            tuple(self.shapes),
            tuple(self.dtypes),
            self.constants,
            tuple(arguments[:num_parameters]),
            tuple(arguments[num_parameters:]),
            tuple(outputs),
        )

    def _new(self, aval: Any) -> int:
        self.shapes.append(tuple(getattr(aval, "shape", ())))
        self.dtypes.append(getattr(aval, "dtype", None))
        return len(self.shapes) - 1

    def _constant(self, value: Any) -> int:
        number = self._new(value if hasattr(value, "shape") else np.asarray(value))
        self.constants[number] = value
        return number

    def _walk(self, jaxpr: jex.Jaxpr, constants: list[int], arguments: list[int]) -> list[int]:
        numbers = dict(zip(jaxpr.constvars, constants, strict=True))
        numbers.update(zip(jaxpr.invars, arguments, strict=True))

        def read(atom):
            return self._constant(atom.val) if isinstance(atom, jex.Literal) else numbers[atom]

        for eqn in jaxpr.eqns:
            inputs = [read(atom) for atom in eqn.invars]
            if eqn.primitive.name in _CALLS:
                body = next(eqn.params[name] for name in _BODIES if name in eqn.params)
                closed = body if isinstance(body, jex.ClosedJaxpr) else jex.ClosedJaxpr(body, ())
                inner = [self._constant(value) for value in closed.consts]
                outputs = self._walk(closed.jaxpr, inner, inputs)
            else:
                outputs = [self._new(var.aval) for var in eqn.outvars]
                self.operations.append(
                    Operation(eqn.primitive, eqn.params, tuple(inputs), tuple(outputs))
                )
            numbers.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]


def apply_operation(operation: Operation, operands: Sequence[Any]) -> Sequence[Any]:
    """Runs one primitive; the results as a sequence."""
    bound = operation.primitive.get_bind_params(operation.params)
    # JAX before 0.10 returns (subfunctions, parameters), later ones the parameters alone.
    subfuns, params = bound if isinstance(bound, tuple) else ((), bound)
    results = operation.primitive.bind(*subfuns, *operands, **params)
    return results if operation.primitive.multiple_results else [results]


def evaluate(program: Program, wanted: Sequence[int], arguments: Sequence[Any]) -> list[Any]:
    """The `wanted` values for the given leaves of (params, inputs); the rest is never computed."""
    needed, operations = set(wanted), []
    for operation in reversed(program.operations):
        if needed.intersection(operation.outputs):
            operations.append(operation)
            needed.update(operation.inputs)
    values = dict(program.constants)
    values.update(zip(program.parameters + program.inputs, arguments, strict=True))
    for operation in reversed(operations):
        results = apply_operation(operation, [values[number] for number in operation.inputs])
        values.update(zip(operation.outputs, results, strict=True))
    return [values[number] for number in wanted]

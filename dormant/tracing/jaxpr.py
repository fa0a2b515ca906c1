# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A network as a flat list of primitive operations, read from the jaxpr of the user's own function.

Calls (`jit`, `remat`, `custom_jvp`, …) are inlined, so that everything above this file sees one
straight line of primitives over numbered values. What is computed twice from the same values, as a
torso that two methods call, stands there once.
"""

import re
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import numpy as np
from jax.tree_util import PyTreeDef

from dormant.checks import check_arrays, first_line, shown_shapes
from dormant.primitives import apply_primitive, bodies_of, called_body
from dormant.tracing.connections import TraceError


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
    # What runs: the operations, with loops and branches whole where their bodies were opened.
    schedule: tuple[Any, ...]
    depths: tuple[int, ...]  # of each value, how many `scan`s it is inside of
    conditional: frozenset[int]  # values that only one branch of a `cond` computes
    output_paths: tuple[tuple[Any, ...], ...]  # where in the returned tree each output stands

    def holds_numbers(self, value: int) -> bool:
        """Whether a value is floating or complex, rather than integers, booleans or keys."""
        return jax.dtypes.issubdtype(self.dtypes[value], np.inexact)


class Fixed(NamedTuple):
    """A Python value among the inputs, such as `train=True`, that a program is read for."""

    kind: type  # 1, 1.0 and True are equal
    value: Any


class Abstract(NamedTuple):
    """Shapes and dtypes of a call's arguments; hashable, so a program is read once per shape."""

    treedef: PyTreeDef  # of (params, inputs)
    leaves: tuple[jax.ShapeDtypeStruct | Fixed, ...]
    num_parameters: int

    def arrays(self, leaves: Sequence[Any]) -> list[Any]:
        """Of the leaves of (params, inputs) those that are not fixed."""
        pairs = zip(leaves, self.leaves, strict=True)
        return [leaf for leaf, abstract in pairs if not isinstance(abstract, Fixed)]

    def restored(self, arrays: Sequence[Any]) -> tuple[Any, tuple[Any, ...]]:
        """(params, inputs) with the given arrays and the fixed values."""
        given = iter(arrays)
        leaves = [each.value if isinstance(each, Fixed) else next(given) for each in self.leaves]
        return jax.tree.unflatten(self.treedef, leaves)


def abstract_arguments(
    params: Any, inputs: Sequence[Any], fixed: tuple[type, ...] = ()
) -> Abstract:
    """The shapes and dtypes of `params` and `inputs` (arrays, tracers or `ShapeDtypeStruct`s).

    Inputs of the types `fixed` stay the Python values that they are. Raises ValueError if a leaf is
    neither of them nor an array, or has no rows.
    """
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        if callable(leaf) and not hasattr(leaf, "shape"):
            place = jax.tree_util.keystr(path, simple=True, separator="/")
            raise ValueError(
                f"`params` must hold arrays alone; got a function at {place}: split off what is no "
                f"array, as `eqx.partition(model, eqx.is_array)` does, and put it back in `apply`"
            )
    check_arrays("params", params)
    given = [x for x in jax.tree.leaves(tuple(inputs)) if not isinstance(x, fixed)]
    check_arrays("inputs", given)
    shapes = [np.shape(x) for x in given if np.shape(x)]
    if shapes and all(shape[0] == 0 for shape in shapes):
        raise ValueError(f"`inputs` must have at least one row; got the shape {shapes[0]}")
    leaves, treedef = jax.tree.flatten((params, tuple(inputs)))
    num_parameters = len(jax.tree.leaves(params))
    abstract = [_abstract(leaf, ()) for leaf in leaves[:num_parameters]]
    abstract += [_abstract(leaf, fixed) for leaf in leaves[num_parameters:]]
    return Abstract(treedef, tuple(abstract), num_parameters)


def _abstract(leaf: Any, fixed: tuple[type, ...]) -> jax.ShapeDtypeStruct | Fixed:
    if isinstance(leaf, fixed):
        return Fixed(type(leaf), leaf)
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.result_type(leaf)
    return jax.ShapeDtypeStruct(np.shape(leaf), dtype)


def read_program(
    apply: Callable,
    arguments: Abstract,
    flattener: "Flattener | None" = None,
    axes: Sequence[tuple[str, int]] = (),
) -> Program:
    """Traces `apply(params, *inputs)` once and flattens its jaxpr into a `Program`.

    Loops and branches stay closed, unless a new `flattener` of another kind opens them. Named axes
    have the sizes of `axes`; others that nothing binds have size 1.

    Raises:
      TraceError: when `apply` fails on arguments of these shapes.
    """
    _, inputs = arguments.restored(arguments.arrays(arguments.leaves))
    try:
        closed, returned = _jaxpr_of(apply, arguments, axes)
    except TraceError:
        raise
    except Exception as error:  # of the user's network, as of Flax, when a shape is wrong
        raise TraceError(
            f"`inputs` must be what `apply` takes beside such `params`; got {shown_shapes(inputs)}:"
            f" {first_line(error)}"
        ) from error
    return (flattener or Flattener()).flatten(closed, returned, arguments.num_parameters)


_UNBOUND = re.compile(r"unbound axis name: (\w+)")


def _jaxpr_of(
    apply: Callable, arguments: Abstract, axes: Sequence[tuple[str, int]]
) -> tuple[jex.ClosedJaxpr, Any]:
    axes = list(axes)

    def call(*arrays):
        params, inputs = arguments.restored(arrays)
        return apply(params, *inputs)

    while True:
        try:
            make = jax.make_jaxpr(call, axis_env=axes or None, return_shape=True)
            return make(*arguments.arrays(arguments.leaves))
        except NameError as error:
            found = _UNBOUND.search(str(error))
            if found is None or found[1] in dict(axes):
                raise
            axes.append((found[1], 1))


class Flattener:
    """Numbers values while it walks a closed jaxpr; used once per program."""

    def __init__(self):
        self.operations: list[Operation] = []
        self.schedule: list[Any] = []
        self.depths: list[int] = []
        self.conditional: set[int] = set()
        self.shapes: list[tuple[int, ...]] = []
        self.dtypes: list[Any] = []
        self.constants: dict[int, Any] = {}
        self._computed: dict[Hashable, list[int]] = {}  # outputs by what makes them

    def flatten(self, closed: jex.ClosedJaxpr, returned: Any, num_parameters: int) -> Program:
        arguments = [self._new(var.aval) for var in closed.jaxpr.invars]
        self._arguments(arguments[:num_parameters], arguments[num_parameters:])
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
            tuple(self.schedule),
            tuple(self.depths),
            frozenset(self.conditional),
            tuple(path for path, _ in jax.tree_util.tree_flatten_with_path(returned)[0]),
        )

    def _arguments(self, parameters: Sequence[int], inputs: Sequence[int]) -> None:
        """Told once which values are parameters and which are inputs."""

    def _derive(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Told of every operation."""

    def _new(self, aval: Any) -> int:
        self.shapes.append(tuple(getattr(aval, "shape", ())))
        self.dtypes.append(getattr(aval, "dtype", None))
        return len(self.shapes) - 1

    def _constant(self, value: Any) -> int:
        key = _constant_key(value)
        if key is not None:
            if key not in self._computed:
                self._computed[key] = [self._new_constant(value)]
            return self._computed[key][0]
        return self._new_constant(value)

    def _new_constant(self, value: Any) -> int:
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
            if body := called_body(eqn):
                inner = [self._constant(value) for value in body.consts]
                outputs = self._walk(body.jaxpr, inner, inputs)
            else:
                outputs = self._operation(eqn, inputs)
            numbers.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _operation(self, eqn: jex.JaxprEqn, inputs: list[int]) -> list[int]:
        """The outputs of an equation, which is added unless it is there already."""
        key = None if eqn.effects else _operation_key(eqn, inputs)
        if key is not None and key in self._computed:
            return self._computed[key]
        outputs = self._add(eqn, inputs)
        if key is not None:
            self._computed[key] = outputs
        return outputs

    def _add(self, eqn: jex.JaxprEqn, inputs: list[int]) -> list[int]:
        outputs = [self._new(var.aval) for var in eqn.outvars]
        operation = Operation(eqn.primitive, eqn.params, tuple(inputs), tuple(outputs))
        self.operations.append(operation)
        self.schedule.append(operation)
        self._derive(inputs, outputs)
        return outputs


_SMALL = 16  # elements; larger constants are told apart by identity


def _constant_key(value: Any) -> Hashable:
    """Equal for constants that hold the same; None where that cannot be told."""
    if isinstance(value, jax.core.Tracer) or jax.dtypes.issubdtype(
        getattr(value, "dtype", np.float32), jax.dtypes.extended
    ):
        return ("constant", id(value))
    if np.size(value) > _SMALL:
        return ("constant", id(value))
    array = np.asarray(value)
    return ("constant", array.dtype, array.shape, array.tobytes())


def _operation_key(eqn: jex.JaxprEqn, inputs: list[int]) -> Hashable:
    """Equal for equations that compute the same; None where that cannot be told."""
    key = (eqn.primitive, tuple(inputs), _parameter_key(tuple(sorted(eqn.params.items()))))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _parameter_key(value: Any) -> Hashable:
    """A parameter of an equation; two traces of one function give the same text of a body."""
    if isinstance(value, jex.ClosedJaxpr):
        consts = tuple(map(_constant_key, value.consts))
        return (str(value.jaxpr), consts, _inner_constants(value))
    if isinstance(value, jex.Jaxpr):
        return (str(value), _inner_constants(value))
    if isinstance(value, tuple | list):
        return tuple(map(_parameter_key, value))
    return value


def _inner_constants(jaxpr: jex.ClosedJaxpr | jex.Jaxpr) -> tuple:
    """The constants of bodies within a body, whose values its text does not show."""
    found: list[Hashable] = []
    for eqn in jaxpr.eqns:
        for body in bodies_of(eqn):
            if isinstance(body, jex.ClosedJaxpr):
                found += map(_constant_key, body.consts)
            found += _inner_constants(body)
    return tuple(found)


def apply_operation(operation: Operation, operands: Sequence[Any]) -> Sequence[Any]:
    """Runs one operation; the results as a sequence."""
    return apply_primitive(operation.primitive, operation.params, operands)


def known_values(program: Program, wanted: Sequence[int]) -> list[Any]:
    """The `wanted` values, which depend on constants alone, also inside of opened bodies."""
    needed, operations = set(wanted), []
    for operation in reversed(program.operations):
        if needed.intersection(operation.outputs):
            operations.append(operation)
            needed.update(operation.inputs)
    values = dict(program.constants)
    # A network is read anew inside of `jit` too, for shapes that were not seen before.
    with jax.ensure_compile_time_eval():
        for operation in reversed(operations):
            results = apply_operation(operation, [values[number] for number in operation.inputs])
            values.update(zip(operation.outputs, results, strict=True))
    return [values[number] for number in wanted]

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

"""Functions whose operations are replaced by equal ones that a compiler does better with."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from dormant.checks import check_function
from dormant.tracing.jaxpr import Operation, abstract_arguments, read_program

# (operation, its inputs, the operations that made the inputs or None each) -> its outputs
Rewrite = Callable[[Operation, Sequence[Any], Sequence["Made | None"]], Sequence[Any]]
# An operation, and the arrays that it was applied to.
Made = tuple[Operation, Sequence[Any]]


def rewritten(function: Callable[..., Any], rewrite: Rewrite) -> Callable[..., Any]:
    """The same function, computed operation by operation by `rewrite`; to be compiled.

    Calls are inlined (what `jax.checkpoint` would compute again is kept); loops and branches are
    one operation each.

    Args:
      function: pytrees of arrays to a pytree of arrays.
      rewrite: `rewrite(operation, inputs, makers) -> outputs`.

    Raises:
      ValueError: when `function` cannot be called.
    """
    check_function("function", function)

    def with_rewritten_operations(*arguments: Any) -> Any:
        structure = None

        def flat(_: tuple, *arguments: Any) -> list[jax.Array]:
            nonlocal structure
            leaves, structure = jax.tree.flatten(function(*arguments))
            return leaves

        program = read_program(flat, abstract_arguments((), arguments))
        values, made = dict(program.constants), dict[int, Made]()
        values.update(zip(program.inputs, jax.tree.leaves(arguments), strict=True))
        for operation in program.operations:
            inputs = [values[number] for number in operation.inputs]
            makers = [made.get(number) for number in operation.inputs]
            outputs = rewrite(operation, inputs, makers)
            values.update(zip(operation.outputs, outputs, strict=True))
            made.update(dict.fromkeys(operation.outputs, (operation, inputs)))
        return jax.tree.unflatten(structure, [values[number] for number in program.outputs])

    return with_rewritten_operations

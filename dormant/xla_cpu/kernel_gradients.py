# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Gradients of dense kernels in the layout of the kernels, for XLA on CPU.

Goes when XLA lays these products out so by itself: row "gradients laid out as kernels"."""

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import jax
from jax import lax

from dormant.checks import check_function
from dormant.tracing.jaxpr import Operation, abstract_arguments, apply_operation, read_program

# (contracting axes, batch axes) of `a.T @ b`, which is how JAX writes the gradient of a kernel.
_OVER_THE_BATCH = (((0,), (0,)), ((), ()))
_PLAIN = (((1,), (0,)), ((), ()))
# An operation, and the arrays that it was applied to.
_Made = tuple[Operation, Sequence[Any]]


def laid_out_as_kernels(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function with every `(a.T @ b).T` of two matrices computed as `b.T @ a`.

    Under `vmap` over seeds XLA on CPU computes the former transposed and then lets the optimizer
    read it column by column, which takes longer than the product. Results are equal up to rounding.
    Calls are inlined (what `jax.checkpoint` would compute again is kept); loops and branches stay
    as they are.

    Args:
      function: pytrees of arrays to a pytree of arrays, such as `Learner.step`. Apply this to the
        differentiated function: what is returned here is not meant to be differentiated.

    Raises:
      ValueError: when `function` cannot be called.
    """
    check_function("function", function)

    def with_kernels_laid_out(*arguments: Any) -> Any:
        structure = None

        def flat(_: tuple, *arguments: Any) -> list[jax.Array]:
            nonlocal structure
            leaves, structure = jax.tree.flatten(function(*arguments))
            return leaves

        program = read_program(flat, abstract_arguments((), arguments))
        values, made = dict(program.constants), dict[int, _Made]()
        values.update(zip(program.inputs, jax.tree.leaves(arguments), strict=True))
        for operation in program.operations:
            inputs = [values[number] for number in operation.inputs]
            maker = made.get(operation.inputs[0]) if operation.name == "transpose" else None
            if _is_kernel_gradient(maker):
                product, (first, second) = maker
                plain = product._replace(params=product.params | {"dimension_numbers": _PLAIN})
                # The barrier keeps XLA from taking the transpose into the product again.
                outputs = apply_operation(plain, [lax.optimization_barrier(second.T), first])
            else:
                outputs = apply_operation(operation, inputs)
            values.update(zip(operation.outputs, outputs, strict=True))
            made.update(dict.fromkeys(operation.outputs, (operation, inputs)))
        return jax.tree.unflatten(structure, [values[number] for number in program.outputs])

    return with_kernels_laid_out


def _is_kernel_gradient(maker: _Made | None) -> TypeGuard[_Made]:
    if maker is None or maker[0].name != "dot_general":
        return False
    product, (first, second) = maker
    over_the_batch = product.params["dimension_numbers"] == _OVER_THE_BATCH
    return over_the_batch and first.ndim == second.ndim == 2

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

"""Gradients of dense kernels in the layout of the kernels, for XLA on CPU.

Goes when XLA lays these products out so by itself: row "gradients laid out as kernels"."""

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import jax
from jax import lax

from dormant.tracing.jaxpr import Operation, apply_operation
from dormant.xla_cpu.rewriting import Made, rewritten

# (contracting axes, batch axes) of `a.T @ b`, which is how JAX writes the gradient of a kernel.
_OVER_THE_BATCH = (((0,), (0,)), ((), ()))
_PLAIN = (((1,), (0,)), ((), ()))


def laid_out_as_kernels(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function with every `(a.T @ b).T` of two matrices computed as `b.T @ a`.

    Under `vmap` over seeds XLA on CPU computes the former transposed and then lets the optimizer
    read it column by column, which takes longer than the product. Results are equal up to rounding.

    Args:
      function: pytrees of arrays to a pytree of arrays, such as `Learner.step`.

    Raises:
      ValueError: when `function` cannot be called.
    """
    return rewritten(function, _lay_out)


def _lay_out(
    operation: Operation, inputs: Sequence[Any], makers: Sequence[Made | None]
) -> Sequence[jax.Array]:
    if operation.name != "transpose" or not _is_kernel_gradient(makers[0]):
        return apply_operation(operation, inputs)
    product, (first, second) = makers[0]
    plain = product._replace(params=product.params | {"dimension_numbers": _PLAIN})
    # The barrier keeps XLA from taking the transpose into the product again.
    return apply_operation(plain, [lax.optimization_barrier(second.T), first])


def _is_kernel_gradient(maker: Made | None) -> TypeGuard[Made]:
    if maker is None or maker[0].name != "dot_general":
        return False
    product, (first, second) = maker
    over_the_batch = product.params["dimension_numbers"] == _OVER_THE_BATCH
    return over_the_batch and first.ndim == second.ndim == 2

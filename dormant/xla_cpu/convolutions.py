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

"""A program whose large convolutions are cut into parts, for XLA on CPU.

Goes when XLA computes one convolution on several cores: row "split convolutions"."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax

from dormant.tracing.jaxpr import Operation, apply_operation
from dormant.xla_cpu.rewriting import Made, rewritten

# Four are enough to keep two cores busy at every layer; more cost as much as they bring. The number
# does not depend on the machine, so that the digits of a run do not either.
_PARTS = 4
# A tenth of a millisecond on one core; below that, cutting costs more than it brings.
_LEAST_OPERATIONS = 1e7


def split_convolutions(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function with every large convolution in up to four parts, each on its own.

    XLA on CPU computes one convolution on one core, and several at once where none waits for
    another. The gradients of a chain of layers wait: cut along the batch axis they fill more cores.
    Results are equal up to rounding. To be compiled for a CPU; of no use elsewhere. Convolutions
    inside loops and branches stay whole; what `jax.checkpoint` would compute again is kept.

    Args:
      function: pytrees of arrays to a pytree of arrays, such as `Learner.step`. Apply this to the
        differentiated function: what is returned here is not meant to be differentiated.

    Raises:
      ValueError: when `function` cannot be called.
    """
    return rewritten(function, _split)


def _split(
    operation: Operation, inputs: Sequence[Any], makers: Sequence[Made | None]
) -> Sequence[jax.Array]:
    """The operation's results, of a convolution put together from those of its parts."""
    del makers
    whole = functools.partial(apply_operation, operation)
    if operation.name != "conv_general_dilated" or operation.params["batch_group_count"] != 1:
        return whole(inputs)
    images, kernel = inputs
    axes = operation.params["dimension_numbers"]
    batch_axis, result_axis = axes.lhs_spec[0], axes.out_spec[0]
    result = jax.eval_shape(lambda *inputs: whole(inputs)[0], images, kernel)
    products = result.size * kernel.size // kernel.shape[axes.rhs_spec[0]]
    rows = images.shape[batch_axis]
    parts = min(_PARTS, rows, int(2 * products / _LEAST_OPERATIONS))
    if parts < 2:
        return whole(inputs)
    ends = [rows * part // parts for part in range(parts + 1)]
    pieces = [
        whole([lax.slice_in_dim(images, start, end, axis=batch_axis), kernel])[0]
        for start, end in zip(ends, ends[1:], strict=False)
    ]
    return [lax.concatenate(pieces, result_axis)]

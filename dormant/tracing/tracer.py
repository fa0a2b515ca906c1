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

"""`dormant.trace`: the neuron graph of any network, read from its own computation."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from dormant.checks import check_function
from dormant.graph import NeuronGraph, ParameterTree, layer_name, leaf_paths
from dormant.tracing.connections import TraceError
from dormant.tracing.jaxpr import Abstract, abstract_arguments, evaluate, read_program
from dormant.tracing.joined import join_kernels
from dormant.tracing.layers import Analysis, build_layers
from dormant.tracing.propagation import propagate


def trace(apply: Callable, params: Any, *inputs: Any, leave_out: Sequence[str] = ()) -> NeuronGraph:
    """Reads the neuron graph of a network from the jaxpr of `apply(params, *inputs)`.

    A hidden layer is a linear map by a parameter (dense or convolution, of any layout) that another
    linear map reads. Its activation is the value after its own non-linearity, before a softmax, a
    normalization or a scaling behind that; a feature map of a convolution is one neuron (paper,
    section 2). Members of an ensemble made by `vmap` over parameters are layers of their own.

    Args:
      apply: the network, a pure function such as `flax_module.apply`.
      params: parameter tree, arrays or `jax.ShapeDtypeStruct`s; no value is looked at.
      *inputs: the other arguments of `apply`, batched or not, arrays or `ShapeDtypeStruct`s.
      leave_out: layers, or prefixes of their names such as `"encoder"`, to treat as plain data.

    Returns:
      A static, hashable `NeuronGraph`; `print(graph)` shows it as a table.

    Raises:
      TraceError: (a ValueError) if a layer cannot be followed, naming it and the primitive; if
        `leave_out` names no layer; if nothing is left to measure; if `apply` is not hashable.
      ValueError: if `apply` cannot be called.
    """
    check_function("apply", apply, "(params, *inputs)")
    try:
        hash(apply)
    except TypeError as error:
        raise TraceError(f"`apply` must be a hashable function; got {apply!r}") from error
    measure = _TracedMeasure(apply, tuple(leave_out))
    analysis = _analyse(apply, abstract_arguments(params, inputs), measure.leave_out)
    parameters = ParameterTree.of(params)
    return NeuronGraph(
        analysis.layers, analysis.output_layers, parameters, measure, analysis.output_incoming
    )


@dataclasses.dataclass(frozen=True)
class _TracedMeasure:
    """Computes the activations of a traced network; a dataclass so that graphs hash and compare."""

    apply: Callable
    leave_out: tuple[str, ...]

    def __call__(self, params: Any, *inputs: Any) -> dict[str, jax.Array]:
        analysis = _analyse(self.apply, abstract_arguments(params, inputs), self.leave_out)
        sites = analysis.sites
        leaves = jax.tree.leaves((params, inputs))
        values = evaluate(analysis.program, [site.value for site in sites.values()], leaves)
        return {
            name: site.arrange(value)
            for (name, site), value in zip(sites.items(), values, strict=True)
        }


@functools.lru_cache(maxsize=64)
def _analyse(apply: Callable, arguments: Abstract, leave_out: tuple[str, ...]) -> Analysis:
    program = read_program(apply, arguments)
    paths = leaf_paths(arguments.treedef.children()[0])
    layers = [layer_name(path) for path in paths]
    left_out = frozenset(leaf for leaf, name in enumerate(layers) if _is_left_out(name, leave_out))
    for name in leave_out:
        if not any(_is_left_out(layer, (name,)) for layer in layers):
            known = ", ".join(dict.fromkeys(layers))
            raise TraceError(f"`leave_out` must name layers among {known}; got {name!r}")
    connections = join_kernels(program, propagate(program, paths, left_out))
    return build_layers(program, connections, paths)


def _is_left_out(name: str, leave_out: tuple[str, ...]) -> bool:
    return any(name == entry or name.startswith(entry + "/") for entry in leave_out)

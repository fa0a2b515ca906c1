# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""`dormant.trace`: the neuron graph of any network, read from its own computation."""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp

from dormant.checks import as_names, check, check_function
from dormant.graph import NeuronGraph, ParameterTree, layer_name, leaf_paths
from dormant.primitives import equations_of
from dormant.tracing.connections import TraceError
from dormant.tracing.ensembles import stacked_arrays
from dormant.tracing.jaxpr import Abstract, abstract_arguments
from dormant.tracing.joined import join_kernels
from dormant.tracing.layers import Analysis, SitesOfParts, build_layers, of_constants
from dormant.tracing.loops import axis_sizes, open_program
from dormant.tracing.outputs import Observed, kept_outputs
from dormant.tracing.propagation import propagate
from dormant.tracing.schedule import evaluate
from dormant.tracing.sites import measured


def trace(
    apply: Callable,
    params: Any,
    *inputs: Any,
    leave_out: str | Sequence[str] = (),
    outputs: Callable | None = None,
) -> NeuronGraph:
    """Reads the neuron graph of a network from the jaxpr of `apply(params, *inputs)`.

    A hidden layer is a linear map by a parameter (dense or convolution, of any layout) that another
    linear map reads. Its activation is the value after its own non-linearity, before a softmax, a
    normalization or a scaling behind that; a feature map of a convolution is one neuron (paper,
    section 2). Members of an ensemble made by `vmap` over parameters are layers of their own. A
    layer that is used several times, as in a siamese network, is one layer: its activations are
    those of all its uses, so that a neuron is dormant only where it is silent in every one of them.
    Of a layer that is split, as a shared first layer of two heads or the gates of a cell, each part
    is measured behind its own non-linearity.

    Args:
      apply: the network, a pure function such as `flax_module.apply`.
      params: parameter tree, arrays or `jax.ShapeDtypeStruct`s; no value is looked at.
      *inputs: the other arguments of `apply`, batched or not, arrays or `ShapeDtypeStruct`s; a
        boolean or string, such as `train`, stays the Python value that it is.
      outputs: which of what `apply` returns a recycle must leave unchanged, as a function of it
        such as `lambda out: out[0]`. All of it by default, except state and logs: the collections
        `batch_stats`, `intermediates`, `losses` and `perturbations` of Flax, and running statistics
        that come back in the place of an input; nor are parameters outputs that come back as they
        are. A layer that is itself an output is measured, not recycled, and so is one whose weights
        are in an output, as in a penalty. Readers that lead to other outputs alone are cut as well.
      leave_out: layers, or prefixes of their names such as `"encoder"`, to treat as plain data; one
        name, or several.

    Returns:
      A static, hashable `NeuronGraph`; `print(graph)` shows it as a table, with a note where an
      input without a batch axis, such as running statistics, scales or shifts single neurons.

    Raises:
      TraceError: (a ValueError) if a layer cannot be followed, naming it and the primitive; if
        `leave_out` names no layer; if nothing is left to measure; if `apply` is not hashable; if
        `outputs` fails or chooses nothing.
      ValueError: if `apply` cannot be called.

    Warns:
      UserWarning: kernels that multiply nothing but constants make no layer.
    """
    check_function("apply", apply, "(params, *inputs)")
    try:
        hash(apply)
    except TypeError as error:
        raise TraceError(f"`apply` must be a hashable function; got {apply!r}") from error
    if outputs is not None:
        check_function("outputs", outputs, "(what `apply` returns)")
    observed = Observed(apply, outputs)
    measure = _TracedMeasure(observed, as_names("leave_out", leave_out))
    _, analysis = _analyse(observed, params, inputs, measure.leave_out)
    if analysis.by_constants:
        warnings.warn(f"in no layer: {of_constants(analysis.by_constants)}", stacklevel=2)
    parameters = ParameterTree.of(params)
    return NeuronGraph(
        analysis.layers,
        analysis.output_layers,
        parameters,
        measure,
        analysis.output_incoming,
        analysis.in_no_layer,
        stacked_arrays(analysis.layers, analysis.output_incoming),
    )


@dataclasses.dataclass(frozen=True)
class _TracedMeasure:
    """Computes the activations of a traced network; a dataclass so that graphs hash and compare."""

    apply: Observed
    leave_out: tuple[str, ...]

    def __call__(self, params: Any, *inputs: Any) -> dict[str, jax.Array]:
        arguments, analysis = _analyse(self.apply, params, inputs, self.leave_out)
        wanted = _values_of(analysis.sites)
        leaves = arguments.arrays(jax.tree.leaves((params, inputs)))
        values = dict(zip(wanted, evaluate(analysis.program, wanted, leaves), strict=True))
        return {name: measured(parts, values) for name, parts in analysis.sites.items()}

    def pre_activation_gradients(
        self, loss: Callable[[Any], jax.Array], params: Any, *inputs: Any
    ) -> dict[str, jax.Array]:
        """What `NeuronGraph.pre_activation_gradients` says."""
        check_function("loss", loss, "(outputs)", 1)
        arguments, analysis = _analyse(self.apply, params, inputs, self.leave_out)
        program, leaves = analysis.program, arguments.arrays(jax.tree.leaves((params, inputs)))
        inside = [
            name
            for name, parts in analysis.products.items()
            if any(s.depth or s.value in program.conditional for sites in parts for s in sites)
        ]
        allowed = "of a network without loops and branches over its layers: their pre-activations"
        check(not inside, "graph", f"{allowed} are not followed, those of its weights are", inside)
        zeros = {
            number: jnp.zeros(program.shapes[number], program.dtypes[number])
            for number in _values_of(analysis.products)
        }
        computed, made = jax.make_jaxpr(self.apply, return_shape=True)(params, *inputs)
        _warn_of_own_gradients(computed)
        outputs = jax.tree.structure(made)

        def perturbed(added: dict[int, jax.Array]) -> jax.Array:
            found = evaluate(program, program.outputs, leaves, added)
            kept, whole = jax.tree.unflatten(outputs, found)
            value = loss(kept if whole is None else whole)
            check(jnp.shape(value) == (), "loss", "a function that returns one number", value)
            return value

        gradients = jax.grad(perturbed)(zeros)
        return {name: measured(parts, gradients) for name, parts in analysis.products.items()}


def _warn_of_own_gradients(network: jex.ClosedJaxpr) -> None:
    """Warns of functions with gradients of their own, which are not those of what they compute."""
    called = [
        str(equation.params["call_jaxpr"].jaxpr.debug_info.func_src_info)
        for equation in equations_of(network)
        if equation.primitive.name == "custom_vjp_call"
    ]
    if called:
        names = ", ".join(dict.fromkeys(called))
        warnings.warn(
            f"pre-activation gradients are the derivatives of what the network computes, without"
            f" the rules of its `jax.custom_vjp`: {names}",
            stacklevel=4,
        )


def _values_of(sites: dict[str, SitesOfParts]) -> list[int]:
    """The values that activations of layers stand at."""
    found = (site.value for parts in sites.values() for part in parts for site in part)
    return list(dict.fromkeys(found))


# What stays a Python value among the inputs; then, where a network cannot do with traced integers,
# those too.
_FIXED: tuple[tuple[type, ...], ...] = ((bool, str, bytes), (int, str, bytes))
_NEEDS_PYTHON = (jax.errors.ConcretizationTypeError, jax.errors.TracerIntegerConversionError)


def _analyse(
    apply: Observed, params: Any, inputs: Sequence[Any], leave_out: tuple[str, ...]
) -> tuple[Abstract, Analysis]:
    """What is known of a network for arguments of these shapes."""
    for fixed in _FIXED:
        arguments = abstract_arguments(params, inputs, fixed)
        try:
            return arguments, _analyse_here(apply, arguments, leave_out)
        except TraceError as error:
            has_integers = any(isinstance(leaf, int) for leaf in jax.tree.leaves(tuple(inputs)))
            if fixed == _FIXED[-1] or not has_integers:
                raise
            if not isinstance(error.__cause__, _NEEDS_PYTHON):
                raise
    raise AssertionError("the last attempt returns or raises")


def _analyse_here(apply: Observed, arguments: Abstract, leave_out: tuple[str, ...]) -> Analysis:
    """The analysis for the sizes that named axes, as of `pmap`, have here."""
    analysis, read_with = _analysis_with_axes(apply, arguments, leave_out, ())
    here = axis_sizes(analysis.program)
    if here != read_with:
        analysis, _ = _analysis_with_axes(apply, arguments, leave_out, here)
    return analysis


@functools.lru_cache(maxsize=64)
def _analysis_with_axes(
    apply: Observed,
    arguments: Abstract,
    leave_out: tuple[str, ...],
    axes: tuple[tuple[str, int], ...],
) -> tuple[Analysis, tuple[tuple[str, int], ...]]:
    program = open_program(apply, arguments, axes)
    paths = leaf_paths(arguments.treedef.children()[0])
    layers = [layer_name(path) for path in paths]
    left_out = frozenset(leaf for leaf, name in enumerate(layers) if _is_left_out(name, leave_out))
    for name in leave_out:
        if not any(_is_left_out(layer, (name,)) for layer in layers):
            known = ", ".join(dict.fromkeys(layers))
            raise TraceError(f"`leave_out` must name layers among {known}; got {name!r}")
    connections = join_kernels(program, propagate(program, paths, left_out))
    kept = kept_outputs(program, connections, arguments, apply.outputs is not None)
    return build_layers(program, connections, paths, kept), axis_sizes(program)


def _is_left_out(name: str, leave_out: tuple[str, ...]) -> bool:
    return any(name == entry or name.startswith(entry + "/") for entry in leave_out)

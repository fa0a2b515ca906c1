# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Optimizer state of recycled entries: it becomes what a new optimizer would begin with."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dormant.checks import shown
from dormant.graph import NeuronGraph, ParameterTree
from dormant.interventions.recycling import touched_entries
from dormant.interventions.step_counts import (
    PerEntryCounts,
    PerEntryCountsState,
    per_entry_counts,
)
from dormant.interventions.structures import (
    as_made_by,
    as_traced,
    owners,
    rewrap_as,
    shapes_of_parameters,
    trained_part,
    transformations_in,
)
from dormant.primitives import outputs_reading


def reset_moments(
    optimizer: optax.GradientTransformation,
    graph: NeuronGraph,
    opt_state: Any,
    masks: Mapping[str, jax.Array],
    *,
    params: Any = None,
    flatten_layout: str = "channels_last",
    also: Sequence[str] = (),
) -> Any:
    """Resets the moments of every entry that a recycle rewrites to what `optimizer.init` gives it.

    That is 0 for Adam, the initial accumulator for Adagrad, the new weight for schedule-free's z.
    Works on any optax state by its structure: every copy of the parameter tree in it (first and
    second moments, traces, accumulated gradients) is found by what `optimizer.init` makes of it.
    Adam's step count is one scalar for the whole tree and is kept, so the next steps of a recycled
    entry are up to about three times the learning rate, six times those of a new optimizer.
    `dormant.per_entry_counts(optimizer)` keeps one count per entry besides, which restarts with the
    entry's moments. What belongs to several entries at once stays as it is: Adafactor's factored
    moments, NovoGrad's one for each array, GaLore's projections, and rates that are estimated for
    the whole tree (DoG, Prodigy, D-Adapt, MoMo, Mechanic). SM3, L-BFGS, line searches and
    `optax.flatten` have nothing else and are refused; AcProp and ADOPT need `per_entry_counts`.

    Args:
      optimizer: the transformation that made `opt_state`, with or without `per_entry_counts`.
      graph: the network's neuron graph.
      opt_state: its state, also as the variables in which `nnx.Optimizer` keeps it, and of the
        parameters alone where the graph is one of all variables.
      masks: `{layer: (H,)}` bool, the recycled neurons.
      params: the recycled parameters; None where the state does not begin as a copy of them, which
        most optimizers' does not.
      flatten_layout, also: as in `dormant.recycle`.

    Returns:
      The new state, same structure, shapes and dtypes.

    Raises:
      ValueError: if an option, a layer name or a mask is not valid, if `opt_state` is not a state
        of `optimizer`, if its state begins as a copy of the parameters and `params` is None, or if
        the state of `optimizer` cannot be told apart by entries.
    """
    touched = touched_entries(graph, masks, flatten_layout=flatten_layout, also=also)
    return reset_entries(optimizer, graph, opt_state, touched.either, params)


def reset_entries(
    optimizer: optax.GradientTransformation,
    graph: NeuronGraph,
    opt_state: Any,
    entries: Any,
    params: Any = None,
) -> Any:
    """`reset_moments` for any parameter entries: in the parameters' structure, bool masks that are
    broadcastable to the shapes of the arrays."""

    def own_entries(value: jax.Array, owner: int) -> Any:
        return each[owner] if owner >= 0 and _has_an_entry_each(value, each[owner]) else False

    def reset(value: jax.Array, initial: jax.Array, mask: Any) -> jax.Array:
        return value if mask is False else jnp.where(mask, initial.astype(value.dtype), value)

    is_counted = isinstance(opt_state, PerEntryCountsState)
    if is_counted and not isinstance(optimizer, PerEntryCounts):
        optimizer = per_entry_counts(optimizer)
    _check_handled(optimizer)
    parameters, taken = trained_part(optimizer, graph, opt_state)
    made = as_made_by(optimizer, parameters, opt_state)
    each = jax.tree.leaves(taken(entries))
    try:
        numbers = owners(optimizer, shapes_of_parameters(parameters), made)
    except Exception as error:  # of an optimizer whose state has no place for each parameter
        raise _not_handled(optimizer) from error
    masks = jax.tree.map(own_entries, made, numbers)
    if params is None:
        _check_begins_alike(optimizer, parameters, masks)
        zeros = [jnp.zeros(shape, jnp.float32) for shape in parameters.shapes]
        params = jax.tree.unflatten(parameters.treedef, zeros)
    else:
        params = taken(as_traced(graph.parameters, params))
    made = jax.tree.map(reset, made, optimizer.init(params), masks)
    return rewrap_as(made, opt_state)


# No array of a state is as long, but for those that are made so.
_MARK = 100_003


def trained_places(
    optimizer: optax.GradientTransformation, graph: NeuronGraph, opt_state: Any
) -> frozenset[int]:
    """The places, among the leaves of the graph's parameters, of those that the optimizer's state
    is of; all of them where it keeps none of any."""
    taken = trained_part(optimizer, graph, opt_state)[1]
    numbers = jax.tree.unflatten(graph.parameters.treedef, range(len(graph.parameters.shapes)))
    part = taken(numbers)
    # Of each a length of its own, by which its moments are known.
    marked = jax.tree.map(lambda n: jax.ShapeDtypeStruct((_MARK + n,), jnp.float32), part)
    try:
        shapes = {leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(optimizer.init, marked))}
    except Exception:  # of an optimizer that needs matrices
        shapes = set()
    every = jax.tree.leaves(part)
    return frozenset([n for n in every if (_MARK + n,) in shapes] or every)


# Their states mix what belongs to several entries: an accumulator for each axis, one vector of all
# parameters, the last steps and their products, what a line search found along all of them.
_MIXED = frozenset(
    "flatten scale_by_lbfgs scale_by_sm3 scale_by_zoom_linesearch scale_by_backtracking_linesearch"
    " sm3 lbfgs".split()
)
# They divide by the second moment before they update it, so that only at a count of 0 it may be 0.
_NEED_THEIR_COUNT = frozenset("acprop adopt scale_by_acprop scale_by_adopt".split())


def _check_handled(optimizer: optax.GradientTransformation) -> None:
    """Raises ValueError, with the name, of an optimizer whose entries cannot begin anew."""
    if _MIXED.intersection(transformations_in(optimizer)):
        raise _not_handled(optimizer)
    without = _NEED_THEIR_COUNT.intersection(transformations_in(optimizer, counted=False))
    if without:
        raise ValueError(
            "`optimizer` must be `dormant.per_entry_counts(optimizer)` where it divides by moments"
            f" of the step before; got {_names(without)}"
        )


def _not_handled(optimizer: optax.GradientTransformation) -> ValueError:
    made_of = set(transformations_in(optimizer))
    return ValueError(
        "`optimizer` must keep its state in trees like the parameters; got"
        f" {_names(made_of & _MIXED or made_of)}"
    )


def _names(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _check_begins_alike(
    optimizer: optax.GradientTransformation, parameters: ParameterTree, masks: Any
) -> None:
    """Checks that entries with a mask begin alike whatever the parameters are."""
    begins = jax.make_jaxpr(optimizer.init)(shapes_of_parameters(parameters)).jaxpr
    copies = outputs_reading(begins, begins.invars)
    acts_on = [mask is not False for mask in jax.tree.leaves(masks)]
    if any(copy and acts for copy, acts in zip(copies, acts_on, strict=True)):
        raise ValueError(
            "`params` must be the recycled parameters, as this optimizer's state begins as a copy"
            f" of them; got None with {shown(optimizer)}"
        )


def _has_an_entry_each(value: jax.Array, mask: jax.Array) -> bool:
    """Whether a moment has the shape of its parameter; Adafactor's factored ones have not."""
    sizes = zip(value.shape, mask.shape, strict=False)
    return value.ndim == mask.ndim and all(cover in (1, size) for size, cover in sizes)

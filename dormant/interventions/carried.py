# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The parameters of earlier times that the measures of a tracker compare with."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.checks import check
from dormant.graph import NeuronGraph
from dormant.interventions.structures import as_traced
from dormant.measures.measure import INITIAL, PREVIOUS, Measure


class Carried(NamedTuple):
    """Parameters in float32, `{path: array}`; {} of what no measure needs. NaN where unknown."""

    initial: dict[str, jax.Array]  # at the start
    previous: dict[str, jax.Array]  # at the measurement before; at the start before the first


def carried_at_start(
    graph: NeuronGraph, measures: Sequence[Measure], params: Any
) -> Carried | tuple[()]:
    """What is carried at the start, of the parameters or None; () where no measure needs any."""
    needs = {need for measure in measures for need in measure.needs} & {INITIAL, PREVIOUS}
    if not needs:
        return ()
    return Carried(
        *(_copied(graph, params) if need in needs else {} for need in (INITIAL, PREVIOUS))
    )


def check_initial(measures: Sequence[Measure], params: Any) -> None:
    """Raises ValueError where a measure needs the initial parameters and None is given."""
    names = ", ".join(measure.name for measure in measures if INITIAL in measure.needs)
    allowed = f"the network's initial parameters in `init(key, params)`, as {names} compares them"
    check(params is not None or not names, "params", allowed, params)


def carried_on(graph: NeuronGraph, carried: Any, params: Any) -> Any:
    """What is carried on from a measurement of these parameters."""
    if carried == () or not carried.previous:
        return carried
    return carried._replace(previous=_copied(graph, params))


def compared_with(graph: NeuronGraph, carried: Any, params: Any) -> dict[str, Any]:
    """The trees `initial` and `previous`, with the types of `params`; None of what is not there."""
    if carried == ():
        return {"initial": None, "previous": None}
    return {
        name: _tree(graph, leaves, params) if leaves else None
        for name, leaves in carried._asdict().items()
    }


def _copied(graph: NeuronGraph, params: Any) -> dict[str, jax.Array]:
    parameters = graph.parameters
    if params is None:
        shapes = parameters.shape_of.items()
        return {path: jnp.full(shape, jnp.nan, jnp.float32) for path, shape in shapes}
    leaves = parameters.leaves("params", as_traced(parameters, params))
    # What is no floating array, such as a key or a counter, is not compared.
    return {
        path: jnp.array(leaf, jnp.float32, copy=True)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
        else jnp.zeros(leaf.shape, jnp.float32)
        for path, leaf in leaves.items()
    }


def _tree(graph: NeuronGraph, leaves: dict[str, jax.Array], params: Any) -> Any:
    now = graph.parameters.leaves("params", params)
    return graph.parameters.unflatten(
        {
            path: leaf.astype(now[path].dtype)
            if jnp.issubdtype(now[path].dtype, jnp.floating)
            else now[path]
            for path, leaf in leaves.items()
        }
    )

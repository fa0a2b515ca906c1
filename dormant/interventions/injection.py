# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Plasticity injection (Nikishin et al. 2023, 2305.15555): a network, or a part of one such as its
head, goes on to learn with fresh weights, and what it gives does not change at that moment."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dormant.checks import LARGEST_COUNT, check, check_count, check_function
from dormant.graph import NeuronGraph, check_graph
from dormant.interventions.actions import Action, Initializer, check_training
from dormant.interventions.compose import intervene
from dormant.interventions.intervention import Intervention
from dormant.interventions.moments import reset_entries
from dormant.interventions.selections import whole_layers
from dormant.interventions.structures import shapes_of_parameters
from dormant.interventions.timing import every
from dormant.measures.measure import DEFAULT_TAUS

TRAINED, OLD, COPY, INJECTED = "trained", "old", "copy", "injected"
_PARTS = {TRAINED, OLD, COPY, INJECTED}
_TRIED_STEPS = 32
Apply = Callable[..., Any]


def injectable(apply: Apply, init: Initializer) -> tuple[Apply, Initializer]:
    """A network whose plasticity can be injected: its functions with three sets of parameters.

    The parameters are `{"trained": h, "old": h, "copy": h, "injected": float32 ()}`, each `h` as
    `init` returns it. At first the outputs are those of `trained`; `old` and `copy` are its copies
    and are not used. Once injected, they are `apply(old) + apply(trained) - apply(copy)`
    (expression 1 of the paper) with no gradient to the parameters `old` and `copy`, though through
    them to the inputs. What learns is always `trained`, so that the optimizer, ReDo and a report
    see the same layers before and after. While `trained` equals `copy`, their difference is exactly
    0.

    Such a tree may be the whole network's or stand anywhere in a larger one, such as beside an
    encoder. All three parts are computed at every call, also before the injection.

    `dormant.trace` finds the layers of all three: measure and recycle `trainable_layers(graph)`.
    Neurons of an encoder are recycled as always: what reads them in `old` and `copy` becomes 0 too.

    Args:
      apply: `apply(params, *inputs)`, pure; returns arrays of a floating dtype.
      init: `init(key) -> params`.

    Returns:
      `(apply, init)` of the network with these parameters.

    Raises:
      ValueError: if one of them is no function.
    """
    check_function("apply", apply, "(params, *inputs)", 2)
    check_function("init", init, "(key)", 1)

    def init_parts(key: jax.Array) -> dict[str, Any]:
        params = init(key)
        # Not zeros: the gradient of a part that normalizes is NaN there, even where it is not used.
        old, copy = (jax.tree.map(jnp.copy, params) for _ in range(2))
        return {TRAINED: params, OLD: old, COPY: copy, INJECTED: jnp.zeros((), jnp.float32)}

    def apply_parts(params: Mapping[str, Any], *inputs: Any) -> Any:
        trained, copied = params[TRAINED], jax.lax.stop_gradient(params[COPY])
        old = jax.lax.stop_gradient(params[OLD])
        injected = jax.lax.stop_gradient(params[INJECTED]) > 0
        pairs = zip(jax.tree.leaves(trained), jax.tree.leaves(copied), strict=True)
        are_equal = jnp.stack([jnp.array_equal(one, other) for one, other in pairs]).all()

        def joined(new: jax.Array, before: jax.Array, copy: jax.Array) -> jax.Array:
            # Compilers round two products of the same numbers differently when they fuse them with
            # what comes next: the difference is computed once, and its rounding taken away.
            change = jax.lax.optimization_barrier(new - copy)
            rounding = jnp.where(are_equal, change, jnp.zeros_like(change))
            change -= jax.lax.stop_gradient(rounding)
            return jnp.where(injected, before + change, new)

        outputs = (apply(part, *inputs) for part in (trained, old, copied))
        return jax.tree.map(joined, *outputs)

    return apply_parts, init_parts


def trainable(params: Any) -> Any:
    """Which parameters are trained: for every leaf whether it is outside `old`, `copy` and
    `injected` of an `injectable` part. A mask for optimizers that change what has no gradient:
    `optax.masked(optax.adamw(1e-3), trainable)`."""

    def mark(part: Mapping[str, Any]) -> Any:
        marked = {name: jax.tree.map(lambda leaf: False, part[name]) for name in part}
        marked[TRAINED] = jax.tree.map(lambda leaf: True, part[TRAINED])
        return _rebuilt(part, marked)

    return _map_parts(mark, lambda leaf: True, params)


def trainable_layers(graph: NeuronGraph) -> NeuronGraph:
    """The graph of a network with `injectable` parts, restricted to the layers that are trained.

    Raises:
      ValueError: if the network has no such part.
    """
    check_graph(graph)
    marked = jax.tree.leaves(trainable(shapes_of_parameters(graph.parameters)))
    places = zip(graph.parameters.paths, marked, strict=True)
    frozen = {path for path, is_trained in places if not is_trained}
    check(bool(frozen), "graph", "of a network with a part made by `injectable`", graph.names)
    names = [
        layer.name for layer in graph.layers if not frozen & {each.path for each in layer.incoming}
    ]
    return graph.select(names)


def injecting(
    graph: NeuronGraph, init: Initializer, optimizer: optax.GradientTransformation
) -> Action:
    """The action of plasticity injection, on every `injectable` part that is not injected yet.

    `old` becomes what was trained, `trained` and `copy` the same fresh weights, and the optimizer's
    moments of `trained` begin anew; nothing changes where the fresh weights are not finite. What
    the action mirrors gets the same fresh weights and keeps its own `old`.

    Args:
      graph: the network's neuron graph.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: the optimizer whose state is reset with the parameters.

    Raises:
      ValueError: if the network has no `injectable` part, if `init` does not give the graph's
        parameters, or if the optimizer changes parameters whose gradient is 0, as weight decay
        does: `old` and `copy` would not stay as they are. One that needs more than gradients and
        parameters is not tried.
    """
    trained = trainable_layers(graph)
    check_training(graph, init, optimizer, "reset")
    _check_keeps_frozen(graph, optimizer)

    def injected(part: Mapping[str, Any], fresh: Any, due: jax.Array) -> Any:
        """An injectable part, injected where it is due and has not been."""
        new = jax.tree.map(lambda leaf, old: leaf.astype(old.dtype), fresh, part[TRAINED])
        one = jnp.ones_like(part[INJECTED])
        after = _rebuilt(part, {TRAINED: new, OLD: part[TRAINED], COPY: new, INJECTED: one})
        due &= part[INJECTED] == 0
        return jax.tree.map(lambda leaf, before: jnp.where(due, leaf, before), after, part)

    def inject(part: Mapping[str, Any], drawn: Mapping[str, Any]) -> Any:
        finite = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(drawn[TRAINED])]
        return injected(part, drawn[TRAINED], jnp.stack(finite).all())

    def begun(part: Mapping[str, Any], before: Mapping[str, Any]) -> Any:
        """Which leaves of a part have just been drawn."""
        is_new = part[INJECTED] > before[INJECTED]
        return jax.tree.map(lambda is_trained: is_trained & is_new, trainable(part))

    def act(params, opt_state, masks, key, state, scores):
        del scores
        fresh = jax.tree.unflatten(jax.tree.structure(params), jax.tree.leaves(init(key)))
        new = _map_parts(inject, lambda leaf: leaf, params, fresh)
        drawn = _map_parts(begun, lambda leaf: jnp.zeros((), bool), new, params)
        entries = jax.tree.map(lambda mask, leaf: mask.reshape((1,) * leaf.ndim), drawn, params)
        opt_state = reset_entries(optimizer, graph, opt_state, entries, new)
        some = jnp.stack(jax.tree.leaves(drawn)).any()
        return new, opt_state, {name: mask & some for name, mask in masks.items()}, state

    def mirror(params, others, masks, acted):
        del masks

        def follow(other: Mapping[str, Any], part: Mapping[str, Any]) -> Any:
            return injected(other, part[TRAINED], acted & (part[INJECTED] > 0))

        return _map_parts(follow, lambda leaf: leaf, others, params)

    return Action(_redrawn_layers(trained), act, mirror=mirror)


def plasticity_injection(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    step: int = 1_000_000,
    *,
    score_batch: int | None = None,
    taus: Sequence[float] = DEFAULT_TAUS,
) -> Intervention:
    """Injects plasticity at one gradient step (Nikishin et al. 2023, 2305.15555).

    The network, or a part of it, is made with `injectable`. After gradient step `step` the outputs
    are what they were before, to the bit, for whatever inputs (up to rounding where
    `as_transformation` adds the fresh weights as an update); what was learned until then is frozen,
    and fresh weights learn the change to it. The number of trained parameters stays the same. If
    training gets better for it, the network had lost plasticity: the paper's diagnosis.

    The report is of the layers that are trained. Its `recycled` counts all neurons of the layers
    within the injected parts.

    Args:
      graph: the network's neuron graph, as `dormant.trace` returns it.
      init, optimizer, score_batch, taus: as in `dormant.redo`; an optimizer with weight decay as
        `optax.masked(optimizer, trainable)`.
      step: the gradient step after which to inject, at least 1; `update` must be given inputs then.

    Raises:
      ValueError: if an option is not valid; the reasons of `parts.injecting`.
    """
    check_count("step", step, 1, most=LARGEST_COUNT)
    return intervene(
        trainable_layers(graph),
        selection=whole_layers(),
        action=injecting(graph, init, optimizer),
        when=every(step, end=step + 1),
        score_batch=score_batch,
        taus=taus,
    )


def _is_injectable(node: Any) -> bool:
    return isinstance(node, Mapping) and set(node) == _PARTS


def _rebuilt(part: Mapping[str, Any], parts: dict[str, Any]) -> Any:
    return type(part)(parts)  # type: ignore[call-arg]  # a dict, or a FrozenDict of Flax


def _map_parts(of_part: Callable[..., Any], other: Callable[[Any], Any], *trees: Any) -> Any:
    """`of_part` of every injectable part of the first tree, `other` of the leaves in none."""

    def each(node: Any, *nodes: Any) -> Any:
        return of_part(node, *nodes) if _is_injectable(node) else other(node)

    return jax.tree.map(each, *trees, is_leaf=_is_injectable)


def _redrawn_layers(graph: NeuronGraph) -> tuple[str, ...]:
    """Of the layers that are trained, those within injectable parts."""
    shapes = shapes_of_parameters(graph.parameters)
    within = _map_parts(lambda part: jax.tree.map(lambda leaf: True, part), lambda _: False, shapes)
    found = dict(zip(graph.parameters.paths, jax.tree.leaves(within), strict=True))
    return tuple(layer.name for layer in graph.layers if found[layer.incoming[0].path])


def _check_keeps_frozen(graph: NeuronGraph, optimizer: optax.GradientTransformation) -> None:
    """Raises ValueError if an optimizer changes frozen parameters, whose gradient is 0."""
    shapes = shapes_of_parameters(graph.parameters)
    # For so many steps that a warm-up or accumulation has begun to count.
    params = start = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(params)):
        return  # within a program, where nothing can be told
    gradient, state = jax.tree.map(jnp.zeros_like, params), optimizer.init(params)
    try:
        jax.eval_shape(optimizer.update, gradient, state, params)
    except (TypeError, ValueError):
        return  # it takes more than these, such as a batch
    update = jax.jit(optimizer.update)
    for _ in range(_TRIED_STEPS):
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    kept = jax.tree.map(
        lambda is_trained, one, other: is_trained or bool(jnp.array_equal(one, other)),
        trainable(shapes),
        start,
        params,
    )
    allowed = (
        "one that leaves what has no gradient as it is, such as"
        " `optax.masked(optimizer, dormant.parts.trainable)`"
    )
    check(all(jax.tree.leaves(kept)), "optimizer", allowed, optimizer)

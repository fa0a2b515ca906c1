# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Trees of one content in different wrappings, such as arrays and the variables of `flax.nnx`."""

import dataclasses
import functools
import inspect
import math
import re
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np
import optax

from dormant.checks import check, is_pair, shown
from dormant.graph import NeuronGraph, ParameterTree, leaf_paths, plain_path
from dormant.primitives import outputs_reading


def as_traced(parameters: ParameterTree, tree: Any, name: str = "params") -> Any:
    """The network's parameters, or their gradient, in the structure that the graph was traced with.

    `tree` may be wrapped otherwise: bare arrays for the variables of `flax.nnx`, or the other way
    round. Raises ValueError, which calls it `name`, if it has not the parameters' arrays.
    """
    if hasattr(tree, "params") and hasattr(tree, "tx"):
        raise ValueError(
            f"`{name}` must be the parameter tree; got a TrainState, whose `.params` they are"
        )
    rewrapped = _rewrapped(tree, parameters.treedef, parameters.shapes)
    if rewrapped is None:
        given = ParameterTree.of(tree)
        whole = shapes_of_parameters(parameters)
        if any(ParameterTree.of(take(whole)) == given for take in _parts_of(parameters)):
            raise ValueError(
                f"`{name}` must be all variables that the graph was traced with; got a part:"
                " call `redo.update` with all of them after the optimizer's step, as"
                " `as_transformation`, which knows parameters alone, cannot"
            )
        parameters.leaves(name, tree)  # names what differs
    return rewrapped


def as_made_by(optimizer: Any, parameters: ParameterTree, opt_state: Any) -> Any:
    """`opt_state` in the structure that `optimizer.init` gives it; `nnx.Optimizer` keeps variables.
    Raises ValueError if it is not a state of this optimizer."""
    expected = jax.eval_shape(optimizer.init, shapes_of_parameters(parameters))
    shapes = tuple(leaf.shape for leaf in jax.tree.leaves(expected))
    rewrapped = _rewrapped(opt_state, jax.tree.structure(expected), shapes)
    if rewrapped is None:
        raise ValueError(
            f"`opt_state` must be a state of the intervention's `optimizer`, {_parts(expected)};"
            f" got {_parts(opt_state)}"
        )
    return rewrapped


def check_optimizer(optimizer: Any) -> None:
    """Raises ValueError unless `optimizer` is an optax transformation of one set of parameters."""
    # An intervention has `init` and `update` too.
    is_optimizer = is_pair(optimizer) and not hasattr(optimizer, "is_due")
    check(is_optimizer, "optimizer", "an optax transformation", optimizer)
    if "lookahead" in transformations_in(optimizer):
        raise ValueError(
            "`optimizer` must keep one copy of the parameters, as a recycle would leave the slow"
            " one as it was; got lookahead"
        )


def check_params(params: Any) -> None:
    """Raises ValueError where a transformation that reads the parameters is not given them."""
    check(params is not None, "params", "given to `update`", params)


def transformations_in(optimizer: Any, counted: bool = True) -> tuple[str, ...]:
    """The names of the optax functions that made an optimizer and what is within it, such as
    `scale_by_adam`; `counted` is whether to look into what `per_entry_counts` wraps."""
    found: dict[str, None] = {}
    seen: set[int] = set()

    def visit(value: Any) -> None:
        if id(value) in seen:
            return
        seen.add(id(value))
        if inspect.isfunction(value) or inspect.ismethod(value):
            name = value.__qualname__.partition(".")[0]
            if name == "per_entry_counts" and not counted:
                return
            if value.__module__.startswith("optax"):
                found[name] = None
            cells = getattr(value, "__closure__", None) or ()
            for cell in cells:
                try:
                    visit(cell.cell_contents)
                except ValueError:  # a cell that is empty
                    continue
            visit(getattr(value, "__self__", None))
        elif isinstance(value, functools.partial):
            visit(value.func)
        elif isinstance(value, tuple | list):
            for each in value:
                visit(each)
        elif isinstance(value, dict | optax.MultiSteps):
            for each in value.values() if isinstance(value, dict) else vars(value).values():
                visit(each)

    visit(optimizer.update)
    return tuple(found)


def is_masked(value: Any) -> bool:
    """Whether it stands for what `optax.masked` leaves out."""
    return isinstance(value, optax.MaskedNode)


def frozen_parameters(optimizer: Any, parameters: ParameterTree) -> frozenset[str]:
    """Paths of the parameters that `optax.set_to_zero` within the optimizer keeps as they are,
    whatever their gradients; none where that cannot be told."""
    if "set_to_zero" not in transformations_in(optimizer):
        return frozenset()
    params = shapes_of_parameters(parameters)
    try:
        state = jax.eval_shape(optimizer.init, params)
        program = jax.make_jaxpr(optimizer.update)(params, state, params).jaxpr
    except Exception:  # of an optimizer that needs more than gradients, or is of a part of them
        return frozenset()
    count = len(parameters.shapes)  # of the gradients, and of the updates
    is_changed = outputs_reading(program, program.invars[:count])[:count]
    places = zip(parameters.paths, is_changed, strict=True)
    return frozenset(path for path, changed in places if not changed)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class ParameterPlaceholder:
    """Stands for one parameter, as a tree without leaves, where an optimizer shows by its `init`
    what its state is of; with what masks and labels may ask of an array."""

    number: int  # the parameter's place among the leaves
    shape: tuple[int, ...]
    dtype: Any

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def is_placeholder(value: Any) -> bool:
    """Whether it stands for one parameter."""
    return isinstance(value, ParameterPlaceholder)


def owners(optimizer: Any, params: Any, state: optax.OptState) -> Any:
    """The state with, in the place of each leaf, the number of the parameter that it mirrors, or -1
    where it mirrors none. Raises what `optimizer.init` or JAX does where it cannot be told.

    As `optax.tree_utils.tree_map_params`, whose one placeholder for the whole tree has no names by
    which the functions of labels and masks could choose.
    """
    leaves, treedef = jax.tree.flatten(params)
    stand_ins = [
        ParameterPlaceholder(number, tuple(np.shape(leaf)), jax.dtypes.result_type(leaf))
        for number, leaf in enumerate(leaves)
    ]

    def number(kept: Any, value: Any) -> Any:
        if is_masked(value) or not is_placeholder(kept):
            return value if is_masked(value) else -1
        if not jax.tree_util.treedef_is_leaf(jax.tree.structure(value)):
            raise ValueError(f"several arrays in the place of one parameter: {shown(value)}")
        return kept.number

    shown_by = optimizer.init(jax.tree.unflatten(treedef, stand_ins))
    return jax.tree.map(number, shown_by, state, is_leaf=is_placeholder)


def trained_part(
    optimizer: Any, graph: NeuronGraph, opt_state: Any
) -> tuple[ParameterTree, Callable[[Any], Any]]:
    """What the optimizer's state is of, and how to take it out of a tree like the graph's: all of
    its parameters, or that part of them which holds the kernels."""
    whole = graph.parameters
    layers = [layer.incoming + layer.outgoing for layer in graph.layers]
    used = {
        each.path
        for found in (*layers, *graph.output_incoming)
        for each in found
        if each.role == "kernel"
    }
    kernels = {place for place, path in enumerate(whole.paths) if path in used}
    numbers = jax.tree.unflatten(whole.treedef, range(len(whole.shapes)))
    for take in (lambda tree: tree, *_parts_of(whole)):
        part = ParameterTree.of(take(shapes_of_parameters(whole)))
        if kernels.issubset(jax.tree.leaves(take(numbers))):
            try:
                as_made_by(optimizer, part, opt_state)
                return part, take
            except Exception:  # of an optimizer with masks for another part, too
                continue
    return whole, lambda tree: tree


def _parts_of(parameters: ParameterTree) -> list[Callable[[Any], Any]]:
    """How to take parts out of a tree like `parameters`: its children, as the `params` of Flax's
    variables or the first of a pair with a state; of variables of `flax.nnx` its `nnx.Param`."""

    def children(tree: Any) -> list[Any]:
        return jax.tree.leaves(tree, is_leaf=lambda node: node is not tree)

    def child(place: int, tree: Any) -> Any:
        return children(tree)[place]

    shapes = shapes_of_parameters(parameters)
    parts: list[Callable[[Any], Any]] = [
        functools.partial(child, place) for place in range(len(children(shapes)))
    ]
    if type(shapes).__module__.startswith("flax.nnx"):
        from flax import nnx  # where there is such a state, it is there already

        parts.append(lambda tree: nnx.filter_state(tree, nnx.Param))
    return parts


def shapes_of_parameters(parameters: ParameterTree) -> Any:
    """The parameters as float32 shapes."""
    leaves = [jax.ShapeDtypeStruct(shape, np.float32) for shape in parameters.shapes]
    return jax.tree.unflatten(parameters.treedef, leaves)


def rewrap_as(tree: Any, like: Any) -> Any:
    """A tree with the leaves of `tree` in the structure of `like`."""
    return jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(tree))


def _rewrapped(tree: Any, treedef: Hashable, shapes: tuple[tuple[int, ...], ...]) -> Any:
    """The tree in another structure; None unless its leaves have those places and shapes."""
    leaves, own = jax.tree.flatten(tree)
    if tuple(tuple(np.shape(leaf)) for leaf in leaves) != shapes:
        return None
    if own == treedef:
        return tree
    places = zip(leaf_paths(own), leaf_paths(treedef), strict=True)
    if not all(_is_same_place(one, other) for one, other in places):
        return None
    return jax.tree.unflatten(treedef, leaves)


def _parts(opt_state: Any) -> str:
    """The names of what an optimizer's state is made of, such as `ScaleByAdamState`."""
    named = re.findall(r"namedtuple\[(\w+)\]", str(jax.tree.structure(opt_state)))
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(opt_state)]
    return f"({', '.join(named) or type(opt_state).__name__}) with arrays of shapes {shapes}"


def _is_same_place(one: str, other: str) -> bool:
    """Whether two paths differ by no more than what a variable of `flax.nnx` adds to its own."""
    return one == other or plain_path(one) == other or one == plain_path(other)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Step counts of an optimizer, such as Adam's, kept for each parameter entry."""

import contextlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
import optax

from dormant.interventions.structures import (
    check_optimizer,
    is_masked,
    is_placeholder,
    owners,
)
from dormant.primitives import ELEMENTWISE, apply_primitive, called_body

ADAM_COUNTS = ("keep", "per_entry")
_ELEMENTWISE = ELEMENTWISE | {"copy", "copy_p", "reduce_precision"}

# What optax calls a count of steps; Adan alone says `t`.
_COUNTS = tuple((jax.tree_util.GetAttrKey(name),) for name in ("count", "t"))


class PerEntryCounts(optax.GradientTransformationExtraArgs):
    """What `per_entry_counts` returns."""


class PerEntryCountsState(NamedTuple):
    """State of `per_entry_counts`.

    Attributes:
      inner: the optimizer's own, with its one count.
      counts: for every count a tree of int32 like the parameters: updates since a recycle.
    """

    inner: optax.OptState
    counts: tuple[Any, ...]


def per_entry_counts(
    optimizer: optax.GradientTransformation,
) -> PerEntryCounts:
    """An optimizer whose bias correction restarts for the entries that are recycled.

    Optax keeps one step count for the whole tree. Late in training a recycled entry, whose moments
    are 0, is therefore not bias-corrected: with Adam's defaults its next step is (1 - b1) / sqrt(1
    - b2) = 3.2 times that of a new optimizer, later ones up to six times. Here the count of an
    entry restarts when `dormant.reset_moments`, `dormant.redo` and their kin reset its moments.

    Works on any chain, wrapper and alias that keeps a `count` beside moments like the parameters:
    `adam`, `adamw`, `nadam`, `radam`, `amsgrad`, `adabelief`, `lamb`, `yogi`, … What is computed
    entry by entry uses the count of the entry; all else, such as schedules and norms, uses the one
    count. Without a recycle the updates equal those of `optimizer` up to rounding. An optimizer
    without such a count is left as it is; with one it costs four bytes per parameter and the powers
    of every count: 1.00 times the time of the nature CNN's update on two CPU cores (.93 to 1.07).

    It is the default of `dormant.as_transformation` and of the interventions that gin configures,
    by measurement. DQN with ReDo on three MinAtar games, three learning rates and three replay
    ratios (`results/minatar_rates`, ten seeds, last tenth of 100,000 agent steps): per-entry counts
    leave 34 % dormant at learning rate 1e-3 and 56 % at 3e-3, one count 41 % and 65 %, with fewer
    in all 18 cells; at 2.5e-4 it is 4.1 % and 4.6 %. Returns are 2.2 % higher in the geometric
    mean of the 27 cells, by more than two standard errors in three of them and lower by as much in
    none. At 2.5e-4 over four games and 300,000 agent steps (`results/minatar_long`) one count
    scored 0.04 [0.01, 0.07] more at replay ratio 1 and is not told apart at .25, .5 and 2, nor
    anywhere in greedy episodes. A classifier of shuffled digits (`results/digits`, Adam) ends at an
    accuracy of .39 with 11 % dormant; with one count at .29 with 38 %. The released code's one
    count is what the paper's experiments keep.

    Args:
      optimizer: any optax transformation.

    Returns:
      A transformation whose state is a `PerEntryCountsState`. Interventions take this optimizer or
      the plain one for such a state.

    Raises:
      ValueError: if `optimizer` is not an optax transformation; from `update`, if it needs the
        parameters and is given None.
    """
    check_optimizer(optimizer)
    if isinstance(optimizer, PerEntryCounts):
        return optimizer
    plain = optax.with_extra_args_support(optimizer)

    def init(params: optax.Params) -> PerEntryCountsState:
        inner = plain.init(params)
        zeros = [
            jax.tree.map(lambda leaf: jnp.zeros(jnp.shape(leaf), jnp.int32), params)
            for _ in find_counts(plain, inner, params).counts
        ]
        return PerEntryCountsState(inner, tuple(zeros))

    def update(updates, state, params=None, **extra):
        if not state.counts:
            updates, inner = plain.update(updates, state.inner, params, **extra)
            return updates, PerEntryCountsState(inner, ())

        def step(updates, inner, params):
            return plain.update(updates, inner, params, **extra)

        places = find_counts(plain, state.inner, updates)
        closed, made = jax.make_jaxpr(step, return_shape=True)(updates, state.inner, params)
        leaves = jax.tree.leaves(updates)
        own = list(range(len(leaves)))
        shapes = [jnp.shape(leaf) for leaf in leaves]
        counts = [jax.tree.leaves(tree) for tree in state.counts]
        by_place = dict(zip(places.counts, counts, strict=True))
        arguments = [_Value(leaf, {}, place) for place, leaf in enumerate(leaves)]
        for place, (leaf, owner) in enumerate(
            zip(jax.tree.leaves(state.inner), places.owners, strict=True)
        ):
            each = dict(enumerate(by_place.get(place, ())))
            is_whole = owner is not None and jnp.shape(leaf) == shapes[owner]
            arguments.append(_Value(leaf, each, owner if is_whole else None))
        arguments += [_Value(leaf, {}, place) for place, leaf in enumerate(jax.tree.leaves(params))]
        consts = [_Value(value, {}, None) for value in closed.consts]
        results = _Entrywise(shapes).run(closed.jaxpr, consts, arguments)
        kept = results[len(leaves) :]
        advanced = []
        for place, old in by_place.items():
            before, after = jax.tree.leaves(state.inner)[place], kept[place]
            # A count that no operation of one entry leads to advances by as much as the one count.
            advanced.append(
                [after.each.get(leaf, value + after.one - before) for leaf, value in enumerate(old)]
            )
        # A moment that its parameter's entries share, as NovoGrad's, goes by the one count.
        flat = [
            value.one if owner is None or jnp.shape(value.one) != shapes[owner] else value.of(owner)
            for value, owner in zip(results, [*own, *places.owners], strict=True)
        ]
        updates, inner = jax.tree.unflatten(jax.tree.structure(made), flat)
        counts = [
            jax.tree.unflatten(jax.tree.structure(old), new)
            for old, new in zip(state.counts, advanced, strict=True)
        ]
        return updates, PerEntryCountsState(inner, tuple(counts))

    return PerEntryCounts(init, update)


class Places(NamedTuple):
    """Where things stand among the leaves of an optimizer's state."""

    counts: list[int]  # the leaves that count the steps of moments beside them
    owners: list[int | None]  # of each leaf: the parameter that it mirrors


def find_counts(optimizer: Any, state: optax.OptState, params: Any) -> Places:
    """Finds the counts in a state by structure: a field `count`, a whole number, beside one that
    mirrors the parameters. `params` may be placeholders for them, also optax's for all of them."""
    kind = type(params)
    leaves = jax.tree.leaves(params)
    stand_ins = filter(is_placeholder, jax.tree.leaves(params, is_leaf=is_placeholder))
    is_one = not (leaves or any(stand_ins) or isinstance(params, dict | list | tuple))

    def is_leaf(value: Any) -> bool:
        return is_masked(value) or is_placeholder(value) or (is_one and type(value) is kind)

    paths = [path for path, _ in jax.tree.leaves_with_path(params, is_leaf=is_leaf)]
    parts = {path[:length] for path in paths for length in range(len(path) + 1)}
    owned = jax.tree.map(lambda value: -1, state)
    if leaves:
        # Where a state does not mirror the parameters, as SM3's and L-BFGS's, it says so in many
        # ways, and nothing in it is an entry's.
        with contextlib.suppress(Exception):
            owned = owners(optimizer, params, state)
    mirrored, beside = [], set()
    for path, owner in jax.tree.leaves_with_path(owned, is_leaf=is_leaf):
        mirrors = is_leaf(owner) or owner >= 0
        for length in range(len(path)) if mirrors else ():
            if path[length + 1 :] in parts:  # path[length] is then the field
                beside.add(path[:length])
        if not is_leaf(owner):
            mirrored.append(int(owner) if owner >= 0 else None)
    counts = [
        place
        for place, (path, leaf) in enumerate(jax.tree.leaves_with_path(state))
        if path[-1:] in _COUNTS
        and path[:-1] in beside
        and jnp.shape(leaf) == ()
        and jnp.issubdtype(jnp.result_type(leaf), jnp.integer)
    ]
    return Places(counts, mirrored)


class _Value(NamedTuple):
    """A value of the optimizer's program."""

    one: Any  # what the one count makes it
    each: dict[int, Any]  # {parameter: what the counts of its entries make it}, of its shape
    owner: int | None  # the parameter whose entries it holds, one for one

    def of(self, owner: int) -> Any:
        return self.each.get(owner, self.one)


class _Entrywise:
    """Runs a program in which scalars that depend on a count have a value for every entry."""

    def __init__(self, shapes: Sequence[tuple[int, ...]]):
        self.shapes = shapes  # of the parameters

    def run(
        self, jaxpr: jex.Jaxpr, consts: Sequence[_Value], arguments: Sequence[_Value]
    ) -> list[_Value]:
        values = dict(zip(jaxpr.constvars, consts, strict=True))
        values.update(zip(jaxpr.invars, arguments, strict=True))

        def read(atom: Any) -> _Value:
            return _Value(atom.val, {}, None) if isinstance(atom, jex.Literal) else values[atom]

        for equation in jaxpr.eqns:
            results = self._apply(equation, [read(atom) for atom in equation.invars])
            values.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _apply(self, equation: jex.JaxprEqn, operands: list[_Value]) -> list[_Value]:
        name = equation.primitive.name
        if body := called_body(equation):
            return self._call(body, operands)
        # An operation of effects alone, as a print from within the optimizer, has no result.
        shape = getattr(equation.outvars[0].aval, "shape", ()) if equation.outvars else ()
        if name == "cond" and any(value.each for value in operands):
            # Entries may take different branches, so that both are run.
            chosen, *others = operands
            results = [self._call(body, others) for body in equation.params["branches"]]
            return [
                self._elementwise(_select, jnp.shape(cases[0].one), [chosen, *cases])
                for cases in zip(*results, strict=True)
            ]
        if _is_power_of_a_number(equation) and operands[1].each:
            return [_powers(equation, operands[1])]
        if name in _ELEMENTWISE:
            return [self._elementwise(_bind(equation), shape, operands)]
        ones = [value.one for value in operands]
        made = apply_primitive(equation.primitive, equation.params, ones)
        if name == "broadcast_in_dim" and operands[0].each:
            each = {leaf: v for leaf, v in operands[0].each.items() if self.shapes[leaf] == shape}
            return [_Value(made[0], each, None)]
        return [_Value(value, {}, None) for value in made]

    def _call(self, body: jex.ClosedJaxpr, operands: Sequence[_Value]) -> list[_Value]:
        return self.run(body.jaxpr, [_Value(each, {}, None) for each in body.consts], operands)

    def _elementwise(self, apply: Any, shape: tuple[int, ...], operands: list[_Value]) -> _Value:
        owners = {
            value.owner
            for value in operands
            if value.owner is not None and self.shapes[value.owner] == shape
        }
        owner = owners.pop() if len(owners) == 1 else None
        if owner is not None:
            return _Value(self._of(owner, apply, operands), {}, owner)
        one = apply(*[value.one for value in operands])
        # An array of other entries has none for those of a parameter.
        is_mixed = bool(owners) or any(jnp.ndim(v.one) and not v.each for v in operands)
        leaves = [] if is_mixed else {leaf for value in operands for leaf in value.each}
        fitting = [leaf for leaf in leaves if shape in ((), self.shapes[leaf])]
        return _Value(one, {leaf: self._of(leaf, apply, operands) for leaf in fitting}, None)

    def _of(self, leaf: int, apply: Any, operands: list[_Value]) -> Any:
        """The result for the entries of a parameter."""
        values = [value.of(leaf) for value in operands]
        if any(value.each for value in operands):
            values = [jnp.broadcast_to(value, self.shapes[leaf]) for value in values]
        return apply(*values)


def _is_power_of_a_number(equation: jex.JaxprEqn) -> bool:
    if equation.primitive.name != "pow":
        return False
    base: Any = equation.invars[0]
    is_literal = isinstance(base, jex.Literal)
    return is_literal and base.aval.dtype in (jnp.float32, jnp.float64) and base.val > 0


def _powers(equation: jex.JaxprEqn, exponent: _Value) -> _Value:
    """A number to the power of every entry's count. By exp, as XLA's pow takes eight times as long
    on a CPU; entries at the one count have its power, to the bit."""
    base: Any = equation.invars[0]
    one = _bind(equation)(base.val, exponent.one)
    rate = math.log(np.asarray(base.val, base.aval.dtype))  # of the base as it was rounded
    each = {
        leaf: jnp.where(counts == exponent.one, one, jnp.exp(counts * rate))
        for leaf, counts in exponent.each.items()
    }
    return _Value(one, each, None)


def _select(which: Any, *cases: Any) -> Any:
    if jnp.issubdtype(jnp.result_type(which), jnp.integer):
        which = jnp.clip(which, 0, len(cases) - 1)
    return jax.lax.select_n(which, *cases)


def _bind(equation: jex.JaxprEqn) -> Any:
    """The function of its one result."""
    return lambda *operands: apply_primitive(equation.primitive, equation.params, operands)[0]

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Whether what a learner carries is finite: which step was the first that was not, and where."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dormant.checks import NotFinite
from dormant.graph import leaf_paths

_SHOWN = 4  # places that an error names


class Finiteness(NamedTuple):
    """The first gradient step after which something in a learner's state was not finite.

    Attributes:
      step: int32 (), 1 for the first; -1 while all is finite.
      where: bool (K,), the places that were not finite then, as `places` names them.
    """

    step: jax.Array
    where: jax.Array


def all_finite(params: Any, opt_state: Any) -> Finiteness:
    """That of a new learner."""
    count = len(_places(params, params, opt_state))
    return Finiteness(jnp.full((), -1, jnp.int32), jnp.zeros(count, bool))


def places(state: Any) -> tuple[str, ...]:
    """What `Finiteness.where` tells of: the loss, then every array of the parameters, of the target
    parameters and of the optimizer's state, by its path.

    Args:
      state: a `LearnerState`, of arrays or of their shapes.
    """
    return _places(state.params, state.target_params, state.opt_state)


def _places(params: Any, target_params: Any, opt_state: Any) -> tuple[str, ...]:
    trees = {
        "{}": params,
        "{} of the target network": target_params,
        "{} of the optimizer's state": opt_state,
    }
    paths = [
        text.format(path)
        for text, tree in trees.items()
        for path in leaf_paths(jax.tree.structure(tree))
    ]
    return ("the loss", *paths)


def after_update(state: Any, gradient_step: jax.Array) -> Finiteness:
    """Notes the loss and the parameters of an update. What one step costs: a pass over these.

    Args:
      state: a `LearnerState` after the optimizer's step.
      gradient_step: int32 (), of that step.
    """
    found = _stacked(state.loss, state.params)
    rest = jnp.zeros(state.finiteness.where.size - found.size, bool)
    return _first(state.finiteness, gradient_step, jnp.concatenate([found, rest]))


@jax.jit
def of_all(state: Any) -> Finiteness:
    """Looks at everything that a `LearnerState` carries on, as is done before it is saved: an
    optimizer's moment may overflow although no parameter has changed for it."""
    # A number that stands for itself may be infinite, such as the least loss at the start.
    moments = jax.tree.map(lambda leaf: leaf if jnp.ndim(leaf) else 0, state.opt_state)
    found = _stacked(state.loss, state.params, state.target_params, moments)
    return _first(state.finiteness, state.gradient_step, found)


def problem(finiteness: Finiteness, names: Sequence[str], owner: str) -> str | None:
    """What was not finite, in a line; None where all was.

    Args:
      finiteness: of one learner; waits until it is known.
      names: `places` of its state.
      owner: whose it is, such as "seed 3".
    """
    step = int(finiteness.step)
    if step < 0:
        return None
    found = [name for name, bad in zip(names, np.asarray(finiteness.where), strict=True) if bad]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    are = "is" if len(found) == 1 else "are"
    return f"{', '.join(found[:_SHOWN])}{more} {are} not finite at gradient step {step} of {owner}"


def check_finite(finiteness: Finiteness, names: Sequence[str], owner: str) -> None:
    """Raises NotFinite with what `problem` says, where it says something."""
    said = problem(finiteness, names, owner)
    if said is not None:
        raise NotFinite(said)


def _first(before: Finiteness, step: jax.Array, found: jax.Array) -> Finiteness:
    is_first = (before.step < 0) & jnp.any(found)
    return Finiteness(
        jnp.where(is_first, step, before.step), jnp.where(is_first, found, before.where)
    )


def _stacked(*trees: Any) -> jax.Array:
    """bool (K,): of each leaf of the trees whether it is not finite."""
    return jnp.stack([_is_bad(leaf) for leaf in jax.tree.leaves(trees)])


def _is_bad(leaf: jax.Array | int) -> jax.Array:
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
        return jnp.zeros((), bool)
    # 0 times a number is 0, and NaN for what is not finite: half the time of `isfinite` on a CPU.
    return ~jnp.isfinite(jnp.sum(leaf * 0))

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What an intervention is: pure functions beside an optax optimizer. Several may be one."""

import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from dormant.checks import check, check_key, is_pair
from dormant.interventions.timing import When


class Intervention(NamedTuple):
    """Something done to a network while it trains.

    Attributes:
      init: `init(key) -> state`. The key is consumed. Of `track` also `init(key, params)`, for
        measures that compare with the initial parameters.
      update: `update(params, opt_state, state, *inputs, gradient=None,
        pre_activation_gradients=None) -> (params, opt_state, state)`. One call is one gradient
        step. `inputs` are the network's inputs to score on; without any, nothing is scored and the
        step is only counted, for callers who know on the host that nothing is due. `gradient` is
        the loss gradient, a tree like the parameters, or a function without arguments that computes
        it; `pre_activation_gradients` what `graph.pre_activation_gradients` returns, or a function
        of the graph that does. Functions are called only where something is due that reads them:
        `track`, and scores that need them. Parameters and optimizer state come back in the
        structure in which they were given: trees of arrays, states of `flax.nnx`, or the variables
        of `nnx.Optimizer`.
      is_due: `is_due(step) -> bool`, whether the update numbered `step` (the first is 1) scores and
        acts when it is given inputs; for whole numbers and integer arrays.
      needs: which of the keywords of `update` it cannot do without.
    """

    init: Callable[..., Any]
    update: Callable[..., tuple[Any, Any, Any]]
    is_due: When = lambda step: True
    needs: tuple[str, ...] = ()


def combine(**interventions: Intervention) -> Intervention:
    """Several interventions as one, applied in the order given.

    For a network of several traced parts in one parameter tree, such as an actor and a critic. Each
    sees what those before it have done.

    Args:
      **interventions: at least one, by name.

    Returns:
      An `Intervention` whose state is `{name: state}`. Each is given all inputs, and the gradient.
      It is due when one of them is.

    Raises:
      ValueError: if there is none, or if one is not an `Intervention`.
    """
    if not interventions:
        raise ValueError(f"`combine` needs at least one intervention; got {interventions!r}")
    for name, intervention in interventions.items():
        check_intervention(name, intervention)

    def init(key: jax.Array, params: Any = None) -> dict[str, Any]:
        check_key("key", key)
        return {
            name: state_at_start(intervention, jax.random.fold_in(key, number), params)
            for number, (name, intervention) in enumerate(interventions.items())
        }

    def update(params, opt_state, state: dict[str, Any], *inputs, **keywords):
        known = isinstance(state, dict) and state.keys() == interventions.keys()
        check(known, "state", f"what `init` returns, a dict of {', '.join(interventions)}", state)
        new_state = {}
        for name, intervention in interventions.items():
            params, opt_state, new_state[name] = intervention.update(
                params, opt_state, state[name], *inputs, **keywords
            )
        return params, opt_state, new_state

    def is_due(step: int | jax.Array) -> bool | jax.Array:
        due = [intervention.is_due(step) for intervention in interventions.values()]
        return functools.reduce(operator.or_, due)

    needs = (name for intervention in interventions.values() for name in intervention.needs)
    return Intervention(init, update, is_due, tuple(dict.fromkeys(needs)))


def state_at_start(intervention: Intervention, key: jax.Array, params: Any) -> Any:
    """The state at the start of training; `params` reach the interventions that take them."""
    takes_params = "params" in inspect.signature(intervention.init).parameters
    return intervention.init(key, params) if takes_params else intervention.init(key)


def check_intervention(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is an `Intervention`; an optimizer is none."""
    is_intervention = is_pair(value) and callable(getattr(value, "is_due", None))
    check(is_intervention, name, "an Intervention, such as `dormant.redo` returns", value)

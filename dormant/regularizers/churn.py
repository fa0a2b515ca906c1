# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What keeps an update from changing what the network says elsewhere: a loss, and an optimizer
that adds its gradient."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dormant.checks import as_inputs, check, check_function, check_number
from dormant.interventions.structures import check_optimizer, check_params
from dormant.regularizers.kernels import precise


def churn_loss(
    apply: Callable[..., Any], params: Any, reference_params: Any, inputs: Any
) -> jax.Array:
    """The mean squared change of a network's outputs between two of its parameters: the term that
    C-CHAIN reduces (Tang et al., ICML 2025, arXiv 2506.00592).

    The reference is the network before the latest update; the inputs are a batch of their own,
    drawn apart from the one that the loss is of. The gradient goes through `params` alone. The
    loop's state carries the parameters before the latest update, and both may be donated:

    >>> import optax
    >>> def step(params, previous, opt_state, batch, reference_inputs):
    ...     def loss(params):
    ...         churn = churn_loss(apply, params, previous, reference_inputs)
    ...         return td_loss(params, batch) + coefficient * churn
    ...     updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state, params)
    ...     return optax.apply_updates(params, updates), params, opt_state

    At the first step, where `previous` is a copy of `params`, it is 0, and so is its gradient. The
    authors' code chooses the coefficient at each step so that this term stays a fixed fraction of
    the running mean of the loss. After a recycle that changes the outputs, give the recycled
    parameters as the reference, else the loss asks for the old neurons back.

    Args:
      apply: `apply(params, *inputs)`, an array or a tree of arrays (B, …).
      params: the current parameters.
      reference_params: those of an earlier step, the same structure.
      inputs: of the network, a tuple where there are several.

    Returns:
      A scalar, at least float32: the mean over all elements of the outputs.

    Raises:
      ValueError: if `apply` is not a function or puts out nothing.
    """
    check_function("apply", apply, "(params, *inputs)")
    inputs = as_inputs(inputs)
    reference = jax.lax.stop_gradient(apply(reference_params, *inputs))
    changes = jax.tree.map(
        lambda new, old: precise(new) - precise(old), apply(params, *inputs), reference
    )
    leaves = jax.tree.leaves(changes)
    size = sum(leaf.size for leaf in leaves)
    check(size > 0, "apply", "a function with at least one output", leaves)
    return sum((jnp.sum(jnp.square(leaf)) for leaf in leaves), jnp.zeros(())) / size


class ChurnReductionState(NamedTuple):
    """State of `churn_reduction`.

    Attributes:
      inner: the optimizer's own state.
      previous: the parameters before the latest update, same structure, shapes and dtypes.
    """

    inner: optax.OptState
    previous: Any


def churn_reduction(
    optimizer: optax.GradientTransformation,
    apply: Callable[..., Any],
    coefficient: float,
    inputs: Callable[[Any], Any],
) -> optax.GradientTransformationExtraArgs:
    """C-CHAIN as an optimizer: adds the gradient of `coefficient * churn_loss` (Tang et al., 2025).

    The parameters before the latest update are state. Where an action begins moments anew, the same
    entries of that state become the network's, so that the loss does not ask for old neurons back.
    An action that keeps moments, such as `shrink_and_perturb`, is pulled back for one step. The
    authors choose the coefficient anew at each step; here it is fixed.

    Args:
      optimizer: any optax transformation.
      apply: `apply(params, *inputs)`, an array or a tree of arrays (B, …).
      coefficient: at least 0; 0 returns the optimizer itself.
      inputs: `inputs(batch) -> inputs` of the network, a tuple where there are several, on which
        its outputs are kept: others than those of the loss.

    Returns:
      A transformation whose `update` takes `batch=` besides.

    Raises:
      ValueError: if an option is not valid; from `update`, if `params` or `batch` is not given.
    """
    check_optimizer(optimizer)
    check_function("apply", apply, "(params, *inputs)")
    check_number("coefficient", coefficient, 0)
    check_function("inputs", inputs, "(batch)")
    inner = optax.with_extra_args_support(optimizer)
    if coefficient == 0:
        return inner

    def init(params: optax.Params) -> ChurnReductionState:
        return ChurnReductionState(inner.init(params), jax.tree.map(jnp.copy, params))

    def update(updates, state: ChurnReductionState, params=None, *, batch=None, **extra):
        check_params(params)
        check(batch is not None, "batch", "given to `update`", batch)
        reference = inputs(batch)

        def loss(params: optax.Params) -> jax.Array:
            return coefficient * churn_loss(apply, params, state.previous, reference)

        updates = optax.tree_utils.tree_add(updates, jax.grad(loss)(params))
        updates, made = inner.update(updates, state.inner, params, batch=batch, **extra)
        return updates, ChurnReductionState(made, params)

    return optax.GradientTransformationExtraArgs(init, update)

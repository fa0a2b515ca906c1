# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The loss that keeps an update from changing what the network says elsewhere."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dormant.checks import check, check_function
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
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    reference = jax.lax.stop_gradient(apply(reference_params, *inputs))
    changes = jax.tree.map(
        lambda new, old: precise(new) - precise(old), apply(params, *inputs), reference
    )
    leaves = jax.tree.leaves(changes)
    size = sum(leaf.size for leaf in leaves)
    check(size > 0, "apply", "a function with at least one output", leaves)
    return sum((jnp.sum(jnp.square(leaf)) for leaf in leaves), jnp.zeros(())) / size

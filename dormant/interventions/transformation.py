# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""As an optax optimizer: an optimizer and an intervention as one gradient transformation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dormant.checks import as_inputs, check, check_arrays, check_choice, check_key
from dormant.graph import leaf_paths
from dormant.interventions.intervention import Intervention, check_intervention, state_at_start
from dormant.interventions.step_counts import ADAM_COUNTS, per_entry_counts
from dormant.interventions.structures import check_optimizer, check_params, is_masked


class TransformationState(NamedTuple):
    """State of `as_transformation`.

    Attributes:
      optimizer: state of the optimizer.
      intervention: state of the intervention, of `dormant.redo` an `InterventionState`.
    """

    optimizer: optax.OptState
    intervention: Any


def as_transformation(
    optimizer: optax.GradientTransformation,
    intervention: Intervention,
    key: jax.Array,
    *,
    adam_count: str = "per_entry",
) -> optax.GradientTransformationExtraArgs:
    """An optimizer that intervenes by itself, for loops that know optax alone.

    For `TrainState.tx`, `nnx.Optimizer` and everything that calls `tx.update(gradients, state,
    params, inputs=batch)`. `TrainState.apply_gradients` has no inputs to pass on: where something
    is due, call `state.tx.update` and `state.replace`. Within `optax.chain` it stands last, since
    what follows would scale what it does. An optimizer is given parameters alone: with a graph of
    all variables, as of running statistics, call the intervention's own `update`.

    The update that it returns leads to the parameters that the intervention's own `update` would
    give after the optimizer's: entries that are left alone and those that become 0 do so exactly,
    one that is drawn anew up to one float32 rounding of `params + update`. Updates of bfloat16 and
    float16 parameters are float32.

    Args:
      optimizer: any optax transformation, the one that the intervention was made with.
      intervention: such as `dormant.redo(graph, init, optimizer)` returns.
      key: of everything random that the intervention does; it is part of the state.
      adam_count: `"per_entry"`: the step count of Adam and its kin restarts for recycled entries,
        as `dormant.per_entry_counts` has it; or `"keep"`, the released code's one count, which that
        docstring measures.

    Returns:
      A transformation whose state is a `TransformationState`. Its `update` takes the parameters
      and, besides:

        inputs: the network's inputs to score on, a tuple where there are several; None says that
          nothing is due, and the step is only counted. `intervention.is_due` tells.
        gradient, pre_activation_gradients: as `Intervention.update` takes them; the first is None
          for the gradients that `update` is given.

      What else it is given by keyword goes on to the optimizer.

    Raises:
      ValueError: if an argument is not valid; from `update`, if `params` is None.
    """
    check_optimizer(optimizer)
    check_intervention("intervention", intervention)
    check_key("key", key)
    check_choice("adam_count", adam_count, ADAM_COUNTS)
    if adam_count == "per_entry":
        optimizer = per_entry_counts(optimizer)
    optimizer = optax.with_extra_args_support(optimizer)

    def init(params: optax.Params) -> TransformationState:
        leaves = jax.tree.leaves(params, is_leaf=is_masked)
        allowed = "the network's: wrap it around `optax.masked` and `multi_transform`, not in them"
        check(not any(map(is_masked, leaves)), "params", allowed, params)
        return TransformationState(
            optimizer.init(params), state_at_start(intervention, key, params)
        )

    def update(
        gradients,
        state,
        params=None,
        *,
        inputs=None,
        gradient=None,
        pre_activation_gradients=None,
        **extra,
    ):
        check_params(params)
        check(isinstance(state, TransformationState), "state", "what `init` returns", state)
        same = leaf_paths(jax.tree.structure(gradients)) == leaf_paths(jax.tree.structure(params))
        check(same, "gradients", "a tree like the parameters", gradients)
        check_arrays("gradients", gradients)
        check_arrays("params", params)
        updates, opt_state = optimizer.update(gradients, state.optimizer, params, **extra)
        stepped = optax.apply_updates(params, updates)
        scored = () if inputs is None else as_inputs(inputs)
        changed, opt_state, intervention_state = intervention.update(
            stepped,
            opt_state,
            state.intervention,
            *scored,
            gradient=gradients if gradient is None else gradient,
            pre_activation_gradients=pre_activation_gradients,
        )
        updates = jax.tree.map(_update_to, params, updates, stepped, changed)
        return updates, TransformationState(opt_state, intervention_state)

    return optax.GradientTransformationExtraArgs(init, update)


def _update_to(old: jax.Array, update: jax.Array, stepped: jax.Array, new: jax.Array) -> jax.Array:
    """What leads from `old` to `new`: the optimizer's own update wherever that led there."""
    precise = jnp.promote_types(old.dtype, jnp.float32)
    wanted = new.astype(precise) - old.astype(precise)
    # Where the sum rounds off, a second step takes in what the first one missed.
    missed = new.astype(precise) - (old.astype(precise) + wanted)
    return jnp.where(new == stepped, update.astype(precise), wanted + missed)

"""The update skeleton of every algorithm: gradient, optimizer, tracker, intervention, target.
An algorithm supplies its loss, its policy and its target rule; nothing here knows of Q-values."""

from collections.abc import Callable
from numbers import Integral
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dormant.redo import Intervention

Params = Any
Metrics = dict[str, jax.Array]
# (params, target_params, batch) -> (scalar loss, metrics); differentiated with respect to params.
LossFunction = Callable[[Params, Params, Any], tuple[jax.Array, Metrics]]
# (params, observation, key, epsilon) -> action; the key is consumed.
Policy = Callable[[Params, Any, jax.Array, Any], jax.Array]
# (params, target_params, gradient_step) -> target_params; the update just made is counted.
TargetRule = Callable[[Params, Params, jax.Array], Params]


class Batch(NamedTuple):
    """B transitions sampled from replay; `...` is the shape of one observation."""

    state: jax.Array  # (B, ...), any dtype the network takes (Atari: uint8)
    action: jax.Array  # (B,), integer
    reward: jax.Array  # (B,), float32, summed over the n steps with discounting
    next_state: jax.Array  # (B, ...), the observation n steps later
    terminal: jax.Array  # (B,), 1 (or True) where the episode ended within the n steps


class LearnerState(NamedTuple):
    """Everything a learner carries from one gradient step to the next; a pytree of arrays."""

    params: Params  # pytree of float arrays
    target_params: Params  # same structure, shapes and dtypes as params, never the same buffers
    opt_state: optax.OptState  # of the one optimizer over the whole of params
    tracker: Any  # state of the tracker, () without one
    intervention: Any  # state of the intervention, () without one
    gradient_step: jax.Array  # int32 (), updates made so far


class Learner(NamedTuple):
    """A learning algorithm as four pure functions; jit, vmap over seeds, scan and donate them.

    Attributes:
      init: `init(key) -> LearnerState`. The key is consumed. No two arrays of the state share a
        buffer, nor one with what the network's own `init` returned: the state may be donated.
      update: `update(state, batch, score_inputs=None) -> (state, metrics)`, one gradient step.
        `score_inputs` is the tuple of network inputs with which tracker and intervention score
        neurons; None says that nothing is due, so that they only count the step. A tuple and None
        are two compiled programs. `metrics` holds float32 scalars: `loss`, `grad_norm` (global
        Euclidean norm of the gradient, before the optimizer) and those that the loss returns.
      act: `act(state, observation, key, epsilon) -> action` for one observation without a batch
        dimension; epsilon is the probability of a random action. The key is consumed.
      sync_target: `sync_target(state) -> state`, target parameters now a copy of the parameters.
    """

    init: Callable[[jax.Array], LearnerState]
    update: Callable[..., tuple[LearnerState, Metrics]]
    act: Callable[[LearnerState, Any, jax.Array, Any], jax.Array]
    sync_target: Callable[[LearnerState], LearnerState]


def keep_target(params: Params, target_params: Params, gradient_step: jax.Array) -> Params:
    """Target rule that never syncs: the caller does so with `sync_target`."""
    del params, gradient_step
    return target_params


def periodic_target(period: int) -> TargetRule:
    """Target rule that copies the parameters after gradient steps period, 2 * period, ...

    Args:
      period: gradient steps between two syncs, a whole number >= 1.

    Raises:
      ValueError: when period is not a whole number >= 1.
    """
    if isinstance(period, bool) or not isinstance(period, Integral) or period < 1:
        raise ValueError(
            f"`target_period` must be None or a whole number of gradient steps >= 1; got {period!r}"
        )

    def target_rule(params: Params, target_params: Params, gradient_step: jax.Array) -> Params:
        return optax.periodic_update(params, target_params, gradient_step, period)

    return target_rule


def gradient_learner(
    init: Callable[[jax.Array], Params],
    optimizer: optax.GradientTransformation,
    *,
    loss: LossFunction,
    policy: Policy,
    target_rule: TargetRule = keep_target,
    tracker: Intervention | None = None,
    intervention: Intervention | None = None,
) -> Learner:
    """Builds a learner from what is particular to an algorithm.

    One update is, in this order: gradient of the loss, optimizer, tracker, intervention, target
    rule. So tracker and intervention see the parameters after the optimizer's step, and the target
    network receives recycled parameters, as in the released ReDo code.

    What an algorithm needs beyond the skeleton has its place in what it supplies:
      - what one update consumes is in `batch`, any pytree, which reaches the loss untouched: an
        algorithm that weighs samples or draws random numbers gives its batch fields for that;
      - per-sample results (replay priorities) are returned in the loss's metrics, with shape (B,);
      - several optimizers are one `optax.partition` over a params tree with one branch for each.

    Args:
      init: `init(key) -> params`, the network's own initializer.
      optimizer: any optax transformation; its state is never looked into.
      loss: `loss(params, target_params, batch) -> (scalar, metrics)`.
      policy: `policy(params, observation, key, epsilon) -> action`.
      target_rule: `target_rule(params, target_params, gradient_step) -> target_params`, called
        after the intervention with the number of updates made, this one included.
      tracker: None, or what `dormant.track` returns; sees the parameters first.
      intervention: None, or what `dormant.redo` returns.

    Raises:
      ValueError: when an argument is not of the kind asked for.
    """
    for name, value in (
        ("init", init), ("loss", loss), ("policy", policy), ("target_rule", target_rule)
    ):  # fmt: skip
        _check_callable(name, value)
    _check_init_and_update("optimizer", optimizer)
    for name, value in (("tracker", tracker), ("intervention", intervention)):
        if value is not None:
            _check_init_and_update(name, value, "None or ")
    loss_gradient = jax.value_and_grad(loss, has_aux=True)

    def init_state(key: jax.Array) -> LearnerState:
        # Always three keys: the parameters of a seed do not depend on who watches or recycles them.
        params_key, tracker_key, intervention_key = jax.random.split(key, 3)
        params = init(params_key)
        state = LearnerState(
            params=params,
            target_params=params,
            opt_state=optimizer.init(params),
            tracker=() if tracker is None else tracker.init(tracker_key),
            intervention=() if intervention is None else intervention.init(intervention_key),
            gradient_step=jnp.zeros((), jnp.int32),
        )
        return jax.tree.map(_own_buffer, state)

    def update(
        state: LearnerState, batch: Any, score_inputs: tuple | None = None
    ) -> tuple[LearnerState, Metrics]:
        if score_inputs is not None and not isinstance(score_inputs, tuple):
            raise ValueError(
                "`score_inputs` must be None or the tuple of the network's inputs, for one array"
                f" (array,); got {type(score_inputs).__name__}"
            )
        inputs = () if score_inputs is None else score_inputs
        (loss_value, loss_metrics), gradient = loss_gradient(
            state.params, state.target_params, batch
        )
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        tracker_state, intervention_state = state.tracker, state.intervention
        if tracker is not None:
            params, opt_state, tracker_state = tracker.update(
                params, opt_state, tracker_state, *inputs
            )
        if intervention is not None:
            params, opt_state, intervention_state = intervention.update(
                params, opt_state, intervention_state, *inputs
            )
        gradient_step = state.gradient_step + 1
        # Without the barrier XLA on CPU spends 12 to 24 % of a nature CNN's update on this norm.
        grad_norm = optax.tree.norm(jax.lax.optimization_barrier(gradient))
        metrics = {**loss_metrics, "loss": loss_value, "grad_norm": grad_norm}
        new_state = LearnerState(
            params=params,
            target_params=target_rule(params, state.target_params, gradient_step),
            opt_state=opt_state,
            tracker=tracker_state,
            intervention=intervention_state,
            gradient_step=gradient_step,
        )
        return new_state, jax.tree.map(_float32, metrics)

    def act(state: LearnerState, observation: Any, key: jax.Array, epsilon: Any) -> jax.Array:
        return policy(state.params, observation, key, epsilon)

    def sync_target(state: LearnerState) -> LearnerState:
        return state._replace(target_params=jax.tree.map(_own_buffer, state.params))

    return Learner(init_state, update, act, sync_target)


def _own_buffer(array: jax.Array) -> jax.Array:
    # A shared buffer cannot be donated twice. The explicit dtype drops weak types, for which the
    # second update would compile again.
    return jnp.array(array, dtype=jnp.result_type(array), copy=True)


def _float32(value: Any) -> jax.Array:
    return jnp.asarray(value, jnp.float32)


def _check_callable(name: str, value: Any) -> None:
    if not callable(value):
        raise ValueError(f"`{name}` must be a function; got {value!r}")


def _check_init_and_update(name: str, value: Any, none_or: str = "") -> None:
    functions = (getattr(value, "init", None), getattr(value, "update", None))
    if not all(callable(function) for function in functions):
        raise ValueError(f"`{name}` must be {none_or}a pair (init, update); got {value!r}")

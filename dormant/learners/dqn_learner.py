# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""DQN as a pure learner (Mnih et al., 2015).
One update computes what Dopamine's DQN and the released ReDo agent compute on the same batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from dormant.checks import check_choice, check_function, check_number
from dormant.learners.batches import Batch, check_batch, continues
from dormant.learners.learner import (
    NO_INTERVENTIONS,
    Interventions,
    Learner,
    LossFunction,
    Metrics,
    OutputLoss,
    Params,
    gradient_learner,
)
from dormant.learners.losses import LOSSES
from dormant.learners.q_learning import QFunction, check_q_values, epsilon_greedy, of_actions
from dormant.learners.targets import target_rule_of


def dqn(
    apply: QFunction,
    init: Callable[[jax.Array], Params],
    optimizer: optax.GradientTransformation,
    *,
    discount: float,
    loss: str = "huber",
    target_period: int | None = None,
    interventions: Interventions = NO_INTERVENTIONS,
) -> Learner:
    """DQN: fits Q to reward + discount * max Q_target(next state) * (1 - terminal).

    `A` is the number of actions, `B` the batch size.

    Args:
      apply: `apply(params, observation) -> q_values`, float (A,), for one observation without a
        batch dimension; the learner maps it over batches.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: any optax transformation (the paper: Adam, learning rate 6.25e-5, eps 1.5e-4).
      discount: gamma ** n for n-step returns, in [0, 1].
      loss: "huber" (delta 1, the paper's) or "mse", averaged over the batch.
      target_period: gradient steps between two syncs of the target network, which come at the end
        of gradient steps target_period, 2 * target_period, ... None: the caller syncs with
        `sync_target`, for example by agent steps (the paper: every 8 000).
      interventions: what tracks and what acts after the optimizer's step.

    Returns:
      A `Learner` of `Batch`es. Besides `loss` its metrics have `q_mean`, the mean Q-value of the
      batch's actions before the step. Its `act` is epsilon-greedy and returns int32 ();
      `act_in_evaluation` is the same.

    Raises:
      ValueError: when an option is not allowed; on the first update, when shapes do not fit.
    """
    check_choice("loss", loss, tuple(LOSSES))
    check_number("discount", discount, 0, 1)
    check_function("apply", apply, "(params, observation)")
    of_parameters, of_outputs = _q_learning_losses(apply, float(discount), LOSSES[loss])
    return gradient_learner(
        init,
        optimizer,
        loss=of_parameters,
        policy=epsilon_greedy(apply),
        target_rule=target_rule_of(target_period),
        interventions=interventions,
        output_loss=of_outputs,
    )


def _q_learning_losses(
    apply: QFunction, discount: float, error: Callable
) -> tuple[LossFunction, OutputLoss]:
    """The loss as a function of the parameters, and as one of the Q-values (B, A)."""
    batched_apply = jax.vmap(apply, in_axes=(None, 0))

    def of_q_values(
        target_params: Params, batch: Batch, q_values: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        chosen_q = of_actions(q_values, batch.action)
        next_q = jnp.max(batched_apply(target_params, batch.next_state), axis=-1)
        target = jax.lax.stop_gradient(batch.reward + discount * continues(batch) * next_q)
        return jnp.mean(error(target, chosen_q)), {"q_mean": jnp.mean(chosen_q)}

    def of_parameters(
        params: Params, target_params: Params, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        del key
        check_batch(batch, ("action", "reward", "terminal"))
        q_values = batched_apply(params, batch.state)
        check_q_values(q_values.shape[1:])
        return of_q_values(target_params, batch, q_values)

    def of_outputs(params: Params, target_params: Params, batch: Batch, key: jax.Array):
        del params, key
        return lambda q_values: of_q_values(target_params, batch, q_values)[0], (batch.state,)

    return of_parameters, of_outputs

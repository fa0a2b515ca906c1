"""DQN as a pure learner (Mnih et al., 2015): loss, epsilon-greedy policy, exploration schedule.
One update computes what Dopamine's DQN and the released ReDo agent compute on the same batch."""

from collections.abc import Callable
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dormant.learners.learner import (
    Batch,
    Learner,
    LossFunction,
    Metrics,
    Params,
    Policy,
    gradient_learner,
    keep_target,
    periodic_target,
)
from dormant.redo import Intervention

# (params, observation without a batch dimension) -> q_values (A,)
QFunction = Callable[[Params, jax.Array], jax.Array]


def huber_loss(targets: jax.Array, predictions: jax.Array) -> jax.Array:
    """Huber loss with delta 1, elementwise; x - 0.5 where x = |targets - predictions| > 1."""
    x = jnp.abs(targets - predictions)
    return jnp.where(x <= 1.0, 0.5 * x**2, 0.5 + (x - 1.0))


def mse_loss(targets: jax.Array, predictions: jax.Array) -> jax.Array:
    """Squared error, elementwise and without the factor 0.5."""
    return jnp.power(targets - predictions, 2)


_LOSSES = {"huber": huber_loss, "mse": mse_loss}


def dqn(
    apply: QFunction,
    init: Callable[[jax.Array], Params],
    optimizer: optax.GradientTransformation,
    *,
    discount: float,
    loss: str = "huber",
    target_period: int | None = None,
    tracker: Intervention | None = None,
    intervention: Intervention | None = None,
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
      tracker: None, or what `dormant.track` returns.
      intervention: None, or what `dormant.redo` returns.

    Returns:
      A `Learner`. Besides `loss` and `grad_norm` its metrics have `q_mean`, the mean Q-value of the
      batch's actions before the step. Its `act` is epsilon-greedy and returns int32 ().

    Raises:
      ValueError: when an option is not allowed; on the first update, when shapes do not fit.
    """
    if loss not in list(_LOSSES):
        raise ValueError(f"`loss` must be one of {sorted(_LOSSES)}; got {loss!r}")
    # Written so that NaN fails too.
    if isinstance(discount, bool) or not isinstance(discount, Real) or not 0 <= discount <= 1:
        raise ValueError(f"`discount` must be a number in [0, 1]; got {discount!r}")
    if not callable(apply):
        raise ValueError(f"`apply` must be a function (params, observation); got {apply!r}")
    return gradient_learner(
        init,
        optimizer,
        loss=_q_learning_loss(apply, float(discount), _LOSSES[loss]),
        policy=epsilon_greedy(apply),
        target_rule=keep_target if target_period is None else periodic_target(target_period),
        tracker=tracker,
        intervention=intervention,
    )


def epsilon_greedy(apply: QFunction) -> Policy:
    """Policy of every Q-learner: a random action with probability epsilon, else the greedy one.

    As in Dopamine, random means `uniform <= epsilon`: even epsilon 0 explores once in 2^23 draws.
    For the same key the action is that of Dopamine's `select_action`, whose agent carries on with
    `jax.random.split(key, 3)[0]`.

    Args:
      apply: `apply(params, observation) -> q_values`, float (A,), for one observation.

    Returns:
      `policy(params, observation, key, epsilon) -> action`, int32 (). The key is consumed.
    """

    def policy(params: Params, observation: jax.Array, key: jax.Array, epsilon: Any) -> jax.Array:
        _, uniform_key, action_key = jax.random.split(key, 3)
        q_values = apply(params, observation)
        _check_q_values(q_values.shape)
        random_action = jax.random.randint(action_key, (), 0, q_values.shape[-1])
        explore = jax.random.uniform(uniform_key) <= epsilon
        return jnp.where(explore, random_action, jnp.argmax(q_values)).astype(jnp.int32)

    return policy


def linearly_decaying_epsilon(
    decay_period: float, agent_step: Any, warmup: float, epsilon: float
) -> jax.Array:
    """Exploration schedule of DQN: 1 during the warm-up, linearly down to epsilon, then constant.

    Args:
      decay_period: agent steps over which epsilon decays, > 0.
      agent_step: agent steps taken so far, int or integer array.
      warmup: agent steps before the decay begins.
      epsilon: the final value, in [0, 1].

    Returns:
      float32 of the shape of agent_step.

    Raises:
      ValueError: when decay_period is a Python number <= 0.
    """
    if isinstance(decay_period, Real) and not decay_period > 0:
        raise ValueError(f"`decay_period` must be agent steps, > 0; got {decay_period!r}")
    # As an array, so that a Python int is computed with in float32 as a traced one is.
    steps_left = decay_period + warmup - jnp.asarray(agent_step)
    bonus = (1.0 - epsilon) * steps_left / decay_period
    return epsilon + jnp.clip(bonus, 0.0, 1.0 - epsilon)


def _q_learning_loss(apply: QFunction, discount: float, error: Callable) -> LossFunction:
    batched_apply = jax.vmap(apply, in_axes=(None, 0))

    def loss(params: Params, target_params: Params, batch: Batch) -> tuple[jax.Array, Metrics]:
        _check_batch(batch)
        q_values = batched_apply(params, batch.state)
        _check_q_values(q_values.shape[1:])
        chosen_q = jnp.take_along_axis(q_values, batch.action[:, None], axis=-1)[:, 0]
        next_q = jnp.max(batched_apply(target_params, batch.next_state), axis=-1)
        live = 1.0 - batch.terminal.astype(jnp.float32)
        target = jax.lax.stop_gradient(batch.reward + discount * next_q * live)
        return jnp.mean(error(target, chosen_q)), {"q_mean": jnp.mean(chosen_q)}

    return loss


def _check_batch(batch: Batch) -> None:
    # A reward of shape (B, 1) would broadcast to B x B targets and learn nonsense without an error.
    lengths = {name: jnp.shape(getattr(batch, name))[:1] for name in ("state", "next_state")}
    lengths |= {name: jnp.shape(getattr(batch, name)) for name in ("action", "reward", "terminal")}
    if len(set(lengths.values())) != 1 or len(jnp.shape(batch.action)) != 1:
        raise ValueError(
            "`batch` must have action, reward and terminal of shape (B,) and states of shape"
            f" (B, ...); got {lengths}"
        )


def _check_q_values(shape: tuple[int, ...]) -> None:
    if len(shape) != 1:
        raise ValueError(
            "`apply` must map one observation without a batch dimension to q_values of shape (A,);"
            f" got {shape}"
        )

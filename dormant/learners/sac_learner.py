# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Soft actor-critic with a learned temperature as a pure learner (Haarnoja et al., 2018).
One update computes what Dopamine's SAC agent computes on the same batch and key."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dormant.checks import check, check_function, check_number
from dormant.interventions.actions import Action
from dormant.learners.batches import Batch, check_batch, continues
from dormant.learners.learner import (
    NO_INTERVENTIONS,
    Interventions,
    Learner,
    LossFunction,
    Metrics,
    Params,
    Policy,
    TargetIntervention,
    gradient_learner,
)
from dormant.learners.losses import mse_loss
from dormant.learners.targets import TargetRule, soft_target, target_rule_of

# (network, observation, key) -> (mean_action, sampled_action, log_probability ())
Actor = Callable[[Params, jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]
# (network, observation, action) -> the two Q-values, each () or (1,)
Critic = Callable[[Params, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
_BRANCHES = ("log_alpha", "network")


@dataclasses.dataclass(frozen=True)
class ActorCritic:
    """SAC's networks, as functions of one observation without a batch dimension.

    Attributes:
      init: `init(key) -> {"network": the tree of both, "log_alpha": float () or (1,)}`; Dopamine
        starts with log_alpha 0.
      actor: `actor(network, observation, key) -> (mean_action, sampled_action, log_probability)`;
        `network` is `params["network"]`.
      critic: `critic(network, observation, action) -> (q1, q2)`, each () or (1,).

    Raises:
      ValueError: when one is not a function.
    """

    init: Callable[[jax.Array], Params]
    actor: Actor
    critic: Critic

    def __post_init__(self) -> None:
        check_function("init", self.init)
        check_function("actor", self.actor, "(network, observation, key)")
        check_function("critic", self.critic, "(network, observation, action)")


def sac(
    networks: ActorCritic,
    optimizer: optax.GradientTransformation,
    *,
    discount: float,
    target_entropy: float,
    target_smoothing: float | None = 0.005,
    target_period: int | None = None,
    reward_scale: float = 1.0,
    interventions: Interventions = NO_INTERVENTIONS,
) -> Learner:
    """SAC: twin critics, a stochastic actor and a learned temperature alpha.

    The loss is 0.5 * critic_loss + actor_loss + alpha_loss, each a mean over the batch:

    - critic_loss: sum over both critics of (Q - target)^2, with target = reward_scale * reward +
      discount * (1 - terminal) * (min Q_target(next state, a') - alpha * log_probability);
    - actor_loss: alpha * log_probability - min Q(state, sampled action), critics held fixed;
    - alpha_loss: log_alpha * (-log_probability - target_entropy).

    Deviations from the paper, as in Dopamine: a' and its log_probability come from the target
    network's actor, and a' is that actor's mean action while the log_probability is that of a
    sampled one; the temperature's loss is linear in log_alpha.

    Args:
      networks: actor, critics and their initializer.
      optimizer: any optax transformation over the tree of `init`; `optax.partition` for one per
        branch.
      discount: gamma ** n for n-step returns, in [0, 1].
      target_entropy: entropy the temperature steers to, nats (Dopamine: -0.5 per action dimension).
      target_smoothing: how far the target network moves to the online one at the end of every
        update, in [0, 1] (Polyak averaging); None to copy it instead.
      target_period: with target_smoothing None, gradient steps between two copies; None: the caller
        copies with `sync_target`.
      reward_scale: factor of the rewards.
      interventions: what tracks and what acts after the optimizer's step, `dormant.combine` for
        both networks. Graphs are those of the whole tree of `init`.

    Returns:
      A `Learner` of `Batch`es whose action is float (B, *action_shape). Besides `loss` its metrics,
      all before the step, are critic_loss, actor_loss, alpha_loss, alpha, and q_mean, the mean of
      both critics over the batch. Its `act` samples, `act_in_evaluation` gives the mean action,
      float action_shape; epsilon is ignored. The target of log_alpha is carried, but not used.

    Raises:
      ValueError: when an option is not allowed; from the learner's `init`, when the parameters do
        not have the two branches; on the first update, when shapes do not fit.
    """
    check(isinstance(networks, ActorCritic), "networks", "ActorCritic(...)", networks)
    check_number("discount", discount, 0, 1)
    check_number("target_entropy", target_entropy)
    check_number("reward_scale", reward_scale)

    def checked_init(key: jax.Array) -> Params:
        params = networks.init(key)
        branches = sorted(params) if isinstance(params, dict) else type(params).__name__
        if branches != list(_BRANCHES):
            raise ValueError(
                f"`init` must return a dict with the branches {list(_BRANCHES)}; got {branches}"
            )
        return params

    return gradient_learner(
        checked_init,
        optimizer,
        loss=_soft_actor_critic_loss(
            networks, float(discount), float(target_entropy), float(reward_scale)
        ),
        policy=_actor_policy(networks.actor, mean=False),
        evaluation_policy=_actor_policy(networks.actor, mean=True),
        target_rule=_target_rule(target_smoothing, target_period),
        interventions=interventions,
    )


def mirror_in_target(action: Action, name: str | None = None) -> TargetIntervention:
    """Does in the target network what an intervention has just done in the online one.

    The same neurons get the same fresh values: they are read from the online parameters, right
    after they were written. As the released code does with SAC's target critics in resets, and in
    ReDo with `reset_target_models`: they would else hold on to the old network that the new one is
    then fitted to.

    Args:
      action: of the intervention, on a graph of the learner's whole parameter tree.
      name: the intervention's name within `dormant.combine`; None where it stands alone.

    Returns:
      A function for `Interventions.target_intervention`.

    Raises:
      ValueError: if the action cannot be mirrored, such as pruning.
    """
    mirror = action.mirror
    if mirror is None:
        raise ValueError(f"`action` must be one that can be mirrored in a target; got {action!r}")

    def target_intervention(params: Params, target_params: Params, state: Any) -> Params:
        state = state if name is None else state[name]
        acted = state.report.step == state.step
        masks = {layer: state.masks[layer] for layer in action.layers}
        return mirror(params, target_params, masks, acted)

    return target_intervention


def _target_rule(smoothing: float | None, period: int | None) -> TargetRule:
    if smoothing is None:
        return target_rule_of(period)
    allowed = "None unless `target_smoothing` is None: the target is either copied or smoothed"
    check(period is None, "target_period", allowed, period)
    return soft_target(smoothing)


def _actor_policy(actor: Actor, mean: bool) -> Policy:
    def policy(params: Params, observation: jax.Array, key: jax.Array, epsilon: Any) -> jax.Array:
        del epsilon
        # Split as in Dopamine's `select_action`, whose agent carries on with the first key.
        mean_action, sampled_action, _ = actor(
            params["network"], observation, jax.random.split(key)[1]
        )
        return mean_action if mean else sampled_action

    return policy


def _soft_actor_critic_loss(
    networks: ActorCritic, discount: float, target_entropy: float, reward_scale: float
) -> LossFunction:
    actor, critic = networks.actor, networks.critic

    def q_values(network: Params, observation: jax.Array, action: jax.Array) -> jax.Array:
        """float (2,), of both critics."""
        return jnp.stack([jnp.squeeze(q_value) for q_value in critic(network, observation, action)])

    def of_one_transition(params, target_params, transition: Batch, key: jax.Array) -> Metrics:
        network, log_alpha = params["network"], jnp.squeeze(params["log_alpha"])
        target_network = target_params["network"]
        alpha = jnp.exp(jax.lax.stop_gradient(log_alpha))
        next_key, key = jax.random.split(key)

        next_action, _, next_log_probability = actor(
            target_network, transition.next_state, next_key
        )
        next_q = jnp.min(q_values(target_network, transition.next_state, next_action))
        next_value = next_q - alpha * next_log_probability
        remaining = discount * continues(transition)
        target = reward_scale * transition.reward + remaining * next_value
        q = q_values(network, transition.state, transition.action)
        critic_loss = jnp.sum(mse_loss(q, jax.lax.stop_gradient(target)))

        _, action, log_probability = actor(network, transition.state, key)
        fixed_critics = jax.lax.stop_gradient(network)
        actor_q = jnp.min(q_values(fixed_critics, transition.state, action))
        entropy_gap = jax.lax.stop_gradient(-log_probability - target_entropy)
        return {
            "critic_loss": critic_loss,
            "actor_loss": alpha * log_probability - actor_q,
            "alpha_loss": log_alpha * entropy_gap,
            "alpha": alpha,
            "q_mean": jnp.mean(q),
        }

    of_batch = jax.vmap(of_one_transition, in_axes=(None, None, 0, 0))

    def loss(
        params: Params, target_params: Params, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        check_batch(batch, ("reward", "terminal"), ("state", "action"))
        keys = jax.random.split(key, batch.reward.shape[0])
        metrics = jax.tree.map(jnp.mean, of_batch(params, target_params, batch, keys))
        total = 0.5 * metrics["critic_loss"] + metrics["actor_loss"] + metrics["alpha_loss"]
        return total, metrics

    return loss

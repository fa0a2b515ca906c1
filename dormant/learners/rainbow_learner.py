# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""C51, Rainbow, full Rainbow, DrQ(eps) and DER as one pure learner; what is on, an option says.
One update computes what Dopamine's (full) Rainbow agent computes on the same batch and key."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dormant.checks import check, check_choice, check_flag, check_function, check_number
from dormant.learners.batches import WeightedBatch, check_batch, continues
from dormant.learners.learner import (
    NO_INTERVENTIONS,
    Interventions,
    Learner,
    LossFunction,
    Metrics,
    Params,
    gradient_learner,
)
from dormant.learners.losses import LOSSES
from dormant.learners.q_learning import (
    KeyedQFunction,
    check_q_values,
    keyed_epsilon_greedy,
    of_actions,
)
from dormant.learners.targets import target_rule_of

# (params, observation, key) -> logits (A, N), or q_values (A,) without a support
KeyedNetwork = Callable[[Params, jax.Array, jax.Array], jax.Array]
# (states float32 (B, ...), key) -> states of the same shape
Augmentation = Callable[[jax.Array, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True, eq=False)
class RainbowOptions:
    """Which parts of Rainbow are on; by default none, which leaves DQN on weighted batches.

    Attributes:
      support: float (N,), the values of the atoms, increasing and equally spaced; None for Q-values
        instead of distributions.
      double: Double DQN's choice of the next action (van Hasselt et al., 2016).
      loss: without a support, "huber" (delta 1) or "mse"; not used with one.
      augment: `augment(states, key) -> states`, applied to the batch's state and next_state (two
        keys) as float32 (B, ...) in the units of the observations (Atari: pixels, 0 to 255).

    Raises:
      ValueError: when an option is not allowed.
    """

    support: Any = None
    double: bool = False
    loss: str = "huber"
    augment: Augmentation | None = None

    def __post_init__(self) -> None:
        check_choice("loss", self.loss, tuple(LOSSES))
        check_flag("double", self.double)
        if self.augment is not None:
            check_function("augment", self.augment, "(states, key)")
        if self.support is not None:
            _check_support(self.support)


_DQN = RainbowOptions()


def rainbow(
    apply: KeyedNetwork,
    init: Callable[[jax.Array], Params],
    optimizer: optax.GradientTransformation,
    *,
    discount: float,
    options: RainbowOptions = _DQN,
    evaluation_apply: KeyedNetwork | None = None,
    target_period: int | None = None,
    interventions: Interventions = NO_INTERVENTIONS,
) -> Learner:
    """Rainbow (Hessel et al., 2018) and its parts, on weighted batches.

    With a `support` it is distributional (C51, Bellemare et al., 2017): the cross-entropy between
    the projected distribution of reward + discount * Z_target(next state, a*) * (1 - terminal) and
    the predicted one. Without, it fits Q to reward + discount * Q_target(next state, a*) *
    (1 - terminal). a* is greedy in the target network, or in the online one with `double`.
    Dueling and noisy layers are the network's, n-step returns and priorities those of replay.

    `A` is the number of actions, `N` of atoms, `B` the batch size.

    Args:
      apply: `apply(params, observation, key)` for one observation without a batch dimension ->
        logits, float (A, N), with a support; q_values, float (A,), without. The key is for noisy
        layers; one key serves a whole batch, as in Dopamine. Other networks ignore it.
      init, optimizer, discount, target_period, interventions: as in `dqn`.
      options: which parts of Rainbow are on.
      evaluation_apply: as `apply`, with the noise off; None: `apply`.

    Returns:
      A `Learner` of `WeightedBatch`es. Besides `loss`, the mean of weight * loss over the batch,
      its metrics have `sample_loss` (B,) without the weights, for priorities, and `q_mean`, the
      mean Q-value of the batch's actions before the step (with the noise of the loss). Its `act`
      is epsilon-greedy and returns int32 ().

    Raises:
      ValueError: when an option is not allowed; on the first update, when shapes do not fit.
    """
    check_number("discount", discount, 0, 1)
    check(isinstance(options, RainbowOptions), "options", "RainbowOptions(...)", options)
    check_function("apply", apply, "(params, observation, key)")
    if evaluation_apply is None:
        evaluation_apply = apply
    check_function("evaluation_apply", evaluation_apply, "(params, observation, key)")
    atoms = None if options.support is None else jnp.asarray(options.support, jnp.float32)
    return gradient_learner(
        init,
        optimizer,
        loss=_weighted_loss(apply, float(discount), atoms, options),
        policy=keyed_epsilon_greedy(_q_function(apply, atoms)),
        evaluation_policy=keyed_epsilon_greedy(_q_function(evaluation_apply, atoms)),
        target_rule=target_rule_of(target_period),
        interventions=interventions,
    )


def project_distribution(
    values: jax.Array, probabilities: jax.Array, support: jax.Array
) -> jax.Array:
    """Moves a distribution onto the support's atoms (Bellemare et al., 2017, equation 7).

    Args:
      values: float (N,), values of the atoms to move, clipped to the support's range.
      probabilities: float (N,), their probabilities.
      support: float (M,), increasing and equally spaced.

    Returns:
      float (M,), the probabilities of the support's atoms.
    """
    low, high = support[0], support[-1]
    spacing = (high - low) / (support.shape[0] - 1)
    distance = jnp.abs(jnp.clip(values, low, high) - support[:, None])
    return jnp.sum(jnp.clip(1 - distance / spacing, 0, 1) * probabilities, axis=-1)


def _q_values(outputs: jax.Array, support: jax.Array | None) -> jax.Array:
    """Outputs that are Q-values already, or the means of logits (..., N) -> (...)."""
    return outputs if support is None else jnp.sum(support * jax.nn.softmax(outputs), axis=-1)


def _q_function(apply: KeyedNetwork, support: jax.Array | None) -> KeyedQFunction:
    def q_function(params: Params, observation: jax.Array, key: jax.Array) -> jax.Array:
        outputs = apply(params, observation, key)
        _check_outputs(outputs.shape, support)
        return _q_values(outputs, support)

    return q_function


def _weighted_loss(
    apply: KeyedNetwork, discount: float, support: jax.Array | None, options: RainbowOptions
) -> LossFunction:
    error, augment = LOSSES[options.loss], options.augment
    # One key for the whole batch, as in Dopamine: the noise is that of one network.
    batched_apply = jax.vmap(apply, in_axes=(None, 0, None))

    def targets(params, target_params, batch, key):
        """float (B,), or (B, N) probabilities."""
        outputs = batched_apply(target_params, batch.next_state, key)
        chooser = batched_apply(params, batch.next_state, key) if options.double else outputs
        best = jnp.argmax(_q_values(chooser, support), axis=-1)
        next_outputs = of_actions(outputs, best)
        remaining = discount * continues(batch)
        if support is None:
            return batch.reward + remaining * next_outputs
        values = batch.reward[:, None] + remaining[:, None] * support
        project = jax.vmap(project_distribution, in_axes=(0, 0, None))
        return project(values, jax.nn.softmax(next_outputs), support)

    def loss(
        params: Params, target_params: Params, batch: WeightedBatch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        check_batch(batch, ("action", "reward", "terminal", "weight"))
        if augment is not None:
            key, state_key, next_state_key = jax.random.split(key, 3)
            batch = batch._replace(
                state=augment(batch.state.astype(jnp.float32), state_key),
                next_state=augment(batch.next_state.astype(jnp.float32), next_state_key),
            )
        # Split by three, as in Dopamine, whose agent carries on with the last.
        online_key, target_key, _ = jax.random.split(key, 3)
        outputs = batched_apply(params, batch.state, online_key)
        _check_outputs(outputs.shape[1:], support)
        chosen = of_actions(outputs, batch.action)
        target = jax.lax.stop_gradient(targets(params, target_params, batch, target_key))
        if support is None:
            sample_loss = error(target, chosen)
        else:
            sample_loss = -jnp.sum(target * jax.nn.log_softmax(chosen), axis=-1)
        metrics = {"sample_loss": sample_loss, "q_mean": jnp.mean(_q_values(chosen, support))}
        return jnp.mean(batch.weight * sample_loss), metrics

    return loss


def _check_support(support: Any) -> None:
    try:
        atoms = np.asarray(support, np.float32)
    except (TypeError, ValueError, OverflowError):
        atoms = np.zeros(0, np.float32)
    is_vector = atoms.ndim == 1 and atoms.size > 1 and np.isfinite(atoms).all()
    spacing = np.diff(atoms) if is_vector else np.zeros(1)
    is_even = (spacing > 0).all() and np.allclose(spacing, spacing.mean(), rtol=1e-3)
    allowed = "None or at least 2 increasing, equally spaced values of shape (N,)"
    check(is_even, "support", allowed, support)


def _check_outputs(shape: tuple[int, ...], support: jax.Array | None) -> None:
    if support is None:
        check_q_values(shape)
    elif len(shape) != 2 or shape[1] != support.shape[0]:
        raise ValueError(
            "`apply` must map one observation without a batch dimension to logits of shape"
            f" (A, {support.shape[0]}); got {shape}"
        )

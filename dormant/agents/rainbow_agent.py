# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""C51, Rainbow, full Rainbow, DER and DrQ(eps) for Dopamine's runners, tracked and recycled.
Adapts `dormant.learners.rainbow`; networks and image augmentation are Dopamine's own."""

import types

import gin
import jax
from dopamine.jax.agents.full_rainbow.full_rainbow_agent import JaxFullRainbowAgent
from dopamine.jax.agents.rainbow.rainbow_agent import JaxRainbowAgent
from dopamine.labs.atari_100k.atari_100k_rainbow_agent import drq_image_augmentation

from dormant import learners
from dormant.agents import replay_sampling
from dormant.agents.discrete_agent import PrioritizedAgent
from dormant.agents.inherited_options import inherited_value, option_name
from dormant.checks import require, require_flag
from dormant.runs.options import LearnerOptions

# Networks scale their own inputs here.
_UNREAD = (
    "JaxDQNAgent.preprocess_fn",
    "JaxFullRainbowAgent.preprocess_fn",
)


def _check_vmin(agent: type) -> None:
    """Checks that the support begins where gin says: Dopamine takes 0 for None, which is -vmax."""
    vmin = inherited_value(agent, "vmin")
    require(vmin is None or vmin != 0, option_name(agent, "vmin"), "None or other than 0", vmin)


@gin.configurable
class DormantRainbowAgent(PrioritizedAgent, JaxRainbowAgent):
    """C51 (Bellemare et al., 2017) and Dopamine's Rainbow: C51, n-step, prioritized replay.

    `JaxRainbowAgent.*` bindings set everything that Dopamine's agent has; `LearnerOptions.*` the
    replay ratio, weight decay and the intervention.
    """

    unread_options = (*_UNREAD, "JaxDQNAgent.loss_type")

    def __init__(self, num_actions: int, options: LearnerOptions | None = None):
        _check_vmin(type(self))
        super().__init__(num_actions, options=options)

    def _build_learner(self) -> learners.Learner:
        observation = self._empty_state()

        def init(key):
            return self.network_def.init(key, observation, self._support)

        def logits(params, observation, unused_key=None):
            return self.network_def.apply(params, observation, self._support).logits

        batched = jax.vmap(logits, in_axes=(None, 0))
        parts = self._learner_parts(batched, init, observation[None])
        return learners.rainbow(
            logits,
            init,
            parts.optimizer,
            discount=self.cumulative_gamma,
            options=learners.RainbowOptions(support=self._support),
            **parts.after_step(),
        )


@gin.configurable
class DormantFullRainbowAgent(PrioritizedAgent, JaxFullRainbowAgent):
    """Full Rainbow (Hessel et al., 2018), and DER and DrQ(eps) by its switches.

    `JaxFullRainbowAgent.*` and `JaxDQNAgent.*` bindings set everything that Dopamine's agents have;
    `LearnerOptions.*` the replay ratio, weight decay and the intervention. With noisy layers,
    neurons are scored under the noise of one draw, as the network trains.
    """

    replaced_options = types.MappingProxyType(
        {
            "JaxFullRainbowAgent.num_updates_per_train_step": "LearnerOptions.replay_ratio",
            "Atari100kRainbowAgent.data_augmentation": "DormantFullRainbowAgent.data_augmentation",
            "Atari100kRainbowAgent.mse_loss": "JaxFullRainbowAgent.mse_loss",
            "Atari100kRainbowAgent.network": "JaxFullRainbowAgent.network",
            "Atari100kRainbowAgent.seed": "LearnerOptions.seed",
            "JaxDQNAgent.loss_type": "JaxFullRainbowAgent.mse_loss",
        }
    )
    unread_options = _UNREAD

    def __init__(
        self,
        num_actions: int,
        data_augmentation: bool = False,
        options: LearnerOptions | None = None,
    ):
        """Validates the options and builds the learner; touches no disk.

        Args:
          num_actions: A, the number of actions.
          data_augmentation: shift and intensity augmentation of training batches (DrQ), as
            Dopamine's `Atari100kRainbowAgent.data_augmentation`.
          options: None for `LearnerOptions()` as gin configures it.

        Raises:
          ConfigurationError: when an option is not allowed.
        """
        require_flag("DormantFullRainbowAgent.data_augmentation", data_augmentation)
        _check_vmin(type(self))
        self._augment = _augmentation if data_augmentation else None
        super().__init__(num_actions, options=options)

    def _build_learner(self) -> learners.Learner:
        observation = self._empty_state()
        network, support = self.network_def, self._support

        def init(key):
            return network.init(key, observation, support, key=key)

        def output(params, observation, key, eval_mode=False):
            result = network.apply(params, observation, support, key=key, eval_mode=eval_mode)
            return result.logits if self._distributional else result.q_values

        def without_noise(params, observation, key):
            return output(params, observation, key, eval_mode=True)

        batched = jax.vmap(output, in_axes=(None, 0, None))
        parts = self._learner_parts(batched, init, observation[None], jax.random.key(0))
        return learners.rainbow(
            output,
            init,
            parts.optimizer,
            discount=self.cumulative_gamma,
            options=learners.RainbowOptions(
                support=support if self._distributional else None,
                double=self._double_dqn,
                loss="mse" if self._mse_loss else "huber",
                augment=self._augment,
            ),
            evaluation_apply=without_noise,
            **parts.after_step(),
        )

    def _score_inputs(self, gradient_step: int, size: int) -> tuple:
        # Acting folds the key with the agent step: folded once more, this stream is another.
        stream = jax.random.fold_in(self._train_key, replay_sampling.SCORE_STREAM)
        noise = jax.random.fold_in(stream, gradient_step)
        return (*super()._score_inputs(gradient_step, size), noise)


def _augmentation(observations: jax.Array, key: jax.Array) -> jax.Array:
    return drq_image_augmentation(key, observations)

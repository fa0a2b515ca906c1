# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""DQN for Dopamine's runners, at any replay ratio, with its dormant neurons tracked and recycled.
Adapts `dormant.learners.dqn` to Dopamine; a `JaxDQNAgent` to everything that expects one."""

import functools
import types
from collections.abc import Callable
from typing import Any

import gin
import jax
from dopamine.jax.agents.dqn.dqn_agent import JaxDQNAgent

from dormant import learners
from dormant.agents.discrete_agent import DiscreteAgent
from dormant.checks import errors_of, require
from dormant.learners.networks import NETWORKS
from dormant.runs.options import LearnerOptions, bound_in_gin


@gin.configurable
class DormantDQNAgent(DiscreteAgent, JaxDQNAgent):
    """DQN (Mnih et al., 2015) with ReDo (Sokar et al., 2023).

    `JaxDQNAgent.*` bindings set everything that Dopamine's DQN has: gamma, update_horizon (n-step),
    min_replay_history, update_period, target_update_period, epsilon_*, optimizer, seed and so on;
    `LearnerOptions.*` the replay ratio, weight decay and the intervention.
    """

    replaced_options = types.MappingProxyType(
        {f"JaxDQNAgent.{name}": "DormantDQNAgent.network" for name in ("network", "preprocess_fn")}
    )

    def __init__(
        self,
        num_actions: int,
        network: str | Callable[..., Any] = "nature",
        width: float = 1,
        activation: str = "relu",
        loss: str | None = None,
        options: LearnerOptions | None = None,
    ):
        """Validates the options and builds the learner; touches no disk.

        Args:
          num_actions: A, the number of actions.
          network: "nature" (CNN), "impala" (ResNet), or a Flax module for one observation, such as
            Dopamine's `@networks.ClassicControlDQNNetwork`.
          width: multiplies the neurons of every hidden layer of "nature" and "impala" (fig. 12).
          activation: of "nature" and "impala": "relu" or "leaky_relu" (slope 0.01, fig. 21).
          loss: "huber" or "mse"; None for what JaxDQNAgent.loss_type is bound to, else "huber".
          options: None for `LearnerOptions()` as gin configures it.

        Raises:
          ConfigurationError: when an option is not allowed.
        """
        self._loss = bound_in_gin("JaxDQNAgent.loss_type", "huber") if loss is None else loss
        module = _network(network, width, activation)
        super().__init__(num_actions, network=module, options=options)

    def _build_learner(self) -> learners.Learner:
        observation = self._empty_state()

        def init(key):
            return self.network_def.init(key, observation)

        def q_function(params, observation):
            output = self.network_def.apply(params, observation)
            # Dopamine's networks return a named tuple.
            return getattr(output, "q_values", output)

        batched = jax.vmap(q_function, in_axes=(None, 0))
        parts = self._learner_parts(batched, init, observation[None])
        return learners.dqn(
            q_function,
            init,
            parts.optimizer,
            discount=self.cumulative_gamma,
            loss=self._loss,
            **parts.after_step(),
        )


def _network(network: Any, width: Any, activation: Any) -> Callable[..., Any]:
    """What makes the network: called with num_actions."""
    if isinstance(network, str) and network in NETWORKS:
        module = functools.partial(NETWORKS[network], width=width, activation=activation)
        with errors_of("DormantDQNAgent"):
            module(num_actions=1)  # checks its options
        return module
    names = list(map(repr, NETWORKS))
    allowed = f"{', '.join(names)} or a Flax module such as @networks.ClassicControlDQNNetwork"
    require(callable(network), "DormantDQNAgent.network", allowed, network)
    for option, value, default in (("width", width, 1), ("activation", activation, "relu")):
        allowed = f"left out unless the network is {' or '.join(names)}"
        require(value == default, f"DormantDQNAgent.{option}", allowed, value)
    return network

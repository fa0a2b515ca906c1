# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What agents with a finite set of actions add to `LearnerAgent`: epsilon-greedy acting, and
prioritized replay where the Dopamine agent has it."""

import collections
import types
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from dormant.agents.agent_options import check_observations, options_of
from dormant.agents.inherited_options import inherited_option, option_name
from dormant.agents.learner_agent import LearnerAgent
from dormant.checks import require, require_choice
from dormant.learners import WeightedBatch
from dormant.replay import importance_weights
from dormant.runs.options import LearnerOptions

# Dopamine's, so that no transition that was drawn has priority 0.
_EPSILON = 1e-10


class DiscreteAgent(LearnerAgent):
    """A `LearnerAgent` over `JaxDQNAgent` or a subclass of it: put it before that in the bases."""

    counts = types.MappingProxyType({**LearnerAgent.counts, "epsilon_decay_period": 1})
    fractions = (*LearnerAgent.fractions, "epsilon_train", "epsilon_eval")
    functions = (*LearnerAgent.functions, "epsilon_fn")

    @classmethod
    def for_environment(cls, environment: Any) -> "DiscreteAgent":
        """The agent for a Dopamine environment; everything else comes from gin.

        Raises:
          ConfigurationError: when an option is not allowed, or observations of the environment's
            kind could not be stored as the agent would.
        """
        agent = cls(num_actions=int(environment.action_space.n))
        space = getattr(environment, "observation_space", None)
        # MinAtar's is the shape alone: its first observation is checked.
        shape, dtype = getattr(space, "shape", None), getattr(space, "dtype", None)
        check_observations(agent, shape, dtype)
        return agent

    def _build_networks_and_optimizer(self) -> None:
        try:
            epsilon = jax.eval_shape(self._training_epsilon, jax.ShapeDtypeStruct((), np.int32))
            is_number = jax.numpy.shape(epsilon) == ()
        except (TypeError, ValueError):
            is_number = False
        allowed = "a function (decay_period, agent_step, warmup, epsilon) that returns a number"
        require(is_number, option_name(type(self), "epsilon_fn"), allowed, self.epsilon_fn)
        super()._build_networks_and_optimizer()

    def _training_epsilon(self, agent_step: jax.Array) -> jax.Array | float:
        return self.epsilon_fn(
            self.epsilon_decay_period, agent_step, self.min_replay_history, self.epsilon_train
        )

    @property
    def online_params(self) -> Any:
        return self._learner_state.params

    @property
    def target_network_params(self) -> Any:
        return self._learner_state.target_params

    @property
    def optimizer_state(self) -> Any:
        return self._learner_state.opt_state


class PrioritizedAgent(DiscreteAgent):
    """A `DiscreteAgent` over a Dopamine agent with a `replay_scheme`.

    Dopamine's constructor sets the scheme back to uniform (google/dopamine #230), so that its
    agents never prioritize; here it is what gin binds or the agent's default. The learner's metrics
    must hold `sample_loss` (B,).
    """

    def __init__(self, *arguments: Any, options: LearnerOptions | None = None, **inherited: Any):
        scheme = inherited_option(type(self), "replay_scheme", "uniform")
        require_choice("replay_scheme", scheme, ("prioritized", "uniform"))
        options = options_of(type(self), options)
        # Before the replay is built.
        self.prioritizes = scheme == "prioritized" and options.replay_scheme == "configured"
        self._sampled_keys: collections.deque[np.ndarray] = collections.deque()
        if self.prioritizes:
            self._after_update = self._set_priorities
        super().__init__(*arguments, options=options, **inherited)

    def _training_batch(self) -> WeightedBatch:
        sample = self._replay.sample()
        if self.prioritizes:
            self._sampled_keys.append(sample.keys)
        # All 1 where transitions are drawn uniformly.
        weight = importance_weights(sample.probabilities)
        return WeightedBatch(*sample.batch, weight=weight)

    def _set_priorities(self, metrics: Mapping[str, Any]) -> None:
        """To the root of the loss. Where that is not finite they stay: `check_finite` ends the run
        then, after this burst."""
        keys, loss = self._sampled_keys.popleft(), np.asarray(metrics["sample_loss"], np.float64)
        if np.isfinite(loss).all():
            self._replay.set_priorities(keys, np.sqrt(loss + _EPSILON))

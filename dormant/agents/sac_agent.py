# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""SAC for Dopamine's continuous runners, with actor and critics each tracked and recycled.
Adapts `dormant.learners.sac`; the networks are Dopamine's own."""

import dataclasses
from collections.abc import Callable
from typing import Any

import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax
from dopamine.jax.agents.dqn.dqn_agent import create_optimizer
from dopamine.jax.agents.sac.sac_agent import SACAgent

import dormant
from dormant import learners
from dormant.agents.learner_agent import LearnerAgent, LearnerParts
from dormant.checks import require, require_choice, require_flag
from dormant.runs.options import LearnerOptions


@gin.configurable
class DormantSACAgent(LearnerAgent, SACAgent):
    """SAC (Haarnoja et al., 2018) with ReDo (Sokar et al., 2023) on actor and twin critics.

    `SACAgent.*` bindings set everything that Dopamine's SAC has, such as hidden_units (table 6) and
    reward_scale_factor; `LearnerOptions.*` the replay ratio, weight decay and the intervention,
    which is applied to the actor and to the critics, each with its own graph.
    """

    control = "continuous"
    # Dopamine's SAC has none of them either: it explores by its policy.
    unread_options = tuple(
        f"JaxDQNAgent.{name}"
        for name in (
            *("epsilon_fn", "epsilon_train", "epsilon_eval", "epsilon_decay_period"),
            *("loss_type", "preprocess_fn"),
        )
    )

    def __init__(
        self,
        action_shape: tuple[int, ...],
        action_limits: tuple[np.ndarray, np.ndarray],
        observation_shape: tuple[int, ...],
        change_target_critics: bool = False,
        options: LearnerOptions | None = None,
    ):
        """Validates the options and builds the learner; touches no disk.

        Args:
          action_shape: shape of an action.
          action_limits: lowest and highest actions, each of that shape.
          observation_shape: shape of an observation.
          change_target_critics: whether what is recycled or reset in the critics is so in the
            target critics too, with the same fresh weights. The released TensorFlow code does so
            in resets; in ReDo only with its `reset_target_models`, which is off.
          options: None for `LearnerOptions()` as gin configures it.

        Raises:
          ConfigurationError: when an option is not allowed.
        """
        require_flag("DormantSACAgent.change_target_critics", change_target_critics)
        self._change_target_critics = change_target_critics
        super().__init__(
            action_shape,
            action_limits,
            observation_shape,
            action_dtype=np.float32,
            observation_dtype=np.float32,
            options=options,
        )

    @classmethod
    def for_environment(cls, environment: Any) -> "DormantSACAgent":
        """The agent for a Dopamine environment; everything else comes from gin."""
        space = environment.action_space
        return cls(space.shape, (space.low, space.high), environment.observation_space.shape)

    def _build_learner(self) -> learners.Learner:
        require_choice("SACAgent.target_update_type", self.target_update_type, ("soft", "hard"))
        soft = self.target_update_type == "soft"
        network = self.network_def
        observation = self._empty_state()
        action = jnp.zeros(self.action_shape)

        def init(key):
            variables = network.init(key, observation, key)
            return {"network": variables["params"], "log_alpha": jnp.zeros(1)}

        def actor(weights, observation, key):
            return network.apply({"params": weights}, observation, key, method=network.actor)

        def critic(weights, observation, action):
            return network.apply({"params": weights}, observation, action, method=network.critic)

        def mean_action(params, observation, unused_action):
            # The key has no effect on the mean.
            return actor(params["network"], observation, jax.random.key(0)).mean_action

        def q_values(params, observation, action):
            return critic(params["network"], observation, action)

        parts = {
            name: self._learner_parts(
                jax.vmap(apply, in_axes=(None, 0, 0)), init, observation[None], action[None]
            )
            for name, apply in {"actor": mean_action, "critic": q_values}.items()
        }
        return learners.sac(
            learners.ActorCritic(init, actor, critic),
            parts["actor"].optimizer,
            discount=self.cumulative_gamma,
            target_entropy=self.target_entropy,
            target_smoothing=self.target_smoothing_coefficient if soft else None,
            target_period=None if soft else parts["actor"].target_period,
            reward_scale=self.reward_scale_factor,
            interventions=self._interventions(parts),
        )

    def _interventions(self, parts: dict[str, LearnerParts]) -> learners.Interventions:
        bundles = {name: part.interventions for name, part in parts.items()}
        tracker = dormant.combine(**{name: each.tracker for name, each in bundles.items()})
        options = self._options.intervention
        if options is None:
            return learners.Interventions(tracker)
        known = tuple(name for part in parts.values() for name in part.graph.incoming)
        for option in ("layers", "head", "also"):
            names = getattr(options, option, ())
            for name in () if isinstance(names, str) else names:
                require_choice(f"{options.name}.{option}", name, known)
        return learners.Interventions(
            tracker,
            dormant.combine(**{name: each.intervention for name, each in bundles.items()}),
            self._target_intervention(parts["critic"]),
        )

    def _target_intervention(self, critic: LearnerParts) -> Callable | None:
        options = self._of_network(critic.graph) if self._change_target_critics else None
        if options is None:
            return None
        action = options.action(critic.graph, critic.init, critic.optimizer)
        name = "DormantSACAgent.change_target_critics"
        is_mirrored = action.mirror is not None
        require(is_mirrored, name, "False unless the intervention recycles or resets", True)
        return learners.mirror_in_target(action, "critic")

    def _intervention(self, graph: dormant.NeuronGraph, *traced: Any) -> dormant.Intervention:
        options = self._of_network(graph)
        if options is None:
            options = self._options.intervention
            names = ("period", "start", "end")
            timing = {name: getattr(options, name) for name in names if hasattr(options, name)}
            return dormant.track(graph, score_batch=options.score_batch, **timing)
        return options.intervention(graph, *traced)

    def _of_network(self, graph: dormant.NeuronGraph) -> Any:
        """The intervention's options for one network; None where it has no layer to reset."""
        options = self._options.intervention
        if getattr(options, "also", ()):
            own = [name for name in options.also if name in graph.names]
            return dataclasses.replace(options, also=own)
        # Each network's own layers: they share one tree, of which "all" would be redrawn twice.
        named = {name: getattr(options, name, "last_hidden") for name in ("layers", "head")}
        own = {
            name: [layer for layer in graph.incoming if layers == "all" or layer in layers]
            for name, layers in named.items()
            if layers != "last_hidden"
        }
        if not own.get("layers", [""]):
            return None
        return dataclasses.replace(options, **own) if own else options

    # Acting.

    def _action_kind(self) -> tuple[tuple[int, ...], Any]:
        return self.action_shape, np.float32

    def _compile_policies(self, learner: learners.Learner) -> tuple[Callable, Callable]:
        low, high = self.action_limits

        @jax.jit
        def act_at_random(unused_state, unused_observation, key, step):
            key = jax.random.fold_in(key, step)
            return jax.random.uniform(key, self.action_shape, jnp.float32, low, high)

        self._act_at_random = act_at_random
        return super()._compile_policies(learner)

    def _policy_of_this_step(self) -> tuple[Callable[..., Any], jax.Array, int]:
        # As in Dopamine: until learning begins actions are uniform, in evaluation too.
        begun = self._replay.add_count > self.min_replay_history
        act, key, step = super()._policy_of_this_step()
        return act if begun else self._act_at_random, key, step

    # Learning.

    @property
    def _follows_agent_steps(self) -> bool:
        # A soft target moves at every gradient step, inside the update.
        return self.target_update_type == "hard" and super()._follows_agent_steps

    def _create_optimizer(self, graph: dormant.NeuronGraph) -> optax.GradientTransformation:
        # One optimizer trains the networks of several graphs.
        regularizers = self._options.regularizers
        require(not regularizers, "LearnerOptions.regularizers", "() with SAC", regularizers)
        optimizer = super()._create_optimizer(graph)
        if self._options.weight_decay == 0:
            return optimizer
        # The temperature is no weight: it does not decay.
        plain = create_optimizer(self._optimizer_name)
        branches = {"network": optimizer, "log_alpha": plain}
        return optax.partition(branches, {branch: branch for branch in branches})

    def _score_inputs(self, gradient_step: int, size: int) -> tuple:
        batch = self._score_batch(gradient_step, size)
        return batch.state, batch.action

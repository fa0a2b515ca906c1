"""DQN for Dopamine's runners, at any replay ratio, with its dormant neurons tracked and recycled.
Adapts `dormant.learners.dqn` to Dopamine; a `JaxDQNAgent` to everything that expects one."""

import functools

import gin
import jax
import jax.numpy as jnp
from dopamine.jax.agents.dqn.dqn_agent import JaxDQNAgent

import dormant
from dormant import learners
from dormant.agents.learner_agent import LearnerAgent
from dormant.agents.optimizers import create_optimizer
from dormant.agents.options import (
    LearnerOptions,
    bound_in_gin,
    is_number,
    require,
    require_choice,
)
from dormant.agents.redo_config import ReDo, Tracker

_NETWORKS = {"nature": learners.NatureCNN, "impala": learners.ImpalaResNet}
_LOSSES = ("huber", "mse")


@gin.configurable
class DormantDQNAgent(LearnerAgent, JaxDQNAgent):
    """DQN (Mnih et al., 2015) with ReDo (Sokar et al., 2023).

    `JaxDQNAgent.*` bindings set everything that Dopamine's DQN has: gamma, update_horizon (n-step),
    min_replay_history, update_period, target_update_period, epsilon_*, optimizer, seed and so on.
    """

    def __init__(
        self,
        num_actions: int,
        replay_ratio: float = 0.25,
        network: str = "nature",
        width: float = 1,
        loss: str | None = None,
        target_update_unit: str = "agent_steps",
        weight_decay: float = 0.0,
        redo: ReDo | None = None,
        tracker: Tracker | None = None,
        seed: int | None = None,
    ):
        """Validates the options and builds the learner; touches no disk.

        Args:
          num_actions: A, the number of actions.
          replay_ratio: gradient updates per agent step. Every update_period agent steps there is a
            burst of replay_ratio * update_period updates, which must be a whole number >= 1.
          network: "nature" (CNN) or "impala" (ResNet).
          width: multiplies the neurons of every hidden layer (fig. 12).
          loss: "huber" or "mse"; None for what JaxDQNAgent.loss_type is bound to, else "huber".
          target_update_unit: "agent_steps" (the paper) or "gradient_steps": what
            JaxDQNAgent.target_update_period counts.
          weight_decay: coefficient of the L2 term added to the gradient (fig. 1: 1e-5).
          redo: `@ReDo()` to recycle dormant neurons; None to only track them.
          tracker: None for `Tracker()` as gin configures it.
          seed: fixes everything random in the run; None for what JaxDQNAgent.seed is bound to,
            else 0.

        Raises:
          ConfigurationError: when an option is not allowed.
        """
        loss = bound_in_gin("JaxDQNAgent", "loss_type", "huber") if loss is None else loss
        seed = bound_in_gin("JaxDQNAgent", "seed", None) if seed is None else seed
        require_choice("DormantDQNAgent.network", tuple(_NETWORKS), network)
        require_choice("DormantDQNAgent.loss", _LOSSES, loss)
        is_width = is_number(width, 0.0) and width > 0
        require(is_width, "DormantDQNAgent.width", "a number > 0", width)
        self._loss = loss
        self._options = LearnerOptions(
            replay_ratio=replay_ratio,
            target_update_unit=target_update_unit,
            weight_decay=weight_decay,
            redo=redo,
            tracker=Tracker() if tracker is None else tracker,
        )
        super().__init__(
            num_actions,
            network=functools.partial(_NETWORKS[network], width=width),
            seed=0 if seed is None else seed,
        )

    def _build_learner(self) -> learners.Learner:
        observation = jnp.zeros(self.state.shape, self.observation_dtype)
        options = self._options
        apply = self.network_def.apply

        def init(key):
            return self.network_def.init(key, observation)

        graph = dormant.trace(apply, jax.eval_shape(init, jax.random.key(0)), observation[None])
        redo = options.redo
        optimizer = create_optimizer(
            self._optimizer_name,
            weight_decay=options.weight_decay,
            per_entry_count=redo is not None and redo.adam_count == "per_entry",
        )
        by_agent_steps = options.target_update_unit == "agent_steps"
        return learners.dqn(
            apply,
            init,
            optimizer,
            discount=self.cumulative_gamma,
            loss=self._loss,
            target_period=None if by_agent_steps else self.target_update_period,
            tracker=options.tracker.intervention(graph),
            intervention=None if redo is None else redo.intervention(graph, init, optimizer),
        )

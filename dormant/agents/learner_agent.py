"""What every Dopamine agent over a pure learner shares: replay, counters, updates, checkpoints.
It owns no algorithm: a subclass says which learner, and its constructor names the options."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from dopamine.metrics.statistics_instance import StatisticsInstance
from flax import serialization

from dormant.agents import metrics, replay_sampling
from dormant.agents.burst import device_state, make_burst, numpy_state
from dormant.agents.options import (
    ConfigurationError,
    LearnerOptions,
    bound_in_gin,
    is_number,
    require,
    require_whole_number,
    updates_per_burst,
)
from dormant.learners import Learner


class LearnerAgent:
    """Makes updates, actions and target of a Dopamine agent those of a pure learner.

    Put it before `JaxDQNAgent`, or a subclass of that, in the bases. The agent sets `self._options`
    (`LearnerOptions`), calls this constructor and implements `_build_learner`. Every gin binding of
    `JaxDQNAgent` works; those that name a part the learner replaces (`network`, `preprocess_fn`)
    are refused.

    All randomness derives from the seed and from counters that a checkpoint holds, except the
    replay's sampler, whose random state Dopamine's own checkpoint holds.
    """

    _options: LearnerOptions

    def __init__(self, num_actions: int, *, seed: int, **inherited: Any):
        """Builds the agent; touches no disk.

        Args:
          num_actions: A, the number of actions.
          seed: fixes everything random in the run.
          **inherited: further arguments of the Dopamine agent; gin binds the others.

        Raises:
          ConfigurationError: when an option is not allowed.
        """
        require_whole_number("seed", 0, seed)
        for replaced in ("network", "preprocess_fn"):
            bound = bound_in_gin("JaxDQNAgent", replaced, None)
            allowed = f"left out: bind {type(self).__name__}.network instead"
            require(bound is None, f"JaxDQNAgent.{replaced}", allowed, bound)
        self.gradient_step = 0
        self._evaluation_steps = 0
        self._metrics: Mapping[str, jax.Array] = {}
        self._on_tracking: Callable[[dict[str, Any]], None] | None = None
        super().__init__(num_actions, seed=seed, summary_writer=None, **inherited)
        # Dopamine keeps its frame stack in float64 and copies it to the device at every step.
        self.state = np.zeros(self.state.shape, self.observation_dtype)

    @classmethod
    def for_environment(cls, environment: Any) -> "LearnerAgent":
        """The agent for a Dopamine environment; everything else comes from gin."""
        return cls(num_actions=int(environment.action_space.n))

    def _build_learner(self) -> Learner:
        """The pure learner, from the options and from what JaxDQNAgent's constructor stored."""
        raise NotImplementedError

    def _build_replay_buffer(self) -> Any:
        for parameter in ("batch_size", "max_capacity"):
            value = bound_in_gin("ReplayBuffer", parameter, None)
            require_whole_number(f"ReplayBuffer.{parameter}", 1, value)
        whole_numbers = {"update_horizon": 1, "min_replay_history": 0, "update_period": 1}
        whole_numbers |= {"target_update_period": 1, "summary_writing_frequency": 1}
        for parameter, minimum in whole_numbers.items():
            require_whole_number(f"JaxDQNAgent.{parameter}", minimum, getattr(self, parameter))
        for parameter in ("gamma", "epsilon_train", "epsilon_eval"):
            value = getattr(self, parameter)
            allowed = "a number in [0, 1]"
            require(is_number(value, 0.0, 1.0), f"JaxDQNAgent.{parameter}", allowed, value)
        return super()._build_replay_buffer()

    def _build_networks_and_optimizer(self) -> None:
        self._updates_per_burst = updates_per_burst(self._options.replay_ratio, self.update_period)
        tracking_period = self._options.tracker.tracking_period
        require(
            tracking_period >= self._updates_per_burst,
            "Tracker.tracking_period",
            f"at least the {self._updates_per_burst} gradient steps of one burst"
            " (replay_ratio * update_period)",
            tracking_period,
        )
        root = jax.random.key(self._seed)
        init_key, self._train_key, self._evaluation_key = jax.random.split(root, 3)
        learner = self._build_learner()
        self._learner = learner
        # Compiled as one program: Flax would run its initializer operation by operation.
        self._learner_state = jax.jit(learner.init)(init_key)
        self._burst = make_burst(learner)
        self._act_in_training, self._act_in_evaluation = self._compile_policies(learner)

    def _compile_policies(self, learner: Learner) -> tuple[Callable, Callable]:
        @jax.jit
        def act_in_training(state, observation, key, agent_step):
            epsilon = self.epsilon_fn(
                self.epsilon_decay_period, agent_step, self.min_replay_history, self.epsilon_train
            )
            return learner.act(state, observation, jax.random.fold_in(key, agent_step), epsilon)

        @jax.jit
        def act_in_evaluation(state, observation, key, evaluation_step):
            key = jax.random.fold_in(key, evaluation_step)
            return learner.act(state, observation, key, self.epsilon_eval)

        return act_in_training, act_in_evaluation

    # What Dopamine's tools read from an agent.

    @property
    def seed(self) -> int:
        """The one seed of the run."""
        return self._seed

    @property
    def learner_state(self) -> Any:
        """The learner's `LearnerState`; donated at the next update, so copy what is to be kept."""
        return self._learner_state

    @property
    def online_params(self) -> Any:
        return self._learner_state.params

    @property
    def target_network_params(self) -> Any:
        return self._learner_state.target_params

    @property
    def optimizer_state(self) -> Any:
        return self._learner_state.opt_state

    # Acting.

    def begin_episode(self, observation: np.ndarray) -> int:
        self._reset_state()
        self._record_observation(observation)
        if not self.eval_mode:
            self._train_step()
        return self._select_action()

    def step(self, reward: float, observation: np.ndarray) -> int:
        self._last_observation = self._observation
        self._record_observation(observation)
        if not self.eval_mode:
            self._store_transition(self._last_observation, self.action, reward, False)
            self._train_step()
        return self._select_action()

    def _select_action(self) -> int:
        if self.eval_mode:
            act, key, step = self._act_in_evaluation, self._evaluation_key, self._evaluation_steps
            self._evaluation_steps += 1
        else:
            act, key, step = self._act_in_training, self._train_key, self.training_steps
        self.action = int(act(self._learner_state, self.state, key, step))
        return self.action

    # Learning.

    def _train_step(self) -> None:
        if self._replay.add_count > self.min_replay_history:
            if self.training_steps % self.update_period == 0:
                self._update_burst()
            by_agent_steps = self._options.target_update_unit == "agent_steps"
            if by_agent_steps and self.training_steps % self.target_update_period == 0:
                self._sync_weights()
        self.training_steps += 1

    def _update_burst(self) -> None:
        options = self._options
        first = self.gradient_step + 1
        steps = range(first, first + self._updates_per_burst)
        tracking_due = [options.tracker.is_due(step) for step in steps]
        redo_due = [options.redo is not None and options.redo.is_due(step) for step in steps]
        due = [tracking or redo for tracking, redo in zip(tracking_due, redo_due, strict=True)]
        score_inputs = None
        if any(due):
            size = (options.redo if any(redo_due) else options.tracker).score_batch
            score_inputs = self._score_inputs(steps[due.index(True)], size)
        batches = (self._training_batch() for _ in steps)
        self._learner_state, self._metrics = self._burst(
            self._learner_state, batches, score_inputs, due
        )
        self.gradient_step = steps[-1]
        if any(tracking_due):
            self._report_tracking()
        self._report_loss()

    def _training_batch(self) -> Any:
        return replay_sampling.training_batch(self._replay)

    def _score_inputs(self, gradient_step: int, size: int) -> tuple:
        generator = replay_sampling.score_generator(self._seed, gradient_step)
        return (replay_sampling.score_states(self._replay, generator, size),)

    def _sync_weights(self) -> None:
        self._learner_state = self._learner.sync_target(self._learner_state)

    # Reporting. Nothing is fetched from the device but what is written.

    def set_tracking_listener(self, listener: Callable[[dict[str, Any]], None]) -> None:
        """Has listener called with each record of `metrics.tracking_record`."""
        self._on_tracking = listener

    def _report_tracking(self) -> None:
        if self._on_tracking is None:
            return
        record = metrics.tracking_record(
            self._learner_state.tracker,
            None if self._options.redo is None else self._learner_state.intervention,
            self._metrics,
            agent_step=self.training_steps,
        )
        self._on_tracking(record)

    def _report_loss(self) -> None:
        is_due = self.training_steps % self.summary_writing_frequency == 0
        if is_due and self.training_steps > 0 and hasattr(self, "collector_dispatcher"):
            self.collector_dispatcher.write(
                [StatisticsInstance("Loss", float(self._metrics["loss"]), self.training_steps)],
                collector_allowlist=self._collector_allowlist,
            )

    # Checkpoints.

    def bundle_and_checkpoint(self, checkpoint_dir: str, iteration_number: int) -> dict | None:
        """Saves the replay and returns everything else, as Dopamine's runner expects."""
        if not os.path.isdir(checkpoint_dir):
            return None
        self._replay.save(checkpoint_dir, iteration_number)
        return {
            "state": self.state,
            "training_steps": self.training_steps,
            "gradient_step": self.gradient_step,
            "evaluation_steps": self._evaluation_steps,
            "seed": self._seed,
            "learner": serialization.to_state_dict(numpy_state(self._learner_state)),
        }

    def unbundle(
        self, checkpoint_dir: str, iteration_number: int, bundle_dictionary: dict | None
    ) -> bool:
        """Restores what `bundle_and_checkpoint` saved; False where the checkpoint is not whole.

        Raises:
          ConfigurationError: when the checkpoint was written with another seed or another network,
            optimizer or recycler.
        """
        try:
            self._replay.load(checkpoint_dir, iteration_number)
        except FileNotFoundError:
            if not self.allow_partial_reload:
                return False
            print(f"no replay in checkpoint {iteration_number}: it starts empty", file=sys.stderr)
        if bundle_dictionary is None:
            return self.allow_partial_reload
        self._restore(bundle_dictionary, f"checkpoint {iteration_number} in {checkpoint_dir}")
        return True

    def _restore(self, bundle: dict[str, Any], where: str) -> None:
        if bundle["seed"] != self._seed:
            raise ConfigurationError(
                f"seed must be that of {where}, {bundle['seed']}; received {self._seed}"
            )
        try:
            restored = serialization.from_state_dict(self._learner_state, bundle["learner"])
            self._learner_state = device_state(self._learner_state, restored)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{where} was written with another network, optimizer or recycler; continue it with"
                f" its own gin file or give another --base_dir ({error})"
            ) from error
        self.state = bundle["state"]
        self.training_steps = bundle["training_steps"]
        self.gradient_step = bundle["gradient_step"]
        self._evaluation_steps = bundle["evaluation_steps"]

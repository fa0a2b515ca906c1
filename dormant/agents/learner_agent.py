# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What every Dopamine agent over a pure learner shares: replay, counters, updates, checkpoints.
It owns no algorithm: a subclass says which learner it is, and what its actions look like."""

import math
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from dopamine.jax.agents.dqn.dqn_agent import JaxDQNAgent
from dopamine.metrics.statistics_instance import StatisticsInstance

import dormant
from dormant import learners
from dormant.agents import replay_sampling
from dormant.agents.agent_options import check_inherited, check_observations, options_of, seed_of
from dormant.agents.burst import make_burst
from dormant.agents.inherited_options import check_no_dead_bindings, option_name
from dormant.agents.optimizers import create_optimizer
from dormant.checks import NotFinite, errors_of, require
from dormant.learners.finiteness import check_finite, of_all, places
from dormant.learners.targets import target_rule_of
from dormant.memory import bytes_of, check_memory, check_network_memory, device_memory
from dormant.records import metrics
from dormant.replay import ReplayBuffer
from dormant.runs.checkpoints import placed
from dormant.runs.host_arrays import forms_of
from dormant.runs.options import LearnerOptions, updates_per_burst
from dormant.xla_cpu import is_cpu

# What the host keeps of an update while its burst is under way.
_BYTES_OF_AN_UPDATE = 200


class LearnerParts(NamedTuple):
    """What an agent's options make of a network: the arguments that every learner takes."""

    init: Callable[[jax.Array], Any]  # init(key) -> params
    optimizer: optax.GradientTransformation
    graph: dormant.NeuronGraph
    interventions: learners.Interventions
    target_period: int | None  # gradient steps; None: the agent syncs by agent steps

    def after_step(self) -> dict[str, Any]:
        """What a learner does after its optimizer's step, as keyword arguments."""
        return {"target_period": self.target_period, "interventions": self.interventions}

    def step_learner(self, step: Callable, policy: Callable) -> learners.Learner:
        """`learners.step_learner` around an existing optimizer step; see docs/add-an-agent.md."""
        return learners.step_learner(
            self.init,
            self.optimizer,
            step=step,
            policy=policy,
            target_rule=target_rule_of(self.target_period),
            interventions=self.interventions,
        )


class LearnerAgent:
    """Makes updates and target of a Dopamine agent those of a pure learner.

    Put it before a Dopamine agent in the bases and implement `_build_learner`. Every gin binding of
    the Dopamine agent works; `LearnerOptions.*` add what all agents of this package have.

    All randomness derives from the seed and from what a checkpoint holds: counters, and the state
    of the replay's own generator.
    """

    # {option of Dopamine: the one that takes its place}: refused, as it would do nothing.
    replaced_options: Mapping[str, str] = types.MappingProxyType({})
    unread_options: tuple[str, ...] = ()  # refused, too
    # Options of the Dopamine agent that are whole numbers, with the least of each, and numbers in
    # [0, 1]: checked before its constructor computes with them.
    counts: Mapping[str, int] = types.MappingProxyType(
        {
            "stack_size": 1,
            "update_horizon": 1,
            "min_replay_history": 0,
            "update_period": 1,
            "target_update_period": 1,
            "summary_writing_frequency": 1,
        }
    )
    fractions: tuple[str, ...] = ("gamma",)
    functions: tuple[str, ...] = ("network",)

    def __init__(self, *arguments: Any, options: LearnerOptions | None = None, **inherited: Any):
        """Builds the agent; touches no disk.

        Args:
          *arguments: those of the Dopamine agent, such as num_actions.
          options: None for `LearnerOptions()` as gin configures it.
          **inherited: further arguments of the Dopamine agent; gin binds the others.

        Raises:
          ConfigurationError: when an option is not allowed.
        """
        check_no_dead_bindings(type(self), JaxDQNAgent, self.replaced_options, self.unread_options)
        self._options = options_of(type(self), options)
        self._tracker = self._options.tracker
        check_inherited(self, inherited)
        seed = seed_of(type(self), self._options.seed)
        self.gradient_step = 0
        self._checked_step = 0  # up to which gradient step all is known to be finite
        self._evaluation_steps = 0
        # Whether what comes next is the next step of the episode that was stored last.
        self._follows_stored = False
        # What was traced: apply(params, *score inputs) -> Q-values, logits or actions of a batch.
        self._traced: list[Callable[..., Any]] = []
        self._metrics: Mapping[str, jax.Array] = {}
        self._on_tracking: Callable[[dict[str, Any]], None] | None = None
        super().__init__(*arguments, seed=seed, summary_writer=None, **inherited)
        # Dopamine keeps its stack in float64. A frame is contiguous here: it is put in at once.
        stack = np.zeros((self.stack_size, *self.observation_shape), self.observation_dtype)
        self.state = np.moveaxis(stack, 0, -1)

    def _build_learner(self) -> learners.Learner:
        """The pure learner, from the options and from what the agent's constructor stored."""
        raise NotImplementedError

    def _learner_parts(
        self, apply: Callable, init: Callable[[jax.Array], Any], *inputs: Any
    ) -> LearnerParts:
        """Traces the network and builds what the options ask for.

        Args:
          apply: `apply(params, *inputs)` on a batch, whose hidden layers are tracked and recycled.
          init: `init(key) -> params`, the network's own initializer.
          *inputs: the inputs of a batch of 1, or their shapes.
        """
        intervention = self._options.intervention
        self._traced.append(apply)
        params = jax.eval_shape(init, jax.random.key(0))
        available, beside = device_memory(), "target and Adam's moments"
        check_network_memory("network", self.network_def, params, beside, available)
        graph = dormant.trace(apply, params, *inputs)
        optimizer = self._create_optimizer(graph)
        self._options.check_score_batches(graph, init, inputs, available)
        return LearnerParts(
            init=init,
            optimizer=optimizer,
            graph=graph,
            interventions=learners.Interventions(
                tracker=self._tracker.intervention(graph),
                intervention=intervention and self._intervention(graph, init, optimizer),
            ),
            target_period=None if self._follows_agent_steps else self.target_update_period,
        )

    def _intervention(self, *traced: Any) -> dormant.Intervention:
        return self._options.intervention.intervention(*traced)

    def _create_optimizer(self, graph: dormant.NeuronGraph) -> optax.GradientTransformation:
        """The optimizer of the whole tree of parameters, as the options ask for it."""
        option = option_name(type(self), "optimizer")
        return create_optimizer(self._optimizer_name, self._options, option, graph)

    @property
    def _follows_agent_steps(self) -> bool:
        """Whether the target network is synced by agent steps rather than inside the update."""
        return self._options.target_update_unit == "agent_steps"

    def _empty_state(self) -> np.ndarray:
        return np.zeros((*self.observation_shape, self.stack_size), self.observation_dtype)

    # Whether transitions are drawn in proportion to their priority.
    prioritizes: bool = False

    def _build_replay_buffer(self) -> ReplayBuffer:
        replay_sampling.check_checkpoints_kept()
        if not self.prioritizes and self._options.replay_scheme == "configured":
            replay_sampling.check_no_exponent()
        action_shape, action_dtype = self._action_kind()
        return replay_sampling.create_replay(
            self._seed,
            self.prioritizes,
            observation_shape=self.observation_shape,
            observation_dtype=self.observation_dtype,
            stack_size=self.stack_size,
            update_horizon=self.update_horizon,
            discount=self.gamma,
            action_shape=action_shape,
            action_dtype=action_dtype,
        )

    def _action_kind(self) -> tuple[tuple[int, ...], Any]:
        """Shape and dtype of an action."""
        return (), np.int32

    def _build_networks_and_optimizer(self) -> None:
        ratio = self._options.replay_ratio
        self._updates_per_burst = updates_per_burst(ratio, self.update_period)
        tracking_period = self._tracker.tracking_period
        require(
            tracking_period >= self._updates_per_burst,
            "Tracker.tracking_period",
            f"at least the {self._updates_per_burst} gradient steps of one burst"
            " (replay_ratio * update_period)",
            tracking_period,
        )
        self._check_burst()
        root = jax.random.key(self._seed)
        init_key, self._train_key, self._evaluation_key = jax.random.split(root, 3)
        with errors_of(type(self).__name__):
            learner = self._build_learner()
        self._learner = learner
        # Compiled as one program: Flax would run its initializer operation by operation.
        self._learner_state = jax.jit(learner.init)(init_key)
        self._places = places(self._learner_state)
        self._burst = make_burst(learner, is_cpu())
        self._act_in_training, self._act_in_evaluation = self._compile_policies(learner)

    def _check_burst(self) -> None:
        """Checks that a burst fits, whose batches stand side by side where there is no CPU."""
        updates = self._updates_per_burst
        state = bytes_of(self._empty_state())
        batch = self._replay.options.batch_size * 2 * state
        needed = updates * (_BYTES_OF_AN_UPDATE + (0 if is_cpu() else batch))
        what, ratio = f"the {updates} updates of one burst", self._options.replay_ratio
        with errors_of("LearnerOptions"):
            check_memory("replay_ratio", ratio, needed, what, device_memory())

    def gradient_steps(self, agent_steps: int) -> int:
        """The most gradient steps that there can be after so many agent steps."""
        return math.ceil(agent_steps / self.update_period) * self._updates_per_burst

    # What Dopamine's tools read from an agent.

    @property
    def seed(self) -> int:
        """The one seed of the run."""
        return self._seed

    @property
    def replay(self) -> ReplayBuffer:
        """Where training batches and score batches are drawn from."""
        return self._replay

    @property
    def learner_state(self) -> Any:
        """The learner's `LearnerState`; donated at the next update, so copy what is to be kept."""
        return self._learner_state

    # Acting.

    def _compile_policies(self, learner: learners.Learner) -> tuple[Callable, Callable]:
        """`act(learner state, observation, key, step)` in training and in evaluation."""

        @jax.jit
        def act_in_training(state, observation, key, step):
            key, epsilon = jax.random.fold_in(key, step), self._training_epsilon(step)
            return learner.act(state, observation, key, epsilon)

        @jax.jit
        def act_in_evaluation(state, observation, key, step):
            key = jax.random.fold_in(key, step)
            return learner.act_in_evaluation(state, observation, key, self.epsilon_eval)

        return act_in_training, act_in_evaluation

    # Of learners that explore by themselves.
    epsilon_eval: float = 0.0

    def _training_epsilon(self, agent_step: jax.Array) -> jax.Array | float:
        """The probability of a random action."""
        del agent_step
        return 0.0

    def _policy_of_this_step(self) -> tuple[Callable[..., Any], jax.Array, int]:
        """The policy, and the key and the step that its random numbers come from."""
        if not self.eval_mode:
            return self._act_in_training, self._train_key, self.training_steps
        self._evaluation_steps += 1
        return self._act_in_evaluation, self._evaluation_key, self._evaluation_steps - 1

    def _select_action(self) -> Any:
        """The action for `self.state`, kept in `self.action`: an int where it has shape ()."""
        act, key, step = self._policy_of_this_step()
        action = np.asarray(act(self._learner_state, self.state, key, step))
        self.action = action if action.ndim > 0 else int(action)
        return self.action

    def _observe(self, observation: np.ndarray) -> Any:
        """Puts an observation into `self.state`, learns where it is time, and acts."""
        frames = np.moveaxis(self.state, -1, 0)
        frames[:-1] = frames[1:]
        frames[-1] = np.reshape(observation, self.observation_shape)
        if self.eval_mode:
            return self._select_action()
        self._train_step()
        action = self._select_action()
        # The action was waited for, and with it the updates before it.
        self.check_finite()
        return action

    def _store(self, reward: float, terminal: bool, episode_end: bool) -> None:
        """Adds to the replay what came of `self.action` in `self.state`."""
        if not self._follows_stored:
            self._replay.cut()
        self._follows_stored = True
        frame = self.state[..., -1]
        self._replay.add(frame, self.action, reward, terminal, episode_end)

    # Where `Runner.max_steps_per_episode` is None an episode may be left open: by a resumed run, or
    # by an evaluation that goes on with it. No transition may lead from there to what comes next.

    def begin_episode(self, observation: np.ndarray) -> Any:
        check_observations(self, np.shape(observation), np.asarray(observation).dtype)
        self._follows_stored = False
        self._reset_state()
        return self._observe(observation)

    def step(self, reward: float, observation: np.ndarray) -> Any:
        if not self.eval_mode:
            self._store(reward, False, False)
        else:
            self._follows_stored = False
        return self._observe(observation)

    def end_episode(self, reward: float, terminal: bool = True) -> None:
        if not self.eval_mode:
            self._store(reward, terminal, True)

    # Learning.

    def _train_step(self) -> None:
        if self._replay.add_count > self.min_replay_history:
            if self.training_steps % self.update_period == 0:
                self._update_burst()
            if self._follows_agent_steps and self.training_steps % self.target_update_period == 0:
                self._learner_state = self._learner.sync_target(self._learner_state)
        self.training_steps += 1

    def _update_burst(self) -> None:
        tracker, intervention = self._tracker, self._options.intervention
        first = self.gradient_step + 1
        steps = range(first, first + self._updates_per_burst)
        tracking_due = [tracker.is_due(step) for step in steps]
        acting_due = [intervention is not None and intervention.is_due(step) for step in steps]
        due = [tracks or acts for tracks, acts in zip(tracking_due, acting_due, strict=True)]
        score_inputs = None
        if any(due):
            # Each of the two scores on the first rows, so neither depends on the other's size.
            sizes = [tracker.score_batch, getattr(intervention, "score_batch", 0)]
            # By the intervention's step where there is one: tracking changes no batch of it.
            first_due = (acting_due if any(acting_due) else tracking_due).index(True)
            score_inputs = self._score_inputs(steps[first_due], max(sizes))
        batches = (self._training_batch() for _ in steps)
        self._learner_state, self._metrics = self._burst(
            self._learner_state, batches, score_inputs, due, self._after_update
        )
        self.gradient_step = steps[-1]
        if any(tracking_due):
            self._report_tracking()
        self._report_loss()

    # What is called with the metrics of each update, before the next batch is drawn; or None.
    _after_update: Callable[[Mapping[str, Any]], None] | None = None

    def _training_batch(self) -> Any:
        return self._replay.sample().batch

    def _score_inputs(self, gradient_step: int, size: int) -> tuple:
        return (self._score_batch(gradient_step, size).state,)

    def _score_batch(self, gradient_step: int, size: int) -> learners.Batch:
        return replay_sampling.score_batch(self._replay, self._seed, gradient_step, size)

    # Reporting. Nothing is fetched from the device but what is written.

    def set_tracking_listener(self, listener: Callable[[dict[str, Any]], None]) -> None:
        """Has listener called with each record of `metrics.tracking_record`."""
        self._on_tracking = listener

    def _report_tracking(self) -> None:
        if self._on_tracking is None:
            return
        self.check_finite()
        record = metrics.tracking_record(
            self._learner_state.tracker,
            None if self._options.intervention is None else self._learner_state.intervention,
            self._metrics,
            agent_step=self.training_steps,
        )
        self._on_tracking(record)

    def check_finite(self) -> None:
        """Waits for the updates so far and looks whether all is finite after them.

        Raises:
          NotFinite: where it is not, naming the first gradient step, the seed and the layers.
        """
        if self._checked_step != self.gradient_step:
            self._check(self._learner_state.finiteness)
            self._checked_step = self.gradient_step

    def _check(self, finiteness: learners.Finiteness) -> None:
        check_finite(finiteness, self._places, f"seed {self._seed}")

    def _report_loss(self) -> None:
        is_due = self.training_steps % self.summary_writing_frequency == 0
        if is_due and self.training_steps > 0 and hasattr(self, "collector_dispatcher"):
            self.collector_dispatcher.write(
                [StatisticsInstance("Loss", float(self._metrics["loss"]), self.training_steps)],
                collector_allowlist=self._collector_allowlist,
            )

    # Checkpoints.

    def bundle_and_checkpoint(self, checkpoint_dir: str, iteration_number: int) -> dict[str, Any]:
        """All that the run goes on from, as Dopamine's runner asks for it; writes nothing.

        Raises:
          NotFinite: where the learner's state or the replay is not finite, and not to be saved.
        """
        del checkpoint_dir, iteration_number
        self._check(of_all(self._learner_state))
        replay = self._replay.state()
        for path, leaf in jax.tree_util.tree_leaves_with_path(replay):
            if _is_not_finite(leaf):
                name = jax.tree_util.keystr(path, simple=True, separator="/")
                raise NotFinite(
                    f"{name} of the replay of seed {self._seed} is not finite at gradient step"
                    f" {self.gradient_step}"
                )
        return {
            "frames": self.state,
            "training_steps": self.training_steps,
            "gradient_step": self.gradient_step,
            "evaluation_steps": self._evaluation_steps,
            "learner": self._learner_state,
            "replay": replay,
        }

    def unbundle(
        self, checkpoint_dir: str, iteration_number: int, bundle_dictionary: Mapping[str, Any]
    ) -> bool:
        """Takes over what `bundle_and_checkpoint` returned, as `Checkpoints.load` returns it.

        Raises:
          ValueError: when it is of another replay, network, optimizer or intervention.
        """
        where = f"checkpoint {iteration_number} in {checkpoint_dir}"
        forms = forms_of(self._learner_state)
        self._learner_state = placed(bundle_dictionary["learner"], forms, where)
        self._replay.restore(bundle_dictionary["replay"])
        # Into the array that is there: its frames are contiguous.
        self.state[...] = bundle_dictionary["frames"]
        self.training_steps = bundle_dictionary["training_steps"]
        self._checked_step = self.gradient_step = bundle_dictionary["gradient_step"]
        self._evaluation_steps = bundle_dictionary["evaluation_steps"]
        return True


def _is_not_finite(array: Any) -> bool:
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not array.size:
        return False
    # Without another array as large; NaN goes through both.
    return not (np.isfinite(array.min()) and np.isfinite(array.max()))

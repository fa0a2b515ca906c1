"""The gin face of DQN in runs on the device: `VectorizedDQN.*` beside `LearnerOptions.*`."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import gin
import jax
import numpy as np
import optax

import dormant
from dormant import learners, vectorized
from dormant.runs.interventions import Tracker, tracker_of
from dormant.runs.options import (
    LearnerOptions,
    errors_of,
    is_number,
    require,
    require_choice,
    require_whole_number,
    updates_per_burst,
)

# The last two take images of uint8, such as Atari's in a study, and scale their pixels themselves.
_IMAGE_NETWORKS = {"nature": learners.NatureCNN, "impala": learners.ImpalaResNet}
NETWORKS = ("minatar", "mlp", *_IMAGE_NETWORKS)
# What may differ between seeds that run side by side, by its name in gin.
SIDE_BY_SIDE = ("ReDo.tau", "Prune.tau", "VectorizedDQN.learning_rate")


# Arguments of `Settings` that are called otherwise in gin.
_RENAMED = {"capacity": "replay_capacity"}


class QNetwork(NamedTuple):
    """A network's functions of one observation, without a batch dimension, and its neurons."""

    apply: Callable[[Any, jax.Array], jax.Array]  # (params, observation) -> q_values (A,)
    init: Callable[[jax.Array], Any]  # key -> params
    graph: dormant.NeuronGraph  # of `apply` mapped over a batch


@gin.configurable
@dataclasses.dataclass(frozen=True)
class VectorizedDQN:
    """DQN (Mnih et al., 2015) on environments that are themselves JAX programs.

    Attributes:
      environment: name of a gymnax environment with discrete actions, such as "Breakout-MinAtar",
        or an `Environment` of `dormant.vectorized`.
      network: "minatar" (a convolution of 16 filters, then the dense layers; MinAtar only), "mlp",
        in a study on Atari "nature" (CNN) or "impala" (ResNet), or what makes a Flax module for one
        observation, called with `num_actions=`.
      dense: neurons of each dense layer of "minatar" and "mlp"; None for (128,) and (128, 128).
      width: multiplies the neurons of every hidden layer of "nature" and "impala".
      loss: "huber" or "mse".
      gamma: discount of one agent step.
      update_horizon: n of the n-step returns.
      min_replay_history: agent steps before the first update.
      update_period: agent steps between two bursts of updates.
      target_update_period: between two syncs of the target network, in the unit that
        `LearnerOptions.target_update_unit` says.
      epsilon_train: probability of a random action after the decay.
      epsilon_decay_period: agent steps over which it falls from 1.
      learning_rate, eps: Adam's.
      batch_size: transitions per gradient step.
      replay_capacity: transitions that each seed keeps.
      num_environments: of each seed, stepped in parallel; update_period is a multiple of it.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    environment: Any = "Breakout-MinAtar"
    network: str | Callable[..., Any] = "minatar"
    dense: tuple[int, ...] | None = None
    width: float = 1
    loss: str = "huber"
    gamma: float = 0.99
    update_horizon: int = 1
    min_replay_history: int = 5_000
    update_period: int = 4
    target_update_period: int = 1_000
    epsilon_train: float = 0.01
    epsilon_decay_period: int = 100_000
    learning_rate: float = 2.5e-4
    eps: float = 1.5e-4
    batch_size: int = 32
    replay_capacity: int = 100_000
    num_environments: int = 4

    def __post_init__(self) -> None:
        name = "VectorizedDQN."
        for option in ("update_period", "target_update_period"):
            require_whole_number(f"{name}{option}", 1, getattr(self, option))
        for option in ("learning_rate", "eps"):
            value = getattr(self, option)
            require(is_number(value, 0.0) and value > 0, f"{name}{option}", "a number > 0", value)
        if not callable(self.network):
            require_choice(f"{name}network", NETWORKS, self.network)
        is_width = is_number(self.width, 0.0) and self.width > 0
        require(is_width, f"{name}width", "a number > 0", self.width)
        allowed = "1: only 'nature' and 'impala' have another width"
        has_width = self.width == 1 or self.network in tuple(_IMAGE_NETWORKS)
        require(has_width, f"{name}width", allowed, self.width)
        is_environment = isinstance(self.environment, str | vectorized.Environment)
        allowed = "a name such as 'Breakout-MinAtar'"
        require(is_environment, f"{name}environment", allowed, self.environment)
        is_list = isinstance(self.dense, list | tuple)
        whole = is_list and all(type(neurons) is int and neurons > 0 for neurons in self.dense)
        allowed = "None or a tuple of whole numbers >= 1, such as (128, 128)"
        require(self.dense is None or whole, f"{name}dense", allowed, self.dense)

    def program(
        self, options: LearnerOptions, side_by_side: tuple[str, ...] = ()
    ) -> tuple[vectorized.Program, vectorized.Settings, vectorized.Environment]:
        """The compiled program of a run, with its settings and its environment.

        Args:
          options: replay ratio, intervention, tracker, weight decay.
          side_by_side: names out of `SIDE_BY_SIDE` whose values the program is given for each seed.

        Raises:
          ConfigurationError: when an option is not allowed or does not fit another.
        """
        for option in side_by_side:
            require_choice("VectorizedRun.side_by_side", SIDE_BY_SIDE, option)
            owner = option.partition(".")[0]
            acting = options.intervention and type(options.intervention).__name__
            require(
                owner in ("VectorizedDQN", acting),
                f"LearnerOptions.intervention with VectorizedRun.side_by_side = {option!r}",
                f"@{owner}()",
                acting,
            )
        tracker = tracker_of(options)
        acting = [] if options.intervention is None else [options.intervention]
        with errors_of("VectorizedDQN", _RENAMED):
            environment = self.environment
            if isinstance(environment, str):
                environment = vectorized.gymnax_environment(environment)
            settings = self.settings(options)
            program = vectorized.make_program(
                environment,
                self._learner_maker(options, tracker, environment, settings),
                settings,
                is_due=functools.partial(_is_due, [tracker, *acting]),
            )
        return program, settings, environment

    def settings(self, options: LearnerOptions) -> vectorized.Settings:
        """How often a seed acts and learns, and on what.

        Raises:
          ConfigurationError: when an option is not allowed or does not fit another.
        """
        updates = updates_per_burst(options.replay_ratio, self.update_period)
        tracker = tracker_of(options)
        acting = [] if options.intervention is None else [options.intervention]
        with errors_of("VectorizedDQN", _RENAMED):
            return vectorized.Settings(
                num_environments=self.num_environments,
                update_period=self.update_period,
                updates_per_burst=updates,
                batch_size=self.batch_size,
                capacity=self.replay_capacity,
                min_replay_history=self.min_replay_history,
                update_horizon=self.update_horizon,
                gamma=self.gamma,
                epsilon_train=self.epsilon_train,
                epsilon_decay_period=self.epsilon_decay_period,
                score_batch=max(part.score_batch for part in [tracker, *acting]),
            )

    def check_side_by_side(
        self, options: LearnerOptions, side_by_side: Mapping[str, Sequence[float]]
    ) -> None:
        """Has every value that stands side by side checked as its own option would be.

        Raises:
          ConfigurationError: when one is not allowed.
        """
        for option, values in side_by_side.items():
            owner, _, field = option.partition(".")
            checked = self if owner == "VectorizedDQN" else options.intervention
            for value in values:
                dataclasses.replace(checked, **{field: value})

    def q_network(self, environment: Any) -> QNetwork:
        """The Q-network for an environment, traced.

        Args:
          environment: a `vectorized.Environment`, or what else has a name, num_actions,
            observation_shape and observation_dtype.

        Raises:
          ConfigurationError: when the network does not fit the environment.
        """
        network = self._network(environment)
        shape, dtype = environment.observation_shape, environment.observation_dtype
        observation = jax.ShapeDtypeStruct(shape, dtype)
        batch = jax.ShapeDtypeStruct((1, *shape), dtype)

        def init(key: jax.Array) -> Any:
            # Only the shape is looked at; the initializer computes nothing with the values.
            return network.init(key, jax.numpy.zeros(shape, dtype))

        def q_function(params: Any, observation: jax.Array) -> jax.Array:
            output = network.apply(params, observation)
            return getattr(output, "q_values", output)

        params = jax.eval_shape(init, jax.random.key(0))
        jax.eval_shape(q_function, params, observation)
        graph = dormant.trace(jax.vmap(q_function, in_axes=(None, 0)), params, batch)
        return QNetwork(q_function, init, graph)

    def _network(self, environment: Any) -> Any:
        actions, shape = environment.num_actions, environment.observation_shape
        if callable(self.network):
            return self.network(num_actions=actions)
        are_images = len(shape) == 3 and environment.observation_dtype == np.uint8
        allowed = f"'nature' or 'impala' for {environment.name}, whose observations are images"
        if not are_images:
            allowed = f"'mlp' or 'minatar' for {environment.name}, which has no images of uint8"
        fits = are_images == (self.network in _IMAGE_NETWORKS)
        require(fits, "VectorizedDQN.network", allowed, self.network)
        if are_images:
            return _IMAGE_NETWORKS[self.network](actions, width=self.width)
        dense = {} if self.dense is None else {"dense": tuple(self.dense)}
        if self.network == "mlp":
            return vectorized.MLP(actions, observation_shape=shape, **dense)
        allowed = f"'mlp' for {environment.name}, whose observations have the shape {shape}"
        require(len(shape) == 3, "VectorizedDQN.network", allowed, self.network)
        return vectorized.MinAtarCNN(actions, **dense)

    def _learner_maker(
        self,
        options: LearnerOptions,
        tracker: Tracker,
        environment: vectorized.Environment,
        settings: vectorized.Settings,
    ) -> Callable[[Mapping[str, jax.Array]], learners.Learner]:
        q_function, init, graph = self.q_network(environment)
        target_period = self.target_period(options)

        def make_learner(values: Mapping[str, jax.Array]) -> learners.Learner:
            optimizer = self.optimizer(options, values)
            intervention = options.intervention
            if intervention is not None:
                owner = type(intervention).__name__
                if f"{owner}.tau" in values:
                    # As a schedule, for which the options take a value that is traced.
                    tau = optax.constant_schedule(values[f"{owner}.tau"])
                    intervention = dataclasses.replace(intervention, tau=tau)
                intervention = intervention.intervention(graph, init, optimizer)
            return learners.dqn(
                q_function,
                init,
                optimizer,
                discount=settings.discount,
                loss=self.loss,
                target_period=target_period,
                tracker=tracker.intervention(graph),
                intervention=intervention,
            )

        # Checked here: inside the program an error would come with JAX's own lines around it.
        make_learner({})
        return make_learner

    def target_period(self, options: LearnerOptions) -> int:
        """Gradient steps between two syncs of the target network.

        Raises:
          ConfigurationError: when that is not a whole number.
        """
        if options.target_update_unit == "gradient_steps":
            return self.target_update_period
        period = self.target_update_period * options.replay_ratio
        nearest = round(period)
        require(
            nearest >= 1 and math.isclose(period, nearest, rel_tol=1e-9),
            "VectorizedDQN.target_update_period * LearnerOptions.replay_ratio",
            "a whole number of gradient steps >= 1",
            period,
        )
        return nearest

    def optimizer(
        self, options: LearnerOptions, values: Mapping[str, jax.Array]
    ) -> optax.GradientTransformation:
        """Adam with the weight decay asked for; `values` as `program` is given them."""
        rate = values.get("VectorizedDQN.learning_rate", self.learning_rate)
        adam = dormant.adam if options.per_entry_count else optax.adam
        kind = options.weight_decay_kind
        schedule = optax.constant_schedule(rate) if kind == "decoupled" else None
        return dormant.weight_decay(
            adam(rate, eps=self.eps), options.weight_decay, kind=kind, learning_rate=schedule
        )


def _is_due(parts: list[Any], gradient_step: jax.Array) -> jax.Array:
    return functools.reduce(jax.numpy.logical_or, [part.is_due(gradient_step) for part in parts])

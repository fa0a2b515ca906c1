# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The gin face of DQN in runs on the device: `VectorizedDQN.*` beside `LearnerOptions.*`."""

import dataclasses
import math
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import gin
import jax
import numpy as np
import optax

import dormant
from dormant import learners, parts, regularizers, vectorized
from dormant.checks import (
    LARGEST_COUNT,
    errors_of,
    is_count,
    require,
    require_choice,
    require_count,
    require_number,
)
from dormant.learners.networks import NETWORKS
from dormant.memory import check_memory, check_network_memory, device_memory
from dormant.runs.options import LearnerOptions, updates_per_burst
from dormant.vectorized.networks import check_activation
from dormant.xla_cpu import is_cpu

# Those of `vectorized.networks`; the other names are of networks for images, as Atari's in a study.
_OWN_NETWORKS = ("minatar", "mlp")
# What may differ between seeds that run side by side, by its name in gin.
SIDE_BY_SIDE = ("ReDo.tau", "Prune.tau", "VectorizedDQN.learning_rate")


class QNetwork(NamedTuple):
    """A network's functions of one observation, without a batch dimension, and its neurons."""

    apply: Callable[[Any, jax.Array], jax.Array]  # (params, observation) -> q_values (A,)
    init: Callable[[jax.Array], Any]  # key -> params
    graph: dormant.NeuronGraph  # of `apply` mapped over a batch
    inputs: tuple[jax.ShapeDtypeStruct]  # of a batch of one


@gin.configurable
@dataclasses.dataclass(frozen=True)
class VectorizedDQN(vectorized.Settings):
    """DQN (Mnih et al., 2015) on environments that are themselves JAX programs.

    What `Settings` has is bound under the same names, but for updates_per_burst and score_batch,
    which follow from `LearnerOptions`.

    Attributes:
      environment: name of a gymnax environment with discrete actions, such as "Breakout-MinAtar",
        or an `Environment` of `dormant.vectorized`.
      network: "minatar" (a convolution of 16 filters, then the dense layers; MinAtar only), "mlp",
        in a study on Atari "nature" (CNN) or "impala" (ResNet), or what makes a Flax module for one
        observation, called with `num_actions=`.
      dense: neurons of each dense layer of "minatar" and "mlp"; None for (128,) and (128, 128).
      activation, layer_norm: of "minatar" and "mlp", as of `vectorized.MinAtarCNN`.
      width: multiplies the neurons of every hidden layer of "nature" and "impala".
      loss: "huber" or "mse".
      target_update_period: between two syncs of the target network, in the unit that
        `LearnerOptions.target_update_unit` says.
      learning_rate, eps: Adam's.
      churn_coefficient: of C-CHAIN's loss on the next observations of the batch, >= 0; see
        `dormant.regularizers.churn_reduction`.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    environment: Any = "Breakout-MinAtar"
    network: str | Callable[..., Any] = "minatar"
    dense: tuple[int, ...] | None = None
    activation: str = "relu"
    layer_norm: bool = False
    width: float = 1
    loss: str = "huber"
    target_update_period: int = 1_000
    learning_rate: float = 2.5e-4
    eps: float = 1.5e-4
    churn_coefficient: float = 0.0
    updates_per_burst: int = dataclasses.field(init=False, default=1)
    score_batch: int = dataclasses.field(init=False, default=64)

    def __post_init__(self) -> None:
        name = "VectorizedDQN."
        with errors_of("VectorizedDQN"):
            super().__post_init__()
            check_activation(self.activation, self.layer_norm)
        most = LARGEST_COUNT
        require_count(f"{name}target_update_period", self.target_update_period, 1, most=most)
        for option in ("learning_rate", "eps", "width"):
            require_number(f"{name}{option}", getattr(self, option), above=0)
        require_number(f"{name}churn_coefficient", self.churn_coefficient, 0)
        if not callable(self.network):
            require_choice(f"{name}network", self.network, (*_OWN_NETWORKS, *NETWORKS))
        allowed = f"1: only {' and '.join(map(repr, NETWORKS))} have another width"
        has_width = self.width == 1 or self.network in tuple(NETWORKS)
        require(has_width, f"{name}width", allowed, self.width)
        allowed = "{!r}: only 'minatar' and 'mlp' have another one"
        for option, default in (("activation", "relu"), ("layer_norm", False)):
            value = getattr(self, option)
            has_it = value == default or self.network in _OWN_NETWORKS
            require(has_it, f"{name}{option}", allowed.format(default), value)
        is_environment = isinstance(self.environment, str | vectorized.Environment)
        allowed = "a name such as 'Breakout-MinAtar'"
        require(is_environment, f"{name}environment", allowed, self.environment)
        dense = self.dense
        whole = isinstance(dense, list | tuple) and all(
            is_count(neurons, 1) and neurons <= most for neurons in dense
        )
        allowed = "None or a tuple of whole numbers >= 1, such as (128, 128)"
        require(dense is None or whole, f"{name}dense", allowed, dense)

    def program(
        self,
        options: LearnerOptions,
        side_by_side: Mapping[str, Sequence[float]] | None = None,
        devices: Sequence[jax.Device] | None = None,
    ) -> tuple[vectorized.Program, vectorized.Settings, vectorized.Environment]:
        """The compiled program of a run, with its settings and its environment.

        Args:
          options: replay ratio, intervention, tracker, weight decay.
          side_by_side: {name out of `SIDE_BY_SIDE`: values}, of which the program is given one for
            each seed.
          devices: those that it is compiled for; None for JAX's default device.

        Raises:
          ConfigurationError: when an option is not allowed or does not fit another.
        """
        self._check_side_by_side(options, side_by_side or {})
        with errors_of("VectorizedDQN", {"name": "environment"}):
            environment = self.environment
            if isinstance(environment, str):
                environment = vectorized.gymnax_environment(environment)
            found = {f.name: getattr(self, f.name) for f in dataclasses.fields(vectorized.Settings)}
            found["updates_per_burst"] = updates_per_burst(options.replay_ratio, self.update_period)
            settings = vectorized.Settings(**found | {"score_batch": options.score_batch})
            network = self.q_network(environment, devices, options.wrap)
            available = device_memory(devices)
            observation = environment.observation_size * environment.observation_dtype.itemsize
            batches = settings.updates_per_burst * settings.batch_size * 2 * observation
            what = f"the batches of one burst of {settings.updates_per_burst} updates"
            check_memory("batch_size", settings.batch_size, batches, what, available)
            options.check_score_batches(network.graph, network.init, network.inputs, available)
            program = vectorized.make_program(
                environment,
                self._learner_maker(options, network),
                settings,
                is_due=options.is_due,
                devices=devices,
            )
        return program, settings, environment

    def rounds(self, option: str, agent_steps: int) -> int:
        """Rounds of so many agent steps, which `option` has in gin.

        Raises:
          ConfigurationError: when they are not whole, or no more than the warm-up.
        """
        rounds, rest = divmod(agent_steps, self.update_period)
        allowed = f"a multiple of VectorizedDQN.update_period, {self.update_period}"
        require(rest == 0, option, allowed, agent_steps)
        warm_up = f"{self.warm_up_steps} agent steps of VectorizedDQN.min_replay_history"
        require(rounds > self.warm_up_rounds, option, f"more than the {warm_up}", agent_steps)
        return rounds

    def _check_side_by_side(
        self, options: LearnerOptions, side_by_side: Mapping[str, Sequence[float]]
    ) -> None:
        """Has every value that stands side by side checked as its own option would be."""
        acting = options.intervention
        kind = acting and type(acting).__name__
        for option, values in side_by_side.items():
            require_choice("VectorizedRun.side_by_side", option, SIDE_BY_SIDE)
            owner, _, field = option.partition(".")
            name = f"LearnerOptions.intervention with VectorizedRun.side_by_side = {option!r}"
            require(owner in ("VectorizedDQN", kind), name, f"@{owner}()", kind)
            for value in values:
                dataclasses.replace(acting if owner == kind else self, **{field: value})

    def q_network(
        self,
        environment: Any,
        devices: Sequence[jax.Device] | None = None,
        wrap: Callable[..., Any] | None = None,
    ) -> QNetwork:
        """The Q-network for an environment, traced.

        Args:
          environment: a `vectorized.Environment`, or what else has a name, num_actions,
            observation_shape and observation_dtype.
          devices: as in `program`.
          wrap: what an intervention makes of a network beforehand, as `LearnerOptions.wrap`.

        Raises:
          ConfigurationError: when the network does not fit the environment.
        """
        network = self._network(environment, is_cpu(devices))
        shape, dtype = environment.observation_shape, environment.observation_dtype
        observation = jax.ShapeDtypeStruct(shape, dtype)
        batch = jax.ShapeDtypeStruct((1, *shape), dtype)

        def init(key: jax.Array) -> Any:
            # Only the shape is looked at; the initializer computes nothing with the values.
            return network.init(key, jax.numpy.zeros(shape, dtype))

        def q_function(params: Any, observation: jax.Array) -> jax.Array:
            output = network.apply(params, observation)
            return getattr(output, "q_values", output)

        if wrap is not None:
            q_function, init = wrap(q_function, init)
        params = jax.eval_shape(init, jax.random.key(0))
        beside = "target and Adam's moments"
        check_network_memory("network", self.network, params, beside, device_memory(devices))
        jax.eval_shape(q_function, params, observation)
        graph = dormant.trace(jax.vmap(q_function, in_axes=(None, 0)), params, batch)
        if wrap is not None:
            graph = parts.trainable_layers(graph)
        return QNetwork(q_function, init, graph, (batch,))

    def _network(self, environment: Any, on_cpu: bool) -> Any:
        actions, shape = environment.num_actions, environment.observation_shape
        if callable(self.network):
            return self.network(num_actions=actions)
        are_images = len(shape) == 3 and environment.observation_dtype == np.uint8
        names = " or ".join(map(repr, NETWORKS))
        allowed = f"{names} for {environment.name}, whose observations are images"
        if not are_images:
            allowed = f"'mlp' or 'minatar' for {environment.name}, which has no images of uint8"
        fits = are_images == (self.network in NETWORKS)
        require(fits, "VectorizedDQN.network", allowed, self.network)
        if are_images:
            return NETWORKS[self.network](actions, width=self.width)
        options: dict[str, Any] = {"activation": self.activation, "layer_norm": self.layer_norm}
        options["on_cpu"] = on_cpu
        if self.dense is not None:
            options["dense"] = tuple(self.dense)
        if self.network == "mlp":
            return vectorized.MLP(actions, observation_shape=shape, **options)
        allowed = f"'mlp' for {environment.name}, whose observations have the shape {shape}"
        require(len(shape) == 3, "VectorizedDQN.network", allowed, self.network)
        return vectorized.MinAtarCNN(actions, **options)

    def _learner_maker(
        self, options: LearnerOptions, network: QNetwork
    ) -> Callable[[Mapping[str, jax.Array]], learners.Learner]:
        q_function, init, graph, _ = network
        target_period = self.target_period(options)

        def make_learner(values: Mapping[str, jax.Array]) -> learners.Learner:
            optimizer = self.optimizer(options, graph, values)
            optimizer = regularizers.churn_reduction(
                optimizer,
                jax.vmap(q_function, in_axes=(None, 0)),
                self.churn_coefficient,
                lambda batch: batch.next_state,
            )
            used, tau = options, f"{type(options.intervention).__name__}.tau"
            if tau in values:
                # As a schedule, for which the options take a value that is traced.
                schedule = optax.constant_schedule(values[tau])
                acting = dataclasses.replace(options.intervention, tau=schedule)
                used = dataclasses.replace(options, intervention=acting)
            return learners.dqn(
                q_function,
                init,
                optimizer,
                discount=self.discount,
                loss=self.loss,
                target_period=target_period,
                interventions=used.interventions(graph, init, optimizer),
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
        self,
        options: LearnerOptions,
        graph: dormant.NeuronGraph,
        values: Mapping[str, jax.Array] = types.MappingProxyType({}),
    ) -> optax.GradientTransformation:
        """Adam with what the options ask for; `values` as `program` is given them."""
        rate = values.get("VectorizedDQN.learning_rate", self.learning_rate)
        adam = optax.adam(rate, eps=self.eps)
        # One that differs between seeds is traced, which only a schedule may be.
        return options.finished(adam, graph, optax.constant_schedule(rate))

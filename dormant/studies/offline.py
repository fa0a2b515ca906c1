"""Figure 4: DQN on fixed data, with targets that follow the network or never change."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import gin
import jax

from dormant import learners
from dormant.learners import Learner, LearnerState
from dormant.runs.interventions import tracker_of
from dormant.runs.options import (
    ConfigurationError,
    LearnerOptions,
    require_choice,
    require_whole_number,
)
from dormant.runs.vectorized_agent import QNetwork, VectorizedDQN
from dormant.studies.episodes import evaluation, evaluation_entries
from dormant.studies.fitting import Task
from dormant.studies.online import online_run
from dormant.studies.options import Study, StudyRun
from dormant.vectorized import Settings, Transitions, make_replay

TARGETS = ("periodic", "random")


class Logged(NamedTuple):
    """All transitions that an agent saw, from its first agent step on."""

    ring: Transitions  # C rows, C the agent's steps


@gin.configurable
@dataclasses.dataclass(frozen=True)
class OfflineDQN:
    """DQN on the transitions that an online DQN saw while it trained (fig. 4): `OfflineDQN.*`.

    Network, optimizer and environment of both are `VectorizedDQN.*`. `LearnerOptions.intervention`
    acts offline only.

    Attributes:
      data_steps: agent steps of the online DQN, every one of which is kept.
      targets: "periodic", synced every `VectorizedDQN.target_update_period`, or "random": those of
        a network drawn from the initializer, which is never synced.
      evaluation_episodes: after each iteration.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    data_steps: int = 50_000
    targets: str = "periodic"
    evaluation_episodes: int = 10

    def __post_init__(self) -> None:
        require_whole_number("OfflineDQN.data_steps", 1, self.data_steps, "agent steps")
        require_choice("OfflineDQN.targets", TARGETS, self.targets)
        require_whole_number("OfflineDQN.evaluation_episodes", 1, self.evaluation_episodes)

    def study(self, options: LearnerOptions, run: StudyRun) -> Study:
        """The study.

        Raises:
          ConfigurationError: when an option does not fit another.
        """
        del run
        agent = VectorizedDQN()
        collecting = online_run(
            "DQN that collects the data",
            "OfflineDQN.data_steps",
            self.data_steps,
            dataclasses.replace(agent, replay_capacity=self.data_steps),
            dataclasses.replace(options, intervention=None),
        )
        environment, settings = collecting.environment, collecting.settings
        network = agent.q_network(environment)
        learner = self._learner(agent, options, network, settings)
        replay, size = make_replay(environment, settings), self.data_steps

        def init(key: jax.Array, data: Logged) -> LearnerState:
            del data
            return self._start(learner, network, key)

        def prepare(key: jax.Array, say: Any) -> Logged:
            return Logged(collecting.train(key, say)[1])

        def draw(data: Logged, key: jax.Array, gradient_step: jax.Array) -> learners.Batch:
            del gradient_step
            return replay.batch(data.ring, replay.draw(key, size, (settings.batch_size,)))

        def observations(data: Logged, key: jax.Array, count: int) -> jax.Array:
            return replay.states(data.ring, replay.draw(key, size, (count,)))

        evaluate = evaluation(
            environment, learners.epsilon_greedy(network.apply), self.evaluation_episodes
        )

        def measure(state: LearnerState, data: Logged, key: jax.Array) -> Mapping[str, Any]:
            del data
            return evaluation_entries(*evaluate(state.params, key))

        return Study(
            name=f"DQN offline on {environment.name}, {self.targets} targets",
            task=Task(learner, init, draw, observations),
            prepare=prepare,
            prepared=Logged(collecting.shapes()[1]),
            measure=measure,
        )

    def _learner(
        self, agent: VectorizedDQN, options: LearnerOptions, network: QNetwork, settings: Settings
    ) -> Learner:
        optimizer = agent.optimizer(options, {})
        acting = options.intervention
        try:
            return learners.dqn(
                network.apply,
                network.init,
                optimizer,
                discount=settings.discount,
                loss=agent.loss,
                # Without a period the target is what the caller makes it.
                target_period=agent.target_period(options) if self.targets == "periodic" else None,
                tracker=tracker_of(options).intervention(network.graph),
                intervention=acting and acting.intervention(network.graph, network.init, optimizer),
            )
        except ConfigurationError:
            raise
        except ValueError as error:
            raise ConfigurationError(f"OfflineDQN: {error}") from error

    def _start(self, learner: Learner, network: QNetwork, key: jax.Array) -> LearnerState:
        learner_key, target_key = jax.random.split(key)
        state = learner.init(learner_key)
        if self.targets == "random":
            state = state._replace(target_params=network.init(target_key))
        return state

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Figure 4: DQN on fixed data, with targets that follow the network or never change."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import gin
import jax

from dormant import learners
from dormant.checks import errors_of, require, require_choice, require_count
from dormant.learners import LearnerState
from dormant.runs.options import LearnerOptions
from dormant.studies.atari import Atari
from dormant.studies.dqn_replay import DQNReplay
from dormant.studies.episodes import evaluation_entries
from dormant.studies.experience import Source, check_batches, given_once, online_experience
from dormant.studies.fitting import Study
from dormant.studies.online import online_run
from dormant.studies.options import StudyRun
from dormant.vectorized.agent import QNetwork, VectorizedDQN

TARGETS = ("periodic", "random")


class Logged(NamedTuple):
    """Transitions that another agent saw."""

    kept: Any  # all of them as `vectorized.Transitions`, or some as `frames.Frames`


@gin.configurable
@dataclasses.dataclass(frozen=True)
class OfflineDQN:
    """DQN on the transitions that an online DQN saw while it trained (fig. 4): `OfflineDQN.*`.

    Network and optimizer are `VectorizedDQN.*`. `LearnerOptions.intervention` acts offline only.

    Attributes:
      data: `@DQNReplay()`, transitions of the Atari game that `Atari.*` names; None for those of an
        online run on the device, of the same network and optimizer in `VectorizedDQN.environment`.
      data_steps: agent steps of that online run, every one of which is kept.
      targets: "periodic", synced every `VectorizedDQN.target_update_period`, or "random": those of
        a network drawn from the initializer, which is never synced.
      evaluation_episodes: after each iteration.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    data: Any = None
    data_steps: int = 50_000
    targets: str = "periodic"
    evaluation_episodes: int = 10

    def __post_init__(self) -> None:
        require_count("OfflineDQN.data_steps", self.data_steps, 1, "agent steps")
        is_data = self.data is None or isinstance(self.data, DQNReplay)
        allowed = "None or @DQNReplay(), with its parentheses"
        require(is_data, "OfflineDQN.data", allowed, self.data)
        require_choice("OfflineDQN.targets", self.targets, TARGETS)
        require_count("OfflineDQN.evaluation_episodes", self.evaluation_episodes, 1)

    def study(self, options: LearnerOptions, run: StudyRun) -> Study:
        """The study; a data set is read here.

        Raises:
          ConfigurationError: when the data cannot be read or an option does not fit another.
        """
        agent = VectorizedDQN()
        source = (_from_data_set if self.data else _from_online_run)(self, agent, options)
        experience = source.experience
        network = agent.q_network(experience.game)
        check_batches("OfflineDQN", self.evaluation_episodes, network, options)
        optimizer = agent.optimizer(options, network.graph)
        with errors_of("OfflineDQN"):
            learner = learners.dqn(
                network.apply,
                network.init,
                optimizer,
                discount=agent.discount,
                loss=agent.loss,
                # Without a period the target is what `init` makes it.
                target_period=agent.target_period(options) if self.targets == "periodic" else None,
                interventions=options.interventions(network.graph, network.init, optimizer),
            )
        policy = learners.epsilon_greedy(network.apply)
        evaluate = experience.evaluation(policy, self.evaluation_episodes)

        def init(key: jax.Array, _: Logged) -> LearnerState:
            learner_key, target_key = jax.random.split(key)
            state = learner.init(learner_key)
            if self.targets == "random":
                state = state._replace(target_params=network.init(target_key))
            return state

        def draw(data: Logged, key: jax.Array, _: jax.Array) -> learners.Batch:
            return experience.batch(data.kept, experience.draw(data.kept, key, agent.batch_size))

        return Study(
            name=f"DQN offline on {experience.game.name}, {self.targets} targets",
            learner=learner,
            init=init,
            draw=draw,
            observations=experience.observations,
            prepare=source.load(network),
            prepared=source.prepared,
            measure=lambda state, data, key: evaluation_entries(*evaluate(state.params, key)),
            has_convolutions=experience.has_convolutions,
        )


def _from_online_run(study: OfflineDQN, agent: VectorizedDQN, options: LearnerOptions) -> Source:
    run = online_run(
        "DQN that collects the data",
        "OfflineDQN.data_steps",
        study.data_steps,
        agent,
        dataclasses.replace(options, intervention=None),
        keeps_all=True,
    )

    def prepare(key: jax.Array, say: Callable[[str], None]) -> Logged:
        return Logged(run.train(key, say)[1])

    return Source(online_experience(run), lambda network: prepare, Logged(run.shapes()[1]))


def _from_data_set(study: OfflineDQN, agent: VectorizedDQN, options: LearnerOptions) -> Source:
    allowed = "1 with OfflineDQN.data, whose transitions are of one step"
    horizon = agent.update_horizon
    require(horizon == 1, "VectorizedDQN.update_horizon", allowed, horizon)
    experience = Atari().experience()
    game = experience.game

    def load(_: QNetwork) -> Callable[..., Logged]:
        return given_once(Logged(study.data.load(game.name, game.num_actions, options.seed or 0)))

    return Source(experience, load)

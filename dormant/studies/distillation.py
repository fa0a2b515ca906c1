# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Figure 8: a strong DQN's Q-values, learned by a network that trained at a high replay ratio, or
by a fresh one."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp

from dormant import learners
from dormant.checks import errors_of, require, require_choice, require_count
from dormant.learners import LearnerState
from dormant.learners.losses import LOSSES
from dormant.runs.options import LearnerOptions, require_intervention
from dormant.studies.atari import Atari
from dormant.studies.episodes import evaluation_entries, mean_return
from dormant.studies.experience import Source, check_batches, given_once, online_experience
from dormant.studies.fitting import Study
from dormant.studies.online import OnlineRun, online_run
from dormant.studies.options import StudyRun
from dormant.studies.trained_runs import trained_run
from dormant.vectorized.agent import QNetwork, VectorizedDQN

STUDENTS = ("pretrained", "fresh")


class Lesson(NamedTuple):
    """What a student learns from, and how good its teacher and itself are before."""

    teacher: Any  # parameters
    start: Any  # the student's parameters before, () where they are drawn
    kept: Any  # the teacher's replay, `vectorized.Transitions` or `frames.Frames`
    teacher_return: jax.Array  # float32 (), mean of the evaluation episodes; NaN where none ended
    start_return: jax.Array  # the same of the student before


class TaughtBatch(NamedTuple):
    """B states with the teacher's Q-values."""

    state: jax.Array  # (B, ...), as the environment gives them
    q_values: jax.Array  # float32 (B, A)


def distilling_loss(apply: Callable, loss: str) -> Callable:
    """The loss for `gradient_learner`: the mean over B states and A actions of the error.

    Args:
      apply: `apply(params, observation) -> q_values`, float (A,), for one observation.
      loss: "mse" (without the factor 0.5) or "huber".
    """
    error = LOSSES[loss]

    def distilling(params: Any, target_params: Any, batch: TaughtBatch, key: jax.Array):
        q_values = jax.vmap(apply, in_axes=(None, 0))(params, batch.state)
        return jnp.mean(error(batch.q_values, q_values)), {"q_mean": jnp.mean(q_values)}

    return distilling


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Distillation:
    """A teacher's Q-values by regression (fig. 8): `Distillation.*` in gin.

    Teacher and student have the network of `VectorizedDQN.*`, whose optimizer teaches; the states
    are drawn uniformly from the teacher's replay. `LearnerOptions.intervention` acts on the student
    while it is taught; its optimizer's state is new then.

    Both are online runs on the device that come first, in `VectorizedDQN.environment`, or runs of
    `dormant.train` on the Atari game that `Atari.*` names, as their newest checkpoint has them.

    Attributes:
      teacher_run: folder of such a run; None for an online run.
      student_run: the same of the student before it is taught, where that is "pretrained".
      student: "pretrained", a DQN trained on its own before, or "fresh".
      loss: "mse" or "huber", of all actions' Q-values.
      teacher_steps: agent steps that the teacher trains, at `LearnerOptions.replay_ratio`.
      teacher_intervention: `@ReDo()` or another one that acts on the teacher, or None.
      student_steps: agent steps that the student trains on its own before.
      student_replay_ratio: gradient steps per agent step of that.
      evaluation_episodes: after each iteration.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    teacher_run: str | None = None
    student_run: str | None = None
    student: str = "pretrained"
    loss: str = "mse"
    teacher_steps: int = 50_000
    teacher_intervention: Any = None
    student_steps: int = 50_000
    student_replay_ratio: float = 1.0
    evaluation_episodes: int = 20

    def __post_init__(self) -> None:
        name = "Distillation."
        for option in ("teacher_run", "student_run"):
            value = getattr(self, option)
            is_path = value is None or (isinstance(value, str) and value != "")
            require(is_path, f"{name}{option}", "None or a run's folder", value)
        require_choice(f"{name}student", self.student, STUDENTS)
        if self.student == "pretrained":
            both = (self.teacher_run is None) == (self.student_run is None)
            allowed = "given where Distillation.teacher_run is, and only there"
            require(both, f"{name}student_run", allowed, self.student_run)
        require_choice(f"{name}loss", self.loss, tuple(LOSSES))
        for option in ("teacher_steps", "student_steps"):
            require_count(f"{name}{option}", getattr(self, option), 1, "agent steps")
        require_count(f"{name}evaluation_episodes", self.evaluation_episodes, 1)
        require_intervention(f"{name}teacher_intervention", self.teacher_intervention)

    def study(self, options: LearnerOptions, run: StudyRun) -> Study:
        """The study; what trained runs left is read here.

        Raises:
          ConfigurationError: when a run cannot be read or an option does not fit another.
        """
        agent = VectorizedDQN()
        if self.teacher_run is None:
            source = _from_online_runs(self, agent, options)
        else:
            pretrained = self.student == "pretrained"
            source = _from_runs(self.teacher_run, self.student_run if pretrained else None)
        experience = source.experience
        network = agent.q_network(experience.game)
        check_batches("Distillation", self.evaluation_episodes, network, options)
        optimizer = agent.optimizer(options, network.graph)
        policy = learners.epsilon_greedy(network.apply)
        with errors_of("Distillation"):
            learner = learners.gradient_learner(
                network.init,
                optimizer,
                loss=distilling_loss(network.apply, self.loss),
                policy=policy,
                interventions=options.interventions(network.graph, network.init, optimizer),
            )
        evaluate = experience.evaluation(policy, self.evaluation_episodes)
        q_values = jax.vmap(network.apply, in_axes=(None, 0))
        load = source.load(network)

        def init(key: jax.Array, data: Lesson) -> LearnerState:
            state = learner.init(key)
            if self.student == "fresh":
                return state
            # Copies: the state will be donated, the data must not be.
            params = jax.tree.map(jnp.copy, data.start)
            return state._replace(params=params, target_params=jax.tree.map(jnp.copy, params))

        def prepare(key: jax.Array, say: Callable[[str], None]) -> Lesson:
            teacher_key, student_key, evaluation_key = jax.random.split(key, 3)
            found = load(teacher_key, student_key, say)
            returns = [
                jnp.float32(mean_return(evaluate(params, evaluation_key)[0]) if params else jnp.nan)
                for params in found[:2]
            ]
            return Lesson(*found, *returns)

        def draw(data: Lesson, key: jax.Array, _: jax.Array) -> TaughtBatch:
            states = experience.observations(data, key, agent.batch_size)
            return TaughtBatch(states, q_values(data.teacher, states))

        def measure(state: LearnerState, data: Lesson, key: jax.Array) -> Mapping[str, Any]:
            before = {"teacher": data.teacher_return, "start": data.start_return}
            returns = {
                f"{name}_average_return": None if jnp.isnan(value) else float(value)
                for name, value in before.items()
            }
            return {**evaluation_entries(*evaluate(state.params, key)), **returns}

        return Study(
            name=f"distillation of DQN on {experience.game.name} into a {self.student} student",
            learner=learner,
            init=init,
            draw=draw,
            observations=experience.observations,
            prepare=prepare,
            prepared=source.prepared,
            measure=measure,
            has_convolutions=experience.has_convolutions,
        )


# Both load the first three fields of a `Lesson`, given keys for teacher and student.
def _from_online_runs(study: Distillation, agent: VectorizedDQN, options: LearnerOptions) -> Source:
    def run(who: str, steps: int, **changes: Any) -> OnlineRun:
        of_it = dataclasses.replace(options, **changes)
        return online_run(who, f"Distillation.{who}_steps", steps, agent, of_it)

    teacher = run("teacher", study.teacher_steps, intervention=study.teacher_intervention)
    student = None
    if study.student == "pretrained":
        ratio = study.student_replay_ratio
        student = run("student", study.student_steps, intervention=None, replay_ratio=ratio)

    def teach(teacher_key: jax.Array, student_key: jax.Array, say: Callable[[str], None]) -> tuple:
        taught, ring = teacher.train(teacher_key, say)
        start = () if student is None else student.train(student_key, say)[0].params
        return taught.params, start, ring

    taught, ring = teacher.shapes()
    start = () if student is None else student.shapes()[0].params
    scalar: Any = jax.ShapeDtypeStruct((), jnp.float32)  # a shape in an array's place
    prepared = Lesson(taught.params, start, ring, scalar, scalar)
    return Source(online_experience(teacher), lambda network: teach, prepared)


def _from_runs(teacher_run: str, student_run: str | None) -> Source:
    experience = Atari().experience()
    game = experience.game
    teacher = trained_run("Distillation.teacher_run", teacher_run, game.name)
    student = None
    if student_run is not None:
        student = trained_run("Distillation.student_run", student_run, game.name)

    def load(network: QNetwork) -> Callable[..., tuple]:
        template = jax.eval_shape(network.init, jax.random.key(0))
        taught = teacher.params(template)
        start = () if student is None else student.params(template)
        return given_once((taught, start, teacher.frames(game.num_actions)))

    return Source(experience, load)

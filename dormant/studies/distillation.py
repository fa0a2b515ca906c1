"""Figure 8: a strong DQN's Q-values, learned by a network that trained at a high replay ratio, or
by a fresh one."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp

from dormant import learners
from dormant.learners import Learner, LearnerState
from dormant.learners.losses import LOSSES
from dormant.runs.interventions import tracker_of
from dormant.runs.options import (
    ConfigurationError,
    LearnerOptions,
    require,
    require_choice,
    require_whole_number,
)
from dormant.runs.vectorized_agent import QNetwork, VectorizedDQN
from dormant.studies.episodes import evaluation, evaluation_entries
from dormant.studies.fitting import Task
from dormant.studies.online import online_run
from dormant.studies.options import Study, StudyRun
from dormant.vectorized import Transitions, make_replay

STUDENTS = ("pretrained", "fresh")


class Lesson(NamedTuple):
    """What a student learns from, and how good its teacher and itself are before."""

    teacher: Any  # parameters
    start: Any  # the student's parameters before, () where they are drawn
    ring: Transitions  # the teacher's replay
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
        del target_params, key
        q_values = jax.vmap(apply, in_axes=(None, 0))(params, batch.state)
        return jnp.mean(error(batch.q_values, q_values)), {"q_mean": jnp.mean(q_values)}

    return distilling


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Distillation:
    """A teacher's Q-values by regression (fig. 8): `Distillation.*` in gin.

    Teacher and student have the network, optimizer and environment of `VectorizedDQN.*`; the states
    are drawn uniformly from the teacher's replay. `LearnerOptions.intervention` acts on the student
    while it is taught; its optimizer's state is new then.

    Attributes:
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

    student: str = "pretrained"
    loss: str = "mse"
    teacher_steps: int = 50_000
    teacher_intervention: Any = None
    student_steps: int = 50_000
    student_replay_ratio: float = 1.0
    evaluation_episodes: int = 20

    def __post_init__(self) -> None:
        name = "Distillation."
        require_choice(f"{name}student", STUDENTS, self.student)
        require_choice(f"{name}loss", tuple(LOSSES), self.loss)
        for option in ("teacher_steps", "student_steps"):
            require_whole_number(f"{name}{option}", 1, getattr(self, option), "agent steps")
        require_whole_number(f"{name}evaluation_episodes", 1, self.evaluation_episodes)
        acting = self.teacher_intervention
        acts = acting is None or (hasattr(acting, "period") and not inspect.isclass(acting))
        allowed = "None or an intervention such as @ReDo(), with its parentheses"
        require(acts, f"{name}teacher_intervention", allowed, acting)

    def study(self, options: LearnerOptions, run: StudyRun) -> Study:
        """The study.

        Raises:
          ConfigurationError: when an option does not fit another.
        """
        del run
        agent = VectorizedDQN()
        of_teacher = dataclasses.replace(options, intervention=self.teacher_intervention)
        teacher = online_run(
            "teacher", "Distillation.teacher_steps", self.teacher_steps, agent, of_teacher
        )
        student = None
        if self.student == "pretrained":
            of_student = dataclasses.replace(
                options, intervention=None, replay_ratio=self.student_replay_ratio
            )
            student = online_run(
                "student", "Distillation.student_steps", self.student_steps, agent, of_student
            )
        environment, settings = teacher.environment, teacher.settings
        network = agent.q_network(environment)
        learner = self._learner(agent, options, network)
        replay, size = make_replay(environment, settings), self.teacher_steps
        q_values = jax.vmap(network.apply, in_axes=(None, 0))
        evaluate = evaluation(
            environment, learners.epsilon_greedy(network.apply), self.evaluation_episodes
        )

        def init(key: jax.Array, data: Lesson) -> LearnerState:
            state = learner.init(key)
            if student is None:
                return state
            # Copies: the state will be donated, the data must not be.
            params = jax.tree.map(jnp.copy, data.start)
            return state._replace(params=params, target_params=jax.tree.map(jnp.copy, params))

        def prepare(key: jax.Array, say: Callable[[str], None]) -> Lesson:
            teacher_key, student_key, evaluation_key = jax.random.split(key, 3)
            taught, ring = teacher.train(teacher_key, say)
            start, start_return = (), jnp.float32(jnp.nan)
            if student is not None:
                start = student.train(student_key, say)[0].params
                start_return = jnp.nanmean(evaluate(start, evaluation_key)[0])
            teacher_return = jnp.nanmean(evaluate(taught.params, evaluation_key)[0])
            return Lesson(taught.params, start, ring, teacher_return, start_return)

        def shapes() -> Lesson:
            taught, ring = teacher.shapes()
            start = () if student is None else student.shapes()[0].params
            scalar = jax.ShapeDtypeStruct((), jnp.float32)
            return Lesson(taught.params, start, ring, scalar, scalar)

        def observations(data: Lesson, key: jax.Array, count: int) -> jax.Array:
            return replay.states(data.ring, replay.draw(key, size, (count,)))

        def draw(data: Lesson, key: jax.Array, gradient_step: jax.Array) -> TaughtBatch:
            del gradient_step
            states = observations(data, key, settings.batch_size)
            return TaughtBatch(states, q_values(data.teacher, states))

        def measure(state: LearnerState, data: Lesson, key: jax.Array) -> Mapping[str, Any]:
            before = {"teacher": data.teacher_return, "start": data.start_return}
            returns = {f"{name}_average_return": _number(value) for name, value in before.items()}
            return {**evaluation_entries(*evaluate(state.params, key)), **returns}

        return Study(
            name=f"distillation of DQN on {environment.name} into a {self.student} student",
            task=Task(learner, init, draw, observations),
            prepare=prepare,
            prepared=shapes(),
            measure=measure,
        )

    def _learner(self, agent: VectorizedDQN, options: LearnerOptions, network: QNetwork) -> Learner:
        optimizer = agent.optimizer(options, {})
        acting = options.intervention
        try:
            return learners.gradient_learner(
                network.init,
                optimizer,
                loss=distilling_loss(network.apply, self.loss),
                policy=learners.epsilon_greedy(network.apply),
                tracker=tracker_of(options).intervention(network.graph),
                intervention=acting and acting.intervention(network.graph, network.init, optimizer),
            )
        except ConfigurationError:
            raise
        except ValueError as error:
            raise ConfigurationError(f"Distillation: {error}") from error


def _number(value: jax.Array) -> float | None:
    return None if jnp.isnan(value) else float(value)

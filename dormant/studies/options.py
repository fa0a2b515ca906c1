"""How long a study runs, and what it is: `StudyRun.*` in gin."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gin
import jax

from dormant.learners import LearnerState
from dormant.runs.options import require, require_whole_number
from dormant.studies.fitting import Data, Task


class Study(NamedTuple):
    """A task, and what the host does around it.

    Attributes:
      name: what is trained, in a few words.
      task: see `Task`.
      prepare: `prepare(key, say) -> data`. The key is consumed; `say(text)` tells how far it is.
      prepared: shapes and dtypes of the data where making them takes long: then they are kept in
        the run's folder. None where they are made again when a run is resumed.
      measure: `measure(learner_state, data, key) -> entries` of the "iteration" record besides its
        counters, numbers or lists of numbers. The key is consumed.
      loops: whether the network is fast inside a compiled loop; a convolution on a CPU is not.
    """

    name: str
    task: Task
    prepare: Callable[[jax.Array, Callable[[str], None]], Data]
    prepared: Any
    measure: Callable[[LearnerState, Data, jax.Array], Mapping[str, Any]]
    loops: bool = True


@gin.configurable
@dataclasses.dataclass(frozen=True)
class StudyRun:
    """A run of a study: `StudyRun.*` in gin.

    Attributes:
      study: `@Supervised()`, `@OfflineDQN()` or `@Distillation()`.
      num_iterations: one record, one measurement and one checkpoint each.
      training_steps: gradient steps of each iteration.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    study: Any = None
    num_iterations: int = 10
    training_steps: int = 1_000

    def __post_init__(self) -> None:
        is_study = hasattr(self.study, "study") and not inspect.isclass(self.study)
        allowed = "@Supervised(), @OfflineDQN() or @Distillation(), with its parentheses"
        require(is_study, "StudyRun.study", allowed, self.study)
        for option in ("num_iterations", "training_steps"):
            require_whole_number(f"StudyRun.{option}", 1, getattr(self, option))
        total = self.gradient_steps
        allowed = "fewer than 2**31 gradient steps"
        require(total < 2**31, "StudyRun.num_iterations * training_steps", allowed, total)

    @property
    def gradient_steps(self) -> int:
        """Of the whole run."""
        return self.num_iterations * self.training_steps

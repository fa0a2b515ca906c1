# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""How long a study runs, and what it is: `StudyRun.*` in gin."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import gin
import jax

from dormant.checks import require
from dormant.learners import LearnerState
from dormant.runs.host_loop import RunLength
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
      has_convolutions: whether the network computes convolutions, which XLA on CPU does slowly
        inside a compiled loop.
    """

    name: str
    task: Task
    prepare: Callable[[jax.Array, Callable[[str], None]], Data]
    prepared: Any
    measure: Callable[[LearnerState, Data, jax.Array], Mapping[str, Any]]
    has_convolutions: bool = False


@gin.configurable
@dataclasses.dataclass(frozen=True)
class StudyRun(RunLength):
    """A run of a study: `StudyRun.*` in gin.

    Attributes:
      num_iterations, training_steps: as in `RunLength`, the latter in gradient steps.
      study: `@Supervised()`, `@OfflineDQN()` or `@Distillation()`.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    training_steps: int = 1_000
    study: Any = None

    counted: ClassVar[str] = "gradient step"

    def __post_init__(self) -> None:
        super().__post_init__()
        is_study = hasattr(self.study, "study") and not inspect.isclass(self.study)
        allowed = "@Supervised(), @OfflineDQN() or @Distillation(), with its parentheses"
        require(is_study, "StudyRun.study", allowed, self.study)

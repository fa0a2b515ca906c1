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

"""How long a study runs, and which it is: `StudyRun.*` in gin."""

import dataclasses
import inspect
from typing import Any, ClassVar

import gin

from dormant.checks import require
from dormant.runs.host_loop import RunLength


@gin.configurable
@dataclasses.dataclass(frozen=True)
class StudyRun(RunLength):
    """A run of a study: `StudyRun.*` in gin.

    Attributes:
      num_iterations, training_steps: as in `RunLength`, the latter in gradient steps.
      study: `@Supervised()`, `@OfflineDQN()` or `@Distillation()`.
    """

    training_steps: int = 1_000
    study: Any = None

    counted: ClassVar[str] = "gradient step"

    def __post_init__(self) -> None:
        super().__post_init__()
        is_study = hasattr(self.study, "study") and not inspect.isclass(self.study)
        allowed = "@Supervised(), @OfflineDQN() or @Distillation(), with its parentheses"
        require(is_study, "StudyRun.study", allowed, self.study)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How long a study runs, and which it is: `StudyRun.*` in gin."""

import dataclasses
from typing import Any, ClassVar

import gin

from dormant.checks import require
from dormant.runs.host_loop import RunLength
from dormant.runs.options import is_configured


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
        is_study = is_configured(self.study, "study")
        allowed = "@Supervised(), @OfflineDQN() or @Distillation(), with its parentheses"
        require(is_study, "StudyRun.study", allowed, self.study)

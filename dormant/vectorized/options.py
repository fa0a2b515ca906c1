# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which runs stand side by side in one process, and how long: `VectorizedRun.*` in gin."""

import dataclasses
from collections.abc import Mapping, Sequence

import gin

from dormant import vectorized
from dormant.checks import errors_of, require_count, require_flag
from dormant.runs.host_loop import RunLength
from dormant.runs.members import Member, members_of


@gin.configurable
@dataclasses.dataclass(frozen=True)
class VectorizedRun(RunLength):
    """A run of several seeds on the device: `VectorizedRun.*` in gin.

    Attributes:
      num_iterations, training_steps: as in `RunLength`, the latter in agent steps of each seed, a
        multiple of the update period.
      seeds: how many, `LearnerOptions.seed` being the first.
      side_by_side: {option: values}, for options out of `agent.SIDE_BY_SIDE`: every combination of
        values is run with every seed.
      evaluation_episodes: greedy episodes of each seed in an evaluation; 0 for none.
      evaluation_period: iterations from one evaluation to the next; the last one has one too.
      devices: how many to split the seeds over; None for as many as divide them.
      threads: on a CPU, how many seeds to run at once; None for as many as there are cores.
      distributed: True where this process is one of several, on one host or many, that run the same
        command: `initialize_distributed.*` says where they meet, where JAX cannot find it itself.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    seeds: int = 5
    side_by_side: Mapping[str, Sequence[float]] | None = None
    evaluation_episodes: int = 0
    evaluation_period: int = 1
    devices: int | None = None
    threads: int | None = None
    distributed: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("devices", "threads"):
            if getattr(self, option) is not None:
                require_count(f"VectorizedRun.{option}", getattr(self, option), 1)
        require_count("VectorizedRun.evaluation_episodes", self.evaluation_episodes, 0, most=10_000)
        require_count("VectorizedRun.evaluation_period", self.evaluation_period, 1)
        require_flag("VectorizedRun.distributed", self.distributed)
        self.members(first_seed=0)

    def evaluates(self, iteration: int) -> bool:
        """Whether an iteration, counted from 0, ends with an evaluation."""
        is_last = iteration + 1 == self.num_iterations
        is_due = (iteration + 1) % self.evaluation_period == 0
        return self.evaluation_episodes > 0 and (is_due or is_last)

    def members(self, first_seed: int) -> list[Member]:
        """All runs side by side, in the order of the program's seed axis."""
        return members_of("VectorizedRun", first_seed, self.seeds, self.side_by_side)


# `initialize_distributed.*` in gin.
initialize_distributed = gin.external_configurable(
    vectorized.initialize_distributed, module="dormant.vectorized.options"
)


@gin.configurable
def GameSequence(games: str, steps_of_each: int = 50_000) -> vectorized.Environment:  # noqa: N802
    """`vectorized.minatar_sequence(games, steps_of_each)`, `GameSequence.*` in gin.

    Raises:
      ConfigurationError: when an option is not allowed.
    """
    with errors_of("GameSequence", {"name": "games"}):
        return vectorized.minatar_sequence(games, steps_of_each)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The settings of a run on the device, checked once, and the numbers that follow from them."""

import dataclasses
import math

from dormant.checks import LARGEST_COUNT, check, check_count, check_number


@dataclasses.dataclass(frozen=True)
class Settings:
    """How often one seed acts, learns, and what its replay keeps.

    One agent step is one action in one environment. A round is `update_period` agent steps, taken
    by all environments in parallel, and then a burst of `updates_per_burst` gradient steps; the
    replay ratio is updates_per_burst / update_period.

    Attributes:
      num_environments: environments of one seed, stepped in parallel.
      update_period: agent steps between two bursts, a multiple of num_environments.
      updates_per_burst: gradient steps of one burst.
      batch_size: transitions per gradient step.
      replay_capacity: transitions that the replay keeps, a multiple of num_environments.
      min_replay_history: agent steps before the first update, rounded up to whole rounds.
      update_horizon: n of the n-step returns.
      gamma: discount of one agent step, in [0, 1]; the learner's discount must be `discount`.
      epsilon_train: probability of a random action at the end of the decay, in [0, 1].
      epsilon_decay_period: agent steps after the warm-up over which epsilon falls from 1.
      score_batch: states on which neurons are scored.

    Raises:
      ValueError: when a value is out of its range or does not fit another.
    """

    num_environments: int = 4
    update_period: int = 4
    updates_per_burst: int = 1
    batch_size: int = 32
    replay_capacity: int = 100_000
    min_replay_history: int = 5_000
    update_horizon: int = 1
    gamma: float = 0.99
    epsilon_train: float = 0.01
    epsilon_decay_period: int = 100_000
    score_batch: int = 64

    def __post_init__(self) -> None:
        for field in dataclasses.fields(Settings):
            if field.name in ("gamma", "epsilon_train"):
                check_number(field.name, getattr(self, field.name), 0, 1)
            else:
                check_count(field.name, getattr(self, field.name), 1, most=LARGEST_COUNT)
        for name in ("update_period", "replay_capacity"):
            value, allowed = getattr(self, name), "a multiple of `num_environments`"
            whole = value % self.num_environments == 0
            check(whole, name, f"{allowed}, {self.num_environments}", value)
        # The steps of each environment that are there when the first n-step return is drawn.
        for name, steps in (
            ("replay_capacity", self.replay_rows),
            ("min_replay_history", self.warm_up_rounds * self.steps_per_round),
        ):
            least = self.update_horizon * self.num_environments
            allowed = f"at least `update_horizon` * `num_environments`, {least}"
            check(steps >= self.update_horizon, name, allowed, getattr(self, name))

    @property
    def steps_per_round(self) -> int:
        """Steps that each environment takes in one round."""
        return self.update_period // self.num_environments

    @property
    def replay_rows(self) -> int:
        """Steps of each environment that the replay keeps."""
        return self.replay_capacity // self.num_environments

    @property
    def warm_up_rounds(self) -> int:
        """Rounds without updates at the start: min_replay_history, rounded up to whole rounds."""
        return math.ceil(self.min_replay_history / self.update_period)

    @property
    def warm_up_steps(self) -> int:
        """Agent steps of those rounds."""
        return self.warm_up_rounds * self.update_period

    @property
    def discount(self) -> float:
        """gamma ** update_horizon, the discount that the learner applies to the next state."""
        return self.gamma**self.update_horizon

    def gradient_steps(self, agent_steps: int) -> int:
        """The gradient steps of a seed after so many agent steps, a multiple of update_period."""
        rounds = agent_steps // self.update_period - self.warm_up_rounds
        return max(0, rounds) * self.updates_per_burst

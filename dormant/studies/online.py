# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""DQN trained online before a study begins: the run that leaves its replay and its network."""

import dataclasses
import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from dormant import vectorized
from dormant.checks import errors_of, require_counter
from dormant.learners import LearnerState
from dormant.learners.finiteness import check_finite, places
from dormant.memory import check_memory, device_memory
from dormant.runs.options import LearnerOptions
from dormant.studies.episodes import mean_return
from dormant.vectorized.agent import VectorizedDQN
from dormant.vectorized.program import Program, RunState, bytes_of_a_seed

# Rounds of one call of the program at most, so that Ctrl-C is heard and progress is seen.
_MOST_ROUNDS = 2_500
_SAY_EVERY = 10


class OnlineRun(NamedTuple):
    """A run of DQN on the device, of one seed, that is not recorded.

    Attributes:
      title: what it is, for messages.
      program, settings, environment: as `VectorizedDQN.program` returns them.
      agent_steps: how long it is.
    """

    title: str
    program: Program
    settings: vectorized.Settings
    environment: vectorized.Environment
    agent_steps: int

    def train(
        self, key: jax.Array, say: Callable[[str], None]
    ) -> tuple[LearnerState, vectorized.Transitions]:
        """The learner at the end, and the replay. The key is consumed.

        Raises:
          NotFinite: when it diverges.
        """
        settings = self.settings
        state, _ = self.program.fill(self.program.init(key[None]))
        left = self.agent_steps // settings.update_period - settings.warm_up_rounds
        calls = 0
        while left:
            rounds = min(left, _MOST_ROUNDS)
            state, progress = self.program.advance(state, rounds)
            left -= rounds
            found = jax.tree.map(operator.itemgetter(0), progress.finiteness)
            check_finite(found, places(state.learner), self.title)
            calls += 1
            if not left or calls % _SAY_EVERY == 0:
                mean = mean_return(progress.episode_return)
                ended = "no episode ended" if math.isnan(mean) else f"average return {mean:.2f}"
                reached = f"agent step {int(state.agent_step):,} of {self.agent_steps:,}"
                say(f"{self.title}: {reached}  {ended}")
        return _one_seed(state)

    def shapes(self) -> tuple[Any, Any]:
        """Shapes and dtypes of what `train` returns."""
        return jax.eval_shape(
            lambda key: _one_seed(self.program.init(key[None])), jax.random.key(0)
        )


def online_run(
    title: str,
    option: str,
    agent_steps: int,
    agent: VectorizedDQN,
    options: LearnerOptions,
    keeps_all: bool = False,
) -> OnlineRun:
    """Checks and compiles nothing yet.

    Args:
      title: as in `OnlineRun`.
      option: the name in gin of `agent_steps`, for what is said of a mistake.
      agent_steps: how long the run is, at least 1.
      agent, options: what is trained.
      keeps_all: whether its replay keeps every step, whatever `agent` says.

    Raises:
      ConfigurationError: when an option is not allowed.
    """
    require_counter(option, agent_steps, "agent step")
    agent.rounds(option, agent_steps)
    if keeps_all:
        agent = dataclasses.replace(agent, replay_capacity=agent_steps)
    program, settings, environment = agent.program(options)
    total = settings.gradient_steps(agent_steps)
    require_counter(f"{option} * LearnerOptions.replay_ratio", total, "gradient step")
    name = option if keeps_all else "VectorizedDQN.replay_capacity"
    with errors_of(title):
        what, needed = "the run with its replay", bytes_of_a_seed(program)
        check_memory(name, settings.replay_capacity, needed, what, device_memory())
    return OnlineRun(title, program, settings, environment, agent_steps)


def _one_seed(state: RunState) -> tuple[LearnerState, vectorized.Transitions]:
    ring = jax.tree.map(lambda leaf: leaf[0], state.replay)
    return vectorized.take_seed(state.learner, 0), ring

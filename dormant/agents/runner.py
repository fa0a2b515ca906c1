# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Dopamine's runners for discrete actions with all that `RunnerMixin` adds, and what gin calls to
create the runner of a run."""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gin
import numpy as np
from dopamine.discrete_domains import run_experiment
from dopamine.labs.atari_100k.eval_run_experiment import MaxEpisodeEvalRunner
from gymnasium.error import DependencyNotInstalled

from dormant.agents import environments
from dormant.agents.agent_options import seed_of
from dormant.agents.runner_mixin import RunnerMixin
from dormant.agents.side_by_side import SideBySide
from dormant.checks import ConfigurationError, require, require_choice, require_flag
from dormant.records.run_file import ending
from dormant.runs.members import members_of
from dormant.runs.options import bound_in_gin


class DormantTrainRunner(RunnerMixin, run_experiment.TrainRunner):
    """Trains without evaluating. Configured by `Runner.*`, like Dopamine's."""


class DormantRunner(RunnerMixin, run_experiment.Runner):
    """Trains and evaluates in turns. Configured by `Runner.*`, like Dopamine's."""


class DormantMaxEpisodeEvalRunner(RunnerMixin, MaxEpisodeEvalRunner):
    """Trains, and evaluates over a number of episodes: the protocol of Atari 100k.

    Configured by `Runner.*` and `MaxEpisodeEvalRunner.{num_eval_episodes,max_noops}`. Every episode
    starts after 0 to max_noops - 1 no-ops. A lost life ends no episode in evaluation, whatever
    `AtariPreprocessing.terminal_on_life_loss` says of training.

    Deviations from the released runner: the number of no-ops is drawn from the run's seed, the
    iteration and the episode; the first observation is the screen after the no-ops, where the
    released one shows the screen before them; and a life lost during them is not charged to the
    first action. (With today's Gymnasium the released no-ops fail.)
    """

    def _seed_environment(self, iteration: int) -> None:
        super()._seed_environment(iteration)
        self._no_op_seeds = np.random.SeedSequence([self._agent.seed, iteration])

    def step_in_thread(self, wait: Any) -> None:
        """Changes nothing: the no-ops act on the emulator itself."""

    def _run_no_ops(self) -> np.ndarray:
        environment = self._environment
        ale = environment.environment.env.ale
        generator = np.random.default_rng(self._no_op_seeds.spawn(1)[0])
        for _ in range(generator.integers(self._max_noops)):
            ale.act(0)
        if ale.game_over():
            return environment.reset()
        environment.lives = ale.lives()
        environment._fetch_grayscale_observation(environment.screen_buffer[0])
        environment.screen_buffer[1].fill(0)
        return environment._pool_and_resize()

    def _run_eval_phase(self, statistics: Any) -> tuple[int, float]:
        environment = self._environment
        if not getattr(environment, "terminal_on_life_loss", False):
            return super()._run_eval_phase(statistics)
        environment.terminal_on_life_loss = False
        try:
            return super()._run_eval_phase(statistics)
        finally:
            environment.terminal_on_life_loss = True

    def _run_one_phase_fix_episodes(
        self, max_episodes: int, statistics: Any, run_mode_str: str
    ) -> tuple[int, float, int]:
        # One phase of at least one step is one episode; Dopamine's own loop writes to stdout.
        phases = [self._run_one_phase(1, statistics, run_mode_str) for _ in range(max_episodes)]
        return tuple(map(sum, zip(*phases, strict=True)))


# In one process: each has an environment, a thread and event files of its own.
_MOST_RUNS = 1_000
RUNNERS = {
    "continuous_train": DormantTrainRunner,
    "continuous_train_and_eval": DormantRunner,
    "max_episode_eval": DormantMaxEpisodeEvalRunner,
}


@gin.configurable
def create_dormant_runner(
    base_dir: str,
    agent: Any = None,
    schedule: str = "continuous_train",
    seeds: int = 1,
    side_by_side: Mapping[str, Sequence[float]] | None = None,
    one_dispatch: bool | None = None,
) -> RunnerMixin | SideBySide:
    """Creates the runner of a run, and with it the environment and the agent.

    Args:
      base_dir: the run's folder; created, or resumed where it holds a checkpoint. Of several runs
        the folder that holds theirs, such as `seed_0`.
      agent: an agent class, in gin `@DormantDQNAgent`.
      schedule: "continuous_train", "continuous_train_and_eval", or "max_episode_eval" where the
        actions are discrete. Gin configures the run as `Runner.*`, or `ContinuousRunner.*` where
        the agent's actions are continuous.
      seeds: how many runs in lockstep, each of a seed of its own, `LearnerOptions.seed` the first.
      side_by_side: {option: values}, such as {"ReDo.tau": [0, 0.1]}: every combination of values is
        run with every seed.
      one_dispatch: of several runs: whether the updates of all seeds are one compiled program, else
        each seed's own; None: not on the CPU. See `SideBySide`.

    Raises:
      ConfigurationError: when an option is not allowed; nothing has been created then.
    """
    is_agent = hasattr(agent, "for_environment")
    require(is_agent, "create_dormant_runner.agent", "an agent such as @DormantDQNAgent", agent)
    if one_dispatch is not None:
        require_flag("create_dormant_runner.one_dispatch", one_dispatch)
    first_seed = seed_of(agent, bound_in_gin("LearnerOptions.seed", None))
    most = _MOST_RUNS
    members = members_of("create_dormant_runner", first_seed, seeds, side_by_side, most)
    if seeds > 1 or side_by_side:
        create = functools.partial(create_dormant_runner, agent=agent, schedule=schedule)
        return SideBySide(base_dir, members, create, one_dispatch)
    control = environments.control_of(agent)
    runner = runner_class(control, schedule)
    environments.share_environment_binding(control)
    try:
        return runner(base_dir, agent)
    except DependencyNotInstalled as error:
        hint = "for MuJoCo: pip install 'dormant[mujoco]'"
        raise ConfigurationError(f"the environment needs a package: {error} ({hint})") from error


def runner_class(control: str, schedule: str) -> type[RunnerMixin]:
    """The runner of a schedule, for agents whose actions are "discrete" or "continuous"."""
    runners = RUNNERS
    if control == "continuous":
        # Dopamine's module of this name warns when it is imported, which other runs need not see.
        from dormant.agents.continuous_runner import CONTINUOUS_RUNNERS as runners
    require_choice("create_dormant_runner.schedule", schedule, list(runners))
    return runners[schedule]


@contextlib.contextmanager
def recorded(runner: RunnerMixin | SideBySide, command: list[str]) -> Iterator[Any]:
    """Inside, the run is held against other processes, and run.json says at the end how it ended.

    Yields:
      What `runner.record` returned.

    Raises:
      ConfigurationError: when another process works on the run.
    """
    with runner.held():
        record = runner.record(command)
        with ending(record):
            yield record

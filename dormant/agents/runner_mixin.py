# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a run of this package adds to any of Dopamine's runners: seeded environments, exact resume,
metrics.jsonl and a progress bar. It knows no algorithm and none of the runners."""

import contextlib
import errno
import functools
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gin
import numpy as np
import tensorflow as tf
from dopamine.discrete_domains import checkpointer
from dopamine.metrics import collector_dispatcher

from dormant.agents import environments
from dormant.agents.dopamine_compat import seed_environment
from dormant.agents.inherited_options import option_name
from dormant.agents.scalars import tracking_scalars
from dormant.agents.threaded_atari import ThreadedAtari, can_step_in_thread
from dormant.checks import ConfigurationError, NotFinite, require_count, require_counter
from dormant.records import metrics
from dormant.records.files import CHECKPOINTS_FOLDER
from dormant.records.run_file import RunRecord
from dormant.runs.checkpoints import Checkpoints
from dormant.runs.options import bound_in_gin
from dormant.runs.progress import Progress, dormant_text, iterations_left
from dormant.runs.saved_run import SavedRun, operative_settings


class RunnerMixin:
    """What a run of this package adds to a Dopamine `Runner`; put it before one in the bases.

    The agent must have, besides what Dopamine's runner calls: `seed`, `training_steps` (agent
    steps), `gradient_step`, `set_tracking_listener(f)` which has `f(record)` called with each
    tracking record, and the class method `for_environment(environment)`. One whose actions are
    continuous has the class attribute `control = "continuous"`.

    The environment is seeded anew at the start of every iteration, from the seed and the
    iteration's number, so that a resumed run continues exactly as an uninterrupted one. (Where
    `Runner.max_steps_per_episode` is None an episode may run on into the next iteration; it is then
    neither seeded anew nor held by a checkpoint: a resumed run loses the rest of that episode and
    starts the next in an environment seeded anew, so that its numbers are others from there.)

    Nothing is created on disk before the run is `held`.
    """

    def __init__(self, base_dir: str, agent: Any):
        """Creates the environment and an agent of that class, or resumes the run in its folder."""

        def create_agent(*arguments: Any, summary_writer: Any = None) -> Any:
            # Dopamine's discrete runners pass a session first; TensorBoard is fed through
            # CollectorDispatcher.
            del summary_writer
            self._environment = environments.adapted(arguments[-1])
            environments.check_actions(self._environment, agent)
            return agent.for_environment(self._environment)

        with environments.quiet_creation(), _collectors_later():
            super().__init__(base_dir, create_agent)
        # The progress bar takes the place of Dopamine's own line on stdout.
        self._fine_grained_print_to_console_enabled = False
        self.show_progress(Progress(self._agent.training_steps))
        self._agent.set_tracking_listener(self._write_tracking)
        self._config = gin.operative_config_str()  # each run's own where several stand side by side

    def show_progress(self, progress: Any) -> None:
        """Has progress shown there from now on: a `Progress`, or what takes the place of one."""
        self._progress = progress
        self._progress.expect((self._num_iterations - self._start_iteration) * self._training_steps)

    def meet(self) -> None:
        """Called before every phase, training or evaluation; runs side by side wait for all."""

    def step_in_thread(self, wait: Callable[[], None]) -> None:
        """Has the environment stepped by a thread of its own where that changes nothing.

        `wait` is called while that thread is at work.
        """
        if can_step_in_thread(self._environment):
            self._environment = ThreadedAtari(self._environment, wait)

    @property
    def agent(self) -> Any:
        """The agent that is trained."""
        return self._agent

    @property
    def start_iteration(self) -> int:
        """The iteration that comes next: 0, or the one after the checkpoint that was loaded."""
        return self._start_iteration

    def describe(self) -> str:
        """What runs, in a line: the agent, its seed and the iterations that are left."""
        return f"{type(self._agent).__name__}, seed {self._agent.seed}, {self.describe_rest()}"

    def describe_rest(self) -> str:
        """The iterations that are left."""
        return iterations_left(self._start_iteration, self._num_iterations)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Inside, no other process works on the run; see `SavedRun.held`. Makes its folders.

        Raises:
          ConfigurationError: when another process does.
          OSError: when the disk is full or a folder cannot be written; it names the file.
        """
        with self._saved.held(), _disk_errors(self._base_dir):
            if not hasattr(self, "_checkpoint_dir"):
                super()._create_directories()
                if self._use_legacy_logger:
                    self._logger.data = self._logger_data
                collectors = self._collector_dispatcher._collectors
                collectors[:] = [create() for create in collectors]
            yield

    def record(
        self, command: list[str], side_by_side: Mapping[str, float] | None = None
    ) -> RunRecord:
        """Writes config.gin and run.json; see `RunRecord`."""
        return RunRecord(
            self._base_dir,
            seed=self._agent.seed,
            start_iteration=self._start_iteration,
            command=command,
            config=self._config,
            side_by_side=side_by_side,
            changed=self._saved.changed,
            is_over=self._start_iteration >= self._num_iterations,
            confirm=self._saved.confirm,
        )

    def _create_directories(self) -> None:
        pass  # called before the agent exists; done in `held`

    def _initialize_checkpointer_and_maybe_resume(self, checkpoint_file_prefix: str) -> None:
        del checkpoint_file_prefix  # a checkpoint is a folder here, and never a pickle
        self._check_counters()
        self._save_every, checkpoints = checkpoints_of(Path(self._base_dir) / CHECKPOINTS_FOLDER)
        override = bound_in_gin("get_latest_checkpoint_number.override_number", None)
        folders, settings = [Path(self._base_dir)], operative_settings()
        self._saved = SavedRun(checkpoints, folders, settings, override)
        self._start_iteration = self._saved.start_iteration
        self._logger_data: dict[str, Any] = {}
        if self._start_iteration:
            state = self._saved.take_state()
            with _of_this_run(self._saved.where):
                self._agent.unbundle(str(checkpoints.folder), self._saved.number, state["agent"])
            if self._use_legacy_logger:
                self._logger_data = json.loads(state["logs"])

    def _check_counters(self) -> None:
        """Raises ConfigurationError where steps would be more than their counters can hold."""
        runner = option_name(type(self), "num_iterations").partition(".")[0]
        # A phase ends with the episode in which it reaches its length.
        last = self._max_steps_per_episode or 0
        training = self._num_iterations * (self._training_steps + last)
        evaluation = self._num_iterations * ((self._evaluation_steps or 0) + last)
        name = f"{runner}.num_iterations * (training_steps + max_steps_per_episode)"
        require_counter(name, training, "agent step")
        require_counter(name.replace("training", "evaluation"), evaluation, "agent step")
        if hasattr(self._agent, "gradient_steps"):  # not one of somebody else's
            name = f"{name} * LearnerOptions.replay_ratio"
            require_counter(name, self._agent.gradient_steps(training), "gradient step")

    def _checkpoint_experiment(self, iteration: int) -> None:
        is_last = iteration == self._num_iterations - 1
        if iteration % self._save_every != 0 and not is_last:
            return
        bundle = self._agent.bundle_and_checkpoint(self._checkpoint_dir, iteration)
        logs = json.dumps(self._logger.data, default=float) if self._use_legacy_logger else ""
        self._saved.save(iteration, {"agent": bundle, "logs": logs})

    def _seed_environment(self, iteration: int) -> None:
        if getattr(self, "episode_ended", True):  # else it runs on
            sequence = np.random.SeedSequence([self._agent.seed, iteration])
            seed_environment(
                self._environment, environments.first_seed(self._environment, sequence)
            )

    def _run_one_step(self, action: Any) -> tuple[Any, float, bool]:
        if not self._agent.eval_mode:
            self._progress.step()
        return super()._run_one_step(action)

    def _run_one_episode(self) -> tuple[int, float]:
        return self._shown(*super()._run_one_episode())

    def _run_continued_episode(self, *steps: int) -> tuple[int, float]:
        return self._shown(*super()._run_continued_episode(*steps))

    def _shown(self, length: int, episode_return: float) -> tuple[int, float]:
        phase = "eval_return" if self._agent.eval_mode else "return"
        self._progress.show(**{phase: f"{episode_return:g}"})
        if self._agent.eval_mode:
            self._progress.refresh()
        return length, episode_return

    def _run_train_phase(self, statistics: Any) -> tuple:
        self.meet()
        return super()._run_train_phase(statistics)

    def _run_eval_phase(self, statistics: Any) -> tuple:
        self.meet()
        return super()._run_eval_phase(statistics)

    def _run_one_iteration(self, iteration: int) -> dict[str, list]:
        self._seed_environment(iteration)
        statistics = super()._run_one_iteration(iteration)
        if hasattr(self._agent, "check_finite"):  # not one of somebody else's
            self._agent.check_finite()
        train, evaluation = _episodes(statistics, "train"), _episodes(statistics, "eval")
        for episodes in (train, evaluation):
            owner = f"seed {self._agent.seed}"
            if said := metrics.returns_problem(episodes, iteration, owner):
                raise NotFinite(said)
        record = metrics.iteration_record(
            iteration,
            agent_step=self._agent.training_steps,
            gradient_step=self._agent.gradient_step,
            steps_per_second=statistics["train_average_steps_per_second"][0],
            train=train,
            evaluation=evaluation,
        )
        self._saved.files[0].write(record)
        averages = [
            f"average {phase} return {record[f'{phase}_average_return']:.2f}"
            for phase in ("train", "eval")
            if f"{phase}_average_return" in record
        ]
        self._progress.expect((self._num_iterations - iteration - 1) * self._training_steps)
        self._progress.line("  ".join([f"iteration {iteration} done", *averages]))
        return statistics

    def _write_tracking(self, record: metrics.Record) -> None:
        self._saved.files[0].write(record)
        self._collector_dispatcher.write(tracking_scalars(record))
        self._progress.show(dormant=dormant_text([record]))

    def run_experiment(self) -> None:
        """Runs the iterations that are left, with a checkpoint after each `checkpoint_frequency`
        and after the last."""
        with self.held(), self._progress, contextlib.closing(self._saved.files[0]):
            if self._start_iteration < self._num_iterations:
                self._saved.start()
            for iteration in range(self._start_iteration, self._num_iterations):
                statistics = self._run_one_iteration(iteration)
                if self._use_legacy_logger:
                    self._log_experiment(iteration, statistics)
                self._checkpoint_experiment(iteration)
                self._collector_dispatcher.flush()
            self._collector_dispatcher.close()


def _episodes(statistics: dict[str, list], phase: str) -> metrics.Episodes | None:
    """Of a phase, out of Dopamine's `IterationStatistics.data_lists`; None where it did not run."""
    if f"{phase}_episode_returns" not in statistics:
        return None
    returns, lengths = (statistics[f"{phase}_episode_{what}"] for what in ("returns", "lengths"))
    return metrics.Episodes(returns, lengths, statistics[f"{phase}_average_return"][0])


def checkpoints_of(folder: Path) -> tuple[int, Checkpoints]:
    """How many iterations there are from one checkpoint to the next, and where they are kept.

    Configured by Dopamine's `Checkpointer.{checkpoint_frequency,checkpoint_duration,keep_every}`.
    At least two stay.

    Raises:
      ConfigurationError: when one of these is not a whole number >= 1.
    """
    # Dopamine's own, for its options alone, which gin notes: it makes no folder that there is.
    options = checkpointer.Checkpointer(tempfile.gettempdir())
    every, kept, keep_every = (
        getattr(options, f"_{name}")
        for name in ("checkpoint_frequency", "checkpoint_duration", "keep_every")
    )
    require_count("Checkpointer.checkpoint_frequency", every, 1)
    require_count("Checkpointer.checkpoint_duration", kept, 1)
    if keep_every is not None:
        require_count("Checkpointer.keep_every", keep_every, 1)
        keep_every *= every
    return every, Checkpoints(folder, max(2, kept), keep_every)


@contextlib.contextmanager
def _disk_errors(folder: str) -> Iterator[None]:
    """Has what TensorFlow says of the disk, where its event files are, raised as OSError."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, error.message.splitlines()[0], folder) from error


@contextlib.contextmanager
def _collectors_later() -> Iterator[None]:
    """Inside, Dopamine's `CollectorDispatcher` has functions that create its collectors, which
    create their files at once."""
    created = dict(collector_dispatcher.AVAILABLE_COLLECTORS)
    later = {name: _later(create) for name, create in created.items()}
    collector_dispatcher.AVAILABLE_COLLECTORS.update(later)
    try:
        yield
    finally:
        collector_dispatcher.AVAILABLE_COLLECTORS.update(created)


def _later(create: Callable[[str], Any]) -> Callable[[str], Callable[[], Any]]:
    return lambda folder: functools.partial(create, folder)


@contextlib.contextmanager
def _of_this_run(where: str) -> Iterator[None]:
    """Says of what was saved with another agent where that is.

    Raises:
      ConfigurationError: in place of the errors of an entry that is missing or another.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{where} was saved with another agent, network, optimizer, intervention or replay;"
            f" continue it with its own gin file or give another --base_dir: {error}"
        ) from error

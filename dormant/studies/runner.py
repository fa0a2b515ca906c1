"""A study as a user starts it: the records, checkpoints and files of a run."""

import contextlib
import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp
import numpy as np

from dormant.records import metrics
from dormant.records.run_file import RunRecord
from dormant.runs.array_checkpoints import ArrayCheckpoints, template_of
from dormant.runs.interventions import tracker_of
from dormant.runs.options import ConfigurationError, LearnerOptions, require
from dormant.runs.progress import Progress, iterations_left
from dormant.studies.fitting import Data, FitState, make_fit
from dormant.studies.options import StudyRun

# The streams of random numbers of the host, folded into the run's key.
_PREPARE, _FIT, _MEASURE = range(3)
# Gradient steps of one call at most, so that Ctrl-C is heard.
_MOST_STEPS = 1_000


class _Prepared(NamedTuple):
    key: jax.Array  # uint32, what it was made with
    data: Data


class StudyRunner:
    """Prepares, fits, records and saves one run of a study.

    Where no agent acts, the records' agent_step counts gradient steps.
    """

    def __init__(self, base_dir: str, run: StudyRun, options: LearnerOptions):
        """Builds the study, or loads its state where there is a checkpoint. Writes nothing.

        Args:
          base_dir: the run's folder.
          run, options: as gin configures them.

        Raises:
          ConfigurationError: when an option is not allowed, or the checkpoint is of another run.
        """
        self._base_dir, self._run = Path(base_dir), run
        self._seed = 0 if options.seed is None else options.seed
        require(self._seed < 2**31, "LearnerOptions.seed", "below 2**31", self._seed)
        self._key = jax.random.key(self._seed)
        self._study = run.study.study(options, run)
        self._check_periods(options)
        acting = options.intervention
        parts = [tracker_of(options), *([] if acting is None else [acting])]
        self._acts = acting is not None
        self._fit = make_fit(self._study.task, max(part.score_batch for part in parts))
        self._prepared = ArrayCheckpoints(self._base_dir / "prepared")
        self._checkpoints = ArrayCheckpoints(self._base_dir / "checkpoints")
        self._start_iteration, self._state = 0, None
        latest = self._checkpoints.latest()
        if latest is not None:
            self._start_iteration = latest + 1
            self._state = self._resume(latest)
        self._data = None
        if self._study.prepared is not None and self._prepared.latest() is not None:
            self._data = self._load_data()

    def _check_periods(self, options: LearnerOptions) -> None:
        """Everything that is due, is so at the end of a call of the compiled program."""
        self._tracking_period = tracker_of(options).tracking_period
        periods = [self._tracking_period, self._run.training_steps]
        if options.intervention is not None:
            periods.append(options.intervention.period)
        shared = math.gcd(*periods)
        self._unit = shared
        if not self._study.loops:
            self._unit = 1
        elif shared > _MOST_STEPS:
            self._unit = max(n for n in range(1, _MOST_STEPS + 1) if shared % n == 0)
        self._due_every = shared

    def _resume(self, number: int) -> FitState:
        fresh = self._fresh_learner()
        template = FitState(fresh, self._fit_key(), jnp.full((), -1, jnp.int32))
        state = self._checkpoints.load(number, template_of(template))
        expected = self._start_iteration * self._run.training_steps
        same_key = np.array_equal(*map(jax.random.key_data, (state.key, template.key)))
        if not same_key or int(state.learner.gradient_step) != expected:
            raise ConfigurationError(
                f"the run in {self._checkpoints.folder} was started with another seed or length of"
                " an iteration; continue it with its own gin file or give another --base_dir;"
                f" received seed {self._seed} and iterations of {self._run.training_steps}"
            )
        return state

    def _fresh_learner(self) -> Any:
        return self._study.task.learner.init(jax.random.key(0))

    def _fit_key(self) -> jax.Array:
        return jax.random.fold_in(self._key, _FIT)

    def describe(self) -> str:
        """What runs, in a line."""
        left = iterations_left(self._start_iteration, self._run.num_iterations)
        return f"{self._study.name}, seed {self._seed}, {left}"

    def run_experiment(self, command: list[str]) -> None:
        """Runs the iterations that are left, with a checkpoint after each.

        Args:
          command: the process's arguments, for run.json.

        Raises:
          FloatingPointError: when a loss is not finite, naming the gradient step.
        """
        self._base_dir.mkdir(parents=True, exist_ok=True)
        record = RunRecord(
            str(self._base_dir),
            seed=self._seed,
            start_iteration=self._start_iteration,
            command=command,
            config=gin.operative_config_str(),
        )
        try:
            if self._start_iteration < self._run.num_iterations:
                self._train()
        except BaseException as error:
            record.fail(error)
            raise
        record.finish()

    def _train(self) -> None:
        data = self._data
        if data is None:
            data = self._prepare()
        if self._state is None:
            self._state = self._fit.init(self._fit_key(), data)
        step = self._start_iteration * self._run.training_steps
        file = metrics.MetricsFile(
            str(self._base_dir),
            iteration=self._start_iteration,
            agent_step=step,
            gradient_step=step,
        )
        with contextlib.closing(file), Progress(step, counted="gradient step") as progress:
            for iteration in range(self._start_iteration, self._run.num_iterations):
                left = self._run.num_iterations - iteration
                progress.expect(left * self._run.training_steps)
                self._iterate(iteration, data, file, progress)
                self._checkpoints.save(iteration, self._state)

    def _prepare(self) -> Data:
        """Makes what is fitted to, and keeps it where it took long."""
        key = self._prepare_key()
        # A copy: the key is consumed.
        kept_key = jnp.copy(jax.random.key_data(key))
        data = self._study.prepare(key, lambda text: print(text, file=sys.stderr, flush=True))
        if self._study.prepared is not None:
            self._prepared.save(0, _Prepared(kept_key, data))
        return data

    def _load_data(self) -> Data:
        """What an earlier process prepared."""
        form = self._study.prepared
        empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), form)
        key = jax.random.key_data(self._prepare_key())
        found = self._prepared.load(0, template_of(_Prepared(key, empty)))
        if not np.array_equal(found.key, key):
            raise ConfigurationError(
                f"what {self._prepared.folder} holds was prepared with another seed; continue it"
                f" with its own gin file or give another --base_dir; received seed {self._seed}"
            )
        return found.data

    def _prepare_key(self) -> jax.Array:
        return jax.random.fold_in(self._key, _PREPARE)

    def _iterate(
        self, iteration: int, data: Data, file: metrics.MetricsFile, progress: Progress
    ) -> None:
        start, run = time.monotonic(), self._run
        step = iteration * run.training_steps
        end = step + run.training_steps
        while step < end:
            step += self._unit
            due = step % self._due_every == 0
            self._state, scalars = self._fit.advance(self._state, data, self._unit, due)
            progress.step(self._unit)
            if step % self._tracking_period == 0:
                self._check_finite()
                record = self._tracking_record(scalars, step)
                file.write(record)
                percent = record["dormant_percent_pooled"][-1]
                progress.show(dormant=f"{percent:.1f} % (tau {record['taus'][-1]:g})")
        self._check_finite()
        seconds = time.monotonic() - start
        key = jax.random.fold_in(jax.random.fold_in(self._key, _MEASURE), iteration)
        measured = self._study.measure(self._state.learner, data, key)
        record = metrics.iteration_record(
            iteration,
            agent_step=step,
            gradient_step=step,
            steps_per_second=run.training_steps / seconds,
            measured=measured,
        )
        file.write(record)
        numbers = {name: value for name, value in measured.items() if np.ndim(value) == 0}
        shown = "  ".join(
            f"{name.replace('_', ' ')} {value:.3g}"
            for name, value in numbers.items()
            if value is not None
        )
        progress.line(f"iteration {iteration} done  {shown}")

    def _tracking_record(self, scalars: dict[str, jax.Array], step: int) -> metrics.Record:
        learner = self._state.learner
        acting = learner.intervention if self._acts else None
        return metrics.tracking_record(learner.tracker, acting, scalars, agent_step=step)

    def _check_finite(self) -> None:
        step = int(self._state.nonfinite_step)
        if step >= 0:
            raise FloatingPointError(f"the loss is not finite at gradient step {step}")

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A study as a user starts it: what it is fitted to is prepared, then a host loop runs it."""

import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dormant.checks import ConfigurationError, require
from dormant.learners import Finiteness
from dormant.learners.finiteness import of_all, places
from dormant.runs.checkpoints import Checkpoints
from dormant.runs.compiling import CompiledFunction, on_one_chip
from dormant.runs.host_arrays import forms_of, to_host
from dormant.runs.host_loop import Call, HostLoop, Summary, Work
from dormant.runs.members import Member
from dormant.runs.options import LearnerOptions
from dormant.studies.fitting import Data, Fit, FitState, Study, make_fit
from dormant.studies.options import StudyRun
from dormant.xla_cpu import is_cpu

# The streams of random numbers of the host, folded into the run's key.
_PREPARE, _FIT, _MEASURE = range(3)
# Gradient steps of one call at most, so that Ctrl-C is heard.
_MOST_STEPS = 1_000


class _Prepared(NamedTuple):
    key: Any  # uint32, what it was made with
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
        folder, self._options = Path(base_dir), options
        self._seed = options.seed or 0
        require(self._seed < 2**31, "LearnerOptions.seed", "below 2**31", self._seed)
        self._study, self._fit, self._due_every, self._unit = _planned(run, options)
        self._prepared = Checkpoints(folder / "prepared")
        self._loop = HostLoop(folder, {folder: Member(self._seed, {})}, run)
        self._data = self._state = None
        if self._loop.start_iteration:
            self._state = self._resume()
        if self._study.prepared is not None and self._prepared.newest() is not None:
            self._data = self._load_data()

    def _key(self, stream: int) -> jax.Array:
        return jax.random.fold_in(jax.random.key(self._seed), stream)

    def _resume(self) -> FitState:
        learner = jax.jit(self._study.learner.init)(jax.random.key(0))
        state = FitState(learner, self._key(_FIT))

        def identity(state: FitState) -> Any:
            return to_host(state.key), int(state.learner.gradient_step)

        expected = (to_host(state.key), self._loop.start_step)
        return self._loop.load(forms_of(state), identity, expected)

    def _load_data(self) -> Data:
        """What an earlier process prepared."""
        key = to_host(self._key(_PREPARE))
        found = self._prepared.load_like(0, forms_of(_Prepared(key, self._study.prepared)))
        if not np.array_equal(found.key, key):
            raise ConfigurationError(
                f"what {self._prepared.folder} holds was prepared with another seed; continue it"
                f" with its own gin file or give another --base_dir; got seed {self._seed}"
            )
        return found.data

    def describe(self) -> str:
        """What runs, in a line."""
        return f"{self._study.name}, seed {self._seed}, {self._loop.left()}"

    def run_experiment(self, command: list[str]) -> None:
        """Runs the iterations that are left, with a checkpoint after each.

        Args:
          command: the process's arguments, for run.json.

        Raises:
          NotFinite: when the run diverges, naming the gradient step.
        """
        work = Work(
            start=self._start,
            advance=self._advance,
            gradient_steps=lambda step: step,
            learners=lambda state: [state.learner],
            options=self._options,
            summarize=self._summarize,
            places=places(jax.eval_shape(self._study.learner.init, jax.random.key(0))),
            finiteness=lambda state: _of_one(of_all(state.learner)),
            # The one member there is: where it fails nothing more is saved.
            cleared=lambda state: state,
        )
        self._loop.run(work, command)

    def _start(self) -> FitState:
        if self._data is None:
            self._data = self._prepare()
        return self._fit.init(self._key(_FIT), self._data) if self._state is None else self._state

    def _prepare(self) -> Data:
        """Makes what is fitted to, and keeps it where it took long."""
        say = functools.partial(print, file=sys.stderr, flush=True)
        data = self._study.prepare(self._key(_PREPARE), say)
        if self._study.prepared is not None:
            self._loop.confirm()
            self._prepared.save(0, _Prepared(jnp.asarray(to_host(self._key(_PREPARE))), data))
        return data

    def _advance(self, state: FitState, step: int) -> tuple[FitState, Call]:
        due = (step + self._unit) % self._due_every == 0
        state, scalars = self._fit.advance(state, self._data, self._unit, due)
        return state, Call(self._unit, [scalars], _of_one(state.learner.finiteness))

    def _summarize(
        self, state: FitState, iteration: int, brought: list[None], members: Sequence[int]
    ) -> tuple[list[Summary], str]:
        del brought, members
        key = jax.random.fold_in(self._key(_MEASURE), iteration)
        measured = self._study.measure(state.learner, self._data, key)
        numbers = {name: value for name, value in measured.items() if np.ndim(value) == 0}
        text = "  ".join(
            f"{name.replace('_', ' ')} {value:.3g}"
            for name, value in numbers.items()
            if value is not None
        )
        return [Summary(measured=measured)], text


def _planned(run: StudyRun, options: LearnerOptions) -> tuple[Study, Fit, int, int]:
    """A study, its compiled functions, and after how many gradient steps something may be due and
    a call of them ends."""
    study = run.study.study(options, run)
    # Everything that is due, is so at the end of a call of the compiled program.
    due_every, unit = options.shared_period(run.training_steps), 1
    if not (study.has_convolutions and is_cpu()):
        most = min(due_every, _MOST_STEPS)
        unit = max(n for n in range(1, most + 1) if due_every % n == 0)
    return study, make_fit(study, options.score_batch), due_every, unit


def compiled_functions(run: StudyRun, options: LearnerOptions) -> list[CompiledFunction]:
    """What a run of a study compiles to fit its data, for the hardware that is compiled for; the
    runs that come before it and its measurements are left out.

    Raises:
      ConfigurationError: when an option is not allowed, or what is fitted to cannot be read.
    """
    study, fit, due_every, unit = _planned(run, options)
    key: Any = jax.random.key(0)
    data = study.prepared
    if data is None:
        data = jax.eval_shape(lambda key: study.prepare(key, print), key)
    key, data, state = on_one_chip((key, data, jax.eval_shape(fit.init, key, data)))
    found = [CompiledFunction("init", fit.init, (key, data), 1, 0, "")]
    for name, scored in (("steps", False), ("steps, neurons scored", True)):
        # Where every call ends with something due there are no others.
        if scored or unit < due_every:
            arguments = (state, data, unit, scored)
            found.append(CompiledFunction(name, fit.advance, arguments, 1, unit, "gradient step"))
    return found


def _of_one(finiteness: Finiteness) -> Finiteness:
    """That of the members of a run that has one."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[None], finiteness)

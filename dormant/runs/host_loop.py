# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The host's side of a run whose training is compiled: it iterates, records, checks and saves."""

import contextlib
import dataclasses
import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import gin
import jax
import numpy as np

from dormant.checks import ConfigurationError, NotFinite, require_count, require_counter
from dormant.learners import Finiteness, LearnerState
from dormant.learners.finiteness import problem
from dormant.records import metrics
from dormant.records.files import CHECKPOINTS_FOLDER
from dormant.records.run_file import RunRecord, RunRecords, ending
from dormant.runs.checkpoints import Checkpoints, placed
from dormant.runs.members import Member
from dormant.runs.options import LearnerOptions
from dormant.runs.progress import Progress, dormant_text, iterations_left
from dormant.runs.saved_run import SavedRun, operative_settings

State = Any  # what a run carries on, a pytree of arrays; M members of this process


@dataclasses.dataclass(frozen=True)
class RunLength:
    """How long a run is; what gin configures extends it.

    Attributes:
      num_iterations: one record and one checkpoint each.
      training_steps: of each iteration.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    num_iterations: int = 10
    training_steps: int = 100_000

    counted: ClassVar[str] = "agent step"  # what the steps are

    def __post_init__(self) -> None:
        name = type(self).__name__
        for option in ("num_iterations", "training_steps"):
            require_count(f"{name}.{option}", getattr(self, option), 1)
        require_counter(f"{name}.num_iterations * training_steps", self.total_steps, self.counted)

    @property
    def total_steps(self) -> int:
        """Of the whole run."""
        return self.num_iterations * self.training_steps


class Call(NamedTuple):
    """What one call of a compiled program brought."""

    steps: int  # that it took
    metrics: Sequence[Mapping[str, Any]]  # of each member, scalars of its last update
    finiteness: Finiteness  # of the members, NumPy's arrays (M, ...)
    brought: Any = None  # what `Work.summarize` wants of it


class Summary(NamedTuple):
    """What one member has to say of an iteration."""

    train: metrics.Episodes | None = None  # those that ended; None: nothing acted
    evaluation: metrics.Episodes | None = None  # those of an evaluation; None: there was none
    measured: Mapping[str, Any] = MappingProxyType({})  # further entries of its record


class Work(NamedTuple):
    """What a run does, as functions of its state.

    Attributes:
      start: `start() -> state`, at the step at which the loop starts.
      advance: `advance(state, step) -> (state, Call)`, from that step on, to the next tracking
        record and the end of the iteration at most. The state is donated.
      gradient_steps: `gradient_steps(step) -> int`, those of each member after so many steps.
      learners: `learners(state) -> M LearnerStates`, whose reports are recorded.
      options: of the run: when its tracker is due, and whether an intervention acts.
      summarize: `summarize(state, iteration, brought, members) -> (Summaries, text for a person)`
        of the members of these numbers, given the `Call.brought` of all calls of an iteration.
      places: what `Finiteness.where` tells of.
      finiteness: `finiteness(state) -> Finiteness` of the members, as in `Call`, after a look at
        all that their learners carry on.
      cleared: `cleared(state) -> state`, with zeros for what is not whole numbers in members whose
        state is not finite. The state is donated.
    """

    start: Callable[[], State]
    advance: Callable[[State, int], tuple[State, Call]]
    gradient_steps: Callable[[int], int]
    learners: Callable[[State], Sequence[LearnerState]]
    options: LearnerOptions
    summarize: Callable[[State, int, list[Any], Sequence[int]], tuple[Sequence[Summary], str]]
    places: Sequence[str]
    finiteness: Callable[[State], Finiteness]
    cleared: Callable[[State], State]


class HostLoop:
    """Iterates a run, with records of each member and a checkpoint after each iteration.

    A member whose state is not finite has failed: its records end there, and checkpoints hold zeros
    in its place, with what happened. The others go on.
    """

    def __init__(self, folder: Path, members: Mapping[Path, Member], length: RunLength):
        """Looks for a checkpoint; writes nothing.

        Args:
          folder: of the run, which holds its checkpoints.
          members: {folder of its records: member} of this process.
          length: of the run.

        Raises:
          ConfigurationError: when this system does not allow so many open files, or the run cannot
            go on from what is in the folder; see `SavedRun`.
        """
        self._members, self._length = dict(members), length
        _allow_open_files(len(self._members))
        checkpoints = Checkpoints(folder / CHECKPOINTS_FOLDER)
        self._saved = SavedRun(checkpoints, list(self._members), operative_settings())
        self.start_iteration = self._saved.start_iteration
        self._failed: dict[int, str] = {}  # by number of the member: what was not finite, and when
        if self.start_iteration:
            taken = self._saved.take_state()
            self._taken = taken["run"]
            self._failed = {int(number): said for number, said in taken.get("failed", {}).items()}

    @property
    def start_step(self) -> int:
        """Steps that are over."""
        return self.start_iteration * self._length.training_steps

    def confirm(self) -> None:
        """Checks that the run is still this process's own; see `SavedRun.confirm`."""
        self._saved.confirm()

    def left(self) -> str:
        """What is left of the run, in words."""
        return iterations_left(self.start_iteration, self._length.num_iterations)

    def load(self, forms: State, identity: Callable[[State], Any], expected: Any) -> State:
        """The state of the newest checkpoint, which must be of this run.

        Args:
          forms: `forms_of` such a state.
          identity: `identity(state) -> tree` of what a run and its continuation have in common.
          expected: that of this run at `start_step`.

        Raises:
          ConfigurationError: when the checkpoint is of another run.
        """
        state = placed(self._taken, forms, self._saved.where)
        self._taken = None
        same = jax.tree.map(np.array_equal, identity(state), expected)
        if not all(jax.tree.leaves(same)):
            members = [member.name for member in self._members.values()]
            raise ConfigurationError(
                f"{self._saved.where} was saved with other seeds, values side by side or lengths;"
                " continue the run with its own gin file or give another --base_dir;"
                f" got {', '.join(members[:4])} and iterations of"
                f" {self._length.training_steps} {self._length.counted}s"
            )
        return state

    def run(self, work: Work, command: list[str]) -> None:
        """Runs the iterations that are left, with a checkpoint after each.

        Args:
          work: what the run does.
          command: the process's arguments, for run.json.

        Raises:
          ConfigurationError: when another process works on the run.
          LeaseLost: when another process has taken the run over.
          NotFinite: when members have failed, with a line for each: at the end, or where none is
            left. What was saved before stays.
          OSError: when the disk is full or a folder cannot be written; it names the file.
        """
        with self._saved.held():
            is_over = self.start_iteration >= self._length.num_iterations
            each: list[RunRecord] = []
            for folder, member in self._members.items():
                folder.mkdir(parents=True, exist_ok=True)
                record = RunRecord(
                    str(folder),
                    seed=member.seed,
                    start_iteration=self.start_iteration,
                    command=command,
                    config=gin.operative_config_str(),
                    side_by_side=member.values,
                    changed=self._saved.changed,
                    is_over=is_over,
                    confirm=self._saved.confirm,
                )
                each.append(record)
            records = RunRecords(each)
            for number, said in self._failed.items():
                records.end(number, NotFinite(said))
            with ending(records):
                if not is_over:
                    self._train(work, records)
        self._raise_failures()

    def _going(self) -> list[int]:
        """The numbers of the members that have not failed."""
        return [number for number in range(len(self._members)) if number not in self._failed]

    def _raise_failures(self) -> None:
        if self._failed:
            raise NotFinite("\n".join(said for _, said in sorted(self._failed.items())))

    def _train(self, work: Work, run_records: RunRecords) -> None:
        state, step, length = work.start(), self.start_step, self._length
        with contextlib.ExitStack() as stack:
            files = self._saved.files
            for file in files:
                stack.callback(file.close)
            self._saved.start()
            # One process speaks for all.
            quiet = open(os.devnull, "w") if jax.process_index() else contextlib.nullcontext(None)
            progress = Progress(step, stack.enter_context(quiet), counted=length.counted)
            stack.enter_context(progress)

            def note(failures: Iterable[tuple[int, str]]) -> list[int]:
                """Notes who has failed and why; returns who has not."""
                for number, said in failures:
                    self._failed[number] = said
                    run_records.end(number, NotFinite(said))
                    progress.line(said)
                going = self._going()
                # Other processes would wait for this one.
                if not going and jax.process_count() == 1:
                    self._raise_failures()
                return going

            for iteration in range(self.start_iteration, length.num_iterations):
                progress.expect(length.total_steps - step)
                start, brought = time.monotonic(), []
                end = step + length.training_steps
                while step < end:
                    state, call = work.advance(state, step)
                    step += call.steps
                    progress.step(call.steps)
                    brought.append(call.brought)
                    going = note(self._new_failures(call.finiteness, work.places))
                    if work.options.tracker.is_due(work.gradient_steps(step)):
                        records = _tracking_records(work, state, call, step, going)
                        _write(files, records)
                        if records:
                            progress.show(dormant=dormant_text(list(records.values())))
                speed = length.training_steps / (time.monotonic() - start)
                going = note(self._new_failures(work.finiteness(state), work.places))
                found, text = work.summarize(state, iteration, brought, going)
                summaries = dict(zip(going, found, strict=True))
                going = note(self._bad_returns(summaries, iteration))
                records = {
                    number: metrics.iteration_record(
                        iteration,
                        agent_step=step,
                        gradient_step=work.gradient_steps(step),
                        steps_per_second=speed,
                        **summaries[number]._asdict(),
                    )
                    for number in going
                }
                _write(files, records)
                together = f"{speed * len(going):,.0f} {length.counted}s/s"
                progress.line(f"iteration {iteration} done  {text}  {together}")
                if self._failed or jax.process_count() > 1:  # in which all do the same
                    state = work.cleared(state)
                failed = {str(number): said for number, said in self._failed.items()}
                self._saved.save(iteration, {"run": state, "failed": failed})

    def _new_failures(
        self, finiteness: Finiteness, names: Sequence[str]
    ) -> Iterator[tuple[int, str]]:
        """Who has failed that had not yet, and what was not finite."""
        for number, member in enumerate(self._members.values()):
            own = Finiteness(finiteness.step[number], finiteness.where[number])
            said = problem(own, names, member.name)
            if said is not None and number not in self._failed:
                yield number, said

    def _bad_returns(
        self, summaries: Mapping[int, Summary], iteration: int
    ) -> Iterator[tuple[int, str]]:
        members = list(self._members.values())
        for number, summary in summaries.items():
            said = metrics.returns_problem(summary.train, iteration, members[number].name)
            if said is not None:
                yield number, said


# Records by number of the member.
_Records = Mapping[int, metrics.Record]


def _write(files: Sequence[metrics.MetricsFile], records: _Records) -> None:
    for number, record in records.items():
        files[number].write(record)


def _tracking_records(
    work: Work, state: State, call: Call, step: int, members: Sequence[int]
) -> _Records:
    acts, learners = work.options.intervention is not None, work.learners(state)
    return {
        number: metrics.tracking_record(
            learners[number].tracker,
            learners[number].intervention if acts else None,
            call.metrics[number],
            agent_step=step,
        )
        for number in members
    }


def _allow_open_files(count: int) -> None:
    """Every member's records are a file of their own; many systems allow 1 024 by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + 256
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise ConfigurationError(
            f"the runs side by side must be at most {hard - 256}, as this system allows {hard} open"
            f" files; got {count}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))

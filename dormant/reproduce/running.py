# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs the processes of an experiment: several at once, failed ones again, one bar for all."""

import collections
import contextlib
import json
import sys
import time
from collections.abc import Collection, Hashable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import tqdm

from dormant.checks import check
from dormant.records.experiment_file import log_path
from dormant.records.files import read_object, write_atomically
from dormant.records.results import FINISHED, INTERRUPTED, RUNNING, UNREADABLE
from dormant.reproduce.engines.engine import (
    ENGINE_FOLDER,
    EVICTED,
    MISTAKE,
    TEMPFAIL,
    Budgets,
    Ended,
    Engine,
    Task,
    last_line,
)
from dormant.reproduce.experiment_folder import works_on
from dormant.reproduce.jobs import Job, alone
from dormant.reproduce.progress import State, Verified, reached

_POLL_SECONDS = 0.5
_REFRESH_SECONDS = 3.0
# What engines that outlive this process have spent of the budgets.
_SPENT_FILE = f"{ENGINE_FOLDER}/spent.json"
# Until a job is tried again whose runs another process holds.
_HELD_SECONDS = 60.0


class Failure(NamedTuple):
    """A process whose runs are not whole, although it was tried as often as allowed."""

    job: Job
    problem: str


def state_of_job(verified: Verified, job: Job) -> State:
    """The worst state of its runs: one that cannot be read, else one that is not whole."""
    states = [verified.state(run) for run in job.runs]
    order = {UNREADABLE: 0, FINISHED: 2}
    return min(states, key=lambda state: order.get(state.status, 1))


def left_of_packs(
    verified: Verified, jobs: Sequence[Job], submitted: Collection[str] = ()
) -> list[Job]:
    """The jobs, with those that have one of several runs whole replaced by the runs, each alone: a
    whole run need not have its checkpoint, without which it could not be among others again. Those
    whose task is submitted stay, as it makes their runs."""
    found = []
    for job in jobs:
        is_pack = len(job.folders) == len(job.runs) > 1 and job.name not in submitted
        if is_pack and any(verified.state(run).status == FINISHED for run in job.runs):
            found += [alone(job, run) for run in job.runs]
        else:
            found.append(job)
    return found


def packed_as_submitted(engine: Engine, verified: Verified, jobs: Sequence[Job]) -> list[Job]:
    """`left_of_packs`, by what still waits or runs of the tasks that earlier calls submitted.

    Raises:
      ValueError: one of another packing does: its runs would be made twice.
    """
    known = {job.name for job in left_of_packs(verified, jobs)}
    others = {name: handle for name, handle in engine.handles().items() if name not in known}
    # What has ended under another name is left to the folders of its runs.
    submitted = [name for name, handle in others.items() if engine.poll(handle) is None]
    strange = sorted(set(submitted) - {job.name for job in jobs})
    allowed = "that of the call whose tasks were submitted, until they have ended"
    check(not strange, "--seeds_per_process", allowed, f"others than for {', '.join(strange[:3])}")
    return left_of_packs(verified, jobs, submitted)


def tasks_of(jobs: Sequence[Job]) -> list[Task]:
    """The jobs as an engine sees them."""
    return [Task(job.name, job.arguments, Path(log_path(job.name)), job.folders) for job in jobs]


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    engine: Engine,
    budgets: Budgets = Budgets(),  # noqa: B008
    *,
    wait: bool = True,
) -> list[Failure]:
    """Runs what is not whole yet, but for those that need one which is not whole.

    They are started game by game, so that of what was stopped whole games can be shown.

    A run that was interrupted or has failed goes on from its last checkpoint. What cannot be read
    is not touched, and is among the failures. The folders alone say what is whole: this process may
    be killed at any time, and the same call goes on.

    Args:
      jobs: all of an experiment; those that are whole are passed over.
      folder: the experiment's, which exists.
      engine: what runs the processes.
      budgets: how often a job is started again, after all others.
      wait: whether to return only when all have ended; else once all that can be are submitted.

    Returns:
      What is not whole in the end, or can no more become so where this does not wait.

    Raises:
      KeyboardInterrupt: the processes were interrupted too, and have ended, unless the engine's
        outlive this one.
    """
    with contextlib.closing(_Driver(jobs, folder, engine, budgets)) as driver:
        try:
            while driver.step() and wait:
                time.sleep(_POLL_SECONDS)
        except BaseException:
            if not engine.outlives:
                engine.cancel(list(driver.running.values()))
            raise
    return driver.lasting_failures()


class _Driver:
    """What has become of each job: it waits, runs, is whole, or is among the failures."""

    def __init__(self, jobs: Sequence[Job], folder: Path, engine: Engine, budgets: Budgets):
        self._folder, self._engine, self._budgets = folder, engine, budgets
        self.failures: list[Failure] = []
        self.running: dict[Job, Hashable] = {}
        self._waiting: list[Job] = []
        self._whole: set[str] = set()  # folders of runs that no process will work on any more
        self._spent = self._read_spent()
        self._not_before: dict[str, float] = {}  # of jobs that others hold, by this clock
        self._verified = Verified(folder)
        submitted = engine.handles()
        games = list(dict.fromkeys(job.runs[0].game for job in jobs))
        for job in sorted(jobs, key=lambda job: games.index(job.runs[0].game)):
            state = state_of_job(self._verified, job)
            if state.status == UNREADABLE:
                self.failures.append(Failure(job, f"{state.problem}; {_anew(folder, job)}"))
                self._lay_to_rest(job)
            elif state.status == FINISHED:
                self._lay_to_rest(job)
            elif job.name in submitted:
                self.running[job] = submitted[job.name]
            else:
                self._waiting.append(job)
        self._bar = _Bar(jobs, folder)

    def close(self) -> None:
        self._verified.save()
        self._bar.close()

    def lasting_failures(self) -> list[Failure]:
        """Without those that another process held, and that have become whole since."""
        return [
            each
            for each in self.failures
            if state_of_job(self._verified, each.job).status != FINISHED
        ]

    def step(self) -> bool:
        """Settles what has ended and submits what can start; whether anything is left to wait
        for."""
        self._bar.refresh()
        for job, handle in list(self.running.items()):
            ended = self._engine.poll(handle)
            if ended is not None:
                del self.running[job]
                self._bar.end(job)
                self._settle(job, ended)
        ready = self._ready()
        if ready:
            self.running |= zip(ready, self._engine.submit(tasks_of(ready)), strict=True)
        self._bar.start(ready)
        if self.running or self._not_before:
            return True
        for job in self._waiting:
            need = next(need for need in job.needs if need not in self._whole)
            self.failures.append(Failure(job, f"it was not started: it needs {need}"))
        self._waiting.clear()
        return False

    def _ready(self) -> list[Job]:
        """What waits for nothing and has room, taken from those that wait."""
        now, at_once = time.monotonic(), self._engine.at_once
        self._not_before = {name: at for name, at in self._not_before.items() if at > now}
        ready = [
            job
            for job in self._waiting
            if self._whole.issuperset(job.needs) and job.name not in self._not_before
        ]
        if at_once is not None:
            ready = ready[: max(0, at_once - len(self.running))]
        taken = {job.name for job in ready}
        self._waiting = [job for job in self._waiting if job.name not in taken]
        return ready

    def _lay_to_rest(self, job: Job) -> None:
        """Lets others read those of its runs that are whole."""
        whole = (run for run in job.runs if self._verified.state(run).status == FINISHED)
        self._whole.update(run.folder for run in whole)

    def _read_spent(self) -> dict[str, collections.Counter[str]]:
        """{budget: {job: how often}}."""
        path = self._folder / _SPENT_FILE
        found = read_object(path) if self._engine.outlives and path.exists() else {}
        known = {name: found.get(name) for name in Budgets._fields}
        return {
            name: collections.Counter(spent if isinstance(spent, dict) else {})
            for name, spent in known.items()
        }

    def _write_spent(self) -> None:
        if self._engine.outlives:
            write_atomically(self._folder / _SPENT_FILE, json.dumps(self._spent) + "\n")

    def _settle(self, job: Job, ended: Ended) -> None:
        state = state_of_job(self._verified, job)
        if state.status == FINISHED:
            self._lay_to_rest(job)
            return
        problem = ended.problem or _problem(self._folder, job, ended.code, state)
        is_held = ended.code == TEMPFAIL
        # A run that finds its folder held calls it a mistake; held it is by a worker elsewhere.
        is_held |= ended.code == MISTAKE and works_on(self._folder, job.folders) != ""
        # Where nobody knows how it ended, its record shows whether it came to say so.
        was_killed = ended.code is None and state.status in (RUNNING, INTERRUPTED)
        if ended.was_lost or was_killed or is_held or ended.code in EVICTED:
            spent, budget, happened = "preemptions", self._budgets.preemptions, "was stopped"
        else:
            spent, budget, happened = "retries", self._budgets.retries, "failed"
        self._spent[spent][job.name] += 1
        # A mistake in what is asked for stays one however often it is tried.
        is_mistake = ended.code == MISTAKE and not is_held
        has_failed = self._spent[spent][job.name] > budget or is_mistake
        if has_failed:
            self.failures.append(Failure(job, problem))
            self._lay_to_rest(job)
            for each in self._spent.values():  # asked again, it is tried again
                del each[job.name]
        self._write_spent()
        if has_failed:
            return
        tqdm.tqdm.write(f"{job.name} {happened} and is tried again: {problem}", file=sys.stderr)
        self._waiting.append(job)
        if is_held:
            self._not_before[job.name] = time.monotonic() + _HELD_SECONDS


def log_of(folder: Path, job: Job) -> Path:
    """Where the output of a process is kept."""
    return folder / log_path(job.name)


def _problem(folder: Path, job: Job, code: int | None, state: State) -> str:
    """What the log ends with, else what is known of its runs."""
    try:
        text = log_of(folder, job).read_text(encoding="utf-8", errors="replace")
    except OSError:  # of a worker that never came to write one
        text = ""
    said = last_line(text)
    if not said or said.startswith("$ "):  # the command itself
        said = state.problem
    # A process that had nothing left to do, for its checkpoint says so, can mend nothing.
    if code == 0:
        return f"{state.problem}; {_anew(folder, job)}"
    return said if code is None else f"exit code {code}: {said}"


def _anew(folder: Path, job: Job) -> str:
    return f"to run it anew remove {' '.join(str(folder / each) for each in job.folders)}"


class _Bar:
    """One bar over the agent steps of all runs."""

    def __init__(self, jobs: Sequence[Job], folder: Path):
        self._folder, self._next = folder, 0.0
        self._steps = {run.folder: reached(folder, run) for job in jobs for run in job.runs}
        self._running: set[Job] = set()
        self._bar = tqdm.tqdm(
            total=sum(job.agent_steps for job in jobs),
            initial=sum(self._steps.values()),
            unit=" steps",
            unit_scale=True,
            dynamic_ncols=True,
            # Elsewhere than on a terminal every refresh is a line.
            mininterval=0.1 if sys.stderr.isatty() else 30.0,
        )

    def close(self) -> None:
        self._read(self._running)
        self._bar.close()

    def start(self, jobs: Sequence[Job]) -> None:
        self._running |= set(jobs)
        if jobs:
            self._bar.set_postfix_str(jobs[-1].name, refresh=False)

    def end(self, job: Job) -> None:
        self._read([job])
        self._running.discard(job)

    def refresh(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _REFRESH_SECONDS
            self._read(self._running)

    def _read(self, jobs: Iterable[Job]) -> None:
        more = 0
        for run in (run for job in jobs for run in job.runs):
            step = reached(self._folder, run)
            more += step - self._steps[run.folder]
            self._steps[run.folder] = step
        self._bar.update(max(0, more))

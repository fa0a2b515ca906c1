# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs the processes of an experiment: several at once, failed ones again, one bar for all."""

import collections
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import tqdm

from dormant.interruption import GRACE
from dormant.records.experiment_file import log_path
from dormant.records.results import FINISHED, UNREADABLE
from dormant.reproduce.jobs import Job
from dormant.reproduce.progress import State, reached, state_of

_MISTAKE = 2  # the exit code of every command here for a wrong flag, gin file or option
_POLL_SECONDS = 0.5
_REFRESH_SECONDS = 3.0
# A process that is interrupted ends within `interruption.GRACE`.
_GRACE_SECONDS = GRACE + 2.0


class Failure(NamedTuple):
    """A process whose runs are not whole, although it was tried as often as allowed."""

    job: Job
    problem: str


def state_of_job(root: Path, job: Job) -> State:
    """The worst state of its runs: one that cannot be read, else one that is not whole."""
    states = [state_of(root, run) for run in job.runs]
    order = {UNREADABLE: 0, FINISHED: 2}
    return min(states, key=lambda state: order.get(state.status, 1))


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    parallel: int = 1,
    retries: int = 1,
    inherited: Sequence[int] = (),
) -> list[Failure]:
    """Runs what is not whole yet, but for those that need one which is not whole.

    They are run game by game, so that of what was stopped whole games can be shown.

    A run that was interrupted or has failed goes on from its last checkpoint. What cannot be read
    is not touched, and is among the failures.

    Args:
      jobs: all of an experiment; those that are whole are passed over.
      folder: the experiment's, which exists.
      parallel: how many at once.
      retries: how often a process that failed is started again, after all others.
      inherited: file descriptors that the processes keep open, such as that of the folder's lease.

    Returns:
      What is not whole in the end.

    Raises:
      KeyboardInterrupt: the processes were interrupted too, and have ended.
    """
    failures, waiting = [], []
    running: dict[Job, subprocess.Popen] = {}
    whole: set[str] = set()
    attempts: collections.Counter[str] = collections.Counter()
    games = list(dict.fromkeys(job.runs[0].game for job in jobs))
    for job in sorted(jobs, key=lambda job: games.index(job.runs[0].game)):
        state = state_of_job(folder, job)
        if state.status == UNREADABLE:
            failures.append(Failure(job, f"{state.problem}; {_anew(folder, job)}"))
        elif state.status == FINISHED:
            whole.add(job.name)
        else:
            waiting.append(job)
    with contextlib.closing(_Bar(jobs, folder)) as bar:
        try:
            while waiting or running:
                while len(running) < parallel:
                    ready = next((job for job in waiting if whole.issuperset(job.needs)), None)
                    if ready is None:
                        break
                    waiting.remove(ready)
                    bar.start(ready)
                    running[ready] = _start(ready, folder, parallel, inherited)
                if not running:
                    for job in waiting:
                        need = next(need for need in job.needs if need not in whole)
                        failures.append(Failure(job, f"it was not started: it needs {need}"))
                    break
                time.sleep(_POLL_SECONDS)
                bar.refresh()
                for job in [job for job, process in running.items() if process.poll() is not None]:
                    code, state = running.pop(job).returncode, state_of_job(folder, job)
                    if state.status == FINISHED:
                        whole.add(job.name)
                        continue
                    problem = _problem(folder, job, code, state)
                    attempts[job.name] += 1
                    # A mistake in what is asked for stays one however often it is tried.
                    if attempts[job.name] <= retries and code != _MISTAKE:
                        again = f"{job.name} failed and is tried again: {problem}"
                        tqdm.tqdm.write(again, file=sys.stderr)
                        waiting.append(job)
                    else:
                        failures.append(Failure(job, problem))
        except BaseException:
            _end(running.values())
            raise
    return failures


def log_of(folder: Path, job: Job) -> Path:
    """Where the output of a process is kept."""
    return folder / log_path(job.name)


def _start(job: Job, folder: Path, parallel: int, inherited: Sequence[int]) -> subprocess.Popen:
    path = log_of(folder, job)
    path.parent.mkdir(exist_ok=True)
    environment = dict(os.environ)
    if parallel > 1:
        # Else the first process takes three quarters of a GPU's memory.
        environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with path.open("a", encoding="utf-8") as log:
        log.write(f"$ {job.command}\n")
        log.flush()
        return subprocess.Popen(
            [sys.executable, *job.arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches this process alone, which passes it on once.
            start_new_session=True,
            pass_fds=tuple(inherited),
        )


def _end(processes: Collection[subprocess.Popen]) -> None:
    for process in processes:
        # Not SIGINT: a process that was just started by a job in the background ignores it still.
        process.terminate()
    end = time.monotonic() + _GRACE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()  # it goes on from its last checkpoint too
            process.wait()


def _problem(folder: Path, job: Job, code: int, state: State) -> str:
    """What the log ends with, else what is known of its runs."""
    text = log_of(folder, job).read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = lines[-1] if lines and not lines[-1].startswith("$ ") else state.problem
    # A process that had nothing left to do, for its checkpoint says so, can mend nothing.
    return f"exit code {code}: {said}" if code else f"{state.problem}; {_anew(folder, job)}"


def _anew(folder: Path, job: Job) -> str:
    return f"to run it anew remove {folder / job.name}"


class _Bar:
    """One bar over the agent steps of all runs."""

    def __init__(self, jobs: Sequence[Job], folder: Path):
        self._folder, self._next = folder, 0.0
        self._steps = {run.folder: reached(folder, run) for job in jobs for run in job.runs}
        self._started: list[Job] = []
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
        self._read()
        self._bar.close()

    def start(self, job: Job) -> None:
        self._started.append(job)
        self._bar.set_postfix_str(job.name, refresh=False)

    def refresh(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _REFRESH_SECONDS
            self._read()

    def _read(self) -> None:
        before = sum(self._steps.values())
        for job in self._started:
            self._steps |= {run.folder: reached(self._folder, run) for run in job.runs}
        self._bar.update(max(0, sum(self._steps.values()) - before))

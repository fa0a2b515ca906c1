# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The seam between `reproduce` and what runs its processes: submit, poll, cancel."""

import shlex
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

# In an experiment's folder: what its engine keeps there.
ENGINE_FOLDER = "engine"
PARALLEL_OPTION: dict[str, dict[str, Any]] = {
    "parallel": {"type": int, "help": "processes at once (local: 1, others: all)"},
}
# Exit codes of a worker, beside those of the commands themselves (0, 1, 2, 130, 143).
MISTAKE = 2  # in what is asked for: it stays one however often it is tried
# It passes: another process works on the same runs, or a file cannot be read, as that of a shared
# folder that is not mounted. sysexits.h calls it a temporary failure, EX_TEMPFAIL.
TEMPFAIL = 75
EVICTED = (130, 143)  # ended by SIGINT or SIGTERM, from its last checkpoint it goes on


class Budgets(NamedTuple):
    """How often a job is started again, in all.

    Attributes:
      retries: after it failed.
      preemptions: after its worker was lost or taken away, or another process held its runs.
    """

    retries: int = 1
    preemptions: int = 100


class Task(NamedTuple):
    """One process to run, as an engine sees it.

    Attributes:
      name: of the job, unique in its experiment.
      arguments: after the interpreter's name; a list, which no shell reads.
      log: the file that gets its output, relative to the experiment's folder.
      folders: what holds its runs and nothing else, relative to the experiment's folder.
    """

    name: str
    arguments: tuple[str, ...]
    log: Path
    folders: tuple[str, ...]


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
      code: its exit code; None where it is not known.
      was_lost: whether its machine was lost or taken away, so that the runs themselves are not to
        blame.
      problem: what the engine says of it, in a line; "" where the log says it.
    """

    code: int | None
    was_lost: bool = False
    problem: str = ""


class Engine(Protocol):
    """Runs processes somewhere. The folders of the runs say what is whole, never an engine.

    Attributes:
      at_once: how many tasks it is given at a time; None for as many as there are.
      outlives: whether what it was given goes on when this process ends. Then `handles` of a
        later process finds it again, and the driver does not wait for it unless asked to.
    """

    at_once: int | None
    outlives: bool

    def submit(self, tasks: Sequence[Task]) -> list[Hashable]:
        """Starts the tasks, or has them wait for a place; a handle for each."""

    def poll(self, handle: Hashable) -> Ended | None:
        """How a task ended; None while it waits or runs."""

    def cancel(self, handles: Sequence[Hashable]) -> None:
        """Has tasks end, each at its last checkpoint; returns when they have."""

    def handles(self) -> dict[str, Hashable]:
        """The tasks of earlier processes that may still wait or run, by name."""

    def report(self) -> str:
        """What became of what it was given, in a line for a person; "" for nothing to say."""


_BELOW_AN_ERROR = ("For simplicity, JAX has removed", "In call to configurable")


def last_line(text: str) -> str:
    """The last line with something in it, as a process ends with what went wrong; "" for none.
    What JAX and gin add below an error is passed over."""
    lines = [line.strip() for line in text.splitlines()]
    told = [line for line in lines if line.strip("-") and not line.startswith(_BELOW_AN_ERROR)]
    return told[-1] if told else ""


def open_log(folder: Path, task: Task) -> IO[str]:
    """The log of a task in its experiment's folder, for appending; begins with its command."""
    path = folder / task.log
    path.parent.mkdir(exist_ok=True)
    log = path.open("a", encoding="utf-8")
    log.write(f"$ {shlex.join(['python', *task.arguments])}\n")
    log.flush()
    return log

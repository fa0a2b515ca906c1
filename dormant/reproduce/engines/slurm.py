# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Tasks of Slurm job arrays, which go on when the process that submitted them has ended.

A submission is an array, and in `FOLDER/engine/slurm` a few files of one number: `1.names`, the
tasks' names, one a line; `1.id`, the array's, which sbatch itself writes there, so that it is known
also where the process that called sbatch was killed; `1.ended`, the tasks of which it was told how
they ended; `1_0.log`, what the worker of task 0 says itself. No number is given twice: the tasks of
an array of which sbatch said that it was refused, although it was submitted, find no names.
"""

import argparse
import collections
import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dormant.checks import ConfigurationError, require
from dormant.records.files import write_atomically
from dormant.reproduce.engines.engine import (
    ENGINE_FOLDER,
    MISTAKE,
    PARALLEL_OPTION,
    TEMPFAIL,
    Ended,
    Engine,
    Task,
    last_line,
)
from dormant.reproduce.engines.hosts import HOSTS_OPTION, together
from dormant.reproduce.engines.worker import RANK

TASK_SCRIPT = Path(__file__).with_name("slurm_task.sh")
# Slurm's own limit of an array, MaxArraySize, unless its configuration names another.
_LARGEST_ARRAY = 1_000
# Seconds for which what the queue said last is good enough, and that a command of Slurm may take.
_FRESH_SECONDS, _PATIENCE_SECONDS = 5.0, 120.0
# What this engine says itself.
_OWN_OPTIONS = ("--array", "--parsable", "--test-only", "--wait", "--wrap")
_FAILED = ("FAILED", "OUT_OF_MEMORY")
_LOST = ("BOOT_FAIL", "CANCELLED", "DEADLINE", "NODE_FAIL", "PREEMPTED", "REVOKED", "TIMEOUT")
_ENDED = ("COMPLETED", *_FAILED, *_LOST)
OPTIONS: dict[str, dict[str, Any]] = {
    "slurm_options": {
        "action": "append",
        "metavar": "OPTION",
        "help": "of sbatch, such as --slurm_options=--time=1-0, or a file of them; repeatable",
    },
    "wait": {"action": "store_true", "default": None, "help": "stay until all has ended"},
    **PARALLEL_OPTION,
    **HOSTS_OPTION,
}
_QUEUE = ("--array", "--states=all", "--noheader", "--me")
_QUEUE_FORMAT = "ArrayJobID:20,ArrayTaskID:20,State:30,exit_code:20,Reason:60"
_ACCOUNTS = ("--noheader", "--parsable2", "--allocations", "--format=JobID,State,ExitCode")
# A line of sbatch --parsable; slurm_task.sh looks for the same.
_ANSWER = re.compile(r"([0-9]+)(?:;(\S+))?")
# Calls of sbatch that have not ended: Python complains of a child that is forgotten before.
_late: list[subprocess.Popen] = []


def prepare(options: argparse.Namespace) -> Callable[[Path, int], Engine]:
    """See `catalog.Entry`."""
    is_here = shutil.which("sbatch") is not None
    require(is_here, "--engine", "slurm only where there is an sbatch", "slurm")
    words, parallel = read_options(options.slurm_options or ()), options.parallel
    count = options.hosts or 1
    return lambda folder, descriptor: Slurm(folder, words, (descriptor,), parallel, count)


class Array(NamedTuple):
    """A job array: its id, and the cluster that it was submitted to; "" for the default one."""

    id: str
    cluster: str = ""

    @property
    def on_cluster(self) -> tuple[str, ...]:
        """What squeue, sacct and scancel are told to find it."""
        return (f"--clusters={self.cluster}",) if self.cluster else ()


class Handle(NamedTuple):
    """A task of a submission: the array, and its number there."""

    submission: int
    array: Array
    task: int


class Report(NamedTuple):
    """What Slurm says of a task: its state, its exit code once it has ended, and why it waits."""

    state: str
    code: int
    reason: str = ""


class Slurm:
    """Arrays on the partition, and with the limits, that the options of sbatch name."""

    outlives = True

    def __init__(
        self,
        folder: Path,
        options: Sequence[str] = (),
        inherited: Sequence[int] = (),
        at_once: int | None = None,
        hosts: int = 1,
    ):
        """Calls nothing.

        Args:
          folder: the experiment's, which all nodes see under this path.
          options: of sbatch, as `read_options` returns them.
          inherited: file descriptors that sbatch keeps open, such as that of the folder's lease:
            no other process looks for its array before it has one.
          at_once: tasks in the queue at a time; None for all.
          hosts: nodes of each task, which is one program on all of them.
        """
        self.at_once = at_once
        self._folder, self._own = folder.resolve(), folder.resolve() / ENGINE_FOLDER / "slurm"
        several = (f"--nodes={hosts}", "--ntasks-per-node=1") if hosts > 1 else ()
        self._options, self._inherited = (*options, *several), tuple(inherited)
        self._hosts = hosts
        # When each cluster was asked, and what it said; None: it does not answer.
        self._queues: dict[str, tuple[float, dict[tuple[str, int], Report] | None]] = {}
        self._ended: dict[Array, dict[tuple[str, int], Report]] = {}  # of the accounting

    def submit(self, tasks: Sequence[Task]) -> list[Hashable]:
        parts = [tasks[at : at + _LARGEST_ARRAY] for at in range(0, len(tasks), _LARGEST_ARRAY)]
        return [handle for part in parts for handle in self._submit(part)]

    def poll(self, handle: Hashable) -> Ended | None:
        assert isinstance(handle, Handle)
        queue = self._ask(handle.array)
        if queue is None:
            return None
        report = queue.get((handle.array.id, handle.task)) or self._account(handle)
        if report.state and report.state not in _ENDED:
            return None
        with self._path(handle.submission, "ended").open("a", encoding="utf-8") as file:
            file.write(f"{handle.task}\n")
        return _ended(report, _read(self._own / f"{handle.submission}_{handle.task}.log"))

    def cancel(self, handles: Sequence[Hashable]) -> None:
        left = {each for each in handles if isinstance(each, Handle)}
        for option, each in _by_cluster(left):
            _run(["scancel", *option, *(f"{one.array.id}_{one.task}" for one in each)])
        while left:
            self._queues.clear()
            left = {each for each in left if self.poll(each) is None}
            time.sleep(1.0 if left else 0.0)

    def handles(self) -> dict[str, Hashable]:
        found: dict[str, Hashable] = {}
        for submission in self._numbers("names"):
            array = read_answer(_read(self._path(submission, "id")))
            if array is None:  # sbatch was never called, or has not answered
                continue
            ended = set(_read(self._path(submission, "ended")).split())
            names = _read(self._path(submission, "names")).splitlines()
            for index, name in enumerate(names):
                found.pop(name, None)  # of a submission before
                if str(index) not in ended:
                    found[name] = Handle(submission, array, index)
        return found

    def report(self) -> str:
        left = {}
        for handle in self.handles().values():
            assert isinstance(handle, Handle)
            report = (self._ask(handle.array) or {}).get((handle.array.id, handle.task))
            if report is not None and report.state not in _ENDED:
                left[handle] = report
        if not left:
            return ""
        waiting = [each for each in left.values() if each.state == "PENDING"]
        why = collections.Counter(each.reason for each in waiting if each.reason != "None")
        reasons = ", ".join(f"{count} for {reason}" for reason, count in why.most_common())
        shown = " and ".join(
            " ".join(["squeue", *option, f"--jobs={','.join(sorted({h.array.id for h in each}))}"])
            for option, each in _by_cluster(left)
        )
        return (
            f"{len(waiting)} tasks wait{f' ({reasons})' if reasons else ''},"
            f" {len(left) - len(waiting)} run: {shown}; the same command settles what has ended"
        )

    def _submit(self, tasks: Sequence[Task]) -> list[Hashable]:
        self._own.mkdir(parents=True, exist_ok=True)
        number = 1 + max((*self._numbers("names"), *self._numbers("id")), default=0)
        text = "".join(f"{task.name}\n" for task in tasks)
        write_atomically(self._path(number, "names"), text)
        command = [
            *("sbatch", "--parsable", f"--array=0-{len(tasks) - 1}", "--requeue"),
            # The worker has logs of its own; one of Slurm's is had by naming it in the options.
            *("--output=/dev/null", "--open-mode=append", f"--job-name=dormant-{number}"),
            *self._options,
            *(str(TASK_SCRIPT), sys.executable, str(self._folder), str(self._own / str(number))),
            str(self._hosts),
        ]
        try:
            _submit_array(command, self._path(number, "id"), self._inherited)
            said = _read(self._path(number, "id")).strip()
            array = read_answer(said)
            require(array is not None, "sbatch", "a command that prints the array's id", said)
        except _Late:
            raise
        except (ConfigurationError, OSError):
            self._path(number, "names").unlink(missing_ok=True)
            raise
        assert array is not None
        self._queues.clear()
        return [Handle(number, array, index) for index in range(len(tasks))]

    def _numbers(self, kind: str) -> list[int]:
        return sorted(int(path.stem) for path in self._own.glob(f"*.{kind}"))

    def _path(self, submission: int, kind: str) -> Path:
        return self._own / f"{submission}.{kind}"

    def _ask(self, array: Array) -> dict[tuple[str, int], Report] | None:
        """What the queue of its cluster says, or said just now; None where its controller is
        away."""
        asked_at, queue = self._queues.get(array.cluster, (-float("inf"), None))
        if time.monotonic() - asked_at > _FRESH_SECONDS:
            words = ["squeue", *array.on_cluster, *_QUEUE, f"--Format={_QUEUE_FORMAT}"]
            try:
                queue = read_queue(_run(words))
            except ConfigurationError as error:
                print(f"dormant.reproduce: {error}; nothing is taken for ended", file=sys.stderr)
                queue = None
            self._queues[array.cluster], self._ended = (time.monotonic(), queue), {}
        return queue

    def _account(self, handle: Handle) -> Report:
        """What the accounting says of a task that has left the queue; no state for nothing."""
        if handle.array not in self._ended:
            try:
                words = ["sacct", *handle.array.on_cluster, *_ACCOUNTS]
                text = _run([*words, f"--jobs={handle.array.id}"])
            except ConfigurationError:
                text = ""
            self._ended[handle.array] = read_accounts(text)
        report = self._ended[handle.array].get((handle.array.id, handle.task))
        return report if report and report.state in _ENDED else Report("", 0)


def read_options(given: Iterable[str]) -> list[str]:
    """The options of sbatch, from words that begin with "--" and files that have one a line.

    Raises:
      ConfigurationError: a word or a line is none, or one that the engine sets itself.
      OSError: a file cannot be read.
    """
    words: list[str] = []
    for word in given:
        if word.startswith("-"):
            words.append(word)
        else:
            allowed = "options that begin with --, or files of them"
            require(Path(word).is_file(), "--slurm_options", allowed, word)
            lines = Path(word).read_text(encoding="utf-8").splitlines()
            words += [line for line in map(str.strip, lines) if line and not line.startswith("#")]
    for word in words:
        name = word.partition("=")[0]
        is_own = any(own.startswith(name) for own in _OWN_OPTIONS)
        allowed = f"an option of sbatch such as --time=1-0, none of {', '.join(_OWN_OPTIONS)}"
        is_option = word.startswith("--") and len(name) > 2 and word.isprintable()
        require(is_option and not is_own, "--slurm_options", allowed, word)
    return words


def read_answer(text: str) -> Array | None:
    """The array of which sbatch --parsable tells, last of all where a site's own lines come first;
    None for none."""
    found = [match for line in text.splitlines() if (match := _ANSWER.fullmatch(line.strip()))]
    return Array(found[-1][1], found[-1][2] or "") if found else None


def read_queue(text: str) -> dict[tuple[str, int], Report]:
    """{(array, index): what squeue says}, from lines in `_QUEUE_FORMAT`."""
    found = {}
    for line in text.splitlines():
        words = line.split(maxsplit=4)
        if len(words) < 4:  # CLUSTER: NAME, where one was named
            continue
        array, index, state, code, *reason = words
        if index.isdecimal():  # not of a job that is no array's
            found[array, int(index)] = Report(state, _exit_code(code), " ".join(reason).strip())
    return found


def read_accounts(text: str) -> dict[tuple[str, int], Report]:
    """{(array, index): what sacct says}, from lines such as `12_0|CANCELLED by 0|0:15`."""
    found = {}
    for line in text.splitlines():
        if line.count("|") != 2:  # a site's own
            continue
        name, state, code = line.split("|")
        array, _, index = name.partition("_")
        if index.isdecimal():  # not a range of tasks that wait
            found[array, int(index)] = Report(state.split()[0], _exit_code(code))
    return found


def _exit_code(text: str) -> int:
    """Of `code:signal`, or of the number that the system's wait returns; negative for a signal."""
    code, colon, number = text.partition(":")
    if colon:
        return -int(number) if int(number) and not int(code) else int(code)
    return os.waitstatus_to_exitcode(int(code))


def _ended(report: Report, log: str) -> Ended:
    """How a task ended, from what Slurm says and what its workers said."""
    said = last_line(log)
    if report.state == "COMPLETED":
        return Ended(0)
    if report.state == "FAILED":
        # srun ends the others, and its own exit code may be that of one of those.
        ranks = re.finditer(rf"^{RANK}\d+: exit code (\d+): .*$", log, re.MULTILINE)
        if parts := [Ended(int(rank[1]), problem=rank[0]) for rank in ranks]:
            return together(parts)
        # Of what a worker says itself nothing is in the log of the job.
        is_workers = report.code in (MISTAKE, TEMPFAIL) and said.startswith("worker: ")
        return Ended(report.code, problem=f"exit code {report.code}: {said}" if is_workers else "")
    if not report.state:  # neither the queue nor the accounting knows it any more
        return Ended(None, problem=said)
    problem = f"Slurm says {report.state}"
    return Ended(report.code or None, was_lost=report.state in _LOST, problem=problem)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _by_cluster(handles: Iterable[Handle]) -> list[tuple[tuple[str, ...], list[Handle]]]:
    """The handles of each cluster, and the option that names it."""
    ordered = sorted(handles, key=lambda handle: handle.array.cluster)
    groups = itertools.groupby(ordered, lambda handle: handle.array.on_cluster)
    return [(option, sorted(each)) for option, each in groups]


class _Late(ConfigurationError):
    """A command of Slurm did not answer in time."""

    def __init__(self, command: Sequence[str]):
        super().__init__(
            f"{command[0]} must answer within {_PATIENCE_SECONDS:g} s; got nothing so far"
        )


@contextlib.contextmanager
def _installed(command: Sequence[str]) -> Iterator[None]:
    """Says of a command that is called inside that there is none."""
    try:
        yield
    except FileNotFoundError:
        raise ConfigurationError(
            f"`--engine=slurm` must be given where Slurm is; got no {command[0]} here"
        ) from None


def _check_code(command: Sequence[str], code: int, said: str) -> None:
    """Raises ConfigurationError, with what it said on stderr, where it did not end with 0."""
    if code:
        raise ConfigurationError(
            f"{command[0]} must succeed; got exit code {code}: {' '.join(said.split())}"
        )


def _submit_array(command: Sequence[str], answer: Path, inherited: Sequence[int]) -> None:
    """Calls sbatch, and has it write its answer into a file. Whatever becomes of this process it
    comes to its end: killed, it might leave an array that nobody knows.

    Raises:
      ConfigurationError: it refuses, or there is none.
      _Late: it does not answer in time.
    """
    # Files, as a pipe would break under it with this process.
    with answer.open("w", encoding="utf-8") as file, tempfile.TemporaryFile() as errors:
        with _installed(command):
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=errors,
                pass_fds=inherited,
                start_new_session=True,  # Ctrl-C reaches this process alone
            )
        _late.append(process)
        try:
            code = process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise _Late(command) from None
        _late.remove(process)
        errors.seek(0)
        _check_code(command, code, errors.read().decode(errors="replace"))


def _run(command: Sequence[str]) -> str:
    """The output of one of Slurm's commands.

    Raises:
      ConfigurationError: there is no such command, or it says that something is wrong.
    """
    with _installed(command):
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_PATIENCE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _Late(command) from None
    _check_code(command, done.returncode, done.stderr)
    return done.stdout

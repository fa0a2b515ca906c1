# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What runs on a worker: one job of an experiment, in its folder, which every worker sees.

    python -m dormant.reproduce.engines.worker FOLDER NAME
    python -m dormant.reproduce.engines.worker FOLDER --names=FILE NUMBER

The latter takes the name from a line of a file, counted from 0. Of a job that is one program on
several hosts, each host runs one, with `--hosts=N --rank=R`, and with `--coordinator=HOST:PORT`
where JAX cannot find that itself. With `--cores=N` the job keeps to so many cores of this machine,
which no other worker of this user keeps to, where there are as many. It reads what the job is from
`FOLDER/engine/tasks.json`, refuses a package of another version than the one that planned it, and
passes the signals that it gets on to the job. The exit code is that of the job, `TEMPFAIL` where
another process works on its runs or a file or folder cannot be read or written here, which may be
the fault of this machine alone, and 2 where something is not as planned.
"""

import argparse
import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from dormant.records.experiment_file import read_experiment
from dormant.records.files import read_object, write_atomically
from dormant.records.results import FINISHED
from dormant.reproduce.engines.engine import (
    ENGINE_FOLDER,
    MISTAKE,
    TEMPFAIL,
    Task,
    last_line,
    open_log,
)
from dormant.reproduce.engines.environment import process_environment
from dormant.reproduce.engines.hosts import Process
from dormant.reproduce.engines.places import Cores, bind, held_cores
from dormant.reproduce.experiment_folder import works_on
from dormant.reproduce.progress import state_of
from dormant.version import __version__

TASKS_FILE = f"{ENGINE_FOLDER}/tasks.json"
# What a line begins with that says how one process of several ended.
RANK = "worker of rank "
_PARENT_DIED = 1  # PR_SET_PDEATHSIG of Linux's prctl


def write_tasks(folder: Path, tasks: Sequence[Task]) -> None:
    """Writes what workers read: the tasks of an experiment, where their commands are started, and
    the version of the package that planned them."""
    before = _tasks_before(folder)
    entries = {
        "version": __version__,
        "directory": os.getcwd(),
        "tasks": before | {task.name: task._asdict() | {"log": str(task.log)} for task in tasks},
    }
    (folder / ENGINE_FOLDER).mkdir(parents=True, exist_ok=True)
    write_atomically(folder / TASKS_FILE, json.dumps(entries, indent=1) + "\n")


def _tasks_before(folder: Path) -> dict[str, Any]:
    """The tasks of earlier calls, which may still wait under other names."""
    try:
        found = read_object(folder / TASKS_FILE)
    except (OSError, ValueError):
        return {}
    tasks = found.get("tasks")
    is_same = found.get("version") == __version__ and found.get("directory") == os.getcwd()
    return tasks if is_same and isinstance(tasks, dict) else {}


def worker_arguments(
    folder: Path,
    name: str,
    process: Process = Process(),  # noqa: B008
) -> list[str]:
    """What starts the worker of a task, after the interpreter's name."""
    several = [f"--hosts={process.hosts}", f"--rank={process.rank}"] if process.hosts > 1 else []
    return ["-m", "dormant.reproduce.engines.worker", str(folder.resolve()), name, *several]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--names", type=Path)
    parser.add_argument("--hosts", type=int, default=1)
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--coordinator")
    parser.add_argument("--cores", type=int)
    known = parser.parse_args(arguments)
    process = Process(known.rank, known.hosts, known.coordinator)
    try:
        name = known.name if known.names is None else _line(known.names, known.name)
        taken = Path(tempfile.gettempdir()) / f"dormant-cores-{os.getuid()}"
        with held_cores(known.cores, taken) if known.cores else nullcontext() as cores:
            code, said = _work(known.folder, name, process, cores)
    except (OSError, ValueError, KeyError, TypeError) as error:
        code = TEMPFAIL if isinstance(error, OSError) else MISTAKE
        said = " ".join(str(error).split())
    if process.hosts > 1 and code:
        print(f"{RANK}{process.rank}: exit code {code}: {said}", file=sys.stderr)
    elif said:
        print(f"worker: {said}", file=sys.stderr)
    return code


def _work(folder: Path, name: str, process: Process, cores: Cores) -> tuple[int, str]:
    """The exit code of a job, and what there is to say of it."""
    task, directory = _read(folder, name)
    arguments = tuple(process.arguments(task.arguments))
    task = task._replace(arguments=arguments, log=process.log(task.log))
    if said := works_on(folder, task.folders, process.rank):
        return TEMPFAIL, said
    if is_whole(folder, task):
        return 0, ""
    code = _run(folder, task, directory, cores)
    # The driver looks for what a job said last in the log of rank 0 alone.
    if not code or process.hosts == 1:
        return code, ""
    return code, last_line((folder / task.log).read_text(encoding="utf-8", errors="replace"))


def _line(path: Path, number: str) -> str:
    """A line of a file, counted from 0."""
    names = path.read_text(encoding="utf-8").splitlines()
    if not number.isdecimal() or int(number) >= len(names):
        raise ValueError(f"the number of a task must be below {len(names)}; got {number!r}")
    return names[int(number)]


def _read(folder: Path, name: str) -> tuple[Task, Path]:
    """A task as it was planned, and the directory in which its command is started.

    Raises:
      OSError: there is no such file, or no such directory here.
      ValueError: it was planned by another version of the package, or is no task of this folder.
    """
    found: dict[str, Any] = read_object(folder / TASKS_FILE)
    if found["version"] != __version__:
        raise ValueError(
            f"dormant must be version {found['version']} here, with which {folder} was planned; got"
            f" {__version__}"
        )
    if name not in found["tasks"]:
        raise ValueError(f"a task must be one of {folder / TASKS_FILE}; got {name!r}")
    directory = Path(found["directory"])
    if not directory.is_dir():
        said = "the folder in which it was planned must be seen here"
        raise NotADirectoryError(errno.ENOTDIR, said, str(directory))
    task = found["tasks"][name]
    arguments, folders = tuple(task["arguments"]), tuple(task["folders"])
    return Task(name, arguments, Path(task["log"]), folders), directory


def is_whole(folder: Path, task: Task) -> bool:
    """Whether nothing is left to do of a task."""
    runs = [run for run in read_experiment(folder).runs if _is_of(run.folder, task)]
    return bool(runs) and all(state_of(folder, run).status == FINISHED for run in runs)


def _is_of(run: str, task: Task) -> bool:
    return any(run == place or run.startswith(f"{place}/") for place in task.folders)


def _run(folder: Path, task: Task, directory: Path, cores: Cores) -> int:
    """Runs the job's own process to its end."""
    with open_log(folder, task) as log:
        process = subprocess.Popen(
            [sys.executable, *task.arguments],
            cwd=directory,
            env=process_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=_end_with_parent,
        )
    bind(process.pid, cores)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: process.terminate())
    code = process.wait()
    return code if code >= 0 else 128 - code


def _end_with_parent() -> None:
    """Has the kernel kill this process when its parent is: what lost its worker may not go on
    beside the one that follows."""
    ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Processes of this machine, several at once."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

from dormant.checks import check, check_count
from dormant.interruption import GRACE
from dormant.reproduce.engines.engine import PARALLEL_OPTION, Ended, Engine, Task, open_log
from dormant.reproduce.engines.environment import process_environment
from dormant.reproduce.engines.places import (
    Place,
    bind,
    places_of,
    read_accelerators,
    shares_of_cores,
)

OPTIONS: dict[str, dict[str, Any]] = {
    **PARALLEL_OPTION,
    "accelerators": {"metavar": "KIND:NUMBER", "help": "a process on each: gpu:8, tpu:4"},
    "processes_per_accelerator": {"type": int, "help": "that share a GPU (1)"},
}
_MOST_PROCESSES = 10_000  # of one machine
_PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"
# A process that is interrupted ends within `interruption.GRACE`.
_GRACE_SECONDS = GRACE + 2.0


def prepare(options: argparse.Namespace) -> Callable[[Path, int], Engine]:
    """See `catalog.Entry`."""
    if options.accelerators is not None:
        given = options.parallel
        check(given is None, "--parallel", "left out with --accelerators", given)
        processes = options.processes_per_accelerator
        processes = 1 if processes is None else processes
        places = places_of(read_accelerators(options.accelerators, processes))
    else:
        given = options.processes_per_accelerator
        check(given is None, "--processes_per_accelerator", "given with --accelerators only", given)
        parallel = 1 if options.parallel is None else options.parallel
        check_count("--parallel", parallel, 1, most=_MOST_PROCESSES)
        # Else the first process takes three quarters of a GPU's memory.
        sharing = parallel > 1 and _PREALLOCATE not in os.environ
        variables = {_PREALLOCATE: "false"} if sharing else {}
        places = [Place(variables, cores) for cores in shares_of_cores(parallel)]
    return lambda folder, descriptor: Local(folder, places, (descriptor,))


class Local:
    """Children of this process, which end with it."""

    outlives = False

    def __init__(
        self,
        folder: Path,
        places: Sequence[Place] = (Place(),),
        inherited: Sequence[int] = (),
    ):
        """Starts nothing.

        Args:
          folder: the experiment's, in which the logs lie.
          places: of the processes that run at a time; see `places_of`.
          inherited: file descriptors that the processes keep open, such as that of the folder's
            lease.
        """
        self.at_once: int | None = len(places)
        self._free = list(reversed(places))
        self._taken: dict[Hashable, Place] = {}
        self._folder, self._inherited = folder, tuple(inherited)

    def submit(self, tasks: Sequence[Task]) -> list[Hashable]:
        before = set(self._taken)
        try:
            return [self._start(task) for task in tasks]
        except BaseException:
            # Of these nobody else knows.
            self.cancel([handle for handle in self._taken if handle not in before])
            raise

    def poll(self, handle: Hashable) -> Ended | None:
        assert isinstance(handle, subprocess.Popen)
        code = handle.poll()
        if code is None:
            return None
        self._free.append(self._taken.pop(handle))
        return Ended(code)

    def cancel(self, handles: Sequence[Hashable]) -> None:
        processes = [handle for handle in handles if isinstance(handle, subprocess.Popen)]
        for process in processes:
            # Not SIGINT: a process just started by a job in the background ignores it still.
            process.terminate()
        end = time.monotonic() + _GRACE_SECONDS
        for process in processes:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()  # it goes on from its last checkpoint too
                process.wait()

    def handles(self) -> dict[str, Hashable]:
        return {}

    def report(self) -> str:
        return ""

    def _start(self, task: Task) -> subprocess.Popen:
        place = self._free.pop()
        with open_log(self._folder, task) as log:
            process = subprocess.Popen(
                [sys.executable, *task.arguments],
                env=process_environment(self._folder, place.variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches this process alone, which passes it on once.
                start_new_session=True,
                pass_fds=self._inherited,
            )
        self._taken[process] = place
        bind(process.pid, place.cores)
        return process

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Processes of this machine, several at once."""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

from dormant.checks import check_count
from dormant.interruption import GRACE
from dormant.reproduce.engines.engine import Ended, Engine, Task, open_log
from dormant.reproduce.engines.environment import process_environment

OPTIONS: dict[str, dict[str, Any]] = {
    "parallel": {"type": int, "help": "processes at once (1)"},
}
# A process that is interrupted ends within `interruption.GRACE`.
_GRACE_SECONDS = GRACE + 2.0


def prepare(options: argparse.Namespace) -> Callable[[Path, int], Engine]:
    """See `catalog.Entry`."""
    at_once = 1 if options.parallel is None else options.parallel
    check_count("--parallel", at_once, 1)
    return lambda folder, descriptor: Local(folder, at_once, (descriptor,))


class Local:
    """Children of this process, which end with it."""

    outlives = False

    def __init__(self, folder: Path, at_once: int = 1, inherited: Sequence[int] = ()):
        """Starts nothing.

        Args:
          folder: the experiment's, in which the logs lie.
          at_once: how many processes at a time.
          inherited: file descriptors that the processes keep open, such as that of the folder's
            lease.
        """
        self.at_once: int | None = at_once
        self._folder, self._inherited = folder, tuple(inherited)

    def submit(self, tasks: Sequence[Task]) -> list[Hashable]:
        return [self._start(task) for task in tasks]

    def poll(self, handle: Hashable) -> Ended | None:
        assert isinstance(handle, subprocess.Popen)
        code = handle.poll()
        return None if code is None else Ended(code)

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

    def _start(self, task: Task) -> subprocess.Popen:
        environment = process_environment(self._folder)
        if self.at_once != 1:
            # Else the first process takes three quarters of a GPU's memory.
            environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        with open_log(self._folder, task) as log:
            return subprocess.Popen(
                [sys.executable, *task.arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches this process alone, which passes it on once.
                start_new_session=True,
                pass_fds=self._inherited,
            )

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The files of a run and of an experiment: their names, and how they are written and read."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

METRICS_FILE = "metrics.jsonl"
CONFIG_FILE = "config.gin"
RUN_FILE = "run.json"
EXPERIMENT_FILE = "experiment.json"
# In an experiment's folder: results.csv of runs that were made elsewhere.
FINISHED_FILE = "finished.csv"
LEASE_FILE = "lease.json"
RESULTS_FILE = "results.csv"  # of a report
CHECKPOINTS_FOLDER = "checkpoints"
# What a file system says that is full, or whose server or disk does not answer.
_PASSING = (
    errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EIO, errno.ENOTCONN, errno.ETIMEDOUT,
)  # fmt: skip


def process_folder(process: int) -> str:
    """Of a run's checkpoints: what one of its processes holds, with the lease of that process."""
    return f"process_{process}"


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file's content: whoever reads it sees the old text or the new, never a part.

    Raises:
      OSError: when it cannot be written; then it is as it was.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        with naming(path), open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def is_passing(error: OSError) -> bool:
    """Whether it may pass without the command being put right, as a path that was mistyped does
    not."""
    return error.errno in _PASSING


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Has an OSError of a file that was opened before, such as that of a full disk, name it."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def sync_folder(path: Path) -> None:
    """Has the names in a folder on disk when it returns."""
    # Windows cannot open a folder.
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_inside(root: Path, path: Path) -> None:
    """Checks that a path lies in a folder, also where symbolic links in it lead.

    Raises:
      ValueError: it leads out of it.
    """
    found = path.resolve()
    if not found.is_relative_to(root.resolve()):
        raise ValueError(f"{path} must lie in {root}; got one that leads to {found}")


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it holds something else; the message names the file.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(entries, dict):
        raise ValueError(f"{path} must be a JSON object; got {type(entries).__name__}")
    return entries

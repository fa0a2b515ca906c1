# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The folder of an experiment: its plan, which never changes, and one process at a time."""

import contextlib
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from dormant.checks import ConfigurationError
from dormant.records.experiment_file import ExperimentFile, PlannedRun, read_experiment, to_json
from dormant.records.files import (
    CHECKPOINTS_FOLDER,
    EXPERIMENT_FILE,
    FINISHED_FILE,
    LEASE_FILE,
    process_folder,
    write_atomically,
)
from dormant.records.lease import Lease, LeaseLost
from dormant.records.run_folders import base_dir_of
from dormant.reproduce.engines.engine import ENGINE_FOLDER
from dormant.reproduce.jobs import SEED_PARAMETERS, gin_text
from dormant.reproduce.side_experiments import DATA_PARAMETERS

# What there is in a folder before any run has begun.
_PLANNED = {EXPERIMENT_FILE, FINISHED_FILE, LEASE_FILE, ENGINE_FOLDER}


def check_plan(folder: Path, experiment: ExperimentFile) -> None:
    """Checks that the folder holds no other plan.

    Raises:
      ValueError: it does, or its experiment.json cannot be read.
    """
    if not (folder / EXPERIMENT_FILE).is_file():
        return
    before = read_experiment(folder)
    planned, kept = ([identity(run) for run in each.runs] for each in (experiment, before))
    if (before.name, before.scale, kept) == (experiment.name, experiment.scale, planned):
        return
    raise ValueError(
        f"--base_dir {folder} holds {before.name} at scale {before.scale} with"
        f" {len(kept)} runs, {len(set(kept) & set(planned))} of them as asked for; go on with its"
        f" own flags ({before.command}) or give another --base_dir; got {experiment.name} at scale"
        f" {experiment.scale} with {len(planned)} runs"
    )


def write_plan(folder: Path, experiment: ExperimentFile) -> None:
    """Writes experiment.json, which is there whole or not at all."""
    write_atomically(folder / EXPERIMENT_FILE, to_json(experiment))


@contextlib.contextmanager
def held(folder: Path) -> Iterator[int]:
    """Makes the folder, and holds it against other processes; see `Lease`.

    What was planned in it is taken back where an error comes before anything was begun: a command
    that was put right may plan otherwise.

    Yields:
      The file descriptor that holds it. A process that inherits it holds the folder too, so that
      one which outlives its parent keeps others out.

    Raises:
      ConfigurationError: another process holds it.
    """
    lease = Lease(folder)
    before = set(os.listdir(folder)) if folder.is_dir() else None
    lease.acquire()
    try:
        yield lease.fileno()
    except (OSError, ValueError):
        with contextlib.suppress(LeaseLost):  # then the plan is another process's
            lease.confirm()
            _take_back(folder, before)
        raise
    finally:
        lease.release()


def _take_back(folder: Path, before: set[str] | None) -> None:
    """Removes a plan of which nothing was begun.

    Args:
      folder: the experiment's.
      before: what was in it; None where it was not there.
    """
    known = before or set()
    added = set(os.listdir(folder)) - known
    submitted = any((folder / ENGINE_FOLDER).glob("*/*.names"))
    if EXPERIMENT_FILE in known or submitted or not added <= _PLANNED:
        return
    for name in added - {ENGINE_FOLDER}:
        (folder / name).unlink()
    if ENGINE_FOLDER in added:
        shutil.rmtree(folder / ENGINE_FOLDER)
    if before is None:
        folder.rmdir()


def works_on(folder: Path, runs: Sequence[str], process: int = 0) -> str:
    """Which process works on runs, or did less than a minute ago, in a line; "" for none.

    Args:
      folder: the experiment's.
      runs: the folders that hold them, relative to it.
      process: of several that are one program, whose part of them is meant.
    """
    try:
        for run in runs:
            for lease in (folder / run).glob(f"**/{CHECKPOINTS_FOLDER}/{process_folder(process)}"):
                Lease(lease).check_free()
    except ConfigurationError as error:
        return str(error)
    return ""


def identity(run: PlannedRun, in_part: bool = False) -> tuple:
    """What a run is, wherever the experiment's folder and its data lie: its command without.

    Args:
      run: which.
      in_part: whether it is also the same beside other seeds, in a part of its experiment.
    """
    words = shlex.split(run.command)
    # A study may name other runs of the experiment.
    root = base_dir_of(run.command).removesuffix(run.folder)
    data = tuple(f"--gin_bindings={parameter} =" for parameter in DATA_PARAMETERS)
    beside = tuple(f"--gin_bindings={name} =" for name in SEED_PARAMETERS) if in_part else ()
    others = (word for word in words if not word.startswith(("--base_dir=", *data, *beside)))
    # In a binding it is the beginning of a text; elsewhere, as in --gin_files, it is another path.
    begun = gin_text(root)[:-1]
    named = (word.replace(begun, begun[:1]) if root else word for word in others)
    return (*run._replace(command=""), *named)

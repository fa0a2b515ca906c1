# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a folder holds beside the runs that were read, and that no table has."""

import os
from collections.abc import Sequence
from pathlib import Path

from dormant.records.files import LEASE_FILE, METRICS_FILE, RESULTS_FILE, RUN_FILE
from dormant.records.results import Collection
from dormant.report.columns import OWN, Columns
from dormant.report.tables import sentence
from dormant.report.tensorboard_results import EVENTS


def with_strangers(
    collection: Collection,
    root: Path,
    read: Sequence[str],
    unused: Columns,
    all_read: bool = False,
) -> Collection:
    """With notes on what in a folder was not read, and on options that do not concern it.

    Args:
      collection: what was read of it.
      root: the folder.
      read: names of the files in it that were read, or belong to those that were.
      unused: columns that were given, where they are of other kinds of files.
      all_read: whether what was read is all of its kind, at any depth.
    """
    files = sorted(path.name for path in root.iterdir() if path.is_file())
    known = {*read, LEASE_FILE}
    names = [name for name in files if name not in known and not name.startswith(".")]
    notes = list(collection.notes)
    if names:
        notes.append(f"files in {root} of another kind were passed over: {sentence(names)}")
    folders = {run.folder for run in collection.experiment.runs}
    if not all_read and (deeper := _runs_below(root, folders)):
        notes.append(f"runs below {root} that were not read: {sentence(deeper)}")
    if unused != OWN:
        notes.append(f"--columns and --step_unit are of CSV files and TensorBoard, not of {root}")
    return collection._replace(notes=tuple(notes))


def _runs_below(root: Path, read: set[str]) -> list[str]:
    """Run folders, TensorBoard's events and CSV files in folders below root that are in none of
    those that were read, nor in a report."""
    found = []
    for place, folders, files in os.walk(root):
        folder = Path(place).relative_to(root)
        is_report = RESULTS_FILE in files and "tables" in folders
        if folder.as_posix() in read or is_report:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if folder == Path():
            continue
        if {METRICS_FILE, RUN_FILE} & set(files):
            found.append(folder.as_posix())
            folders.clear()
        else:
            others = (name for name in files if name.endswith(".csv") or EVENTS in name)
            found += [(folder / name).as_posix() for name in sorted(others)]
    return found

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Parts of an experiment that were run in several places, put into one folder."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dormant.checks import check
from dormant.records.experiment_file import ExperimentFile, PlannedRun, read_experiment
from dormant.records.files import CHECKPOINTS_FOLDER, EXPERIMENT_FILE, FINISHED_FILE
from dormant.records.results import FINISHED
from dormant.reproduce.experiment_folder import identity, works_on
from dormant.reproduce.jobs import Job
from dormant.reproduce.progress import Verified

_PART = ".part"  # of a run that is being copied


class Merged(NamedTuple):
    """What was taken.

    Attributes:
      taken: how many runs were copied.
      left: a line for each table of runs that were made elsewhere, and for each job of which the
        parts have some runs, but not all: those on the device are one process, which cannot go on
        for the others alone.
    """

    taken: int
    left: tuple[str, ...]


def check_parts(parts: Sequence[Path], experiment: ExperimentFile) -> None:
    """Checks that folders hold parts of an experiment, and of no other.

    Raises:
      OSError, ValueError: one does not.
    """
    planned = {identity(run, in_part=True) for run in experiment.runs}
    for part in parts:
        is_one = (part / EXPERIMENT_FILE).is_file()
        check(is_one, "--merge", f"folders with an {EXPERIMENT_FILE}", str(part))
        found = read_experiment(part)
        strange = [run for run in found.runs if identity(run, in_part=True) not in planned]
        same = (found.name, found.scale) == (experiment.name, experiment.scale)
        if not same or strange:
            differs = f", whose {strange[0].folder} is planned otherwise" if strange else ""
            raise ValueError(
                f"`--merge` must name folders of {experiment.name} at scale {experiment.scale};"
                f" got {part}, which holds {found.name} at scale {found.scale}{differs}"
            )


def merge(folder: Path, planned: Sequence[Job], parts: Sequence[Path]) -> Merged:
    """Copies the whole runs of the parts that the folder lacks, without their checkpoints unless
    another run reads them. A run is there whole or not at all."""
    own, others = Verified(folder), [(part, Verified(part)) for part in parts]
    tables = [part for part in parts if (part / FINISHED_FILE).exists()]
    read = {need for job in planned for need in job.needs}
    taken, left = 0, [f"what {part / FINISHED_FILE} has; give it as --finished" for part in tables]
    for job in planned:
        lacking = [run for run in job.runs if own.state(run).status != FINISHED]
        found = {run: _where(run, others) for run in lacking}
        whole = {run: part for run, part in found.items() if part is not None}
        if whole and (worker := works_on(folder, job.folders)):
            raise ValueError(worker)
        if whole and len(whole) < len(lacking) and len(job.folders) < len(job.runs):
            seeds = ", ".join(str(run.seed) for run in whole)
            left.append(f"{job.name}: of its {len(job.runs)} seeds the parts have {seeds} alone")
            continue
        for run, part in whole.items():
            _copy(part / run.folder, folder / run.folder, with_checkpoints=run.folder in read)
            taken += 1
    return Merged(taken, tuple(left))


def _where(run: PlannedRun, parts: Sequence[tuple[Path, Verified]]) -> Path | None:
    """The first part that has a run whole."""
    for part, verified in parts:
        if (part / run.folder).is_dir() and verified.state(run).status == FINISHED:
            return part
    return None


def _copy(source: Path, target: Path, with_checkpoints: bool) -> None:
    temporary = target.with_name(target.name + _PART)
    shutil.rmtree(temporary, ignore_errors=True)
    left_out = () if with_checkpoints else (CHECKPOINTS_FOLDER,)
    shutil.copytree(source, temporary, ignore=shutil.ignore_patterns(*left_out))
    shutil.rmtree(target, ignore_errors=True)  # what was not whole
    temporary.rename(target)

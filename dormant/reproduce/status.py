# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What runs where, how fast, and when an experiment will be done: read from its folder alone."""

import collections
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dormant.records.compilation import Compilation
from dormant.records.experiment_file import ExperimentFile, PlannedRun, read_experiment
from dormant.records.files import (
    CHECKPOINTS_FOLDER,
    RUN_FILE,
    process_folder,
    read_object,
)
from dormant.records.lease import Holder, holder_of
from dormant.records.results import FAILED, FINISHED, INTERRUPTED, NOT_STARTED, RUNNING, UNREADABLE
from dormant.reproduce.progress import LastRecord, last_record

LOST = "lost"  # run.json says "running", and nobody renews the lease
# In the order in which they are shown.
_ORDER = (FINISHED, RUNNING, LOST, INTERRUPTED, FAILED, UNREADABLE, NOT_STARTED)
_MOST_LINES = 30
_DONE = "all runs are whole"
# Nothing is recorded before the first iteration has ended.
_BEFORE_RECORDS = " its first iteration, or still compiles"


class RunStatus(NamedTuple):
    """One run, as its folder shows it.

    Attributes:
      run: which.
      status: one of `_ORDER`; "finished" is what run.json says and the last record confirms.
      last: its last record.
      holder: the process that works on it, or did last; None where none ever did.
      error: what run.json says went wrong; "" for nothing.
      command: of its process, which other runs may share.
      compilation: what that process has compiled.
    """

    run: PlannedRun
    status: str
    last: LastRecord
    holder: Holder | None
    error: str
    command: str = ""
    compilation: Compilation = Compilation()


def statuses(folder: Path, experiment: ExperimentFile) -> Iterator[RunStatus]:
    """The status of every planned run, by the ends of its files: of a large sweep in a second."""
    for run in experiment.runs:
        last = last_record(folder, run)
        status, holder, error = NOT_STARTED, None, ""
        command, compiled = "", None
        try:
            details = read_object(folder / run.folder / RUN_FILE)
            status, error = str(details.get("status")), str(details.get("error") or "")
            if status not in _ORDER:
                status, error = UNREADABLE, f"its status is {status!r}"
            command, compiled = str(details.get("command")), details.get("compilation")
        except FileNotFoundError:
            if last.agent_step >= run.agent_steps:  # of finished.csv
                status = FINISHED
        except ValueError as problem:
            status, error = UNREADABLE, str(problem)
        if status == FINISHED and last.agent_step < run.agent_steps:
            status, error = UNREADABLE, f"it is finished at agent step {last.agent_step:,}"
        if status == RUNNING:
            holder = _holder(folder, run)
            status = RUNNING if holder is not None and holder.is_alive else LOST
        yield RunStatus(run, status, last, holder, error, command, Compilation.of(compiled))


def report(folder: Path) -> str:
    """The text of `--status`.

    Raises:
      OSError, ValueError: the folder holds no experiment that can be read.
    """
    experiment = read_experiment(folder)
    found = list(statuses(folder, experiment))
    counts = collections.Counter(each.status for each in found)
    counted = ", ".join(f"{counts[name]:,} {name}" for name in _ORDER if counts[name])
    lines = [f"{experiment.name}, scale {experiment.scale}: {len(found):,} runs, {counted}"]
    running = [each for each in found if each.status == RUNNING]
    lines += _shown(_lines(running))
    lines += _shown(_lines([each for each in found if each.status in (LOST, FAILED, UNREADABLE)]))
    return "\n".join([*lines, *_compiled(found), _end(found, running)])


def watch(folder: Path, every: float = 10.0) -> None:
    """Prints the report every so many seconds until all runs are whole."""
    while True:
        text = report(folder)
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}", flush=True)
        if text.endswith(_DONE):
            return
        time.sleep(every)


def _holder(folder: Path, run: PlannedRun) -> Holder | None:
    """Who holds a run: its own folder, or that of all seeds of its process."""
    own = Path(CHECKPOINTS_FOLDER) / process_folder(0)
    for place in (folder / run.folder, (folder / run.folder).parent):
        if (holder := holder_of(place / own)) is not None:
            return holder
    return None


def _lines(found: Sequence[RunStatus]) -> list[str]:
    """A line for the runs of each process; those that nobody holds have one each."""
    groups: dict[object, list[RunStatus]] = {}
    for each in found:
        shared = (each.status, each.error, each.holder or each.run.folder)
        groups.setdefault(shared, []).append(each)
    return [_line(group) for group in groups.values()]


def _line(group: Sequence[RunStatus]) -> str:
    first, others = group[0], len(group) - 1
    steps = sum(each.last.agent_step for each in group)
    done = f"at {steps / sum(each.run.agent_steps for each in group):.0%}"
    name = first.run.folder + (f" and {others} more" if others else "")
    has_begun = first.status != RUNNING or steps > 0
    parts = [f"{name}: {first.status}{f' {done}' if has_begun else _BEFORE_RECORDS}"]
    if first.status == RUNNING and has_begun:
        parts.append(_speed(math.fsum(each.last.steps_per_second or 0.0 for each in group)))
    if first.holder is not None:
        parts.append(str(first.holder))
    if first.error:
        parts.append(first.error)
    return "  " + ", ".join(parts)


def _compiled(found: Sequence[RunStatus]) -> list[str]:
    """What the cache of compiled programs saved; nothing where none was used."""
    total = Compilation()
    for each in {each.command: each.compilation for each in found}.values():
        total = total.plus(**each._asdict())
    if not total.from_cache:
        return []
    return [
        f"compiled: {total.programs:,} programs in {total.seconds / 60:,.1f} minutes;"
        f" {total.from_cache:,} came from the cache, which saved"
        f" {max(0.0, total.saved_seconds) / 60:,.1f} minutes"
    ]


def _end(found: Sequence[RunStatus], running: Sequence[RunStatus]) -> str:
    """When it will be done, at the speed of what runs now."""
    left = sum(each.run.agent_steps - each.last.agent_step for each in found)
    if not left and any(each.status != FINISHED for each in found):
        return "no agent steps are left, but not all runs can be read"
    if not left and all(each.status == FINISHED for each in found):
        return _DONE
    speed = math.fsum(each.last.steps_per_second or 0.0 for each in running)
    done = f"{left:,} agent steps are left"
    if not speed:
        why = "no iteration has ended" if running else "nothing runs, or its process just begins"
        return f"{done}; the speed is not known yet: {why}"
    hours = left / speed / 3600
    length = f"{hours:,.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
    return f"{done}: about {length} at the {_speed(speed)} of now"


def _speed(steps_per_second: float | None) -> str:
    if not steps_per_second:
        return "speed not known yet"
    return f"{steps_per_second:,.0f} agent steps/s"


def _shown(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"  ... {more:,} more"] if more > 0 else [])]

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What runs where, how fast, and when an experiment will be done: read from its folder alone."""

import collections
import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dormant.records.compilation import Compilation
from dormant.records.experiment_file import ExperimentFile, PlannedRun, read_experiment
from dormant.records.files import (
    CHECKPOINTS_FOLDER,
    METRICS_FILE,
    RUN_FILE,
    process_folder,
    read_object,
)
from dormant.records.lease import Holder, holder_of
from dormant.records.results import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    NOT_STARTED,
    RUNNING,
    UNREADABLE,
    status_of,
)
from dormant.reproduce.engines.engine import ENGINE_FOLDER, last_line
from dormant.reproduce.engines.worker import TASKS_FILE
from dormant.reproduce.progress import LastRecord, Verified, last_record

STARTING = "starting"  # its process was started just now, and has said nothing yet
LOST = "lost"  # run.json says "running", and nobody renews the lease
# In the order in which they are shown.
_ORDER = (FINISHED, RUNNING, STARTING, LOST, INTERRUPTED, FAILED, UNREADABLE, NOT_STARTED)
_MOST_LINES = 30
# Seconds in which Python imports the package, with a slow file system too.
_STARTING_SECONDS = 120.0
_DONE = "all runs are whole"
# Nothing is recorded before the first iteration has ended.
_BEFORE_RECORDS = " its first iteration, or still compiles"


class RunStatus(NamedTuple):
    """One run, as its folder shows it.

    Attributes:
      run: which.
      status: one of `_ORDER`; "finished" is what run.json says and the last iteration confirms.
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


def statuses(folder: Path, experiment: ExperimentFile) -> list[RunStatus]:
    """The status of every planned run, by the ends of its files: of a large sweep in a second.

    Only where all call themselves finished is each read to its end, as that is what is said then.
    """
    found = list(_by_their_ends(folder, experiment))
    if any(each.status != FINISHED for each in found):
        return found
    verified = Verified(folder)
    states = [verified.state(each.run) for each in found]
    verified.save()
    return [
        each._replace(status=state.status, error=state.problem)
        for each, state in zip(found, states, strict=True)
    ]


def _by_their_ends(folder: Path, experiment: ExperimentFile) -> Iterator[RunStatus]:
    """What run.json and the last records say, without the records before."""
    starting = _starting(folder)
    for run in experiment.runs:
        last = last_record(folder, run)
        status, holder, error = NOT_STARTED, None, ""
        command, compiled = "", None
        try:
            details = read_object(folder / run.folder / RUN_FILE)
            status = status_of(str(details.get("status")), RUN_FILE)
            error = str(details.get("error") or "")
            command, compiled = str(details.get("command")), details.get("compilation")
        except FileNotFoundError:
            if (folder / run.folder / METRICS_FILE).exists():
                status, error = UNREADABLE, f"it has {METRICS_FILE} and no {RUN_FILE}"
            elif last.ended >= run.agent_steps:  # of finished.csv
                status = FINISHED
        except ValueError as problem:
            status, error = UNREADABLE, str(problem)
        if status == FINISHED and last.ended < run.agent_steps:
            said = f"it calls itself finished, but its last iteration ends at step {last.ended:,}"
            status, error = UNREADABLE, said
        if status == RUNNING:
            holder = _holder(folder, run)
            status = RUNNING if holder is not None and holder.is_alive else LOST
        if status in (NOT_STARTED, LOST, INTERRUPTED, FAILED):
            places = (run.folder, str(Path(run.folder).parent))
            status = status if starting.isdisjoint(places) else STARTING
        yield RunStatus(run, status, last, holder, error, command, Compilation.of(compiled))


def _starting(folder: Path) -> set[str]:
    """What holds the runs of processes that were started just now; see `Job.folders`."""
    found = set()
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        for task in read_object(folder / TASKS_FILE)["tasks"].values():
            if _was_just_opened(folder / task["log"]):
                found.update(task["folders"])
    return found


def _was_just_opened(log: Path) -> bool:
    """Whether a log ends with the command of a process, see `open_log`, and is new."""
    try:
        is_new = time.time() - log.stat().st_mtime < _STARTING_SECONDS
        text = log.read_text(encoding="utf-8", errors="replace") if is_new else ""
    except OSError:
        return False
    return last_line(text).startswith("$ ")


def report(folder: Path) -> str:
    """The text of `--status`.

    Raises:
      OSError, ValueError: the folder holds no experiment that can be read.
    """
    experiment = read_experiment(folder)
    return _report(experiment, statuses(folder, experiment))


def _report(experiment: ExperimentFile, found: Sequence[RunStatus]) -> str:
    counts = collections.Counter(each.status for each in found)
    counted = ", ".join(f"{counts[name]:,} {name}" for name in _ORDER if counts[name])
    lines = [f"{experiment.name}, scale {experiment.scale}: {len(found):,} runs, {counted}"]
    running = [each for each in found if each.status in (RUNNING, STARTING)]
    lines += _shown(_lines(running))
    lines += _shown(_lines([each for each in found if each.status in (LOST, FAILED, UNREADABLE)]))
    return "\n".join([*lines, *_compiled(found), _end(found, running)])


def watch(folder: Path, every: float = 10.0) -> int:
    """Prints the report every so many seconds until nothing changes any more.

    Returns:
      The exit code: 0 where all runs are whole; 1 where some are not, and two reports in a row have
      found nothing that works on them, which is said in a last line.

    Raises:
      OSError, ValueError: the folder holds no experiment that can be read.
    """
    had_ended = False
    while True:
        experiment = read_experiment(folder)
        found = statuses(folder, experiment)
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {_report(experiment, found)}", flush=True)
        left = [each for each in found if each.status != FINISHED]
        if not left:
            return 0
        has_ended = _has_ended(folder, left)
        if has_ended and had_ended:
            print(_ended(experiment, left))
            return 1
        had_ended = has_ended
        time.sleep(every)


def _has_ended(folder: Path, left: Sequence[RunStatus]) -> bool:
    """Whether nothing works on what is not whole, and nothing will by itself."""
    driver = holder_of(folder)
    if driver is not None and driver.is_alive:
        return False
    # What was submitted to an engine that outlives its driver may wait, or be started again.
    if any((folder / ENGINE_FOLDER).glob("*/*.names")):
        return all(each.status in (FAILED, UNREADABLE) for each in left)
    return all(each.status not in (RUNNING, STARTING) for each in left)


def _ended(experiment: ExperimentFile, left: Sequence[RunStatus]) -> str:
    names = [f"{each.run.folder} ({each.status})" for each in left[:_MOST_LINES]]
    more = len(left) - len(names)
    named = ", ".join(names) + (f" and {more:,} more" if more else "")
    return f"nothing works on {named}; to go on: {experiment.command}"


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
    done = f"at {steps / max(1, sum(each.run.agent_steps for each in group)):.0%}"
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
        why = "no iteration has ended" if running else "nothing runs"
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

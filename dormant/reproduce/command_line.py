# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The command `python -m dormant.reproduce`: lists the experiments, and runs or resumes one."""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from dormant.checks import check, check_count
from dormant.command_parser import CommandParser, path_of
from dormant.data_files import data_folder
from dormant.hardware import hardware_of
from dormant.interruption import Interrupted, interruptible
from dormant.records.experiment_file import read_experiment
from dormant.records.files import FINISHED_FILE, write_atomically
from dormant.records.results import FINISHED, UNREADABLE
from dormant.reproduce import catalog, status
from dormant.reproduce.compiling import compile_jobs
from dormant.reproduce.engines.catalog import add_options, chosen
from dormant.reproduce.engines.engine import Budgets
from dormant.reproduce.engines.hosts import check_hosts
from dormant.reproduce.engines.worker import write_tasks
from dormant.reproduce.experiment_folder import check_plan, held, write_plan
from dormant.reproduce.experiments import SCALES
from dormant.reproduce.jobs import DATA, Job, experiment_file, jobs
from dormant.reproduce.listing import listing
from dormant.reproduce.merging import check_parts, merge
from dormant.reproduce.progress import Verified, check_finished_file
from dormant.reproduce.running import (
    Failure,
    left_of_packs,
    log_of,
    packed_as_submitted,
    run_jobs,
    state_of_job,
    tasks_of,
)

DESCRIPTION = """\
Runs an experiment of the paper, or goes on with it: what is finished is skipped, what was
interrupted is resumed from its checkpoint. Then `python -m dormant.report DIR` makes its tables,
figures and page."""

_MOST_SEEDS = 10_000
_MOST_TRIES = 1_000_000  # Kubernetes counts them in int32


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code.

    0: all runs are whole, or go on in an engine that does not need this process; 1: some have
    failed, or `--watch` found that nothing works on them; 2: a mistake, one line on stderr and
    nothing written;
    130 or 143: interrupted by SIGINT or SIGTERM, every run at its last checkpoint.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    known = _parser().parse_args(arguments)
    try:
        # `run_jobs` has the runs end in time.
        with interruptible(grace=None):
            return _main(known, arguments)
    except (OSError, ValueError) as error:
        print(f"dormant.reproduce: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except Interrupted as error:
        print(f"dormant.reproduce: {error}; the same command goes on", file=sys.stderr)
        return error.exit_code


def _main(known: argparse.Namespace, arguments: list[str]) -> int:
    if known.list:
        print(listing(known.scale or "paper", data_folder("benchmarks/results")))
        return 0
    shows_status = known.status or known.watch
    if shows_status and known.base_dir and known.name is None:
        return _status(Path(known.base_dir), known.watch)
    experiment = catalog.find(known.name)
    scale = known.scale or experiment.default_scale
    entry = chosen(known)
    check_count("--retries", known.retries, 0, most=_MOST_TRIES)
    if known.parallel is not None:  # of whichever engine
        check_count("--parallel", known.parallel, 1)
    check_count("--preemptions", known.preemptions, 0, most=_MOST_TRIES)
    check(known.base_dir != "", "--base_dir", "the name of a folder", known.base_dir)
    check(known.data != "", "--data", "the name of a folder", known.data)
    folder = Path(known.base_dir or f"runs/{experiment.name}-{scale}")
    if shows_status:
        return _status(folder, known.watch, experiment.name)
    data = Path(known.data or DATA)
    planned = jobs(
        experiment, scale, folder, _seeds(known.seeds), known.games, data, known.seeds_per_process
    )
    _check_own_files(planned)
    command = shlex.join(["python", "-m", "dormant.reproduce", *_without_merge(arguments)])
    file = experiment_file(experiment, scale, planned, command)
    check_plan(folder, file)
    if known.finished is not None:
        check_finished_file(known.finished, folder, file)
    check_parts(known.merge or (), file)
    check_hosts(known.hosts, planned)
    if known.dry_run:
        print(_dry_run(planned, Verified(folder, known.finished)))
        return 0
    if known.compile_for is not None:
        return 1 if compile_jobs(planned, hardware_of(known.compile_for)) else 0
    check(not folder.exists() or folder.is_dir(), "--base_dir", "a folder", str(folder))
    verified, merges = Verified(folder, known.finished), known.merge is not None
    for job in planned if not merges else ():
        if job.data and _lacks(job) and state_of_job(verified, job).status != FINISHED:
            raise ValueError(
                f"`--data` must be the folder of the data sets, with {job.data.relative_to(data)}"
                f" for {job.name}; docs/studies.md says where to get it; got {str(data)!r}"
            )
    make_engine = None if merges else entry.prepare(known)
    with held(folder) as descriptor:
        check_plan(folder, file)
        engine = None if make_engine is None else make_engine(folder, descriptor)
        if engine is not None:
            planned = packed_as_submitted(engine, verified, planned)
        write_plan(folder, file)
        if known.finished is not None:
            write_atomically(folder / FINISHED_FILE, known.finished.read_text(encoding="utf-8"))
        if engine is None:
            return _merge(folder, planned, known.merge)
        write_tasks(folder, tasks_of(planned))
        budgets = Budgets(known.retries, known.preemptions)
        wait = bool(known.wait) or not engine.outlives
        failures = run_jobs(planned, folder, engine, budgets, wait=wait)
        report = engine.report()
    print(_summary(planned, failures, folder, report))
    return 1 if failures else 0


def _without_merge(arguments: Sequence[str]) -> list[str]:
    """The command that goes on with an experiment, which parts were put into."""
    kept, skipping = [], False
    for word in arguments:
        if word.partition("=")[0] == "--merge":
            skipping = word == "--merge"  # --merge=DIR has no more than one
            continue
        skipping = skipping and not word.startswith("-")
        if not skipping:
            kept.append(word)
    return kept


def _seeds(text: str | None) -> range | None:
    """Reads 10, or 5:10 for 5 to 9."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})(?::(\d{1,9}))?", text)
    seeds = range(0)
    if found is not None:
        seeds = range(int(found[1]), int(found[2])) if found[2] else range(int(found[1]))
    allowed = f"a number such as 10, or a range such as 5:10, of at most {_MOST_SEEDS:,} seeds"
    check(0 < len(seeds) <= _MOST_SEEDS, "--seeds", allowed, text)
    return seeds


def _status(folder: Path, follow: bool, name: str | None = None) -> int:
    held = read_experiment(folder).name
    check(name in (None, held), "--base_dir", f"a folder of {name}", f"{folder}, of {held}")
    if follow:
        return status.watch(folder)
    print(status.report(folder))
    return 0


def _merge(folder: Path, planned: Sequence[Job], parts: Sequence[Path]) -> int:
    taken, left = merge(folder, planned, parts)
    verified = Verified(folder)
    whole = sum(verified.state(run).status == FINISHED for job in planned for run in job.runs)
    verified.save()
    runs = sum(len(job.runs) for job in planned)
    lines = [f"{taken} runs were taken; {whole} of {runs} runs are whole in {folder}"]
    print("\n".join([*lines, *(f"not taken: {line}" for line in left)]))
    return 0 if whole == runs else 1


def _check_own_files(planned: Sequence[Job]) -> None:
    """Checks that every run gets the package's own gin file, not another one of that name."""
    for name in {job.gin_file for job in planned}:
        here, own = Path(name), data_folder("gin_configs") / name
        # An experiment of another module may have gin files of its own.
        same = not (here.is_file() and own.is_file()) or here.read_bytes() == own.read_bytes()
        wanted = f"a folder that holds no other {name} than dormant's own"
        check(same, "the working directory", wanted, str(here.resolve()))


def _lacks(job: Job) -> bool:
    """Whether what a job reads of a data set is not there."""
    return job.data is not None and not job.data.exists()


def _dry_run(planned: Sequence[Job], verified: Verified) -> str:
    """The commands of what the real command starts, and what each of the others is."""
    lines, left = [], []
    for job in left_of_packs(verified, planned):
        # On one line, as it is a comment among commands.
        state = f"to run, lacks {' '.join(str(job.data).split())}" if _lacks(job) else "to run"
        status = state_of_job(verified, job).status
        state = {FINISHED: "finished", UNREADABLE: "cannot be read"}.get(status, state)
        seeds = len(job.runs)
        lines.append(f"# {state}: {job.name}" + (f", {seeds} seeds" if seeds > 1 else ""))
        if status not in (FINISHED, UNREADABLE):
            lines.append(job.command)
            left.append(job)
    runs = sum(len(job.runs) for job in left)
    steps = sum(job.agent_steps for job in left)
    end = f"# {runs} runs, {steps:,} agent steps; nothing was started"
    return "\n".join([*lines, end])


def _summary(planned: Sequence[Job], failures: Sequence[Failure], folder: Path, report: str) -> str:
    verified = Verified(folder)
    states = [verified.state(run).status for job in planned for run in job.runs]
    lines = [f"{states.count(FINISHED)} of {len(states)} runs are whole in {folder}"]
    lines += [report] if report else []
    lines += [f"failed: {job.name}: {why}; {log_of(folder, job)}" for job, why in failures]
    return "\n".join([*lines, f"next: python -m dormant.report {shlex.quote(str(folder))}"])


def _parser() -> CommandParser:
    parser = CommandParser("dormant.reproduce", DESCRIPTION)
    parser.add_argument(
        "name",
        nargs="?",
        help="such as fig10, tab6 or minatar_replay_ratio; module:NAME for an Experiment of yours",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--list", action="store_true", help="show all experiments and stop")
    parser.add_argument(
        "--scale", choices=SCALES, help="default: smoke, of quickstart mini; with --list: paper"
    )
    parser.add_argument("--base_dir", help="folder (default: runs/<name>-<scale>)")
    parser.add_argument("--data", help="folder of the data sets of figures 3 and 4 (default: data)")
    parser.add_argument(
        "--finished",
        type=path_of,
        metavar="FILE",
        help="results.csv of runs that were made elsewhere, which are not run again",
    )
    instead.add_argument(
        "--status", action="store_true", help="show what runs where, how fast, and stop"
    )
    instead.add_argument(
        "--watch", action="store_true", help="the same every ten seconds until nothing runs"
    )
    instead.add_argument(
        "--compile_for",
        metavar="HARDWARE",
        help="compile the runs' programs for v5e:4x4, another slice of TPUs or cuda, and stop",
    )
    instead.add_argument("--dry_run", action="store_true", help="print the commands and stop")
    parser.add_argument(
        "--seeds", help="how many of each, or which: 10, or 5:10 for 5 to 9 (default: the scale's)"
    )
    instead.add_argument(
        "--merge",
        nargs="+",
        type=path_of,
        metavar="DIR",
        help="take the whole runs of folders in which parts of the experiment were run, and stop",
    )
    parser.add_argument(
        "--seeds_per_process",
        type=int,
        default=1,
        help="of the agents on Dopamine's runners, side by side in one process (1)",
    )
    parser.add_argument("--games", nargs="+", default=(), help="some of the scale's games")
    usual = Budgets()
    for name, default, what in (
        ("--retries", usual.retries, "of a process that failed"),
        ("--preemptions", usual.preemptions, "of one that was evicted or lost"),
    ):
        parser.add_argument(name, type=int, default=default, help=f"{what} ({default})")
    add_options(parser)
    return parser

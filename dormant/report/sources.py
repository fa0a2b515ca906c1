# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""From what a person has, folders or files, to one `Collection`."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from dormant.records.experiment_file import (
    DEFAULT_TAU,
    ExperimentFile,
    PlannedRun,
    read_experiment,
)
from dormant.records.files import (
    CONFIG_FILE,
    EXPERIMENT_FILE,
    FINISHED_FILE,
    METRICS_FILE,
    RUN_FILE,
)
from dormant.records.restated import at_tau, with_alike_returns
from dormant.records.results import (
    NOT_STARTED,
    UNREADABLE,
    Absence,
    Collection,
    Reading,
    RunResult,
    Source,
    run_key,
)
from dormant.records.run_folders import check_places, find_runs, judged, read_planned
from dormant.records.settings import differing
from dormant.report.columns import OWN, Columns
from dormant.report.csv_results import ForeignFile, read_csv
from dormant.report.dopamine_results import is_baseline, read_baseline, read_logs
from dormant.report.lengths import with_lengths
from dormant.report.names import one_name, spelled
from dormant.report.scores import one_name_of_each
from dormant.report.strangers import with_strangers
from dormant.report.tensorboard_results import EVENTS, read_tensorboard

_MONITOR = re.compile(r"\d+\.monitor\.csv")
_SHOWS = ("iqm", "return", "dormant_percent", "overlap")
_Run = TypeVar("_Run", RunResult, PlannedRun)


def read_folder(folder: str | Path, columns: Columns = OWN) -> Collection:
    """Reads all runs of a folder.

    What is in it decides: an experiment.json and its runs; run folders with a metrics.jsonl each,
    at any depth; files of Dopamine's baselines; CSV files, or one CSV file itself; Dopamine's logs,
    `<method>/<game>/<run>/logs`; TensorBoard's events. Other files in it are named in the notes.

    Without a plan a run that ends before others of its method, setting and game is an `Absence`,
    and several names of one method or game are one.

    Args:
      folder: the folder or file.
      columns: where CSV files and TensorBoard have what.

    Raises:
      FileNotFoundError: there is nothing of the kind.
      ValueError: two runs have the same method, setting, game and seed, a path or link leads out of
        the folder, or a file that is no run's own cannot be read. A run's own file that cannot be
        read becomes an `Absence`.
    """
    path = Path(folder)
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    if path.is_file():
        is_log = EVENTS in path.name
        source = read_tensorboard(path, columns) if is_log else read_csv(path, columns)
        return _of_source(source, path.stem, None)
    if (path / EXPERIMENT_FILE).is_file():
        found = _of_plan(read_experiment(path), path)
        return with_strangers(found, path, (EXPERIMENT_FILE, FINISHED_FILE), columns)
    if planned := find_runs(path):
        # The folder may be a run itself.
        own = (METRICS_FILE, CONFIG_FILE, RUN_FILE)
        return with_strangers(_of_run_folders(planned, path), path, own, columns)
    # {files of a kind: (what reads them all, whether their points are numbered iterations)}
    readers: dict[str, tuple[Callable[[Path, Columns], Source], bool]] = {
        "*_*.json": (_baselines, True),
        "*.csv": (_csv_files, False),
        "**/logs/log_*": (_logs, True),
        f"**/*{EVENTS}*": (read_tensorboard, False),
    }
    problems: tuple[str, ...] = ()
    for pattern, (reader, numbered) in readers.items():
        if any(path.glob(pattern)):
            source = reader(path, columns)
            if source.runs or source.absent:
                found = _of_source(source, path.resolve().name, path, numbered)
                read = [each.name for each in path.glob(pattern)]
                unused = columns if numbered else OWN
                return with_strangers(found, path, read, unused, all_read="**" in pattern)
            problems += source.notes
    raise FileNotFoundError(
        f"{path} must hold {EXPERIMENT_FILE}, run folders with {METRICS_FILE}, Dopamine's"
        " <game>_<network>.json or logs/log_<iteration>, CSV files or TensorBoard's events; got"
        f" none of them{''.join(f'; {problem}' for problem in problems)}"
    )


def with_comparable_returns(collection: Collection) -> Collection:
    """With returns of one kind, of training or of evaluation, for all runs that have both."""
    runs, count = [*collection.runs, *collection.partial], len(collection.runs)
    alike, said = with_alike_returns(runs)
    return collection._replace(
        runs=tuple(alike[:count]),
        partial=tuple(alike[count:]),
        notes=tuple(dict.fromkeys((*collection.notes, *said))),
    )


def _of_plan(experiment: ExperimentFile, root: Path) -> Collection:
    games, notes = one_name("game", (run.game for run in experiment.runs), one_name_of_each)
    renamed = tuple(run._replace(game=games[run.game]) for run in experiment.runs)
    paper = tuple(
        value._replace(game=value.game and games.get(value.game, value.game))
        for value in experiment.paper
    )
    experiment = experiment._replace(runs=renamed, paper=paper)
    _check_different((run, run.folder) for run in experiment.runs)
    check_places(root, experiment.runs)
    found = [(run, read_planned(root, run, experiment.tau)) for run in experiment.runs]
    elsewhere = root / FINISHED_FILE
    if elsewhere.is_file():
        finished = read_csv(elsewhere)
        at_own = [at_tau(run, finished.tau, experiment.tau) for run in finished.runs]
        found = _with_finished(found, at_own)
        taken = sum(result is not None and result.folder is None for _, (result, _) in found)
        notes = [*notes, f"{taken} runs were made elsewhere: {FINISHED_FILE} has them"]
    source = Source([], notes=tuple(notes), planned_by=experiment.name)
    return _collection(experiment, found, root, source)


def _with_finished(
    found: Sequence[tuple[PlannedRun, Reading]], finished: Sequence[RunResult]
) -> list[tuple[PlannedRun, Reading]]:
    """With the runs that have no folder here but were made elsewhere."""
    by_key = {run_key(result): result for result in finished}
    taken = []
    for run, reading in found:
        result = by_key.get(run_key(run))
        if result is not None and reading.absence and reading.absence.status == NOT_STARTED:
            reading = judged(result, run)
        taken.append((run, reading))
    return taken


def _of_run_folders(planned: Sequence[PlannedRun], root: Path) -> Collection:
    named, notes = _with_one_name(planned)
    _check_different((run, run.folder) for run in named)
    experiment = _experiment(named, root.resolve().name)
    found = [(run, read_planned(root, run, experiment.tau)) for run in named]
    return _without_plan(found, root.resolve().name, root, Source([], notes=notes), True)


def _of_source(source: Source, name: str, root: Path | None, numbered: bool = False) -> Collection:
    """Of runs without a plan: each is as long as the longest of its method and game."""
    absent = [(reading.result, reading.absence) for reading in source.absent if reading.absence]
    planned = [*map(as_planned, source.runs), *(absence.run for _, absence in absent)]
    named, notes = _with_one_name(planned)
    runs = [run._replace(method=own.method, game=own.game)
            for run, own in zip(source.runs, named, strict=False)]  # fmt: skip
    _check_different((run, str(run.folder or name)) for run in runs)
    found = [(as_planned(run), Reading(run, None)) for run in runs]
    whole = {run_key(run) for run in runs}
    for run, (result, absence) in zip(named[len(runs) :], absent, strict=True):
        if run_key(run) not in whole:  # else it was made again
            result = result and result._replace(method=run.method, game=run.game)
            found.append((run, Reading(result, absence._replace(run=run))))
    source = source._replace(notes=(*source.notes, *notes))
    return _without_plan(found, name, root, source, numbered)


def _without_plan(
    found: Sequence[tuple[PlannedRun, Reading]],
    name: str,
    root: Path | None,
    source: Source,
    numbered: bool,
) -> Collection:
    judged = with_lengths(found, numbered)
    before = {run_key(run) for run, (_, absence) in found if absence}
    short = [
        f"{_where(run)} {absence.problem}: it is not whole, and in no average"
        for run, (_, absence) in judged
        if absence and run_key(run) not in before
    ]
    experiment = _experiment([run for run, _ in judged], name)._replace(tau=source.tau)
    return _collection(experiment, judged, root, source._replace(notes=(*source.notes, *short)))


def _collection(
    experiment: ExperimentFile,
    found: Sequence[tuple[PlannedRun, Reading]],
    root: Path | None,
    source: Source,
) -> Collection:
    readings = [reading for _, reading in found]
    collection = Collection(
        experiment=experiment,
        runs=tuple(result for result, absence in readings if result and not absence),
        partial=tuple(result for result, absence in readings if result and absence),
        absent=tuple(absence for _, absence in readings if absence),
        folder=root,
        notes=source.notes,
        warnings=(*source.warnings, *_of_different_settings(readings)),
        planned_by=source.planned_by,
    )
    return with_comparable_returns(collection)


def _of_different_settings(readings: Iterable[Reading]) -> list[str]:
    """A warning for each method, setting and game whose runs differ in more than their seeds."""
    cells: dict[tuple[str, str, str], list[RunResult]] = {}
    for result, _ in readings:
        if result is not None:
            cells.setdefault(run_key(result)[:3], []).append(result)
    found = []
    for runs in cells.values():
        different = differing(run.config for run in runs)
        named = [f"{name} ({', '.join(values)})" for name, values in different.items()]
        if named:
            more = f" and {len(named) - 3} more" if named[3:] else ""
            cell = _where(runs[0]).rpartition(", seed")[0]
            found.append(
                f"{cell}: runs that count as one method differ in {', '.join(named[:3])}{more}"
            )
    return found


def _with_one_name(runs: Sequence[_Run]) -> tuple[list[_Run], tuple[str, ...]]:
    """The runs with one name for each method and game, and the notes that say so."""
    methods, games, notes = _names((run.method, run.game) for run in runs)
    named = [run._replace(method=methods[run.method], game=games[run.game]) for run in runs]
    return named, notes


def _names(
    named: Iterable[tuple[str, str]],
) -> tuple[dict[str, str], dict[str, str], tuple[str, ...]]:
    """The one name of each method and of each game, of both of all runs."""
    pairs = list(named)
    methods, of_methods = one_name("method", (method for method, _ in pairs), spelled)
    games, of_games = one_name("game", (game for _, game in pairs), one_name_of_each)
    return methods, games, (*of_methods, *of_games)


def as_planned(run: RunResult) -> PlannedRun:
    """A run that nobody planned, as long as it is."""
    length = int(run.agent_steps[-1]) if run.agent_steps.size else 0
    return PlannedRun(_where(run), *run[:5], length, run.command)


def _where(run: RunResult | PlannedRun) -> str:
    setting = f"{run.setting}, " if run.setting else ""
    return f"{run.method}, {setting}{run.game}, seed {run.seed}"


def _experiment(planned: Sequence[PlannedRun], name: str) -> ExperimentFile:
    names = {
        run.setting.removesuffix(f" {run.value:g}") for run in planned if run.value is not None
    }
    return ExperimentFile(
        name=name,
        scale="",
        title=f"All runs of {name}",
        expected="",
        setting_name=names.pop() if len(names) == 1 else "",  # "replay ratio" of "replay ratio 1"
        shows=_SHOWS,
        baseline=planned[0].method,
        command="",
        runs=tuple(planned),
        paper=(),
    )


def _baselines(root: Path, columns: Columns) -> Source:
    """All of Dopamine's files in a folder; a file that has nothing of theirs is passed over."""
    runs: list[RunResult] = []
    absent: list[Reading] = []
    notes = []
    for path in sorted(root.glob("*_*.json")):
        if is_baseline(path):
            found = read_baseline(path)
            runs += found.runs
            absent += found.absent
        else:
            notes.append(f"{path.name} is none of Dopamine's baselines and was passed over")
    return Source(runs, tuple(absent), tuple(notes))


def _csv_files(root: Path, columns: Columns) -> Source:
    """All CSV files in a folder; one that has other columns is passed over."""
    read: list[tuple[Path, Source]] = []
    notes: list[str] = []
    for path in sorted(root.glob("*.csv")):
        try:
            found = read_csv(path, columns, number=sum(len(source.runs) for _, source in read))
        except ForeignFile as error:
            notes.append(f"{path.name} was passed over: {error}")
        else:
            read.append((path, found))
            notes += found.notes
    _check_different((run, path.name) for path, source in read for run in source.runs)
    taus = {source.tau for _, source in read}
    tau = taus.pop() if len(taus) == 1 else DEFAULT_TAU
    runs = [at_tau(run, source.tau, tau) for _, source in read for run in source.runs]
    warnings = [warning for _, source in read for warning in source.warnings]
    if len(monitors := [path.name for path, _ in read if _MONITOR.fullmatch(path.name)]) > 1:
        warnings.append(
            f"{', '.join(monitors)} may be the environments of one run, as SB3 writes them, and"
            f" count as {len(monitors)} runs here; intervals are of runs"
        )
    absent = [
        reading._replace(result=reading.result and at_tau(reading.result, source.tau, tau))
        for _, source in read
        for reading in source.absent
    ]
    return Source(runs, tuple(absent), tuple(notes), tuple(warnings), tau)


def _logs(root: Path, columns: Columns) -> Source:
    folders = sorted({path.parent for path in root.glob("**/logs/log_*")})
    runs: list[RunResult] = []
    absent: list[Reading] = []
    notes: list[str] = []
    counts: dict[tuple[str, str], int] = {}
    for folder in folders:
        *method, game, _ = ["", "", *folder.parent.relative_to(root).parts]
        key = ("/".join(filter(None, method)) or root.resolve().name, game or "unknown game")
        number = counts[key] = counts.get(key, -1) + 1
        try:
            runs.append(read_logs(folder)._replace(method=key[0], game=key[1], seed=number))
        except FileNotFoundError as error:
            notes.append(f"passed over: {error}")
        except ValueError as error:
            place = folder.parent.relative_to(root).as_posix()
            run = PlannedRun(place, key[0], "", None, key[1], number, 0, "")
            absent.append(Reading(None, Absence(run, UNREADABLE, str(error))))
    return Source(runs, tuple(absent), tuple(notes))


def _check_different(runs: Iterable[tuple[PlannedRun | RunResult, str]]) -> None:
    seen: dict[tuple, str] = {}
    for run, where in runs:
        key = run_key(run)
        if key in seen:
            raise ValueError(
                "runs of one method, setting and game must have different seeds; got seed"
                f" {run.seed} of {run.method}, {run.game}, in {seen[key]} and in {where}"
            )
        seen[key] = where

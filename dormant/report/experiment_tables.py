"""The tables of an experiment: rows and columns as in the paper, its values beside ours."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dormant.records.experiment_file import PaperValue, PlannedRun
from dormant.records.results import Collection, RunResult
from dormant.records.schema import FinalTable, Measure
from dormant.report.bootstrap import METRICS, Interval
from dormant.report.scores import (
    SOURCES,
    final_dormant_percent,
    final_score,
    final_values,
    normalization,
)
from dormant.report.statistics import Statistics
from dormant.report.tables import Table, abridged, sentence

MISSING = "-"
_READ_OFF = "read from a figure, ±10 %"
_ONE_SEED = "one seed: no interval"


def experiment_tables(statistics: Statistics) -> list[Table]:
    """All tables of a collection, the main one first.

    A cell is made of the runs that are whole. An aggregate over games is given only where every
    planned game has one; otherwise the cell is "-" and a note says what is missing. An experiment
    of one game that shows its return first has one table of returns and dormant %, with the others'
    columns beside each other.

    Args:
      statistics: of what was read.
    """
    experiment = statistics.collection.experiment
    makers: dict[str, Callable[[], list[Table]]] = {
        "iqm": lambda: [_iqm_table(statistics), *_aggregates(statistics)],
    }
    for name, of_iteration in _of_iterations(experiment.tau).items():
        makers[name] = functools.partial(_table_of_iterations, statistics, name, *of_iteration)
    shows = list(experiment.shows)
    for measure in statistics.schema.tracking:
        if measure.final:
            name = measure.final.asked_as or measure.name
            makers[name] = functools.partial(_last_tables, statistics, measure, measure.final)
            shows += [] if measure.final.asked_as or name in shows else [name]
    # Without reference scores of its games an experiment has no scores to take an IQM of.
    shows = [show for show in shows if show in makers]
    if any(normalization(run.game) is None for run in experiment.runs):
        shows = [show for show in shows if show != "iqm"]
    tables = []
    if shows[:1] == ["return"] and "dormant_percent" in shows and _has_one_game(experiment.runs):
        tables.append(_results_of_one_game(statistics))
        shows = [show for show in shows if show not in ("return", "dormant_percent")]
    tables += [table for show in shows for table in makers[show]()]
    tables = [_without_empty_column(table) for table in tables if table.rows]
    return tables + _absences(statistics.collection)


def _has_one_game(runs: Sequence[PlannedRun]) -> bool:
    return len({run.game for run in runs}) == 1


def _without_empty_column(table: Table) -> Table:
    """Without the settings' column where nothing is set."""
    if any(row[0] for row in table.rows):
        return table
    return table._replace(header=table.header[1:], rows=tuple(row[1:] for row in table.rows))


def _iqm_table(statistics: Statistics) -> Table:
    collection = statistics.collection
    kinds = sorted({normalization(run.game).kind for run in collection.experiment.runs})

    not_used: list[str] = []

    def cell(method: str, setting: str) -> Interval:
        found = statistics.aggregate(method, setting, "iqm")
        over = statistics.runs_not_used(method, setting)
        if over:
            names = sentence([f"{run.game}, seed {run.seed}" for run in over])
            not_used.append(
                f"{', '.join(filter(None, (method, setting)))}: as many runs of every game are"
                f" taken; not in its IQM: {names}"
            )
        return found

    title = f"IQM of {'- and '.join(kinds)}-normalized scores [95 % interval] (runs)"
    table = _grid(collection, title, "iqm", cell, digits=3)
    return table._replace(notes=(*table.notes, *not_used, *map(_scale, kinds)))


def _scale(kind: str) -> str:
    return f"{kind}-normalized: 0 is a random policy's return, 1 the reference's: {SOURCES[kind]}"


def _aggregates(statistics: Statistics) -> list[Table]:
    """The other aggregates, and how likely each method improves on the baseline."""
    collection = statistics.collection
    notes: list[str] = []
    problems: list[str] = []
    baseline = collection.experiment.baseline
    cells = _cells(collection)

    def row(method: str, setting: str) -> tuple[str, ...]:
        def tried(digits: int, value: Callable[..., Interval], *arguments: str) -> str:
            try:
                return _with_paper(value(*arguments), None, digits, notes)
            except ValueError as error:
                problems.append(str(error))
                return MISSING

        found = [tried(3, statistics.aggregate, method, setting, metric) for metric in METRICS]
        compared = method != baseline and (baseline, setting) in cells
        improvement = statistics.probability_of_improvement
        better = tried(2, improvement, method, baseline, setting) if compared else MISSING
        return (_row_label(collection, setting), method, *found, better)

    rows = [row(method, setting) for method, setting in cells]
    header = (
        _row_name(collection), "method", "IQM", "median", "mean", "optimality gap",
        f"P(better than {baseline})",
    )  # fmt: skip
    title = "Aggregates of normalized scores [95 % interval]"
    return [Table(title, header, tuple(rows), (*dict.fromkeys(notes), *abridged(problems)))]


# What a table by game shows of a run, its title, and how many digits.
_OfIteration = tuple[Callable[[RunResult], float | None], str, int]


def _of_iterations(tau: float) -> dict[str, _OfIteration]:
    return {
        "return": (_return, "Final return", 1),
        "dormant_percent": (final_dormant_percent, f"Dormant % at tau {tau:g}, last iteration", 1),
    }


def _table_of_iterations(statistics: Statistics, name: str, *of_iteration: Any) -> list[Table]:
    return [_game_table(statistics, name, *of_iteration)]


def _last_tables(statistics: Statistics, measure: Measure, final: FinalTable) -> list[Table]:
    """Of a measure at the last record: a table for each layer or network, or of the last one."""
    collection = statistics.collection
    tau = collection.experiment.tau
    found = {id(run): final_values(run, measure, tau) for run in collection.runs}
    names = dict.fromkeys(name for values in found.values() for name in values)

    def table(name: str) -> Table:
        def value(run: RunResult) -> float | None:
            values = found[id(run)]
            return values.get(name) if final.each else list(values.values() or [None])[-1]

        where = {"tau": tau, "layer": name, "network": name}
        paper = (final.paper or final.asked_as).format(**where)
        return _game_table(statistics, paper, value, final.title.format(**where), final.digits)

    return [table(name) for name in (names if final.each else [""])]


def _game_table(
    statistics: Statistics,
    measure: str,
    values: Callable[[RunResult], float | None],
    title: str,
    digits: int,
) -> Table:
    """A row for each setting and game: the mean over its runs."""
    collection = statistics.collection
    methods = _methods(collection)
    rows, notes = [], []
    planned = collection.experiment.runs
    for setting, game in dict.fromkeys((run.setting, run.game) for run in planned):
        cells = [
            _cell(statistics, Cell(method, setting, game), measure, values, digits, notes)
            for method in methods
        ]
        rows.append((_row_label(collection, setting), game, *cells))
    if all(cell == MISSING for row in rows for cell in row[2:]):
        rows = []
    header = (_row_name(collection), "game", *methods)
    notes = (*dict.fromkeys(notes), *_reduced_note(collection, measure))
    notes = (*notes, *_missing_notes(collection))
    return Table(f"{title} [95 % interval] (runs)", header, tuple(rows), notes)


def _results_of_one_game(statistics: Statistics) -> Table:
    """A row for each setting and method: return and dormant %."""
    collection = statistics.collection
    experiment, game = collection.experiment, collection.experiment.runs[0].game
    measures = _of_iterations(experiment.tau)
    notes: list[str] = []
    rows = [
        (
            _row_label(collection, setting),
            method,
            *(
                _cell(statistics, Cell(method, setting, game), name, values, digits, notes)
                for name, (values, _, digits) in measures.items()
            ),
        )
        for setting, method in dict.fromkeys((run.setting, run.method) for run in experiment.runs)
    ]
    notes += _reduced_note(collection, "return") or _reduced_note(collection, "dormant_percent")
    header = (_row_name(collection), "method", "return", f"dormant % at tau {experiment.tau:g}")
    title = f"Return and dormant % in {game}, last iteration [95 % interval] (runs)"
    notes = (*dict.fromkeys(notes), *_missing_notes(collection))
    return Table(title, header, tuple(rows), notes)


class Cell(NamedTuple):
    """Whose runs a cell is of."""

    method: str
    setting: str
    game: str


def _cell(
    statistics: Statistics,
    cell: Cell,
    measure: str,
    values: Callable[[RunResult], float | None],
    digits: int,
    notes: list[str],
) -> str:
    """The mean over the runs, and the paper's value."""
    runs = statistics.runs(*cell)
    found = [value for value in map(values, runs) if value is not None]
    if found and len(found) < len(runs):
        without = len(runs) - len(found)
        name = ", ".join(filter(None, cell))
        notes.append(f"{name}: {without} of {len(runs)} whole runs have no such value")
    interval = statistics.mean(found) if found else None
    return _with_paper(interval, _paper(statistics.collection, measure, *cell), digits, notes)


def _grid(
    collection: Collection,
    title: str,
    measure: str,
    cell: Callable[[str, str], Interval],
    digits: int,
) -> Table:
    """A row for each setting, a column for each method."""
    methods = _methods(collection)
    planned = set(_cells(collection))
    rows, notes, problems = [], [], []
    for setting in dict.fromkeys(run.setting for run in collection.experiment.runs):
        row = [_row_label(collection, setting)]
        for method in methods:
            interval = None
            if (method, setting) in planned:
                try:
                    interval = cell(method, setting)
                except ValueError as error:
                    problems.append(str(error))
            paper = _paper(collection, measure, method, setting, None)
            row.append(_with_paper(interval, paper, digits, notes))
        rows.append(tuple(row))
    notes = (*dict.fromkeys(notes), *_reduced_note(collection, measure), *abridged(problems))
    notes = (*notes, *_missing_notes(collection))
    return Table(title, (_row_name(collection), *methods), tuple(rows), notes)


def _with_paper(
    interval: Interval | None, paper: PaperValue | None, digits: int, notes: list[str]
) -> str:
    """Our value, and the paper's with the difference."""
    ours = MISSING if interval is None else _text(interval, digits)
    if interval is not None and interval.low is None:
        notes.append(_ONE_SEED)
    if paper is None:
        return ours
    spread = "" if paper.spread is None else f" ± {paper.spread:g}"
    mark = "*" if paper.read_off else ""
    theirs = f"paper {paper.value:g}{spread}{mark}"
    if paper.read_off:
        notes.append(f"* {_READ_OFF} ({paper.source})")
    if interval is None:
        return f"{ours}; {theirs}"
    return f"{ours}; {theirs}, difference {interval.value - paper.value:+.{digits}f}"


def _text(interval: Interval, digits: int) -> str:
    text = f"{interval.value:.{digits}f}"
    if interval.low is not None:
        text += f" [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
    return f"{text} ({interval.runs})"


def _absences(collection: Collection) -> list[Table]:
    rows = tuple(
        (absence.run.folder, absence.status, absence.problem) for absence in collection.absent
    )
    planned = len(collection.experiment.runs)
    title = f"Runs that are not whole: {len(rows)} of {planned}"
    return [Table(title, ("run", "status", "problem"), rows)] if rows else []


def _reduced_note(collection: Collection, measure: str) -> tuple[str, ...]:
    """That the paper's values beside ours are of more than what ran here."""
    experiment = collection.experiment
    if not experiment.reduced or all(value.measure != measure for value in experiment.paper):
        return ()
    return (f"the paper's values are of the whole experiment; here {experiment.reduced}",)


def _missing_notes(collection: Collection) -> tuple[str, ...]:
    names = [absence.run.folder for absence in collection.absent]
    count = "1 run is" if len(names) == 1 else f"{len(names)} runs are"
    return (f"{count} not whole: {sentence(names)}",) if names else ()


def _paper(
    collection: Collection, measure: str, method: str, setting: str, game: str | None
) -> PaperValue | None:
    wanted = (measure, method, setting, game)
    for value in collection.experiment.paper:
        if (value.measure, value.method, value.setting, value.game) == wanted:
            return value
    return None


def _return(run: RunResult) -> float | None:
    return final_score(run) if np.isfinite(run.returns).any() else None


def _cells(collection: Collection) -> list[tuple[str, str]]:
    return list(dict.fromkeys((run.method, run.setting) for run in collection.experiment.runs))


def _methods(collection: Collection) -> list[str]:
    return list(dict.fromkeys(run.method for run in collection.experiment.runs))


def _row_name(collection: Collection) -> str:
    return collection.experiment.setting_name or "setting"


def _row_label(collection: Collection, setting: str) -> str:
    """The setting without the column's name before it: "0.25" under "replay ratio"."""
    return setting.removeprefix(f"{_row_name(collection)} ")

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The tables of an experiment: rows and columns as in the paper, its values beside ours."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from dormant.records.experiment_file import PaperValue
from dormant.records.per_iteration import ACCURACY, EVALUATION
from dormant.records.reading import at_penultimate, values_at
from dormant.records.results import Collection, RunResult
from dormant.records.schema import FinalTable, Measure
from dormant.report.bootstrap import METRICS, Interval
from dormant.report.looks import Line
from dormant.report.scores import SOURCES, last_finite, normalization
from dormant.report.statistics import Statistics
from dormant.report.tables import Table, abridged, sentence

MISSING = "-"
ABSENCES = ("run", "status", "problem")  # the header of the tables of missing runs


class Shown(NamedTuple):
    """What a cell shows: the mean over its runs."""

    name: str  # as in `PaperValue.measure`
    of: Callable[[RunResult], float | None]  # its value of a run; None where it has none
    title: str  # of its table
    digits: int = 1  # after the point


class Cell(NamedTuple):
    """Whose runs a cell is of; without a game, those of all games."""

    method: str
    setting: str
    game: str = ""


def experiment_tables(statistics: Statistics) -> list[Table]:
    """All tables of a collection, the main one first.

    A cell is made of the runs that are whole. An aggregate over games is given only where every
    planned game has one; otherwise the cell is "-" and a note says what is missing. An experiment
    of one game that shows its return or accuracy first has one table with a row for each setting
    and method.
    """
    experiment = statistics.collection.experiment
    percent = f"Dormant % at tau {experiment.tau:g}, last iteration"
    of_iterations = (
        Shown("return", lambda run: last_finite(run.returns), "Final return"),
        Shown("dormant_percent", lambda run: last_finite(run.dormant_percent), percent),
    )
    in_evaluation = Shown(
        "evaluation", lambda run: _last(run, EVALUATION), "Return of evaluation, the last one"
    )
    accuracy = Shown(
        "train_accuracy", lambda run: _last(run, ACCURACY), "Accuracy at the end of training", 3
    )
    by_game = {shown.name: [shown] for shown in (*of_iterations, in_evaluation, accuracy)}
    shows = list(experiment.shows)
    for measure in statistics.schema.tracking:
        if measure.final:
            name = measure.final.asked_as or measure.name
            by_game[name] = _of_measure(statistics.collection, measure, measure.final)
            shows += [] if measure.final.asked_as or name in shows else [name]
    tables = []
    one_game = len({run.game for run in experiment.runs}) == 1
    first = shows[0] if shows else ""
    if one_game and first in ("return", "train_accuracy") and "dormant_percent" in shows:
        together = (first, "dormant_percent")
        tables.append(_table_of_one_game(statistics, [by_game[name][0] for name in together]))
        shows = [show for show in shows if show not in together]
    for show in shows:
        # Without reference scores of its games an experiment has no scores to take an IQM of.
        if show == "iqm" and all(normalization(run.game) for run in experiment.runs):
            tables += [_iqm_table(statistics), _aggregates(statistics)]
        tables += [_table_by_game(statistics, shown) for shown in by_game.get(show, ())]
    return [table for table in tables if table.rows] + _absences(statistics.collection)


def _of_measure(collection: Collection, measure: Measure, final: FinalTable) -> list[Shown]:
    """A measure at the last record, of each layer or network or of the last one."""
    tau = collection.experiment.tau

    def last(run: RunResult) -> dict[str, float | None]:
        tracking = run.records.tracking if run.records else ()
        if tracking:
            values = values_at(tracking[-1], measure, tau)
            return values if final.each else {"": at_penultimate(tracking[-1], values)}
        return {"": _last(run, measure.name)} if measure.name in run.measured else {}

    def shown(name: str) -> Shown:
        def value(run: RunResult) -> float | None:
            values = last(run)
            return values.get(name)

        where = {"tau": tau, "layer": name, "network": name}
        paper = (final.paper or final.asked_as).format(**where)
        return Shown(paper, value, final.title.format(**where), final.digits)

    names = dict.fromkeys(name for run in collection.runs for name in last(run))
    return [shown(name) for name in (names if final.each else [""])]


def _last(run: RunResult, column: str) -> float | None:
    """Of what else was measured, in the last iteration that has it."""
    return last_finite(run.measured[column]) if column in run.measured else None


class _Cells:
    """Writes the cells of one table and keeps what has to be known to read them."""

    def __init__(self, statistics: Statistics):
        self.statistics, self.experiment = statistics, statistics.collection.experiment
        self.notes: list[str] = []
        self._problems: list[str] = []
        self._reduced: list[str] = []

    def mean(self, shown: Shown, cell: Cell) -> str:
        """The mean over a cell's runs."""
        runs = self.statistics.runs(*cell)
        found = [value for value in map(shown.of, runs) if value is not None]
        if found and len(found) < len(runs):
            without = f"{len(runs) - len(found)} of {len(runs)}"
            name = ", ".join(filter(None, cell))
            self.notes.append(f"{name}: {without} whole runs have no such value")
        interval = self.statistics.mean(found) if found else None
        return self._with_paper(interval, shown.digits, self.paper(shown.name, cell))

    def aggregate(
        self, digits: int, make: Callable[..., Interval], *of: str, paper: PaperValue | None = None
    ) -> str:
        """What make returns of these names, beside the paper's value; its error is a note."""
        interval = None
        try:
            interval = make(*of)
        except ValueError as error:
            self._problems.append(str(error))
        return self._with_paper(interval, digits, paper)

    def table(
        self, title: str, header: Sequence[str], rows: Sequence[tuple[str, ...]], *notes: str
    ) -> Table:
        """The table of rows that begin with the setting, with all notes."""
        setting = self.experiment.setting_name or "setting"
        header = (setting, *header)
        # The setting without the column's name before it: "0.25" under "replay ratio".
        rows = tuple((row[0].removeprefix(f"{setting} "), *row[1:]) for row in rows)
        if not any(row[0] for row in rows):  # nothing is set
            header, rows = header[1:], tuple(row[1:] for row in rows)
        names = [absence.run.folder for absence in self.statistics.collection.absent]
        count = "1 run is" if len(names) == 1 else f"{len(names)} runs are"
        missing = [f"{count} not whole: {sentence(names)}"] if names else []
        found = (*self.notes, *self._reduced, *abridged(self._problems), *missing)
        return Table(title, header, rows, (*dict.fromkeys(found), *notes))

    def paper(self, measure: str, cell: Cell) -> PaperValue | None:
        """What the paper reports of a cell; None where it does not."""
        found = {
            Cell(value.method, value.setting, value.game or ""): value
            for value in reversed(self.experiment.paper)
            if value.measure == measure
        }
        if self.experiment.reduced and found:
            self._reduced.append(
                f"the paper's values are of the whole experiment; here {self.experiment.reduced}"
            )
        return found.get(cell)

    def _with_paper(self, interval: Interval | None, digits: int, paper: PaperValue | None) -> str:
        """Our value, and the paper's with the difference."""
        ours = MISSING
        if interval is not None:
            ours = f"{interval.value:.{digits}f}"
            if interval.low is None:
                self.notes.append("one seed: no interval")
            else:
                ours += f" [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
            ours += f" ({interval.runs})"
        if paper is None:
            return ours
        both = f"{ours}; paper {paper.value:g}"
        if paper.spread is not None:
            both += f" ± {paper.spread:g}"
        if paper.read_off:
            both += "*"
            self.notes.append(f"* read from a figure, ±10 % ({paper.source})")
        if interval is not None:
            both += f", difference {interval.value - paper.value:+.{digits}f}"
        return both


def _iqm_table(statistics: Statistics) -> Table:
    """A row for each setting, a column for each method."""
    cells = _Cells(statistics)
    not_used: list[str] = []

    def iqm(method: str, setting: str) -> Interval:
        found = statistics.aggregate(method, setting)
        if over := statistics.runs_not_used(method, setting):
            name = Line(method, setting).label
            names = sentence([f"{run.game}, seed {run.seed}" for run in over])
            note = f"{name}: as many runs of every game are taken; not in its IQM: {names}"
            not_used.append(note)
        return found

    def text(line: Line) -> str:
        if line not in statistics.lines:
            return MISSING
        return cells.aggregate(3, iqm, *line, paper=cells.paper("iqm", Cell(*line)))

    methods = dict.fromkeys(line.method for line in statistics.lines)
    rows = [
        (setting, *(text(Line(method, setting)) for method in methods))
        for setting in dict.fromkeys(line.setting for line in statistics.lines)
    ]
    known = [normalization(run.game) for run in statistics.collection.experiment.runs]
    kinds = sorted({each.kind for each in known if each})
    scales = [
        f"{kind}-normalized: 0 is a random policy's return, 1 the reference's: {SOURCES[kind]}"
        for kind in kinds
    ]
    title = f"IQM of {'- and '.join(kinds)}-normalized scores [95 % interval] (runs)"
    return cells.table(title, tuple(methods), rows, *not_used, *scales)


def _aggregates(statistics: Statistics) -> Table:
    """The other aggregates, and how likely each method improves on the baseline."""
    cells, baseline = _Cells(statistics), statistics.collection.experiment.baseline
    rows = []
    for method, setting in statistics.lines:
        of = [cells.aggregate(3, statistics.aggregate, method, setting, each) for each in METRICS]
        better = MISSING
        if method != baseline and Line(baseline, setting) in statistics.lines:
            compare = statistics.probability_of_improvement
            better = cells.aggregate(2, compare, method, baseline, setting)
        rows.append((setting, method, *of, better))
    names = ("method", "IQM", "median", "mean", "optimality gap", f"P(better than {baseline})")
    return cells.table("Aggregates of normalized scores [95 % interval]", names, rows)


def _table_by_game(statistics: Statistics, shown: Shown) -> Table:
    """A row for each setting and game, a column for each method; none without any value."""
    cells, runs = _Cells(statistics), statistics.collection.experiment.runs
    methods = dict.fromkeys(run.method for run in runs)
    rows = [
        (setting, game, *(cells.mean(shown, Cell(method, setting, game)) for method in methods))
        for setting, game in dict.fromkeys((run.setting, run.game) for run in runs)
    ]
    if all(text == MISSING for row in rows for text in row[2:]):
        rows = []
    return cells.table(f"{shown.title} [95 % interval] (runs)", ("game", *methods), rows)


def _table_of_one_game(statistics: Statistics, columns: Sequence[Shown]) -> Table:
    """A row for each setting and method, a column for each of what is shown."""
    cells, lines = _Cells(statistics), statistics.lines
    game = statistics.collection.experiment.runs[0].game
    rows = [
        (line.setting, line.method, *(cells.mean(each, Cell(*line, game)) for each in columns))
        for setting in dict.fromkeys(line.setting for line in lines)
        for line in lines
        if line.setting == setting
    ]
    header = ("method", *(shown.title for shown in columns))
    return cells.table(f"Results in {game} [95 % interval] (runs)", header, rows)


def _absences(collection: Collection) -> list[Table]:
    compared = set(collection.compared)
    own = [absence for absence in collection.absent if absence.run not in compared]
    others = [absence for absence in collection.absent if absence.run in compared]
    planned = len(collection.experiment.runs) - len(compared)
    titles = {
        f"Runs that are not whole: {len(own)} of {planned}": own,
        f"Compared runs that are not whole: {len(others)} of {len(compared)}": others,
    }
    return [
        Table(title, ABSENCES, tuple((run.folder, *said) for run, *said in absences))
        for title, absences in titles.items()
        if absences
    ]

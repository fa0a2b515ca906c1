# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Results from CSV, a line for each iteration of each run: what a report writes, and what W&B,
openrlbenchmark, CleanRL and SB3 export."""

import csv
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dormant.checks import shown
from dormant.measures.measure import DEFAULT_TAUS
from dormant.records.experiment_file import DEFAULT_TAU, PlannedRun
from dormant.records.per_iteration import EVALUATION, FURTHER_COLUMNS, dormant_column
from dormant.records.results import (
    FINISHED,
    IN_EVALUATION,
    TRAINING,
    Absence,
    Reading,
    RunResult,
    Source,
    status_of,
)
from dormant.records.results_file import COLUMNS, EXPERIMENT, STATUS
from dormant.report.columns import (
    EACH_AN_EPISODE,
    MEASURED,
    OWN,
    REQUIRED,
    STEP_UNITS,
    Columns,
    is_of_episodes,
    labels_of_run,
    option,
    plain_name,
)
from dormant.report.csv_sheets import Sheet, number_of, read_sheet
from dormant.report.names import one_name, spelled
from dormant.report.scores import one_name_of_each
from dormant.report.tables import not_inert

_NOTHING = {"", "nan", "na", "n/a", "<na>", "none", "null"}  # as pandas writes and reads it
# Of names, which people do call "none" or "null".
_NO_NAME = {"", "nan", "n/a", "<na>"}
_OF_WANDB = " - "  # between the run and what was measured
_EXTREMES = ("__MIN", "__MAX")
_WHAT_IS_LEFT_OPEN = (
    ", where … is the name of a column, or for method, game and seed one label for all lines, such"
    " as method=DQN"
)


class ForeignFile(ValueError):
    """A file that is no table of results, as far as is known of its columns."""


class _Layout(NamedTuple):
    """Where each entry of a line is."""

    places: dict[str, int]  # {entry: its column}
    labels: dict[str, str]  # {entry: what it is in every line}
    # For each run that has a column of returns of its own: what its name tells, and that column.
    runs: list[tuple[dict[str, str], int]]
    numbered: bool  # whether nothing tells the seeds
    further: dict[str, int]  # {one of `FURTHER_COLUMNS`: its column}
    is_own: bool  # whether a report wrote the file


# Method, setting, value, game and seed of a run.
_Labels = tuple[str, str, float | None, str, int]


class _Point(NamedTuple):
    where: str
    labels: _Labels
    # Agent steps, return, percentage, and what else was measured; () of a run without iterations.
    values: tuple[float, ...]
    status: str  # `FINISHED`, or why it is not whole
    column: int = 0  # of the run, where each run has a column of returns of its own


def read_csv(path: str | Path, columns: Columns = OWN, number: int = 0) -> Source:
    """Reads runs from a CSV file with the columns `COLUMNS`, in the order of their first lines.

    Columns setting, value, dormant_percent, status and `FURTHER_COLUMNS` may be missing or empty;
    others are passed over. A run whose status, in W&B's words too, is another than finished is
    absent. Names of one method or game that differ in spaces, namespace or version are one.

    Args:
      path: the file. Between its fields stand commas, semicolons or tabs.
      columns: where the entries are, if not in columns of their own names. "X" is also found in
        W&B's "<run> - X", a column for each run, and the steps of SB3's monitor files are summed.
        A column that it calls seed may hold names of runs, which are numbered.
      number: the seed of the first run of a file that has none.

    Raises:
      OSError: it cannot be read.
      ValueError: a column is missing (a `ForeignFile`), a line has other fields than the header, a
        status is none, an entry is no number or too large, a step is negative, a percentage lies
        outside 0 to 100, or a run's steps do not rise; the message names the file and the line.
    """
    try:
        sheet = read_sheet(path)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    if is_own := _is_own(sheet):
        columns = columns._replace(step_unit=STEP_UNITS[0])  # as a report writes them
    sheet, named = _with_numbered_runs(sheet, columns, number)
    layout, notes = _layout(sheet, columns)
    notes += named
    points = [point for line in sheet.lines for point in _points(line, layout, columns, number)]
    if layout.numbered:
        notes.append(f"{path} has no seeds: its runs are numbered from {number}")
    if not points:
        raise ValueError(f"{path} must hold at least one line of a run; got none")
    if _may_have_decimal_commas(sheet, layout):
        sheet.warnings.append(
            f"{path}: every return and dormant_percent is a whole number; if they are the parts of"
            " one number with a decimal comma, write it with a point"
        )
    methods, of_methods = one_name("method", (point.labels[0] for point in points), spelled)
    games, of_games = one_name("game", (point.labels[3] for point in points), one_name_of_each)
    curves: dict[_Labels, list[tuple[float, ...]]] = {}
    column_of: dict[_Labels, int] = {}
    statuses: dict[_Labels, str] = {}
    value_of: dict[tuple[str, str, str, int], float | None] = {}
    for where, (method, setting, value, game, seed), values, status, column in points:
        labels = (methods[method], " ".join(setting.split()), value, games[game], seed)
        run = (*labels[:2], *labels[3:])
        if value_of.setdefault(run, value) != value:
            told = ("nothing" if each is None else f"{each:g}" for each in (value, value_of[run]))
            raise ValueError(
                f"{where}: value must be the same in all lines of a run; got {' after '.join(told)}"
            )
        if column_of.setdefault(labels, column) != column:
            both = (sheet.header[each] for each in (column_of[labels], column))
            raise _same_run(sheet, *both)
        curve = curves.setdefault(labels, [])
        if status != FINISHED:
            statuses[labels] = status
        if not values:
            continue
        if curve and values[0] <= curve[-1][0]:
            raise ValueError(
                f"{where}: agent_step of a run must rise (two runs of one seed?); got"
                f" {values[0]:g} after {curve[-1][0]:g}"
            )
        curve.append(values)
    runs = [
        _result(labels, np.array(curve, float).T, layout)
        for labels, curve in curves.items()
        if labels not in statuses
    ]
    absent = [
        _not_whole(labels, status, curves[labels], layout) for labels, status in statuses.items()
    ]
    if sheet.constants or is_of_episodes(columns.named.get("return", "")):
        notes.append(f"{path}: {EACH_AN_EPISODE}")
    if columns.step_unit == "frames":
        notes.append(f"{path}: its steps are taken as frames, four to an agent step")
    notes += [*of_methods, *of_games]
    planned_by = ""
    if is_own and EXPERIMENT in sheet.header:
        planned_by = sheet.lines[0][1][sheet.header.index(EXPERIMENT)]
    warnings = tuple(sheet.warnings)
    return Source(runs, tuple(absent), tuple(notes), warnings, _tau_of(runs), planned_by)


def _same_run(sheet: Sheet, *names: str) -> ValueError:
    return ValueError(
        f"{sheet.path}: each run must have a method, game and seed of its own; got the same of"
        f" {' and '.join(map(repr, names))}: leave out the one that is not meant"
    )


def _tau_of(runs: Sequence[RunResult]) -> float:
    """The threshold of `dormant_percent`: that whose own column has the same, as a report of an
    experiment at another tau writes it."""

    def is_same(tau: float) -> bool:
        of_tau = [run.measured.get(dormant_column(tau)) for run in runs]
        return any(column is not None for column in of_tau) and all(
            np.isnan(run.dormant_percent).all()
            if column is None
            else np.array_equal(column, run.dormant_percent, equal_nan=True)
            for column, run in zip(of_tau, runs, strict=True)
        )

    return next(filter(is_same, (DEFAULT_TAU, *DEFAULT_TAUS)), DEFAULT_TAU)


def _not_whole(
    labels: _Labels, status: str, curve: list[tuple[float, ...]], layout: _Layout
) -> Reading:
    result = None
    if curve:
        result = _result(labels, np.array(curve, float).T, layout)._replace(status=status)
    steps = int(curve[-1][0]) if curve else 0
    where = " ".join(f"{labels[0]} {labels[1]} {labels[3]} seed {labels[4]}".split())
    planned = PlannedRun(where, *labels, steps, "")
    return Reading(result, Absence(planned, status, f"it has {steps:,} agent steps"))


def _result(labels: _Labels, rows: np.ndarray, layout: _Layout) -> RunResult:
    more = zip(layout.further, rows[3:], strict=True)
    measured = {name: values for name, values in more if np.isfinite(values).any()}
    steps, returns, percents = rows[:3]
    run = RunResult(*labels, steps, returns, percents, measured=measured)
    if (evaluation := measured.get(EVALUATION)) is None:
        return run
    is_of_evaluation = np.array_equal(evaluation, returns, equal_nan=True)
    return run._replace(episodes=IN_EVALUATION if is_of_evaluation else TRAINING)


def _with_numbered_runs(sheet: Sheet, columns: Columns, number: int) -> tuple[Sheet, list[str]]:
    """The seeds of a column that `columns` calls seed and that holds names of runs alone.

    They are what all names tell, and method and game with them, or else numbers from `number` on.
    """
    plain = [plain_name(name) for name in sheet.header]
    wanted = plain_name(columns.named.get("seed", ""))
    at = plain.index(wanted) if wanted in plain else None
    if at is None or any(_is_number_or_nothing(fields[at]) for _, fields in sheet.lines):
        return sheet, []
    runs = {fields[at]: labels_of_run(fields[at]) for _, fields in sheet.lines}
    labelled = [columns.named.get(entry, entry) for entry in ("method", "setting", "value", "game")]
    places = [plain.index(plain_name(each)) for each in labelled if plain_name(each) in plain]
    names: dict[tuple, str] = {}
    for _, fields in sheet.lines:
        run = fields[at]
        key = (*sorted(runs[run].items()), *(fields[place] for place in places))
        if runs[run] and (other := names.setdefault(key, run)) != run:
            raise _same_run(sheet, other, run)
    told = set.intersection(*map(set, runs.values())) if runs else set()
    added = sorted(told - {"seed", *columns.named, *plain})
    if "seed" not in told:
        runs = {
            run: {"seed": str(number + index)} | of for index, (run, of) in enumerate(runs.items())
        }
    lines = [
        (where, [*fields[:at], of["seed"], *fields[at + 1 :], *(of[entry] for entry in added)])
        for where, fields in sheet.lines
        for of in [runs[fields[at]]]
    ]
    notes = [f"{sheet.path}: each of these is a run: {', '.join(map(repr, runs))}"]
    return sheet._replace(header=[*sheet.header, *added], lines=lines), notes


def _layout(sheet: Sheet, columns: Columns) -> tuple[_Layout, list[str]]:
    """Where everything is, and what has to be said of it."""
    plain = [plain_name(name) for name in sheet.header]
    places: dict[str, int] = {}
    labels = {name: text for name, text in sheet.constants.items() if text}
    runs: list[tuple[dict[str, str], int]] = []
    notes = []
    own = {"return": "r", "agent_step": "l"} if sheet.constants else {}
    for entry in COLUMNS:
        wanted = columns.named.get(entry, own.get(entry, entry))
        found = [at for at, name in enumerate(sheet.header) if name == wanted.strip()]
        found = found or [at for at, name in enumerate(plain) if name == plain_name(wanted)]
        if len(found) > 1:
            names = ", ".join(repr(sheet.header[at]) for at in found)
            raise ValueError(f"{sheet.path} must have one column {entry}; got {names}")
        if found:
            places[entry] = found[0]
        elif entry == "return" and (runs := _runs_of_wandb(sheet.header, wanted)):
            continue
        elif entry in columns.named and entry in plain:
            places[entry] = plain.index(entry)
            notes.append(
                f"{sheet.path} has no column {wanted!r}: {entry} is its column of that name"
            )
        elif entry in columns.named and entry in MEASURED:
            raise ForeignFile(
                f"--columns {entry} must name a column of {sheet.path}, one of"
                f" {_names(sheet.header)}; got {wanted!r}"
            )
        elif entry in columns.named:
            labels[entry] = wanted
            notes.append(f"{sheet.path} has no column {wanted!r}: it is the {entry} of every line")
    # W&B's column is called "State".
    if of_status := [name for name in (STATUS, "state") if name in plain]:
        places[STATUS] = plain.index(of_status[0])
    if "return" in places and _OF_WANDB in (name := sheet.header[places["return"]]):
        runs = [(labels_of_run(name.rpartition(_OF_WANDB)[0]), places.pop("return"))]
    known = {*places, *labels, *(("return", "seed") if runs or sheet.constants else ())}
    told = set.intersection(*(set(told) for told, _ in runs)) if runs else set()
    known |= told
    if missing := [name for name in REQUIRED if name not in known]:
        # Of W&B's columns the chart, which all runs have.
        charts = [name.rpartition(_OF_WANDB)[2] for name in sheet.header]
        charts = [name for name in dict.fromkeys(charts) if not name.endswith(_EXTREMES)]
        naming = option(missing, charts)
        raise ForeignFile(
            f"{sheet.path} must have the columns {', '.join(REQUIRED)}; missing:"
            f" {', '.join(missing)}; got {_names(sheet.header)}. Rename the file's columns, or say"
            f" which is which: {naming}{_WHAT_IS_LEFT_OPEN if '…' in naming else ''}"
        )
    if runs:
        names = ", ".join(repr(sheet.header[at].rpartition(_OF_WANDB)[0]) for _, at in runs)
        notes.append(f"{sheet.path}: each of these is a run: {names}")
        for entry, label in labels.items():
            several = list(dict.fromkeys(told[entry] for told, _ in runs if entry in told))
            if len(several) > 1:
                notes.append(
                    f"{sheet.path}: {entry} is {label!r} in every line, though the names of its"
                    f" runs tell {', '.join(map(repr, several))}: leave {entry}= away to tell them"
                    " apart"
                )
    numbered = "seed" not in {*places, *labels, *told}
    header = {name: at for at, name in enumerate(plain)} | {
        name: at for at, name in enumerate(sheet.header)
    }
    further = {name: header[name] for name in FURTHER_COLUMNS if name in header}
    return _Layout(places, labels, runs, numbered, further, _is_own(sheet)), notes


def _is_own(sheet: Sheet) -> bool:
    return tuple(sheet.header[: len(COLUMNS)]) == COLUMNS


def _status_of(said: str, where: str, is_own: bool) -> str:
    """What a line says of its run. In a file that no report wrote other words say nothing."""
    if _is_nothing(said):
        return FINISHED
    try:
        return status_of(said, where)
    except ValueError:
        if is_own:
            raise
        return FINISHED


def _runs_of_wandb(header: Sequence[str], wanted: str) -> list[tuple[dict[str, str], int]]:
    """The columns "<run> - <wanted>" of W&B."""
    return [
        (labels_of_run(name.rpartition(_OF_WANDB)[0]), at)
        for at, name in enumerate(header)
        if _OF_WANDB in name and name.endswith(_OF_WANDB + wanted) and not name.endswith(_EXTREMES)
    ]


def _points(
    line: tuple[str, list[str]], layout: _Layout, columns: Columns, number: int
) -> Iterable[_Point]:
    """What a line says: a point of one run, or of each that has a column of its own."""
    where, fields = line
    row = layout.labels | {entry: fields[at] for entry, at in layout.places.items()}
    row |= {entry: fields[at] for entry, at in layout.further.items()}
    if not layout.runs:
        yield _point({"seed": str(number)} | row, where, columns, layout)
    for index, (told, at) in enumerate(layout.runs):
        if not _is_nothing(fields[at]):  # it has no value at this step
            each = {"seed": str(number + index)} | told | row | {"return": fields[at]}
            yield _point(each, where, columns, layout)._replace(column=at)


def _point(row: Mapping[str, str], where: str, columns: Columns, layout: _Layout) -> _Point:
    for name in ("method", "game"):
        if _is_nothing(row[name], _NO_NAME):
            raise ValueError(f"{where}: {name} must be given; got {row[name]!r}")
    seed = number_of(row["seed"], "seed", where)
    if seed != int(seed):
        raise ValueError(f"{where}: seed must be a whole number; got {row['seed']!r}")

    def optional(name: str, *limits: float) -> float:
        if _is_nothing(row.get(name)):
            return math.nan
        return number_of(row[name], name, where, *limits)

    status = _status_of(row.get(STATUS) or "", where, layout.is_own)
    value = optional("value")
    setting = "" if _is_nothing(row.get("setting"), _NO_NAME) else row["setting"]
    method, setting, game = map(not_inert, (row["method"], setting, row["game"]))
    labels = (method, setting, None if math.isnan(value) else value, game, int(seed))
    if status != FINISHED and _is_nothing(row["agent_step"]):
        return _Point(where, labels, (), status)
    step = columns.agent_steps(number_of(row["agent_step"], "agent_step", where, least=0))
    values = (step, optional("return"), optional("dormant_percent", 0, 100))
    limits = {name: (0.0, 100.0) for name in layout.further if name.startswith("dormant_percent")}
    more = (optional(name, *limits.get(name, ())) for name in layout.further)
    return _Point(where, labels, (*values, *more), status)


def _may_have_decimal_commas(sheet: Sheet, layout: _Layout) -> bool:
    """Whether two columns may be one number, "12,5" in a table without percentages."""
    first, second = (layout.places.get(name, -2) for name in ("return", "dormant_percent"))
    return second == first + 1 and all(
        re.fullmatch(r"\s*[+-]?\d+\s*", fields[first]) and re.fullmatch(r"\d+\s*", fields[second])
        for _, fields in sheet.lines
    )


def _is_nothing(text: str | None, nothing: Collection[str] = _NOTHING) -> bool:
    return text is None or text.strip().lower() in nothing


def _is_number_or_nothing(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return _is_nothing(text)
    return True


def _names(header: Sequence[Any]) -> str:
    return shown(", ".join(header))

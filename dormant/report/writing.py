# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Writes a whole report into a folder, or nothing."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dormant.records.files import RESULTS_FILE
from dormant.records.lease import Lease
from dormant.records.results import Collection
from dormant.report.bootstrap import DEFAULT, Bootstrap
from dormant.report.charts import Chart, all_charts, layers_of_games
from dormant.report.csv_writing import write_csv
from dormant.report.experiment_tables import experiment_tables
from dormant.report.figures import draw
from dormant.report.looks import Looks
from dormant.report.page import SMOKE, page_text
from dormant.report.statistics import Statistics
from dormant.report.tables import Table, abridged, csv_text, file_name, latex, markdown

PAGE = "report.html"


class Report(NamedTuple):
    """A report that was written."""

    tables: tuple[Table, ...]  # the first is the main one
    notes: tuple[str, ...]  # what was left out, and why
    paths: dict[str, Path]  # {what: where}


def write_report(
    collection: Collection, output: str | Path, bootstrap: Bootstrap = DEFAULT
) -> Report:
    """Writes page, tables, figures and raw results; an earlier report there is replaced.

    Everything is made in a hidden folder beside `output` and renamed, so no part is ever seen. What
    a process that was killed left there is removed.

    Raises:
      ValueError: there is nothing to report, output holds something else, or another process writes
        a report there.
      OSError: it cannot be written.
    """
    output = Path(os.path.abspath(output))
    if output.is_symlink():  # the link stays, and what it names is written
        output = Path(os.path.realpath(output))
    if not (collection.runs or collection.partial or collection.absent):
        raise ValueError(f"a report must be of at least one run; got none in {collection.folder}")
    _check_replaceable(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with _building(output) as building:
        tables, notes = _fill(Statistics(collection, bootstrap), building)
        _replace(building, output)
    names = {"page": PAGE, "tables": "tables", "figures": "figures", "results": RESULTS_FILE}
    return Report(tables, notes, {name: output / path for name, path in names.items()})


def _fill(statistics: Statistics, folder: Path) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    collection = statistics.collection
    tables = tuple(experiment_tables(statistics))
    (folder / "tables").mkdir()
    (folder / "figures").mkdir()
    for number, table in enumerate(tables):
        stem = f"{number:02d}-{file_name(table.title)}"
        for suffix, text in (("md", markdown), ("csv", csv_text), ("tex", latex)):
            path = folder / "tables" / f"{stem}.{suffix}"
            path.write_text(text(table), encoding="utf-8")
    charts = all_charts(statistics)
    drawn = [chart for chart in charts if chart.name]
    for chart in drawn + layers_of_games(charts, collection.experiment.tau):
        if chart.panels:
            draw(chart, Looks(collection), folder / "figures")
    notes = [*collection.notes, *statistics.different_lengths(), *_notes(drawn)]
    results = [*collection.runs, *collection.partial]
    write_csv(results, folder / RESULTS_FILE, collection.absent, collection.planned_by)
    page = page_text(statistics, tables, charts, [*collection.warnings, *notes])
    (folder / PAGE).write_text(page, encoding="utf-8")
    smoke = (SMOKE,) if collection.experiment.scale == "smoke" else ()
    return tables, (*smoke, *notes)


def _notes(charts: Sequence[Chart]) -> list[str]:
    """What the figures leave out, of those that apply at all."""
    notes = []
    for chart in charts:
        if chart.left_out:
            what = "figure {!r} leaves out" if chart.panels else "no figure {!r}:"
            notes.append(f"{what.format(chart.title)} {'; '.join(abridged(chart.left_out))}")
    return notes


def _check_replaceable(output: Path) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise ValueError(f"output must be a folder; got the file {output}")
    names = {path.name for path in output.iterdir()}
    strange = names - {PAGE, RESULTS_FILE, "tables", "figures"}
    if strange or (names and not {PAGE, RESULTS_FILE} <= names):
        raise ValueError(
            "output must be new, empty or an earlier report, which is replaced; got"
            f" {output}, which holds {sorted(strange or names)[:3]}"
        )


@contextlib.contextmanager
def _building(output: Path) -> Iterator[Path]:
    """An empty folder beside a report's, for one process at a time; removed at the end."""
    work = output.with_name(f".{output.name}.part")
    lease = Lease(work, output)
    lease.acquire()
    try:
        if (work / "old").exists() and not output.exists():
            os.rename(work / "old", output)
        for left in ("new", "old"):
            shutil.rmtree(work / left, ignore_errors=True)
        (work / "new").mkdir()
        yield work / "new"
    finally:
        shutil.rmtree(work, ignore_errors=True)
        lease.release()


def _replace(building: Path, output: Path) -> None:
    """Renames; a folder that holds files cannot be renamed over, so the old one moves away."""
    old = building.with_name("old")
    try:
        if output.exists():
            os.rename(output, old)
        os.rename(building, output)
    except BaseException:
        if old.exists() and not output.exists():
            os.rename(old, output)
        raise

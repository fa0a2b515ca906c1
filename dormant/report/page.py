# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The page: one HTML file that holds its script, style and data and loads nothing.
What comes from runs goes through `html.escape` here, or as JSON to the script, which sets text."""

import base64
import gzip
import hashlib
from collections import Counter
from collections.abc import Sequence
from html import escape
from string import Template

from plotly.offline import get_plotlyjs

from dormant.records.experiment_file import PlannedRun
from dormant.records.results import Absence, Collection
from dormant.report.charts import Chart
from dormant.report.experiment_tables import ABSENCES
from dormant.report.html import asset, list_html, rows_html, table_html
from dormant.report.page_data import page_data, script_json
from dormant.report.statistics import Statistics
from dormant.report.tables import Table
from dormant.version import __version__

ROWS_BEFORE_CURVES = 12  # of the main table, at most
OPEN_ROWS = 8  # a list of missing runs that is longer is folded
SMOKE = "This is a smoke run: it shows that everything works. Its numbers mean nothing."


def page_text(
    statistics: Statistics, tables: Sequence[Table], charts: Sequence[Chart], notes: Sequence[str]
) -> str:
    """The HTML of the report; Plotly and the data in it are compressed, and unpacked by its script.

    The table of the missing runs is not shown, as they have a section of their own.
    """
    collection = statistics.collection
    plotly, script = _script(get_plotlyjs()), _script(asset("report.js"))
    tables = [table for table in tables if table.header != ABSENCES]
    first = [table for table in tables[:1] if len(table.rows) <= ROWS_BEFORE_CURVES]
    digests = [hashlib.sha256(text.encode("utf-8")).digest() for text in (plotly, script)]
    hashes = " ".join(f"'sha256-{base64.b64encode(each).decode('ascii')}'" for each in digests)
    return Template(asset("report.html")).substitute(
        policy=f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline';"
        " img-src data: blob:; base-uri 'none'; form-action 'none'",
        style=asset("report.css"),
        title=escape(collection.experiment.title or collection.experiment.name),
        smoke="" if collection.experiment.scale != "smoke" else f"<p id=smoke>{SMOKE}</p>",
        summary=_summary(statistics),
        absent=_absent(collection),
        first_table="\n".join(map(table_html, first)),
        tables="\n".join(map(table_html, tables[len(first) :]))
        or "<p>There is no other table.</p>",
        notes=list_html(notes),
        command=escape(collection.experiment.command or "unknown: no experiment.json was found"),
        data=_packed(script_json(page_data(statistics, charts))),
        plotly=_packed(plotly),
        script=script,
        version=escape(__version__),
    )


def _script(text: str) -> str:
    """As the browser reads it: one kind of line end, and no end of the element within."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script")


def _packed(text: str) -> str:
    """Gzipped, without a date in it, as base64."""
    return base64.b64encode(gzip.compress(text.encode("utf-8"), mtime=0)).decode("ascii")


def _summary(statistics: Statistics) -> str:
    collection, (repetitions, seed) = statistics.collection, statistics.bootstrap
    experiment = collection.experiment
    compared = set(collection.compared)
    own = [run for run in experiment.runs if run not in compared]
    rows = {
        "experiment": experiment.name,
        "scale": experiment.scale,
        "expected": experiment.expected,
        "runs": f"{len(own)} planned: {_counts(collection, own)}",
        "compared with": compared
        and f"{len(compared)} runs: {_counts(collection, collection.compared)}",
        "intervals": f"95 %, stratified bootstrap of {repetitions} samples, seed {seed}",
        "read from": "" if collection.folder is None else str(collection.folder),
    }
    return "\n".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
        for name, value in rows.items()
        if value
    )


def _counts(collection: Collection, runs: Sequence[PlannedRun]) -> str:
    """How many of some runs are whole, and what the others are."""
    statuses = {absence.run: absence.status for absence in collection.absent}
    missing = Counter(statuses[run] for run in runs if run in statuses)
    counts = [f"{len(runs) - missing.total()} whole"]
    return ", ".join(counts + [f"{number} {status}" for status, number in missing.items()])


def _absent(collection: Collection) -> str:
    if not collection.absent:
        return "<p>None: every planned run is whole.</p>"
    rows = _grouped(collection.absent)
    compared, command = set(collection.compared), collection.experiment.command
    others = sum(absence.run in compared for absence in collection.absent)
    planned, own = len(collection.experiment.runs) - len(compared), len(collection.absent) - others
    text = f"<p>{own} of {planned} planned runs are not whole.</p>"
    if others:
        text += f"<p>{others} of {len(compared)} compared runs are not whole.</p>"
    if command:
        text += f"<p>This starts or continues them:</p><pre>{escape(command)}</pre>"
    state = " open" if len(rows) <= OPEN_ROWS else ""
    summary = "<summary>By method, setting and game</summary>"
    table = rows_html(("method", "setting", "game", "seeds", "status", "problem"), rows)
    return f"{text}<details{state}>{summary}{table}</details>"


def _grouped(absences: Sequence[Absence]) -> list[tuple[str, ...]]:
    """A row for the seeds of one method, setting and game with the same problem."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for run, status, problem in absences:
        group = (run.method, run.setting, run.game, status, problem)
        groups.setdefault(group, []).append(run.seed)
    return [(*group[:3], _ranges(seeds), *group[3:]) for group, seeds in groups.items()]


def _ranges(numbers: Sequence[int]) -> str:
    """The numbers in order, neighbours as one range: "0-3, 7"."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in found)

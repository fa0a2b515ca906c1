"""The page: one HTML file that holds its script, style, data and figures and loads nothing.
What comes from runs goes through `html.escape` here, or as JSON to the script, which sets text."""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from matplotlib.image import imread
from plotly.offline import get_plotlyjs

from dormant.records.results import Collection
from dormant.report.figures import ReportFigure
from dormant.report.missing_runs import HEADER, grouped
from dormant.report.page_data import page_data, script_json
from dormant.report.tables import Table
from dormant.version import __version__

ASSETS = Path(__file__).parent / "assets"
ROWS_BEFORE_CURVES = 12  # of the main table, at most
BROAD = 1500  # pixels of an image that needs the page's whole width
OPEN_ROWS = 8  # a list of missing runs that is longer is folded
ABSENCES = ("run", "status", "problem")  # the header of their table, which the page groups


def page_text(
    collection: Collection,
    tables: Sequence[Table],
    figures: Sequence[ReportFigure],
    notes: Sequence[str],
    repetitions: int,
    seed: int,
) -> str:
    """The HTML of the report.

    Args:
      collection: what was read.
      tables: shown in this order; that of the missing runs is not, as they have a section.
      figures: whose files exist; they are put into the page.
      notes: what was left out, a sentence each.
      repetitions: bootstrap samples of an interval.
      seed: of the bootstrap.
    """
    scripts = [_script(get_plotlyjs()), _script(_asset("report.js"))]
    tables = [table for table in tables if table.header != ABSENCES]
    first = [table for table in tables[:1] if len(table.rows) <= ROWS_BEFORE_CURVES]
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return Template(_asset("report.html")).substitute(
        policy=f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline';"
        " img-src data: blob:; base-uri 'none'; form-action 'none'",
        style=_asset("report.css"),
        title=escape(collection.experiment.title or collection.experiment.name),
        summary=_summary(collection, repetitions, seed),
        absent=_absent(collection),
        first_table="\n".join(map(_table, first)),
        tables="\n".join(map(_table, tables[len(first) :])) or "<p>There is no other table.</p>",
        figures="\n".join(_figure(figure) for figure in figures if figure.on_page),
        notes=_list(notes),
        command=escape(collection.experiment.command or "unknown: no experiment.json was found"),
        data=script_json(page_data(collection, repetitions, seed)),
        plotly=scripts[0],
        script=scripts[1],
        version=escape(__version__),
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _script(text: str) -> str:
    """As the browser reads it: one kind of line end, and no end of the element within."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _summary(collection: Collection, repetitions: int, seed: int) -> str:
    experiment = collection.experiment
    missing = Counter(absence.status for absence in collection.absent)
    counts = [f"{len(collection.runs)} whole"]
    counts += [f"{number} {status}" for status, number in missing.items()]
    rows = {
        "experiment": experiment.name,
        "scale": experiment.scale,
        "expected": experiment.expected,
        "runs": f"{len(experiment.runs)} planned: " + ", ".join(counts),
        "intervals": f"in tables, IQM and profiles: 95 %, stratified bootstrap of {repetitions}"
        f" samples, seed {seed}; curves and figures say what their bands are",
        "read from": "" if collection.folder is None else str(collection.folder),
    }
    return "\n".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows.items() if value
    )


def _absent(collection: Collection) -> str:
    if not collection.absent:
        return "<p>None: every planned run is whole.</p>"
    rows = grouped(collection.absent)
    planned, command = len(collection.experiment.runs), collection.experiment.command
    text = f"<p>{len(collection.absent)} of {planned} planned runs are not whole.</p>"
    if command:
        text += f"<p>This starts or continues them:</p><pre>{escape(command)}</pre>"
    state = " open" if len(rows) <= OPEN_ROWS else ""
    summary = "<summary>By method, setting and game</summary>"
    return f"{text}<details{state}>{summary}{_rows(HEADER, rows)}</details>"


def _table(table: Table) -> str:
    caption = f"<h3>{escape(table.title)}</h3>"
    return caption + _rows(table.header, table.rows) + _list(table.notes)


def _rows(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f'<th scope="col">{escape(str(cell))}</th>' for cell in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'
        "</div>"
    )


def _figure(figure: ReportFigure) -> str:
    """The vectors, or the image where it is smaller: many lines in many panels are large."""
    drawing = figure.drawing
    kinds = {drawing.svg: "image/svg+xml", drawing.png: "image/png"}
    path = min(kinds, key=lambda path: path.stat().st_size)
    image = base64.b64encode(path.read_bytes()).decode("ascii")
    title = escape(figure.title)
    source = f"data:{kinds[path]};base64,{image}"
    width, height = imread(drawing.png).shape[1::-1]
    broad = ' class="broad"' if width > BROAD or width > 2 * height else ""
    caption = f"<figcaption>{title} <small>{escape(figure.bands)}</small></figcaption>"
    return f'<figure{broad}>{caption}<img src="{source}" alt="{title}"></figure>'


def _list(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"

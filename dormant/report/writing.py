"""Writes a whole report into a folder, or nothing."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from dormant.records.results import Collection
from dormant.report.experiment_tables import experiment_tables
from dormant.report.figures import draw_figures, file_name
from dormant.report.page import page_text
from dormant.report.sources import write_csv
from dormant.report.tables import Table, csv_text, latex, markdown

PAGE = "report.html"
RESULTS = "results.csv"


class Options(NamedTuple):
    """How intervals are made.

    Attributes:
      repetitions: bootstrap samples of an interval.
      seed: of the bootstrap.
    """

    repetitions: int = 2000
    seed: int = 0


class Report(NamedTuple):
    """A report that was written.

    Attributes:
      tables: the first is the main one.
      notes: what was left out, and why.
      paths: {what: where}.
    """

    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    paths: dict[str, Path]


def write_report(
    collection: Collection, output: str | Path, options: Options | None = None
) -> Report:
    """Writes page, tables, figures and raw results; an earlier report there is replaced.

    Everything is made in a folder beside it and renamed, so no part is ever seen.

    Args:
      collection: what was read.
      output: the report's folder; new, empty, or that of an earlier report.
      options: of the intervals; None for 2000 samples and seed 0.

    Raises:
      ValueError: there is nothing to report, or output holds something else.
      OSError: it cannot be written.
    """
    options = options or Options()
    output = Path(os.path.abspath(output))
    if not (collection.runs or collection.partial or collection.absent):
        raise ValueError(f"a report must be of at least one run; got none in {collection.folder}")
    _check_replaceable(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        building.chmod(0o755)  # mkdtemp makes it unreadable for others
        tables, notes = _fill(collection, building, options)
        _replace(building, output)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    names = {"page": PAGE, "tables": "tables", "figures": "figures", "results": RESULTS}
    return Report(tables, notes, {name: output / path for name, path in names.items()})


def _fill(
    collection: Collection, folder: Path, options: Options
) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    tables = tuple(experiment_tables(collection, *options))
    (folder / "tables").mkdir()
    (folder / "figures").mkdir()
    for number, table in enumerate(tables):
        stem = f"{number:02d}-{file_name(table.title)}"
        for suffix, text in (("md", markdown), ("csv", csv_text), ("tex", latex)):
            path = folder / "tables" / f"{stem}.{suffix}"
            path.write_text(text(table), encoding="utf-8")
    figures, notes = draw_figures(collection, folder / "figures", *options)
    write_csv(collection, folder / RESULTS)
    page = page_text(collection, tables, figures, notes, *options)
    (folder / PAGE).write_text(page, encoding="utf-8")
    return tables, tuple(notes)


def _check_replaceable(output: Path) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise ValueError(f"output must be a folder; got the file {output}")
    names = {path.name for path in output.iterdir()}
    if names and not {PAGE, RESULTS} <= names:
        raise ValueError(
            f"output must be new, empty or an earlier report; got {output}, which holds"
            f" {sorted(names)[:3]}"
        )
    strange = names - {PAGE, RESULTS, "tables", "figures"}
    if strange:
        raise ValueError(
            f"output must hold nothing but an earlier report, which is replaced; got {output} with"
            f" {sorted(strange)[:3]}"
        )


def _replace(building: Path, output: Path) -> None:
    """Renames; a folder that holds files cannot be renamed over, so the old one moves away."""
    if not output.exists():
        os.rename(building, output)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{output.name}-old-", dir=output.parent))
    os.rename(output, old / "report")
    try:
        os.rename(building, output)
    except OSError:
        os.rename(old / "report", output)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)

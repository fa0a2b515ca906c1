# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Parts of pages: tables and lists, escaped, and the files that pages hold."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from dormant.report.tables import Table

_ASSETS = Path(__file__).parent / "assets"


def asset(name: str) -> str:
    """The text of a file in `assets`."""
    return (_ASSETS / name).read_text(encoding="utf-8")


def table_html(table: Table) -> str:
    """A table with its title and notes."""
    caption = f"<h3>{escape(table.title)}</h3>"
    return caption + rows_html(table.header, table.rows) + list_html(table.notes)


def rows_html(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table that scrolls where it is wide."""
    head = "".join(f'<th scope="col">{escape(str(cell))}</th>' for cell in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'
        "</div>"
    )


def list_html(notes: Sequence[str]) -> str:
    """A list; "" without notes."""
    if not notes:
        return ""
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"

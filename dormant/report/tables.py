# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A table and how it is written: Markdown, CSV and LaTeX."""

import csv
import io
import re
from collections.abc import Sequence
from typing import NamedTuple

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$",
}  # fmt: skip


# What a spreadsheet would compute; a quote may stand before it already.
_FORMULA = re.compile(r"'*\s*[=+\-@]|'*[\t\r]")
_NUMBER = r"[+-]?\d[\d.]*(e[+-]?\d+)?"
# A cell of a table: a value with its interval, its runs and the paper's value.
_NUMBERS = re.compile(
    rf"(-|{_NUMBER}( \[{_NUMBER}, {_NUMBER}\])?( \(\d+\))?)"
    rf"(; paper {_NUMBER}( ± {_NUMBER})?\*?(, difference {_NUMBER})?)?"
)


class Table(NamedTuple):
    """Rows of text under a header."""

    title: str  # what it shows
    header: tuple[str, ...]  # C names
    rows: tuple[tuple[str, ...], ...]  # each of C texts
    notes: tuple[str, ...] = ()  # what has to be known to read it


def markdown(table: Table) -> str:
    """The table as Markdown, with title and notes."""
    lines = [table.header, ("---",) * len(table.header), *table.rows]
    body = ["| " + " | ".join(map(_markdown_cell, line)) + " |" for line in lines]
    notes = [f"- {_markdown_cell(note)}" for note in table.notes]
    parts = [f"**{_markdown_cell(table.title)}**", "\n".join(body), "\n".join(notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def csv_text(table: Table) -> str:
    """The table as CSV, header first; title and notes are left out."""
    text = io.StringIO()
    rows = [map(_csv_cell, row) for row in (table.header, *table.rows)]
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def latex(table: Table) -> str:
    """The table as a LaTeX table in the style of booktabs."""
    columns = "l" * len(table.header)
    lines = [" & ".join(map(_latex_cell, line)) + r" \\" for line in (table.header, *table.rows)]
    notes = [rf"\par\footnotesize {_latex_cell(note)}" for note in table.notes]
    return "\n".join([
        r"\begin{table}",
        rf"\caption{{{_latex_cell(table.title)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        lines[0],
        r"\midrule",
        *lines[1:],
        r"\bottomrule",
        r"\end{tabular}",
        *notes,
        r"\end{table}",
        "",
    ])  # fmt: skip


def inert(text: str) -> str:
    """A name as a cell of CSV: with a quote before what a spreadsheet would take for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def not_inert(text: str) -> str:
    """The name that `inert` wrote."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _csv_cell(text: str) -> str:
    return text if _NUMBERS.fullmatch(text) else inert(text)


def _markdown_cell(text: str) -> str:
    """On one line, without links, tables or tags from names, and nothing that moves a terminal."""
    text = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).replace("\\", "\\\\").replace("|", "\\|")
    text = re.sub(r"\](?=[(:\[])", r"]\\", text.replace("<", "&lt;"))
    return re.sub(r"(?i)(?=://)|(?<=\bwww)(?=\.)|(?<=\bmailto)(?=:)", r"\\", text)


def _latex_cell(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in re.sub(r"\s+", " ", text))


def sentence(parts: Sequence[str], most: int = 6) -> str:
    """Parts with commas between them, and how many more there are."""
    more = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more


def abridged(reasons: Sequence[str], most: int = 2) -> tuple[str, ...]:
    """The first reasons, each once, and how many more there are: each cell may have its own."""
    different = tuple(dict.fromkeys(reasons))
    more = len(different) - most
    return different if more <= 1 else (*different[:most], f"{more} more like these")


def file_name(text: str) -> str:
    """The text with letters, digits, "-" and "_" only, of at most 60 characters."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:60] or "unnamed"

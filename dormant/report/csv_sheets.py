# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""CSV files as tables of text, whatever stands between their fields and before their header."""

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import NamedTuple

from dormant.records.reading import LARGEST

_DELIMITERS = (",", ";", "\t")


class Sheet(NamedTuple):
    """A table as text."""

    path: str | Path
    header: list[str]
    lines: list[tuple[str, list[str]]]  # ("FILE, line N", as many fields as the header)
    constants: dict[str, str]  # what its first line says of all others
    warnings: list[str]


def read_sheet(path: str | Path) -> Sheet:
    """All lines, each with as many fields as the header."""
    text = Path(path).read_bytes().decode("utf-8-sig")
    warnings, constants, skipped = [], {}, 0
    if text and not text.endswith(("\n", "\r")):
        last = text.splitlines()[-1]
        number = text.count("\n") + 1
        warnings.append(
            f"{path}, line {number}: the last line has no line end and may be cut off: {last[:80]}"
        )
    # A blank line, or what tells Excel the delimiter.
    while (first := text.partition("\n")[0]) != text and (
        not first.strip() or re.fullmatch(r'"?sep=.?"?', first.strip(), re.IGNORECASE)
    ):
        text, skipped = text.partition("\n")[2], skipped + 1
    if text.startswith("#"):  # SB3's monitor says there what the environment is
        first, _, text = text.partition("\n")
        skipped, constants = skipped + 1, _monitor(first)
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True,
                      strict=True)  # fmt: skip
    header = [name.strip() for name in next(rows, [])]
    lines = []
    for fields in rows:
        if not any(field.strip() for field in fields) and len(fields) < 2:
            continue  # a blank line
        where = f"{path}, line {rows.line_num + skipped}"
        if len(fields) != len(header):
            why = "a comma in a number?" if len(fields) > len(header) else "is it cut off?"
            raise ValueError(
                f"{where} must have the {len(header)} fields of the header; got {len(fields)}"
                f" ({why}): {delimiter.join(fields)[:80]}"
            )
        lines.append((where, fields))
    if constants and "r" in header and "l" in header:
        return _of_episodes(Sheet(path, header, lines, constants, warnings))
    return Sheet(path, header, lines, constants, warnings)


def _monitor(line: str) -> dict[str, str]:
    try:
        said = json.loads(line.removeprefix("#"))
    except ValueError:
        return {}
    game = said.get("env_id") if isinstance(said, dict) else None
    return {"game": game} if isinstance(game, str) else {"game": ""}


def _of_episodes(sheet: Sheet) -> Sheet:
    """A line an episode, whose length `l` becomes the steps until its end; `r` is its return."""
    at, step, lines = sheet.header.index("l"), 0.0, []
    for where, fields in sheet.lines:
        step += number_of(fields[at], "l", where, least=0)
        lines.append((where, [*fields[:at], repr(step), *fields[at + 1 :]]))
    return sheet._replace(lines=lines)


def number_of(
    text: str, name: str, where: str, least: float = -LARGEST, most: float = LARGEST
) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: {name} must be a finite number; got {text!r}")
    if not least <= number <= most:
        raise ValueError(f"{where}: {name} must be from {least:g} to {most:g}; got {text!r}")
    return number

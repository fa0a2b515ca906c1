# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Parts of a page in Markdown."""

import re
import textwrap
from collections.abc import Iterable, Sequence

COMMAND = "python -m dormant.report.pages"
_WIDTH = 110
# What would begin a list or a heading at the start of a line.
_MARK = re.compile(r"^([-+*#>]|\d+[.)])(?= )", re.MULTILINE)


def written(title: str, parts: Iterable[str], command: str = COMMAND) -> str:
    """A page: its title, how it is made, and its parts, the empty ones left out."""
    made = f"<!-- Written by `{command}`; do not edit. -->"
    return "\n\n".join([f"# {title}", made, *(part.strip("\n") for part in parts if part)]) + "\n"


def paragraph(text: str) -> str:
    """Text in lines of a page's width."""
    lines = textwrap.fill(
        " ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False
    )
    return _MARK.sub(r"\\\1", lines)


def anchor(title: str) -> str:
    """The anchor of a heading, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def bullets(items: Iterable[str]) -> str:
    """A list."""
    return "\n".join(
        textwrap.fill(
            " ".join(item.split()),
            _WIDTH,
            initial_indent="- ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for item in items
    )


def code(*lines: str) -> str:
    """Shell commands."""
    return "\n".join(["```sh", *lines, "```"])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are Markdown."""
    lines = (header, ["---"] * len(header), *rows)
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""docs/evidence-tables.md: every comparison behind the verdicts of docs/evidence.md."""

from pathlib import Path

from dormant.report.claims import tables
from dormant.report.pages import text
from dormant.report.verdicts import judged


def page(root: Path) -> str:
    """The text of docs/evidence-tables.md."""
    _, *details = tables(judged(root / "results"))
    parts = (
        part
        for table in details
        for part in (f"## {table.title}", text.table(table.header, table.rows))
    )
    return text.written(
        "Evidence: every comparison",
        (
            text.paragraph(
                "What [the verdicts](evidence.md#verdicts) are made of, by the rules of [the page"
                " of evidence](evidence.md#how-a-verdict-is-reached): from"
                " `results/<experiment>/results.csv`, and from `results/unfinished` where a sweep"
                " is not done. The last table has the scores of each game alone; it decides"
                " nothing."
            ),
            *parts,
        ),
    )

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""`python -m dormant.report.pages` in the repository writes the pages of docs/ that are made of
committed results: docs/paper/, docs/measures.md, docs/which-intervention.md, docs/benchmarks.md,
docs/evidence-tables.md."""

from pathlib import Path

from dormant.report.pages import benchmarks, evidence_tables, interventions, measures, paper


def pages(root: Path) -> dict[str, str]:
    """{path under `root`, the repository: the text of a page}."""
    return {
        **{f"docs/paper/{name}": text for name, text in paper.pages(root).items()},
        "docs/measures.md": measures.page(root),
        "docs/which-intervention.md": interventions.page(root),
        "docs/benchmarks.md": benchmarks.page(root),
        "docs/evidence-tables.md": evidence_tables.page(root),
    }


if __name__ == "__main__":
    for name, text in pages(Path()).items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, "utf-8")

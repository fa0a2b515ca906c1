# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Turns the benchmarks' JSON files into Markdown tables: `benchmarks/RESULTS.md` is its output.

python benchmarks/report.py results/*.json > RESULTS.md
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

HEADER = """# Results of the benchmarks

Written by `python benchmarks/run_all.py`, which `make bench` runs; `README.md` beside this file
says what each script measures. Every figure is a median with (smallest to largest). A ratio is the
median over pairs of measurements, made one right after the other in one process.
"""


def report(results: Sequence[dict[str, Any]]) -> str:
    """The Markdown of results as `common.record` makes them, in the order given."""
    return "\n".join([HEADER, *(_section(result) for result in results)])


def table(result: dict[str, Any]) -> str:
    """The tables of one result, without its heading, as the scripts print them."""
    return "\n\n".join(_table(found) for found in result["tables"])


def _section(result: dict[str, Any]) -> str:
    machine = dict(result["machine"])
    backend = machine.pop("backend")
    settings = ", ".join(f"{name} {value}" for name, value in result["settings"].items())
    where = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items())
    return (
        f"## {result['benchmark']}, {backend}\n\n{result['date']}. Settings: {settings}.\n\n"
        f"Machine: {where}.\n\n{table(result)}\n"
    )


def _table(found: dict[str, Any]) -> str:
    ratio = found["ratio"]
    columns = ["", *found["sides"], *([ratio] if ratio else []), "pairs" if ratio else "values"]
    rows = []
    for row in found["rows"]:
        cells = [f"{_spread(side)} {row['unit']}" for side in row["sides"]]
        if ratio:
            cells.append(_spread(row["ratio"]))
        rows.append([row["name"], *cells, str(row["sides"][0]["count"])])
    lines = [found["title"], "", _line(columns), _line(["---"] * len(columns))]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(summary: dict[str, float]) -> str:
    median = _number(summary["median"])
    if summary["count"] == 1:
        return median
    return f"{median} ({_number(summary['min'])} to {_number(summary['max'])})"


def _number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{float(f'{value:.3g}'):.10f}".rstrip("0").rstrip(".")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the report on the files named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="JSON")
    files = parser.parse_args(arguments).files
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    sys.stdout.write(report(results))


if __name__ == "__main__":
    main()

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The command `python -m dormant.report DIR`: reads runs, writes their report, prints its table."""

import argparse
import sys
from collections.abc import Sequence

from dormant.command_parser import CommandParser, path_of
from dormant.interruption import Interrupted, interruptible
from dormant.records.results_file import COLUMNS
from dormant.report.bootstrap import REPETITIONS, Bootstrap
from dormant.report.columns import STEP_UNITS, parse_columns
from dormant.report.comparing import with_others
from dormant.report.paper_values import beside_paper
from dormant.report.sources import read_folder
from dormant.report.tables import markdown
from dormant.report.writing import write_report

DESCRIPTION = """\
Writes the tables, figures and the page of a folder of runs into DIR/report. DIR is the folder of an
experiment, any folder of runs, Dopamine's logs or its published JSON, TensorBoard's events, or a
CSV file."""


# Above it the fifth digit of an interval no longer moves, and curves take gigabytes.
_MOST_REPETITIONS = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0; 2 after one line on stderr, with nothing written; 130 or 143 where
    SIGINT or SIGTERM interrupted it, with nothing written."""
    known = _parser().parse_args(arguments)
    try:
        with interruptible():
            return _main(known)
    except (OSError, ValueError) as error:
        print(f"dormant.report: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except Interrupted as error:
        print(f"dormant.report: {error}", file=sys.stderr)
        return error.exit_code


def _main(known: argparse.Namespace) -> int:
    if not 1 <= known.repetitions <= _MOST_REPETITIONS:
        raise ValueError(
            f"--repetitions must be in [1, {_MOST_REPETITIONS:,}]; got {known.repetitions}"
        )
    if not 0 <= known.seed < 2**32:
        raise ValueError(f"--seed must be in [0, 2**32); got {known.seed}")
    columns = parse_columns(known.columns, known.step_unit)
    collection = read_folder(known.folder, columns)
    if known.paper:
        collection = beside_paper(collection, known.paper)
    if known.compare:
        others = [read_folder(path, columns) for path in known.compare]
        collection = with_others(collection, others)
    folder = known.folder
    beside = folder / "report" if folder.is_dir() else folder.with_name(f"{folder.stem}-report")
    output = known.output or beside
    report = write_report(collection, output, Bootstrap(known.repetitions, known.seed))
    for warning in collection.warnings:
        print(f"dormant.report: warning: {' '.join(warning.split())}", file=sys.stderr)
    if report.tables:
        print(f"{markdown(report.tables[0]).rstrip()}\n")
    for note in report.notes:
        print(f"note: {' '.join(note.split())}")
    for name, path in report.paths.items():
        print(f"{name + ':':9} {path}")
    return 0


def _parser() -> CommandParser:
    parser = CommandParser("dormant.report", DESCRIPTION)
    parser.add_argument("folder", metavar="DIR", type=path_of, help="what to read")
    parser.add_argument(
        "--compare",
        metavar="PATH",
        type=path_of,
        nargs="+",
        default=(),
        help="more runs for the same tables: folders or CSV files of any of these kinds",
    )
    parser.add_argument(
        "--columns",
        metavar="NAME=COLUMN",
        nargs="+",
        default=(),
        help="which column of a CSV file, or tag of TensorBoard, is what, or the label of all its"
        f" lines; a NAME is one of {', '.join(COLUMNS)}",
    )
    parser.add_argument(
        "--step_unit",
        choices=STEP_UNITS,
        default=STEP_UNITS[0],
        help="what the steps of CSV files and TensorBoard count: four frames are an agent step",
    )
    parser.add_argument(
        "--paper",
        metavar="EXPERIMENT",
        help="show the paper's values of an experiment, such as fig1, beside these",
    )
    parser.add_argument(
        "--output", type=path_of, help="where to write (default: DIR/report, FILE-report)"
    )
    parser.add_argument(
        "--repetitions", type=int, default=REPETITIONS, help="bootstrap samples of an interval"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    return parser

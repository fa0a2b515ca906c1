# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Whole reports, each by the command in a process of its own: time, peak memory, size of the page.

python benchmarks/report_time.py [--repeats N] [--json OUT]
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import common
from dormant.records.results import RunResult
from dormant.report.csv_results import write_csv

ROOT = pathlib.Path(__file__).resolve().parents[1]
MEASURED = ROOT / "results" / "minatar_replay_ratio" / "results.csv"
GAMES = ("Asterix-MinAtar", "Breakout-MinAtar", "Freeway-MinAtar", "SpaceInvaders-MinAtar")
METHODS, SETTINGS, SEEDS, ITERATIONS = 5, 10, 25, 100


def synthetic_sweep(path: pathlib.Path) -> None:
    """Writes 5 000 runs with 100 iterations: 5 methods, 10 settings, 4 games, 25 seeds."""
    random = np.random.default_rng(0)
    steps = 1_000.0 * np.arange(1, ITERATIONS + 1)
    write_csv(
        (
            RunResult(
                f"method {method}",
                f"replay ratio {setting}",
                float(setting),
                game,
                seed,
                steps,
                random.normal(size=ITERATIONS).cumsum() + method,
                random.uniform(0, 100, ITERATIONS),
            )
            for method in range(METHODS)
            for setting in range(SETTINGS)
            for game in GAMES
            for seed in range(SEEDS)
        ),
        path,
    )


def measured(results: pathlib.Path) -> tuple[float, float, float, float]:
    """Seconds, seconds of the processor, peak MB of memory, and MB of the page."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "report"
        command = [sys.executable, "-m", "dormant.report", str(results), f"--output={output}"]
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        if status:
            raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
        page = (output / "report.html").stat().st_size
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, page / 1e6


def tables(repeats: int) -> list[common.Table]:
    """What is measured of both collections of runs."""
    with tempfile.TemporaryDirectory() as folder:
        sweep = pathlib.Path(folder) / "sweep.csv"
        synthetic_sweep(sweep)
        collections = {"640 runs, 6 iterations": MEASURED, "5 000 runs, 100 iterations": sweep}
        rows = []
        for name, results in collections.items():
            values = [measured(results) for _ in range(repeats)]
            kinds = (("", "s"), (", processor time", "s"), (", memory", "MB"), (", page", "MB"))
            for (what, unit), of_kind in zip(kinds, zip(*values, strict=True), strict=True):
                rows.append(common.Row(name + what, unit, [of_kind]))
    title = (
        "`python -m dormant.report` of a CSV file: tables, figures and page, with intervals of"
        " 2 000 resamples. Memory is the peak; a MB of it is 2^20 bytes."
    )
    return [common.Table(title, ["report"], rows)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table and writes the JSON file asked for."""
    options = common.parser(__doc__.splitlines()[0], repeats=3).parse_args(arguments)
    described, started = common.machine(), time.perf_counter()
    result = common.record(
        "report", {"repeats": options.repeats}, described, tables(options.repeats)
    )
    common.publish(result, started, options.json)


if __name__ == "__main__":
    main()

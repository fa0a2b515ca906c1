# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs every benchmark, each in a process of its own, and writes `benchmarks/RESULTS.md`.

python benchmarks/run_all.py [--quick] [--ours_only]
"""

import argparse
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import common, report

FOLDER = pathlib.Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
RESULTS_PAGE = FOLDER / "RESULTS.md"

# Script and arguments of each benchmark, then the arguments that make it short.
BENCHMARKS = (
    (["recycle.py"], ["--repeats", "2"]),
    (["measures.py"], ["--repeats", "2"]),
    (["train_dqn.py", "--updates_only"], ["--repeats", "3"]),
    (["train_dqn.py"], ["--period", "200", "--periods", "1"]),
    (["replay.py"], ["--repeats", "2"]),
    (["checkpoints.py"], ["--repeats", "1"]),
    (["environments.py"], ["--repeats", "2"]),
    (["vectorized.py"], ["--repeats", "1", "--seeds", "1"]),
    (["xla_cpu.py"], ["--repeats", "1"]),
    (["profile_update.py"], ["--repeats", "1"]),
    (["runs.py"], ["--repeats", "1"]),
    (["report_time.py"], ["--repeats", "1"]),
)
NEEDS_DOPAMINE = (["train_dqn.py"], ["environments.py"])


def measure(ours_only: bool, quick: bool) -> list[dict[str, Any]]:
    """Runs the benchmarks one after the other; returns their results.

    JAX stays unused in this process: on an accelerator it would hold the memory they need.

    Raises:
      subprocess.CalledProcessError: a benchmark failed; its own message is on the terminal.
    """
    results = []
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
    for script, short in BENCHMARKS:
        if ours_only and script in NEEDS_DOPAMINE:
            continue
        arguments = [*script, *(short if quick else []), *(["--ours_only"] if ours_only else [])]
        print(f"\n{' '.join(arguments)}\n", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "result.json"
            command = [sys.executable, str(FOLDER / script[0]), *arguments[1:], "--json", str(file)]
            subprocess.run(command, check=True, env=environment)
            results.append(json.loads(file.read_text(encoding="utf-8")))
    return results


def write(results: Sequence[dict[str, Any]]) -> None:
    """Writes each result's file, then the page of these and all earlier ones of other machines."""
    for result in results:
        name = f"{result['benchmark']}-{result['machine']['backend']}.json"
        common.write_json(RESULTS / name, result)
    files = sorted(RESULTS.glob("*.json"))
    pages = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    RESULTS_PAGE.write_text(report.report(pages), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures everything and writes the page of results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="few repeats; nothing is written")
    parser.add_argument("--ours_only", action="store_true", help="leave the released code out")
    options = parser.parse_args(arguments)
    if not options.ours_only and importlib.util.find_spec("dopamine") is None:
        parser.error("Dopamine is not installed: pip install dormant[dopamine], or --ours_only")
    results = measure(options.ours_only, options.quick)
    if not options.quick:
        write(results)
        print(f"\nwritten: {RESULTS_PAGE.name} and {RESULTS.name}/ in {FOLDER.name}/")


if __name__ == "__main__":
    main()

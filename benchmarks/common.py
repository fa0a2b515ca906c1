# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What the benchmarks share: paired timing, statistics, the machine's description, result files.
Every clock stops after `block_until_ready`, so that nothing timed is still under way."""

import argparse
import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from benchmarks import report

PACKAGES = (
    *("jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "flax", "optax", "numpy"),
    *("dopamine-rl", "tensorflow", "ale-py"),
)


class Row(NamedTuple):
    """One thing measured, on one side or on two.

    Attributes:
      name: what was measured.
      unit: of the values, such as "ms" or "agent steps/s".
      values: for each side of the table the values in the order of measurement; value i of one side
        and value i of the other are a pair, measured one right after the other.
    """

    name: str
    unit: str
    values: Sequence[Sequence[float]]


class Table(NamedTuple):
    """Rows that compare the same sides.

    Attributes:
      title: what is measured, under which settings.
      sides: one or two names.
      rows: each with the values of every side.
      ratio: what the ratio of a pair says, such as "released / ours"; None with one side.
      ratio_of: `ratio_of(first, second)`, the ratio of one pair.
    """

    title: str
    sides: Sequence[str]
    rows: Sequence[Row]
    ratio: str | None = None
    ratio_of: Callable[[float, float], float] = lambda first, second: second / first


def times_faster(ours: float, released: float) -> float:
    """Ratio of a pair of times: how many times as long the released code took."""
    return released / ours


def times_the_speed(ours: float, released: float) -> float:
    """Ratio of a pair of speeds: how many times as fast ours was."""
    return ours / released


def seconds(function: Callable[[], Any]) -> float:
    """Wall time of one call, its result computed to the end."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def alternate(sides: Sequence[Callable[[], float]], repeats: int) -> list[list[float]]:
    """Measures the sides in turn (A B A B ...), so that a slow spell of the machine hits both.

    Args:
      sides: each returns one value per call.
      repeats: values per side.

    Returns:
      The values of each side.
    """
    values: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats):
        for measured, side in zip(values, sides, strict=True):
            measured.append(side())
    return values


def milliseconds(values: Sequence[Sequence[float]], calls: int = 1) -> list[list[float]]:
    """Seconds of `calls` calls to milliseconds of one."""
    return [[1e3 * value / calls for value in side] for side in values]


def summary(values: Sequence[float]) -> dict[str, float | int]:
    """Median, smallest and largest value, and how many there are."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "count": len(values),
    }


def machine() -> dict[str, Any]:
    """What the numbers depend on: processor, cores, accelerator, load, versions. No names."""
    devices = jax.devices()
    described = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "device": f"{len(devices)} x {devices[0].device_kind}",
        "backend": jax.default_backend(),
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    if described["backend"] == "gpu":
        described["driver"] = _driver()
        described["platform"] = " ".join(devices[0].client.platform_version.split())
    for package in PACKAGES:
        try:
            described[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return described


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        if found:
            return found[0]
    # Where the tool is not installed, the driver itself says: "NVRM version: ... 570.86.15 ...".
    with contextlib.suppress(OSError):
        text = pathlib.Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
        version = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", text)
        return version and version.group()
    return None


def record(name: str, settings: dict[str, Any], described: dict, tables: Sequence[Table]) -> dict:
    """The result of one benchmark, as it is written to its JSON file.

    Args:
      name: of the benchmark.
      settings: what it ran with.
      described: `machine()` at its start.
      tables: what it measured.
    """
    return {
        "benchmark": name,
        "date": time.strftime("%Y-%m-%d"),
        "settings": settings,
        "machine": described,
        "tables": [_table_record(table) for table in tables],
    }


def _table_record(table: Table) -> dict[str, Any]:
    rows = []
    for row in table.rows:
        found: dict[str, Any] = {
            "name": row.name,
            "unit": row.unit,
            "sides": [summary(values) for values in row.values],
        }
        if table.ratio is not None:
            pairs = zip(*row.values, strict=True)
            found["ratio"] = summary([table.ratio_of(*pair) for pair in pairs])
        rows.append(found)
    return {
        "title": table.title,
        "sides": list(table.sides),
        "ratio": table.ratio,
        "rows": rows,
    }


def parser(description: str, repeats: int) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes."""
    made = argparse.ArgumentParser(description=description, allow_abbrev=False)
    made.add_argument("--repeats", type=positive, default=repeats, help="pairs per row")
    made.add_argument("--json", type=pathlib.Path, metavar="OUT", help="write the result there")
    made.add_argument(
        "--ours_only",
        action="store_true",
        help="leave the released code out; needs neither Dopamine nor TensorFlow",
    )
    return made


def positive(text: str) -> int:
    """A whole number >= 1, for argparse."""
    value = int(text) if text.lstrip("+-").isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1, received {text!r}")
    return value


def publish(result: dict[str, Any], started: float, path: pathlib.Path | None) -> None:
    """Prints a result's tables and the seconds it took, and writes its JSON file where asked.

    Args:
      result: what `record` returned.
      started: `time.perf_counter()` at its start.
      path: the file; None for none.
    """
    print(report.table(result))
    print(f"\n{time.perf_counter() - started:.0f} s in all")
    if path:
        write_json(path, result)


def write_json(path: pathlib.Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

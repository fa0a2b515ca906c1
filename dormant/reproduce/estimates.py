# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How many hours runs take, by what `benchmarks/` measured, on the device it was measured on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dormant.reproduce.jobs import Job

_AT_RATIO = " at replay ratio "


def row_name(speed: str, replay_ratio: float) -> str:
    """What the benchmark calls a measurement: "nature at replay ratio 0.25"."""
    return f"{speed}{_AT_RATIO}{replay_ratio:g}"


class Device(NamedTuple):
    """A machine that the benchmarks were run on.

    Attributes:
      kind, name: "cpu" or "gpu", and what a reader calls it.
      speeds: {speed: {replay ratio: agent steps per second}} as they were measured there, at one or
        two replay ratios each.
    """

    kind: str
    name: str
    speeds: dict[str, dict[float, float]]


def devices(results: Path) -> list[Device]:
    """The machines of `benchmarks/results/runs-<kind>.json`, CPU first."""
    found = []
    for path in sorted(results.glob("runs-*.json")):
        measured = json.loads(path.read_text(encoding="utf-8"))
        kind, machine = path.stem.rpartition("-")[2], measured["machine"]
        on_cpu = f"{machine['cores']} cores of {machine['processor']}"
        name = on_cpu if kind == "cpu" else str(machine["device"])
        found.append(Device(kind, name, _speeds(measured)))
    return found


def _speeds(measured: dict) -> dict[str, dict[float, float]]:
    speeds: dict[str, dict[float, float]] = {}
    for table in measured["tables"]:
        for row in table["rows"]:
            speed, _, replay_ratio = row["name"].partition(_AT_RATIO)
            speeds.setdefault(speed, {})[float(replay_ratio)] = float(row["sides"][0]["median"])
    return speeds


def hours(device: Device, jobs: Sequence[Job]) -> tuple[float, int]:
    """The hours of those jobs whose speed was measured, and how many jobs' was not."""
    found = [_hours(device.speeds.get(job.speed, {}), job) for job in jobs]
    known = [each for each in found if each is not None]
    return sum(known), len(jobs) - len(known)


def _hours(rates: dict[float, float], job: Job) -> float | None:
    """None where one measurement, or none, tells nothing of the job's replay ratio."""
    if job.replay_ratio in rates:
        return job.agent_steps / rates[job.replay_ratio] / 3600
    if len(rates) < 2:
        return None
    # The seconds of a step are `step + update * replay_ratio`, through the two measurements.
    (low, slow), (high, fast) = ((ratio, 1 / rate) for ratio, rate in rates.items())
    update = (fast - slow) / (high - low)
    step = max(0.0, slow - low * update)
    return job.agent_steps * (step + update * job.replay_ratio) / 3600

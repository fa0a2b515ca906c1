# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""How many hours runs take, by what `benchmarks/` measured, on the device it was measured on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dormant.reproduce.jobs import Job

_BENCHMARK = "runs"  # benchmarks/runs.py
_AT_RATIO = " at replay ratio "


def row_name(speed: str, replay_ratio: float) -> str:
    """What the benchmark calls a measurement: "nature at replay ratio 0.25"."""
    return f"{speed}{_AT_RATIO}{replay_ratio:g}"


class Speed(NamedTuple):
    """Agent steps per second as they were measured: {replay ratio: rate}, one or two of them."""

    rates: dict[float, float]

    def knows(self, replay_ratio: float) -> bool:
        """Whether the seconds of a step can be told: from two measurements at any replay ratio."""
        return replay_ratio in self.rates or len(self.rates) > 1

    def hours(self, agent_steps: int, replay_ratio: float) -> float:
        """Of so many agent steps, at a replay ratio that it knows.

        The seconds of a step are `step + update * replay_ratio`, through the two measurements.
        """
        if replay_ratio in self.rates:
            return agent_steps / self.rates[replay_ratio] / 3600
        (low, slow), (high, fast) = ((ratio, 1 / rate) for ratio, rate in self.rates.items())
        update = (fast - slow) / (high - low)
        step = max(0.0, slow - low * update)
        return agent_steps * (step + update * replay_ratio) / 3600


class Device(NamedTuple):
    """A machine that the benchmarks were run on, with the speeds measured there."""

    kind: str
    name: str
    speeds: dict[str, Speed]


def devices(results: Path) -> list[Device]:
    """The machines of `benchmarks/results/runs-<kind>.json`, CPU first."""
    found = []
    for path in sorted(results.glob(f"{_BENCHMARK}-*.json")):
        measured = json.loads(path.read_text(encoding="utf-8"))
        kind, machine = path.stem.rpartition("-")[2], measured["machine"]
        on_cpu = f"{machine['cores']} cores of {machine['processor']}"
        name = on_cpu if kind == "cpu" else str(machine["device"])
        found.append(Device(kind, name, _speeds(measured)))
    return found


def _speeds(measured: dict) -> dict[str, Speed]:
    rates: dict[str, dict[float, float]] = {}
    for table in measured["tables"]:
        for row in table["rows"]:
            speed, _, replay_ratio = row["name"].partition(_AT_RATIO)
            rates.setdefault(speed, {})[float(replay_ratio)] = float(row["sides"][0]["median"])
    return {speed: Speed(each) for speed, each in rates.items()}


def hours(device: Device, jobs: Sequence[Job]) -> tuple[float, int]:
    """The hours of those jobs whose speed was measured, and how many jobs' was not."""
    known = [job for job in jobs if _is_known(device, job)]
    total = sum(device.speeds[job.speed].hours(job.agent_steps, job.replay_ratio) for job in known)
    return total, len(jobs) - len(known)


def _is_known(device: Device, job: Job) -> bool:
    speed = device.speeds.get(job.speed)
    return speed is not None and speed.knows(job.replay_ratio)

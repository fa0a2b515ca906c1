"""How many hours runs take, by what `benchmarks/` measured, on the device it was measured on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dormant.reproduce.jobs import Job

# {speed: (benchmark, the row's name at replay ratio 0.25 and at 1, title's beginning for each)}
_ROWS = {
    "nature": (
        "train_dqn",
        ("DQN with ReDo on DemonAttack", "replay ratio 0.25, 4000 agent steps with one recycle"),
        ("DQN with ReDo on DemonAttack", "replay ratio 1, 1000 agent steps with one recycle"),
    ),
    "minatar": (
        "vectorized",
        ("DQN on gymnax's Breakout-MinAtar at replay ratio 0.25", "10 seeds"),
        ("DQN on gymnax's Breakout-MinAtar at replay ratio 1:", "10 seeds"),
    ),
}


class Speed(NamedTuple):
    """Seconds of one agent step: `step + update * replay_ratio`, through two measurements."""

    step: float
    update: float

    def hours(self, agent_steps: int, replay_ratio: float) -> float:
        """Of so many agent steps."""
        return agent_steps * (self.step + self.update * replay_ratio) / 3600


class Device(NamedTuple):
    """A machine that the benchmarks were run on, with the speeds measured there."""

    kind: str
    name: str
    speeds: dict[str, Speed]


def devices(results: Path) -> list[Device]:
    """The machines of `benchmarks/results/<benchmark>-<kind>.json`, CPU first."""
    kinds = sorted({path.stem.rpartition("-")[2] for path in results.glob("*-*.json")})
    found = []
    for kind in kinds:
        speeds, name = {}, kind
        for speed, (benchmark, *rows) in _ROWS.items():
            path = results / f"{benchmark}-{kind}.json"
            if not path.is_file():
                continue
            measured = json.loads(path.read_text(encoding="utf-8"))
            machine = measured["machine"]
            name = f"{machine['cores']} cores of {machine['processor']}"
            if kind != "cpu":
                name = str(machine["device"])
            slow, fast = (_rate(measured, *row) for row in rows)
            if slow and fast:
                # Two points at replay ratios 0.25 and 1.
                update = (1 / fast - 1 / slow) / 0.75
                speeds[speed] = Speed(max(0.0, 1 / slow - 0.25 * update), update)
        if speeds:
            found.append(Device(kind, name, speeds))
    return found


def hours(device: Device, jobs: Sequence[Job]) -> tuple[float, int]:
    """The hours of those jobs whose speed was measured, and how many jobs' was not."""
    known = [job for job in jobs if job.speed in device.speeds]
    total = sum(device.speeds[job.speed].hours(job.agent_steps, job.replay_ratio) for job in known)
    return total, len(jobs) - len(known)


def _rate(measured: dict, title: str, name: str) -> float | None:
    """Agent steps per second."""
    for table in measured["tables"]:
        if table["title"].startswith(title):
            for row in table["rows"]:
                if row["name"] == name:
                    return float(row["sides"][0]["median"])
    return None

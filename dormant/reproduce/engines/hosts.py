# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""One program on several hosts: which jobs can be one, and what each of its processes is told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dormant.checks import require, require_count
from dormant.reproduce.engines.engine import EVICTED, MISTAKE, TEMPFAIL, Ended
from dormant.reproduce.experiments import TRAIN_VECTORIZED
from dormant.reproduce.jobs import Job

HOSTS_OPTION: dict[str, dict[str, Any]] = {
    "hosts": {"type": int, "help": "of each run, one program on all of them (1)"},
}
DISTRIBUTED = "--gin_bindings=VectorizedRun.distributed = True"


class Process(NamedTuple):
    """One of the processes of a program, each on a host of its own.

    Attributes:
      rank: which, 0 to hosts - 1.
      hosts: how many there are.
      coordinator: "host:port" of rank 0; None where JAX finds it itself.
    """

    rank: int = 0
    hosts: int = 1
    coordinator: str | None = None

    def arguments(self, own: Sequence[str]) -> list[str]:
        """Those of a job, with what has the process join the others."""
        if self.hosts == 1:
            return list(own)
        places = {
            "coordinator_address": self.coordinator,
            "num_processes": self.hosts,
            "process_id": self.rank,
        }
        told = [
            f"--gin_bindings=initialize_distributed.{name} = {value!r}"
            for name, value in places.items()
            if self.coordinator is not None
        ]
        return [*own, DISTRIBUTED, *told]

    def log(self, path: Path) -> Path:
        """That of a job is rank 0's; the others have one each beside it."""
        return path.with_name(f"{path.stem}.rank{self.rank}.log") if self.rank else path


def check_hosts(hosts: int | None, jobs: Sequence[Job]) -> None:
    """Checks that each job can be one program on so many hosts; None stands for 1.

    Raises:
      ConfigurationError: the number is wrong, a job is no run on the device, or its seeds cannot be
        shared out evenly.
    """
    if hosts is None:
        return
    require_count("--hosts", hosts, 1)
    others = [job.name for job in jobs if TRAIN_VECTORIZED not in job.arguments]
    allowed = f"1, as {', '.join(others[:1])} is no run on the device"
    require(hosts == 1 or not others, "--hosts", allowed, hosts)
    # The number of devices, of which each host has at least one, divides that of the seeds too.
    for job in jobs:
        seeds = len(job.runs)
        allowed = f"a divisor of {seeds}, the number of seeds of {job.name}"
        require(seeds % hosts == 0, "--hosts", allowed, hosts)


def together(parts: Sequence[Ended]) -> Ended:
    """How a program ended whose processes ended so: as the one that the others ended for."""

    def order(part: Ended) -> int:
        if part.code in (MISTAKE, TEMPFAIL):
            return 0 if part.code == MISTAKE else 1
        if part.was_lost:
            return 2
        return 5 if part.code == 0 else 4 if part.code in EVICTED else 3

    return min(parts, key=order)

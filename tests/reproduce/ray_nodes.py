# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A real Ray cluster on this machine: a head and nodes of one core, to be killed and stopped."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A death is noticed in seconds, also by those that the head leaves behind.
_HASTE = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    "RAY_grpc_client_keepalive_time_ms": "20000",
    "RAY_grpc_client_keepalive_timeout_ms": "10000",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # else jobs come after all others of this machine
}
_MARK = "DORMANT_TEST_CLUSTER"
_START_SECONDS = 120


def site() -> Path:
    """Where Ray is installed, beside the packages of this Python; kept for the next time."""
    (wanted,) = re.findall(r'^RAY = \["(.+)"\]', (ROOT / "setup.py").read_text("utf-8"), re.M)
    name = f"dormant-{wanted}-python{sys.version_info[0]}.{sys.version_info[1]}"
    folder = Path(tempfile.gettempdir()) / re.sub(r"[^a-z0-9.]+", "-", name)
    if not folder.is_dir():
        constraints = str(ROOT / "constraints.txt")
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            made = Path(temporary) / "site"
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "install", "--quiet"),
                    *("--target", str(made), "-c", constraints, wanted),
                ],
                capture_output=True,
                text=True,
                timeout=900,
                check=False,
            )
            if done.returncode and "connection broken" in done.stderr:
                pytest.skip(f"no package index can be reached, to install {wanted}")
            assert done.returncode == 0, done.stderr
            with contextlib.suppress(OSError):  # another process was first
                made.rename(folder)
    return folder


class Cluster:
    """Its nodes are numbered as they were added; the head has no core for jobs."""

    def __init__(self, folder: Path, environment: Mapping[str, str]):
        """Starts the head.

        Args:
          folder: for logs; nodes are started in it.
          environment: of every process.
        """
        self._temporary = tempfile.TemporaryDirectory(prefix="ray")  # a socket's path is short
        self._folder = folder
        self.environment = {**environment, **_HASTE, _MARK: self._temporary.name}
        self._started: list[subprocess.Popen] = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self.head = self._start(
            {}, "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false",
            f"--temp-dir={self._temporary.name}",
        )  # fmt: skip

    def add_node(self, *arguments: str, **environment: str) -> subprocess.Popen:
        """One more, with one core for jobs; `ray start`, which ends with its raylet."""
        return self._start(environment, f"--address={self.address}", "--num-cpus=1", *arguments)

    def close(self) -> None:
        """Ends all that was started in it, whoever lost it."""
        end = time.monotonic() + 30
        while (found := self.processes()) and time.monotonic() < end:
            for process in found:
                send(process, signal.SIGKILL)
            time.sleep(0.1)
        for process in self._started:
            process.wait()
        self._temporary.cleanup()

    def processes(self) -> list[int]:
        """All that run in it."""
        mark = f"{_MARK}={self._temporary.name}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # ended meanwhile
                if mark in (path / "environ").read_bytes().split(b"\0"):
                    found.append(int(path.name))
        return [process for process in found if process != os.getpid()]

    def start(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen:
        """A process of this cluster, which writes to a log and is started in the log's folder."""
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**self.environment, **(environment or {})},
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def _start(self, environment: Mapping[str, str], *arguments: str) -> subprocess.Popen:
        log = self._folder / f"node_{len(self._started)}.log"
        command = ("ray.scripts.scripts", "start", "--block", "--object-store-memory=80000000")
        node = self.start([*command, *arguments], log, environment)
        until(lambda: "Ray runtime started" in log.read_text("utf-8"), _START_SECONDS, node, log)
        return node


def until(is_so, seconds: float, process: subprocess.Popen | None = None, log: Path | None = None):
    """What `is_so()` says once it is true; an error where the process ended or it took too long."""
    end = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < end and (process is None or process.poll() is None), (
            log.read_text("utf-8")[-3_000:] if log else "it never came to that"
        )
        time.sleep(0.003)
    return found


def send(process: int, number: int) -> None:
    """A signal, to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def works(process: int) -> bool:
    """Whether it is there, and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def lease(folder: Path, rank: int = 0) -> dict:
    """What the lease of a job, or of one of its ranks, says; {} where there is none, or it is being
    written."""
    path = folder / "checkpoints" / f"process_{rank}" / "lease.json"
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


class Chain:
    """The processes over that of a job, as its lease names it: worker, Ray's worker, raylet."""

    def __init__(self, job: int):
        self.job = job
        self.worker, self.ray_worker, self.raylet = _parents(job, 3)

    def __iter__(self) -> Iterator[int]:
        yield from (self.raylet, self.ray_worker, self.worker, self.job)


def _parents(process: int, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        stat = Path(f"/proc/{process}/stat").read_text("utf-8")
        process = int(stat.rpartition(")")[2].split()[1])
        found.append(process)
    return found

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A Ray cluster that there is already: one Ray task for each process. See docs/ray.md."""

import argparse
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dormant.checks import check, check_number, first_line
from dormant.interruption import GRACE
from dormant.reproduce.engines.engine import Ended, Engine, Task, last_line
from dormant.reproduce.engines.hosts import HOSTS_OPTION, Process, together
from dormant.reproduce.engines.places import Variables, share_of_gpu
from dormant.reproduce.engines.worker import worker_arguments

OPTIONS: dict[str, dict[str, Any]] = {
    "address": {"help": "of the Ray cluster's head (RAY_ADDRESS, else the one on this machine)"},
    "cpus_per_job": {"type": float, "help": "CPU cores of a process (1)"},
    "gpus_per_job": {"type": float, "help": "GPUs of a process, or a fraction of one (0)"},
    "resources_per_job": {
        "nargs": "+",
        "metavar": "NAME=NUMBER",
        "help": "what else a process takes, such as TPU=1",
    },
    **HOSTS_OPTION,
}
# What options of their own name, or Ray has under another name.
_NOT_CUSTOM = ("CPU", "GPU", "memory", "object_store_memory")
_LEAST = 1e-4  # of a resource that Ray knows
_CONNECT_SECONDS = 5.0
# A task notices within a second that it is cancelled, its process ends within `GRACE`.
_CANCEL_SECONDS = GRACE + 4.0


class Resources(NamedTuple):
    """What Ray sets aside for each process, and how many cores it keeps to (0: all)."""

    cpus: float = 1.0
    gpus: float = 0.0
    others: tuple[tuple[str, float], ...] = ()
    cores: int = 0

    @property
    def all(self) -> dict[str, float]:
        """By the names that nodes have for them."""
        found = {"CPU": self.cpus, "GPU": self.gpus, **dict(self.others)}
        return {name: number for name, number in found.items() if number}

    @property
    def environment(self) -> Variables:
        """Variables of the process where its node has none of these names."""
        return share_of_gpu(self.gpus) if 0 < self.gpus < 1 else {}


def prepare(options: argparse.Namespace) -> Callable[[Path, int], Engine]:
    """See `catalog.Entry`; connects to the cluster."""
    resources, hosts = _resources(options), options.hosts or 1
    wanted = resources.all
    allowed = "above 0 with --hosts, where nothing else is asked for"  # of Ray's groups
    check(hosts == 1 or bool(wanted), "--cpus_per_job", allowed, options.cpus_per_job)
    ray = _connected(options.address or os.environ.get("RAY_ADDRESS") or "auto")
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fit = sum(all(node.get(name, 0) >= wanted[name] for name in wanted) for node in nodes)
    if fit < hosts:
        asked = ", ".join(f"{name} {number:g}" for name, number in wanted.items())
        note = f"no node of the cluster has {asked} now: jobs wait until one comes"
        if hosts > 1:
            note = f"{fit} nodes of the cluster have {asked} now: jobs wait until {hosts} have"
        print(f"dormant.reproduce: {note}", file=sys.stderr, flush=True)
    return lambda folder, descriptor: RayCluster(ray, folder, resources, hosts)


class RayCluster:
    """Ray tasks, which end with this process. Ray itself tries none of them again."""

    at_once: int | None = None
    outlives = False

    def __init__(self, ray: Any, folder: Path, resources: Resources, hosts: int = 1):
        """Submits nothing.

        Args:
          ray: the package, connected to a cluster.
          folder: the experiment's, which all nodes see under the same path.
          resources: of each process.
          hosts: of each task, which is one program on all of them.
        """
        self._ray, self._folder, self._hosts = ray, folder, hosts
        self._resources = resources
        self._groups: dict[Hashable, Any] = {}  # of nodes, by the handle of what runs there
        self._ending: dict[Hashable, float] = {}  # since when, of those that lost a process
        self._forced: set[Hashable] = set()  # processes that did not end when they were asked to
        self._run = ray.remote(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            resources=dict(resources.others),
            max_retries=0,
        )(_process())
        self._meet = ray.remote(num_cpus=0, max_retries=0)(_meeting_point())

    def submit(self, tasks: Sequence[Task]) -> list[Hashable]:
        return [self._submit(task) for task in tasks]

    def _submit(self, task: Task) -> Hashable:
        """The Ray tasks of a task's processes."""
        environment = self._resources.environment
        if self._hosts == 1:
            arguments = worker_arguments(self._folder, task.name)
            return (self._run.remote(arguments, environment, self._resources.cores),)
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        # All nodes or none: two programs that have half of theirs would wait for ever.
        bundles = [self._resources.all] * self._hosts
        group = self._ray.util.placement_group(bundles, strategy="STRICT_SPREAD")
        places = [PlacementGroupSchedulingStrategy(group, rank) for rank in range(self._hosts)]
        address = self._meet.options(scheduling_strategy=places[0]).remote()
        handle = tuple(
            self._run.options(scheduling_strategy=place).remote(
                worker_arguments(self._folder, task.name, Process(rank, self._hosts)),
                environment,
                self._resources.cores,
                address,
            )
            for rank, place in enumerate(places)
        )
        self._groups[handle] = group
        return handle

    def poll(self, handle: Hashable) -> Ended | None:
        assert isinstance(handle, tuple)
        ended, left = self._ray.wait(list(handle), num_returns=len(handle), timeout=0)
        parts = [self._outcome(each) for each in ended]
        if left:
            if any(part.code != 0 for part in parts):
                self._end(handle, left)
            return None
        self._ending.pop(handle, None)
        self._forced.difference_update(handle)
        if handle in self._groups:
            self._ray.util.remove_placement_group(self._groups.pop(handle))
        return together(parts)

    def _end(self, handle: Hashable, left: Sequence[Hashable]) -> None:
        """Has the processes end that one of the others has left alone, by and by."""
        start = self._ending.get(handle)
        if start is None:
            self._ending[handle] = time.monotonic()
        elif time.monotonic() - start < _CANCEL_SECONDS:
            return
        for each in set(left) - self._forced:
            self._ray.cancel(each, force=start is not None)
        if start is not None:
            self._forced.update(left)

    def _outcome(self, process: Hashable) -> Ended:
        """How one process ended, which has."""
        errors = self._ray.exceptions
        try:
            code, said = self._ray.get(process)
        except errors.TaskCancelledError:
            return Ended(128 + signal.SIGTERM)
        except errors.RayError as error:
            if process in self._forced and isinstance(error, errors.WorkerCrashedError):
                return Ended(128 + signal.SIGTERM)
            # Of these the next node would say the same.
            own = (errors.RayTaskError, errors.OutOfMemoryError, errors.TaskUnschedulableError)
            problem = f"{type(error).__name__}: {last_line(str(error))}"
            return Ended(None, not isinstance(error, own), problem)
        if said and self._hosts == 1:
            said = f"exit code {code}: {said}"
        return Ended(code, problem=said)

    def cancel(self, handles: Sequence[Hashable]) -> None:
        remaining = [each for handle in handles if isinstance(handle, tuple) for each in handle]
        for handle in remaining:
            self._ray.cancel(handle)
        if remaining:
            count = len(remaining)
            _, remaining = self._ray.wait(remaining, num_returns=count, timeout=_CANCEL_SECONDS)
        for handle in remaining:
            self._ray.cancel(handle, force=True)  # it goes on from its last checkpoint too

    def handles(self) -> dict[str, Hashable]:
        return {}

    def report(self) -> str:
        return ""


def _meeting_point() -> Callable[[], str]:
    """What says on the node of rank 0 where the processes of a program meet."""

    # Within a function, as in `_process`.
    def meeting_point() -> str:
        import socket

        import ray

        with socket.socket() as free:
            free.bind(("", 0))
            return f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"

    return meeting_point


def _process() -> Callable[..., tuple[int, str]]:
    """What a Ray task does: it starts a worker and waits; its exit code, and what it said last
    where that is not 0."""

    # Defined within a function, as Ray sends such a one whole: the node may have another version
    # of this package, or none, which the worker it starts says better than Ray.
    def process(
        arguments: list[str],
        environment: dict[str, str],
        cores: int = 0,
        coordinator: str | None = None,
    ) -> tuple[int, str]:
        import ctypes
        import os
        import signal
        import subprocess
        import sys

        if any(name.endswith("CLIENT_MEM_FRACTION") for name in os.environ):
            environment = {}
        if coordinator is not None:
            arguments = [*arguments, f"--coordinator={coordinator}"]
        if cores:
            import ray

            this = ray.get_runtime_context().get_node_id()
            all_cores = [n["Resources"].get("CPU") for n in ray.nodes() if n["NodeID"] == this]
            if all_cores == [len(os.sched_getaffinity(0))]:  # else others may compute there
                arguments = [*arguments, f"--cores={cores}"]
        prctl = ctypes.CDLL(None).prctl
        worker = subprocess.Popen(
            [sys.executable, *arguments],
            env={**environment, **os.environ},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # PR_SET_PDEATHSIG: what lost its Ray task may not go on beside the one that follows.
            preexec_fn=lambda: prctl(1, signal.SIGKILL),
        )
        while True:
            try:
                _, said = worker.communicate(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                continue
            except KeyboardInterrupt:  # the task was cancelled
                worker.terminate()
        code = worker.returncode if worker.returncode >= 0 else 128 - worker.returncode
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return code, lines[-1] if code and lines else ""

    return process


def _resources(options: argparse.Namespace) -> Resources:
    """What the options say of them.

    Raises:
      ValueError: one is wrong.
    """
    resources = Resources()
    if options.cpus_per_job is not None:
        check_number("--cpus_per_job", options.cpus_per_job, 0)
        resources = resources._replace(cpus=options.cpus_per_job)
    if options.gpus_per_job is not None:
        gpus = options.gpus_per_job
        is_allowed = math.isfinite(gpus) and (_LEAST <= gpus < 1 or gpus == int(gpus) >= 0)
        check(is_allowed, "--gpus_per_job", "a whole number, or a fraction above 0.0001", gpus)
        resources = resources._replace(gpus=gpus)
    others: dict[str, float] = {}
    for word in options.resources_per_job or ():
        name, _, text = word.partition("=")
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        is_allowed = name and name not in {*_NOT_CUSTOM, *others} and _LEAST <= number < math.inf
        wanted = "NAME=NUMBER, each name once, with another name than " + ", ".join(_NOT_CUSTOM)
        check(bool(is_allowed), "--resources_per_job", wanted, word)
        others[name] = number
    resources = resources._replace(others=tuple(others.items()))
    # What computes elsewhere than on cores may use more of them than Ray's one, unless it is told.
    keeps = options.cpus_per_job is not None or not (resources.gpus or resources.others)
    return resources._replace(cores=int(resources.cpus) if keeps else 0)


def _connected(address: str) -> Any:
    """The package Ray, connected to the cluster at an address.

    Raises:
      ValueError: Ray is not installed, or no cluster of its version is there.
    """
    try:
        import ray
    except ImportError as error:
        wanted = "an engine whose package is installed (pip install 'dormant[ray]')"
        raise ValueError(f"`--engine` must be {wanted}; got 'ray': {first_line(error)}") from error
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _check_answers(address)
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False, logging_level="error")
    # Ray ends the process where the head does not answer it.
    except (OSError, RuntimeError, ValueError, SystemExit) as error:
        wanted = "the address of a Ray cluster that runs, of this version of Ray and Python"
        said = f"{address!r}: {' '.join(str(error).split())}"
        raise ValueError(f"`--address` must be {wanted} (docs/ray.md); got {said}") from error
    finally:
        # Ray has SIGTERM end this process, with no time for its tasks.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
    return ray


def _check_answers(address: str) -> None:
    """Checks that something listens at HOST:PORT; Ray tries for two minutes.

    Raises:
      OSError: nothing does.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()

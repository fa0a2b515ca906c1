# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The places that a machine has for processes: its accelerators, one or several processes each."""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dormant.checks import check, check_count

# Of a GPU's memory, for all of its processes together: the rest is the driver's and XLA's own.
_GPU_SHARE = 0.9
# Each process of a TPU host needs one of its own, though they do not speak with each other.
_FIRST_TPU_PORT = 8476

Variables = Mapping[str, str]  # of the environment, which keep a process to its accelerator
Cores = frozenset[int] | None  # that a process may use; None for all that this one may


class Place(NamedTuple):
    """Where a process runs.

    Attributes:
      variables: of the environment, which keep it to its accelerator.
      cores: that it may use; None for all that this process may.
    """

    variables: Variables = {}
    cores: Cores = None


class Accelerators(NamedTuple):
    """Of one machine.

    Attributes:
      kind: `"gpu"` or `"tpu"`.
      numbers: of its GPUs or TPU chips.
      processes: how many on each.
    """

    kind: str
    numbers: tuple[str, ...]
    processes: int = 1


def read_accelerators(text: str, processes: int) -> Accelerators:
    """Reads `gpu:8` or `tpu:4`.

    Raises:
      ValueError: it is none, or there are several processes to a TPU chip, which belongs to one.
    """
    found = re.fullmatch(r"(gpu|tpu):([1-9]\d{0,3})", text)
    check(found is not None, "--accelerators", "such as gpu:8 or tpu:4", text)
    assert found is not None
    check_count("--processes_per_accelerator", processes, 1)
    shares = processes == 1 or found[1] == "gpu"
    allowed = "1 on TPU chips, each of which belongs to one process"
    check(shares, "--processes_per_accelerator", allowed, processes)
    count, visible = int(found[2]), os.environ.get("CUDA_VISIBLE_DEVICES")
    if found[1] == "tpu" or visible is None:
        return Accelerators(found[1], tuple(map(str, range(count))), processes)
    numbers = tuple(each.strip() for each in visible.split(",") if each.strip() not in ("", "-1"))
    allowed = f"no more than the {len(numbers)} of CUDA_VISIBLE_DEVICES"
    check(count <= len(numbers), "--accelerators", allowed, text)
    return Accelerators("gpu", numbers[:count], processes)


def places_of(accelerators: Accelerators) -> list[Place]:
    """A place for each process that can run at a time; neighbours are on different accelerators."""
    numbers = accelerators.numbers * accelerators.processes
    if accelerators.kind == "tpu":
        return [Place(_chip(number)) for number in numbers]
    return [Place(_gpu(number, accelerators.processes)) for number in numbers]


def shares_of_cores(processes: int) -> list[Cores]:
    """The cores of each of some processes that run at a time; None for those it would have anyway.

    XLA computes with a thread for each core that it finds, and processes on the same cores wait for
    each other's: two of the quickstart's on two cores took five times as long as with a core each.
    """
    if processes == 1 or not hasattr(os, "sched_setaffinity"):
        return [None] * processes
    cores = sorted(os.sched_getaffinity(0))
    share = max(1, len(cores) // processes)
    shares = [frozenset(cores[at : at + share]) for at in range(0, len(cores), share)]
    return [shares[number % len(shares)] for number in range(processes)]


@contextlib.contextmanager
def held_cores(count: int, folder: Path) -> Iterator[Cores]:
    """So many cores that no other process holds by `folder`, held until this is left.

    None where fewer are left, no file can be made there, or the system binds no processes. Each is
    a locked file, which the kernel lets go of when its process dies.
    """
    cores: list[int] = []
    with contextlib.ExitStack() as held:
        if hasattr(os, "sched_setaffinity"):
            with contextlib.suppress(OSError):
                folder.mkdir(exist_ok=True)
            for core in sorted(os.sched_getaffinity(0)):
                try:
                    file = held.enter_context((folder / str(core)).open("a"))
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:  # another's, or none may be made here
                    continue
                cores.append(core)
                if len(cores) == count:
                    break
        if len(cores) < count:
            held.close()
        yield frozenset(cores) if len(cores) == count else None


def bind(process: int, cores: Cores) -> None:
    """Keeps a process to its cores, long before it starts threads, each of which inherits them."""
    if cores is not None:
        with contextlib.suppress(ProcessLookupError):  # it ended already
            os.sched_setaffinity(process, cores)


def share_of_gpu(share: float) -> Variables:
    """What keeps a process to a part of a GPU's memory, in (0, 1]."""
    return {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{_GPU_SHARE * share:.4f}"}


def _gpu(number: str, processes: int) -> Variables:
    # The user's own stands; jaxlib refuses to be told by both of the names that it knows.
    is_told = any(name.endswith("CLIENT_MEM_FRACTION") for name in os.environ)
    return {"CUDA_VISIBLE_DEVICES": number, **({} if is_told else share_of_gpu(1 / processes))}


def _chip(number: str) -> Variables:
    port = str(_FIRST_TPU_PORT + int(number))
    return {
        "TPU_VISIBLE_CHIPS": number,
        "TPU_CHIPS_PER_PROCESS_BOUNDS": "1,1,1",
        "TPU_PROCESS_BOUNDS": "1,1,1",
        "TPU_PROCESS_ADDRESSES": f"localhost:{port}",
        "TPU_PROCESS_PORT": port,
        "CLOUD_TPU_TASK_ID": "0",
    }

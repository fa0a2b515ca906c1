# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Hardware that is not there and that programs are compiled for: a slice of TPUs, or a CUDA GPU."""

import contextlib
import contextvars
import importlib.metadata
import importlib.util
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax

from dormant.checks import check, first_line

_GB = 10**9
# libtpu asks neither a cloud nor a lock file which TPU this process has: it has none.
_WITHOUT_A_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
_INSTALL = "libtpu, which compiles for TPUs, is not installed: pip install 'dormant[tpu]'"


class Chip(NamedTuple):
    """A kind of TPU.

    Attributes:
      memory: bytes of HBM.
      flops: floating-point operations a second at most, of products of bfloat16. That is how JAX
        multiplies float32 on a TPU unless it is asked for more precision.
      layout: what JAX must be told beside the shape of a slice.
    """

    memory: int
    flops: float
    layout: Mapping[str, Any] = {}


# https://cloud.google.com/tpu/docs/v4, /v5e, /v5p and /v6e: "Peak compute per chip (bf16)" and "HBM
# capacity"; no peak for float32 is published. The two cores of a v4 or v5p chip are one device.
CHIPS = {
    "v4": Chip(32 * _GB, 275e12, {"chip_config_name": "megacore"}),
    "v5e": Chip(16 * _GB, 197e12),
    "v5p": Chip(95 * _GB, 459e12, {"chip_config_name": "megacore"}),
    "v6e": Chip(32 * _GB, 918e12),
}


class Hardware(NamedTuple):
    """What programs are compiled for.

    Attributes:
      name: such as "v5e:4x4" or "cuda".
      platform: "tpu" or "cuda".
      devices: the chips of the slice; () for "cuda", for which programs are lowered only.
      chip: their kind; None for "cuda".
    """

    name: str
    platform: str
    devices: tuple[jax.Device, ...] = ()
    chip: Chip | None = None

    @property
    def compiler(self) -> str:
        """What compiles for it here, with versions."""
        libtpu = f" and libtpu {importlib.metadata.version('libtpu')}" if self.chip else ""
        return f"JAX {jax.__version__}{libtpu}"


_target: contextvars.ContextVar[Hardware | None] = contextvars.ContextVar("target", default=None)


def hardware_of(name: str) -> Hardware:
    """The hardware of a name. From here on this process computes on its CPU alone.

    Args:
      name: "cuda", or a kind of TPU out of `CHIPS` and the shape of a slice of them: "v5e:4x4".

    Raises:
      ValueError: when there is none of that name, or libtpu is not installed.
    """
    kind, _, shape = name.partition(":")
    sizes = shape.split("x")
    is_slice = kind in CHIPS and all(size.isdecimal() and 0 < len(size) < 4 for size in sizes)
    allowed = f"cuda, or {', '.join(CHIPS)} and a slice's shape, such as v5e:4x4"
    check(name == "cuda" or is_slice, "--compile_for", allowed, name)
    # What is not there must not be looked for, neither by JAX nor by libtpu.
    jax.config.update("jax_platforms", "cpu")
    if name == "cuda":
        return Hardware(name, "cuda")
    if importlib.util.find_spec("libtpu") is None:
        raise ValueError(_INSTALL)
    for variable, value in _WITHOUT_A_TPU.items():
        os.environ.setdefault(variable, value)
    from jax.experimental import topologies

    chip = CHIPS[kind]
    try:
        found = topologies.get_topology_desc(name, "tpu", **chip.layout).devices
    except (jax.errors.JaxRuntimeError, NotImplementedError) as error:
        why = " ".join(first_line(error).split())
        raise ValueError(f"`--compile_for` must be a slice that libtpu knows: {why}") from error
    chips = math.prod(map(int, sizes))
    check(len(found) == chips, "--compile_for", f"a slice of {len(found)} chips", name)
    return Hardware(name, "tpu", tuple(found), chip)


@contextlib.contextmanager
def compiling_for(hardware: Hardware | None) -> Iterator[None]:
    """Inside, programs are built and traced for that hardware; None for what this process has."""
    token = _target.set(hardware)
    try:
        yield
    finally:
        _target.reset(token)


def target() -> Hardware | None:
    """The hardware that is compiled for; None where it is this process's own."""
    return _target.get()


def devices() -> list[jax.Device]:
    """All devices that a run can have: of all its processes, or of the slice compiled for."""
    hardware = target()
    return list(hardware.devices) if hardware and hardware.devices else jax.devices()

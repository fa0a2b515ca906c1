# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""For which platform a program is compiled: what decides whether the ways around XLA are used."""

from collections.abc import Sequence

import jax

from dormant import hardware


def is_cpu(devices: Sequence[jax.Device] | None = None) -> bool:
    """Whether a program for these devices is compiled for a CPU.

    Told to a program when it is built, not asked inside of it: a choice by
    `jax.lax.platform_dependent` is a branch, into which neither `dormant.trace` nor the rewriting
    of this package looks.

    Args:
      devices: all of one platform; None for the device that JAX computes on by default. They do not
        count where programs are compiled for other hardware than this process has.
    """
    if hardware.target() is not None:
        return False  # a TPU or a GPU
    if devices is not None:
        return devices[0].platform == "cpu"
    # JAX sets the attributes of its options when it is imported, where no type checker sees them.
    default = jax.config.jax_default_device  # type: ignore[attr-defined]
    if default is None:
        return jax.devices()[0].platform == "cpu"
    return getattr(default, "platform", default) == "cpu"

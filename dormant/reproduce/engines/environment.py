# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The environment of a job's process, wherever it runs."""

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from dormant.reproduce.engines.engine import ENGINE_FOLDER

# Seconds that a program takes at least that is kept; JAX's own limit of 1 leaves out most of an
# agent's.
_WORTH_KEEPING = "0.1"


def process_environment(folder: Path, own: Mapping[str, str] = {}) -> dict[str, str]:  # noqa: B006
    """This process's environment, with what all jobs of an experiment share: JAX's cache of
    compiled programs, in the experiment's folder.

    What the user has set stays. JAX finds programs by what they compute, its versions, flags and
    the device; of a CPU it does not ask what instructions it has, so that machines which differ in
    these have caches of their own. `JAX_ENABLE_COMPILATION_CACHE=false` turns it off.

    Args:
      folder: the experiment's.
      own: what a process has for itself.
    """
    cache = folder.resolve() / ENGINE_FOLDER / "compiled" / _instructions()
    shared = {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": _WORTH_KEEPING,
    }
    return {**shared, **os.environ, **own}


def _instructions() -> str:
    """The same for machines whose CPUs have the same instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = [platform.processor(), platform.node()]
    named = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    told = "\n".join([platform.machine(), *sorted(set(named or lines))])
    return hashlib.sha256(told.encode()).hexdigest()[:16]

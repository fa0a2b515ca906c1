# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What holds for every test: JAX on the CPU, repeatable hypothesis profiles, bounded memory, gin as
it was. Stands in the root because the doctests of the package and the pages need it too."""

import os
import sys
from importlib import metadata
from pathlib import Path

import hypothesis
import pytest

# Before the first import of JAX or TensorFlow. A platform named outside stands.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# No deadline: an example's first run compiles. Name another one with --hypothesis-profile.
hypothesis.settings.register_profile("default", deadline=None, max_examples=25)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis.settings.load_profile("default")

MOST_RESIDENT = 2.5e9  # bytes of a process of tests, of which `make test` has two

# Built pages, and what Sphinx imports: their modules are no package, and need what docs need.
collect_ignore_glob = ["docs/_build/*", "docs/_site/*", "docs/conf.py", "*/_build/*"]


def pytest_configure(config):
    """Compiles quickly where slow tests are left out, which run the optimized programs."""
    if config.getoption("markexpr") == "not slow":
        import jax

        name = "jax_disable_most_optimizations"
        # The environment is for the processes that tests start.
        os.environ.setdefault(name.upper(), "1")
        jax.config.update(name, os.environ[name.upper()] == "1")
        # Half the time of a compilation. XLA ends a process at a flag that it does not know.
        if metadata.version("jaxlib").startswith("0.10."):
            os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs():
    """Frees what JAX compiled once it is much: all programs would add up to many gigabytes."""
    import jax

    yield
    if resident_bytes() > MOST_RESIDENT:
        jax.clear_caches()


def resident_bytes():
    """The memory of this process; infinite where the system does not tell it."""
    try:
        pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    except OSError:
        return float("inf")
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module", autouse=True)
def unlocked_gin():
    """A command run in this process leaves gin locked; Dopamine, imported later, adds to it."""
    yield
    if "gin" in sys.modules:
        sys.modules["gin"].clear_config()

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What holds for every test: JAX on the CPU, repeatable hypothesis profiles, bounded memory, gin as
it was. Stands in the root because the doctests of the package and the pages need it too."""

import gc
import os
import sys
from importlib import metadata

import hypothesis
import pytest

# Before the first import of JAX or TensorFlow. A platform named outside stands.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# No deadline: an example's first run compiles. Name another one with --hypothesis-profile.
hypothesis.settings.register_profile("default", deadline=None, max_examples=25)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis.settings.load_profile("default")

QUICK_COMPILATION = (
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
MOST_RESIDENT = 2.5e9  # bytes of a process of tests, of which `make test` has two

# Built pages, and what Sphinx imports: their modules are no package, and need what docs need.
collect_ignore_glob = ["docs/_build/*", "docs/_site/*", "docs/conf.py", "*/_build/*"]


def pytest_configure(config):
    """Compiles quickly where slow tests are left out, which run the optimized programs."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        from dormant.reproduce.engines.places import shares_of_cores

        shares = shares_of_cores(int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
        if cores := shares[int(worker.removeprefix("gw"))]:
            os.sched_setaffinity(0, cores)
    if config.getoption("markexpr") == "not slow":
        import jax

        name = "jax_disable_most_optimizations"
        # The environment is for the processes that tests start.
        os.environ.setdefault(name.upper(), "1")
        jax.config.update(name, os.environ[name.upper()] == "1")
        # Half the time of a compilation. XLA ends a process at a flag that it does not know.
        if metadata.version("jaxlib").startswith("0.10."):
            os.environ.setdefault("XLA_FLAGS", " ".join(QUICK_COMPILATION))


def pytest_collection_finish(session):
    """Collects garbage less often: of the many objects that all tests share, none is any."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs():
    """Frees what JAX compiled once it is much: all programs would add up to many gigabytes."""
    import jax

    from dormant.memory import resident_bytes

    yield
    resident = resident_bytes()
    if resident is None or resident > MOST_RESIDENT:
        jax.clear_caches()


@pytest.fixture(scope="module", autouse=True)
def unlocked_gin():
    """A command run in this process leaves gin locked; Dopamine, imported later, adds to it."""
    yield
    if "gin" in sys.modules:
        sys.modules["gin"].clear_config()

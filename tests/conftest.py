"""What all tests share: programs that were compiled once."""

import sys

import jax
import pytest


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Keeps compiled programs between tests and the processes they start, one folder a worker."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.getbasetemp() / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture(scope="module", autouse=True)
def unlocked_gin():
    """A command run in this process leaves gin locked; Dopamine, imported later, adds to it."""
    yield
    if "gin" in sys.modules:
        sys.modules["gin"].clear_config()

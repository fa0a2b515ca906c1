"""What all tests share: programs that were compiled once."""

import jax
import pytest


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Keeps compiled programs between tests and the processes they start, one folder a worker."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.getbasetemp() / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

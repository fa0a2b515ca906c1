"""What is written in more than one file of the repository must agree: versions and floors."""

import re
from pathlib import Path

import pytest

from dormant.version import __version__

ROOT = Path(__file__).resolve().parents[1]


def text(name):
    return (ROOT / name).read_text("utf-8")


def test_the_version_is_the_same_everywhere():
    assert re.findall(r"^version: (.+)$", text("CITATION.cff"), re.MULTILINE) == [__version__]
    assert re.search(rf"^## \[{re.escape(__version__)}\]", text("CHANGELOG.md"), re.MULTILINE)


@pytest.mark.parametrize("package", ["jax", "flax", "optax", "numpy"])
def test_ci_runs_the_oldest_versions_that_setup_py_allows(package):
    floor = re.search(rf'"{package}>=([\d.]+),<', text("setup.py")).group(1)
    tested = re.search(rf"\b{package}==([\d.]+)", text(".github/workflows/ci.yml")).group(1)
    assert tested == floor or tested.startswith(floor + ".")


def test_constraints_pin_exact_versions_only():
    lines = [line for line in text("constraints.txt").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line) for line in lines)
    assert len({line.partition("==")[0].lower() for line in lines}) == len(lines)

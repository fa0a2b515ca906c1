"""What is written in more than one file of the repository must agree: versions and floors."""

import re
from pathlib import Path

import pytest

from dormant.version import __version__

ROOT = Path(__file__).resolve().parents[1]
HOOKS = ".pre-commit-config.yaml"


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


def test_pre_commit_runs_what_make_lint_runs():
    lint = text("Makefile").partition("\nlint:")[2].partition("\n\n")[0]
    tools = [
        set(re.findall(r"-m (ruff check|ruff format|mypy)", part)) for part in (lint, text(HOOKS))
    ]
    assert tools[0] == tools[1] == {"ruff check", "ruff format", "mypy"}


def test_no_type_error_is_ignored_without_its_name():
    blanket = re.compile(r"#\s*type:\s*ignore(?!\[[a-z-]+\])")
    files = list((ROOT / "dormant").rglob("*.py"))
    assert files and not [path for path in files if blanket.search(path.read_text("utf-8"))]

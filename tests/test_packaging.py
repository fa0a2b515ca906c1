# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What `pip install` gives: a wheel that works in an empty folder, without the checkout; and what
is written in more than one file of the repository must agree: versions and floors."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from dormant.__main__ import COMMANDS, main
from dormant.version import __version__

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("dormant", "gin_configs", "benchmarks/results")
SHORT = {
    "VectorizedRun.num_iterations": 1,
    "VectorizedRun.training_steps": 400,
    "VectorizedRun.seeds": 1,
    "VectorizedDQN.network": "'mlp'",
    "VectorizedDQN.dense": "(8,)",
    "VectorizedDQN.min_replay_history": 200,
    "ReDo.period": 25,
    "Tracker.tracking_period": 25,
}
HOOKS = ".pre-commit-config.yaml"


def text(name):
    return (ROOT / name).read_text("utf-8")


def test_the_version_is_the_same_everywhere():
    assert re.findall(r"^version: (.+)$", text("CITATION.cff"), re.MULTILINE) == [__version__]
    heading = rf"^## \[{re.escape(__version__)}\] - (Unreleased|\d{{4}}-\d\d-\d\d)$"
    assert re.match(heading, re.search(r"^## .*$", text("CHANGELOG.md"), re.MULTILINE)[0])


@pytest.mark.parametrize("package", ["jax", "flax", "optax", "numpy"])
def test_ci_runs_the_oldest_versions_that_setup_py_allows(package):
    floor = re.search(rf'"{package}>=([\d.]+),<', text("setup.py")).group(1)
    tested = re.search(rf"\b{package}==([\d.]+)", text(".github/workflows/ci.yml")).group(1)
    assert tested == floor or tested.startswith(floor + ".")


def test_constraints_pin_exact_versions_only():
    lines = [line for line in text("constraints.txt").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line) for line in lines)
    assert len({line.partition("==")[0].lower() for line in lines}) == len(lines)


def done(*command, **options):
    """The output of a command that ends well."""
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, **options
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def pip(*arguments):
    done(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, "--no-index")


def build(kind, source, folder):
    """Builds a wheel or an sdist of a source folder with what is installed here; returns it."""
    program = (
        "import sys; from setuptools import build_meta as b; getattr(b, sys.argv[1])(sys.argv[2])"
    )
    folder.mkdir()
    done(sys.executable, "-c", program, f"build_{kind}", str(folder), cwd=source)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy of what it is built from, so that nothing is left in the checkout."""
    pytest.importorskip("setuptools")
    source = tmp_path_factory.mktemp("wheel") / "source"
    for name in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return build("wheel", source, source.parent / "wheel")


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Where pip installed the wheel, beside the packages of this Python."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--target", str(folder), str(wheel))
    return folder


@pytest.fixture
def run(installed, tmp_path):
    """`run("reproduce", "--list")`: what the command `dormant` prints in an empty folder."""
    environment = os.environ | {"PYTHONPATH": str(installed)}

    def run(*arguments):
        return done(installed / "bin" / "dormant", *arguments, cwd=tmp_path, env=environment)

    return run


def test_the_wheel_carries_every_gin_file_and_says_that_it_is_typed(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    folder = ROOT / "gin_configs"
    for path in folder.rglob("*.gin"):
        assert f"dormant/gin_configs/{path.relative_to(folder).as_posix()}" in names
    assert {"dormant/py.typed", "dormant/benchmarks/results/runs-cpu.json"} <= names


def test_links_of_the_readme_lead_somewhere_on_pypi_too(wheel):
    with zipfile.ZipFile(wheel) as file:
        (name,) = [each for each in file.namelist() if each.endswith("dist-info/METADATA")]
        shown = file.read(name).decode("utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", shown)
    assert targets and not [each for each in targets if not re.match(r"https?:|#", each)]


def test_the_core_requires_four_packages(wheel):
    with zipfile.ZipFile(wheel) as file:
        (name,) = [each for each in file.namelist() if each.endswith("dist-info/METADATA")]
        lines = file.read(name).decode("utf-8").splitlines()
    required = [line.split()[1] for line in lines if line.startswith("Requires-Dist: ")]
    extra = [line.split()[1] for line in lines if "Requires-Dist" in line and "extra ==" in line]
    core = sorted(re.match(r"\w+", each)[0] for each in required if each not in extra)
    assert core == ["flax", "jax", "numpy", "optax"]


def test_the_sdist_builds_the_same_wheel(wheel, tmp_path):
    sdist = build("sdist", wheel.parent.parent / "source", tmp_path / "sdist")
    with tarfile.open(sdist) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    again = build("wheel", source, tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        crcs = [
            {
                each.filename: each.CRC
                for each in file.infolist()
                if "dist-info" not in each.filename
            }
            for file in (first, second)
        ]
    assert crcs[0] == crcs[1]


def test_the_installed_commands_work_in_an_empty_folder(run, installed, tmp_path):
    where = [sys.executable, "-c", "import dormant; print(dormant.__file__)"]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    assert str(installed) in done(*where, cwd=tmp_path, env=environment)
    assert {"train", "train_vectorized", "study", "reproduce", "report"} <= set(run().split())
    listed = run("reproduce", "--list")
    assert "fig10" in listed and " hours on " in listed
    planned = run("reproduce", "fig10", "--scale=smoke", "--dry_run")
    assert "--gin_files=fig10_resnet.gin" in planned and not list(tmp_path.iterdir())


def test_an_installed_wheel_trains_from_a_packed_gin_file(run, tmp_path):
    bindings = [f"--gin_bindings={name} = {value}" for name, value in SHORT.items()]
    run("train_vectorized", "--gin_files=vectorized/dqn_redo.gin", "--base_dir=run", *bindings)
    details = json.loads((tmp_path / "run" / "seed_0" / "run.json").read_text("utf-8"))
    assert details["status"] == "finished"


@pytest.mark.slow
def test_an_installed_wheel_runs_an_experiment(run, tmp_path):
    printed = run("reproduce", "minatar_prune", "--games=Breakout-MinAtar", "--seeds=1")
    assert "2 of 2 runs are whole in runs/minatar_prune-smoke" in printed
    assert (tmp_path / "runs" / "minatar_prune-smoke" / "experiment.json").is_file()


def test_a_command_that_there_is_not_is_one_line(capsys):
    assert main(["trian"]) == 2
    error = capsys.readouterr().err
    assert "must be one of train, " in error and "got 'trian'" in error and error.count("\n") == 1
    assert all(importlib.util.find_spec(f"dormant.{name}") for name in COMMANDS)


@pytest.mark.parametrize(
    "command, package, extra",
    [("reproduce", "tqdm", "vectorized"), ("report", "matplotlib", "report")],
)
def test_a_command_without_its_packages_names_the_extra(command, package, extra):
    program = f"import sys; sys.modules['{package}'] = None; from dormant.__main__ import main"
    ended = subprocess.run(
        [sys.executable, "-c", f"{program}; sys.exit(main(['{command}', '--list']))"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    error = ended.stderr
    assert ended.returncode == 2 and f"pip install 'dormant[{extra}]'" in error
    assert error.count("\n") == 1


def test_pre_commit_runs_what_make_lint_runs():
    lint = text("Makefile").partition("\nlint:")[2].partition("\n\n")[0]
    tools = [
        set(re.findall(r"-m (ruff check|ruff format|mypy)", part)) for part in (lint, text(HOOKS))
    ]
    assert tools[0] == tools[1] == {"ruff check", "ruff format", "mypy"}


def test_the_linter_looks_at_every_python_file():
    """A pattern to exclude a folder of results had taken a package of that name with it."""
    command = [sys.executable, "-m", "ruff", "check", "--show-files", "."]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    linted = {Path(line) for line in shown.splitlines()}
    folders = ("dormant", "tests", "benchmarks", "examples", "launchers")
    files = {path for each in folders for path in (ROOT / each).rglob("*.py")}
    assert len(files) > 500 and not sorted(files - linted)


def test_no_type_error_is_ignored_without_its_name():
    blanket = re.compile(r"#\s*type:\s*ignore(?!\[[a-z-]+\])")
    files = list((ROOT / "dormant").rglob("*.py"))
    assert files and not [path for path in files if blanket.search(path.read_text("utf-8"))]


def test_every_python_file_begins_with_the_same_licence_header():
    files = [path for path in ROOT.rglob("*.py") if is_source(path)]
    header = (ROOT / "dormant" / "version.py").read_text("utf-8").partition("\n\n")[0]
    assert "SPDX-License-Identifier: Apache-2.0" in header and len(files) > 100
    without = [path for path in files if not path.read_text("utf-8").startswith(header + "\n")]
    assert not without


def is_source(path):
    """Whether a file is of this repository: not installed, built or written by a run."""
    top = path.relative_to(ROOT).parts[0]
    return not top.startswith(".") and top not in ("build", "dist", "runs", "data")

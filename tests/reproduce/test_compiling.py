# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""An experiment's programs compiled for hardware that is not there: which, and their table."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dormant.hardware import hardware_of
from dormant.reproduce import catalog
from dormant.reproduce.command_line import main
from dormant.reproduce.compiling import compile_jobs, distinct
from dormant.reproduce.jobs import jobs

ROOT = Path(__file__).resolve().parents[2]


def planned(name, scale, **selection):
    return jobs(catalog.find(name), scale, Path("runs/x"), **selection)


def rows(table):
    """The cells of a table's rows, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(
    ("name", "runs", "programs"),
    [
        ("fig10", 4_120, 32),  # methods and replay ratios; Atari games and seeds do not count
        ("tab6", 40, 4),
        ("minatar_long", 80, 80),  # a game of MinAtar is part of the program
        ("fig8", 40, 4),  # teacher, student before, and two students of whichever runs
    ],
)
def test_runs_that_differ_in_names_and_seeds_are_compiled_once(name, runs, programs):
    found = planned(name, "paper")
    assert (len(found), len(distinct(found))) == (runs, programs)


def test_a_table_of_what_is_lowered_for_cuda(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    first = planned("minatar_quickstart", "smoke", seeds=2)[:1]
    assert compile_jobs(first, hardware_of("cuda")) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("The programs of 1 of 1 processes") and "lowered for cuda" in printed
    found = rows(printed)
    assert [row[1] for row in found] == ["init", "fill", "advance"]
    assert {row[0] for row in found} == {"DQN, replay ratio 0.25, SpaceInvaders-MinAtar"}
    assert all(row[2].endswith(" kB") for row in found)
    assert found[2][3].endswith("/ agent step") and not list(tmp_path.iterdir())


def test_what_cannot_be_compiled_has_a_row_that_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # without CIFAR-10
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert compile_jobs(planned("fig3", "paper")[:1], hardware_of("cuda")) == 1
    (row,) = rows(capsys.readouterr().out)
    assert row[1].startswith("not lowered: `Images.folder` must be the folder of CIFAR-10")


def test_hardware_that_there_is_not_is_one_line_and_nothing_is_compiled(tmp_path, capsys):
    folder = tmp_path / "x"
    assert main(["fig10", f"--base_dir={folder}", "--compile_for=v5e:4x"]) == 2
    printed = capsys.readouterr()
    assert "`--compile_for` must be cuda, or v4" in printed.err and printed.err.count("\n") == 1
    assert not printed.out and not folder.exists()


@pytest.fixture(scope="module")
def libtpu(tmp_path_factory):
    """A folder with the libtpu that JAX names."""
    wanted = next(
        text.partition(";")[0]
        for text in importlib.metadata.requires("jax") or ()
        if text.startswith("libtpu") and "'tpu'" in text.replace('"', "'")
    )
    folder = tmp_path_factory.mktemp("libtpu")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    done = subprocess.run([*pip, wanted.strip()], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pip finds no {wanted.strip()}: {done.stderr.strip()[-200:]}")
    return folder


def compiled(libtpu, folder, *arguments):
    paths = os.pathsep.join([str(ROOT), str(libtpu)])
    done = subprocess.run(
        [sys.executable, "-m", "dormant.reproduce", *arguments],
        env=os.environ | {"PYTHONPATH": paths},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "chips", "programs"),
    [
        (
            ("minatar_prune", "--games=Breakout-MinAtar", "--seeds=4"),
            "4",
            2 * ["init", "fill", "advance"],
        ),
        (("quickstart", "--scale=smoke"), "1", 2 * ["init", "steps, neurons scored"]),
        (
            ("tab6",),
            "1",
            4 * ["act", "act in evaluation", "updates", "updates, neurons scored"],
        ),
    ],
)
def test_every_kind_of_program_is_compiled_for_tpus(libtpu, tmp_path, arguments, chips, programs):
    code, printed, error = compiled(libtpu, tmp_path, *arguments, "--compile_for=v5e:2x2")
    assert code == 0, error + printed
    assert "(16 GB and 197 TFLOP/s a chip)" in printed and "libtpu" in printed
    found = rows(printed)
    assert [row[1] for row in found] == programs
    for _, program, used, _, _, peak, fits, exchanged, _, most in found:
        assert (used, fits, exchanged) == (chips, "yes", "0")
        assert float(peak.removesuffix(" MB")) > 0
        # Only what takes steps has a speed.
        assert (most == "") == (program == "init")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_slice_that_libtpu_does_not_know_is_one_line(libtpu, tmp_path):
    code, printed, error = compiled(libtpu, tmp_path, "fig10", "--compile_for=v5e:3x5")
    assert (code, printed, error.count("\n")) == (2, "", 1)
    assert "`--compile_for` must be a slice that libtpu knows: " in error

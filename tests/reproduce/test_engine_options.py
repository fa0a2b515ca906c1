# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""`--engine` and the options of each, where no cluster is needed: whatever is wrong is one line,
and nothing is written."""

import argparse
import ast
import importlib.util
import socket
import subprocess
import sys
import types

import pytest

from dormant.reproduce.command_line import main
from dormant.reproduce.engines import ray_cluster
from dormant.reproduce.engines.catalog import ENGINES
from dormant.reproduce.engines.ray_cluster import Resources


def refusal(arguments, folder, capsys):
    """The line that a command is refused with."""
    assert main(["minatar_prune", f"--base_dir={folder}", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dormant.reproduce: ") and error.count("\n") == 1
    assert not folder.exists()
    return error


def test_an_empty_path_is_no_name_of_the_working_directory(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["minatar_prune", "--finished="])
    assert "argument --finished: must be a path; got ''\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--parallel=0", "--dry_run"], "`--parallel` must be a whole number >= 1; got 0"),
        (["--gpus_per_job=1"], "`--gpus_per_job` must be left out with --engine=local, as"),
        (["--address=", "--dry_run"], "`--address` must be left out with --engine=local, as"),
        (
            ["--engine=ray", "--parallel=2"],
            "`--parallel` must be left out with --engine=ray, as --engine=local takes it; got 2",
        ),
        (["--engine=ray", "--cpus_per_job=-1"], "`--cpus_per_job` must be a number >= 0; got -1.0"),
        (["--engine=ray", "--cpus_per_job=nan"], "`--cpus_per_job` must be a number >= 0; got nan"),
        (["--engine=ray", "--gpus_per_job=1.5"], "`--gpus_per_job` must be a whole number, or a "),
        (["--engine=ray", "--gpus_per_job=-1"], "a fraction above 0.0001; got -1.0"),
        (["--engine=ray", "--gpus_per_job=inf"], "a fraction above 0.0001; got inf"),
        (["--engine=ray", "--resources_per_job", "TPU"], "must be NAME=NUMBER, each name once"),
        (["--engine=ray", "--resources_per_job", "TPU=0"], "got 'TPU=0'"),
        (["--engine=ray", "--resources_per_job", "TPU=1", "TPU=2"], "got 'TPU=2'"),
        (["--engine=ray", "--resources_per_job", "GPU=1"], "another name than CPU, GPU, memory"),
        (["--engine=ray", "--resources_per_job", "=1"], "got '=1'"),
    ],
)
def test_a_mistake_in_an_option_is_one_line_and_nothing_is_written(
    arguments, said, tmp_path, capsys
):
    assert said in refusal(arguments, tmp_path / "x", capsys)


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named(tmp_path, capsys):
    assert "pip install 'dormant[ray]'" in refusal(["--engine=ray"], tmp_path / "x", capsys)


def test_an_address_where_nothing_listens_is_refused_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", types.ModuleType("ray"))  # it is not asked
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    said = refusal(["--engine=ray", f"--address={address}"], tmp_path / "x", capsys)
    assert "`--address` must be the address of a Ray cluster that runs, of this" in said
    assert address in said and "refused" in said


def test_a_process_takes_of_a_gpu_what_is_set_aside_for_it():
    options = {"address": None, "cpus_per_job": 2.0, "gpus_per_job": 0.25}
    asked = argparse.Namespace(**options, resources_per_job=["TPU=1", "chip=0.5"])
    resources = ray_cluster._resources(asked)
    assert resources.all == {"CPU": 2.0, "GPU": 0.25, "TPU": 1.0, "chip": 0.5}
    assert resources.cores == 2
    assert resources.environment == {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.2250"}
    assert Resources(gpus=1).environment == Resources().environment == {}


@pytest.mark.parametrize(
    ("cpus", "gpus", "others", "cores"),
    [
        (None, None, None, 1),
        (4.0, None, None, 4),
        (0.5, None, None, 0),
        (None, 0.5, None, 0),  # its one core is Ray's default, and not what it may use
        (None, None, ["TPU=1"], 0),
        (3.0, 1.0, None, 3),
    ],
)
def test_a_process_keeps_to_the_cores_that_were_asked_for_it(cpus, gpus, others, cores):
    asked = argparse.Namespace(cpus_per_job=cpus, gpus_per_job=gpus, resources_per_job=others)
    assert ray_cluster._resources(asked).cores == cores


# In a process of its own, as it forks.
TASK = """
import os
from dormant.reproduce.engines.ray_cluster import _process
run, fraction = _process(), {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.2"}
print(run(["-c", "print('no problem')"], fraction))
print(run(["-c", "import sys; print('worker: it must', file=sys.stderr); sys.exit(2)"], fraction))
print(run(["-c", "import os; os.kill(os.getpid(), 9)"], fraction))
shown = "import os, sys; sys.exit(os.environ.get('XLA_PYTHON_CLIENT_MEM_FRACTION', 'none'))"
print(run(["-c", shown], fraction))
os.environ["XLA_CLIENT_MEM_FRACTION"] = "0.5"  # the node's own stands
print(run(["-c", shown], fraction))
"""


def test_what_runs_a_worker_says_how_it_ended():
    done = subprocess.run([sys.executable, "-c", TASK], capture_output=True, text=True)
    said = [ast.literal_eval(line) for line in done.stdout.splitlines() if line.startswith("(")]
    assert said == [(0, ""), (2, "worker: it must"), (137, ""), (1, "0.2"), (1, "none")]


def test_to_name_the_engines_loads_none_of_their_packages():
    program = "import sys, dormant.reproduce.command_line; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_no_option_has_a_default_as_what_was_given_must_show():
    assert not [name for each in ENGINES.values() for name, how in each.options.items()
                if how.get("default") is not None]  # fmt: skip

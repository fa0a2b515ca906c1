# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""One program on several hosts, where no cluster is needed. test_ray.py and
tests/slurm/test_several_hosts.py have those on real ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from dormant.records.experiment_file import ExperimentFile, PlannedRun, to_json
from dormant.records.files import EXPERIMENT_FILE
from dormant.records.lease import Lease
from dormant.reproduce.command_line import main
from dormant.reproduce.engines import slurm
from dormant.reproduce.engines.engine import MISTAKE, TEMPFAIL, Ended, Task
from dormant.reproduce.engines.hosts import Process, together
from dormant.reproduce.engines.slurm import Report
from dormant.reproduce.engines.worker import worker_arguments, write_tasks

LOST = Ended(None, was_lost=True)


@pytest.mark.parametrize("engine", ["ray", "slurm", "jobset"])
@pytest.mark.parametrize(
    "name, hosts, said",
    [
        ("minatar_prune", "0", "`--hosts` must be a whole number >= 1; got 0"),
        ("quickstart", "2", "is no run on the device; got 2"),
        ("minatar_prune", "3", "a divisor of 4, the number of seeds of dqn"),
    ],
)
def test_hosts_are_refused_in_a_line_and_nothing_is_written(
    engine, name, hosts, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main([name, f"--engine={engine}", f"--hosts={hosts}", "--seeds=4"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dormant.reproduce: `--hosts` must be ") and said in error
    assert error.count("\n") == 1 and not list(tmp_path.iterdir())


def test_one_machine_has_no_hosts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["minatar_prune", "--hosts=2"]) == 2
    assert "`--hosts` must be left out with --engine=local" in capsys.readouterr().err


def test_a_ray_group_of_nothing_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["minatar_prune", "--engine=ray", "--hosts=2", "--cpus_per_job=0"]) == 2
    assert "`--cpus_per_job` must be above 0 with --hosts" in capsys.readouterr().err


@pytest.mark.parametrize(
    "parts, expected",
    [
        ([Ended(0), Ended(0)], Ended(0)),
        ([Ended(143), LOST, Ended(1), Ended(MISTAKE)], Ended(MISTAKE)),
        ([Ended(143), LOST, Ended(TEMPFAIL)], Ended(TEMPFAIL)),
        ([Ended(1), LOST, Ended(0)], LOST),
        ([Ended(143), Ended(137), Ended(0)], Ended(137)),
        ([Ended(0), Ended(143)], Ended(143)),
    ],
)
def test_a_program_ends_as_the_process_that_the_others_ended_for(parts, expected):
    assert together(parts) == together(parts[::-1]) == expected


def test_slurm_is_told_by_the_ranks_how_they_ended():
    log = (
        "worker of rank 1: exit code 2: dormant must be version 3 here\n"
        "srun: error: n2: task 1: Exited with exit code 2\n"
        "srun: Terminating StepId=1.0\nworker of rank 0: exit code 143: its log says why\n"
    )
    problem = "worker of rank 1: exit code 2: dormant must be version 3 here"
    assert slurm._ended(Report("FAILED", 143), log) == Ended(MISTAKE, problem=problem)
    assert slurm._ended(Report("NODE_FAIL", 0), log).was_lost
    for code in (MISTAKE, TEMPFAIL):
        problem = f"exit code {code}: worker: [Errno 5] gone"
        ended = slurm._ended(Report("FAILED", code), "worker: [Errno 5] gone\n")
        assert ended == Ended(code, problem=problem)


def test_each_node_gets_a_worker_with_its_cores_and_all_its_gpus(tmp_path):
    srun = tmp_path / "srun"
    lines = ("#!/bin/sh", 'echo "$SRUN_CPUS_PER_TASK $JAX_LOCAL_DEVICE_IDS"', 'printf "%s\\n" "$@"')
    srun.write_text("\n".join(lines), "utf-8")
    srun.chmod(0o755)
    variables = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "8", "SLURM_GPUS_ON_NODE": "4"}
    odd = str(tmp_path / '"a" $(b)')
    subprocess.run(
        ["sh", slurm.TASK_SCRIPT, "python", odd, f"{odd}_1", "2"],
        env=variables | {"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=True,
    )
    said = Path(f"{odd}_1_3.log").read_text("utf-8").splitlines()
    assert said[0] == "8 0,1,2,3" and "--kill-on-bad-exit=1" in said
    assert said[-7:] == [
        *("python", "-m", "dormant.reproduce.engines.worker", odd),
        *(f"--names={odd}_1.names", "3", "--hosts=2"),
    ]


SHOWN = "import sys; print(sys.argv[1:])"


@pytest.fixture
def planned(tmp_path):
    """A folder with a task that prints its arguments."""
    folder = tmp_path / "x"
    folder.mkdir()
    run = PlannedRun("a.b/seed_0", "a.b", "", None, "g", 0, 1_000, "c")
    file = ExperimentFile("x", "mini", "t", "e", "", ("return",), "one", "c", (run,), ())
    (folder / EXPERIMENT_FILE).write_text(to_json(file), "utf-8")
    write_tasks(folder, [Task("a.b", ("-c", SHOWN, "$(x)"), Path("logs/a.b.log"), ("a.b",))])
    return folder


def work(folder, rank, *more):
    words = [*worker_arguments(folder, "a.b", Process(rank, 2)), *more]
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


def test_each_rank_has_arguments_and_a_log_of_its_own(planned):
    for rank in (0, 1):
        done = work(planned, rank, "--coordinator=10.0.0.1:5")
        assert done.returncode == 0 and done.stderr == ""
    for rank, name in enumerate(("a.b.log", "a.b.rank1.log")):
        shown = (planned / "logs" / name).read_text("utf-8").splitlines()[-1]
        assert shown == repr(
            [
                "$(x)",
                "--gin_bindings=VectorizedRun.distributed = True",
                "--gin_bindings=initialize_distributed.coordinator_address = '10.0.0.1:5'",
                "--gin_bindings=initialize_distributed.num_processes = 2",
                f"--gin_bindings=initialize_distributed.process_id = {rank}",
            ]
        )
    assert work(planned, 1).returncode == 0
    assert (
        (planned / "logs" / "a.b.rank1.log")
        .read_text("utf-8")
        .endswith("['$(x)', '--gin_bindings=VectorizedRun.distributed = True']\n")
    )


def test_a_rank_leaves_alone_only_what_is_held_of_its_own(planned):
    lease = Lease(planned / "a.b" / "checkpoints" / "process_1")
    lease.acquire()
    try:
        for rank, code in ((0, 0), (1, TEMPFAIL)):
            done = work(planned, rank)
            assert done.returncode == code, done.stderr
    finally:
        lease.release()
    assert done.stderr.startswith(f"worker of rank 1: exit code {TEMPFAIL}: ")

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""One program on two hosts, as `srun` starts it: JAX finds the coordinator by what Slurm says."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.killed_runs import KINDS, assert_same, environment, finish, left
from tests.reproduce.ray_nodes import lease, until
from tests.vectorized.test_runner import check_equal_up_to_rounding

pytestmark = pytest.mark.slow
BINDINGS = {
    "VectorizedRun.num_iterations": 20,
    "VectorizedRun.training_steps": 1_000,
    "VectorizedRun.seeds": 2,
    "VectorizedRun.distributed": True,
    "VectorizedDQN.min_replay_history": 200,
    "Tracker.tracking_period": 50,
}
MINUTE = 60


class Program:
    """`srun -N2 -n2` of a run of two seeds, one on each host."""

    def __init__(self, cluster, folder, *wrapped):
        self.folder, self._cluster = folder, cluster
        bindings = [f"--gin_bindings={name} = {value}" for name, value in BINDINGS.items()]
        self._command = [
            *("srun", "--nodes=2", "--ntasks=2", "--kill-on-bad-exit=1", *wrapped),
            *(sys.executable, "-m", "dormant.train_vectorized"),
            *("--gin_files=vectorized/quickstart.gin", f"--base_dir={folder}", *bindings),
        ]

    def start(self):
        return subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self):
        """Its exit code, and what both wrote."""
        process = self.start()
        try:
            return process.communicate(timeout=300)[0], process.returncode
        finally:
            process.kill()

    def statuses(self):
        paths = [self.folder / f"seed_{seed}" / "run.json" for seed in (0, 1)]
        return [json.loads(path.read_text("utf-8"))["status"] for path in paths if path.exists()]

    def has_saved(self):
        return all(
            any((self.folder / "checkpoints" / f"process_{rank}").glob("[1-9]*")) for rank in (0, 1)
        )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def surroundings(cluster, compiled, monkeypatch):
    for name, value in (environment(compiled) | cluster.variables).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def whole(cluster, compiled, tmp_path_factory):
    """What the program leaves that nothing happened to."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environment(compiled) | cluster.variables).items():
            patch.setenv(name, value)
        program = Program(cluster, tmp_path_factory.mktemp("whole") / "run")
        output, code = program.run()
    assert code == 0 and program.statuses() == ["finished", "finished"], output
    return left(program.folder)


def ranks():
    """{rank: process} of the program's processes."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            variables = dict(
                each.partition(b"=")[::2] for each in (path / "environ").read_bytes().split(b"\0")
            )
        except OSError:
            continue
        if b"dormant.train_vectorized" in words and b"SLURM_PROCID" in variables:
            found[int(variables[b"SLURM_PROCID"])] = int(path.name)
    return found


@pytest.mark.parametrize("rank", [0, 1])
def test_where_one_host_dies_the_other_ends_and_both_go_on(cluster, tmp_path, whole, rank):
    program = Program(cluster, tmp_path / "run")
    process = program.start()
    cluster.wait(program.has_saved, "checkpoints of both", 200)
    os.kill(ranks()[rank], 9)
    output, _ = process.communicate(timeout=MINUTE)
    assert process.returncode != 0, output
    cluster.wait(lambda: not ranks(), "the other's end", 10)
    output, code = program.run()
    assert code == 0 and program.statuses() == ["finished", "finished"], output
    assert_same(left(program.folder), whole)


def test_a_host_that_comes_late_is_waited_for(cluster, tmp_path, whole):
    late = 'test "$SLURM_PROCID" = 0 || sleep 30; exec "$@"'
    program = Program(cluster, tmp_path / "run", "sh", "-c", late, "sh")
    output, code = program.run()
    assert code == 0, output
    assert_same(left(program.folder), whole)


def test_a_taken_port_ends_both_hosts(cluster, tmp_path):
    job = int(cluster("sbatch", "--parsable", "--hold", "--wrap", "true").strip())
    cluster("scancel", str(job))
    with socket.socket() as taken:
        # What JAX makes of the number of the job that comes next.
        taken.bind(("", (job + 1) % 2**12 + 65535 - 2**12 + 1))
        taken.listen()
        output, code = Program(cluster, tmp_path / "run").run()
    assert code != 0 and not (tmp_path / "run" / "seed_0").exists()
    # JAX says so itself, and its process dies of it.
    assert "Failed to add port to server" in output, output


# An experiment, of whose two jobs each is one program on both nodes.
JOB = "dqn/Breakout-MinAtar"


class Experiment:
    """The command that submits it and waits for its end."""

    def __init__(self, folder):
        self.folder = folder
        options = ("--seeds=2", "--engine=slurm", "--hosts=2", "--wait")
        self._command = [*KINDS["reproduce"].command(folder), *options]

    def start(self):
        pipe = subprocess.PIPE
        return subprocess.Popen(self._command, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    def has_saved(self):
        places = [self.folder / JOB / "checkpoints" / f"process_{rank}" for rank in (0, 1)]
        return all((place / "0").exists() for place in places)

    def end(self, process, alone):
        """What both said; at its end all is as on one host."""
        output = process.communicate(timeout=400)[0]
        assert process.returncode == 0 and "4 of 4 runs are whole" in output, output
        for run in sorted(path.parent for path in alone.rglob("metrics.jsonl")):
            check_equal_up_to_rounding(self.folder / run.relative_to(alone), run)
        return output

    def submissions(self):
        return len(list((self.folder / "engine" / "slurm").glob("*.names")))


@pytest.fixture(scope="module")
def alone(compiled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "runs"
    finish(KINDS["reproduce"], folder, compiled)
    return folder


@pytest.fixture(scope="module")
def undisturbed(cluster, compiled, alone, tmp_path_factory):
    """What the experiment leaves that nothing happens to."""
    experiment = Experiment(tmp_path_factory.mktemp("undisturbed") / 'odd "runs"')
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environment(compiled) | cluster.variables).items():
            patch.setenv(name, value)
        output = experiment.end(experiment.start(), alone)
    assert "tried again" not in output and experiment.submissions() == 1
    assert (experiment.folder / "logs" / "dqn__Breakout-MinAtar.rank1.log").is_file()
    return left(experiment.folder)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_job_that_loses_one_of_its_hosts_is_tried_again(tmp_path, alone, undisturbed, rank):
    experiment = Experiment(tmp_path / "runs")
    process = experiment.start()
    until(experiment.has_saved, 200, process)
    os.kill(ranks()[rank], 9)
    output = experiment.end(process, alone)
    assert f"{JOB} failed and is tried again: worker of rank {rank}: exit code 137" in output
    assert experiment.submissions() == 2
    assert [lease(experiment.folder / JOB, each)["attempt"] for each in (0, 1)] == [2, 2]
    assert_same(left(experiment.folder), undisturbed)


def test_a_preempted_job_starts_again_on_all_its_hosts(cluster, tmp_path, alone, undisturbed):
    experiment = Experiment(tmp_path / "runs")
    process = experiment.start()
    until(experiment.has_saved, 200, process)
    taking = ("--partition=high", "--nodes=2", "--output=/dev/null", "--wrap", "sleep 1")
    cluster("sbatch", *taking)
    array = (experiment.folder / "engine" / "slurm" / "1.id").read_text("utf-8").strip()

    def restarted():
        fields = "--Format=State:20,RestartCnt:20"
        lines = cluster("squeue", "--noheader", "--array", f"--jobs={array}_0", fields)
        return lines.split() == ["PENDING", "1"]

    cluster.wait(restarted, "it to wait again")
    cluster("scontrol", "update", f"JobId={array}_0", "StartTime=now")
    output = experiment.end(process, alone)
    assert "tried again" not in output and experiment.submissions() == 1
    assert_same(left(experiment.folder), undisturbed)

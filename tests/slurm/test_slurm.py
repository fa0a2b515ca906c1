# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The engine on a real Slurm: nothing that happens to a task, a node or the driver changes what is
recorded, or is counted for what it is not."""

import json
import os
import signal
import subprocess
import time

import pytest

from dormant.records.experiment_file import ExperimentFile, PlannedRun, to_json
from dormant.records.files import EXPERIMENT_FILE, RUN_FILE
from dormant.records.results import FINISHED
from dormant.reproduce import running
from dormant.reproduce.engines.slurm import Slurm
from dormant.reproduce.engines.worker import TASKS_FILE, write_tasks
from dormant.reproduce.jobs import Job
from dormant.reproduce.progress import Verified
from dormant.reproduce.running import Budgets, log_of, run_jobs, state_of_job, tasks_of
from tests.faults.killed_runs import KINDS, assert_same, environment, finish, left
from tests.slurm.cluster import NODES

pytestmark = pytest.mark.slow
ITERATIONS = 30  # of a run: seconds, in which something can happen to it
KIND = KINDS["device"].of_length(ITERATIONS)
SECONDS = 300


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, compiled):
    """What a run leaves that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(KIND, folder, compiled)
    return left(folder)


@pytest.fixture(autouse=True)
def surroundings(cluster, compiled, monkeypatch):
    """Of this process and of all that it submits."""
    for name, value in (environment(compiled) | cluster.variables).items():
        monkeypatch.setenv(name, value)
    yield
    cluster("scancel", "--user=root")
    cluster.wait(lambda: not cluster("squeue", "--noheader"), "an empty queue")


class Experiment:
    """Jobs of a folder with an odd name, and a driver that is asked again and again."""

    def __init__(self, cluster, tmp_path, bindings=(), names=("one", "two")):
        self.cluster, self.folder = cluster, tmp_path / '50% it\'s $(x); "y"'
        self.folder.mkdir()
        self.jobs = [self._job(name, bindings) for name in names]
        runs = tuple(run for job in self.jobs for run in job.runs)
        file = ExperimentFile("x", "mini", "t", "e", "", ("return",), "one", "c", runs, ())
        (self.folder / EXPERIMENT_FILE).write_text(to_json(file), "utf-8")
        write_tasks(self.folder, [task for task in tasks_of(self.jobs)])
        self.failures = []

    def _job(self, name, bindings):
        runs = tuple(
            PlannedRun(f"{name}/seed_{seed}", name, "", None, "g", seed, 1_000 * ITERATIONS, "c")
            for seed in (0, 1)
        )
        arguments = ["-m", *KIND.arguments, f"--base_dir={self.folder / name}"]
        arguments += [f"--gin_bindings={binding}" for binding in bindings]
        return Job(name, tuple(arguments), runs, "", 1)

    def ask(self, **budgets):
        """As a process of its own would that does not wait."""
        engine = Slurm(self.folder)
        self.failures += run_jobs(self.jobs, self.folder, engine, Budgets(**budgets), wait=False)
        return engine

    def ask_until(self, is_so, what, **budgets):
        self.cluster.wait(lambda: self.ask(**budgets) and is_so(), what, SECONDS)

    def is_training(self, name):
        """Whether it has a checkpoint, and is not at its end."""
        path = self.folder / name / "seed_0" / RUN_FILE
        saved = any((self.folder / name).glob("checkpoints/process_0/[1-9]*"))
        return saved and json.loads(path.read_text("utf-8"))["status"] == "running"

    def are_training(self):
        return all(self.is_training(job.name) for job in self.jobs)

    def are_whole(self):
        return all(state_of_job(Verified(self.folder), job).status == FINISHED for job in self.jobs)

    def spent(self):
        path = self.folder / "engine" / "spent.json"
        return json.loads(path.read_text("utf-8")) if path.exists() else {}

    def submissions(self):
        return len(list((self.folder / "engine" / "slurm").glob("*.names")))

    def array(self):
        return (self.folder / "engine" / "slurm" / "1.id").read_text("utf-8").strip()

    def restarts(self):
        """{task: how often Slurm itself started it again}, of those that wait or run."""
        fields = "--Format=ArrayTaskID:20,State:20,RestartCnt:20"
        job = f"--jobs={self.array()}"
        lines = self.cluster("squeue", "--noheader", "--array", job, fields).splitlines()
        return {int(line.split()[0]): line.split()[1:] for line in lines}

    def start_now(self):
        """Of tasks that were queued again, which Slurm holds for two minutes."""
        for task, (state, _) in self.restarts().items():
            if state == "PENDING":
                self.cluster("scontrol", "update", f"JobId={self.array()}_{task}", "StartTime=now")

    def assert_as(self, whole):
        for job in self.jobs:
            assert_same(left(self.folder / job.name), whole)


def test_a_preempted_task_starts_again_by_itself(cluster, tmp_path, whole):
    experiment = Experiment(cluster, tmp_path)
    experiment.ask_until(experiment.are_training, "both to train")
    taking = ("--partition=high", "--array=0-1", "--output=/dev/null", "--wrap", "sleep 1")
    cluster("sbatch", *taking)
    again = {0: ["PENDING", "1"], 1: ["PENDING", "1"]}
    experiment.ask_until(lambda: experiment.restarts() == again, "both to wait again")
    assert "interrupted by SIGTERM" in log_of(experiment.folder, experiment.jobs[0]).read_text()
    assert not experiment.are_whole()
    experiment.start_now()
    experiment.ask_until(experiment.are_whole, "both to be whole")
    assert experiment.failures == [] and experiment.submissions() == 1
    assert experiment.spent() == {}  # nothing of what Slurm does by itself
    experiment.assert_as(whole)


@pytest.mark.parametrize("tasks_die", [True, False])
def test_a_lost_node_loses_nothing(cluster, tmp_path, whole, tasks_die, monkeypatch):
    monkeypatch.setattr(running, "_HELD_SECONDS", 1.0)
    experiment = Experiment(cluster, tmp_path, names=("one",))
    experiment.ask_until(experiment.are_training, "it to train")
    node = cluster("squeue", "--noheader", "--format=%N").strip()
    try:
        # Where its tasks live on, the one that follows finds their lease and leaves them alone.
        alive = cluster.kill(node, and_tasks=tasks_die)
        for process in alive:
            os.kill(process, signal.SIGSTOP)  # so that it does not come to its end meanwhile
        experiment.ask_until(
            lambda: experiment.restarts().get(0) == ["PENDING", "1"], "it to wait again"
        )
        experiment.start_now()
        if alive:
            experiment.ask_until(experiment.spent, "one that comes too early")
        for process in alive:
            os.kill(process, signal.SIGCONT)
        experiment.ask_until(experiment.are_whole, "it to be whole")
    finally:
        cluster.start(node)
        cluster.wait(lambda: cluster.states().count("idle") == len(NODES), "idle nodes")
    assert experiment.failures == []
    assert list(experiment.spent().get("preemptions", {})) == ["one"] * len(alive[:1])
    experiment.assert_as(whole)


def test_what_was_taken_away_has_a_budget_that_outlives_the_driver(cluster, tmp_path, whole):
    experiment = Experiment(cluster, tmp_path, names=("one",))
    experiment.ask_until(experiment.are_training, "it to train")
    experiment.ask().cancel(list(Slurm(experiment.folder).handles().values()))
    assert Slurm(experiment.folder).handles() == {} and experiment.spent() == {}
    for submissions in (2, 3):  # by somebody else
        experiment.ask_until(lambda: experiment.submissions() == submissions, "it to wait again")  # noqa: B023
        cluster("scancel", "--user=root")
    experiment.ask_until(lambda: experiment.failures, "a failure", preemptions=1)
    ((_, problem),) = experiment.failures  # by what the task said last, or by what Slurm says
    assert "interrupted by SIGTERM" in problem or problem == "Slurm says CANCELLED"
    assert experiment.submissions() == 3
    experiment.ask_until(experiment.are_whole, "it to be whole")  # asked again it is tried again
    assert len(experiment.failures) == 1
    experiment.assert_as(whole)


def test_a_mistake_is_not_tried_again_and_a_failure_once(cluster, tmp_path):
    experiment = Experiment(cluster, tmp_path, ["VectorizedRun.seeds = 'two'"], names=("one",))
    experiment.ask_until(lambda: experiment.failures, "a failure", retries=5)
    ((_, problem),) = experiment.failures
    assert problem.startswith("exit code 2: ") and "VectorizedRun.seeds" in problem
    assert experiment.submissions() == 1


def test_a_package_of_another_version_is_refused(cluster, tmp_path):
    experiment = Experiment(cluster, tmp_path, names=("one",))
    path = experiment.folder / TASKS_FILE
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"version": "0.0.1"}), "utf-8")
    experiment.ask_until(lambda: experiment.failures, "a failure", retries=5)
    ((_, problem),) = experiment.failures
    assert problem.startswith("exit code 2: worker: dormant must be version 0.0.1 here")


def test_a_driver_that_is_killed_submits_nothing_twice(cluster, tmp_path, compiled):
    kind = KINDS["reproduce"]
    finish(kind, tmp_path / "local", compiled)
    folder = tmp_path / "$(touch x) 50%a"
    command = [*kind.command(folder), "--engine=slurm", "--slurm_options=--time=10", "--wait"]
    own = folder / "engine" / "slurm"
    for is_time in (
        lambda: any(own.glob("*.names")),  # before or while sbatch is called
        lambda: any(path.stat().st_size for path in own.glob("*.id")),
        lambda: time.sleep(2.0) is None,
        lambda: time.sleep(3.0) is None,
    ):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while not is_time():
            time.sleep(0.001)
        process.kill()
        process.wait()
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0 and "4 of 4 runs are whole" in done.stdout, done.stderr
    assert len([path for path in own.glob("*.id") if path.read_text("utf-8").strip()]) == 1
    assert_same(left(folder), left(tmp_path / "local"))

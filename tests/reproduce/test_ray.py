# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The Ray engine on a real cluster of this machine: whatever dies, an experiment comes to the
records and the state, to the bit, of one that nothing happened to. docs/ray.md lists the faults."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from dormant.version import __version__
from tests.faults.killed_runs import assert_same, environment, left, leftovers
from tests.reproduce import ray_nodes
from tests.reproduce.ray_nodes import ROOT, Chain, Cluster, lease, send, until, works
from tests.vectorized.test_runner import check_equal_up_to_rounding

pytestmark = pytest.mark.slow
EXPERIMENT = ("minatar_prune", "--scale=smoke", "--games=Breakout-MinAtar")
JOBS = ("dqn/Breakout-MinAtar", "dqn_pruning/Breakout-MinAtar")
_SECONDS = 300  # a run takes some; what another process holds is asked for again after 60
# Another machine, whose folders a file system shares that knows no locks.
ELSEWHERE = """
import errno, fcntl, os, pathlib

def flock(descriptor, how):
    raise OSError(errno.ENOLCK, "no locks")

read_text = pathlib.Path.read_text

def read_text_here(path, *arguments, **options):
    is_machine = str(path) == "/proc/sys/kernel/random/boot_id"
    return os.environ["MACHINE"] if is_machine else read_text(path, *arguments, **options)

fcntl.flock, pathlib.Path.read_text = flock, read_text_here
"""


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """Of every process: programs are compiled once."""
    found = environment(tmp_path_factory.mktemp("compiled"))
    return found | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ray_nodes.site())])}


@pytest.fixture(scope="module")
def alone(variables, tmp_path_factory):
    """The folder of an experiment that ran on this machine alone."""
    folder = tmp_path_factory.mktemp("expected") / "runs"
    command = [sys.executable, "-m", "dormant.reproduce", *EXPERIMENT, f"--base_dir={folder}"]
    subprocess.run(command, env=variables, check=True, timeout=_SECONDS)
    return folder


@pytest.fixture(scope="module")
def expected(alone):
    """What it leaves."""
    return left(alone)


@pytest.fixture
def start_cluster(variables, tmp_path):
    """`start_cluster(nodes=2)`: a head and nodes, gone after the test."""
    with contextlib.ExitStack() as stack:

        def start(nodes=2):
            folder = tmp_path / f"cluster_{time.monotonic_ns()}"
            folder.mkdir()
            cluster = Cluster(folder, variables)
            stack.callback(cluster.close)
            for _ in range(nodes):
                cluster.add_node()
            return cluster

        yield start


@pytest.fixture
def cluster(start_cluster):
    return start_cluster()


class Driver:
    """The command, and what it says."""

    def __init__(self, cluster, folder, *options):
        self.folder = folder
        self.said = folder.parent / f"driver_{time.monotonic_ns()}.log"
        base = (f"--base_dir={folder}", "--engine=ray", f"--address={cluster.address}")
        command = ["dormant.reproduce", *EXPERIMENT, *base, *options]
        self.process = cluster.start(command, self.said)

    def text(self):
        return self.said.read_text("utf-8", errors="replace")

    def caught(self, job=JOBS[0], attempt=1, rank=0):
        """The processes of a job that has its first checkpoint, the job's own stopped."""
        place = self.folder / job

        def working():
            found = lease(place, rank)
            return found.get("held") and found["attempt"] >= attempt and found

        found = until(working, _SECONDS, self.process, self.said)
        first = place / f"checkpoints/process_{rank}/0"
        until(first.exists, _SECONDS, self.process, self.said)
        send(found["process"], signal.SIGSTOP)
        return Chain(found["process"])

    def code(self):
        return self.process.wait(_SECONDS)

    def finish(self, expected):
        """Waits for the end, at which all is as it should be."""
        assert self.code() == 0, self.text()[-3_000:]
        assert "4 of 4 runs are whole" in self.text()
        assert_same(left(self.folder), expected)
        assert not leftovers(self.folder)


@pytest.mark.parametrize("name", ["runs", 'it\'s "odd"; $(touch here) `id` & \\\n%s {x}'])
def test_an_experiment_on_a_cluster_is_that_of_one_machine(name, cluster, expected, tmp_path):
    Driver(cluster, tmp_path / name).finish(expected)
    assert not list(tmp_path.rglob("here"))
    log = (tmp_path / name / "logs" / "dqn__Breakout-MinAtar.log").read_text("utf-8")
    assert log.count("$ python") == 1


def test_on_a_node_that_is_the_whole_machine_each_has_cores_of_its_own(
    start_cluster, tmp_path, all_cores
):
    cluster = start_cluster(0)
    cluster.add_node(f"--num-cpus={len(all_cores)}")
    driver = Driver(cluster, tmp_path / "runs")

    def at_work():
        found = [lease(driver.folder / job) for job in JOBS[: len(all_cores)]]
        return all(each.get("held") for each in found) and [each["process"] for each in found]

    jobs = until(at_work, _SECONDS, driver.process, driver.said)
    found = [os.sched_getaffinity(job) for job in jobs]
    assert all(len(each) == 1 and each <= set(all_cores) for each in found)
    assert len(set.union(*found)) == len(jobs)
    driver.process.send_signal(signal.SIGTERM)
    assert driver.code() == 143


@pytest.mark.parametrize("killed", ["job", "worker", "ray_worker", "raylet"])
def test_what_is_killed_is_tried_again(killed, cluster, expected, tmp_path):
    driver = Driver(cluster, tmp_path / "runs")
    chain = driver.caught()
    send(getattr(chain, killed), signal.SIGKILL)
    until(lambda: not works(chain.job), 60)  # nothing is left of it to write
    driver.finish(expected)
    assert f"{JOBS[0]} " in driver.text() and "is tried again" in driver.text()
    assert lease(driver.folder / JOBS[0])["attempt"] == 2


def test_the_driver_is_killed_twice_and_the_same_command_goes_on(cluster, expected, tmp_path):
    for attempt in (1, 2):
        driver = Driver(cluster, tmp_path / "runs")
        chain = driver.caught(attempt=attempt)
        driver.process.kill()
        driver.process.wait()
        until(lambda chain=chain: not works(chain.job), 60)
    Driver(cluster, tmp_path / "runs").finish(expected)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_driver_ends_its_jobs(number, code, cluster, expected, tmp_path):
    driver = Driver(cluster, tmp_path / "runs")
    chain = driver.caught()
    send(chain.job, signal.SIGCONT)
    driver.process.send_signal(number)
    assert driver.code() == code, driver.text()
    assert not works(chain.job) and "the same command goes on" in driver.text()
    Driver(cluster, tmp_path / "runs").finish(expected)


def test_the_head_is_killed_and_the_same_command_goes_on_elsewhere(
    cluster, start_cluster, expected, tmp_path
):
    driver = Driver(cluster, tmp_path / "runs")
    chain = driver.caught()
    os.killpg(cluster.head.pid, signal.SIGKILL)
    assert driver.code() != 0
    until(lambda: not works(chain.job), 120)
    Driver(start_cluster(1), tmp_path / "runs").finish(expected)


def test_what_is_only_out_of_reach_is_waited_for(cluster, expected, tmp_path):
    driver = Driver(cluster, tmp_path / "runs")
    chain = driver.caught()
    for process in chain:
        send(process, signal.SIGSTOP)
    until(lambda: "a folder that no other process works on" in driver.text(), _SECONDS)
    assert lease(driver.folder / JOBS[0])["attempt"] == 1
    for process in chain:
        send(process, signal.SIGCONT)
    driver.finish(expected)


def test_what_comes_back_writes_no_more_beside_its_successor(
    start_cluster, variables, expected, tmp_path
):
    (tmp_path / "sitecustomize.py").write_text(ELSEWHERE, "utf-8")
    cluster, path = start_cluster(0), f"{tmp_path}{os.pathsep}{variables['PYTHONPATH']}"
    for machine in ("one", "another"):
        cluster.add_node(PYTHONPATH=path, MACHINE=machine)
    driver = Driver(cluster, tmp_path / "runs")
    chain = driver.caught()
    for process in chain:
        send(process, signal.SIGSTOP)
    place = driver.folder / JOBS[0]
    until(lambda: lease(place).get("attempt") == 2, _SECONDS, driver.process, driver.said)
    send(chain.job, signal.SIGCONT)  # alone, as nothing there knows that it was given up
    until(lambda: not works(chain.job), 120)
    log = (driver.folder / "logs" / f"{JOBS[0].replace('/', '__')}.log").read_text("utf-8")
    # Its lease, or before that a record's length, tells it that it is not alone.
    said = ("must be held by this process, attempt 1, until it", "another process writes there")
    assert any(each in log for each in said)
    driver.finish(expected)


def test_a_node_with_another_version_is_refused_by_name_and_only_once(
    start_cluster, variables, tmp_path
):
    other = tmp_path / "other"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "dormant", other / "dormant", ignore=ignored)
    (other / "dormant" / "version.py").write_text('__version__ = "0.0.1"\n', "utf-8")
    cluster = start_cluster(0)
    cluster.add_node(PYTHONPATH=f"{other}{os.pathsep}{ray_nodes.site()}")
    driver = Driver(cluster, tmp_path / "runs", "--retries=5")
    assert driver.code() == 1
    said = f"exit code 2: worker: dormant must be version {__version__} here"
    assert driver.text().count(said) == 2 and "got 0.0.1" in driver.text()
    assert "tried again" not in driver.text()
    assert not list(driver.folder.rglob("checkpoints"))


def test_jobs_wait_for_a_node_that_has_what_they_take(start_cluster, expected, tmp_path):
    cluster = start_cluster(1)
    asked = ("--cpus_per_job=0.5", "--resources_per_job", "chip=1", "host=0.1")
    driver = Driver(cluster, tmp_path / "runs", *asked)
    note = "no node of the cluster has CPU 0.5, chip 1, host 0.1 now: jobs wait until one comes"
    until(lambda: note in driver.text(), _SECONDS, driver.process, driver.said)
    cluster.add_node('--resources={"chip": 1, "host": 1}')
    driver.finish(expected)


def finish_on_two_hosts(driver, alone):
    assert driver.code() == 0, driver.text()[-3_000:]
    assert "4 of 4 runs are whole" in driver.text() and not leftovers(driver.folder)
    for run in sorted(path.parent for path in alone.rglob("metrics.jsonl")):
        check_equal_up_to_rounding(driver.folder / run.relative_to(alone), run)
    return left(driver.folder)


@pytest.fixture(scope="module")
def undisturbed(variables, alone, tmp_path_factory):
    """What an experiment leaves whose runs are one program on two nodes each."""
    folder = tmp_path_factory.mktemp("undisturbed")
    cluster = Cluster(folder, variables)
    try:
        cluster.add_node()
        cluster.add_node()
        driver = Driver(cluster, folder / "runs", "--hosts=2")
        found = finish_on_two_hosts(driver, alone)
        assert "tried again" not in driver.text()
    finally:
        cluster.close()
    places = {path.name for path in driver.folder.rglob("checkpoints/process_*")}
    assert places == {"process_0", "process_1"}
    return found


@pytest.mark.parametrize("rank, killed", [(0, "job"), (1, "job"), (1, "raylet")])
def test_what_loses_one_of_its_hosts_is_tried_again(
    rank, killed, cluster, alone, undisturbed, tmp_path
):
    driver = Driver(cluster, tmp_path / "runs", "--hosts=2")
    chain, other = driver.caught(rank=rank), 1 - rank
    sibling = lease(driver.folder / JOBS[0], other)["process"]
    send(getattr(chain, killed), signal.SIGKILL)
    until(lambda: not works(chain.job) and not works(sibling), 60)
    if killed == "raylet":
        cluster.add_node()
    assert_same(finish_on_two_hosts(driver, alone), undisturbed)
    happened = "was stopped" if killed == "raylet" else "failed"
    assert f"{JOBS[0]} {happened} and is tried again" in driver.text()
    assert [lease(driver.folder / JOBS[0], each)["attempt"] for each in (0, 1)] == [2, 2]

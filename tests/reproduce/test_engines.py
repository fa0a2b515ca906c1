# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The seam: what a driver makes of an engine's answers, and what a worker does. Engines that need
a cluster have tests of their own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from dormant.records.experiment_file import ExperimentFile, to_json
from dormant.records.files import EXPERIMENT_FILE
from dormant.records.lease import Lease
from dormant.reproduce import running
from dormant.reproduce.engines import worker
from dormant.reproduce.engines.engine import MISTAKE, TEMPFAIL, Ended, Task, last_line
from dormant.reproduce.engines.places import held_cores
from dormant.reproduce.engines.worker import TASKS_FILE, worker_arguments, write_tasks
from dormant.reproduce.jobs import Job
from tests.report.hostile_runs import planned_runs, write_run


def test_a_processs_last_words_are_the_errors_own():
    text = (
        "Traceback\nRuntimeError: Unable to initialize backend 'cuda'\n"
        "  In call to configurable 'ReDo' (<class 'ReDo'>)\n"
        "--------------------\nFor simplicity, JAX has removed its internal frames from the\n\n"
    )
    assert last_line(text) == "RuntimeError: Unable to initialize backend 'cuda'"
    assert last_line("") == ""


class Scripted:
    """An engine whose tasks end as it is told; a run becomes whole where the code is 0."""

    outlives, at_once = False, None

    def __init__(self, folder, ends, runs):
        self.folder, self.ends, self.runs = folder, ends, {run.folder: run for run in runs}
        self.submitted = []

    def submit(self, tasks):
        self.submitted += [task.name for task in tasks]
        return [task.name for task in tasks]

    def poll(self, handle):
        ended = self.ends[handle].pop(0)
        if ended is not None and ended.code == 0:
            write_run(self.folder, self.runs[handle])
        return ended

    def cancel(self, handles):
        self.submitted.append(("cancelled", *handles))

    def handles(self):
        return {}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(running, "_POLL_SECONDS", 0.001)
    monkeypatch.setattr(running, "_HELD_SECONDS", 0.01)


def scripted(tmp_path, ends, **changes):
    (run, *_) = planned_runs()
    engine = Scripted(tmp_path, {run.folder: list(ends)}, [run])
    for name, value in changes.items():
        setattr(engine, name, value)
    return engine, [Job(run.folder, (), (run,), "", 1)]


LOST, OK, FAILED = Ended(None, True, "its node died"), Ended(0), Ended(1, problem="it broke")


@pytest.mark.parametrize(
    "ends, budgets, tries, problem",
    [
        ([None, OK], (0, 0), 1, None),
        ([FAILED, OK], (1, 0), 2, None),
        ([FAILED, FAILED], (1, 9), 2, "it broke"),
        ([LOST] * 5 + [OK], (0, 5), 6, None),
        ([LOST] * 3, (9, 2), 3, "its node died"),
        ([Ended(143), Ended(130), FAILED, OK], (1, 2), 4, None),
        ([Ended(TEMPFAIL, problem="held"), OK], (0, 1), 2, None),
        ([Ended(MISTAKE, problem="a flag")], (9, 9), 1, "a flag"),
    ],
)
def test_failures_and_preemptions_have_budgets_of_their_own(
    tmp_path, ends, budgets, tries, problem
):
    engine, jobs = scripted(tmp_path, ends)
    failures = running.run_jobs(jobs, tmp_path, engine, running.Budgets(*budgets))
    assert [failure.problem for failure in failures] == ([] if problem is None else [problem])
    assert len(engine.submitted) == tries


def test_a_driver_that_does_not_wait_finds_what_an_earlier_one_submitted(tmp_path):
    engine, jobs = scripted(tmp_path, [None, OK], outlives=True)
    assert running.run_jobs(jobs, tmp_path, engine, wait=False) == []
    engine.handles = lambda: {jobs[0].name: jobs[0].name}
    assert running.run_jobs(jobs, tmp_path, engine, wait=False) == []
    assert running.run_jobs(jobs, tmp_path, engine, wait=False) == []
    assert engine.submitted == [jobs[0].name] and engine.ends == {jobs[0].name: []}


@pytest.mark.parametrize("outlives", [False, True])
def test_an_interrupted_driver_ends_only_what_ends_with_it(tmp_path, outlives):
    engine, jobs = scripted(tmp_path, [], outlives=outlives)

    def interrupted(handle):
        raise KeyboardInterrupt

    engine.poll = interrupted
    with pytest.raises(KeyboardInterrupt):
        running.run_jobs(jobs, tmp_path, engine)
    cancelled = [] if outlives else [("cancelled", jobs[0].name)]
    assert engine.submitted == [jobs[0].name, *cancelled]


def planned(tmp_path, code):
    """A folder in which one task is planned, which runs `code`."""
    folder = tmp_path / "an 'experiment' $(x)"
    (run, *_) = planned_runs()
    log = running.log_of(folder, job(run))
    write_tasks(folder, [Task(run.folder, ("-c", code), log, (run.folder,))])
    file = ExperimentFile("x", "mini", "t", "e", "", ("return",), "DQN", "c", (run,), ())
    (folder / EXPERIMENT_FILE).write_text(to_json(file), "utf-8")
    return folder, run


def job(run):
    return Job(run.folder, (), (run,), "", 1)


def work(folder, name, *options, **keywords):
    command = [sys.executable, *worker_arguments(folder, name), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **keywords)


def code_of(process):
    process.communicate()
    return process.returncode


def test_a_worker_runs_its_task_and_says_how_it_ended(tmp_path):
    folder, run = planned(tmp_path, "print('it\\'s; $(here)'); raise SystemExit(7)")
    process = work(folder, run.folder, cwd="/")
    assert process.communicate()[1] == "" and process.returncode == 7
    text = running.log_of(folder, job(run)).read_text("utf-8")
    assert text.startswith("$ python -c ") and text.endswith("it's; $(here)\n")
    write_run(folder, run)
    assert worker.main([str(folder), run.folder]) == 0  # nothing is left to do


def test_a_worker_keeps_its_task_to_cores_that_no_other_has(tmp_path, all_cores):
    tells = "import os, time; time.sleep(0.5); print(sorted(os.sched_getaffinity(0)), flush=True)"
    folder, run = planned(tmp_path, tells)
    variables = {**os.environ, "TMPDIR": str(tmp_path)}
    with held_cores(1, tmp_path / f"dormant-cores-{os.getuid()}") as held:
        assert held == {all_cores[0]}
        code_of(work(folder, run.folder, "--cores=1", env=variables))
    log = running.log_of(folder, job(run))
    found = json.loads(log.read_text("utf-8").splitlines()[-1])
    assert found == (all_cores[1:2] or all_cores)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"version": "0.0.1"}, "dormant must be version 0.0.1 here, with which "),
        ({"tasks": {}}, "a task must be one of "),
    ],
)
def test_a_worker_refuses_what_is_not_as_planned(tmp_path, change, said, capsys):
    folder, run = planned(tmp_path, "")
    entries = json.loads((folder / TASKS_FILE).read_text("utf-8"))
    (folder / TASKS_FILE).write_text(json.dumps(entries | change), "utf-8")
    assert worker.main([str(folder), run.folder]) == MISTAKE
    err = capsys.readouterr().err
    assert err.startswith(f"worker: {said}") and err.count("\n") == 1


@pytest.mark.parametrize("lacks", ["the folder", "the directory", "the names", "the log"])
def test_a_worker_that_cannot_read_or_write_a_file_may_succeed_elsewhere(tmp_path, lacks, capsys):
    folder, run = planned(tmp_path, "")
    arguments = [str(folder), run.folder]
    if lacks == "the folder":  # it is not mounted on this machine
        arguments[0] = str(tmp_path / "shared")
    if lacks == "the directory":
        entries = json.loads((folder / TASKS_FILE).read_text("utf-8"))
        text = json.dumps(entries | {"directory": "/nowhere"})
        (folder / TASKS_FILE).write_text(text, "utf-8")
    if lacks == "the names":
        arguments = [str(folder), f"--names={tmp_path / '1.names'}", "0"]
    if lacks == "the log":
        running.log_of(folder, job(run)).mkdir(parents=True)
    assert worker.main(arguments) == TEMPFAIL
    err = capsys.readouterr().err
    assert err.startswith("worker: [Errno ") and err.count("\n") == 1


def test_a_worker_leaves_runs_alone_that_another_process_holds(tmp_path):
    folder, run = planned(tmp_path, "raise SystemExit(1)")
    lease = Lease(folder / run.folder / "checkpoints" / "process_0")
    lease.acquire()
    assert code_of(work(folder, run.folder)) == TEMPFAIL
    lease.release()


WAITS = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)"


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_task_ends_with_its_worker(tmp_path, number, code):
    folder, run = planned(tmp_path, WAITS)
    process, log = work(folder, run.folder), running.log_of(folder, job(run))
    while not log.exists() or len(log.read_text("utf-8").splitlines()) < 2:
        time.sleep(0.02)
    child = int(log.read_text("utf-8").splitlines()[-1])
    process.send_signal(number)
    assert code_of(process) == code
    for _ in range(200):
        if not os.path.exists(f"/proc/{child}") or "zombie" in _status(child):
            return
        time.sleep(0.02)
    raise AssertionError("the task outlived its worker")


def _status(process):
    try:
        with open(f"/proc/{process}/status", encoding="utf-8") as file:
            return file.read()
    except OSError:
        return "zombie"


def test_a_run_that_a_worker_elsewhere_holds_is_no_mistake(tmp_path):
    engine, jobs = scripted(tmp_path, [Ended(MISTAKE, problem="it is held"), OK])
    lease = Lease(tmp_path / jobs[0].name / "checkpoints" / "process_0")
    lease.acquire()
    poll = engine.poll

    def polled(handle):
        if engine.ends[handle][0] is OK:
            lease.release()
            shutil.rmtree(tmp_path / jobs[0].name)  # where the run will be written
        return poll(handle)

    engine.poll = polled
    assert running.run_jobs(jobs, tmp_path, engine, running.Budgets(0, 1)) == []


@pytest.mark.parametrize("text", ["{}", '{"version": 1}', '{"tasks": 3, "version": 2}', "["])
def test_a_damaged_file_of_tasks_is_a_mistake(tmp_path, text, capsys):
    (tmp_path / "engine").mkdir()
    (tmp_path / TASKS_FILE).write_text(text, "utf-8")
    assert worker.main([str(tmp_path), "x"]) == MISTAKE
    assert capsys.readouterr().err.count("\n") == 1


def test_tasks_of_an_earlier_call_stay_known(tmp_path):
    write_tasks(tmp_path, [Task("a", ("-c", ""), tmp_path / "log", ("a",))])
    write_tasks(tmp_path, [Task("b", ("-c", ""), tmp_path / "log", ("b",))])
    assert json.loads((tmp_path / TASKS_FILE).read_text("utf-8"))["tasks"].keys() == {"a", "b"}

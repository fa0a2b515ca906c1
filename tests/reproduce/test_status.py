# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What `--status` says of runs in every state, and what is not read twice."""

import json
import os
import shutil

import pytest

from dormant.records.experiment_file import ExperimentFile, log_path, read_experiment, to_json
from dormant.records.files import EXPERIMENT_FILE, METRICS_FILE
from dormant.records.lease import Lease
from dormant.reproduce import status
from dormant.reproduce.command_line import main
from dormant.reproduce.engines.engine import Task, open_log
from dormant.reproduce.engines.worker import write_tasks
from dormant.reproduce.progress import Verified, state_of
from tests.report.hostile_runs import planned_runs, write_run


@pytest.fixture
def folder(tmp_path):
    runs = planned_runs()
    file = ExperimentFile("x", "mini", "t", "e", "", ("return",), "DQN", "c", tuple(runs), ())
    (tmp_path / EXPERIMENT_FILE).write_text(to_json(file), "utf-8")
    return tmp_path


def lease_of(folder, run):
    return Lease(folder / run.folder / "checkpoints" / "process_0")


def test_it_says_what_runs_where_and_what_is_left(folder):
    whole, alive, dead, failed, broken, *rest = planned_runs()
    write_run(folder, whole)
    for run in (alive, dead):
        write_run(folder, run, status="running", iterations=2)
    write_run(folder, failed, status="failed", error="a loss is not finite", iterations=1)
    write_run(folder, broken)
    (folder / broken.folder / "run.json").write_text("{", "utf-8")
    lease = lease_of(folder, alive)
    lease.acquire()
    text = status.report(folder)
    lease.release()
    counted = f"1 finished, 1 running, 1 lost, 1 failed, 1 unreadable, {len(rest)} not started"
    assert text.startswith(f"x, scale mini: {len(rest) + 5} runs, {counted}\n")
    (line,) = [line for line in text.splitlines() if ": running" in line]
    assert line.startswith(f"  {alive.folder}: running at 40%, ")
    assert f"process {os.getpid()} on " in line and "(attempt 1, since " in line
    assert f"  {dead.folder}: lost at 40%" in text
    assert f"  {failed.folder}: failed at 20%, a loss is not finite" in text
    left = (len(rest) + 5) * 5000 - 5000 - 2 * 2000 - 1000 - 5000
    assert text.splitlines()[-1].startswith(f"{left:,} agent steps are left: about ")


def test_a_run_whose_holder_died_is_lost(folder):
    (run, *_) = planned_runs()
    write_run(folder, run, status="running", iterations=2)
    lease = lease_of(folder, run)
    lease.acquire()
    metrics = folder / run.folder / METRICS_FILE
    records = metrics.read_bytes()
    metrics.write_bytes(b"")
    (line,) = [line for line in status.report(folder).splitlines() if ": running" in line]
    assert ": running its first iteration, or still compiles" in line and "0%" not in line
    assert status.report(folder).endswith("not known yet: no iteration has ended")
    metrics.write_bytes(records)
    path = folder / run.folder / "checkpoints" / "process_0" / "lease.json"
    entries = json.loads(path.read_text("utf-8"))
    assert status.report(folder).count(": running at 40%") == 1
    path.write_text(json.dumps(entries | {"process": 2**22 + 1}), "utf-8")  # above Linux's limit
    assert status.report(folder).count(": lost at 40%") == 1
    # The number of a process says nothing elsewhere, such as in another container.
    for changes in ({"machine": "another"}, {"process_namespace": "pid:[1]"}):
        other = entries | {"process": 2**22 + 1} | changes
        path.write_text(json.dumps(other), "utf-8")
        assert status.report(folder).count(": running at 40%") == 1
    os.utime(path, (0, 0))
    assert status.report(folder).count(": lost at 40%") == 1
    lease.release()


def test_the_runs_of_one_process_share_a_line(folder):
    first, second, *_ = planned_runs()
    together = [run._replace(folder=f"both/seed_{k}") for k, run in enumerate((first, second))]
    file = ExperimentFile("x", "mini", "t", "e", "", ("return",), "DQN", "c", tuple(together), ())
    (folder / EXPERIMENT_FILE).write_text(to_json(file), "utf-8")
    for run in together:
        write_run(folder, run, status="running", iterations=2)
    lease = Lease(folder / "both" / "checkpoints" / "process_0")
    lease.acquire()
    assert "  both/seed_0 and 1 more: running at 40%, " in status.report(folder)
    lease.release()


def test_the_command_follows_until_all_is_done(folder, capsys):
    assert main(["--status", f"--base_dir={folder}"]) == 0
    assert "not started" in capsys.readouterr().out
    for run in planned_runs():
        write_run(folder, run)
    assert main(["--watch", f"--base_dir={folder}"]) == 0
    assert capsys.readouterr().out.endswith("\nall runs are whole\n")
    assert main(["--status", f"--base_dir={folder / 'none'}"]) == 2
    assert "no experiment.json in" in capsys.readouterr().err


def test_it_is_followed_no_longer_than_something_works_on_it(folder, capsys):
    failed, *others = planned_runs()
    for run in others:
        write_run(folder, run)
    write_run(folder, failed, status="failed", error="a loss is not finite", iterations=1)
    driver = Lease(folder)
    driver.acquire()
    left = [each for each in statuses_of(folder) if each.status != "finished"]
    assert not status._has_ended(folder, left)  # it may be tried again
    driver.release()
    assert status.watch(folder, every=0) == 1
    out = capsys.readouterr().out
    assert f"  {failed.folder}: failed at 20%, a loss is not finite" in out
    assert out.endswith(f"\nnothing works on {failed.folder} (failed); to go on: c\n")
    # Nobody knows here what waits in a queue, but of what has failed nothing does.
    shutil.rmtree(folder / failed.folder)
    left = [each for each in statuses_of(folder) if each.status != "finished"]
    assert [each.status for each in left] == ["not started"] and status._has_ended(folder, left)
    (folder / "engine" / "slurm").mkdir(parents=True)
    (folder / "engine" / "slurm" / "1.names").touch()
    assert not status._has_ended(folder, left)
    assert status._has_ended(folder, [left[0]._replace(status="failed")])


def statuses_of(folder):
    return list(status.statuses(folder, read_experiment(folder)))


def test_a_run_whose_process_only_imports_is_starting(folder):
    run, *_, dead = planned_runs()
    tasks = [Task(each.folder, ("x",), log_path(each.folder), (each.folder,))
             for each in (run, dead)]  # fmt: skip
    write_tasks(folder, tasks)
    for task in tasks:
        open_log(folder, task).close()
    old = folder / tasks[1].log
    os.utime(old, (0, 0))
    text = status.report(folder)
    assert f", 1 starting, {len(planned_runs()) - 1} not started\n" in text
    assert f"  {run.folder}: starting at 0%" in text
    with (folder / tasks[0].log).open("a", encoding="utf-8") as log:
        log.write("it must be right\n")
    assert "starting" not in status.report(folder)


def test_a_run_that_was_found_whole_is_not_read_again_while_its_files_stay(folder):
    (run, *_) = planned_runs()
    write_run(folder, run)
    verified = Verified(folder)
    assert verified.state(run).status == "finished"
    verified.save()
    metrics = folder / run.folder / METRICS_FILE
    before = metrics.stat()
    metrics.write_bytes(b"x" * before.st_size)
    os.utime(metrics, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert state_of(folder, run).status == "unreadable"
    assert Verified(folder).state(run).status == "finished"
    longer = run._replace(agent_steps=run.agent_steps + 1)
    assert Verified(folder).state(longer).status == "unreadable"
    os.utime(metrics)
    assert Verified(folder).state(run).status == "unreadable"
    (folder / "engine" / "verified.json").write_text("[", "utf-8")
    assert Verified(folder).state(run).status == "unreadable"


def test_damaged_files_are_no_traceback(folder):
    broken, strange, *rest = planned_runs()
    for run in (broken, strange):
        write_run(folder, run)
    path = folder / broken.folder / "run.json"
    details = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(details | {"compilation": {"programs": "x"}, "status": "weird"}))
    with (folder / strange.folder / METRICS_FILE).open("a") as file:
        file.write('{"kind": "tracking", "agent_step": Infinity}\n')
    text = status.report(folder)
    assert f"1 finished, 1 unreadable, {len(rest)} not started" in text
    assert "unreadable at 100%, run.json: status must be one of" in text and "got 'weird'" in text


def without_last_line(text):
    return text[: text.rstrip().rindex("\n") + 1]


@pytest.mark.parametrize(
    "damaged",
    [
        lambda text: text[:-20],
        without_last_line,
        lambda text: text.replace('"iteration": 1,', '"iteration": 2,'),
    ],
    ids=["its end is cut off", "its last iteration is missing", "one between is missing"],
)
def test_what_calls_itself_finished_and_is_not_whole_is_not_said_to_be(folder, damaged, capsys):
    """As a copy that is under way leaves it."""
    run, *others = planned_runs()
    for each in (run, *others):
        write_run(folder, each)
    metrics = folder / run.folder / METRICS_FILE
    metrics.write_text(damaged(metrics.read_text("utf-8")), "utf-8")
    assert state_of(folder, run).status != "finished"
    assert status.watch(folder, every=0) == 1
    assert f"{len(others)} finished, 1 " in capsys.readouterr().out
    assert "all runs are whole" not in status.report(folder)


def test_records_without_a_run_json_are_no_finished_run(folder):
    runs = planned_runs()
    for run in runs:
        write_run(folder, run)
    (folder / runs[0].folder / "run.json").unlink()
    text = status.report(folder)
    assert f"{len(runs) - 1} finished, 1 unreadable" in text
    assert "it has metrics.jsonl and no run.json" in text


def test_a_plan_of_no_steps_has_a_status(folder):
    run, *_ = planned_runs()
    run = run._replace(agent_steps=0)
    file = ExperimentFile("x", "mini", "t", "e", "", ("return",), "DQN", "c", (run,), ())
    (folder / EXPERIMENT_FILE).write_text(to_json(file), "utf-8")
    write_run(folder, run, status="failed", error="a loss is not finite", iterations=1)
    assert "failed at 0%, a loss is not finite" in status.report(folder)


def test_a_folder_of_another_experiment_is_not_shown(folder, capsys):
    assert main(["fig10", "--status", f"--base_dir={folder}"]) == 2
    assert "`--base_dir` must be a folder of fig10; got" in capsys.readouterr().err

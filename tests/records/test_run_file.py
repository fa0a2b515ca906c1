# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""run.json and config.gin tell of the process that made the run."""

import json
import signal
import subprocess
import sys

import pytest

from dormant.checks import NotFinite
from dormant.interruption import Interrupted
from dormant.records import run_file as module
from dormant.records.lease import Lease
from dormant.records.run_file import RunRecord, ending, git_commit

SUCCESSOR = '{"attempt": 2, "held": true, "token": "the successor"}'
# Works on a run until it is interrupted.
WORKER = """
import sys, time
from pathlib import Path
from dormant.interruption import Interrupted, interruptible
from dormant.records.lease import Lease
from dormant.records.run_file import RunRecord, ending
lease = Lease(Path(sys.argv[1]))
lease.acquire()
record = RunRecord(
    sys.argv[1], seed=0, start_iteration=0, command=["it"], config="", confirm=lease.confirm
)
try:
    with interruptible(), ending(record):
        print("works", flush=True)
        time.sleep(600)
except Interrupted as error:
    sys.exit(error.exit_code)
"""


def begin(folder, command, **options):
    options = {"start_iteration": 0} | options
    return RunRecord(str(folder), seed=0, command=[command], **options)


@pytest.mark.parametrize("is_over", [False, True])
def test_only_a_process_that_has_something_to_do_is_recorded(is_over, tmp_path):
    begin(tmp_path, "first", config="a = 1").finish()
    before = [(tmp_path / name).read_text("utf-8") for name in ("run.json", "config.gin")]
    begin(tmp_path, "second", config="a = 2", is_over=is_over).finish()
    after = [(tmp_path / name).read_text("utf-8") for name in ("run.json", "config.gin")]
    assert (after == before) == is_over
    assert json.loads(after[0])["command"] == ("first" if is_over else "second")


def test_it_says_what_made_the_iterations_before(tmp_path, monkeypatch):
    def process(jax, start):
        made = module.versions() | {"jax": jax}
        with monkeypatch.context() as context:
            context.setattr(module, "versions", lambda: made)
            begin(tmp_path, "it", config="", start_iteration=start)
        found = json.loads((tmp_path / "run.json").read_text("utf-8"))
        assert found["versions"]["jax"] == jax
        made = [(each["versions"] or {}, each["end_iteration"]) for each in found["earlier"]]
        return [(versions.get("jax"), end) for versions, end in made]

    assert process("1", 0) == process("1", 3) == []
    assert process("2", 5) == [("1", 5)]
    assert process("3", 5) == [("1", 5)]  # the one before came to no checkpoint
    assert process("2", 5) == process("2", 7) == [("1", 5)]
    assert process("1", 8) == [("1", 5), ("2", 8)]
    assert process("3", 6) == [("1", 5), ("2", 6)]  # from an earlier checkpoint
    assert process("2", 4) == [("1", 4)]
    assert process("1", 4) == []
    assert process("3", 0) == []  # anew
    for damaged, found in (
        ("{", []),
        ('{"earlier": 3}', [(None, 9)]),
        ('{"earlier": [3]}', [(None, 9)]),
    ):
        (tmp_path / "run.json").write_text(damaged, "utf-8")
        assert process("3", 9) == found


def test_a_run_that_was_over_before_it_said_so_is_recorded_as_finished(tmp_path):
    begin(tmp_path, "first", config="a = 1")  # killed after its last checkpoint
    begin(tmp_path, "second", config="a = 1", is_over=True).finish()
    assert json.loads((tmp_path / "run.json").read_text("utf-8"))["status"] == "finished"


@pytest.mark.parametrize(
    "error", [Interrupted(signal.SIGTERM), OSError(5, "gone", "x"), NotFinite("a loss"), None]
)
def test_one_that_was_taken_over_leaves_its_successors_record(error, tmp_path):
    lease = Lease(tmp_path / "lease")
    lease.acquire()
    record = begin(tmp_path, "first", config="a = 1", confirm=lease.confirm)
    (tmp_path / "lease" / "lease.json").write_text(SUCCESSOR, "utf-8")
    (tmp_path / "run.json").write_text('{"status": "finished"}', "utf-8")
    try:
        with ending(record):
            if error is not None:
                raise error
    except BaseException as raised:
        assert raised is error
    assert (tmp_path / "run.json").read_text("utf-8") == '{"status": "finished"}'
    lease.release()


def test_a_process_that_comes_back_and_is_killed_leaves_its_successors_record(tmp_path):
    command = [sys.executable, "-c", WORKER, tmp_path]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "works\n"
    process.send_signal(signal.SIGSTOP)
    (tmp_path / "lease.json").write_text(SUCCESSOR, "utf-8")
    (tmp_path / "run.json").write_text('{"status": "finished"}', "utf-8")
    for number in (signal.SIGTERM, signal.SIGCONT):
        process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert (tmp_path / "run.json").read_text("utf-8") == '{"status": "finished"}'


def test_commits_are_of_the_code_and_say_where_it_was_changed(tmp_path, monkeypatch):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    package, installed = tmp_path / "package", tmp_path / "installed"
    for folder in (package, installed):
        folder.mkdir()
        (folder / "__init__.py").write_text("x = 1\n")
    git_commit.cache_clear()
    git("init")
    git("add", "package")
    git("commit", "-m", "one")
    head = (tmp_path / ".git" / "HEAD").read_text().split()[1]
    commit = (tmp_path / ".git" / head).read_text().strip()
    assert git_commit(package) == commit and git_commit(installed) is None
    (package / "__init__.py").write_text("x = 2\n")
    monkeypatch.chdir(tmp_path)
    git_commit.cache_clear()
    assert git_commit() == git_commit(package) == f"{commit}-dirty"
    git_commit.cache_clear()

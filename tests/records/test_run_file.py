# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""run.json and config.gin tell of the process that made the run."""

import json
import subprocess

import pytest

from dormant.records.run_file import RunRecord, git_commit


def begin(folder, command, **options):
    return RunRecord(str(folder), seed=0, start_iteration=0, command=[command], **options)


@pytest.mark.parametrize("is_over", [False, True])
def test_only_a_process_that_has_something_to_do_is_recorded(is_over, tmp_path):
    begin(tmp_path, "first", config="a = 1").finish()
    before = [(tmp_path / name).read_text("utf-8") for name in ("run.json", "config.gin")]
    begin(tmp_path, "second", config="a = 2", is_over=is_over).finish()
    after = [(tmp_path / name).read_text("utf-8") for name in ("run.json", "config.gin")]
    assert (after == before) == is_over
    assert json.loads(after[0])["command"] == ("first" if is_over else "second")


def test_a_run_that_was_over_before_it_said_so_is_recorded_as_finished(tmp_path):
    begin(tmp_path, "first", config="a = 1")  # killed after its last checkpoint
    begin(tmp_path, "second", config="a = 1", is_over=True).finish()
    assert json.loads((tmp_path / "run.json").read_text("utf-8"))["status"] == "finished"


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

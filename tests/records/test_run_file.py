# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""run.json and config.gin tell of the process that made the run."""

import json

import pytest

from dormant.records.run_file import RunRecord


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

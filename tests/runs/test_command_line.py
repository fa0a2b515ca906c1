# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Exit codes: what is a mistake in what was asked for, and what may pass by itself."""

import errno
import os

import pytest

from dormant.runs.command_line import CONFIGURATION_ERROR, FAILED, run_command


def code_of(base_dir, prepare):
    flags = ["--gin_files=vectorized/dqn.gin", f"--base_dir={base_dir}"]
    return run_command("program", "", flags, prepare)


def test_a_disk_that_is_full_at_the_start_is_no_mistake(small_disk, capsys):
    disk, change = small_disk
    (disk / "other").touch()
    change("nr_inodes=2")
    assert code_of(disk / "run", lambda *given: lambda: None) == FAILED
    said = f"--base_dir {disk / 'run'} cannot be written: {disk}: No space left on device"
    assert capsys.readouterr().err == f"program: error: {said}\n"
    change("nr_inodes=0", "ro")
    assert code_of(disk / "run", lambda *given: lambda: None) == CONFIGURATION_ERROR


@pytest.mark.parametrize(
    "number, code",
    [
        (errno.ENOENT, CONFIGURATION_ERROR),
        (errno.ENOTDIR, CONFIGURATION_ERROR),
        (errno.EACCES, CONFIGURATION_ERROR),
        (errno.EROFS, CONFIGURATION_ERROR),
        (errno.ENOSPC, FAILED),
        (errno.EDQUOT, FAILED),
        (errno.ESTALE, FAILED),
        (errno.EIO, FAILED),
    ],
)
def test_what_a_file_system_says_at_the_start(number, code, tmp_path, capsys):
    def prepare(*given):
        raise OSError(number, os.strerror(number), "a/file")

    assert code_of(tmp_path / "run", prepare) == code
    assert capsys.readouterr().err == f"program: error: a/file: {os.strerror(number)}\n"

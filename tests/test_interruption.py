# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""SIGINT and SIGTERM: an exception in the main thread, or else an end from outside it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
# Does `body` and says how that ended; what it prints first is waited for.
PROGRAM = """
import hashlib, os, signal, sys, threading, time
from pathlib import Path
from dormant.interruption import Interrupted, end, interruptible, last_words
def compute():
    threading.Timer(0.5, print, ["begun"], {{"flush": True}}).start()
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", (1 << 31) - 1)  # hears no signal
def wait():
    print("begun", flush=True)
    time.sleep(600)
try:
    with interruptible({grace}), last_words(lambda error: os.write(1, str(error).encode())):
        {body}
except Interrupted as error:
    print(error, type(error).__mro__[1].__name__)
    end(error.exit_code)
"""


def interrupted(body, number, grace=60, before=()):
    """What a program prints after it began and a signal came, and its exit code."""
    program = PROGRAM.format(body=body, grace=grace)
    command = [*before, sys.executable, "-c", program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    rest, _ = process.communicate(timeout=120)
    return rest, process.returncode


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_an_exception_also_where_it_was_ignored(number):
    name = signal.Signals(number).name
    # As a shell does with SIGINT for a job in the background.
    ignoring = ["sh", "-c", f"trap '' {name.removeprefix('SIG')}; exec \"$@\"", "sh"]
    for before in ([], ignoring):
        said, code = interrupted("wait()", number, before=before)
        assert (said, code) == (f"interrupted by {name} KeyboardInterrupt\n", SIGNALS[number])


@pytest.mark.parametrize("number", SIGNALS)
def test_a_program_that_hears_nothing_is_ended_after_its_last_words(number):
    said, code = interrupted("compute()", number, grace=0.1)
    assert (said, code) == (f"interrupted by {signal.Signals(number).name}", SIGNALS[number])


def test_a_second_signal_does_not_disturb_what_cleans_up():
    body = "exec('try: wait()\\nfinally: os.kill(os.getpid(), 2); print(1)')"
    assert interrupted(body, signal.SIGTERM)[0].startswith("1\ninterrupted by SIGTERM")


def test_where_the_exception_is_lost_the_process_is_ended():
    body = "exec('try: wait()\\nexcept BaseException: pass'); time.sleep(600)"
    assert interrupted(body, signal.SIGINT, grace=0.1)[1] == 130


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_that_is_still_imported_ends_at_once(number, tmp_path):
    text = "import time; print('begun', flush=True); time.sleep(600)"
    (tmp_path / "tensorflow.py").write_text(text)
    flags = ["--gin_files=dqn_cartpole.gin", "--base_dir=nowhere"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dormant.train", *flags],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(number)
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == SIGNALS[number] and "nowhere" not in os.listdir(tmp_path)


def test_another_program_that_imports_the_package_keeps_its_signals():
    # A shell has jobs in the background ignore it.
    program = (
        "import signal; before = signal.getsignal(2); import dormant;"
        " print(signal.getsignal(2) is before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"True\n"


def test_everything_is_afterwards_as_it_was():
    from dormant.interruption import interruptible

    before = [signal.getsignal(number) for number in SIGNALS]
    with interruptible():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_run_json_says_how_a_run_was_interrupted(tmp_path):
    from dormant.interruption import Interrupted
    from dormant.records.lease import LeaseLost
    from dormant.records.run_file import RunRecord, ending

    record = RunRecord(str(tmp_path), seed=0, start_iteration=0, command=["it"], config="")
    for error, status, said in (
        (Interrupted(signal.SIGTERM), "interrupted", "interrupted by SIGTERM"),
        (KeyboardInterrupt(), "interrupted", "interrupted"),
        (OSError(28, "No space left", "x"), "failed", "OSError: [Errno 28] No space left: 'x'"),
        (LeaseLost("another"), "failed", "OSError: [Errno 28] No space left: 'x'"),  # not its own
    ):
        with pytest.raises(type(error)), ending(record):
            raise error
        found = json.loads((tmp_path / "run.json").read_text("utf-8"))
        assert (found["status"], found["error"]) == (status, said)
    with ending(record):
        pass
    assert json.loads((tmp_path / "run.json").read_text("utf-8"))["status"] == "finished"

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Whatever happens to a command, what it has saved is whole, the same command goes on from there to
the very records of a run that nothing happened to, and nothing is left behind."""

import os
import random
import signal
import time

import pytest

pytestmark = pytest.mark.slow
LONG = 100_000  # iterations that no run here comes to the end of


def goes_on(command, expected):
    """Whether the command, of 6 iterations, ends as if nothing had happened."""
    code, error = command.run()
    assert code == 0, error
    assert command.records() == expected
    assert set(command.statuses()) == {"finished"} and command.leftovers() == []


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_in_time(number, code, command):
    long = command(LONG)
    # As a shell starts a job in the background.
    long.arguments = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *long.arguments]
    process = long.start()
    long.wait_for_checkpoint(process, 1)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    name = signal.Signals(number).name
    last = error.splitlines()[-1]
    assert last.endswith(
        f": interrupted by {name}; the same command goes on from the last checkpoint, or starts"
        " anew where there is none yet"
    )
    assert "Traceback" not in error
    assert set(long.statuses()) == {"interrupted"} and long.leftovers() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_goes_on_after_an_end_at_any_time(number, kind, command, uninterrupted):
    run, expected = command(6), uninterrupted(kind)
    for seed in range(4):
        process = run.start()
        while not run.folder.exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random.Random(f"{kind} {number} {seed}").random())
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
        ended = (0, -number) if number == signal.SIGKILL else (0, 128 + number)
        if process.returncode == -number and number != signal.SIGKILL:
            # Python itself ends a process that has not come to the command yet, and one that is
            # being taken down after it.
            assert error == "" or set(run.statuses()) == {"finished"}, error
        else:
            assert process.returncode in ended, error
        if number != signal.SIGKILL:
            assert run.leftovers() == []
    goes_on(run, expected)


def test_of_two_starts_one_works(kind, command, uninterrupted):
    run = command(6)
    processes = [run.start() for _ in range(3)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 2, 2], errors
    for code, error in zip(codes, errors, strict=True):
        refused = "no other process works on" in error or "another has worked there since" in error
        assert refused == (code == 2), error
    assert run.records() == uninterrupted(kind)


def test_a_second_start_is_refused_in_one_line_and_writes_nothing(kind, command):
    run = command(LONG)
    process = run.start()
    run.wait_for_checkpoint(process, 2)
    process.send_signal(signal.SIGSTOP)  # nothing is written meanwhile
    time.sleep(0.2)

    def written():
        paths = sorted(run.folder.rglob("*"))
        return [(path, path.stat().st_mtime_ns) for path in paths if path.name != "lease.json"]

    before = written()
    code, error = run.run()
    assert code == 2 and error.count("\n") == 1, error
    assert f"a folder that no other process works on; got process {process.pid} on " in error
    assert written() == before
    process.send_signal(signal.SIGCONT)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143 and set(run.statuses()) == {"interrupted"}


def test_one_that_was_thought_dead_stops_and_leaves_everything(kind, command):
    run = command(LONG)
    process = run.start()
    run.wait_for_checkpoint(process, 1)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.2)
    # As a process on another machine, which waited for a sign of life in vain.
    for path in run.folder.rglob("lease.json"):
        path.write_text('{"attempt": 2, "held": true, "token": "the successor"}', "utf-8")
    saved = [(path, path.stat().st_mtime_ns) for path in run.checkpoints()]
    process.send_signal(signal.SIGCONT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1, error
    assert "must be held by this process, attempt 1" in error.splitlines()[-1]
    assert "Traceback" not in error
    assert saved == [(path, path.stat().st_mtime_ns) for path in run.checkpoints()]
    assert set(run.statuses()) == {"running"}  # it is not its own any more


def test_a_disk_that_is_full_from_the_start(kind, command, small_disk, uninterrupted):
    disk, change = small_disk
    run = command(6, disk / "run")
    change("size=4k")
    (disk / "filler").write_bytes(bytes(4096))
    code, error = run.run()
    assert code == 1 and "No space left" in error.splitlines()[-1], error
    assert "Traceback" not in error
    (disk / "filler").unlink()
    change("size=64m")
    goes_on(run, uninterrupted(kind))


@pytest.mark.parametrize("begun", [0, 2])
def test_a_disk_that_runs_full(begun, kind, command, small_disk, uninterrupted):
    disk, change = small_disk
    long = command(LONG, disk / "run")
    process = long.start()
    long.wait_for_checkpoint(process, begun)
    with open(disk / "filler", "wb", 0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            pass
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1, error
    assert "No space left" in error.splitlines()[-1] and str(disk) in error.splitlines()[-1]
    assert "Traceback" not in error
    assert set(long.statuses()) <= {"failed", "running"}  # the latter where it cannot be written
    assert long.checkpoints() and long.leftovers() == []
    (disk / "filler").unlink()
    # The newest checkpoint is whole, and the run goes on from it.
    process = long.start()
    numbers = [int(path.name) for path in long.checkpoints()]
    long.wait_for_checkpoint(process, max(numbers) + 2)
    process.terminate()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143 and "damaged" not in error
    for found, expected in zip(long.records(), uninterrupted(kind), strict=True):
        shared = min(len(found), len(expected))
        assert shared > 2 and found[:shared] == expected[:shared]


def test_a_disk_that_becomes_read_only(kind, command, small_disk, uninterrupted):
    disk, change = small_disk
    run = command(6, disk / "run")
    change("ro")
    code, error = run.run()
    assert code == 2 and error.count("\n") == 1 and "Read-only file system" in error, error
    change("rw")
    goes_on(run, uninterrupted(kind))


@pytest.mark.parametrize(
    "place", ["checkpoints", "checkpoints/process_0", "run.json", "config.gin", "metrics.jsonl"]
)
def test_what_stands_in_the_way_is_named_and_can_be_removed(place, kind, command, uninterrupted):
    run = command(6)
    first = run.folders[0]
    if place.startswith("checkpoints") and kind == "device":
        first = run.folder
    path = first / place
    path.parent.mkdir(parents=True)
    is_file = place.startswith("checkpoints")
    path.write_text("in the way") if is_file else path.mkdir()
    code, error = run.run()
    assert code in (1, 2) and str(path) in error.splitlines()[-1], error
    assert "Traceback" not in error and run.leftovers() == []
    path.unlink() if is_file else path.rmdir()
    goes_on(run, uninterrupted(kind))


def test_a_member_of_which_a_file_has_the_name(command, kind, uninterrupted):
    run = command(6)
    if run.folders == [run.folder]:
        pytest.skip("there are no members")
    run.folder.mkdir()
    run.folders[1].write_text("in the way")
    code, error = run.run()
    assert code in (1, 2) and str(run.folders[1]) in error.splitlines()[-1], error
    assert "Traceback" not in error
    run.folders[1].unlink()
    goes_on(run, uninterrupted(kind))


def test_a_kill_between_two_clean_ups_leaves_nothing(command, uninterrupted, kind):
    run = command(6)
    goes_on(run, uninterrupted(kind))
    names = ("2.part", "4.old.part")
    for path in {checkpoint.parent for checkpoint in run.checkpoints()}:
        for name in names:
            (path / name).mkdir()
        (path / "none_yet").touch()
        assert os.listdir(path)
    goes_on(run, uninterrupted(kind))
    assert not list(run.folder.rglob("none_yet"))

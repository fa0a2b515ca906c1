# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The lease of a folder: one writer, however many start and however they end."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from dormant.checks import ConfigurationError
from dormant.records import lease as module
from dormant.records.files import LEASE_FILE
from dormant.records.lease import Lease, LeaseLost

# Holds a lease until it is killed.
HOLDER = """
import sys, time
from pathlib import Path
from dormant.records.lease import Lease
lease = Lease(Path(sys.argv[1]))
lease.acquire()
print("held", flush=True)
time.sleep(600)
"""


def entries(folder):
    return json.loads((folder / LEASE_FILE).read_text("utf-8"))


def change(folder, **changes):
    (folder / LEASE_FILE).write_text(json.dumps(entries(folder) | changes), "utf-8")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "run"


@pytest.fixture(params=[{"machine": "another"}, {"file_system": -1}, {"file_system": None}])
def elsewhere(folder, monkeypatch, request):
    """A lease that a process on another machine holds, or on this one by way of another mount (an
    older version does not say which); what is watched is watched for a moment."""
    monkeypatch.setattr(module, "_RENEWED_EVERY", 0.01)
    monkeypatch.setattr(module, "_STALE_AFTER", 0.3)
    other = Lease(folder)
    other.acquire()
    other.release()
    change(folder, held=True, token="its own", host="far", process=7, **request.param)
    return folder


def test_a_lease_counts_its_attempts_and_says_who_holds_it(folder):
    lease = Lease(folder)
    lease.check_free()
    assert not folder.exists()
    for attempt in (1, 2):
        lease.acquire()
        found = entries(folder)
        assert (found["attempt"], found["held"], found["process"]) == (attempt, True, os.getpid())
        lease.confirm()
        lease.release()
        assert not entries(folder)["held"] and not lease.is_held
    lease.release()
    assert entries(folder)["attempt"] == 2


def test_a_second_one_is_refused_and_writes_nothing(folder):
    first, second = Lease(folder), Lease(folder)
    first.acquire()
    before = (folder / LEASE_FILE).read_bytes()
    said = f"run must be a folder that no other process works on; got process {os.getpid()} on "
    for refused in (second.acquire, second.check_free, Lease(folder).acquire):
        with pytest.raises(ConfigurationError, match=said):
            refused()
    assert (folder / LEASE_FILE).read_bytes() == before and os.listdir(folder) == [LEASE_FILE]
    first.release()
    Lease(folder).check_free()
    # It has looked at a folder that is another one now.
    with pytest.raises(ConfigurationError, match="another has worked there since.*attempt 1,"):
        second.acquire()
    Lease(folder).acquire()


def test_of_many_that_start_at_once_one_works(folder):
    leases, outcomes = [Lease(folder) for _ in range(8)], []

    def start(lease):
        try:
            lease.acquire()
        except ConfigurationError:
            return
        outcomes.append(lease)

    threads = [threading.Thread(target=start, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = outcomes
    winner.confirm()
    winner.release()


def test_that_of_a_killed_process_is_taken_over(folder):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConfigurationError, match=f"process {holder.pid} on "):
            Lease(folder).check_free()
    finally:
        holder.kill()
        holder.communicate()
    assert entries(folder)["held"]
    lease = Lease(folder)
    lease.check_free()
    lease.acquire()
    assert entries(folder)["attempt"] == 2
    lease.release()


def test_that_of_another_machine_or_mount_is_held_while_it_is_renewed(elsewhere):
    ended = threading.Event()

    def renew():
        while not ended.wait(0.02):
            os.utime(elsewhere / LEASE_FILE)

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        with pytest.raises(ConfigurationError, match="got process 7 on far"):
            Lease(elsewhere).check_free()
        with pytest.raises(ConfigurationError, match="got process 7 on far"):
            Lease(elsewhere).acquire()
    finally:
        ended.set()
        renewing.join()


def test_that_of_another_machine_or_mount_is_taken_over_where_it_is_not_renewed(elsewhere, capsys):
    module._dead.clear()
    lease = Lease(elsewhere)
    lease.check_free()
    assert "waiting up to 0.3 s for a sign of life of process 7 on far" in capsys.readouterr().err
    lease.acquire()  # it is not watched a second time
    assert entries(elsewhere)["attempt"] == 2 and capsys.readouterr().err == ""
    lease.release()


def test_where_there_are_no_locks_renewals_count(folder, monkeypatch):
    def unsupported(descriptor, how):
        raise OSError(module._NO_LOCKS[0], "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", unsupported)
    monkeypatch.setattr(module, "_RENEWED_EVERY", 0.01)
    monkeypatch.setattr(module, "_STALE_AFTER", 0.3)
    lease = Lease(folder)
    lease.acquire()
    with pytest.raises(ConfigurationError, match="no other process works on"):
        Lease(folder).check_free()
    lease.release()
    Lease(folder).check_free()


def test_one_that_was_thought_dead_finds_out(folder):
    lease = Lease(folder)
    lease.acquire()
    change(folder, attempt=2, token="the successor's", process=7)
    with pytest.raises(LeaseLost, match="held by this process, attempt 1, .*; got process 7 on "):
        lease.confirm()
    before = (folder / LEASE_FILE).read_bytes()
    lease.release()
    assert (folder / LEASE_FILE).read_bytes() == before
    lease = Lease(folder)
    (folder / LEASE_FILE).unlink()
    lease = Lease(folder)
    lease.acquire()
    (folder / LEASE_FILE).unlink()
    with pytest.raises(LeaseLost, match="got no lease, as it was removed"):
        lease.confirm()
    lease.release()
    assert not (folder / LEASE_FILE).exists()


@pytest.mark.parametrize("text", [b"", b'{"attempt": 3, "he', b"[1]", b'{"attempt": "many"}'])
def test_one_that_was_cut_short_is_free(text, folder):
    folder.mkdir(parents=True)
    (folder / LEASE_FILE).write_bytes(text)
    lease = Lease(folder)
    lease.check_free()
    lease.acquire()
    assert entries(folder)["attempt"] == 1
    lease.release()


def test_it_is_renewed(folder, monkeypatch):
    monkeypatch.setattr(module, "_RENEWED_EVERY", 0.01)
    lease = Lease(folder)
    lease.acquire()
    before = os.stat(folder / LEASE_FILE).st_mtime_ns
    while os.stat(folder / LEASE_FILE).st_mtime_ns == before:
        time.sleep(0.01)
    lease.release()


@pytest.mark.parametrize("in_the_way", ["runs", "runs/run", f"runs/run/{LEASE_FILE}"])
def test_a_folder_that_cannot_be_written_is_named(in_the_way, folder, tmp_path):
    path = tmp_path / in_the_way
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if path.name == LEASE_FILE else path.write_text("in the way")
    lease = Lease(folder)
    lease.check_free()
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/runs/run cannot be written: "):
        lease.acquire()


def test_a_full_disk_is_no_mistake(small_disk):
    disk, change = small_disk
    lease = Lease(disk / "run")
    lease.acquire()
    lease.release()
    change("size=4k")
    (disk / "run" / LEASE_FILE).write_text("")
    (disk / "filler").write_bytes(bytes(4096))
    with pytest.raises(OSError, match=f"No space left on device: '{disk}/run/{LEASE_FILE}'"):
        Lease(disk / "run").acquire()

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Every file of a run's folder cut short, emptied, changed or deleted, and the run continued:
it is what it would have been, or one line says why not."""

import collections
import functools
import shutil

import pytest

from tests.faults.killed_runs import KINDS, assert_same, finish, left, leftovers, try_to_finish


def _flipped(data):
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :] if data else b"\1"


DAMAGES = {
    "cut short": lambda data: data[: len(data) // 2],
    "emptied": lambda data: b"",
    "flipped": _flipped,
    "deleted": None,
}
# Written for people and for TensorBoard; no run reads them.
READ_BY_NO_RUN = ("config.gin", "run.json", "tfevents")


def damage(path, how):
    if DAMAGES[how] is None:
        path.unlink()
    else:
        path.write_bytes(DAMAGES[how](path.read_bytes()))


@pytest.fixture(scope="module")
def stopped(compiled, tmp_path_factory):
    """`stopped(name)`: a folder of the run after two iterations, and what it has after three."""

    @functools.cache
    def run(name):
        folder = tmp_path_factory.mktemp("damage")
        kind = KINDS[name]
        finish(kind.of_length(2), folder / "stopped", compiled)
        shutil.copytree(folder / "stopped", folder / "whole")
        finish(kind.of_length(3), folder / "whole", compiled)
        finish(kind.of_length(3), folder / "at once", compiled)
        expected = left(folder / "at once")
        assert_same(left(folder / "whole"), expected)
        return folder / "stopped", expected

    return run


def outcome(name, path, how, stopped, compiled, folder):
    """What becomes of a run of which one file, given by its path in the folder, is damaged."""
    before, expected = stopped(name)
    shutil.copytree(before, folder)
    damage(folder / path, how)
    damaged = {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    done = try_to_finish(KINDS[name].of_length(3), folder, compiled)
    lines = done.stderr.strip().split("\n")
    if done.returncode == 0:
        assert_same(left(folder), expected)
        assert not leftovers(folder)
        return "exact"
    # The last line is the error; the others name damaged checkpoints.
    assert done.returncode == 2, done.stderr[-2_000:]
    assert ": error: " in lines[-1] and "Traceback" not in done.stderr
    assert all(" is damaged (" in line for line in lines[:-1]), done.stderr[-2_000:]
    # Nothing else is written then.
    assert {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()} == damaged
    return "one line"


@pytest.mark.slow
def test_a_damaged_file_is_made_up_for_or_named(stopped, compiled, tmp_path):
    check = functools.partial(outcome, stopped=stopped, compiled=compiled)
    arrays = "checkpoints/process_0/1/arrays.bin"
    assert check("device", arrays, "flipped", folder=tmp_path / "0") == "exact"
    records = "seed_0/metrics.jsonl"
    assert check("device", records, "flipped", folder=tmp_path / "1") == "one line"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in KINDS if name not in ("reproduce", "c51", "der", "rainbow")]
)
def test_every_file_damaged_in_every_way(name, stopped, compiled, tmp_path):
    before, _ = stopped(name)
    counts = collections.Counter()
    paths = sorted(path.relative_to(before) for path in before.rglob("*") if path.is_file())
    for number, path in enumerate(paths):
        for how in DAMAGES:
            folder = tmp_path / f"{number} {how}"
            found = outcome(name, path, how, stopped, compiled, folder)
            if any(part in path.name for part in READ_BY_NO_RUN):
                assert found == "exact", (path, how)
            counts[found] += 1
            shutil.rmtree(folder)
    print(f"{name}: {len(paths)} files, {dict(counts)}")
    assert counts["exact"] and counts["one line"]

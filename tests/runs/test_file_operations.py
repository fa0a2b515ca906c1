# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a real run does in its folder is what docs/run-folders.md says: for file systems that know
less than a disk, such as mounted buckets."""

import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Runs a module once for each list of arguments and prints {operation: names} of what it does in a
# folder, as Python reports it.
WATCH = """
import json, os, runpy, sys
root, module, runs = sys.argv[1:]
found, busy = {}, []

def name_of(place):
    if isinstance(place, int) and place >= 0:
        try:
            place = os.readlink(f"/proc/self/fd/{place}")
        except OSError:
            return None
    if isinstance(place, (str, bytes, os.PathLike)):
        path = os.path.abspath(os.fsdecode(place))
        if path == root or path.startswith(root + "/"):
            return path
    return None

def operation(event, arguments, path):
    if event != "open":
        kind = " folder" if os.path.isdir(path) else " file"
        return event + (kind if event in ("os.rename", "os.remove") else "")
    _, _, flags = arguments
    if flags & os.O_DIRECTORY or os.path.isdir(path):
        return "open folder"
    if flags & os.O_APPEND:
        return "append"
    if flags & (os.O_TRUNC | os.O_EXCL) or (flags & os.O_CREAT and not os.path.exists(path)):
        return "write new"
    return "update" if flags & (os.O_WRONLY | os.O_RDWR) else "read"

def watch(event, arguments):
    if busy or not event.startswith(("open", "os.", "fcntl.", "mmap.", "socket.bind")):
        return
    busy.append(1)
    try:
        for place in arguments[:1]:
            path = name_of(place)
            if path is not None:
                name = os.path.relpath(path, root)
                found.setdefault(operation(event, arguments, path), set()).add(name)
    finally:
        busy.clear()

sys.addaudithook(watch)
for arguments in json.loads(runs):
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code, end.code
    sys.modules["gin"].clear_config()
print("FOUND" + json.dumps({name: sorted(names) for name, names in found.items()}))
"""
# {what Python reports: the row of the table}
ROWS = {
    "os.mkdir": "make folder",
    "os.listdir": "list folder",
    "os.scandir": "list folder",
    "open folder": "sync folder",
    "write new": "write new file",
    "append": "append",
    "update": "write in place",
    "read": "read",
    "os.truncate": "shorten",
    "fcntl.flock": "lock",
    "os.utime": "touch",
    "os.rename file": "rename file",
    "os.rename folder": "rename folder",
    "os.remove file": "remove file",
    "os.rmdir": "remove folder",
    "mmap.__new__": "map",
}


def table():
    """{row: what it is on} of the documentation."""
    text = (ROOT / "docs" / "run-folders.md").read_text("utf-8")
    text = text.partition("## What a file system must know")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ((?:`[a-z ]+`(?:, )?)+) \| (.*?) \|", text, re.MULTILINE)
    return {row: places for names, places in rows for row in re.findall("`([a-z ]+)`", names)}


def watched(folder, *iterations):
    """{row: names} of a study that goes on to so many iterations in all; what is kept, and how, is
    the same in every kind of run."""
    runs = [
        [
            f"--base_dir={folder / 'run'}",
            "--gin_files=studies/digits.gin",
            "--gin_bindings=StudyRun.training_steps = 28",
            f"--gin_bindings=StudyRun.num_iterations = {total}",
        ]
        for total in iterations
    ]
    command = [sys.executable, "-c", WATCH, str(folder), "dormant.study", json.dumps(runs)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = {}
    for event, names in json.loads(done.stdout.rpartition("FOUND")[2]).items():
        found.setdefault(ROWS.get(event, event), set()).update(names)
    return found


def test_runs_do_what_the_documentation_says_and_nothing_else(tmp_path):
    documented, found = table(), watched(tmp_path, 3, 5)
    assert found.keys() == documented.keys()
    for row in (
        "append",
        "write in place",
        "lock",
        "rename file",
        "write new file",
        "shorten",
        "map",
    ):
        last = {re.sub(r"^\d+", "<n>", name.rpartition("/")[2]) for name in found[row]}
        unnamed = [name for name in last if f"`{name}`" not in documented[row]]
        assert not unnamed, (row, unnamed)

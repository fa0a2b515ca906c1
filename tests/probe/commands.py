# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The command in this process."""

import json

from dormant.probe.command_line import main

QUICK = ["--steps=3", "--seeds=2"]


def probe(capsys, *arguments, code=0):
    """What it prints, and all numbers."""
    found = main([str(each) for each in arguments])
    said = capsys.readouterr()
    assert found == code, said.err
    assert code != 2 or said.err.count("\n") == 1
    return said.err if code == 2 else said.out


def numbers(capsys, tmp_path, *arguments, code=0):
    probe(capsys, *arguments, f"--json={tmp_path / 'found.json'}", code=code)
    return json.loads((tmp_path / "found.json").read_text("utf-8"))

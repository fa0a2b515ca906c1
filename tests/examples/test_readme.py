# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The README: its code runs, it is short, and what it links to is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text("utf-8")


def test_it_fits_on_two_screens_with_code_on_the_first():
    lines = TEXT.splitlines()
    assert len(lines) <= 110 and len(TEXT.encode()) <= 9_000
    assert lines.index("```python") < 20
    tables = [line for line in lines if line.startswith(("|", "[!["))]
    assert all(len(line) <= 120 for line in lines if line not in tables)


def test_its_code_does_what_it_says(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    found: dict = {}
    exec(compile(code, "README.md", "exec"), found)
    report = found["state"].intervention.report
    assert int(report.step) == 300
    assert "layers_0" in capsys.readouterr().out


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(((?!http|\.\.)[^)#]+)", TEXT))))
def test_what_it_links_to_is_there(link):
    assert (ROOT / link).exists()

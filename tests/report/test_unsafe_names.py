# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Names that a spreadsheet would compute, or Markdown take for a link."""

import csv
import io

import numpy as np
import pytest

from dormant.records.results import RunResult
from dormant.report.csv_results import read_csv
from dormant.report.csv_writing import write_csv
from dormant.report.tables import Table, csv_text, markdown

UNSAFE = ("=1+1", "+x", "-2+3", "@SUM(A1)", " =1", "'=1", "\t=1", "-cmd|' /C calc'!A0")


@pytest.mark.parametrize("name", UNSAFE)
def test_no_cell_begins_as_a_formula_and_names_come_back(tmp_path, name):
    nothing = np.full(1, np.nan)
    run = RunResult(name, name, None, name, 0, np.ones(1), np.array([-1.5]), nothing)
    write_csv([run], tmp_path / "x.csv")
    _, cells = csv.reader(io.StringIO((tmp_path / "x.csv").read_text("utf-8")))
    assert cells == [f"'{name}", f"'{name}", "", f"'{name}", "0", "1.0", "-1.5", ""]
    numbers = ("-", "-0.123 [-0.200, -0.100] (3)", "-1.0; paper -2 ± 1*, difference +1.0")
    rows = csv.reader(io.StringIO(csv_text(Table("t", ("a", name, "b"), (numbers,)))))
    assert list(map(tuple, rows)) == [("a", f"'{name}", "b"), numbers]
    (back,) = read_csv(tmp_path / "x.csv").runs
    assert (back.method, back.returns[0]) == (" ".join(name.split()), -1.5)


@pytest.mark.parametrize(
    ("name", "inert"),
    [
        ("[x](http://evil)", r"[x]\(http\://evil)"),
        ("![x](//evil)", r"![x]\(//evil)"),
        ("[x]: http://evil", r"[x]\: http\://evil"),
        ("www.evil.com", r"www\.evil.com"),
        ("<a href=x>", "&lt;a href=x>"),
        ("\x1b[31mred", "[31mred"),
    ],
)
def test_names_are_no_links_in_markdown(name, inert):
    assert inert in markdown(Table(name, (name,), ((name,),), (name,)))
    assert markdown(Table("t", ("95 % [a, b] (n)",), (("1 [0, 2] (3)",),))).count("\\") == 0

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""JSON as Dopamine's baselines have it, damaged and unfinished."""

import json

import pytest

from dormant.report.bootstrap import Bootstrap
from dormant.report.comparing import with_others
from dormant.report.dopamine_results import read_baselines
from dormant.report.experiment_tables import experiment_tables
from dormant.report.sources import read_folder
from dormant.report.statistics import Statistics
from tests.report.foreign import baseline, points, write


@pytest.mark.parametrize("counts", [{0: 3, 1: 3, 2: 2}, {0: 2, 1: 3}, {0: 3, 2: 3}])
def test_values_that_cannot_be_assigned_to_runs_are_refused(tmp_path, counts):
    baseline(tmp_path, counts)
    baseline(tmp_path, {0: 2, 1: 2}, name="qbert_CNN.json")
    found = read_folder(tmp_path)
    assert {run.game for run in found.runs} == {"qbert"}
    assert {absence.status for absence in found.absent} == {"unreadable"}
    assert (
        "pong_CNN.json: iterations of DQN must have as many values each" in found.absent[0].problem
    )
    iqm, *_ = experiment_tables(Statistics(found, Bootstrap(20)))
    assert iqm.rows[0][-1] == "-"


def test_until_a_run_ends_the_values_are_compared(tmp_path):
    baseline(tmp_path, {0: 3, 1: 3, 2: 2})
    theirs = read_folder(tmp_path)
    assert theirs.runs == () and [len(run.agent_steps) for run in theirs.partial] == [2, 2, 2]
    ours = read_folder(write(tmp_path, "ReDo,Pong,0,500000,1"))
    both = with_others(ours, [theirs])
    assert both.absent == () and [points(run) for run in both.runs[1:]] == [
        [(250_000, number), (500_000, 10 + number)] for number in range(3)
    ]
    longer = read_folder(write(tmp_path, "ReDo,Pong,0,750000,1"))
    with pytest.raises(ValueError, match="got none in"):
        with_others(longer, [theirs])


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"Iteration": -1, "Value": 1.0}, "Iteration must be at least 0; got -1"),
        ({"Iteration": 0, "Value": 1e200}, "Value must be within ±1e.100; got 1e.200"),
        ({"Iteration": 10**15, "Value": 1.0}, "got 0 of iteration 0, and 1 of others"),
    ],
)
def test_numbers_that_no_baseline_has_are_named(tmp_path, entry, problem):
    (tmp_path / "pong_CNN.json").write_text(json.dumps([{"Agent": "DQN", **entry}]), "utf-8")
    with pytest.raises(ValueError, match=f"pong_CNN.json.*{problem}"):
        read_baselines(tmp_path)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a run measured in each iteration: by hand, from records of two iterations."""

import json

import numpy as np
import pytest

from dormant.records.experiment_file import PlannedRun
from dormant.records.per_iteration import FURTHER_COLUMNS, cut, measured_per_iteration
from dormant.records.reading import read_run
from dormant.records.run_folders import read_planned


def tracking(gradient_step, percents, overlap, rank):
    return {
        "kind": "tracking",
        "gradient_step": gradient_step,
        "agent_step": 4 * gradient_step,
        "taus": [0.0, 0.025, 0.1],
        "dormant_percent": {"hidden": percents, "torso": percents},
        "dormant_percent_pooled": percents,
        "overlap": {"hidden": [None] * 3, "torso": [None] * 3},
        # The penultimate layer is not the last by its name.
        "overlap_history": {"hidden": [None, 0.0, overlap], "torso": [1.0] * 3},
        "effective_rank": {"hidden": rank},
        "recycled": {},
        "recycled_total": 0,
        "loss": 1.0,
    }


def iteration(number, **evaluation):
    return {
        "kind": "iteration",
        "iteration": number,
        "agent_step": 80 * (number + 1),
        "gradient_step": 20 * (number + 1),
        "train_returns": [1.0],
        "train_episode_lengths": [3],
        "train_average_return": 1.0,
        "steps_per_second": 1.0,
        **evaluation,
    }


@pytest.fixture
def run(tmp_path):
    evaluated = {"eval_returns": [2.0, 4.0], "eval_episode_lengths": [1, 1]}
    records = [
        tracking(10, [0.0, 1.0, 10.0], None, 5.0),
        tracking(20, [2.0, 3.0, 20.0], 0.25, 7.0),
        iteration(0, train_accuracy=0.5),
        tracking(30, [4.0, None, 30.0], 0.5, 9.0),
        iteration(1, **evaluated, eval_average_return=3.0),
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "metrics.jsonl").write_text(lines)
    return read_run(tmp_path)


def test_the_values_of_an_iteration_are_those_of_its_measurements(run):
    found = measured_per_iteration(run, 0.1)
    expected = {
        "gradient_step": [20, 40],
        "evaluation_return": [np.nan, 3],
        "train_accuracy": [0.5, np.nan],
        "dormant_percent_tau_0": [1, 4],
        "dormant_percent_tau_0.025": [2, np.nan],
        "dormant_percent_tau_0.1": [15, 30],
        "overlap_history": [0.25, 0.5],
        "effective_rank": [6, 9],
    }
    assert tuple(sorted(found)) == tuple(sorted(expected)) == tuple(sorted(FURTHER_COLUMNS))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], np.array(values, float))
    np.testing.assert_array_equal(
        cut(found, np.array([False, True]))["effective_rank"], np.array([9.0])
    )


def test_a_column_without_a_value_is_left_out(run):
    found = measured_per_iteration(run._replace(iterations=run.iterations[:1]), 0.0)
    assert "evaluation_return" not in found and "overlap_history" not in found


def test_a_curve_is_of_evaluation_where_every_iteration_had_one(tmp_path):
    evaluated = {"eval_returns": [5.0], "eval_episode_lengths": [1], "eval_average_return": 5.0}
    (tmp_path / "run.json").write_text('{"status": "finished"}')
    planned = PlannedRun(".", "DQN", "", None, "Pong", 0, 160, "")
    for kinds, expected in (([{}, evaluated], [1, 1]), ([evaluated] * 2, [5, 5])):
        lines = [json.dumps(iteration(number, **more)) for number, more in enumerate(kinds)]
        (tmp_path / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
        result = read_planned(tmp_path, planned).result
        np.testing.assert_array_equal(result.returns, expected)
        assert result.measured["evaluation_return"][-1] == 5

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Reading metrics.jsonl: what a run writes comes back typed, and a damaged file says where.
The records are written here in the format that training writes."""

import json

import pytest

from dormant.records.reading import read_run, tau_index

TRACKING = {
    "kind": "tracking",
    "gradient_step": 1000,
    "agent_step": 4000,
    "taus": [0.0, 0.025, 0.1],
    "dormant_percent": {"Conv_0": [0.0, 3.125, 12.5], "Dense_0": [0, 1, 2]},
    "dormant_percent_pooled": [0.0, 2.0, 8.0],
    "overlap": {"Conv_0": [None, 0.5, 1.0], "Dense_0": [None, None, None]},
    "recycled": {"Conv_0": 4, "Dense_0": 10},
    "recycled_total": 14,
    "loss": 0.01,
    "q_mean": -0.25,
}
ITERATION = {
    "kind": "iteration",
    "iteration": 0,
    "agent_step": 4000,
    "gradient_step": 1000,
    "train_returns": [1, 2.5],
    "train_episode_lengths": [100, 250],
    "train_average_return": 1.75,
    "steps_per_second": 250.0,
}


def write(folder, *records, text=""):
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "metrics.jsonl").write_text(lines + text, encoding="utf-8")
    return folder


def test_every_entry_comes_back(tmp_path):
    run = read_run(write(tmp_path, TRACKING, ITERATION))
    (measurement,), (iteration,) = run.tracking, run.iterations
    assert measurement.gradient_step == 1000
    assert measurement.agent_step == 4000
    assert measurement.taus == (0.0, 0.025, 0.1)
    assert measurement.dormant_percent == {"Conv_0": (0.0, 3.125, 12.5), "Dense_0": (0, 1, 2)}
    assert isinstance(measurement.dormant_percent["Dense_0"][1], float)
    assert measurement.dormant_percent_pooled == (0.0, 2.0, 8.0)
    assert measurement.overlap["Conv_0"] == (None, 0.5, 1.0)
    assert measurement.recycled == {"Conv_0": 4, "Dense_0": 10}
    assert (measurement.recycled_total, measurement.loss, measurement.q_mean) == (14, 0.01, -0.25)
    assert (iteration.iteration, iteration.agent_step, iteration.gradient_step) == (0, 4000, 1000)
    assert iteration.train_returns == (1.0, 2.5)
    assert iteration.train_episode_lengths == (100, 250)
    assert iteration.eval_returns == iteration.eval_episode_lengths == ()
    assert iteration.steps_per_second == 250.0


def test_evaluation_entries_are_read_where_there_are_any(tmp_path):
    record = {**ITERATION, "eval_returns": [3.0], "eval_episode_lengths": [7]}
    (iteration,) = read_run(write(tmp_path, record)).iterations
    assert iteration.eval_returns == (3.0,)
    assert iteration.eval_episode_lengths == (7,)


def test_the_file_itself_may_be_named(tmp_path):
    write(tmp_path, ITERATION)
    assert read_run(tmp_path / "metrics.jsonl") == read_run(tmp_path)


def test_blank_lines_and_other_kinds_of_records_are_passed_over(tmp_path):
    folder = write(tmp_path, {"kind": "note", "text": "x"}, text="\n" + json.dumps(ITERATION))
    assert len(read_run(folder).iterations) == 1


@pytest.mark.parametrize(
    ("record", "message"),
    [(TRACKING, "'gradient_step' must rise .* 1000 after 1000"), (ITERATION, "got 0 after 0")],
)
def test_steps_that_go_back_are_an_error(tmp_path, record, message):
    with pytest.raises(ValueError, match=f"line 2: .*{message}"):
        read_run(write(tmp_path, record, record))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 2), "line 2: 'iteration' must count from 0 without a gap; got 2 after 0"),
        ((1,), "line 1: 'iteration' must count from 0 without a gap; got 1 in the first record"),
        ((0, 1, 1), "line 3: 'iteration' must rise .*; got 1 after 1"),
        ((0, 1, 0), "line 3: 'iteration' must rise .*; got 0 after 1"),
        ((-1,), "line 1: 'iteration' must rise .*; got -1 after -1"),
    ],
)
def test_iterations_that_are_missing_repeated_or_falling_are_named(tmp_path, numbers, message):
    records = [
        ITERATION | {"iteration": number, "agent_step": 4000 * (at + 1)}
        for at, number in enumerate(numbers)
    ]
    with pytest.raises(ValueError, match=message):
        read_run(write(tmp_path, *records))


@pytest.mark.parametrize("name", ["agent_step", "gradient_step"])
def test_steps_that_fall_while_iterations_rise_are_named(tmp_path, name):
    later = {"iteration": 1, "agent_step": 8000, name: 5}
    with pytest.raises(ValueError, match=f"line 2: '{name}' must rise .*; got 5 after"):
        read_run(write(tmp_path, ITERATION, ITERATION | later))


@pytest.mark.parametrize("value", [-0.5, 100.5])
@pytest.mark.parametrize("name", ["dormant_percent_pooled", "dormant_percent"])
def test_a_percentage_outside_its_range_is_named(tmp_path, name, value):
    values = [0.0, 1.0, value]
    entry = values if name.endswith("pooled") else {"Conv_0": values}
    with pytest.raises(ValueError, match=f"line 1: '{name}' must be from 0 to 100; got {value}"):
        read_run(write(tmp_path, TRACKING | {name: entry}))


@pytest.mark.parametrize("name", ["overlap", "overlap_history"])
@pytest.mark.parametrize("values", [[], [None], [None] * 4])
def test_an_overlap_of_other_length_than_the_taus_is_named(tmp_path, name, values):
    with pytest.raises(ValueError, match=f"line 1: {name} of Conv_0 must hold one value for each"):
        read_run(write(tmp_path, TRACKING | {name: {"Conv_0": values}}))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no metrics.jsonl in .*nowhere.*--base_dir"):
        read_run(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_an_error(tmp_path, text):
    with pytest.raises(ValueError, match="holds no records"):
        read_run(write(tmp_path, text=text))


def test_a_line_that_was_cut_off_is_an_error_unless_allowed(tmp_path):
    folder = write(tmp_path, TRACKING, ITERATION, text=json.dumps(ITERATION)[:50])
    with pytest.raises(ValueError, match=r"line 3 is cut off.*allow_partial=True.* 2 lines"):
        read_run(folder)
    run = read_run(folder, allow_partial=True)
    assert (len(run.tracking), len(run.iterations)) == (1, 1)


def test_a_damaged_line_within_the_file_is_an_error_in_any_case(tmp_path):
    folder = write(tmp_path, TRACKING, text='{"kind": "iter\n' + json.dumps(ITERATION))
    with pytest.raises(ValueError, match="line 2 is not JSON"):
        read_run(folder, allow_partial=True)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([1, 2], r"line 1 must be a JSON object; got \[1, 2\]"),
        ({"iteration": 0}, "line 1 must have an entry 'kind'"),
        ({**ITERATION, "agent_step": 1.5}, "'agent_step' must hold int values; got 1.5"),
        ({**ITERATION, "agent_step": True}, "'agent_step' must hold int values; got True"),
        ({**ITERATION, "train_returns": ["x"]}, "'train_returns' must hold float .* 'x'"),
        ({**TRACKING, "taus": [0.1]}, "one value for each of the 1 taus; got"),
        (
            {**TRACKING, "dormant_percent": {"Conv_0": [1.0]}},
            r"dormant_percent of Conv_0 must hold one value .* got \[1.0\]",
        ),
        ({**TRACKING, "recycled": {"Conv_0": None}}, "'recycled' must hold int .* None"),
        ({**TRACKING, "taus": [None] * 3}, "'taus' must hold float .* None"),
    ],
)
def test_an_entry_of_the_wrong_form_is_named(tmp_path, record, message):
    with pytest.raises(ValueError, match=message):
        read_run(write(tmp_path, record))


def test_percentages_of_a_layer_without_scores_are_null(tmp_path):
    unknown = {"dormant_percent": {"Conv_0": [None] * 3}, "dormant_percent_pooled": [None] * 3}
    (found,) = read_run(write(tmp_path, TRACKING | unknown)).tracking
    assert found.dormant_percent == {"Conv_0": (None,) * 3}
    assert found.dormant_percent_pooled == (None,) * 3


def test_what_only_some_agents_report_may_be_missing(tmp_path):
    (plain,) = read_run(write(tmp_path, TRACKING)).tracking
    assert plain.overlap_history == plain.effective_rank == plain.gradient_norm == {}
    more = {
        "q_mean": None,
        "overlap_history": {"Conv_0": [None, 0.5, 1.0]},
        "dormant_percent_by_network": {"actor": [0, 1, 2]},
        "effective_rank": {"Dense_0": 12},
        "feature_norm": {"Dense_0": 1.5},
        "weight_norm": {"Dense_0": 2.5},
        "gradient_norm": {"Dense_0": None},
    }
    (rich,) = read_run(write(tmp_path, TRACKING | more)).tracking
    assert rich.q_mean is None
    assert rich.overlap_history == {"Conv_0": (None, 0.5, 1.0)}
    assert rich.dormant_percent_by_network == {"actor": (0.0, 1.0, 2.0)}
    assert rich.effective_rank == {"Dense_0": 12.0}
    assert (rich.feature_norm, rich.weight_norm) == ({"Dense_0": 1.5}, {"Dense_0": 2.5})
    assert rich.gradient_norm == {"Dense_0": None}
    wrong = TRACKING | {"weight_norm": {"Dense_0": "large"}}
    with pytest.raises(ValueError, match="'weight_norm' must hold float values; got 'large'"):
        read_run(write(tmp_path, wrong))
    # A mean of such numbers would overflow.
    wrong = TRACKING | {"weight_norm": {"Dense_0": 1e308}}
    with pytest.raises(ValueError, match="'weight_norm' must be within ±1e.100; got a larger"):
        read_run(write(tmp_path, wrong))


@pytest.mark.parametrize("entry", sorted(set(TRACKING) - {"kind", "q_mean"}))
def test_a_missing_entry_is_named(tmp_path, entry):
    record = {name: value for name, value in TRACKING.items() if name != entry}
    with pytest.raises(ValueError, match=f"line 1 must have an entry '{entry}'"):
        read_run(write(tmp_path, record))


def test_tau_index_finds_a_measured_tau(tmp_path):
    as_float32 = {**TRACKING, "taus": [0.0, 0.02500000037252903, 0.10000000149011612]}
    (record,) = read_run(write(tmp_path, as_float32)).tracking
    assert [tau_index(record, tau) for tau in (0, 0.025, 0.1)] == [0, 1, 2]
    with pytest.raises(ValueError, match=r"one that the run measured, .*; got 0.05"):
        tau_index(record, 0.05)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The records of metrics.jsonl: their content and their file."""

import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from dormant.interventions.network_metrics import NetworkMetrics
from dormant.interventions.state import Report
from dormant.records.files import write_atomically
from dormant.records.metrics import Episodes, MetricsFile, iteration_record, tracking_record
from dormant.records.reading import read_run


def network(layer="Dense_0", gradient=6.0):
    return NetworkMetrics(
        effective_rank={layer: jnp.float32(12)},
        feature_norm={layer: jnp.float32(3)},
        weight_norm={layer: jnp.float32(4), "output": jnp.float32(3)},
        gradient_norm={layer: jnp.float32(gradient), "output": jnp.float32(gradient)},
        weight_norm_total=jnp.float32(5),
        gradient_norm_total=jnp.float32(gradient),
    )


def state(recycled=0, total=0, layer="Dense_0", gradient=6.0):
    report = Report(
        step=jnp.int32(40),
        taus=jnp.array([0.0, 0.025, 0.1]),
        pooled=jnp.array([0.0, 0.25, 0.5]),
        by_layer={layer: jnp.array([0.0, 0.25, 0.5])},
        overlap={layer: jnp.array([jnp.nan, 0.5, 1.0])},
        overlap_history={layer: jnp.array([jnp.nan, 1.0, 1.0])},
        threshold={layer: jnp.float32(0.1)},
        recycled={layer: jnp.int32(recycled)},
        recycled_total=jnp.int32(total),
        network=network(layer, gradient),
    )
    dormant = {layer: jnp.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 1]], bool)}
    return SimpleNamespace(report=report, dormant=dormant)


def losses():
    return {
        "loss": jnp.float32(0.5), "q_mean": jnp.float32(-1.5), "sample_loss": jnp.zeros(4)
    }  # fmt: skip


def test_a_tracking_record_is_the_reports():
    record = tracking_record(state(), state(recycled=3, total=7), losses(), agent_step=160)
    assert record == {
        "kind": "tracking",
        "gradient_step": 40,
        "agent_step": 160,
        "taus": [0.0, 0.025, 0.1],
        "dormant_percent": {"Dense_0": [0.0, 25.0, 50.0]},
        "dormant_percent_pooled": [0.0, 25.0, 50.0],
        "overlap": {"Dense_0": [None, 0.5, 1.0]},
        "overlap_history": {"Dense_0": [None, 1.0, 1.0]},
        "recycled": {"Dense_0": 3},
        "recycled_total": 7,
        "effective_rank": {"Dense_0": 12.0},
        "feature_norm": {"Dense_0": 3.0},
        "weight_norm": {"Dense_0": 4.0, "output": 3.0},
        "gradient_norm": {"Dense_0": 6.0, "output": 6.0},
        "weight_norm_total": 5.0,
        "gradient_norm_total": 6.0,
        "loss": 0.5,
        "q_mean": -1.5,
    }


def test_several_networks_make_one_record():
    larger = state(recycled=1, total=2, layer="critic/Dense_0")
    larger.report = larger.report._replace(pooled=jnp.array([0.0, 1.0, 1.0]))
    larger.dormant = {"critic/Dense_0": jnp.ones((3, 12), bool).at[0].set(False)}
    both = {"actor": state(recycled=3, total=7, layer="actor/Dense_0"), "critic": larger}
    record = tracking_record(both, both, losses(), agent_step=160)
    assert record["dormant_percent_by_network"] == {
        "actor": [0.0, 25.0, 50.0], "critic": [0.0, 100.0, 100.0]
    }  # fmt: skip
    # Neurons count alike whichever network they are in: 1 + 12 and 2 + 12 of 16.
    assert record["dormant_percent_pooled"] == [0.0, 81.25, 87.5]
    assert record["recycled"] == {"actor/Dense_0": 3, "critic/Dense_0": 1}
    assert record["recycled_total"] == 9
    assert record["weight_norm_total"] == pytest.approx(50**0.5)


def test_a_learner_without_gradient_or_q_values_leaves_them_undefined():
    record = tracking_record(
        state(gradient=np.nan), None, {"loss": jnp.float32(0.5)}, agent_step=160
    )
    assert "q_mean" not in record
    assert record["gradient_norm"] == {"Dense_0": None, "output": None}
    assert record["gradient_norm_total"] is None


def test_without_recycling_the_counts_are_zero():
    record = tracking_record(state(), None, losses(), agent_step=160)
    assert (record["recycled"], record["recycled_total"]) == ({"Dense_0": 0}, 0)


def test_what_only_one_learner_returns_is_recorded_under_its_name():
    extra = {"temperature": jnp.float32(2), "entropy": jnp.float32(np.nan)}
    record = tracking_record(state(), None, losses() | extra, agent_step=160)
    assert set(record) >= {"loss", "q_mean", "temperature", "entropy"}
    assert (record["temperature"], record["entropy"]) == (2.0, None)


def iteration(number, agent_step, gradient_step):
    return iteration_record(
        number,
        agent_step=agent_step,
        gradient_step=gradient_step,
        steps_per_second=100.0,
        train=Episodes([np.float64(1.0), 2.0], [5, 6], 1.5),
    )


def test_an_iteration_record_has_an_evaluation_only_where_there_was_one():
    record = iteration(3, 40, 10)
    assert record == {
        "kind": "iteration",
        "iteration": 3,
        "agent_step": 40,
        "gradient_step": 10,
        "train_returns": [1.0, 2.0],
        "train_episode_lengths": [5, 6],
        "train_average_return": 1.5,
        "steps_per_second": 100.0,
    }


def test_an_iteration_in_which_nothing_acts_has_no_episodes():
    measured = {"train_accuracy": np.float32(0.5), "teacher_average_return": None}
    record = iteration_record(
        0, agent_step=40, gradient_step=40, steps_per_second=9.0, measured=measured
    )
    assert list(record.items())[4:] == [
        ("steps_per_second", 9.0),
        ("train_returns", []),
        ("train_episode_lengths", []),
        ("train_accuracy", 0.5),
        ("teacher_average_return", None),
    ]


def test_the_file_continues_where_the_checkpoint_was(tmp_path):
    first = MetricsFile(tmp_path)
    tracking = tracking_record(state(), None, losses(), agent_step=160)
    positions = []
    for record in (iteration(0, 100, 25), tracking, iteration(1, 200, 50)):
        first.write(record)
        positions.append(first.position())
    first.close()
    path = tmp_path / "metrics.jsonl"
    with open(path, "a") as file:
        file.write('{"kind": "itera')
    again = MetricsFile(tmp_path, positions[2])
    again.write(iteration(2, 300, 75))
    again.close()
    run = read_run(tmp_path)
    assert [record.iteration for record in run.iterations] == [0, 1, 2]
    assert [record.gradient_step for record in run.tracking] == [40]
    # Back to the checkpoint of iteration 0, once something is written.
    before = path.read_bytes()
    earlier = MetricsFile(tmp_path, positions[0])
    assert path.read_bytes() == before
    earlier.open()
    assert earlier.position() == positions[0]
    earlier.close()
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["iteration"]


@pytest.mark.parametrize("damage", ["deleted", "cut", "changed"])
def test_a_file_that_is_not_what_it_was_is_refused(tmp_path, damage):
    file = MetricsFile(tmp_path)
    file.write(iteration(0, 100, 25))
    position = file.position()
    file.close()
    path = tmp_path / "metrics.jsonl"
    if damage == "deleted":
        path.unlink()
    else:
        text = path.read_text()
        path.write_text(text[:-1] if damage == "cut" else text.replace("100", "101"))
    with pytest.raises(ValueError, match=r"metrics.jsonl must begin with the \d+ bytes"):
        MetricsFile(tmp_path, position)


def test_a_number_that_json_lacks_is_refused(tmp_path):
    file = MetricsFile(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        file.write({"loss": float("nan")})
    file.close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "run.json"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]

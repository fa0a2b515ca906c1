# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A measure is declared once, and found everywhere: metrics.jsonl, its reader, TensorBoard, the
report's tables and page, and docs/metrics.md."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from dormant.records import schema
from dormant.records.experiment_file import ExperimentFile, PlannedRun
from dormant.records.metrics import Episodes, MetricsFile, iteration_record, tracking_record
from dormant.records.reading import read_run
from dormant.records.results import Collection, RunResult
from dormant.report.charts import all_charts
from dormant.report.experiment_tables import experiment_tables
from dormant.report.page_data import page_data
from dormant.report.statistics import Statistics
from tests.small_networks import MLP, STATES, draw, mlp_graph

STEPS = (10, 20, 30)
LAYERS = ("w1", "w2")


def silent(state):
    """Neurons of each layer whose score is 0."""
    return {layer: mask[0].sum() for layer, mask in state.dormant.items()}


MEASURES = {
    "silent_neurons": schema.Measure(
        "silent_neurons",
        schema.PER_LAYER,
        "neurons whose score is 0",
        "neurons",
        find=silent,
        form=int,
        tag="Silent/{layer}",
        chart="silent neurons",
        final=schema.FinalTable("Silent neurons of {layer}", digits=0, each=True),
    ),
    "gap": schema.of_update("gap", "to the target", chart="gap", final=schema.FinalTable("Gap")),
    "share_at_taus": schema.Measure(
        "share_at_taus",
        schema.PER_TAU,
        "dormant neurons over neurons",
        find=lambda state: state.report.pooled,
        tag="Share/{tau:g}",
        chart="share",
        line="all",
        final=schema.FinalTable("Share at tau {tau:g}", digits=2),
    ),
}
EXTENDED = schema.SCHEMA._replace(tracking=schema.SCHEMA.tracking + tuple(MEASURES.values()))


def records():
    """A tracking record for each of `STEPS`: more neurons are silent each time."""
    graph = mlp_graph()
    tracker = dormant.track(graph, period=1)
    params, state = draw(MLP, 0), tracker.init(jax.random.key(0))
    found = []
    for number, step in enumerate(STEPS):
        params["b1"][: number + 1] = -100.0
        _, _, state = tracker.update(params, None, state, STATES)
        metrics = {"loss": jnp.float32(0.5), "gap": jnp.float32(number)}
        found.append(tracking_record(state, None, metrics, agent_step=step, schema=EXTENDED))
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The records, in the folder of a run."""
    folder = tmp_path_factory.mktemp("run")
    file = MetricsFile(folder)
    found = records()
    for record in found:
        file.write(record)
    train = Episodes([1.0], [30], 1.0)
    last = iteration_record(0, agent_step=30, gradient_step=3, steps_per_second=1.0, train=train)
    file.write(last)
    file.close()
    return folder, found


@pytest.fixture(scope="module")
def statistics(written):
    folder, _ = written
    plan = PlannedRun(folder.name, "DQN", "", None, "Catch", 0, 30, "")
    nothing = np.full(1, np.nan)
    run = RunResult("DQN", "", None, "Catch", 0, np.array([30.0]), np.array([1.0]), nothing,
                    records=read_run(folder, schema=EXTENDED))  # fmt: skip
    experiment = ExperimentFile("x", "", "", "", "", ("return",), "DQN", "", (plan,), ())
    return Statistics(Collection(experiment, (run,), (), (), folder), schema=EXTENDED)


def test_a_declared_measure_is_recorded_and_read_back(written):
    folder, found = written
    first, second = LAYERS
    silent_neurons = [record["silent_neurons"] for record in found]
    assert [each[first] for each in silent_neurons] == [1, 2, 3]
    assert [record["gap"] for record in found] == [0.0, 1.0, 2.0]
    run = read_run(folder, schema=EXTENDED)
    assert [record.silent_neurons for record in run.tracking] == silent_neurons
    assert [list(record.share_at_taus) for record in run.tracking] == [
        record["share_at_taus"] for record in found
    ]
    # A reader that does not know it passes it over; one that does finds none in an older file.
    plain = read_run(folder)
    with pytest.raises(AttributeError, match="got 'silent_neurons'"):
        _ = plain.tracking[0].silent_neurons
    assert plain.tracking[0].loss == run.tracking[0].loss


def test_it_may_be_missing_in_an_older_file(written, tmp_path):
    folder, _ = written
    text = (folder / "metrics.jsonl").read_text().replace('"silent_neurons"', '"another"')
    (tmp_path / "metrics.jsonl").write_text(text)
    assert read_run(tmp_path, schema=EXTENDED).tracking[0].silent_neurons == {}
    (tmp_path / "metrics.jsonl").write_text(text.replace('"gap": 0.0', '"gap": "none"'))
    with pytest.raises(ValueError, match="line 1: 'gap' must hold float values; got 'none'"):
        read_run(tmp_path, schema=EXTENDED)


def test_it_is_in_the_events_of_tensorboard(written, tmp_path):
    collector = pytest.importorskip("dopamine.metrics.tensorboard_collector")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from dormant.agents.scalars import tracking_scalars

    sent = collector.TensorboardCollector(str(tmp_path))
    for record in written[1]:
        sent.write(tracking_scalars(record, EXTENDED))
    sent.close()
    (file,) = tmp_path.rglob("events.*")
    events = EventAccumulator(str(file.parent))
    events.Reload()
    tags = {f"Silent/{layer}" for layer in LAYERS} | {"Train/Gap", "Share/0", "Share/0.1"}
    assert tags <= set(events.Tags()["tensors"])
    assert [event.step for event in events.Tensors("Train/Gap")] == [1, 2, 3]


def test_it_has_tables_of_its_last_values(statistics):
    tables = {table.title.partition(" [")[0]: table for table in experiment_tables(statistics)}
    assert tables[f"Silent neurons of {LAYERS[0]}"].rows == (("Catch", "3 (1)"),)
    assert tables["Gap"].rows == (("Catch", "2.0 (1)"),)
    assert "Share at tau 0.1" in tables
    # Those that an experiment has to ask for are not there.
    assert not any(title.startswith(("Effective rank", "Overlap")) for title in tables)


def test_it_has_curves_on_the_page(statistics):
    charts = all_charts(statistics)
    data = page_data(statistics, charts)
    titles = {"silent_neurons": "silent neurons", "gap": "gap"}
    assert titles.items() <= data["quantities"].items()
    assert data["quantities"]["share_at_taus"] == "share, tau = 0.1"
    (run,) = data["runs"]
    assert run["curves"]["silent_neurons"][LAYERS[0]][2] == (1, 2, 3)
    assert run["curves"]["gap"][""][2] == (0, 1, 2)
    assert list(run["curves"]["share_at_taus"]) == ["all"]
    drawn = {(chart["quantity"], chart["layer"]): chart for chart in data["charts"]}
    (line,) = drawn["silent_neurons", LAYERS[0]]["panels"][0]["lines"]
    assert line["y"] == (1, 2, 3)


def test_the_documentation_has_it_and_is_made_of_the_schema():
    text = schema.document(EXTENDED)
    row = "| `silent_neurons` | `{layer: number}` | neurons | neurons whose score is 0 |"
    assert f"{row} `Silent/{{layer}}` | silent neurons; table |" in text
    docs = Path(dormant.__file__).parents[1] / "docs" / "metrics.md"
    assert docs.read_text("utf-8") == schema.document()


@pytest.mark.parametrize("kind", ["tracking", "iteration"])
def test_every_measure_says_what_it_is_and_has_a_name_of_its_own(kind):
    measures = getattr(schema.SCHEMA, kind)
    names = [measure.name for measure in measures]
    assert len(set(names)) == len(names)
    assert all(measure.meaning and "|" not in measure.meaning for measure in measures)

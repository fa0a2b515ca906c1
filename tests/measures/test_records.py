# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""From gin to the record and back: a measure of the catalog is declared in the catalog alone."""

import re
from pathlib import Path

import gin
import jax
import jax.numpy as jnp
import pytest

import dormant
from dormant import measures
from dormant.checks import ConfigurationError
from dormant.records import schema
from dormant.records.metrics import MetricsFile, tracking_record
from dormant.records.reading import read_run
from dormant.runs.interventions import Tracker
from tests.small_networks import MLP, STATES, draw, mlp, mlp_graph

KEY = jax.random.key(0)
NAMED = ("srank", "effective_rank", "update_norm")
pytestmark = pytest.mark.filterwarnings("error")


def record(tracker, params, steps=1):
    state = tracker.init(KEY, params)
    for _ in range(steps):
        *_, state = tracker.update(params, (), state, STATES)
    return tracking_record(state, None, {"loss": jnp.float32(0.5)}, agent_step=steps)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A record of measures that were named in gin, in the folder of a run."""
    gin.clear_config()
    gin.parse_config(
        [
            "Tracker.tracking_period = 1",
            "Tracker.score_batch = 6",
            f"Tracker.measures = {NAMED!r}",
        ]
    )
    found = record(Tracker().intervention(mlp_graph()), draw(MLP, 0))
    gin.clear_config()
    folder = tmp_path_factory.mktemp("run")
    file = MetricsFile(folder)
    file.write(found)
    file.close()
    return folder, found


def test_what_gin_names_is_recorded_and_read_back(written):
    folder, found = written
    entries = {name for name in found if name.startswith("measure_")}
    assert entries == {f"measure_{name}" for name in NAMED}
    # The released name of srank keeps its meaning; the other effective rank is not a whole number.
    assert found["measure_srank"] == found["effective_rank"]
    assert found["measure_effective_rank"]["w2"] % 1 != 0
    assert found["measure_update_norm"] == {"w1": 0.0, "w2": 0.0, "w3": 0.0}
    (read,) = read_run(folder).tracking
    assert read.measure_srank == found["measure_srank"]
    assert read.measure_fau == {} and read.measure_churn is None


def test_without_names_a_record_has_none_of_them():
    plain = record(
        Tracker(tracking_period=1, score_batch=6).intervention(mlp_graph()), draw(MLP, 0)
    )
    assert not any(name.startswith("measure_") for name in plain)


def test_it_is_sent_to_tensorboard(written):
    scalars = pytest.importorskip("dormant.agents.scalars", reason="needs Dopamine")
    sent = {each.name: each.value for each in scalars.tracking_scalars(written[1])}
    assert sent["Measure/Srank/w2"] == written[1]["measure_srank"]["w2"]
    assert {"Measure/UpdateNorm/w1", "Measure/EffectiveRank/w2"} <= set(sent)


def test_of_several_networks_layers_are_joined_and_a_number_is_of_the_first():
    actor, critic = mlp_graph().select(["w1"]), mlp_graph().select(["w2"])
    named = dict(
        actor=dormant.track(actor, measures=("fau",), period=1),
        critic=dormant.track(critic, measures=("fau", measures.churn(mlp)), period=1),
    )
    found = record(dormant.combine(**named), draw(MLP, 0))
    assert set(found["measure_fau"]) == {"w1", "w2"}
    assert found["measure_churn"] == 0.0


def test_what_is_not_defined_is_null():
    tracker = dormant.track(mlp_graph(), measures=("gradient_norm",), period=1)
    assert record(tracker, draw(MLP, 0))["measure_gradient_norm"] == dict.fromkeys(MLP_LAYERS)


MLP_LAYERS = ("w1", "w2", "w3")


def test_the_schema_and_its_page_have_every_measure_of_the_catalog_as_it_is_declared():
    declared = {each.name: each for each in schema.SCHEMA.tracking}
    page = (Path(dormant.__file__).parents[1] / "docs" / "metrics.md").read_text("utf-8")
    assert len(measures.CATALOG) >= 20
    for name, measure in measures.CATALOG.items():
        entry = declared[f"measure_{name}"]
        assert (entry.meaning, entry.unit) == (measure.meaning, measure.unit)
        assert entry.axes == (() if measure.of == "network" else ("layer",))
        assert f"| `measure_{name}` |" in page and measure.meaning in page


@pytest.mark.parametrize(
    "named, text",
    [
        (("stable",), "`Tracker.measures` must be names among srank, "),
        ("srank", "`Tracker.measures` must be a sequence of names and Measures; got 'srank'"),
        (("churn",), "`Tracker.measures` must be such that 'churn' is made with its apply, "),
    ],
)
def test_names_that_gin_may_not_give(named, text):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(text)}"):
        Tracker(measures=named)


def test_the_catalog_says_what_each_is():
    assert set(measures.BY_NAME) | {"churn", "hessian_eigenvalue"} <= set(measures.CATALOG)
    assert set(measures.CHEAP) <= set(measures.BY_NAME)
    for name, measure in measures.CATALOG.items():
        assert measure.name == name and measure.meaning and "|" not in measure.meaning
        assert getattr(measures, name).__doc__
        assert measure.capped == name.endswith("rank") - (name == "ntk_rank")

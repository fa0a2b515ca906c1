# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Hours: from the measurement of a replay ratio or a line through two, none where there is none."""

import json
from pathlib import Path

import pytest

from benchmarks.runs import KINDS
from dormant.records.experiment_file import PlannedRun
from dormant.reproduce import catalog
from dormant.reproduce.estimates import devices, hours, row_name
from dormant.reproduce.jobs import Job, jobs


def job(speed, replay_ratio, agent_steps):
    run = PlannedRun("a", "DQN", "", None, "Pong", 0, agent_steps, "")
    return Job("a", (), (run,), speed, replay_ratio)


@pytest.fixture
def results(tmp_path):
    """Measurements on a CPU and on a GPU."""

    def write(kind, rates):
        rows = [
            {"name": row_name(*measured), "sides": [{"median": rate}]}
            for measured, rate in rates.items()
        ]
        machine = {"cores": 2, "processor": "Some", "device": f"1 x {kind}"}
        text = json.dumps({"machine": machine, "tables": [{"rows": rows}]})
        (tmp_path / f"runs-{kind}.json").write_text(text, encoding="utf-8")

    write("cpu", {("nature", 0.25): 100.0, ("nature", 1): 40.0, ("sac", 1): 50.0})
    write("gpu", {("sac", 1): 500.0})
    return tmp_path


def test_both_measurements_are_met_and_a_line_tells_the_others(results):
    device, _ = devices(results)
    assert (device.kind, device.name) == ("cpu", "2 cores of Some")
    for replay_ratio, rate in ((0.25, 100), (1, 40)):
        total, unknown = hours(device, [job("nature", replay_ratio, 3600 * rate)])
        assert total == pytest.approx(1) and unknown == 0
    # Seconds of a step: 1/40 at replay ratio 1, 0.02 more for one update more.
    assert hours(device, [job("nature", 2, 3600)])[0] == pytest.approx(0.045)


def test_what_was_not_measured_is_counted_and_not_guessed(results):
    device, _ = devices(results)
    # Of SAC at another replay ratio one measurement tells nothing.
    unknown = [job("", 1, 3600), job("minatar", 1, 3600), job("sac", 2, 3600)]
    assert hours(device, [*unknown, job("nature", 1, 3600 * 40)]) == (pytest.approx(1), 3)


def test_each_machine_has_its_own(results):
    cpu, gpu = devices(results)
    assert (gpu.kind, gpu.name) == ("gpu", "1 x gpu")
    assert [hours(each, [job("sac", 1, 180_000)])[0] for each in (cpu, gpu)] == [1.0, 0.1]


def test_without_measurements_there_is_no_device(tmp_path):
    assert devices(tmp_path) == []


@pytest.mark.parametrize("name", [experiment.name for experiment in catalog.EXPERIMENTS])
def test_the_benchmark_measures_what_an_experiment_at_full_length_needs(name):
    for each in jobs(catalog.find(name), "paper", Path("runs")):
        ratios = KINDS[each.speed].replay_ratios
        assert each.replay_ratio in ratios or len(ratios) == 2

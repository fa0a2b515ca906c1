"""Hours: through the two measured speeds, and none where nothing was measured."""

import json

import pytest

from dormant.evaluation.experiment_file import PlannedRun
from dormant.reproduce.estimates import devices, hours
from dormant.reproduce.jobs import Job


def job(speed, replay_ratio, agent_steps):
    run = PlannedRun("a", "DQN", "", None, "Pong", 0, agent_steps, "")
    return Job("a", (), (run,), speed, replay_ratio)


@pytest.fixture
def results(tmp_path):
    rows = {
        "replay ratio 0.25, 4000 agent steps with one recycle": 100.0,
        "replay ratio 1, 1000 agent steps with one recycle": 40.0,
    }
    table = {
        "title": "DQN with ReDo on DemonAttack: nature CNN",
        "rows": [{"name": name, "sides": [{"median": rate}]} for name, rate in rows.items()],
    }
    machine = {"cores": 2, "processor": "Some", "device": "1 x cpu"}
    text = json.dumps({"machine": machine, "tables": [table]})
    (tmp_path / "train_dqn-cpu.json").write_text(text, encoding="utf-8")
    return tmp_path


def test_both_measurements_are_met(results):
    (device,) = devices(results)
    assert (device.kind, device.name) == ("cpu", "2 cores of Some")
    for replay_ratio, rate in ((0.25, 100), (1, 40)):
        total, unknown = hours(device, [job("nature", replay_ratio, 3600 * rate)])
        assert total == pytest.approx(1) and unknown == 0
    # Seconds of a step: 1/40 at replay ratio 1, 0.02 more for one update more.
    assert hours(device, [job("nature", 2, 3600)])[0] == pytest.approx(0.045)


def test_what_was_not_measured_is_counted_and_not_guessed(results):
    (device,) = devices(results)
    planned = [job("", 1, 3600), job("minatar", 1, 3600), job("nature", 1, 3600 * 40)]
    assert hours(device, planned) == (pytest.approx(1), 2)


def test_without_measurements_there_is_no_device(tmp_path):
    assert devices(tmp_path) == []

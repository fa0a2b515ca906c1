# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs from files that others wrote: CSV, Dopamine's logs, TensorBoard; what is wrong is said."""

import pickle
from collections import OrderedDict

import numpy as np
import pytest

from dormant.records.results_file import COLUMNS
from dormant.report.columns import parse_columns
from dormant.report.dopamine_results import read_baselines, read_logs
from dormant.report.sources import read_folder
from tests.report.hostile_runs import events

HEADER = ",".join(COLUMNS)


@pytest.mark.parametrize(
    "text, problem",
    [
        ("method\nDQN\n", "missing: game, seed, agent_step, return; got 'method'.* where … is"),
        (f"{HEADER}\n", "at least one line"),
        (f"{HEADER}\nDQN,,,Pong,0,x,1,\n", "line 2: agent_step must be a finite number; got 'x'"),
        (f"{HEADER}\nDQN,,,Pong,0,-1,1,\n", "line 2: agent_step must be from 0 to .*; got '-1'"),
        (f"{HEADER}\nDQN,,,Pong,0,1,1e308,\n", r"return must be from -1e\+100 to 1e\+100; got"),
        (f"{HEADER}\nDQN,,,Pong,0,1,1,500\n", "dormant_percent must be from 0 to 100; got '500'"),
        (
            f"{HEADER},dormant_percent_tau_0\nDQN,,,Pong,0,1,1,,101\n",
            "line 2: dormant_percent_tau_0 must be from 0 to 100; got '101'",
        ),
        (f"{HEADER}\nDQN,,,Pong,0.5,1,1,\n", "line 2: seed must be a whole number"),
        (f"{HEADER}\nDQN,,,,0,1,1,\n", "line 2: game must be given"),
        (f"{HEADER}\nDQN,,,Pong,0,5,1,\nDQN,,,Pong,0,5,2,\n", "line 3: .*two runs of one seed"),
    ],
)
def test_a_csv_file_that_is_wrong_names_the_line(tmp_path, text, problem):
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=problem):
        read_folder(path)


def dopamine_log(iterations):
    """As Dopamine's `iteration_statistics` and logger make it."""
    return {
        f"iteration_{number}": {
            "train_episode_lengths": [600, 400],
            "train_episode_returns": [float(number), float(number) + 2.0],
            "eval_episode_returns": [np.float64(10.0 * number)],
        }
        for number in range(iterations)
    }


def test_dopamines_logs_give_the_evaluation_over_agent_steps(tmp_path):
    logs = tmp_path / "DQN" / "Pong" / "3" / "logs"
    logs.mkdir(parents=True)
    for number in (8, 9, 10):
        (logs / f"log_{number}").write_bytes(pickle.dumps(dopamine_log(number + 1)))
    (found,) = read_folder(tmp_path).runs
    assert (found.method, found.game, found.seed) == ("DQN", "Pong", 0)
    assert list(found.agent_steps) == [1000 * (number + 1) for number in range(11)]
    assert list(found.returns) == [10.0 * number for number in range(11)]
    assert found.episodes == "evaluation"
    # Where one iteration had none, the curve is not of the one here and of the other there.
    log = dopamine_log(11)
    log["iteration_3"]["eval_episode_returns"] = []
    (logs / "log_10").write_bytes(pickle.dumps(log))
    (found,) = read_folder(tmp_path).runs
    assert found.episodes == "training"
    assert list(found.returns) == [
        np.mean(log[f"iteration_{number}"]["train_episode_returns"]) for number in range(11)
    ]


@pytest.mark.parametrize(
    "content, problem",
    [
        (pickle.dumps(OrderedDict(a=1)), "must hold lists and numbers only; got collections.Order"),
        (b"nonsense", "cannot be read"),
        (pickle.dumps({"iteration_0": {}}), "train_episode_lengths"),
    ],
)
def test_a_log_that_is_no_log_runs_no_code_and_is_named(tmp_path, content, problem):
    (tmp_path / "log_0").write_bytes(content)
    with pytest.raises(ValueError, match=problem):
        read_logs(tmp_path)


def test_json_that_is_no_baseline_is_named(tmp_path):
    (tmp_path / "pong_CNN.json").write_text('[{"Agent": "DQN"}]', encoding="utf-8")
    with pytest.raises(ValueError, match="pong_CNN.json must be a list of Iteration, Value, Agent"):
        read_baselines(tmp_path)


def logs_of(folder, iterations):
    logs = folder / "logs"
    logs.mkdir(parents=True)
    (logs / f"log_{iterations}").write_bytes(pickle.dumps(dopamine_log(iterations)))


def test_dopamines_logs_that_end_early_or_cannot_be_read_are_named(tmp_path):
    for number, iterations in enumerate((4, 4, 2)):
        logs_of(tmp_path / "DQN" / "Pong" / str(number), iterations)
    (tmp_path / "DQN" / "Pong" / "3" / "logs").mkdir(parents=True)
    (tmp_path / "DQN" / "Pong" / "3" / "logs" / "log_0").write_bytes(b"nonsense")
    found = read_folder(tmp_path)
    assert [run.seed for run in found.runs] == [0, 1]
    (short, damaged) = found.absent
    assert short[1:] == ("interrupted", "ends at 2,000 of 4,000 agent steps")
    assert damaged.status == "unreadable" and "cannot be read" in damaged.problem


def test_tensorboards_folders_are_read(tmp_path):
    values = [(400, 1.0), (800, 2.0), (800, 4.0)]
    for seed in (1, 2):
        events(tmp_path / f"PongNoFrameskip-v4__dqn__{seed}__1700000000", "charts/episodic_return",
               values)  # fmt: skip
    events(tmp_path / "notes", "other", [(1, 1.0)])
    found = read_folder(tmp_path, parse_columns([], "frames"))
    assert [run[:5] for run in found.runs] == [
        ("dqn", "", None, "PongNoFrameskip-v4", seed) for seed in (1, 2)
    ]
    assert list(found.runs[0].agent_steps) == [100, 200]
    assert list(found.runs[0].returns) == [1.0, 3.0]
    assert any("notes" in note and "passed over" in note for note in found.notes)


def test_tensorboards_tags_and_the_option_are_said(tmp_path):
    events(tmp_path / "PPO_1", "score", [(1, 1.0), (2, 5.0)])
    with pytest.raises(ValueError, match="must have the tag .*; got score: .* return=score"):
        read_folder(tmp_path)
    with pytest.raises(ValueError, match="must tell method and game.* --columns method=… game=…"):
        read_folder(tmp_path, parse_columns(["return=score"]))
    columns = parse_columns(["return=score", "method=PPO", "game=CartPole-v1"])
    (run,) = read_folder(tmp_path, columns).runs
    assert (run.method, run.game, run.seed, list(run.returns)) == ("PPO", "CartPole-v1", 1, [1, 5])
    path = next((tmp_path / "PPO_1").iterdir())
    path.write_bytes(path.read_bytes()[:-5])
    found = read_folder(tmp_path, columns)
    assert list(found.runs[0].returns) == [1] and any("cut off" in note for note in found.notes)

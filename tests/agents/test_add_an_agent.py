# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""docs/add-an-agent.md: its adapter and its gin file, as they stand there, train on a real game."""

import json
import re
import sys
from pathlib import Path

import optax
import pytest

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "add-an-agent.md"


def blocks():
    """The document's first block of Python, and its gin file."""
    text = DOCUMENT.read_text("utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    gin_file = re.search(r"```\n(import quantile.*?)```", text, re.DOTALL).group(1)
    return code, gin_file


def test_the_adapter_takes_at_most_30_lines():
    code, _ = blocks()
    assert 10 < len([line for line in code.splitlines() if line.strip()]) <= 30


@pytest.fixture
def run(tmp_path, monkeypatch):
    code, gin_file = blocks()
    (tmp_path / "quantile.py").write_text(code)
    path = tmp_path / "quantile.gin"
    path.write_text(gin_file)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "quantile", raising=False)
    from dormant.agents import preflight

    small = {
        "JaxQuantileAgent.min_replay_history": 20,
        "Runner.num_iterations": 1,
        "Runner.training_steps": 60,
        "Runner.max_steps_per_episode": 30,
        "ReplayBuffer.max_capacity": 200,
        "ReplayBuffer.batch_size": 4,
        "ReDo.period": 8,
        "ReDo.score_batch": 8,
        "Tracker.tracking_period": 8,
        "Tracker.score_batch": 8,
    }
    preflight.load_gin([str(path)], [f"{name} = {value!r}" for name, value in small.items()])
    preflight.check_runner()
    preflight.check_environment()
    from dormant.agents.runner import create_dormant_runner

    runner = create_dormant_runner(str(tmp_path / "run"))
    runner.run_experiment()
    return runner, tmp_path / "run"


@pytest.mark.slow
def test_it_trains_tracks_and_recycles(run):
    runner, base_dir = run
    agent = runner.agent
    assert type(agent).__name__ == "DormantQuantileAgent"
    assert int(optax.tree.get(agent.optimizer_state, "count")) == agent.gradient_step > 20
    lines = (base_dir / "metrics.jsonl").read_text().splitlines()
    tracking = [record for record in map(json.loads, lines) if record["kind"] == "tracking"]
    assert len(tracking) == agent.gradient_step // 8
    assert set(tracking[-1]["dormant_percent"]) == {"Conv_0", "Conv_1", "Conv_2", "Dense_0"}
    assert tracking[-1]["recycled_total"] > 0
    assert tracking[-1]["gradient_norm"]["Dense_0"] is None

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""docs/runs-on-the-device.md: its gin names exist, and its program trains as it stands there."""

import re
from pathlib import Path

import gin
import numpy as np
import pytest

from dormant.runs.gin_files import parse_gin

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "runs-on-the-device.md").read_text("utf-8")
CONFIGS = sorted((ROOT / "gin_configs" / "vectorized").glob("*.gin"))


@pytest.mark.slow
def test_its_program_trains_two_learning_rates_side_by_side():
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL).group(1)
    names = {}
    exec(compile(code, "runs-on-the-device.md", "exec"), names)
    state = names["state"]
    assert int(state.agent_step) == 1_000 + 500 * 4
    assert int(state.learner.gradient_step) == 500
    rates = np.asarray(state.learner.opt_state[0].mu["params"]["Dense_0"]["kernel"])
    assert not np.array_equal(rates[0], rates[1])
    assert np.asarray(state.learner.tracker.report.step) == 500
    assert np.isfinite(np.asarray(names["progress"].episode_return)).any()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_its_gin_files_and_the_changes_they_propose_are_understood(path):
    from dormant.runs.options import LearnerOptions
    from dormant.vectorized import agent as vectorized_agent  # noqa: F401
    from dormant.vectorized import options as vectorized_options  # noqa: F401

    header = path.read_text("utf-8").split("\n\n")[0]
    parts = ["Command", "Units", "Figure", "Expected", "Runtime"]
    assert re.findall(r"^# (\w+) {2,}", header, re.MULTILINE) == parts
    start = f"python -m dormant.train_vectorized --gin_files=vectorized/{path.name}"
    assert start in header
    changes = re.findall(r"--gin_bindings='([^']*)'", header + TEXT)
    assert len(changes) > 3
    for change in ["", *changes]:
        parse_gin([str(path)], [change])
        run = vectorized_options.VectorizedRun()
        agent = vectorized_agent.VectorizedDQN()
        options = LearnerOptions()
        assert run.members(0) and agent.environment and options.replay_ratio > 0
    gin.clear_config()


def test_what_it_binds_exists():
    # A binding within a paragraph may be broken over two lines.
    bindings = re.findall(r"`(\w+\.\w+\s=\s[^`]+)`", TEXT)
    bindings = [" ".join(binding.split()) for binding in bindings]
    bindings += re.findall(r"^(\w+\.\w+ = .+)$", TEXT, re.MULTILINE)
    assert len(bindings) == 7
    for binding in bindings:
        parse_gin([str(CONFIGS[0])], [binding])
    gin.clear_config()

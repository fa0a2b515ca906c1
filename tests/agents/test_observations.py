# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What is checked of a run before it learns: its seed, and the observations of its environment."""

import types

import numpy as np
import pytest

import dormant.agents  # noqa: F401  (makes Dopamine import)
from dormant.agents.agent_options import check_observations
from dormant.checks import ConfigurationError


@pytest.mark.parametrize(
    ("dtype", "stored", "is_allowed"),
    [
        ("uint8", "uint8", True),
        ("bool", "uint8", True),
        ("float64", "float32", True),
        ("uint8", "float32", True),
        ("float32", "uint8", False),
        ("int64", "uint8", False),
        ("object", "float32", False),
    ],
)
def test_only_the_size_of_numbers_may_change(dtype, stored, is_allowed):
    agent = types.SimpleNamespace(observation_shape=(3,), observation_dtype=np.dtype(stored))
    if is_allowed:
        check_observations(agent, (3,), np.dtype(dtype))
    else:
        problem = f"observation_dtype` must be able to hold .* which are {dtype}; got '{stored}"
        with pytest.raises(ConfigurationError, match=problem):
            check_observations(agent, (3,), np.dtype(dtype))


def test_the_shape_may_have_axes_of_one():
    agent = types.SimpleNamespace(observation_shape=(84, 84), observation_dtype=np.uint8)
    check_observations(agent, (84, 84, 1), None)
    check_observations(agent, None, None)
    with pytest.raises(ConfigurationError, match=r"_shape` must be \(4,\), .*; got \(84, 84\)"):
        check_observations(agent, (4,), None)


def test_observations_that_would_be_lost_are_refused_at_creation(load_family, tmp_path):
    load_family("dqn_cartpole", JaxDQNAgent__observation_dtype="uint8")
    from dormant.agents.runner import create_dormant_runner

    with pytest.raises(ConfigurationError, match="^`JaxDQNAgent.observation_dtype` must be able"):
        create_dormant_runner(str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_an_environment_that_does_not_say_is_checked_at_its_first_observation(load_gin):
    load_gin()
    from dormant.agents.dqn_agent import DormantDQNAgent

    agent = DormantDQNAgent(num_actions=3)
    with pytest.raises(ConfigurationError, match="^`JaxDQNAgent.observation_dtype` must be able"):
        agent.begin_episode(np.zeros((84, 84, 1), np.float32))
    with pytest.raises(ConfigurationError, match="^`JaxDQNAgent.observation_shape` must be"):
        agent.begin_episode(np.zeros((64, 64, 1), np.uint8))

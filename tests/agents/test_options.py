# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Options that every agent has, and how those of the Dopamine agents below ours are found."""

import gin
import pytest

import dormant.agents  # noqa: F401  (makes Dopamine import)
from dormant.agents.inherited_options import (
    check_no_dead_bindings,
    inherited_option,
    option_name,
)
from dormant.checks import ConfigurationError
from dormant.runs.options import LearnerOptions


@pytest.fixture
def agents(load_gin):
    """The agent classes, with nothing bound in gin."""
    load_gin()
    from dopamine.jax.agents.dqn.dqn_agent import JaxDQNAgent

    from dormant.agents import dqn_agent, rainbow_agent, sac_agent

    gin.clear_config()
    return {
        "host": JaxDQNAgent,
        "dqn": dqn_agent.DormantDQNAgent,
        "rainbow": rainbow_agent.DormantRainbowAgent,
        "full_rainbow": rainbow_agent.DormantFullRainbowAgent,
        "sac": sac_agent.DormantSACAgent,
    }


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"replay_ratio": 0}, "`LearnerOptions.replay_ratio` must be a number > 0; got 0"),
        ({"replay_ratio": True}, "`LearnerOptions.replay_ratio` must be"),
        ({"target_update_unit": "steps"}, "`LearnerOptions.target_update_unit` must be one of"),
        ({"weight_decay": -1e-5}, "`LearnerOptions.weight_decay` must be a number >= 0"),
        ({"weight_decay_kind": "l1"}, "`LearnerOptions.weight_decay_kind` must be one of 'l2', 'd"),
        ({"intervention": "on"}, "`LearnerOptions.intervention` must be None or .* got 'on'"),
        ({"tracker": 4}, "`LearnerOptions.tracker` must be None or @Tracker"),
        ({"replay_scheme": "uniform"}, "`LearnerOptions.replay_scheme` must be one of 'configure"),
        ({"seed": 1.5}, "`LearnerOptions.seed` must be a whole number >= 0; got 1.5"),
    ],
)
def test_an_option_that_is_not_allowed_is_named(changes, problem):
    with pytest.raises(ConfigurationError, match=problem):
        LearnerOptions(**changes)


def test_an_option_is_named_where_gin_sets_it(agents):
    assert option_name(agents["dqn"], "gamma") == "JaxDQNAgent.gamma"
    assert option_name(agents["rainbow"], "gamma") == "JaxRainbowAgent.gamma"
    assert option_name(agents["full_rainbow"], "gamma") == "JaxDQNAgent.gamma"
    assert option_name(agents["sac"], "gamma") == "SACAgent.gamma"


def test_an_option_is_what_gin_binds_to_the_nearest_base_else_its_default(agents):
    rainbow, full_rainbow = agents["rainbow"], agents["full_rainbow"]
    assert inherited_option(rainbow, "replay_scheme", "uniform") == "prioritized"
    assert inherited_option(agents["dqn"], "replay_scheme", "uniform") == "uniform"
    gin.parse_config("JaxRainbowAgent.replay_scheme = 'uniform'")
    assert inherited_option(rainbow, "replay_scheme", "other") == "uniform"
    assert inherited_option(full_rainbow, "replay_scheme", "other") == "prioritized"


def test_the_seed_is_found_wherever_it_is_bound(agents):
    assert inherited_option(agents["rainbow"], "seed", 0) == 0
    gin.parse_config("JaxDQNAgent.seed = 3")
    assert inherited_option(agents["rainbow"], "seed", 0) == 3
    with gin.unlock_config():
        gin.parse_config("JaxRainbowAgent.seed = 4")
    assert inherited_option(agents["rainbow"], "seed", 0) == 4
    assert inherited_option(agents["full_rainbow"], "seed", 0) == 3


def test_a_binding_that_ours_replaces_is_refused_with_the_one_that_works(agents):
    for name, option, works in (
        ("dqn", "JaxDQNAgent.network = @networks.NatureDQNNetwork", "DormantDQNAgent.network"),
        ("full_rainbow", "JaxFullRainbowAgent.num_updates_per_train_step = 8",
         "LearnerOptions.replay_ratio"),
        ("full_rainbow", "Atari100kRainbowAgent.data_augmentation = True",
         "DormantFullRainbowAgent.data_augmentation"),
        ("full_rainbow", "Atari100kRainbowAgent.mse_loss = True", "JaxFullRainbowAgent.mse_loss"),
        ("full_rainbow", "Atari100kRainbowAgent.seed = 3", "LearnerOptions.seed"),
    ):  # fmt: skip
        gin.clear_config()
        gin.parse_config(option)
        agent = agents[name]
        with pytest.raises(ConfigurationError, match=f"left out .*: bind {works} instead"):
            check_no_dead_bindings(agent, agents["host"], agent.replaced_options)


@pytest.mark.parametrize(
    ("name", "binding"),
    [
        ("rainbow", "JaxDQNAgent.loss_type = 'mse'"),
        ("rainbow", "JaxDQNAgent.preprocess_fn = 1"),
        ("full_rainbow", "JaxFullRainbowAgent.preprocess_fn = 1"),
        ("sac", "JaxDQNAgent.epsilon_train = 0.5"),
    ],
)
def test_a_binding_that_the_agent_does_not_read_is_refused(agents, name, binding):
    gin.parse_config(binding)
    agent = agents[name]
    option, _, value = binding.partition(" = ")
    with pytest.raises(ConfigurationError, match=f"`{option}` must be left out with Dormant"):
        check_no_dead_bindings(agent, agents["host"], agent.replaced_options, agent.unread_options)


@pytest.mark.parametrize("option", ["JaxRainbowAgent.vmin", "JaxFullRainbowAgent.vmin"])
def test_a_support_from_0_which_dopamine_takes_for_none_is_refused(agents, option):
    gin.parse_config(f"{option} = 0.0")
    name = "rainbow" if "Full" not in option else "full_rainbow"
    with pytest.raises(ConfigurationError, match=f"`{option}` must be None or other than 0; got 0"):
        agents[name](num_actions=2)


@pytest.mark.parametrize("option", ["intervention", "tracker"])
def test_a_reference_without_its_parentheses_is_refused(load_gin, option):
    from dormant.runs.interventions import ReDo, Tracker

    given = {"intervention": ReDo, "tracker": Tracker}[option]
    with pytest.raises(ConfigurationError, match=f"{option}` must be .* with its parentheses"):
        LearnerOptions(**{option: given})


def test_a_binding_that_dopamine_overrides_is_refused(agents):
    gin.parse_config("JaxDQNAgent.min_replay_history = 20\nJaxDQNAgent.seed = 1")
    for name in ("dqn", "full_rainbow"):
        check_no_dead_bindings(agents[name], agents["host"], {})
    for name, works in (
        ("rainbow", "JaxRainbowAgent.min_replay_history"), ("sac", "SACAgent.min_replay_history")
    ):  # fmt: skip
        expected = f"`JaxDQNAgent.min_replay_history` must be left out .* bind {works}; got 20"
        with pytest.raises(ConfigurationError, match=expected):
            check_no_dead_bindings(agents[name], agents["host"], {})

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Gymnasium's MuJoCo and CartPole and MinAtar under Dopamine's wrappers: limits, dtypes, seeds.
Every environment is a real one."""

import types
import warnings

import gin
import mujoco
import numpy as np
import pytest

from dormant.agents import dopamine_compat, environments, preflight
from dormant.checks import ConfigurationError

with warnings.catch_warnings():
    # tensorflow-probability warns about distutils while it is imported, whatever we do.
    warnings.simplefilter("ignore")
    from dopamine.continuous_domains import run_experiment  # noqa: F401  (its names are bound)
    from dopamine.discrete_domains import gym_lib
    from dopamine.labs.environments.minatar import minatar_env

MINATAR_GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")


def gymnasium_environment(name, version, limit=None):
    """An adapted environment; with a limit of its own instead of Gymnasium's where one is given."""
    with environments.quiet_creation():
        plain = gym_lib.create_gym_environment(name, version)
    if limit is not None:
        plain.environment._max_episode_steps = limit
    return environments.adapted(plain)


def always(action, environment, steps):
    """Takes one action for at most so many steps; returns (game_over, is_terminal) of each."""
    environment.reset()
    ends = []
    while len(ends) < steps and not (ends and ends[-1][0]):
        *_, is_terminal, _ = environment.step(action)
        ends.append((environment.game_over, is_terminal))
    return ends


def test_a_truncated_episode_is_over_and_not_terminal():
    environment = gymnasium_environment("HalfCheetah", "v4")
    ends = always(np.zeros(6, np.float32), environment, 1_200)
    assert len(ends) == 1_000
    assert ends[-1] == (True, False)
    assert set(ends[:-1]) == {(False, False)}
    environment.reset()
    assert not environment.game_over


def test_a_terminated_episode_is_over_and_terminal():
    ends = always(0, gymnasium_environment("CartPole", "v1"), 500)
    assert 5 < len(ends) < 20
    assert ends[-1] == (True, True)


def test_a_fall_in_the_last_step_is_still_terminal():
    environment = gymnasium_environment("CartPole", "v1")
    dopamine_compat.seed_environment(environment, 0)
    fall = len(always(0, environment, 500))
    limited = gymnasium_environment("CartPole", "v1", limit=fall)
    dopamine_compat.seed_environment(limited, 0)
    ends = always(0, limited, 500)
    assert len(ends) == fall
    assert ends[-1] == (True, True)


def test_dopamines_own_wrapper_still_steps_past_a_limit():
    # Why environments.GymnasiumEnvironment exists; delete that when this fails.
    plain = gym_lib.create_gym_environment("CartPole", "v1")
    plain.environment._max_episode_steps = 3
    plain.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium warns of steps after the end
        assert not any(plain.step(0)[2] or plain.game_over for _ in range(20))


def test_observations_are_single_precision_and_otherwise_the_same():
    environment = gymnasium_environment("Hopper", "v4")
    assert environment.observation_space.dtype == np.float32
    assert environment.observation_space.shape == (11,)
    observations = []
    for wrapper in (environment, gym_lib.GymPreprocessing(environment.environment)):
        dopamine_compat.seed_environment(wrapper, 5)
        observations.append([wrapper.reset(), wrapper.step(np.full(3, 0.5, np.float32))[0]])
    for single, double in zip(*observations, strict=True):
        assert (single.dtype, double.dtype) == (np.float32, np.float64)
        np.testing.assert_array_equal(single, double.astype(np.float32))


def test_other_environments_are_left_as_they_are():
    minatar = minatar_env.create_minatar_env("breakout")
    assert environments.adapted(minatar) is minatar
    gymnasium = gymnasium_environment("CartPole", "v1")
    assert environments.adapted(gymnasium) is gymnasium
    assert gymnasium.observation_space is gymnasium.environment.observation_space


def trajectory(environment, seed, actions):
    """Everything that the environment says after it was seeded, over several episodes."""
    dopamine_compat.seed_environment(environment, seed)
    said = [environment.reset()]
    for action in actions:
        observation, reward, is_terminal, _ = environment.step(action)
        said += [observation, reward, is_terminal]
        if environment.game_over:
            said.append(environment.reset())
    return said


def differ(said, others):
    if len(said) != len(others):
        return True
    return any(not np.array_equal(one, other) for one, other in zip(said, others, strict=True))


@pytest.mark.parametrize("game", MINATAR_GAMES)
@pytest.mark.parametrize("sticky", [False, True])
def test_a_seed_repeats_minatar(game, sticky):
    actions = np.random.default_rng(0).integers(6, size=150)
    environment = minatar_env.create_minatar_env(game, sticky_actions=sticky)
    first, again, other = (trajectory(environment, seed, actions) for seed in (3, 3, 4))
    assert not differ(first, again)
    assert differ(first, other)
    assert environment.env.last_action in range(1, 6)
    dopamine_compat.seed_environment(environment, 3)
    assert environment.env.last_action == 0  # or a sticky first action would repeat an old one
    fresh = minatar_env.create_minatar_env(game, sticky_actions=sticky)
    assert not differ(first, trajectory(fresh, 3, actions))


@pytest.mark.parametrize(
    ("name", "version"),
    [("CartPole", "v1"), ("Ant", "v4"), ("HalfCheetah", "v4"), ("Walker2d", "v5")],
)
def test_a_seed_repeats_gymnasium(name, version):
    environment = gymnasium_environment(name, version, limit=40)
    environment.action_space.seed(0)
    actions = [environment.action_space.sample() for _ in range(100)]
    first, again, other = (trajectory(environment, seed, actions) for seed in (3, 3, 4))
    assert not differ(first, again)
    assert differ(first, other)
    fresh = gymnasium_environment(name, version, limit=40)
    assert not differ(first, trajectory(fresh, 3, actions))


def test_an_old_version_is_created_in_silence(tmp_path, monkeypatch, capfd, recwarn):
    monkeypatch.chdir(tmp_path)
    bindings = ["create_gym_environment.environment_name = 'HalfCheetah'"]
    preflight.load_gin([], [*bindings, "create_gym_environment.version = 'v4'"])
    with environments.quiet_creation():
        gym_lib.create_gym_environment()
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []  # no MUJOCO_LOG.TXT
    assert not recwarn.list


def test_the_same_words_are_heard_again_afterwards():
    before = mujoco.get_mju_user_warning()
    with environments.quiet_creation():
        pass
    assert mujoco.get_mju_user_warning() is before
    with pytest.warns(DeprecationWarning, match="Ant-v4 is out of date"):
        gym_lib.create_gym_environment("Ant", "v4")


@pytest.mark.parametrize("bound", ["Runner", "TrainRunner", "ContinuousRunner"])
def test_one_binding_of_the_environment_holds_for_every_schedule(bound):
    control = "continuous" if bound.startswith("Continuous") else "discrete"
    factory = (
        "@atari_lib.create_atari_environment"
        if control == "continuous"
        else ("@gym_lib.create_gym_environment")
    )
    preflight.load_gin([], [f"{bound}.create_environment_fn = {factory}"])
    expected = environments.environment_factory(control).__name__
    assert f"@atari_lib.{expected}" == factory or f"@gym_lib.{expected}" == factory
    environments.share_environment_binding(control)
    for name in environments.RUNNER_NAMES[control]:
        reference = gin.get_bindings(name, resolve_references=False)["create_environment_fn"]
        assert str(reference).endswith(expected)


def test_two_bindings_of_the_environment_stay_two():
    preflight.load_gin([], [
        "Runner.create_environment_fn = @atari_lib.create_atari_environment",
        "TrainRunner.create_environment_fn = @gym_lib.create_gym_environment",
    ])  # fmt: skip
    environments.share_environment_binding("discrete")
    factory = gin.get_bindings("TrainRunner")["create_environment_fn"]
    assert factory.__name__ == "create_gym_environment"
    factory = gin.get_bindings("Runner")["create_environment_fn"]
    assert factory.__name__ == "create_atari_environment"


def test_dopamines_environment_is_the_default():
    preflight.load_gin([], [])
    assert environments.environment_factory("discrete").__name__ == "create_atari_environment"
    assert environments.environment_factory("continuous").__name__ == "create_gym_environment"
    environments.share_environment_binding("continuous")
    assert gin.get_bindings("ContinuousTrainRunner") == {}


@pytest.mark.parametrize(("control", "name"), [("continuous", "CartPole"), ("discrete", "Hopper")])
def test_actions_of_the_wrong_kind_are_refused(control, name):
    environment = gymnasium_environment(name, {"CartPole": "v1", "Hopper": "v4"}[name])
    agent = type("SomeAgent", (), {"control": control})
    problem = f"must be of {control} actions, as SomeAgent needs"
    with pytest.raises(ConfigurationError, match=problem):
        environments.check_actions(environment, agent)


def test_an_agent_is_discrete_unless_it_says_otherwise():
    assert environments.control_of(types.SimpleNamespace()) == "discrete"
    assert environments.control_of(types.SimpleNamespace(control="continuous")) == "continuous"

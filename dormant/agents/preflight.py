# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The checks of an agent's run that are made before anything is created: its runner and its
environment. Each has one clear line when it fails."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Sequence
from typing import Any

import gin

from dormant.checks import (
    ConfigurationError,
    require,
    require_choice,
    require_count,
    require_flag,
)
from dormant.runs.gin_files import close_matches, did_you_mean, parse_gin
from dormant.runs.options import bound_in_gin


def load_gin(gin_files: Sequence[str], gin_bindings: Sequence[str]) -> None:
    """`parse_gin` with everything imported that the files of an agent can name.

    Every agent is imported: all that they need is imported with the first of them.

    Raises:
      ConfigurationError: when a line cannot be parsed or names something that does not exist.
    """
    import dormant.agents

    for module in pkgutil.iter_modules(dormant.agents.__path__, "dormant.agents."):
        # Registers what gin can name.
        if module.name.endswith(("_agent", "runner")):
            importlib.import_module(module.name)
    importlib.import_module("dormant.runs.interventions")
    parse_gin(gin_files, gin_bindings)


def check_runner() -> None:
    """Checks the bindings of the runner: `Runner.*`, or `ContinuousRunner.*` where it is that.

    Raises:
      ConfigurationError: when one is not allowed, or the agent has no runner of that schedule.
    """
    from dormant.agents import environments, runner

    control = environments.control_of(_agent())
    schedule = bound_in_gin("create_dormant_runner.schedule", "continuous_train")
    dopamines = "create_runner.schedule"
    unread = bound_in_gin(dopamines, None)
    require(unread is None, dopamines, "left out: bind create_dormant_runner.schedule", unread)
    runner.runner_class(control, schedule)
    name = environments.RUNNER_NAMES[control][0]
    (other,) = {names[0] for names in environments.RUNNER_NAMES.values()} - {name}
    for parameter, value in gin.get_bindings(other).items():
        allowed = f"left out where actions are {control}: bind {name}.{parameter}"
        require(False, f"{other}.{parameter}", allowed, value)
    _check_flags(name)
    for parameter in ("num_iterations", "training_steps", "evaluation_steps"):
        _check_count(f"{name}.{parameter}", 1, 1)
    episode = f"{name}.max_steps_per_episode"
    if schedule == "max_episode_eval" or bound_in_gin(episode, 1) is not None:
        _check_count(episode, 1, 1, "agent steps")
    if schedule == "max_episode_eval":
        _check_count("MaxEpisodeEvalRunner.num_eval_episodes", 100, 1, "episodes")
        no_ops = _check_count("MaxEpisodeEvalRunner.max_noops", 30, 0)
        factory = environments.environment_factory(control).__name__
        allowed = f"0 in an environment of {factory}: only Atari games have no-ops"
        is_allowed = no_ops == 0 or factory == "create_atari_environment"
        require(is_allowed, "MaxEpisodeEvalRunner.max_noops", allowed, no_ops)


def _check_flags(configurable: str) -> None:
    """Checks what gin binds to those parameters whose default is True or False."""
    bound = gin.get_bindings(configurable)
    for parameter in inspect.signature(gin.get_configurable(configurable)).parameters.values():
        if isinstance(parameter.default, bool) and parameter.name in bound:
            require_flag(f"{configurable}.{parameter.name}", bound[parameter.name])


def _check_count(option: str, default: int, least: int, units: str = "") -> int:
    """What gin binds to an option, or its default; a whole number >= least."""
    value = bound_in_gin(option, default)
    require_count(option, value, least, units)
    return value


def check_environment() -> None:
    """Checks that the environment which the bindings name exists.

    Raises:
      ConfigurationError: when it does not, with the names that come close.
    """
    from dormant.agents import environments

    control = environments.control_of(_agent())
    factory = environments.environment_factory(control)
    name = f"{environments.RUNNER_NAMES[control][0]}.create_environment_fn"
    allowed = "a function such as @atari_lib.create_atari_environment"
    require(hasattr(factory, "__name__"), name, allowed, factory)
    # One that is not Dopamine's checks its own parameters.
    check = _ENVIRONMENT_CHECKS.get(factory.__name__)
    if check is not None:
        _check_flags(factory.__name__)
        check()


def _check_atari() -> None:
    from dormant.runs.atari_games import atari_games

    _check_flags("AtariPreprocessing")
    # With a frame_skip of 1 its agent sees the first screen of each episode alone, see
    # https://github.com/google/dopamine/issues/177.
    _check_count("AtariPreprocessing.frame_skip", 4, 2)
    _check_count("AtariPreprocessing.screen_size", 84, 1)
    _check_name("create_atari_environment.game_name", "game", "Pong", "the ALE", atari_games())


def _check_gymnasium() -> None:
    import gymnasium

    specs = [spec for spec in gymnasium.registry.values() if _can_be_created(spec)]
    parameter = "create_gym_environment.environment_name"
    names = {spec.id.rpartition("-v")[0] or spec.id for spec in specs}
    name = _check_name(parameter, "environment", "HalfCheetah", "Gymnasium", names)
    version = bound_in_gin("create_gym_environment.version", "v0")
    versions = [f"v{spec.version}" for spec in specs if spec.id == f"{name}-v{spec.version}"]
    require_choice("create_gym_environment.version", version, versions)


def _can_be_created(spec: Any) -> bool:
    # Gymnasium keeps the names of MuJoCo's versions 2 and 3, to say where they went.
    is_moved_away = getattr(spec.entry_point, "__name__", "") == "_raise_mujoco_py_error"
    # Atari games have a wrapper of their own, `create_atari_environment`.
    return not is_moved_away and spec.namespace != "ALE"


def _check_minatar() -> None:
    import minatar.environments

    games = [module.name for module in pkgutil.iter_modules(minatar.environments.__path__)]
    _check_name("create_minatar_env.game_name", "game", "breakout", "MinAtar", games)


def _check_name(parameter: str, kind: str, example: str, owner: str, names: Iterable[str]) -> str:
    name = bound_in_gin(parameter, None)
    article = "an" if kind[0] in "aeiou" else "a"
    allowed = f"the name of {article} {kind}, such as {example!r}"
    require(isinstance(name, str), parameter, allowed, name)
    if name not in names:
        close = did_you_mean(close_matches(name, names))
        raise ConfigurationError(f"{parameter}: {owner} has no {kind} {name!r}{close}")
    return name


_ENVIRONMENT_CHECKS = {
    "create_atari_environment": _check_atari,
    "create_gym_environment": _check_gymnasium,
    "create_minatar_env": _check_minatar,
}


def _agent() -> Any:
    return bound_in_gin("create_dormant_runner.agent", None)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which environment a run has, and what Dopamine's wrapper of Gymnasium lacks to run it well.
Dopamine's own factories create every environment."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gin
import gymnasium
import numpy as np
from dopamine.discrete_domains import atari_lib, gym_lib

from dormant.agents import atari
from dormant.checks import require
from dormant.runs.options import bound_in_gin

# Dopamine's gin names: the runner that evaluates, and the one below it that only trains.
RUNNER_NAMES = {
    "discrete": ("Runner", "TrainRunner"),
    "continuous": ("ContinuousRunner", "ContinuousTrainRunner"),
}
_DEFAULT_FACTORIES = {
    "discrete": atari_lib.create_atari_environment,
    "continuous": gym_lib.create_gym_environment,
}
_FACTORY = "create_environment_fn"


class GymnasiumEnvironment(gym_lib.GymPreprocessing):
    """A Gymnasium environment as Dopamine's runners expect one, ended by its own time limit.

    Dopamine's wrapper hides that an episode was truncated: past its limit the environment would be
    stepped on, and nothing would ever be terminal again. Here a truncated episode is over
    (`game_over`) without being terminal: as of every episode that Dopamine cuts off, its last
    n steps are not learned from. Observations are float32, which halves the replay; MuJoCo's are
    float64.
    """

    @property
    def observation_space(self) -> Any:
        space = self.environment.observation_space
        if space.dtype != np.float64:
            return space
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
        return type(space)(low, high, dtype=np.float32)

    def reset(self) -> np.ndarray:
        self.game_over = False
        observation, _ = self.environment.reset()
        return _single_precision(observation)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, dict]:
        observation, reward, terminated, truncated, info = self.environment.step(action)
        self.game_over = terminated or truncated
        return _single_precision(observation), reward, terminated, info


def _single_precision(observation: np.ndarray) -> np.ndarray:
    is_double = observation.dtype == np.float64
    return observation.astype(np.float32) if is_double else observation


def adapted(environment: Any) -> Any:
    """The environment that the runner uses in place of the one that Dopamine's factory created.

    A Gymnasium environment gets `GymnasiumEnvironment`, an Atari game `atari.AtariEnvironment`; any
    other is returned as it is.
    """
    if atari.can_step_directly(environment):
        return atari.AtariEnvironment(environment)
    is_plain = isinstance(environment, gym_lib.GymPreprocessing)
    # Legacy Gym's step returns four values; Dopamine's own wrapper knows how to read them.
    if not is_plain or isinstance(environment, GymnasiumEnvironment) or environment._use_legacy_gym:
        return environment
    return GymnasiumEnvironment(environment.environment)


def first_seed(environment: Any, sequence: np.random.SeedSequence) -> int:
    """The first seed of a sequence that an environment may be given, here and stepped by a thread.

    Any for most. Gymnasium makes an int32 of an Atari environment's seed for the emulator, and the
    ALE's vector environment knows no negative ones: every other is passed over, in every run, so
    that runs side by side are equal to runs alone.
    """
    seeds = sequence.generate_state(64).tolist()
    if not isinstance(environment, atari.AtariEnvironment):
        return seeds[0]
    return next((seed for seed in seeds if atari.emulator_seed(seed) >= 0), seeds[0])


def check_actions(environment: Any, agent: Any) -> None:
    """Checks that the environment's actions are of the kind that the agent's `control` names."""
    has = "discrete" if hasattr(environment.action_space, "n") else "continuous"
    needs = control_of(agent)
    require(has == needs, _FACTORY, f"of {needs} actions, as {agent.__name__} needs them", has)


def control_of(agent: Any) -> str:
    """The kind of actions that an agent class takes: "discrete", or what its `control` says."""
    return getattr(agent, "control", "discrete")


def environment_factory(control: str) -> Callable[[], Any]:
    """The function that gin binds to `create_environment_fn`, else Dopamine's default.

    Args:
      control: "discrete", or "continuous"; then Dopamine's continuous runners must be imported.
    """
    bound = (bound_in_gin(f"{name}.{_FACTORY}", None) for name in RUNNER_NAMES[control])
    return next(filter(None, bound), _DEFAULT_FACTORIES[control])


def share_environment_binding(control: str) -> None:
    """Lets `create_environment_fn`, bound for one of a kind's two runners, hold for both.

    Dopamine's runners that only train hand their own default to the class below them, so that
    `Runner.create_environment_fn` would do nothing for them and silently give Atari.
    """
    references = {
        name: gin.get_bindings(name, resolve_references=False).get(_FACTORY)
        for name in RUNNER_NAMES[control]
    }
    found = next((reference for reference in references.values() if reference is not None), None)
    with gin.unlock_config():
        for name, reference in references.items():
            if reference is None and found is not None:
                gin.bind_parameter(f"{name}.{_FACTORY}", found)


@contextlib.contextmanager
def quiet_creation() -> Iterator[None]:
    """Holds back what Gymnasium and MuJoCo say of an environment that was chosen on purpose.

    Gymnasium warns of every version that is not its newest (the paper's are older), and MuJoCo of
    a word in Gymnasium's own HalfCheetah, which it also writes to MUJOCO_LOG.TXT in the working
    directory.
    """
    name = bound_in_gin("create_gym_environment.environment_name", None)
    version = bound_in_gin("create_gym_environment.version", "v0")
    spec = gymnasium.registry.get(f"{name}-{version}")
    if spec is not None and str(spec.entry_point).startswith("gymnasium.envs.mujoco"):
        with contextlib.suppress(ImportError):
            import mujoco  # noqa: F401
    mujoco = sys.modules.get("mujoco")
    handler = mujoco and mujoco.get_mju_user_warning()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is out of date", DeprecationWarning)
        if mujoco:
            mujoco.set_mju_user_warning(lambda text: None)
        try:
            yield
        finally:
            if mujoco:
                mujoco.set_mju_user_warning(handler)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""An agent that acts at random, learns nothing and remembers all that a runner tells it.
For tests of the runners alone: it compiles nothing, so that a run takes as long as its games."""

import warnings

import gin
import numpy as np

import dormant.agents  # noqa: F401  (makes Dopamine import)

with warnings.catch_warnings():
    # Gym and TensorFlow Probability warn about themselves while they are imported.
    warnings.simplefilter("ignore")
    from dopamine.jax.agents.dqn.dqn_agent import JaxDQNAgent

# Bindings of it in one environment of each kind.
ATARI = [
    "create_dormant_runner.agent = @RecordingAgent",
    "atari_lib.create_atari_environment.game_name = 'Breakout'",
    "atari_lib.create_atari_environment.sticky_actions = False",
    "AtariPreprocessing.terminal_on_life_loss = True",
    "MaxEpisodeEvalRunner.num_eval_episodes = 3",
]
CARTPOLE = [
    "create_dormant_runner.agent = @RecordingAgent",
    "Runner.create_environment_fn = @gym_lib.create_gym_environment",
    "create_gym_environment.environment_name = 'CartPole'",
    "create_gym_environment.version = 'v1'",
]
MINATAR = [
    "import dopamine.labs.environments.minatar.minatar_env",
    "create_dormant_runner.agent = @RecordingAgent",
    "Runner.create_environment_fn = @minatar_env.create_minatar_env",
    "create_minatar_env.game_name = 'seaquest'",
]
MUJOCO = [
    "create_dormant_runner.agent = @ContinuousRecordingAgent",
    "create_gym_environment.environment_name = 'HalfCheetah'",
    "create_gym_environment.version = 'v4'",
]


@gin.configurable(module="tests")
class RecordingAgent(JaxDQNAgent):
    """Takes discrete actions; `told` holds (what, evaluating, …) of every call."""

    seed = 3

    def __init__(self, action_space):
        # Dopamine's own constructor, which would build networks, is left out on purpose.
        self.action_space = action_space
        self.summary_writer = None
        self.eval_mode = False
        self.training_steps = self.gradient_step = 0
        self.told = []

    @classmethod
    def for_environment(cls, environment):
        return cls(environment.action_space)

    def set_tracking_listener(self, listener):
        self.listener = listener

    def begin_episode(self, observation):
        return self._act("begin", observation)

    def step(self, reward, observation):
        return self._act("step", observation, reward)

    def end_episode(self, reward, terminal=True):
        self.told.append(("end", self.eval_mode, reward, terminal))

    def _act(self, what, observation, *reward):
        self.told.append((what, self.eval_mode, np.array(observation), *reward))
        self.training_steps += not self.eval_mode
        generator = np.random.default_rng([self.seed, self.eval_mode, len(self.told)])
        return self._draw(generator)

    def _draw(self, generator):
        return int(generator.integers(self.action_space.n))

    def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
        # The number of calls stands for everything that an agent restores.
        return {"training_steps": self.training_steps, "calls": len(self.told)}

    def unbundle(self, checkpoint_dir, iteration_number, bundle_dictionary):
        self.training_steps = bundle_dictionary["training_steps"]
        self.told = [None] * bundle_dictionary["calls"]
        return True


@gin.configurable(module="tests")
class ContinuousRecordingAgent(RecordingAgent):
    """Takes actions of a box, as float32 arrays."""

    control = "continuous"

    def _draw(self, generator):
        space = self.action_space
        return generator.uniform(space.low, space.high).astype(np.float32)

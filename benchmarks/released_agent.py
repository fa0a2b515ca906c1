# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Builds the released `RecycledDQNAgent` of Dopamine on an Atari game: the peer of the benchmarks.

Used by the scripts beside it; `agent_steps` drives any Dopamine agent, the released or ours.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import gin

from benchmarks import released_redo
from dormant.agents import dopamine_compat

_SCOPE = "released_agent"


class ReleasedAgent(NamedTuple):
    """The released agent and its environment, both seeded.

    Attributes:
      agent: `dopamine.labs.redo.recycled_dqn_agents.RecycledDQNAgent`, in training mode.
      environment: `AtariPreprocessing` environment with sticky actions.
    """

    agent: Any
    environment: Any


def updates_per_burst(replay_ratio: float, update_period: int = 4) -> int:
    """Returns the gradient updates in one burst: `replay_ratio * update_period`, a whole number.

    Args:
      replay_ratio: gradient updates per agent step.
      update_period: agent steps from one burst to the next.

    Raises:
      ValueError: the product is not a whole number >= 1.
    """
    updates = replay_ratio * update_period
    if updates < 1 or updates != int(updates):
        raise ValueError(
            f"replay_ratio times update_period ({update_period}) must be a whole number >= 1,"
            f" received replay_ratio {replay_ratio!r}"
        )
    return int(updates)


def released_agent(
    game: str,
    *,
    seed: int,
    replay_ratio: float = 0.25,
    reset_mode: str | None = "neurons",
    network: str = "nature",
    tau: float = 0.1,
    period: int = 1_000,
    logging_period: int = 1_000,
    score_batch: int = 64,
    min_replay_history: int = 20_000,
    replay_capacity: int = 1_000_000,
    target_update_period: int = 8_000,
) -> ReleasedAgent:
    """Builds the released DQN agent with ReDo, made to run, and its environment.

    The defaults are the paper's settings (batch 32, Adam 6.25e-5, update period 4, Huber loss).
    The released agent numbers its gradient steps `agent_step // 4 * updates_per_burst + i`, so
    that its periods also count the agent steps before the first update.

    Args:
      game: name as in `ALE/<game>-v5`, for example "Pong".
      seed: fixes parameters, exploration, replay sampling, recycling and the environment.
      replay_ratio: gradient updates per agent step; times 4 a whole number >= 1.
      reset_mode: "neurons" recycles dormant neurons; None only logs them.
      network: "nature" or "resnet".
      tau: dormancy threshold.
      period: gradient steps between two recycles.
      logging_period: gradient steps between two counts of dormant neurons.
      score_batch: transitions in the batch for the scores.
      min_replay_history: transitions in the replay before the first update.
      replay_capacity: transitions that the replay holds.
      target_update_period: agent steps between two copies to the target network.

    Returns:
      The agent, which reports to no collector, and the environment.

    Raises:
      ValueError: the replay ratio does not give whole bursts, or the seed is invalid.
    """
    updates = updates_per_burst(replay_ratio)
    released_redo.install_released_redo()
    from dopamine.discrete_domains import atari_lib
    from dopamine.labs.redo import recycled_dqn_agents
    from dopamine.metrics import collector_dispatcher

    environment = atari_lib.create_atari_environment(game)
    dopamine_compat.seed_environment(environment, seed)

    bindings = {
        "JaxDQNAgent.seed": seed,
        "JaxDQNAgent.min_replay_history": min_replay_history,
        "JaxDQNAgent.target_update_period": target_update_period,
        "ReplayBuffer.max_capacity": replay_capacity,
        "ReplayBuffer.batch_size": 32,
        "BaseRecycler.dead_neurons_threshold": tau,
        "BaseRecycler.reset_period": period,
        "BaseRecycler.logging_period": logging_period,
    }
    # Bound in a scope of their own, so that agents built elsewhere keep their gin values.
    with gin.unlock_config():
        gin.parse_config([f"{_SCOPE}/{name} = {value!r}" for name, value in bindings.items()])
    with gin.config_scope(_SCOPE):
        agent = recycled_dqn_agents.RecycledDQNAgent(
            environment.action_space.n,
            network=network,
            reset_mode=reset_mode,
            num_updates_per_train_step=updates,
            batch_size_statistics=score_batch,
        )
    # It writes counts of dormant neurons to a dispatcher, which otherwise only a Runner gives it.
    agent.set_collector_dispatcher(
        collector_dispatcher.CollectorDispatcher(base_dir=None, collectors=())
    )
    return ReleasedAgent(agent, environment)


def agent_steps(agent: Any, environment: Any) -> Iterator[int]:
    """Trains without end, as Dopamine's runner does, yielding the number of agent steps so far.

    Rewards are clipped to [-1, 1]; an episode ends with the game and a new one begins.

    Args:
      agent: a Dopamine agent in training mode.
      environment: a Dopamine environment.
    """
    count = 0
    while True:
        action = agent.begin_episode(environment.reset())
        terminal = False
        while not terminal:
            observation, reward, terminal, _ = environment.step(action)
            reward = max(-1.0, min(1.0, reward))
            count += 1
            if terminal:
                agent.end_episode(reward, terminal)
            else:
                action = agent.step(reward, observation)
            yield count

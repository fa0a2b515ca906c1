# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Agent steps per second of DQN with ReDo on an Atari game, ours against the released agent.

python benchmarks/train_dqn.py [--periods N] [--json OUT]
python benchmarks/train_dqn.py --updates_only [--repeats N] [--ours_only] [--json OUT]
"""

import argparse
import pathlib
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import common, learner_updates

UPDATE_PERIOD, BLOCKS_PER_PERIOD = 4, 10
TAU, SCORE_BATCH, SEED = 0.1, 64, 0
# Agent steps before the first recycle in which both agents train untimed, and compile.
WARM_UP = 80


class Trained(NamedTuple):
    """An agent and the iterator that trains it on its own environment."""

    agent: Any
    steps: Iterator[int]


def our_agent(settings: dict[str, Any]) -> Trained:
    """`DormantDQNAgent` with the settings of `released_agent`, tracking included."""
    import gin
    from dopamine.discrete_domains import atari_lib

    from benchmarks.released_agent import agent_steps
    from dormant.agents import dopamine_compat, environments
    from dormant.agents.dqn_agent import DormantDQNAgent
    from dormant.runs.interventions import ReDo, Tracker
    from dormant.runs.options import LearnerOptions

    environment = atari_lib.create_atari_environment(settings["game"])
    environment = environments.adapted(environment)
    dopamine_compat.seed_environment(environment, SEED)
    bindings = {
        "JaxDQNAgent.min_replay_history": settings["min_replay_history"],
        "JaxDQNAgent.target_update_period": 8_000,
        "ReplayBuffer.max_capacity": 1_000_000,
        "ReplayBuffer.batch_size": 32,
    }
    scope = "our_agent"
    with gin.unlock_config():
        gin.parse_config([f"{scope}/{name} = {value!r}" for name, value in bindings.items()])
    with gin.config_scope(scope):
        agent = DormantDQNAgent(
            environment.action_space.n,
            options=LearnerOptions(
                replay_ratio=settings["replay_ratio"],
                intervention=ReDo(tau=TAU, period=settings["period"], score_batch=SCORE_BATCH),
                tracker=Tracker(tracking_period=settings["period"], score_batch=SCORE_BATCH),
                seed=SEED,
            ),
        )
    return Trained(agent, agent_steps(agent, environment))


def their_agent(settings: dict[str, Any]) -> Trained:
    """The released `RecycledDQNAgent` with the same settings."""
    from benchmarks import released_agent

    built = released_agent.released_agent(
        settings["game"],
        seed=SEED,
        replay_ratio=settings["replay_ratio"],
        tau=TAU,
        period=settings["period"],
        logging_period=settings["period"],
        score_batch=SCORE_BATCH,
        min_replay_history=settings["min_replay_history"],
    )
    return Trained(built.agent, released_agent.agent_steps(*built))


def number_gradient_steps_alike(agent: Any, replay_ratio: float) -> None:
    """Moves our counters of gradient steps to where the released agent's are at this agent step.

    The released agent numbers them by agent steps, warm-up included, so that without this the two
    would recycle in different blocks.
    """
    updates = round(replay_ratio * UPDATE_PERIOD)
    step = (agent.training_steps - 1) // UPDATE_PERIOD * updates + updates - 1
    count = jnp.asarray(step, jnp.int32)
    state = agent.learner_state
    agent.gradient_step = step
    agent._learner_state = state._replace(
        gradient_step=count,
        tracker=state.tracker._replace(step=jnp.copy(count)),
        intervention=state.intervention._replace(step=jnp.copy(count)),
    )


def warm_up(trained: Trained, first_recycle: int, replay_ratio: float, ours: bool) -> None:
    """Trains until the first recycle, at agent step `first_recycle`, is over."""
    agent = trained.agent
    while not getattr(agent, "gradient_step", 0):
        next(trained.steps)
    if ours:
        number_gradient_steps_alike(agent, replay_ratio)
    if agent.training_steps > first_recycle:
        raise RuntimeError(
            f"the first update came at agent step {agent.training_steps - 1}, after the first"
            f" recycle was due at {first_recycle}"
        )
    while agent.training_steps <= first_recycle:
        next(trained.steps)
    jax.block_until_ready(agent.online_params)


class Block(NamedTuple):
    """Wall time of a block of agent steps."""

    seconds: float
    recycled: bool


def run_block(trained: Trained, agent_steps: int, period: int) -> Block:
    """Trains for a block of agent steps, the parameters computed to the end."""
    agent = trained.agent
    before, start = agent.gradient_step, time.perf_counter()
    for _ in range(agent_steps):
        next(trained.steps)
    jax.block_until_ready(agent.online_params)
    elapsed = time.perf_counter() - start
    return Block(elapsed, before // period != agent.gradient_step // period)


def speeds(game: str, replay_ratio: float, period: int, periods: int) -> list[common.Row]:
    """Agent steps per second of both agents, in blocks that alternate.

    Every block is a tenth of a recycling period. Both agents track and recycle in the last block
    of a period, which the first row leaves out; the second row is the whole period.
    """
    agent_steps = round(period / replay_ratio)
    settings = {
        "game": game,
        "replay_ratio": replay_ratio,
        "period": period,
        "min_replay_history": agent_steps - WARM_UP,
    }
    sides = (our_agent(settings), their_agent(settings))
    for side, ours in zip(sides, (True, False), strict=True):
        warm_up(side, agent_steps, replay_ratio, ours)
    size = agent_steps // BLOCKS_PER_PERIOD
    without: list[list[float]] = [[], []]
    whole: list[list[float]] = [[], []]
    for _ in range(periods):
        elapsed = [0.0, 0.0]
        for block in range(1, BLOCKS_PER_PERIOD + 1):
            for index, side in enumerate(sides):
                found = run_block(side, size, period)
                if found.recycled != (block == BLOCKS_PER_PERIOD):
                    raise RuntimeError(f"a recycle came where none was due, in block {block}")
                elapsed[index] += found.seconds
                if not found.recycled:
                    without[index].append(size / found.seconds)
        for index, seconds in enumerate(elapsed):
            whole[index].append(BLOCKS_PER_PERIOD * size / seconds)
    name, unit = f"replay ratio {replay_ratio:g}", "agent steps/s"
    return [
        common.Row(f"{name}, blocks of {size} agent steps without a recycle", unit, without),
        common.Row(f"{name}, {BLOCKS_PER_PERIOD * size} agent steps with one recycle", unit, whole),
    ]


def training_tables(options: argparse.Namespace) -> list[common.Table]:
    """Steps per second on a real game, at each replay ratio."""
    from benchmarks import released_redo

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        released_redo.install_released_redo()
        rows = [
            row
            for replay_ratio in options.replay_ratios
            for row in speeds(options.game, replay_ratio, options.period, options.periods)
        ]
    title = (
        f"DQN with ReDo on {options.game}: nature CNN, batch 32, a burst of updates every"
        f" {UPDATE_PERIOD} agent steps, scores and a recycle every {options.period} gradient steps."
    )
    ratio = "ours / released"
    return [common.Table(title, ["ours", "released"], rows, ratio, common.times_the_speed)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and writes the JSON file asked for."""
    parser = common.parser(__doc__.splitlines()[0], repeats=20)
    parser.add_argument("--updates_only", action="store_true", help="only the learner's update")
    parser.add_argument("--game", default="DemonAttack", help="Atari game (default: %(default)s)")
    parser.add_argument("--periods", type=common.positive, default=2, help="recycling periods")
    parser.add_argument(
        "--period", type=common.positive, default=1_000, help="gradient steps between recycles"
    )
    parser.add_argument("--replay_ratios", type=float, nargs="+", default=[0.25, 1.0])
    options = parser.parse_args(arguments)
    if options.ours_only and not options.updates_only:
        parser.error("--ours_only needs --updates_only: the agents run on Dopamine")
    for replay_ratio in options.replay_ratios:
        agent_steps = options.period / replay_ratio
        if agent_steps % (BLOCKS_PER_PERIOD * UPDATE_PERIOD) or agent_steps < 2 * WARM_UP:
            parser.error(
                "--period / replay ratio, the agent steps of a period, must be a multiple of"
                f" {BLOCKS_PER_PERIOD * UPDATE_PERIOD} and at least {2 * WARM_UP}, received"
                f" {options.period} / {replay_ratio:g} = {agent_steps:g}"
            )
    described, started = common.machine(), time.perf_counter()
    if options.updates_only:
        tables = learner_updates.tables(options.repeats, options.ours_only)
        settings = {"repeats": options.repeats}
    else:
        tables = training_tables(options)
        settings = {name: getattr(options, name) for name in ("game", "period", "periods")}
    name = "updates" if options.updates_only else "train_dqn"
    result = common.record(name, settings, described, tables)
    common.publish(result, started, options.json)


if __name__ == "__main__":
    main()

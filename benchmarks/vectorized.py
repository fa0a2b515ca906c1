# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Agent steps per second of whole runs on the device, against Dopamine's own DQN on MinAtar.

python benchmarks/vectorized.py [--seeds 1 2 5 10] [--repeats N] [--ours_only] [--json OUT]
"""

import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import common
from dormant import vectorized, xla_cpu
from dormant.runs.interventions import ReDo, Tracker
from dormant.runs.options import LearnerOptions
from dormant.vectorized.agent import VectorizedDQN

UPDATE_PERIOD, BATCH, CAPACITY, WARM_UP = 4, 32, 100_000, 1_000
# The game of both, under gymnax's name and MinAtar's.
GAME = ("Breakout-MinAtar", "breakout")
BLOCK_SECONDS = 1.0
ROUNDS = 100  # of one call


def dopaminelike_network(num_actions: int) -> vectorized.MinAtarCNN:
    """Dopamine's `MinatarDQNNetwork`: one convolution and the linear head."""
    return vectorized.MinAtarCNN(num_actions, dense=(), padding="SAME")


def our_speed(
    seeds: int, replay_ratio: float, network: Any, game: str = GAME[0], redo: bool = False
) -> Callable[[], float]:
    """`measure() -> agent steps/s` of all seeds together, tracking every 1 000 gradient steps."""
    agent = VectorizedDQN(
        environment=game,
        network=network,
        min_replay_history=WARM_UP,
        replay_capacity=CAPACITY,
        batch_size=BATCH,
        update_period=UPDATE_PERIOD,
    )
    options = LearnerOptions(
        replay_ratio=replay_ratio,
        intervention=ReDo() if redo else None,
        tracker=Tracker(tracking_period=1_000),
    )
    devices = jax.devices()[: vectorized.usable_devices(seeds, jax.device_count())]
    program, _, _ = agent.program(options, devices=devices)
    if xla_cpu.is_cpu(devices):
        program = xla_cpu.one_by_one(program)
    elif len(devices) > 1:
        program = vectorized.shard(program, devices)
    state, _ = program.fill(program.init(jax.random.split(jax.random.key(0), seeds)))
    holder = [state]

    # Calls of one length: every other number of rounds would be a program to compile.
    def advance(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            holder[0], progress = program.advance(holder[0], ROUNDS)
        jax.block_until_ready(progress)
        return time.perf_counter() - start

    def measure() -> float:
        calls = max(1, round(BLOCK_SECONDS / advance(1)))
        return calls * ROUNDS * UPDATE_PERIOD * seeds / advance(calls)

    advance(1)
    return measure


def dopamines_speed(replay_ratio: float) -> Callable[[], float]:
    """`measure() -> agent steps/s` of Dopamine's JaxDQNAgent on its own MinAtar environment."""
    import gin

    from benchmarks.released_agent import agent_steps
    from dormant.agents import dopamine_compat

    dopamine_compat.install()
    from dopamine.jax.agents.dqn import dqn_agent
    from dopamine.labs.environments.minatar import minatar_env

    if replay_ratio != 1 / UPDATE_PERIOD:
        raise ValueError(f"Dopamine's DQN makes one update every {UPDATE_PERIOD} agent steps")
    environment = minatar_env.create_minatar_env(GAME[1])
    scope = "dopamines_agent"
    with gin.unlock_config():
        gin.parse_config(
            [
                f"{scope}/ReplayBuffer.max_capacity = {CAPACITY}",
                f"{scope}/ReplayBuffer.batch_size = {BATCH}",
            ]
        )
    with gin.config_scope(scope):
        agent = dqn_agent.JaxDQNAgent(
            environment.action_space.n,
            observation_shape=tuple(environment.observation_space),
            observation_dtype=jnp.float32,
            stack_size=1,
            network=minatar_env.MinatarDQNNetwork,
            min_replay_history=WARM_UP,
            update_period=UPDATE_PERIOD,
            target_update_period=1_000,
            seed=0,
        )
    steps: Iterator[int] = agent_steps(agent, environment)
    for _ in range(WARM_UP + 400):
        next(steps)

    def measure(count: int = 400) -> float:
        start = time.perf_counter()
        for _ in range(count):
            next(steps)
        jax.block_until_ready(agent.online_params)
        return count / (time.perf_counter() - start)

    return measure


def against_dopamine(seeds: Sequence[int], repeats: int) -> common.Table:
    """Ours and Dopamine's DQN, same network, batch and replay ratio, alternating."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = dopamines_speed(0.25)
        rows = []
        for count in seeds:
            ours = our_speed(count, 0.25, dopaminelike_network)
            values = common.alternate([ours, theirs], repeats)
            name = f"seeds side by side against one of Dopamine's: {count}"
            rows.append(common.Row(name, "agent steps/s", values))
    title = (
        f"DQN on MinAtar's Breakout at replay ratio 0.25, batch {BATCH}, Dopamine's network."
        " Ours: gymnax's game, all seeds together. Dopamine: MinAtar's own game, one seed."
    )
    sides = ["ours", "Dopamine's DQN"]
    return common.Table(title, sides, rows, "ours / Dopamine", common.times_the_speed)


def of_seeds(seeds: Sequence[int], repeats: int) -> list[common.Table]:
    """Ours alone: how the speed grows with the seeds, at two replay ratios."""
    tables = []
    for replay_ratio in (0.25, 1.0):
        for redo in (False, True):
            rows = []
            for count in seeds:
                ours = our_speed(count, replay_ratio, "minatar", redo=redo)
                name, values = f"{count} seed{'s' * (count > 1)}", common.alternate([ours], repeats)
                rows.append(common.Row(name, "agent steps/s", values))
            title = (
                f"DQN{' + ReDo (period 1 000)' if redo else ''} on gymnax's {GAME[0]} at replay"
                f" ratio {replay_ratio:g}: convolution of 16 filters, 128 neurons, batch {BATCH};"
                " all seeds together."
            )
            tables.append(common.Table(title, ["agent steps/s of all seeds"], rows))
    return tables


def of_games(repeats: int) -> common.Table:
    """The games, whose steps cost very different times."""
    games = ["Asterix", "Breakout", "Freeway", "SpaceInvaders", "Seaquest"]
    rows = [
        common.Row(
            game,
            "agent steps/s",
            common.alternate([our_speed(5, 0.25, "minatar", f"{game}-MinAtar")], repeats),
        )
        for game in games
    ]
    title = "The same at replay ratio 0.25 on each game, 5 seeds."
    return common.Table(title, ["agent steps/s of all seeds"], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and writes the JSON file asked for."""
    parser = common.parser(__doc__.splitlines()[0], repeats=5)
    parser.add_argument("--seeds", type=common.positive, nargs="+", help="how many side by side")
    options = parser.parse_args(arguments)
    seeds = options.seeds or ([1, 2, 5, 10] if xla_cpu.is_cpu() else [1, 16, 128, 1024])
    described, started = common.machine(), time.perf_counter()
    tables = [] if options.ours_only else [against_dopamine([1, 5], options.repeats)]
    tables += [*of_seeds(seeds, options.repeats), of_games(options.repeats)]
    settings = {"seeds": seeds, "repeats": options.repeats}
    result = common.record("vectorized", settings, described, tables)
    common.publish(result, started, options.json)


if __name__ == "__main__":
    main()

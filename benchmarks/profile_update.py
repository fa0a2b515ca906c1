# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Where the time of a gradient step goes in a run on the device: that of the whole program against
that of its matrix products and of Adam alone.

python benchmarks/profile_update.py [--repeats N] [--json OUT]
"""

import functools
import os
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import common
from dormant.runs.interventions import Tracker
from dormant.runs.options import LearnerOptions
from dormant.vectorized.agent import VectorizedDQN
from dormant.xla_cpu import is_cpu

GAME, INPUTS, ACTIONS = "Asterix-MinAtar", 400, 5
NEURONS, BATCH, CAPACITY, WARM_UP = 128, 32, 100_000, 1_000
# Rows, columns and common axis of every product of an update, and how often it is made: forward for
# the online and the target network, then the gradients of kernels and of hidden activations.
PRODUCTS = (
    ((BATCH, INPUTS, NEURONS), 2),
    ((BATCH, NEURONS, NEURONS), 2),
    ((BATCH, NEURONS, ACTIONS), 2),
    ((INPUTS, BATCH, NEURONS), 1),
    ((NEURONS, BATCH, NEURONS), 1),
    ((BATCH, NEURONS, NEURONS), 1),
)
TURNS = 400


def of_program(replay_ratio: float) -> Callable[[], float]:
    """`measure() -> us` of a gradient step of one seed, agent steps included."""
    agent = VectorizedDQN(
        environment=GAME, network="mlp", min_replay_history=WARM_UP, replay_capacity=CAPACITY
    )
    options = LearnerOptions(replay_ratio=replay_ratio, tracker=Tracker(tracking_period=1_000))
    program, settings, _ = agent.program(options)
    rounds = max(1, round(TURNS / settings.updates_per_burst))
    state, _ = program.fill(program.init(jax.random.split(jax.random.key(0), 1)))
    state, _ = program.advance(state, rounds)
    holder = [state]

    def measure() -> float:
        start = time.perf_counter()
        holder[0], progress = program.advance(holder[0], rounds)
        jax.block_until_ready(progress)
        return 1e6 * (time.perf_counter() - start) / (rounds * settings.updates_per_burst)

    measure()
    return measure


def of_products() -> Callable[[], float]:
    """The same of all products of an update, each in a loop of its own."""
    rng = np.random.default_rng(0)
    made = []
    for (rows, common_axis, columns), times in PRODUCTS:
        first = jnp.asarray(rng.normal(size=(rows, common_axis)), jnp.float32)
        second = jnp.asarray(rng.normal(size=(common_axis, columns)), jnp.float32)

        def turn(first: jax.Array, second: jax.Array) -> jax.Array:
            # The next product begins with a number of this one, so that none is left out.
            return first.at[0, 0].set((first @ second)[0, 0] * 1e-9)

        made.append((_loop(functools.partial(turn, second=second), first), times))
    return lambda: sum(times * measure() for measure, times in made)


def of_adam() -> Callable[[], float]:
    """The same of Adam on the network's kernels and biases."""
    shapes = [(INPUTS, NEURONS), (NEURONS,), (NEURONS, NEURONS), (NEURONS,), (NEURONS, ACTIONS)]
    params = [jnp.full(shape, 0.1, jnp.float32) for shape in shapes]
    adam = optax.adam(2.5e-4, eps=1.5e-4)

    def turn(carry: tuple[Any, Any]) -> tuple[Any, Any]:
        params, state = carry
        updates, state = adam.update(params, state)
        return optax.apply_updates(params, updates), state

    return _loop(turn, (params, adam.init(params)))


def _loop(turn: Callable[[Any], Any], start: Any) -> Callable[[], float]:
    @jax.jit
    def turns(carry: Any, count: jax.Array) -> Any:
        return jax.lax.fori_loop(0, count, lambda _, carry: turn(carry), carry)

    def measure() -> float:
        begin = time.perf_counter()
        jax.block_until_ready(turns(start, TURNS))
        return 1e6 * (time.perf_counter() - begin) / TURNS

    measure()
    return measure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table and writes the JSON file asked for."""
    options = common.parser(__doc__.splitlines()[0], repeats=7).parse_args(arguments)
    if is_cpu() and hasattr(os, "sched_setaffinity"):
        # One core, as a seed has it where several run at once.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    described, started = common.machine(), time.perf_counter()
    products, adam = of_products(), of_adam()
    rows = []
    for replay_ratio in (0.25, 1.0, 2.0):
        whole = of_program(replay_ratio)

        def alone() -> float:
            return products() + adam()

        values = common.alternate([alone, whole], options.repeats)
        rows.append(common.Row(f"replay ratio {replay_ratio:g}", "us", values))
    arithmetic = sum(2e-6 * np.prod(shape) * times for shape, times in PRODUCTS)
    title = (
        f"A gradient step of DQN on gymnax's {GAME} with two layers of {NEURONS} neurons, batch"
        f" {BATCH} ({arithmetic:.1f} MFLOP of matrix products), one seed on one core. Left: the"
        " products of an update and Adam, each alone in a compiled loop. Right: the program of a"
        " run, with replay, loss, target and the agent steps that belong to it."
    )
    sides = ["products and Adam alone", "whole program"]
    table = common.Table(title, sides, rows, "whole / alone", lambda alone, whole: whole / alone)
    settings = {"repeats": options.repeats}
    result = common.record("profile_update", settings, described, [table])
    common.publish(result, started, options.json)


if __name__ == "__main__":
    main()

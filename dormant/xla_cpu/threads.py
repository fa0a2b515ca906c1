# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The same program with its seeds one by one, several at once on threads: for CPUs.

Goes when several seeds under `vmap` are as fast: row "seeds one by one"."""

import concurrent.futures
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from dormant.checks import check_count

# A turn is a call of `fill` or `advance` of a program, a NamedTuple such as `vectorized.Program`:
# state of one seed -> (state, what the call returns beside it).
_Turn = Callable[[Any], tuple[Any, Any]]


def one_by_one(program: Any, threads: int | None = None) -> Any:
    """The program that runs each seed by itself, as many at once as there are threads.

    On a CPU one seed fits into a core's cache where several under `vmap` do not, and one program
    keeps little more than one core busy. A seed's results are, to the bit, those of a run of it
    alone.

    Args:
      program: as `vectorized.make_program` returns it; it compiles once for all seeds.
      threads: how many seeds at once; None for the cores that this process may use.

    Returns:
      A program of the same type, whose state is a tuple with the state of one seed (S = 1) for each
      seed. Its progress is that of all seeds.

    Raises:
      ValueError: when `threads` is not a whole number >= 1.
    """
    threads = usable_cores() if threads is None else threads
    check_count("threads", threads, 1)
    compiled: set[int] = set()  # numbers of rounds; 0 for the warm-up

    def init(
        keys: jax.Array, hyperparameters: Mapping[str, jax.Array] | None = None
    ) -> tuple[Any, ...]:
        hyperparameters = dict(hyperparameters or {})
        jax.eval_shape(program.init, keys, hyperparameters)  # whose errors name the arguments
        states = []
        for seed in range(keys.shape[0]):
            values = {name: value[seed, None] for name, value in hyperparameters.items()}
            states.append(program.init(keys[seed, None], values))
        return tuple(states)

    def run(turn: _Turn, turns: int, states: Sequence[Any], rounds: int) -> Any:
        """Gives every seed so many turns, those of one seed after each other."""
        states = list(states)
        brought: list[list[Any]] = [[] for _ in states]
        locks = [threading.Lock() for _ in states]

        def take_turn(seed: int) -> None:
            with locks[seed]:
                states[seed], progress = turn(states[seed])
                brought[seed].append(jax.block_until_ready(progress))

        waiting = [seed for _ in range(turns) for seed in range(len(states))]
        if rounds not in compiled:
            # Alone: threads that met a program not yet compiled would compile it once each.
            compiled.add(rounds)
            take_turn(waiting.pop(0))
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            list(pool.map(take_turn, waiting))
        each = [_joined_turns(parts) for parts in brought]
        return tuple(states), jax.tree.map(lambda *seeds: jnp.concatenate(seeds), *each)

    def fill(states: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
        return run(program.fill, 1, states, 0)

    def advance(states: tuple[Any, ...], rounds: int) -> tuple[tuple[Any, ...], Any]:
        # Five seeds on two threads would leave one of them idle for a sixth of the time.
        uneven = len(states) > threads and len(states) % threads != 0
        turns = 1
        if uneven and rounds % threads == 0:
            turns, rounds = threads, rounds // threads
        return run(lambda state: program.advance(state, rounds), turns, states, rounds)

    def evaluate(states: tuple[Any, ...], episodes: int) -> Any:
        def of_seed(state: Any) -> Any:
            return jax.block_until_ready(program.evaluate(state, episodes))

        first = of_seed(states[0])  # alone, as in `run`
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            found = [first, *pool.map(of_seed, states[1:])]
        return jax.tree.map(lambda *seeds: jnp.concatenate(seeds), *found)

    return program._replace(init=init, fill=fill, advance=advance, evaluate=evaluate)


def usable_cores(quota_file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The CPU cores that this process may use, at least 1.

    A container with a CPU limit, as a pod's `limits.cpu`, sees every core of its machine and may
    use as much time as some of them have: the limit, rounded up, is what counts then.

    Args:
      quota_file: of the control group (Linux, version 2): "QUOTA PERIOD" in microseconds, or "max".
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        quota, period = map(int, quota_file.read_text(encoding="ascii").split())
    except (OSError, ValueError):  # no limit, or no control group
        return cores
    return max(1, min(cores, math.ceil(quota / period)))


def _joined_turns(parts: Sequence[Any]) -> Any:
    """What the turns of one seed brought, as one: what is not of an episode, from the last."""
    if len(parts) == 1:
        return parts[0]
    returns, lengths = (
        jnp.concatenate([getattr(part, name) for part in parts], axis=1)
        for name in ("episode_return", "episode_length")
    )
    return parts[-1]._replace(episode_return=returns, episode_length=lengths)

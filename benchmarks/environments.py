# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Times the Atari environment against Dopamine's wrapper and the ALE's vector environment.

python benchmarks/environments.py [--games NAME ...] [--repeats N] [--json OUT]
"""

import argparse
import pathlib
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import common

SEED = 0
NUMBERS = (1, 5)  # environments of a row
BLOCK = 500  # agent steps of each clock

Walk = Callable[[], float]  # takes a block of agent steps; returns agent steps per second


def _actions(count: int, number: int) -> Iterator[np.ndarray]:
    """Endless random actions for `number` environments, the same on every side."""
    generator = np.random.default_rng(SEED)
    while True:
        yield generator.integers(count, size=number)


def _timed(step: Callable[[np.ndarray], None], count: int, number: int) -> Walk:
    actions = _actions(count, number)

    def walk() -> float:
        rounds = BLOCK // number
        start = time.perf_counter()
        for _ in range(rounds):
            step(next(actions))
        return rounds * number / (time.perf_counter() - start)

    return walk


def one_after_the_other(created: Sequence[Any]) -> Walk:
    """Steps environments of Dopamine's kind one after the other, resets included."""
    for environment in created:
        environment.reset()

    def step(actions: np.ndarray) -> None:
        for environment, action in zip(created, actions.tolist(), strict=True):
            environment.step(action)
            if environment.game_over:
                environment.reset()

    return _timed(step, created[0].action_space.n, len(created))


def dopamines(game: str, number: int) -> list[Any]:
    """Dopamine's own environments, seeded."""
    from dopamine.discrete_domains import atari_lib

    from dormant.agents import dopamine_compat

    created = [atari_lib.create_atari_environment(game) for _ in range(number)]
    for seed, environment in enumerate(created):
        dopamine_compat.seed_environment(environment, seed)
    return created


def ours(game: str, number: int) -> list[Any]:
    """The environments that the runners use in their place."""
    from dormant.agents import environments

    return [environments.adapted(environment) for environment in dopamines(game, number)]


def vector(game: str, number: int, threads: int) -> Walk:
    """The ALE's vector environment with Dopamine's preprocessing."""
    from ale_py.vector_env import AtariVectorEnv

    stepped = AtariVectorEnv(
        re.sub(r"(?<!^)(?=[A-Z])", "_", game).lower(),
        number,
        num_threads=threads,
        repeat_action_probability=0.25,
        noop_max=0,
        use_fire_reset=False,
        reward_clipping=False,
        stack_num=1,
    )
    stepped.reset(seed=SEED)
    return _timed(lambda actions: stepped.step(actions), stepped.single_action_space.n, number)


def tables(games: Sequence[str], repeats: int) -> list[common.Table]:
    """Agent steps per second of all environments of a row together."""
    against_dopamine, against_vector = [], []
    for game in games:
        for number in NUMBERS:
            name = f"{game}, {number} environment{'s' if number > 1 else ''}"
            sides = (ours(game, number), dopamines(game, number))
            walks = [one_after_the_other(side) for side in sides]
            values = common.alternate(walks, repeats)
            against_dopamine.append(common.Row(name, "agent steps/s", values))
            for threads in range(1, min(2, number) + 1):
                walks = [one_after_the_other(ours(game, number)), vector(game, number, threads)]
                values = common.alternate(walks, repeats)
                threaded = f"{name}, {threads} thread{'s' if threads > 1 else ''}"
                against_vector.append(common.Row(threaded, "agent steps/s", values))
    settings = f"random actions, sticky, frame skip 4, 84x84, blocks of {BLOCK} agent steps"
    return [
        common.Table(
            f"Atari against Dopamine's wrapper, which it equals to the bit: {settings}.",
            ["ours", "Dopamine's"],
            against_dopamine,
            "ours / Dopamine's",
            common.times_the_speed,
        ),
        common.Table(
            f"Atari, one after the other, against the ALE's vector environment: {settings}.",
            ["ours", "vector"],
            against_vector,
            "ours / vector",
            common.times_the_speed,
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and writes the JSON file asked for."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    made.add_argument("--games", nargs="+", default=["Breakout", "Seaquest"], metavar="NAME")
    made.add_argument("--repeats", type=common.positive, default=20, help="pairs per row")
    made.add_argument("--json", type=pathlib.Path, metavar="OUT", help="write the result there")
    options = made.parse_args(arguments)
    described, started = common.machine(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import dormant.agents  # noqa: F401  (before the first Dopamine module)

        found = tables(options.games, options.repeats)
    result = common.record("environments", {"repeats": options.repeats}, described, found)
    common.publish(result, started, options.json)


if __name__ == "__main__":
    main()

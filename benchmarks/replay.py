# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Adding to a replay of Atari frames and drawing batches of 32: ours against the released buffer.

python benchmarks/replay.py [--transitions N] [--repeats N] [--json OUT] [--ours_only]
"""

import functools
import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import common
from dormant.memory import resident_bytes
from dormant.replay import ReplayBuffer, ReplayOptions

FRAME, STACK, BATCH, EPISODE = (84, 84), 4, 32, 1_000
GAME, FRAMES_PLAYED = "Asterix", 2_000
CALLS = 100


class Side(NamedTuple):
    """A filled replay, as the rows of the tables use it."""

    add: Callable[[], Any]
    sample: Callable[[], Any]
    # States and next states of a batch, contiguous and on the device.
    on_device: Callable[[], Any]
    # One batch and the new priorities of its transitions; None where draws are uniform.
    sample_and_set: Callable[[], Any] | None
    bytes_per_transition: float


def frames(ours_only: bool) -> np.ndarray:
    """Frames (N, 84, 84) of random play; random bytes where there is no emulator."""
    rng = np.random.default_rng(0)
    if ours_only:
        return rng.integers(0, 256, (64, *FRAME), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dormant.agents import dopamine_compat

        dopamine_compat.install()
        from dopamine.discrete_domains import atari_lib

        environment = atari_lib.create_atari_environment(GAME)
    dopamine_compat.seed_environment(environment, 0)
    played, over = [], True
    while len(played) < FRAMES_PLAYED:
        if over:
            observation, over = environment.reset(), False
        else:
            action = int(rng.integers(environment.action_space.n))
            observation, _, over, _ = environment.step(action)
        played.append(np.array(observation[..., 0]))
    return np.stack(played)


def _steps(played: np.ndarray) -> Callable[[], tuple]:
    """The steps of episodes of `EPISODE` steps each, without end: one per call."""
    count = 0

    def step() -> tuple:
        nonlocal count
        count += 1
        terminal = count % EPISODE == 0
        return played[count % len(played)], count % 4, 1.0, terminal, terminal

    return step


def _filled(add: Callable[[], Any], transitions: int) -> float:
    """Fills a replay; the bytes that each transition took of the process's memory."""
    before = resident_bytes()
    for _ in range(transitions):
        add()
    return (resident_bytes() - before) / transitions


def our_side(played: np.ndarray, transitions: int, horizon: int, prioritized: bool) -> Side:
    """`dormant.replay.ReplayBuffer`, filled."""
    options = ReplayOptions(
        transitions, FRAME, stack_size=STACK, update_horizon=horizon, prioritized=prioritized,
        batch_size=BATCH,
    )  # fmt: skip
    replay, step = ReplayBuffer(options, seed=0), _steps(played)

    def add() -> None:
        replay.add(*step())

    def sample_and_set() -> None:
        keys = replay.sample().keys
        replay.set_priorities(keys, np.ones(BATCH))

    def on_device() -> Any:
        batch = replay.sample().batch
        return jax.device_put((batch.state, batch.next_state))

    used = _filled(add, transitions)
    return Side(add, replay.sample, on_device, sample_and_set if prioritized else None, used)


def released_side(played: np.ndarray, transitions: int, horizon: int, prioritized: bool) -> Side:
    """Dopamine's `ReplayBuffer`, which compresses stacks, filled."""
    from dopamine.jax.replay_memory import accumulator, elements, replay_buffer, samplers

    if prioritized:
        # Its table needs a place more than there are transitions.
        sampler = samplers.PrioritizedSamplingDistribution(0, max_capacity=2 * transitions)
    else:
        sampler = samplers.UniformSamplingDistribution(0)
    replay = replay_buffer.ReplayBuffer(
        accumulator.TransitionAccumulator(STACK, horizon, 0.99),
        sampler,
        batch_size=BATCH,
        max_capacity=transitions,
    )
    step = _steps(played)
    priority = {"priority": 1.0} if prioritized else {}

    def add() -> None:
        replay.add(elements.TransitionElement(*step()), **priority)

    def sample_and_set() -> None:
        _, drawn = replay.sample(with_sample_metadata=True)
        replay.update(drawn.keys, priorities=np.ones(BATCH))

    def on_device() -> Any:
        batch = replay.sample()
        return jax.device_put((batch.state, batch.next_state))

    used = _filled(add, transitions)
    return Side(add, replay.sample, on_device, sample_and_set if prioritized else None, used)


def tables(transitions: int, repeats: int, ours_only: bool) -> list[common.Table]:
    """Times of adding and drawing for uniform and prioritized replay, and the memory used."""
    played = frames(ours_only)
    make = [our_side] if ours_only else [our_side, released_side]
    # Filled replays stay, lest the next one takes over the memory of one that is gone.
    times, memory, kept = [], [], []
    for horizon, prioritized in ((1, False), (3, False), (3, True)):
        sides = [side(played, transitions, horizon, prioritized) for side in make]
        kept.append(sides)
        name = f"{'prioritized' if prioritized else 'uniform'}, {horizon}-step"
        calls = {
            "add": [side.add for side in sides],
            f"sample of {BATCH}": [side.sample for side in sides],
            f"sample of {BATCH}, its states on the device": [side.on_device for side in sides],
        }
        if prioritized:
            both = [side.sample_and_set for side in sides]
            calls[f"sample of {BATCH}, then its priorities set"] = both
        for what, functions in calls.items():
            timed = [functools.partial(_block, function) for function in functions]
            common.alternate(timed, 1)
            values = common.milliseconds(common.alternate(timed, repeats), CALLS)
            times.append(common.Row(f"{name}: {what}", "ms", values))
        used = [[side.bytes_per_transition / 1e3] for side in sides]
        memory.append(common.Row(name, "kB", used))
    names = ["ours"] if ours_only else ["ours", "released"]
    shared = {"sides": names, "ratio": None if ours_only else "released / ours"}
    title = f"A full replay of {transitions} Atari transitions (84 x 84 x {STACK})."
    return [
        common.Table(title, rows=times, ratio_of=common.times_faster, **shared),
        common.Table("Memory per transition, as the process grew.", rows=memory, **shared),
    ]


def _block(function: Callable[[], Any]) -> float:
    def calls() -> Any:
        for _ in range(CALLS):
            result = jax.block_until_ready(function())
        return result

    return common.seconds(calls)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and writes the JSON file asked for."""
    parser = common.parser(__doc__.splitlines()[0], repeats=10)
    parser.add_argument("--transitions", type=common.positive, default=20_000)
    options = parser.parse_args(arguments)
    described, started = common.machine(), time.perf_counter()
    measured = tables(options.transitions, options.repeats, options.ours_only)
    settings = {"transitions": options.transitions, "batch": BATCH, "repeats": options.repeats}
    if not options.ours_only:
        settings["frames"] = f"of {GAME}, random play"
    result = common.record("replay", settings, described, measured)
    common.publish(result, started, options.json)


if __name__ == "__main__":
    main()

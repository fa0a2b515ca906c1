# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Updates, recycling, seeds side by side and runs on one accelerator, and checks of their results.

python benchmarks/gpu.py [--repeats N] [--quick] [--json OUT]

Each part is a process of its own. All compile at the same time; once the last has, they are
measured one after the other. Neither Dopamine nor TensorFlow is needed. The exit status is 1 where
a check or a part failed; what the others found is reported and written all the same.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import dormant
from benchmarks import common, gpu_checks, learner_updates, recycle, vectorized
from benchmarks.gpu_checks import GAME, Measure
from dormant import learners

LOCKSTEP_SEEDS, RUN_SEEDS = (1, 2, 5, 10), (1, 16, 128, 1024)
LONG_BURST = 64
NOT_QUICK = tuple(f"run-{seeds}" for seeds in RUN_SEEDS[1:])


def _learner(with_redo: bool) -> learners.Learner:
    network = learner_updates.nature_cnn()
    if not with_redo:
        return learner_updates.learner(network)
    return learner_updates.learner(
        network,
        tracker=dormant.track(network.graph, period=recycle.PERIOD),
        intervention=dormant.redo(
            network.graph, network.init, network.optimizer, recycle.TAU, recycle.PERIOD
        ),
    )


def updates(precision: str, quick: bool) -> Measure:
    """The update with and without tracker and ReDo, dispatched one by one and scanned."""
    jax.config.update("jax_default_matmul_precision", precision)
    made = [_learner(with_redo) for with_redo in (False, True)]
    burst, long = learner_updates.BURST, 2 if quick else LONG_BURST
    timers = {}
    for number, where, batches in (
        (1, "host", learner_updates.random_batch()),
        (1, "device", _placed(learner_updates.random_batch())),
        (burst, "host", learner_updates.random_batches(burst)),
        (long, "device", _placed(learner_updates.random_batches(long))),
    ):
        if number == 1:
            name = "one update in a call"
            blocks = [learner_updates.our_block(each, batch=batches) for each in made]
        else:
            name = f"one of {number} in a call (`lax.scan`)"
            blocks = [learner_updates.our_scanned_block(each, batches) for each in made]
        sides = [learner_updates.timer(block) for block in blocks]
        timers[f"{name}, transitions in {where} memory"] = (sides, number)

    def measure(repeats: int) -> list[common.Table]:
        rows = []
        for name, (sides, number) in timers.items():
            values = common.alternate(sides, repeats)
            values = common.milliseconds(values, learner_updates.UPDATES_PER_BLOCK * number)
            rows.append(common.Row(name, "ms", values))
        title = (
            f"One DQN update of the nature CNN, batch {learner_updates.BATCH}, matrix products at"
            f" {precision} precision; means of blocks of {learner_updates.UPDATES_PER_BLOCK} calls."
        )
        sides = ["without ReDo", "with tracker and ReDo, not due"]
        return [common.Table(title, sides, rows, "with / without")]

    return measure


def recycling(quick: bool) -> Measure:
    """One recycle, and the scores alone."""
    size = recycle.SCORE_BATCHES[0]
    ready = recycle.trained()
    calls = {
        f"scores and recycle, {size} observations": recycle.our_recycle(ready, size),
        f"scores alone, {size} observations": recycle.our_scores(ready, size),
    }
    first = [common.Row(name, "s", [[common.seconds(call)]]) for name, call in calls.items()]

    def measure(repeats: int) -> list[common.Table]:
        rows = []
        for name, call in calls.items():
            values = common.alternate([functools.partial(common.seconds, call)], repeats)
            rows.append(common.Row(name, "ms", common.milliseconds(values)))
        title = "One recycle of the nature CNN with its Adam state, compiled before."
        compiled = "The same, first call, beside the compilation of the other parts."
        return [common.Table(title, ["ours"], rows), common.Table(compiled, ["ours"], first)]

    return measure


def lockstep(quick: bool) -> Measure:
    """Bursts of several seeds in one program, as agents in lockstep make them, and one by one."""
    made = _learner(with_redo=True)
    burst = learner_updates.BURST
    batches = _placed(learner_updates.random_batches(burst))
    timers = {
        seeds: [
            learner_updates.timer(block)
            for block in (_vmapped_block(made, seeds, batches), _each_block(made, seeds, batches))
        ]
        for seeds in (LOCKSTEP_SEEDS[:2] if quick else LOCKSTEP_SEEDS)
    }

    def measure(repeats: int) -> list[common.Table]:
        rows = []
        for seeds, sides in timers.items():
            calls = learner_updates.UPDATES_PER_BLOCK * burst
            values = common.milliseconds(common.alternate(sides, repeats), calls)
            rows.append(common.Row(_seeds(seeds), "ms", values))
        title = (
            f"One DQN update of every seed: nature CNN, batch {learner_updates.BATCH}, in bursts of"
            f" {burst} (`lax.scan`) from transitions in device memory."
        )
        sides = ["one program for all (`vmap`)", "one by one"]
        return [common.Table(title, sides, rows, "one by one / one program")]

    return measure


def _vmapped_block(made: learners.Learner, seeds: int, batches: Any) -> Callable[[], Any]:
    # States and batches come apart for each seed and leave so, as each agent has its own.
    def stack(trees: Sequence[Any]) -> Any:
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    @functools.partial(jax.jit, donate_argnums=0)
    def burst(states: tuple, batches: tuple) -> tuple:
        scan = functools.partial(jax.lax.scan, made.update)
        state, metrics = jax.vmap(scan)(stack(states), stack(batches))
        apart = [jax.tree.map(lambda leaf, seed=seed: leaf[seed], state) for seed in range(seeds)]
        return tuple(apart), metrics

    init = jax.jit(made.init)
    states = tuple(init(jax.random.key(seed)) for seed in range(seeds))

    def block() -> Any:
        nonlocal states
        for _ in range(learner_updates.UPDATES_PER_BLOCK):
            states, metrics = burst(states, (batches,) * seeds)
        return states, metrics

    return block


def _each_block(made: learners.Learner, seeds: int, batches: Any) -> Callable[[], Any]:
    burst = jax.jit(functools.partial(jax.lax.scan, made.update), donate_argnums=0)
    init = jax.jit(made.init)
    states = [init(jax.random.key(seed)) for seed in range(seeds)]

    def block() -> Any:
        for _ in range(learner_updates.UPDATES_PER_BLOCK):
            for seed in range(seeds):
                states[seed], _ = burst(states[seed], batches)
        return states

    return block


def device_run(seeds: int, quick: bool) -> Measure:
    """The speed of a whole run on the device."""
    start = time.perf_counter()
    speed = vectorized.our_speed(seeds, 1.0, "mlp", GAME, redo=True)
    compiled = time.perf_counter() - start

    def measure(repeats: int) -> list[common.Table]:
        found = [
            ("agent steps/s of all seeds", "agent steps/s", common.alternate([speed], repeats)),
            ("seconds", "s", [[compiled]]),
        ]
        titles = (
            f"A run on the device of DQN + ReDo (period 1 000) on gymnax's {GAME} at replay ratio"
            f" 1: two layers of 128 neurons, batch {vectorized.BATCH}.",
            f"The same up to the end of the first {vectorized.ROUNDS} rounds: compilation, beside"
            " that of the other parts, and the warm-up.",
        )
        return [
            common.Table(title, [side], [common.Row(_seeds(seeds), unit, values)])
            for title, (side, unit, values) in zip(titles, found, strict=True)
        ]

    return measure


def _placed(tree: Any) -> Any:
    return jax.tree.map(jnp.asarray, tree)


def _seeds(number: int) -> str:
    return f"{number} seed{'s' * (number > 1)}"


PARTS: dict[str, Callable[[bool], Measure]] = {
    "updates": functools.partial(updates, "default"),
    "updates-float32": functools.partial(updates, "float32"),
    "recycle": recycling,
    "lockstep": lockstep,
    **{f"run-{seeds}": functools.partial(device_run, seeds) for seeds in RUN_SEEDS},
    "check-recycling": gpu_checks.recycling,
    "check-continuing": gpu_checks.continuing,
    "check-against-cpu": gpu_checks.against_cpu,
}


def run_part(part: str, repeats: int, quick: bool) -> None:
    """In a process of its own: compiles, waits for its turn, and prints the result as JSON."""
    if quick:
        learner_updates.UPDATES_PER_BLOCK, learner_updates.BURST = 2, 2
        vectorized.BLOCK_SECONDS = 0.1
    described = common.machine()
    measure = PARTS[part](quick)
    print("compiled", flush=True)
    sys.stdin.readline()
    print(json.dumps(common.record("gpu", {}, described, measure(repeats))))


def measure_all(repeats: int, quick: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """Results of all parts, and the names of those that failed.

    JAX stays unused in this process: on an accelerator it would hold the memory they need.
    """
    options = [*(["--quick"] if quick else []), "--repeats", str(repeats), "--part"]
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
    start = functools.partial(
        subprocess.Popen,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    parts = [part for part in PARTS if not quick or part not in NOT_QUICK]
    running = {part: start([sys.executable, __file__, *options, part]) for part in parts}
    results, failed, began = [], [], time.perf_counter()

    def say(what: str) -> None:
        print(f"{time.perf_counter() - began:4.0f} s: {what}", file=sys.stderr, flush=True)

    try:
        for part, process in running.items():
            assert process.stdout is not None
            process.stdout.readline()
            say(f"{part} has compiled")
        for part, process in running.items():
            output, _ = process.communicate("measure\n")
            say(f"{part} is measured" if process.returncode == 0 else f"{part} FAILED")
            if process.returncode:
                failed.append(part)
            else:
                results.append(json.loads(output.splitlines()[-1]))
    finally:
        for process in running.values():
            process.kill()
    return results, failed


def merged(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tables of all results; those of one title are one."""
    tables: dict[str, dict[str, Any]] = {}
    for result in results:
        for table in result["tables"]:
            known = tables.setdefault(table["title"], table | {"rows": []})
            known["rows"] += table["rows"]
    return list(tables.values())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and writes the JSON file asked for."""
    parser = common.parser(__doc__.splitlines()[0], repeats=10)
    parser.add_argument("--quick", action="store_true", help="once, and little; nothing is written")
    parser.add_argument("--part", choices=PARTS, help="one part, as this script calls itself")
    options = parser.parse_args(arguments)
    if options.part:
        run_part(options.part, options.repeats, options.quick)
        return
    repeats = 1 if options.quick else options.repeats
    load, started = round(os.getloadavg()[0], 2), time.perf_counter()
    results, failed = measure_all(repeats, options.quick)
    if results:
        # The parts' own load is that of one another.
        described = results[0]["machine"] | {"load_average_at_start": load}
        result = common.record("gpu", {"repeats": repeats}, described, [])
        result["tables"] = merged(results)
        common.publish(result, started, None if options.quick else options.json)
        failed += [
            row["name"]
            for table in result["tables"]
            for row in table["rows"]
            if row["name"].startswith(gpu_checks.FAILED)
        ]
    if failed:
        sys.exit("\n".join(["", "failed:", *failed]))


if __name__ == "__main__":
    main()

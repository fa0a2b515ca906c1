# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Each way around what XLA does slowly on a CPU (`dormant.xla_cpu`) against the plain program.

python benchmarks/xla_cpu.py [--repeats N] [--json OUT]
"""

import functools
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import common, learner_updates
from dormant import learners, xla_cpu
from dormant.runs.options import LearnerOptions
from dormant.vectorized.agent import VectorizedDQN
from dormant.vectorized.networks import MLP, ConvolutionAsProduct

SEEDS, BATCH, TURNS = 5, 32, 100
Pair = tuple[Callable[[], Any], Callable[[], Any]]  # ours, then the plain program


def kernel_gradients() -> Pair:
    """DQN updates of a dense layer of 128 neurons in a loop, 5 seeds under `vmap`."""
    network = MLP(6, (1_024,), dense=(128,), on_cpu=True)
    rng = np.random.default_rng(0)
    states = rng.normal(size=(2, BATCH, 1_024)).astype(np.float32)
    zeros = np.zeros(BATCH, np.float32)
    batch = learners.Batch(states[0], np.zeros(BATCH, np.int32), zeros, states[1], zeros)
    made = learners.dqn(
        network.apply,
        lambda key: network.init(key, states[0, 0]),
        optax.adam(1e-4),
        discount=0.99,
    )
    keys = jax.random.split(jax.random.key(0), SEEDS)

    def run(step: Callable) -> Callable[[], Any]:
        def one_seed(key: jax.Array) -> Any:
            return in_a_loop(lambda state: step(state, batch)[0], made.init(key))

        return functools.partial(jax.jit(jax.vmap(one_seed)), keys)

    return run(xla_cpu.laid_out_as_kernels(made.step)), run(made.step)


def unrolled_keys() -> Pair:
    """The draws of a round of 4 environments, in a loop."""

    def run(key: jax.Array) -> Callable[[], Any]:
        def one_round(total: jax.Array) -> jax.Array:
            drawn = jax.random.split(jax.random.fold_in(key, total), (4, 2))
            return total + jax.random.randint(drawn[0, 0], (), 0, 9)

        return jax.jit(lambda: in_a_loop(one_round, jnp.int32(0)))

    key = jax.random.key(0)
    return run(xla_cpu.unrolled(key)), run(key)


def convolution() -> Pair:
    """The gradient of a convolution of 16 filters on 10 x 10 observations, in a loop."""
    observations = jnp.ones((BATCH, 10, 10, 4))

    def run(layer: nn.Module) -> Callable[[], Any]:
        gradient = jax.grad(lambda params: jnp.mean(layer.apply(params, observations) ** 2))
        params = layer.init(jax.random.key(0), observations)
        return jax.jit(lambda: in_a_loop(descent(gradient), params))

    return run(ConvolutionAsProduct(16)), run(nn.Conv(16, (3, 3), padding="VALID"))


def head() -> Pair:
    """The gradient of a linear head of 3 actions on 1 024 features in a loop, 5 seeds."""
    features = jnp.ones((BATCH, 1_024))

    def run(on_cpu: bool) -> Callable[[], Any]:
        layer = MLP(3, (1_024,), dense=(), on_cpu=on_cpu)
        gradient = jax.grad(lambda params: jnp.mean(layer.apply(params, features) ** 2))

        def one_seed(key: jax.Array) -> Any:
            return in_a_loop(descent(gradient), layer.init(key, features[0]))

        keys = jax.random.split(jax.random.key(0), SEEDS)
        return functools.partial(jax.jit(jax.vmap(one_seed)), keys)

    return run(True), run(False)


def one_by_one() -> Pair:
    """100 rounds of a whole run at replay ratio 1 on Breakout-MinAtar, 5 seeds."""
    agent = VectorizedDQN(min_replay_history=400, replay_capacity=10_000)
    program = agent.program(LearnerOptions(replay_ratio=1))[0]

    def run(program: Any) -> Callable[[], Any]:
        state, _ = program.fill(program.init(jax.random.split(jax.random.key(0), SEEDS)))
        holder = [state]

        def advance() -> Any:
            holder[0], progress = program.advance(holder[0], TURNS)
            return progress

        return advance

    return run(xla_cpu.one_by_one(program)), run(program)


# By the names that the ways around XLA give their rows.
PAIRS = {
    "gradients laid out as kernels": kernel_gradients,
    "unrolled keys": unrolled_keys,
    "convolution as a product": convolution,
    "head of few actions": head,
    "seeds one by one": one_by_one,
}


def in_a_loop(turn: Callable[[Any], Any], carry: Any) -> Any:
    """So many turns as the round of a run on the device takes them."""
    return jax.lax.fori_loop(0, TURNS, lambda _, carry: turn(carry), carry)


def descent(gradient: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A step that changes the parameters, so that no gradient can be moved out of a loop."""
    return lambda params: jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient(params))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table and writes the JSON file asked for."""
    options = common.parser(__doc__.splitlines()[0], repeats=10).parse_args(arguments)
    # Also on a machine with an accelerator, where none of this is of use.
    jax.config.update("jax_platforms", "cpu")
    described, started = common.machine(), time.perf_counter()
    rows = []
    for name, make in PAIRS.items():
        sides = [learner_updates.timer(side) for side in make()]
        values = common.milliseconds(common.alternate(sides, options.repeats))
        rows.append(common.Row(f"{name}: {make.__doc__.rstrip('.')}", "ms", values))
    title = f"Ways around XLA on a CPU; loops of {TURNS} turns, batch {BATCH}."
    sides = ["with it", "plain program"]
    table = common.Table(title, sides, rows, "plain / with it", common.times_faster)
    result = common.record("xla_cpu", {"repeats": options.repeats}, described, [table])
    common.publish(result, started, options.json)


if __name__ == "__main__":
    main()

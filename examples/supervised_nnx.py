# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""ReDo in a Flax nnx loop: a student network regresses on teachers, each replaced after a while.
As in value learning the target moves, and with it neurons fall dormant that ReDo puts to work."""

import argparse
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import dormant

SAMPLES, FEATURES, OUTPUTS, BATCH = 512, 16, 4, 64


class Network(nnx.Module):
    """Student and teacher alike: two hidden layers with relu."""

    def __init__(self, neurons: int, rngs: nnx.Rngs):
        self.first = nnx.Linear(FEATURES, neurons, rngs=rngs)
        self.second = nnx.Linear(neurons, neurons, rngs=rngs)
        self.output = nnx.Linear(neurons, OUTPUTS, rngs=rngs)

    def __call__(self, x):
        return self.output(nnx.relu(self.second(nnx.relu(self.first(x)))))


class Result(NamedTuple):
    """The end of a run."""

    losses: list[float]  # squared error on all samples, just before each change of the teacher
    dormant_percent: float  # over all hidden layers at the end, tau 0.1
    recycled: int  # neurons recycled in the whole run


def train(steps: int, change_every: int, tau: float | None, seed: int = 0) -> Result:
    """Trains a student for `steps` steps; tau None measures dormancy without recycling."""
    data_key, teacher_key, batch_key, init_key, redo_key = jax.random.split(jax.random.key(seed), 5)
    inputs = jax.random.normal(data_key, (SAMPLES, FEATURES))
    definition, _ = nnx.split(nnx.eval_shape(lambda: Network(128, nnx.Rngs(0))))
    optimizer = optax.sgd(0.1, momentum=0.9)

    # nnx.split and nnx.merge make of the module the pair of functions that the trace reads.
    def init(key):
        return nnx.split(Network(128, nnx.Rngs(key)))[1]

    def apply(params, x):
        return nnx.merge(definition, params)(x)

    params = init(init_key)
    opt_state = optimizer.init(params)
    graph = dormant.trace(apply, params, inputs)
    if tau is None:
        redo = dormant.track(graph, period=100)
    else:
        redo = dormant.redo(graph, init, optimizer, tau, period=100)
    redo_state = redo.init(redo_key)

    def targets(index):
        key = jax.random.fold_in(teacher_key, index // change_every)
        outputs = Network(128, nnx.Rngs(key))(inputs)
        return outputs / jnp.std(outputs)

    def loss(params, x, y):
        return jnp.mean((apply(params, x) - y) ** 2)

    @jax.jit
    def step(params, opt_state, redo_state, index):
        rows = jax.random.randint(jax.random.fold_in(batch_key, index), (BATCH,), 0, SAMPLES)
        gradient = jax.grad(loss)(params, inputs[rows], targets(index)[rows])
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        return redo.update(params, opt_state, redo_state, inputs)

    losses = []
    for index in range(steps):
        params, opt_state, redo_state = step(params, opt_state, redo_state, index)
        if (index + 1) % change_every == 0:
            losses.append(float(loss(params, inputs, targets(index))))
    masks = dormant.dormant_masks(dormant.dormancy_scores(graph.activations(params, inputs)), 0.1)
    percent = 100 * float(dormant.dormant_fraction(masks))
    return Result(losses, percent, int(redo_state.report.recycled_total))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4_000, help="gradient steps")
    parser.add_argument("--change-every", type=int, default=500, help="gradient steps")
    arguments = parser.parse_args()
    for name, tau in (("plain SGD", None), ("with ReDo", 0.1)):
        result = train(arguments.steps, arguments.change_every, tau)
        losses = " ".join(f"{loss:.4f}" for loss in result.losses)
        print(f"{name}  squared error at the end of each teacher: {losses}")
        print(f"{name}  dormant % {result.dormant_percent:.1f}, recycled {result.recycled}")


if __name__ == "__main__":
    main()

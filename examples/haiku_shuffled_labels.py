# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""ReDo in a Haiku loop: a convolutional network learns labels that are shuffled again and again.
The lines that end with `# dormant` are all that ReDo adds; without them this is plain training."""

import argparse
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import dormant  # dormant

SAMPLES, BATCH = 512, 64


class TrainingState(NamedTuple):
    params: hk.Params
    opt_state: optax.OptState


class Batch(NamedTuple):
    image: np.ndarray  # (B, 8, 8, 1)
    label: np.ndarray  # (B,)


def net_fn(images: jax.Array) -> jax.Array:
    network = hk.Sequential([
        hk.Conv2D(16, kernel_shape=3), jax.nn.relu,
        hk.Conv2D(32, kernel_shape=3, stride=2), jax.nn.relu,
        hk.Flatten(),
        hk.Linear(128), jax.nn.relu,
        hk.Linear(10),
    ])  # fmt: skip
    return network(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shuffles", type=int, default=6)
    parser.add_argument("--steps", type=int, default=250, help="gradient steps between two of them")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    images = (load_digits().images[:SAMPLES, ..., None] / 16).astype(np.float32)
    network = hk.without_apply_rng(hk.transform(net_fn))
    optimiser = optax.adam(args.learning_rate)
    init_key, redo_key = jax.random.split(jax.random.key(args.seed))

    def init(key: jax.Array) -> hk.Params:
        return network.init(key, images[:1])

    params = init(init_key)
    graph = dormant.trace(network.apply, params, images[:BATCH])  # dormant
    redo = dormant.redo(graph, init, optimiser, tau=0.1, period=100)  # dormant
    optimiser = dormant.as_transformation(optimiser, redo, redo_key)  # dormant
    state = TrainingState(params, optimiser.init(params))

    def loss(params: hk.Params, batch: Batch) -> jax.Array:
        logits = network.apply(params, batch.image)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.label).mean()

    @jax.jit
    def update(state: TrainingState, batch: Batch) -> tuple[TrainingState, jax.Array]:
        value, grads = jax.value_and_grad(loss)(state.params, batch)
        updates, opt_state = optimiser.update(
            grads,
            state.opt_state,
            state.params,
            inputs=batch.image,  # dormant
        )
        return TrainingState(optax.apply_updates(state.params, updates), opt_state), value

    @jax.jit
    def evaluate(params: hk.Params, batch: Batch) -> jax.Array:
        return jnp.mean(jnp.argmax(network.apply(params, batch.image), axis=-1) == batch.label)

    for shuffle in range(1, args.shuffles + 1):
        labels = rng.integers(10, size=SAMPLES)
        for _ in range(args.steps):
            rows = rng.integers(SAMPLES, size=BATCH)
            state, value = update(state, Batch(images[rows], labels[rows]))
        accuracy = evaluate(state.params, Batch(images, labels))
        print(f"shuffle={shuffle}, loss={float(value):.4f}, accuracy={float(accuracy):.3f}")
        report = state.opt_state.intervention.report  # dormant
        fraction = report.dormant_fraction(0.1)  # dormant
        print(f"dormant={fraction:.3f}, recycled={report.recycled_total}")  # dormant


if __name__ == "__main__":
    main()

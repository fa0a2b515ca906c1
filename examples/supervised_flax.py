# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""ReDo in a plain Flax and optax loop: memorize labels that are shuffled again and again.
Figure 3 of the paper in miniature: plain SGD ends with dormant neurons, and unable to learn."""

import argparse
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import dormant

SAMPLES, FEATURES, CLASSES, BATCH = 512, 64, 10, 64


class Phase(NamedTuple):
    """The state of training just before the labels are shuffled again."""

    loss: float  # mean cross-entropy of the phase's last 50 steps; ln(10) = 2.3 is chance
    dormant_percent: float  # over all hidden layers, tau 0.1


def train(steps: int, shuffle_every: int, tau: float | None, seed: int = 0) -> list[Phase]:
    """Trains the network for `steps` steps; tau None measures dormancy without recycling."""
    data_key, label_key, batch_key, init_key, redo_key = jax.random.split(jax.random.key(seed), 5)
    images = jax.random.normal(data_key, (SAMPLES, FEATURES))
    hidden = [layer for _ in range(3) for layer in (nn.Dense(128), nn.relu)]
    network = nn.Sequential([*hidden, nn.Dense(CLASSES)])
    optimizer = optax.sgd(0.1, momentum=0.9)

    def init(key):
        return network.init(key, images[:1])

    params = init(init_key)
    opt_state = optimizer.init(params)

    # What ReDo adds to the loop, 1 and 2 of 3: the network is read, and a state kept beside others.
    graph = dormant.trace(network.apply, params, images)
    if tau is None:
        redo = dormant.track(graph, period=100)
    else:
        redo = dormant.redo(graph, init, optimizer, tau, period=100)
    redo_state = redo.init(redo_key)

    @jax.jit
    def step(params, opt_state, redo_state, index):
        key = jax.random.fold_in(label_key, index // shuffle_every)
        labels = jax.random.randint(key, (SAMPLES,), 0, CLASSES)
        rows = jax.random.randint(jax.random.fold_in(batch_key, index), (BATCH,), 0, SAMPLES)

        def loss(params):
            logits = network.apply(params, images[rows])
            errors = optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows])
            return jnp.mean(errors)

        value, gradient = jax.value_and_grad(loss)(params)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        # 3 of 3: after the optimizer's step. Cheap where nothing is due, never compiled again.
        params, opt_state, redo_state = redo.update(params, opt_state, redo_state, images)
        return params, opt_state, redo_state, value

    phases, losses = [], []
    for index in range(steps):
        params, opt_state, redo_state, value = step(params, opt_state, redo_state, index)
        losses.append(value)
        if (index + 1) % shuffle_every == 0:
            scores = dormant.dormancy_scores(graph.activations(params, images))
            fraction = dormant.dormant_fraction(dormant.dormant_masks(scores, tau=0.1))
            phases.append(Phase(float(jnp.mean(jnp.array(losses[-50:]))), 100 * float(fraction)))
    return phases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4_000, help="gradient steps")
    parser.add_argument("--shuffle-every", type=int, default=500, help="gradient steps")
    arguments = parser.parse_args()
    plain, redo = (train(arguments.steps, arguments.shuffle_every, tau) for tau in (None, 0.1))
    print("               plain SGD            with ReDo")
    print("  step     loss  dormant %     loss  dormant %")
    for index, phases in enumerate(zip(plain, redo, strict=True), start=1):
        cells = (f"{phase.loss:8.2f} {phase.dormant_percent:10.1f}" for phase in phases)
        print(f"{index * arguments.shuffle_every:6d} {'  '.join(cells)}")


if __name__ == "__main__":
    main()

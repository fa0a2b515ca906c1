# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Measures that need a network's outputs or its loss, of a classifier whose labels are shuffled
again and again, without and with ReDo. Prints CSV: a line for each measurement."""

import argparse

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import dormant
from dormant import measures

BATCH, SAMPLES, ROWS = 32, 512, 128


class Classifier(nn.Module):
    @nn.compact
    def __call__(self, images):
        hidden = nn.relu(nn.Dense(128)(images))
        return nn.Dense(10)(nn.relu(nn.Dense(128)(hidden)))


NETWORK = Classifier()


def apply(params, images, labels):
    """The logits. Labels are an input too, so that the measured loss has those of its images."""
    del labels
    return NETWORK.apply(params, images)


def loss(params, images, labels):
    logits = NETWORK.apply(params, images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


MEASURES = (
    measures.churn(apply),
    measures.greedy_action_changes(apply),
    measures.ntk_rank(apply),
    measures.gradient_covariance(loss),
    measures.optimization_readiness(loss),
    measures.hessian_eigenvalue(loss),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shuffles", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1_000, help="gradient steps between shuffles")
    parser.add_argument(
        "--period", type=int, default=500, help="gradient steps between measurements"
    )
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    names = [measure.name for measure in MEASURES]
    print("method", "seed", "gradient_step", *names, "dormant_percent", "accuracy", sep=",")
    for method in ("Adam", "Adam + ReDo"):
        for seed in range(args.seeds):
            train(method, seed, args)


def train(method: str, seed: int, args: argparse.Namespace) -> None:
    rng = np.random.default_rng(seed)
    images = (load_digits().data[:SAMPLES] / 16).astype(np.float32)
    labels = rng.integers(10, size=SAMPLES)

    def init(key):
        return NETWORK.init(key, images[:1])

    keys = jax.random.split(jax.random.key(seed), 3)
    params, adam = init(keys[0]), optax.adam(1e-3)
    graph = dormant.trace(apply, params, images[:ROWS], labels[:ROWS])
    tracker = dormant.track(graph, measures=MEASURES, period=args.period)
    redo = dormant.redo(graph, init, adam, tau=0.1, period=1_000)
    opt_state, tracked, recycled = (
        adam.init(params),
        tracker.init(keys[1], params),
        redo.init(keys[2]),
    )

    @jax.jit
    def update(params, opt_state, tracked, recycled, batch, measured):
        gradient = jax.grad(loss)(params, *batch)
        updates, opt_state = adam.update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        params, opt_state, tracked = tracker.update(params, opt_state, tracked, *measured)
        if method == "Adam + ReDo":
            params, opt_state, recycled = redo.update(params, opt_state, recycled, *measured)
        return params, opt_state, tracked, recycled

    for step in range(1, args.shuffles * args.steps + 1):
        rows = rng.integers(SAMPLES, size=BATCH)
        batch, measured = (images[rows], labels[rows]), (images[:ROWS], labels[:ROWS])
        params, opt_state, tracked, recycled = update(
            params, opt_state, tracked, recycled, batch, measured
        )
        if step % args.period == 0:
            report = tracked.report
            values = [report.measures[each.name] for each in MEASURES]
            percent = 100 * report.dormant_fraction(0.1)
            accuracy = jnp.mean(jnp.argmax(apply(params, images, labels), -1) == labels)
            numbers = (f"{float(value):.5g}" for value in (*values, percent, accuracy))
            print(method, seed, step, *numbers, sep=",", flush=True)
        if step % args.steps == 0:
            labels = rng.integers(10, size=SAMPLES)


if __name__ == "__main__":
    main()

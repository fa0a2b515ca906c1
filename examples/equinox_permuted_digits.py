# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""ReDo in an Equinox loop: handwritten digits whose pixels are permuted anew again and again.
The lines that end with `# dormant` are all that ReDo adds; without them this is plain training."""

import argparse

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import dormant  # dormant

BATCH = 64


def make_model(key: jax.Array) -> eqx.nn.MLP:
    return eqx.nn.MLP(in_size=64, out_size=10, width_size=128, depth=2, key=key)


def arrays_of(model: eqx.Module) -> eqx.Module:
    return eqx.filter(model, eqx.is_inexact_array)


def loss_fn(model: eqx.Module, x: jax.Array, y: jax.Array) -> jax.Array:
    logits = jax.vmap(model)(x)
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


@eqx.filter_jit
def accuracy_of(model: eqx.Module, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean(jnp.argmax(jax.vmap(model)(x), axis=-1) == y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=8, help="permutations, one after the other")
    parser.add_argument("--steps", type=int, default=300, help="gradient steps on each")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    model_key, redo_key = jax.random.split(jax.random.key(args.seed))
    model = make_model(model_key)
    optim = optax.adam(args.learning_rate)

    # A model holds functions besides its arrays; dormant is given the arrays alone.
    arrays, static = eqx.partition(model, eqx.is_inexact_array)  # dormant

    def apply(arrays, x):  # dormant
        return jax.vmap(eqx.combine(arrays, static))(x)  # dormant

    graph = dormant.trace(apply, arrays, images[:BATCH])  # dormant
    redo = dormant.redo(graph, lambda key: arrays_of(make_model(key)), optim, period=100)  # dormant
    optim = dormant.as_transformation(optim, redo, redo_key)  # dormant
    opt_state = optim.init(arrays_of(model))

    @eqx.filter_jit
    def make_step(model, opt_state, x, y):
        loss, grads = eqx.filter_value_and_grad(loss_fn)(model, x, y)
        updates, opt_state = optim.update(
            grads,
            opt_state,
            arrays_of(model),
            inputs=x,  # dormant
        )
        return eqx.apply_updates(model, updates), opt_state, loss

    for task in range(1, args.tasks + 1):
        permuted = images[:, rng.permutation(images.shape[1])]
        for _ in range(args.steps):
            rows = rng.integers(len(images), size=BATCH)
            model, opt_state, loss = make_step(model, opt_state, permuted[rows], labels[rows])
        accuracy = accuracy_of(model, permuted, labels)
        print(f"task={task}, loss={float(loss):.4f}, accuracy={float(accuracy):.3f}")
        report = opt_state.intervention.report  # dormant
        print(f"dormant={report.pooled[-1]:.3f}, recycled={report.recycled_total}")  # dormant


if __name__ == "__main__":
    main()

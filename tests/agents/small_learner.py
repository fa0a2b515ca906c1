# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A DQN learner of eight hidden neurons that tracks and recycles, and random batches for it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import dormant
from dormant.learners import Batch, Interventions, dqn


def apply(params, observation):
    return jax.nn.relu(observation @ params["hidden"]) @ params["output"]


def init(key):
    keys = jax.random.split(key)
    return {
        "hidden": jax.random.normal(keys[0], (4, 8)), "output": jax.random.normal(keys[1], (8, 2))
    }  # fmt: skip


def make_learner(recycle):
    """Tracks every 2 gradient steps and recycles every `recycle`."""
    optimizer = optax.adam(1e-2)
    graph = dormant.trace(apply, init(jax.random.key(0)), jnp.zeros((1, 4)))
    return dqn(
        apply, init, optimizer, discount=0.99,
        interventions=Interventions(
            dormant.track(graph, period=2),
            dormant.redo(graph, init, optimizer, tau=0.5, period=recycle),
        ),
    )  # fmt: skip


def batches(seed, count):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield Batch(
            state=rng.normal(size=(5, 4)).astype(np.float32),
            action=rng.integers(0, 2, 5, dtype=np.int32),
            reward=rng.normal(size=5).astype(np.float32),
            next_state=rng.normal(size=(5, 4)).astype(np.float32),
            terminal=rng.integers(0, 2, 5).astype(bool),
        )

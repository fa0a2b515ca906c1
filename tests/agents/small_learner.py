# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

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

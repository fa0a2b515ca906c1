# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Tiny networks and batches for the learners' tests, one for every kind of learner."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from dormant.learners import Batch, WeightedBatch

FEATURES, ACTIONS, BATCH, ATOMS = 4, 3, 8, 5
SUPPORT = np.linspace(-2, 2, ATOMS, dtype=np.float32)
OBSERVATION = jnp.zeros(FEATURES)
ACTION_SHAPE = (2,)


class MLP(nn.Module):
    """One hidden layer; `outputs` of them."""

    outputs: int = ACTIONS

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(16)(x))
        return nn.Dense(self.outputs)(x)


class NoisyMLP(nn.Module):
    """Logits (A, N) of a distributional network with additive noise on its last layer's input."""

    noisy: bool = True

    @nn.compact
    def __call__(self, x, key):
        x = nn.relu(nn.Dense(16)(x))
        if self.noisy:
            x = x + 0.5 * jax.random.normal(key, x.shape)
        return nn.Dense(ACTIONS * ATOMS)(x).reshape(ACTIONS, ATOMS)


class ActorCritic(nn.Module):
    """A Gaussian actor, not squashed, and twin critics."""

    def setup(self):
        self.policy = MLP(2 * ACTION_SHAPE[0])
        self.critics = [MLP(1), MLP(1)]

    def __call__(self, observation, key):
        return self.critic(observation, self.actor(observation, key)[1])

    def actor(self, observation, key):
        mean, log_scale = jnp.split(self.policy(observation), 2, axis=-1)
        noise = jax.random.normal(key, mean.shape)
        log_density = -0.5 * noise**2 - log_scale - 0.5 * jnp.log(2 * jnp.pi)
        return mean, mean + jnp.exp(log_scale) * noise, jnp.sum(log_density)

    def critic(self, observation, action):
        inputs = jnp.concatenate([observation, action])
        return tuple(critic(inputs) for critic in self.critics)


def actor(network, observation, key):
    return ActorCritic().apply(network, observation, key, method="actor")


def critic(network, observation, action):
    return ActorCritic().apply(network, observation, action, method="critic")


def init_actor_critic(key):
    network = ActorCritic().init(key, OBSERVATION, key)
    return {"network": network, "log_alpha": jnp.zeros(1)}


def discrete_batches(*leading, seed=0):
    rng = np.random.default_rng(seed)
    shape = (*leading, BATCH)
    return Batch(
        state=rng.normal(size=(*shape, FEATURES)).astype(np.float32),
        action=rng.integers(ACTIONS, size=shape).astype(np.int32),
        reward=(2 * rng.normal(size=shape)).astype(np.float32),
        next_state=rng.normal(size=(*shape, FEATURES)).astype(np.float32),
        terminal=rng.integers(2, size=shape).astype(np.uint8),
    )


def weighted_batches(*leading, seed=0):
    weight = np.random.default_rng(seed + 1).uniform(0.1, 1, (*leading, BATCH)).astype(np.float32)
    return WeightedBatch(*discrete_batches(*leading, seed=seed), weight)


def continuous_batches(*leading, seed=0):
    rng = np.random.default_rng(seed + 1)
    action = rng.normal(size=(*leading, BATCH, *ACTION_SHAPE)).astype(np.float32)
    return discrete_batches(*leading, seed=seed)._replace(action=action)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A learner on a quadratic loss in one small array, whose every number is worked out by hand.
Its tracker and intervention note what they were called with."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from dormant import Intervention
from dormant.learners import Interventions, gradient_learner
from tests.learners.comparing import bundled

KEY = jax.random.key(0)
LEARNING_RATE = 0.1
INPUTS = jnp.arange(4.0)


class Record(NamedTuple):
    calls: jax.Array
    scored: jax.Array
    seen: jax.Array
    inputs_sum: jax.Array
    gradient: jax.Array  # NaN where none was given


def recorder(shift):
    """An intervention that notes what it was called with and adds `shift` to the parameters."""

    def init(key):
        del key
        zero = jnp.zeros((), jnp.int32)
        return Record(zero, zero, jnp.zeros(3), jnp.zeros(()), jnp.zeros(3))

    def update(params, opt_state, state, *inputs, gradient=None, **others):
        gradient = None if gradient is None else gradient()
        state = Record(
            calls=state.calls + 1,
            scored=state.scored + (1 if inputs else 0),
            seen=params["w"],
            inputs_sum=sum((jnp.sum(x) for x in inputs), jnp.zeros(())),
            gradient=jnp.full(3, jnp.nan, jnp.float32) if gradient is None else gradient["w"],
        )
        return {"w": params["w"] + shift}, opt_state, state

    return Intervention(init, update)


def init_params(key):
    return {"w": jax.random.normal(key, (3,))}


def quadratic(params, target_params, batch, key):
    """0.5 |w - batch|^2, whose gradient is w - batch."""
    del target_params, key
    error = params["w"] - batch
    return 0.5 * jnp.sum(error**2), {"w_mean": jnp.mean(params["w"])}


def add_observation(params, observation, key, epsilon):
    return params["w"][0] + observation + epsilon


def build(**options):
    defaults = {"loss": quadratic, "policy": add_observation}
    optimizer = options.pop("optimizer", optax.sgd(LEARNING_RATE))
    init = options.pop("init", init_params)
    options = bundled("interventions", Interventions, defaults | options)
    return gradient_learner(init, optimizer, **options)

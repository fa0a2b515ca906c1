# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Keys whose numbers are drawn without a loop draw those of JAX's own keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant.vectorized import make_program
from dormant.xla_cpu.keys import unrolled
from tests.vectorized.small_environments import SETTINGS, clock, keys, learner_factory

USES = {
    "split": lambda key: jax.random.key_data(jax.random.split(key, (2, 3))),
    "fold_in": lambda key: jax.random.key_data(jax.random.fold_in(key, 2**31 - 1)),
    "uniform": lambda key: jax.random.uniform(key, (4, 5)),
    "randint": lambda key: jax.random.randint(key, (7,), 0, 100),
    "one number": lambda key: jax.random.randint(key, (), 0, jnp.int32(9)),
    "permutation": lambda key: jax.random.permutation(key, 10),
    "8 bits": lambda key: jax.random.bits(key, (9,), jnp.uint8),
    "16 bits": lambda key: jax.random.bits(key, (9,), jnp.uint16),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_unrolled_keys_give_the_same_numbers(use):
    keys = jax.random.split(jax.random.key(7), 3)
    expected = jax.vmap(use)(keys)
    received = jax.jit(lambda keys: jax.vmap(use)(unrolled(keys)))(keys)
    np.testing.assert_array_equal(received, expected)


def test_keys_of_another_kind_stay_as_they_are():
    key = jax.random.key(0, impl="rbg")
    assert unrolled(key) is key


def test_unrolled_keys_stay_as_they_are():
    key = unrolled(jax.random.key(0))
    assert unrolled(key) is key


@pytest.mark.slow
def test_an_environment_may_keep_keys_in_its_state():
    plain = clock()

    def reset(key):
        state, observation = plain.reset(key)
        return (state, key), observation

    def step(state, action, key):
        after = plain.step(state[0], action, jax.random.fold_in(state[1], 1))
        return after._replace(state=(after.state, key))

    environment = plain._replace(reset=reset, step=step)
    program = make_program(environment, learner_factory(), SETTINGS)
    state, _ = program.fill(program.init(keys(2)))
    before = np.array(jax.random.key_data(state.environment_state[1]))
    state, _ = program.advance(state, 2)
    assert (jax.random.key_data(state.environment_state[1]) != before).any()

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A learner notes the first gradient step that brought what is not finite, and where that was."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dormant.checks import NotFinite
from dormant.learners import step_learner
from dormant.learners.finiteness import check_finite, of_all, places, problem
from tests.learners.quadratic_learner import add_observation, build

KEY, BATCH = jax.random.key(0), jnp.ones(3)


def trained(learner, batches):
    state, update = learner.init(KEY), jax.jit(learner.update)
    for batch in batches:
        state, _ = update(state, batch)
    return state


def said(state, finiteness=None):
    return problem(state.finiteness if finiteness is None else finiteness, places(state), "seed 3")


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_the_first_bad_step_is_noted_and_stays(bad):
    state = trained(build(), [BATCH, BATCH, BATCH.at[1].set(bad), BATCH, BATCH * jnp.nan])
    assert said(state) == "the loss, w are not finite at gradient step 3 of seed 3"
    with pytest.raises(NotFinite, match="^the loss, w are not finite at gradient step 3 of seed 3"):
        check_finite(state.finiteness, places(state), "seed 3")


def test_all_is_finite_in_an_ordinary_run():
    state = trained(build(optimizer=optax.adam(0.1)), [BATCH] * 5)
    assert said(state) is None and said(state, of_all(state)) is None
    assert int(state.finiteness.step) == -1
    # Large numbers are finite.
    state = state._replace(params={"w": jnp.full(3, 3e38)})
    assert said(state, of_all(state)) is None


def test_a_loss_alone_is_enough():
    def loss(params, target_params, batch, key):
        return jnp.sum(params["w"]) * 0 + batch[0], {}

    state = trained(build(loss=loss), [BATCH, BATCH * jnp.inf])
    assert said(state) == "the loss is not finite at gradient step 2 of seed 3"


def test_the_parameters_that_are_not_finite_are_named():
    def init(key):
        layer = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
        return {"first": layer, "second": layer, "scale": jnp.ones(())}

    def step(params, target_params, opt_state, batch, key):
        second = {**params["second"], "bias": params["second"]["bias"] * batch[0]}
        params = {**params, "second": second, "scale": params["scale"] * batch[1]}
        return params, opt_state, {"loss": jnp.zeros(())}

    learner = step_learner(init, optax.sgd(0.1), step=step, policy=add_observation)
    state = trained(learner, [BATCH, BATCH.at[0].set(jnp.nan)])
    assert said(state) == "second/bias is not finite at gradient step 2 of seed 3"
    # A parameter that is one number counts too.
    state = trained(learner, [BATCH.at[1].set(jnp.inf)])
    assert said(state) == "scale is not finite at gradient step 1 of seed 3"


def test_a_moment_that_overflows_is_found_before_it_is_saved():
    def loss(params, target_params, batch, key):
        return jnp.sum(params["w"]) * batch[0], {}

    # The gradient's square is more than a float32 holds; Adam then stands still.
    state = trained(build(loss=loss, optimizer=optax.adam(0.1)), [BATCH, BATCH * 1e20])
    assert said(state) is None
    found = of_all(state)
    assert said(state, found) == (
        "0/nu/w of the optimizer's state is not finite at gradient step 2 of seed 3"
    )


def test_a_number_that_is_infinite_at_the_start_is_none_of_it():
    optimizer = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(accumulation_size=5))
    state = build(optimizer=optimizer).init(KEY)
    assert any(np.isinf(leaf).any() for leaf in jax.tree.leaves(state.opt_state))
    assert said(state, of_all(state)) is None


def test_under_vmap_each_seed_has_its_own():
    learner = build()
    states = jax.vmap(learner.init)(jax.random.split(KEY, 3))
    batches = jnp.ones((3, 3)).at[1, 0].set(jnp.nan)
    states, _ = jax.vmap(learner.update)(states, batches)
    np.testing.assert_array_equal(states.finiteness.step, [-1, 1, -1])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_parameters_of_few_bits_are_looked_at_too(dtype):
    state = build().init(KEY)
    largest = jnp.full(3, jnp.finfo(dtype).max, dtype)
    fine = state._replace(params={"w": largest})
    assert said(state, of_all(fine)) is None
    assert "w is not finite" in said(state, of_all(fine._replace(params={"w": largest * 2})))

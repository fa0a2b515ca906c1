# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""gymnax's environments behind one interface: what ends, what follows, and what replay may keep."""

from typing import NamedTuple

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant.vectorized import from_gymnax, gymnax_environment

# Seaquest takes minutes to compile, the others seconds: one of them is enough each time.
MINATAR = ["Breakout"] + [
    pytest.param(game, marks=pytest.mark.slow)
    for game in ("Asterix", "Freeway", "SpaceInvaders", "Seaquest")
]


def rollout(environment, steps=300, number=8, seed=0):
    """Steps of random actions, leaves (steps, number, ...), with the observations acted on."""

    def one(carry, key):
        state, observation = carry
        act_key, step_key = jax.random.split(key)
        action = jax.random.randint(act_key, (number,), 0, environment.num_actions)
        after = jax.vmap(environment.step)(state, action, jax.random.split(step_key, number))
        return (after.state, after.observation), (observation, after._replace(state=()))

    @jax.jit
    def all_steps(key):
        key, reset_key = jax.random.split(key)
        start = jax.vmap(environment.reset)(jax.random.split(reset_key, number))
        return jax.lax.scan(one, start, jax.random.split(key, steps))[1]

    return all_steps(jax.random.key(seed))


@pytest.mark.parametrize("game", MINATAR)
def test_observations_of_minatar_fit_in_bits(game):
    environment = gymnax_environment(f"{game}-MinAtar")
    observation, after = rollout(environment)
    assert environment.storage_dtype == jnp.dtype(bool)
    assert set(np.unique(observation)) == {0, 1} == set(np.unique(after.final_observation))
    assert observation.shape[2:] == environment.observation_shape
    assert observation.dtype == environment.observation_dtype


def test_episodes_end_and_begin_anew():
    environment = gymnax_environment("CartPole-v1")
    assert (environment.num_actions, environment.observation_shape) == (2, (4,))
    assert environment.storage_dtype == jnp.float32
    observation, after = rollout(environment)
    assert after.terminal.any() and not after.truncated.any()
    ended = np.asarray(after.terminal[:-1])
    following = np.asarray(observation[1:])
    np.testing.assert_array_equal(after.observation[:-1], following)
    np.testing.assert_array_equal(after.final_observation[:-1][~ended], following[~ended])
    # CartPole starts within 0.05 of the middle, and ends outside of 0.2 radians or 2.4 units.
    assert (np.abs(following[ended]) <= 0.05).all()
    last = np.abs(np.asarray(after.final_observation[:-1])[ended])
    assert ((last[:, 2] > 0.2) | (last[:, 0] > 2.4)).all()


def test_a_time_limit_cuts_off_without_a_terminal():
    inner, params = gymnax.make("CartPole-v1")
    environment = from_gymnax(inner, params.replace(max_steps_in_episode=3))
    _, after = rollout(environment, steps=9)
    assert not after.terminal.any()
    np.testing.assert_array_equal(after.truncated[:, 0], [False, False, True] * 3)


def ends_of(game, steps):
    """(step, terminal, truncated) of the first episode of a player that does nothing."""
    environment = gymnax_environment(game)

    def one(state, key):
        after = environment.step(state, 0, key)
        return after.state, (after.terminal, after.truncated)

    @jax.jit
    def episode():
        state, _ = environment.reset(jax.random.key(0))
        return jax.lax.scan(one, state, jax.random.split(jax.random.key(1), steps))[1]

    ends = episode()
    terminal, truncated = map(np.asarray, ends)
    (first, *_) = np.flatnonzero(terminal | truncated)
    return first + 1, bool(terminal[first]), bool(truncated[first])


def test_freeway_is_truncated_where_minatars_is_terminal():
    assert ends_of("Freeway-MinAtar", 2_501) == (2_500, False, True)
    minatar = pytest.importorskip("minatar")
    game = minatar.Environment("freeway", sticky_action_prob=0.0)
    steps, is_terminal = 0, False
    while not is_terminal:
        steps, (_, is_terminal) = steps + 1, game.act(0)
    assert steps == 2_501


@jax.jit
def after_a_spawn(rows):
    """Entities and ends of gymnax's Asterix, over many keys; nothing moves or is collected."""
    game, params = gymnax.make("Asterix-MinAtar")
    _, state = game.reset_env(jax.random.key(0), params)
    state = state.replace(entities=rows, spawn_timer=0, move_timer=3, player_x=5, player_y=1)
    keys = jax.random.split(jax.random.key(1), 200)
    _, after, _, terminal, _ = jax.vmap(game.step_env, (0, None, None, None))(
        keys, state, 0, params
    )
    return after.entities, terminal


def entities_after_a_spawn(free_rows):
    rows = np.array([[2, row + 1, 1, 0, row >= free_rows] for row in range(8)], np.int32)
    entities, terminal = after_a_spawn(rows)
    assert not terminal.any()
    return set(np.asarray(entities)[:, :, 4].sum(axis=1).tolist())


@pytest.mark.parametrize(
    "free_rows, entities", [(0, {7}), (1, {8, 6}), (2, {7})], ids=["none", "one", "two"]
)
def test_asterix_deletes_an_entity_where_minatars_has_no_room(free_rows, entities):
    # As the docs say of gymnax 1.0.1; where this fails, gymnax has mended it.
    assert entities_after_a_spawn(free_rows) == entities
    minatar = pytest.importorskip("minatar")
    game = minatar.Environment("asterix", sticky_action_prob=0.0)
    rows = [None if row < free_rows else [2, row + 1, True, False] for row in range(8)]
    game.env.entities, game.env.spawn_timer, game.env.player_y = rows, 0, 1
    game.act(0)
    assert sum(row is not None for row in game.env.entities) == 8 - max(0, free_rows - 1)


def test_unknown_names_get_close_ones():
    with pytest.raises(ValueError, match="Breakout-MinAtar.*; got 'Brekout-MinAtar'"):
        gymnax_environment("Brekout-MinAtar")
    with pytest.raises(ValueError, match="one of .*CartPole-v1.*; got 'zzzzzzz'"):
        gymnax_environment("zzzzzzz")


def test_continuous_actions_are_refused():
    with pytest.raises(ValueError, match="`environment` must have discrete actions; got"):
        gymnax_environment("Pendulum-v1")


class Space(NamedTuple):
    n: int


class Coin:
    """Somebody else's environment: guess a coin, four times."""

    name = "Coin"
    default_params = None

    def action_space(self, params):
        return Space(2)

    def reset(self, key, params):
        coin = jax.random.bernoulli(key).astype(int)
        return jnp.array([coin, 0], jnp.int8), (coin, 0)

    def step(self, key, state, action, params):
        coin, time = state
        final = jnp.stack([coin, time + 1]).astype(jnp.int8)
        terminated = time == 3
        observation, fresh = self.reset(key, params)
        state = jax.tree.map(lambda a, b: jnp.where(terminated, a, b), fresh, (coin, time + 1))
        observation = jnp.where(terminated, observation, final)
        info = {"final_observation": final}
        return observation, state, action == coin, terminated, jnp.array(False), info


class OldCoin(Coin):
    def step(self, *arguments):
        observation, state, reward, terminated, _, info = super().step(*arguments)
        return observation, state, reward, terminated, info


class GrowingCoin(Coin):
    def step(self, key, state, action, params):
        observation, state, *rest = super().step(key, state, action, params)
        return observation, (*state, 1), *rest


def test_ones_own_environment_of_this_style():
    environment = from_gymnax(Coin())
    assert (environment.name, environment.num_actions) == ("Coin", 2)
    assert environment.storage_dtype == jnp.int8
    _, after = rollout(environment, steps=8, number=2)
    assert after.reward.dtype == jnp.float32
    np.testing.assert_array_equal(after.terminal[:, 0], [False, False, False, True] * 2)
    np.testing.assert_array_equal(after.final_observation[:, 0, 1], [1, 2, 3, 4] * 2)


@pytest.mark.parametrize(
    "environment, message",
    [(OldCoin(), "must return .* as gymnax 1.0.1 does"), (GrowingCoin(), "must return a state of")],
)
def test_environments_of_another_style_are_refused(environment, message):
    with pytest.raises(ValueError, match=message):
        from_gymnax(environment)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What is not zero though neurons are silent and parameters cut: such layers are not recycled."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant

INPUTS = jax.random.normal(jax.random.key(9), (16, 5))


def init(key):
    keys = jax.random.split(key, 4)
    shapes = {"first": (5, 8), "bias": (8,), "head": (8, 4), "shared": (4,)}
    return {
        name: jax.random.normal(each, shape)
        for each, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def hidden(params, x):
    return jax.nn.relu(x @ params["first"] + params["bias"])


def soft_pooling(params, x):
    window = (1, 2, 1)
    values = hidden(params, x).reshape(4, 4, 8)
    pooled = jax.lax.reduce_window(values, -jnp.inf, jnp.logaddexp, window, window, "VALID")
    return pooled @ params["head"]


def angle(params, x):
    pooled = hidden(params, x).reshape(8, 2, 8).max(1)
    return jnp.arctan2(pooled, x[:8, :1]) @ params["head"]


def filled(params, x):
    rows = (99 * x[:3, 0]).astype(int)  # some are out of bounds
    return jnp.take(hidden(params, x), rows, axis=0, mode="fill", fill_value=1.0) @ params["head"]


def shared_part(params, x):
    return hidden(params, x) @ (params["head"] + params["shared"])


def shared_factor(params, x):
    return hidden(params, x) @ (params["head"] * params["shared"])


@pytest.mark.parametrize("apply", [soft_pooling, angle, filled])
def test_a_value_that_is_not_zero_is_an_obstacle(apply):
    graph = dormant.trace(apply, init(jax.random.key(0)), INPUTS)
    assert "not zero where the neuron is silent" in graph["first"].obstacle


def test_a_kernel_of_which_a_part_is_not_cut_is_an_obstacle():
    params = init(jax.random.key(0))
    graph = dormant.trace(shared_part, params, INPUTS)
    assert "are not 0 where their parameters are" in graph["first"].obstacle
    assert dormant.trace(shared_factor, params, INPUTS)["first"].obstacle is None


class Critic(nn.Module):
    """Its value has the shape of its second input."""

    @nn.compact
    def __call__(self, observations, actions):
        joined = jnp.concatenate([observations, actions], -1)
        values = [nn.Dense(1)(nn.LayerNorm()(nn.relu(nn.Dense(8)(joined)))) for _ in range(2)]
        return jnp.mean(jnp.stack(values), 0)


@pytest.mark.parametrize("name", ["alone", "named"])
def test_an_output_in_the_shape_of_an_input_is_no_statistic(name):
    critic, actions = Critic(), INPUTS[:, :1]
    params = critic.init(jax.random.key(0), INPUTS, actions)
    wrapped = {"alone": critic.apply, "named": lambda *given: {"q": critic.apply(*given)}}[name]
    graph = dormant.trace(wrapped, params, INPUTS, actions)
    assert [layer.obstacle is None for layer in graph.layers] == [False, False]
    assert graph.penultimate


class ActorCritic(nn.Module):
    """What PPO asks of it again: the actions' log-probabilities, the entropy and the value."""

    @nn.compact
    def __call__(self, x, action):
        hidden = nn.relu(nn.LayerNorm()(nn.Dense(8, name="actor")(x)))
        logits = jax.nn.log_softmax(nn.Dense(3, name="logits")(hidden))
        chosen = jnp.sum(jax.nn.one_hot(action, 3) * logits, -1)
        value = nn.Dense(1, name="value")(nn.relu(nn.Dense(8, name="critic")(x)))[..., 0]
        return chosen, -jnp.sum(jnp.exp(logits) * logits, -1), value


def test_numbers_of_each_row_in_the_shape_of_an_input_are_no_statistics():
    module, action = ActorCritic(), jnp.arange(len(INPUTS)) % 3
    params = module.init(jax.random.key(0), INPUTS, action)
    graph = dormant.trace(module.apply, params, INPUTS, action)
    assert graph["actor"].obstacle and not graph["critic"].obstacle
    assert set(graph.output_layers) == {"logits", "value"}


def test_a_memory_of_each_row_is_no_statistic():
    def remembers(params, x, memory):
        h = jax.nn.relu(x @ params["first"])
        return 0.9 * memory + 0.1 * h.mean(1, keepdims=True), h @ params["head"]

    params, memory = init(jax.random.key(0)), jnp.zeros((len(INPUTS), 1))
    graph = dormant.trace(remembers, params, INPUTS, memory)
    assert graph["first"].obstacle


def test_complex_activations_count_by_their_magnitude():
    activations = {"layer": jnp.array([[3 + 4j, 5j, 0]], jnp.complex64)}
    scores = dormant.dormancy_scores(activations)["layer"]
    np.testing.assert_allclose(scores, [1.5, 1.5, 0.0])


def test_typed_keys_among_the_parameters_are_left_as_they_are():
    params = init(jax.random.key(0)) | {"noise": jax.random.key(1)}
    graph = dormant.trace(lambda p, x: hidden(p, x) @ p["head"], params, INPUTS)
    masks = {"first": jnp.arange(8) < 2}
    fresh = init(jax.random.key(2)) | {"noise": jax.random.key(3)}
    recycled = dormant.recycle(graph, params, fresh, masks)
    np.testing.assert_array_equal(recycled["first"][:, :2], fresh["first"][:, :2])
    assert recycled["noise"] == params["noise"]

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Transformers: the neurons of their MLPs and the channels of attention values are recycled, and
the rest says why it is not."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from tests.traced_networks import check_promise, quick_compilation, recyclable

_ = quick_compilation
TOKENS = jax.random.normal(jax.random.key(1), (3, 6, 16))
HEADS, EXPERTS = 4, 3


class Attention(nn.Module):
    """Causal attention with `groups` heads of keys and values, as in grouped-query attention."""

    groups: int = HEADS

    @nn.compact
    def __call__(self, x):
        width = x.shape[-1] // HEADS
        query = nn.DenseGeneral((HEADS, width), name="query")(x)
        key = nn.DenseGeneral((self.groups, width), name="key")(x)
        value = nn.DenseGeneral((self.groups, width), name="value")(x)
        key, value = (jnp.repeat(each, HEADS // self.groups, axis=-2) for each in (key, value))
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / jnp.sqrt(width)
        allowed = jnp.tril(jnp.ones(2 * x.shape[1:2], bool))
        scores = nn.softmax(jnp.where(allowed, scores, -1e9))
        mixed = jnp.einsum("bhqk,bkhd->bqhd", scores, value)
        return nn.DenseGeneral(x.shape[-1], axis=(-2, -1), name="out")(mixed)


def mlp(x, activation=nn.relu):
    return nn.Dense(x.shape[-1], name="down")(activation(nn.Dense(24, name="up")(x)))


def gated(x):
    hidden = nn.silu(nn.Dense(24, name="gate")(x)) * nn.Dense(24, name="up")(x)
    return nn.Dense(x.shape[-1], name="down")(hidden)


class Experts(nn.Module):
    """A mixture of experts, all of which see every token."""

    @nn.compact
    def __call__(self, x):
        draw = nn.initializers.lecun_normal()
        up = self.param("up", draw, (EXPERTS, x.shape[-1], 24))
        down = self.param("down", draw, (EXPERTS, 24, x.shape[-1]))
        weights = nn.softmax(nn.Dense(EXPERTS, name="router")(x))
        hidden = nn.relu(jnp.einsum("btd,edf->btef", x, up))
        return jnp.einsum("btef,efd,bte->btd", hidden, down, weights)


class Block(nn.Module):
    """Pre-norm: the layers read a normalized copy of the residual stream."""

    attention: nn.Module
    feed_forward: callable

    @nn.compact
    def __call__(self, x):
        x = x + self.attention(nn.LayerNorm()(x))
        return x + self.feed_forward(nn.LayerNorm()(x))


class Transformer(nn.Module):
    """Two blocks and a head."""

    attention: callable = Attention
    feed_forward: callable = mlp

    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = Block(self.attention(), self.feed_forward)(x)
        return nn.Dense(5, name="head")(nn.LayerNorm()(x))


def traced(network):
    return check_promise(network.apply, lambda key: network.init(key, TOKENS), TOKENS)


def recycled(graph):
    """The last names of the layers that are, without what stands before them."""
    return {name.rpartition("/")[2] for name, is_so in recyclable(graph).items() if is_so}


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (Transformer(), {"up", "value"}),
        (Transformer(lambda: Attention(groups=2)), {"up", "value"}),
        (Transformer(lambda: nn.MultiHeadDotProductAttention(HEADS)), {"up", "value"}),
        (Transformer(feed_forward=lambda x: mlp(x, nn.gelu)), {"up", "value"}),
        (Transformer(feed_forward=gated), {"gate", "up", "value"}),
        (Transformer(feed_forward=lambda x: Experts()(x)), {"up", "value"}),
    ],
    ids=["relu", "grouped queries", "Flax's attention", "gelu", "gated", "experts"],
)
def test_mlp_neurons_and_value_channels_are_recycled(network, expected):
    assert recycled(traced(network)) == expected


def test_queries_and_keys_say_what_mixes_them():
    layers = [each for each in traced(Transformer()).layers if each.name.endswith(("query", "key"))]
    assert len(layers) == 4
    for layer in layers:
        assert "mixed by a product without a parameter" in layer.obstacle

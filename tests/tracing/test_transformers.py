# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Transformers: the neurons of their MLPs and the channels of attention values are recycled, and
the rest says why it is not."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import dormant
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
    """A mixture of experts, all of which see every token; or those that a router ranks highest."""

    chosen: int = EXPERTS

    @nn.compact
    def __call__(self, x):
        draw = nn.initializers.lecun_normal()
        up = self.param("up", draw, (EXPERTS, x.shape[-1], 24))
        down = self.param("down", draw, (EXPERTS, 24, x.shape[-1]))
        weights = nn.softmax(nn.Dense(EXPERTS, name="router")(x))
        if self.chosen < EXPERTS:
            best, number = jax.lax.top_k(weights, self.chosen)
            weights = jnp.sum(jax.nn.one_hot(number, EXPERTS) * best[..., None], axis=-2)
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
        (Transformer(feed_forward=lambda x: Experts(chosen=2)(x)), {"up", "value"}),
    ],
    ids=["relu", "grouped queries", "Flax's attention", "gelu", "gated", "experts", "top experts"],
)
def test_mlp_neurons_and_value_channels_are_recycled(network, expected):
    assert recycled(traced(network)) == expected


class Rotated(nn.Module):
    """Attention with rotary positions, or with a bias of the logits by distance."""

    rotary: bool

    @nn.compact
    def __call__(self, x):
        heads = (*x.shape[:-1], HEADS, -1)
        queries, keys, values = (
            nn.Dense(x.shape[-1], name=name)(x).reshape(heads) for name in ("query", "key", "value")
        )
        places = jnp.arange(x.shape[1])
        distance = jnp.abs(places[:, None] - places)
        if self.rotary:
            queries, keys = (_rotate(each, places) for each in (queries, keys))
        scores = jnp.einsum("bqhd,bkhd->bhqk", queries, keys) - (0 if self.rotary else distance)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", nn.softmax(scores), values)
        return nn.Dense(x.shape[-1], name="out")(mixed.reshape(x.shape))


def _rotate(x, places):
    first, second = jnp.split(x, 2, axis=-1)
    angle = places[:, None, None] / 10.0 ** jnp.arange(first.shape[-1])
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], -1)


class Joint(nn.Module):
    """Attention whose queries, keys and values come of one kernel."""

    @nn.compact
    def __call__(self, x):
        heads = (*x.shape[:-1], HEADS, -1)
        parts = jnp.split(nn.Dense(3 * x.shape[-1], name="qkv")(x), 3, -1)
        queries, keys, values = (part.reshape(heads) for part in parts)
        scores = nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", queries, keys))
        mixed = jnp.einsum("bhqk,bkhd->bqhd", scores, values)
        return nn.Dense(x.shape[-1], name="out")(mixed.reshape(x.shape))


class PostNorm(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.LayerNorm()(x + Attention()(x))
        return nn.Dense(5, name="head")(nn.LayerNorm()(x + mlp(x)))


class Vision(nn.Module):
    """Patches, a class token, positions, two blocks."""

    @nn.compact
    def __call__(self, images):
        x = nn.Conv(16, (4, 4), strides=4, name="patches")(images)
        x = x.reshape(len(x), -1, x.shape[-1])
        first = self.param("class", nn.initializers.normal(), (1, 1, 16))
        x = jnp.concatenate([jnp.tile(first, (len(x), 1, 1)), x], axis=1)
        x += self.param("positions", nn.initializers.normal(), (1, *x.shape[1:]))
        for _ in range(2):
            x = Block(Attention(), mlp)(x)
        return nn.Dense(5, name="head")(nn.LayerNorm()(x)[:, 0])


class Language(nn.Module):
    """Words in and out by one embedding, under a causal mask."""

    @nn.compact
    def __call__(self, words):
        embedding = nn.Embed(11, 16, name="embedding")
        x = embedding(words)
        for _ in range(2):
            x = Block(Attention(), mlp)(x)
        return embedding.attend(nn.LayerNorm()(x))


class NnxBlock(nnx.Module):
    def __init__(self, rngs):
        self.attention = nnx.MultiHeadAttention(HEADS, 16, decode=False, rngs=rngs)
        self.up, self.down = nnx.Linear(16, 24, rngs=rngs), nnx.Linear(24, 16, rngs=rngs)
        self.norm, self.head = nnx.LayerNorm(16, rngs=rngs), nnx.Linear(16, 5, rngs=rngs)

    def __call__(self, x):
        x += self.attention(x, mask=nnx.make_causal_mask(x[..., 0]))
        return self.head(x + self.down(nnx.gelu(self.up(self.norm(x)))))


def obstacles(network, *inputs):
    params = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    return reasons(dormant.trace(network.apply, params, *inputs))


def reasons(graph):
    return {layer.name: layer.obstacle for layer in graph.layers if layer.obstacle}


def logits(layer, other, reader):
    words = f"its neurons are summed in products with {other}, as in attention logits,"
    return {layer: f"{words} before {reader} reads them"}


def attention(number):
    query, key, out = (f"Attention_{number}/{name}" for name in ("query", "key", "out"))
    return logits(query, key, out) | logits(key, query, out)


def stream(**layers):
    return {
        name.replace("__", "/"): f"residual stream: {reader} reads it summed with {others}"
        for name, (reader, others) in layers.items()
    }


BEFORE = "Attention_0/out, Block_0/down"
TWO_BLOCKS = {
    **attention(0),
    **attention(1),
    **stream(
        Attention_0__out=("Attention_1/query", "Block_0/down"),
        Block_0__down=("Attention_1/query", "Attention_0/out"),
        Attention_1__out=("Block_1/up", BEFORE),
        Block_1__down=("head", f"{BEFORE}, Attention_1/out"),
    ),
}


@pytest.mark.parametrize("groups", [HEADS, 2])
def test_queries_keys_and_the_residual_stream_say_what_they_are(groups):
    assert obstacles(Transformer(lambda: Attention(groups)), TOKENS) == TWO_BLOCKS


def test_tied_embeddings_do_not_make_other_reasons():
    found = obstacles(Language(), jnp.zeros((2, 6), int))
    head = stream(Block_1__down=("embedding", f"{BEFORE}, Attention_1/out"))
    assert found == TWO_BLOCKS | head


def test_patches_are_part_of_the_stream():
    found = obstacles(Vision(), jnp.zeros((2, 8, 8, 3)))
    assert {name: found.pop(name) for name in attention(0)} == attention(0)
    assert found.pop("patches") == (
        "residual stream: Block_0/up reads it summed with Attention_0/out"
    )
    assert {name for name, why in found.items() if why.startswith("residual stream: ")} == {
        "Attention_0/out",
        "Block_0/down",
        "Attention_1/out",
        "Block_1/down",
    }


def test_a_post_norm_says_that_it_normalizes():
    assert obstacles(PostNorm(), TOKENS) == {
        **attention(0),
        "Attention_0/out": "residual stream: head reads it summed with down",
        "down": "residual stream: head reads it summed with Attention_0/out",
    }


def test_a_router_is_normalized():
    found = obstacles(Transformer(feed_forward=lambda x: Experts()(x)), TOKENS)
    router, down = "Block_0/Experts_0/router", "Block_0/Experts_0/down"
    assert found[router] == (
        f"its neurons are normalized or gated by a statistic over them before {down} reads them"
    )


def test_rotated_queries_are_mixed_in_pairs_and_a_bias_of_logits_mixes_nothing():
    rotary, plain = (obstacles(Transformer(lambda r=r: Rotated(r)), TOKENS) for r in (True, False))
    assert rotary["Rotated_0/query"] == (
        "its neurons are subtracted from each other before Rotated_0/out reads them"
    )
    names = ("Rotated_0/query", "Rotated_0/key")
    expected = logits(*names, "Rotated_0/out") | logits(*names[::-1], "Rotated_0/out")
    assert {name: plain[name] for name in names} == expected


def test_one_kernel_of_queries_and_keys_is_summed_in_products_with_itself():
    found = obstacles(Transformer(Joint), TOKENS)
    assert logits("Joint_0/qkv", "each other", "Joint_0/out").items() <= found.items()


def test_the_same_in_nnx():
    graphdef, state = nnx.split(NnxBlock(nnx.Rngs(0)))
    graph = dormant.trace(lambda state, x: nnx.merge(graphdef, state)(x), state, TOKENS)
    query, key, out = (f"attention/{name}" for name in ("query", "key", "out"))
    assert reasons(graph) == {
        **logits(query, key, out),
        **logits(key, query, out),
        out: "residual stream: head reads it summed with down",
        "down": f"residual stream: head reads it summed with {out}",
    }

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Random numbers of the default kind, bit for bit, in fewer and larger operations on CPU.

JAX runs Threefry on CPU as a loop, which compiles sooner; for the few numbers of one round the
loop's turns cost more than the numbers. Goes when that loop is as fast: row "unrolled keys"."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def unrolled(key: jax.Array) -> jax.Array:
    """Keys that draw, split and fold in as `key` does, to the bit, without a loop on CPU.

    For arrays of fewer than 2**32 numbers. To be compiled for a CPU; of no use elsewhere.

    Args:
      key: keys of any shape. Those of another kind than JAX's default come back as they are.

    Returns:
      Keys of the shape of `key`.
    """
    # JAX sets the attributes of its options when it is imported, where no type checker sees them.
    is_partitionable = jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]
    if jax.random.key_impl(key) != "threefry2x32" or not is_partitionable:
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_UNROLLED)


def of_kind(keys: jax.Array, kind: jax.Array) -> jax.Array:
    """The same keys as keys of the kind of `kind`: its own, or what `unrolled` makes of them."""
    return jax.random.wrap_key_data(jax.random.key_data(keys), impl=jax.random.key_impl(kind))


def holds_keys(tree: Any) -> bool:
    """Whether a leaf of a pytree of arrays holds keys."""
    return any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(tree))


def _hash(key: jax.Array, high: jax.Array, low: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Threefry-2x32 of 20 rounds (Salmon et al., 2011) of the counts (high, low), uint32."""
    first, second = key[0], key[1]
    schedule = (first, second, first ^ second ^ jnp.uint32(_PARITY))
    x, y = high + schedule[0], low + schedule[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = (y << jnp.uint32(rotation)) | (y >> jnp.uint32(32 - rotation))
            y = x ^ y
        x = x + schedule[(group + 1) % 3]
        y = y + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return x, y


def _counts(shape: Sequence[int]) -> tuple[jax.Array, jax.Array]:
    """The upper and lower halves of 0, 1, 2, ... in an array of this shape."""
    low = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return jnp.zeros_like(low), low


def _seed(seed: jax.Array) -> jax.Array:
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


def _split(key: jax.Array, shape: Sequence[int]) -> jax.Array:
    return jnp.stack(_hash(key, *_counts(shape)), axis=-1)


def _random_bits(key: jax.Array, bit_width: int, shape: Sequence[int]) -> jax.Array:
    high, low = _hash(key, *_counts(shape))
    if bit_width == 64:
        high, low = (bits.astype(jnp.uint64) for bits in (high, low))
        return (high << jnp.uint64(32)) | low
    bits = high ^ low
    return bits if bit_width == 32 else bits.astype(f"uint{bit_width}")


def _fold_in(key: jax.Array, data: jax.typing.ArrayLike) -> jax.Array:
    low = jnp.asarray(data, jnp.uint32)
    return jnp.stack(_hash(key, jnp.zeros_like(low), low))


_UNROLLED = define_prng_impl(
    key_shape=(2,), seed=_seed, split=_split, random_bits=_random_bits, fold_in=_fold_in
)

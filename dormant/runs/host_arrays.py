# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Arrays of the device on the host and back; a key is stored as its uint32 data."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Form(NamedTuple):
    """Shape, type and place of an array that may be gone; of a key, those of its data."""

    shape: tuple[int, ...]
    dtype: Any
    sharding: Any  # None for the default device
    key_implementation: Any  # None for what is no key


def is_form(node: Any) -> bool:
    """For `is_leaf` of `jax.tree`: whether a node of a tree of forms is one."""
    return isinstance(node, Form)


def forms_of(tree: Any) -> Any:
    """The forms of a tree's arrays; no array is kept."""

    def form(leaf: jax.Array) -> Form:
        data = _data(leaf)
        implementation = jax.random.key_impl(leaf) if _is_key(leaf) else None
        return Form(data.shape, data.dtype, getattr(data, "sharding", None), implementation)

    return jax.tree.map(form, tree)


def to_host(tree: Any) -> Any:
    """Fetches this process's seeds as numpy arrays, in the order of `local_seeds`; keys as uint32.

    Args:
      tree: of arrays, such as a `RunState` or `Progress`, sharded or not. Arrays without a seed
        axis come whole.
    """

    def fetch(array: jax.Array) -> np.ndarray:
        array = _data(array)
        if array.is_fully_addressable or array.is_fully_replicated:
            return np.asarray(array)
        shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start)
        return np.concatenate([np.asarray(shard.data) for shard in shards])

    return jax.tree.map(fetch, tree)


def to_device(forms: Any, arrays: Any) -> Any:
    """Reverses `to_host`.

    Args:
      forms: what `forms_of` returned for such a tree.
      arrays: a tree of the same structure.

    Raises:
      ValueError: when an array's shape or dtype is not that of its form.
    """
    return jax.tree.map(place, forms, arrays, is_leaf=is_form)


def place(form: Form, array: np.ndarray) -> jax.Array:
    """One array on the devices of its form; raises as `to_device` does."""
    whole = form.sharding is None or form.sharding.is_fully_addressable
    if array.dtype != form.dtype or (whole and array.shape != form.shape):
        raise ValueError(
            f"an array of the state must be {form.dtype} of shape {form.shape};"
            f" got {array.dtype} of shape {array.shape}"
        )
    if form.sharding is not None:
        array = jax.make_array_from_process_local_data(form.sharding, array, form.shape)
    # Copied: the state will be donated, and a NumPy array may be used in place.
    placed = jnp.array(array, copy=True)
    if form.key_implementation is None:
        return placed
    return jax.random.wrap_key_data(placed, impl=form.key_implementation)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf

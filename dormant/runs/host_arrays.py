"""Arrays of the device on the host."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def to_host(tree: Any) -> Any:
    """Fetches this process's seeds as numpy arrays, in the order of `local_seeds`; keys as uint32.

    Args:
      tree: of arrays, such as a `RunState` or `Progress`, sharded or not. Arrays without a seed
        axis come whole.
    """

    def fetch(array: jax.Array) -> np.ndarray:
        if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            array = jax.random.key_data(array)
        if array.is_fully_addressable or array.is_fully_replicated:
            return np.asarray(array)
        shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start)
        return np.concatenate([np.asarray(shard.data) for shard in shards])

    return jax.tree.map(fetch, tree)

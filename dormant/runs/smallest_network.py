# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A network on which options are checked before there is one."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

import dormant


@functools.cache
def smallest_network(wrap: Callable[..., Any] | None = None) -> dict[str, Any]:
    """What an action is given of a network with one hidden neuron, to check its options on; `wrap`
    is what makes another network of its `apply` and `init`."""

    def apply(params: Any, inputs: jax.Array) -> jax.Array:
        return inputs @ params["hidden"] @ params["output"]

    def init(key: jax.Array) -> Any:
        return {"hidden": jnp.zeros((1, 1)), "output": jnp.zeros((1, 1))}

    if wrap is not None:
        apply, init = wrap(apply, init)
    graph = dormant.trace(apply, init(jax.random.key(0)), jnp.zeros((1, 1)))
    return {"graph": graph, "init": init, "optimizer": optax.identity()}

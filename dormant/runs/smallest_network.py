# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A network on which options are checked before there is one."""

import functools
from typing import Any

import jax.numpy as jnp
import optax

import dormant


@functools.cache
def smallest_network() -> dict[str, Any]:
    """What an action is given of a network with one hidden neuron, to check its options on."""
    params = {"hidden": jnp.zeros((1, 1)), "output": jnp.zeros((1, 1))}
    graph = dormant.manual_graph(
        params,
        measure=lambda params, inputs: {"hidden": inputs @ params["hidden"]},
        wiring={"hidden": (["hidden"], ["output"])},
        output_layers=["output"],
    )
    return {"graph": graph, "init": lambda key: params, "optimizer": optax.identity()}

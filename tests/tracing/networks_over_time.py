# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What the tests of loops and branches share: parameters, a sequence, a loop that is unrolled."""

import jax
import jax.numpy as jnp

from tests.traced_networks import relu

KEY = jax.random.key(0)
SEQUENCE = jax.random.normal(jax.random.key(3), (3, 4, 7))  # batch, time, features


def init(key, **shapes):
    shapes = {
        "encoder": (7, 6),
        "inner": (6, 5),
        "out": (5, 4),
        "recurrent": (4, 6),
        "post": (4, 6),
        "head": (6, 2),
        **shapes,
    }
    keys = dict(zip(shapes, jax.random.split(key, len(shapes)), strict=True))
    return {name: jax.random.normal(keys[name], shape) for name, shape in shapes.items()}


def over_time(step, carry, xs, scanned=True):
    """`lax.scan` or the same loop unrolled; time is the first axis of `xs`."""
    if scanned:
        return jax.lax.scan(step, carry, xs)
    ys = []
    for x in xs:
        carry, y = step(carry, x)
        ys.append(y)
    return carry, jnp.stack(ys)


def after(params, h):
    return relu(h @ params["post"]) @ params["head"]

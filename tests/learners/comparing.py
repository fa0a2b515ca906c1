# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What the learners' tests share: trees of arrays compared leaf by leaf, random keys included, and
the bundles that learners take, made of flat options."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np


def bundled(name, bundle, options):
    """`options` with those that are fields of `bundle` put into one, under `name`."""
    fields = {field.name for field in dataclasses.fields(bundle)}
    inside = {option: value for option, value in options.items() if option in fields}
    outside = {option: value for option, value in options.items() if option not in fields}
    return outside | {name: bundle(**inside)}


def _numbers(leaf):
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def close(a, b, rtol=1e-5, atol=1e-6):
    """Asserts that two trees have the same structure and nearly the same numbers."""
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(_numbers(x), _numbers(y), rtol=rtol, atol=atol),
        a,
        b,
    )


def identical(a, b):
    """Asserts that two trees have the same structure and the same numbers, bit for bit."""
    close(a, b, 0, 0)

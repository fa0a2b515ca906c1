# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which units of a layer are active, linear or constant on a batch, from its activations alone.
Means run over the batch and, for a convolution, over space. NaN where an activation is NaN."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dormant.checks import check_number
from dormant.measures.measure import HIDDEN, Measure, named


def fau() -> Measure:
    """The fraction of active units: the mean over inputs and units of `1(h > 0)`, in [0, 1].

    Plasticine (Yuan et al. 2025, arXiv 2504.17490) reports it. Meant for ReLU, where a unit is
    active when its activation is above 0. It cannot tell a unit that is dead for all inputs from
    many that are each active for some.
    """
    return _share("fau", "share of inputs and units with an activation above 0", _active)


def linearized_units(share: float = 0.9) -> Measure:
    """The share of a layer's units with `P(z > 0) >= share`: they do not bend, in [0, 1].

    A rectified unit that is positive for nearly all inputs passes its pre-activation z on as it is;
    0.9 is the bound that is in use. The graph knows activations h alone, so `h > 0` stands for
    `z > 0`. That is the same for every activation function with the sign of its argument (ReLU and
    its leaky kin, ELU, GELU, SiLU, tanh), and says nothing of others, such as the sigmoid and
    softplus, of which every unit counts. Behind a normalization or a bias that the trace reads as
    part of the activation, z is what the function was given.

    Raises:
      ValueError: unless `share` lies in (0, 1].
    """
    check_number("share", share, most=1, above=0)
    return _share(
        named("linearized_units", share, 0.9),
        f"share of units with an activation above 0 on at least {share:g} of the inputs",
        lambda activation: _active(activation) >= share,
    )


def low_variability_units(tau: float = 0.025) -> Measure:
    """The share of a layer's units whose deviation is at most tau times the layer's mean deviation.

    The deviation is the standard deviation of the unit's activation, in [0, 1] the share. Unlike
    dormancy it sees a unit that is stuck at a value other than 0, as a saturated tanh is. A layer
    that does not vary at all has the share 1.

    Raises:
      ValueError: if `tau` is negative.
    """
    check_number("tau", tau, 0)

    def of(activation: jax.Array) -> jax.Array:
        axes = tuple(range(activation.ndim - 1))
        # Shares do not depend on the scale, and squares of small numbers would be 0.
        largest = jnp.max(jnp.abs(activation))
        activation = activation / jnp.where(largest > 0, largest, 1)
        # Of a constant exactly 0, whatever its mean rounds to.
        varies = jnp.max(activation, axis=axes) > jnp.min(activation, axis=axes)
        deviation = jnp.where(varies, jnp.std(activation, axis=axes), 0.0)
        return deviation <= tau * jnp.mean(deviation)

    return _share(
        named("low_variability_units", tau, 0.025),
        f"share of units whose standard deviation is at most {tau:g} of the layer's mean one",
        of,
    )


def _active(activation: jax.Array) -> jax.Array:
    """(H,): the share of inputs, and of positions, with an activation above 0."""
    axes = tuple(range(activation.ndim - 1))
    return jnp.mean(activation > 0, axis=axes, dtype=jnp.float32)


def _share(name: str, meaning: str, of: Callable[[jax.Array], jax.Array]) -> Measure:
    """The mean over the units of each hidden layer of `of(activation) -> (H,)`."""

    def mean(activation: jax.Array) -> jax.Array:
        activation = activation.astype(jnp.float32)
        found = jnp.mean(of(activation), dtype=jnp.float32)
        return jnp.where(jnp.any(jnp.isnan(activation)), jnp.nan, found)

    def measure(graph, inputs):
        return {name: mean(inputs.activations[name]) for name in graph.names}

    return Measure(name, meaning, HIDDEN, measure)

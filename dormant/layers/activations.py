# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Activation functions that keep plasticity. All are pure functions of arrays (..., H) of any
floating dtype, which the result keeps; `dormant.trace` follows each of them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dormant.checks import check_function, check_number

Activation = Callable[[jax.Array], jax.Array]


def concatenated_relu(x: jax.Array) -> jax.Array:
    """CReLU, `[relu(x), relu(-x)]` on the last axis (Abbas et al. 2023, 2303.07507).

    One half always has a gradient. What reads it has twice the weights.

    For ReDo: a neuron of the graph is one pre-activation with both of its halves, and its mean
    activation is half of `E|x|`. It is silent only where the pre-activation is 0 on the whole
    batch, which hardly happens: dormancy scores find neurons whose pre-activations are all small,
    not those that have stopped learning. A neuron whose sign never changes is linear and keeps its
    gradient; `parts.gradient_score()` finds those that nothing reads.

    Args:
      x: (..., H).

    Returns:
      (..., 2 H).
    """
    return jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)], axis=-1)


def deep_fourier_features(x: jax.Array) -> jax.Array:
    """`[sin(x), cos(x)]` on the last axis (Lewandowski et al. 2024, 2410.20634).

    Wherever one half is flat, the other is close to linear. What reads it has twice the weights.

    For ReDo: cos(0) = 1, so that no neuron is ever silent, and `|sin x| + |cos x|` lies between 1
    and 1.42 whatever x is. Dormancy scores therefore lie between 0.7 and 1.42 and find nobody at
    the usual taus; at tau = 0 a recycle changes nothing. Of a neuron that is constant on the batch,
    `parts.variability_score` and the contribution scores see the two halves together, which differ
    where neither varies: it is not at 0 either. It keeps its gradient, so that it can learn;
    `parts.gradient_score()` finds the neurons that get none, as nothing reads them.

    Args:
      x: (..., H), in radians.

    Returns:
      (..., 2 H).
    """
    return jnp.concatenate([jnp.sin(x), jnp.cos(x)], axis=-1)


def adaptive_linear(
    x: jax.Array,
    alpha: jax.Array | float,
    activation: Activation = jax.nn.relu,
    *,
    lipschitz: float = 1.0,
) -> jax.Array:
    """AdaLin: adds a learned linear part where the activation is flat (Rohani et al. 2025).

    `activation(x) + alpha x g(x)` with the gate `g(x) = cos(pi/2 |activation'(x)| / lipschitz)`,
    through which no gradient flows (2505.09486). The gate is 1 where the activation is flat and 0
    where it is steepest; with relu the result is PReLU with a slope for each neuron.

    For ReDo: 0 stays 0, so that silent neurons can be recycled, `alpha` with them. With an alpha
    that is not 0 a neuron is silent only where its pre-activation is, and dormancy scores compare
    sizes. A saturated neuron of tanh is not small: score with `parts.variability_score`.

    Args:
      x: (..., H).
      alpha: (H,), or anything that broadcasts against x; the layers of `dormant.layers.linen` and
        `dormant.layers.nnx` learn it.
      activation: elementwise, such as relu or tanh.
      lipschitz: its largest slope: 1 for relu and tanh, about 1.13 for gelu, 1.1 for swish.

    Raises:
      ValueError: if `activation` is no function or `lipschitz` is not above 0.
    """
    check_function("activation", activation, "(x)", 1)
    check_number("lipschitz", lipschitz, above=0)
    value, slope = jax.jvp(activation, (x,), (jnp.ones_like(x),))
    # The cosine as a sine, which is exactly 0 where the slope is the largest.
    gate = jnp.sin(jnp.pi / 2 * (1 - jnp.abs(slope) / lipschitz))
    return value + jnp.asarray(alpha, x.dtype) * x * jax.lax.stop_gradient(gate)


def smooth_leaky_relu(
    x: jax.Array, alpha: float = 0.1, *, c: float = 5.0, p: float = 3.0
) -> jax.Array:
    """Smooth-Leaky, `alpha x + (1 - alpha) x sigmoid(c x / p)` (Lillo & Cheney 2025, 2509.22562).

    A leaky relu of slope `alpha` without its kink.

    For ReDo: 0 stays 0, so that silent neurons can be recycled, but no other input gives 0: nobody
    is silent in practice, and dormancy scores at tau > 0 find neurons whose values are all small,
    such as those that are always on the negative side. These still learn at the slope `alpha`;
    `parts.gradient_score()` says how much, `parts.variability_score` what they tell of the input.

    Args:
      x: any shape.
      alpha: slope of the negative side, in [0, 1].
      c, p: the larger `c / p`, above 0, the sharper the bend.

    Raises:
      ValueError: if an option is not valid.
    """
    check_number("alpha", alpha, 0, 1)
    check_number("c", c, above=0)
    check_number("p", p, above=0)
    return alpha * x + (1 - alpha) * x * jax.nn.sigmoid(c / p * x)


def interval_dropout(x: jax.Array, key: jax.Array | None = None, *, p: float = 0.9) -> jax.Array:
    """AID, activation by interval-wise dropout (Park et al. 2025, 2502.01342): the simplified form.

    In training each element is relu(x) with probability p and else -relu(-x): positive values are
    kept with probability p, negative ones with 1 - p. Without a key it is the mean of that,
    `p relu(x) - (1 - p) relu(-x)`. p = 1 is relu, p = 0.5 linear in the mean.

    For ReDo: trace and score the form without a key. 0 stays 0, so that silent neurons can be
    recycled, but with p < 1 a neuron is silent only where its pre-activation is 0 on the whole
    batch; dormancy scores at tau > 0 find those whose values are mostly negative or small.

    Args:
      x: any shape.
      key: of this call, consumed; None to evaluate.
      p: in [0, 1]; 0.9 to 0.999 in use.

    Raises:
      ValueError: if `p` lies outside [0, 1].
    """
    check_number("p", p, 0, 1)
    if key is None:
        return p * jax.nn.relu(x) - (1 - p) * jax.nn.relu(-x)
    kept = jax.random.bernoulli(key, p, x.shape)
    return jnp.where(kept, jax.nn.relu(x), -jax.nn.relu(-x))

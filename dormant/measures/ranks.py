# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Five ranks of the features that an output layer reads, from one decomposition.

The features of a batch are a matrix of B rows and d columns, not centred; s are its singular
values, descending. Every rank is at most min(B, d): with fewer rows than columns it says what the
batch can show, not what the network can do (`rank_cap`). All are 0 for features that are all 0 and
NaN where one is not finite. None sees whether what it counts is of any use to the output.
Those that count are whole numbers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dormant.checks import check_number
from dormant.measures.measure import PENULTIMATE, SINGULAR_VALUES, Measure, named
from dormant.measures.spectra import effective_rank_of, feature_shape, srank_of


def srank(delta: float = 0.01) -> Measure:
    """The least k with `s_1 + … + s_k >= (1 - delta) (s_1 + … + s_d)`.

    Kumar et al., ICLR 2021, section 3, where delta is 0.01; `network_metrics` calls it the
    effective rank, as the paper's table 7 does. Does not change when the features are scaled.

    Raises:
      ValueError: unless `delta` lies in (0, 1).
    """
    check_number("delta", delta, above=0, below=1)
    return _rank(
        named("srank", delta, 0.01),
        f"least number of singular values that sum to {1 - delta:.6g} of all (Kumar et al. 2021)",
        lambda values, _: srank_of(values, delta),
    )


def effective_rank() -> Measure:
    """`exp(-Σ p log p)` with `p = s / Σ s`: between 1 and min(B, d), not whole.

    Roy and Vetterli, EUSIPCO 2007, definition 2.1. Does not change when the features are scaled.
    """
    return _rank(
        "effective_rank",
        "exponential of the entropy of the singular values over their sum (Roy and Vetterli 2007)",
        lambda values, _: effective_rank_of(values),
    )


def stable_rank() -> Measure:
    """`Σ s² / s_1²`, the squared Frobenius norm over the squared spectral norm; not whole.

    Rudelson and Vershynin 2007. A few large directions, such as a common mean of the features,
    bring it near 1 whatever the others do. Does not change when the features are scaled.
    """
    return _rank(
        "stable_rank",
        "sum of the squared singular values over the largest (Rudelson and Vershynin 2007)",
        lambda values, _: jnp.sum(_squares(values)),
    )


def pca_rank(variance: float = 0.99) -> Measure:
    """The least k with `s_1² + … + s_k² >= variance (s_1² + … + s_d²)`.

    Yang et al. 2020 (arXiv 1909.12255), the approximate rank, as Moalla et al. 2024 take it of
    features: without centring, so "variance" is about 0. Does not change when the features are
    scaled.

    Raises:
      ValueError: unless `variance` lies in (0, 1).
    """
    check_number("variance", variance, above=0, below=1)
    return _rank(
        named("pca_rank", variance, 0.99),
        f"least number of squared singular values that sum to {variance:.6g} of all"
        " (Yang et al. 2020)",
        lambda values, _: srank_of(_squares(values), 1 - variance),
    )


def feature_rank(epsilon: float = 0.01) -> Measure:
    """How many singular values of the features over the square root of B exceed epsilon.

    Lyle et al. 2022 (arXiv 2204.09560), equations 4 and 5. Unlike the other ranks it falls when the
    features shrink.

    Raises:
      ValueError: unless `epsilon` is above 0.
    """
    check_number("epsilon", epsilon, above=0)

    def of(values: jax.Array, rows: int) -> jax.Array:
        large = jnp.sum(values > epsilon * jnp.sqrt(jnp.float32(rows)), dtype=jnp.float32)
        return jnp.where(jnp.isfinite(values[0]), large, jnp.nan)

    return _rank(
        named("feature_rank", epsilon, 0.01),
        f"singular values over the square root of the rows that exceed {epsilon:.6g}"
        " (Lyle et al. 2022)",
        of,
    )


def _rank(name: str, meaning: str, of: Callable[[jax.Array, int], jax.Array]) -> Measure:
    def measure(graph, inputs):
        return {
            layer: of(values, feature_shape(inputs.activations[layer])[0])
            for layer, values in inputs.singular_values.items()
        }

    return Measure(name, meaning, PENULTIMATE, measure, frozenset({SINGULAR_VALUES}), capped=True)


def _squares(values: jax.Array) -> jax.Array:
    """The squares over the largest, which cannot overflow."""
    return jnp.square(values / jnp.where(values[0] > 0, values[0], 1.0))

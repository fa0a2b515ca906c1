# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How a network's outputs change: on the same inputs, and with the parameters.

These measures are made with the network's own `apply(params, *inputs)`, which need not be what was
traced: of a distributional network, for example, one that returns the Q-values."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dormant.checks import check_count, check_function
from dormant.measures.examples import examples_of, one_by_one
from dormant.measures.measure import APPLY, NETWORK, PREVIOUS, Measure, MeasureInputs
from dormant.measures.spectra import effective_rank_of

Apply = Callable[..., jax.Array]


def churn(apply: Apply) -> Measure:
    """The mean of `|f(x) - f_before(x)|` over the measured inputs and all outputs.

    Tang et al. 2025 (arXiv 2506.00592): how far the outputs move on inputs that an update was not
    made for. There f_before is one update earlier; here it has the parameters of the measurement
    before, as of `update_norm`, so that it grows with the period and with what was meant to be
    learned. At least 0, in the unit of the outputs.

    Args:
      apply: `apply(params, *inputs) -> (B, …)`.

    Raises:
      ValueError: unless `apply` is a function.
    """
    check_function("apply", apply)

    def measure(graph, inputs):
        after, before = _after_and_before(apply, inputs)
        return jnp.mean(jnp.abs(after - before))

    return Measure(
        "churn",
        "mean absolute change of the outputs since the measurement before (Tang et al. 2025)",
        NETWORK,
        measure,
        frozenset({APPLY, PREVIOUS}),
    )


def greedy_action_changes(apply: Apply) -> Measure:
    """The share of the inputs with another greedy action than at the measurement before.

    Of Q-values or logits: the largest of the last axis, the first where several are. In [0, 1]. It
    sees no change that leaves the order alone, and a tiny one between near ties. Otherwise as
    `churn`, source, arguments and errors too.
    """
    check_function("apply", apply)

    def measure(graph, inputs):
        after, before = _after_and_before(apply, inputs)
        changes = jnp.mean(jnp.argmax(after, -1) != jnp.argmax(before, -1), dtype=jnp.float32)
        return jnp.where(jnp.all(jnp.isfinite(after + before)), changes, jnp.nan)

    return Measure(
        "greedy_action_changes",
        "share of the inputs whose greedy action changed since the measurement before"
        " (Tang et al. 2025)",
        NETWORK,
        measure,
        frozenset({APPLY, PREVIOUS}),
    )


def ntk_rank(apply: Apply, rows: int = 32) -> Measure:
    """The effective rank (Roy and Vetterli) of the empirical neural tangent kernel.

    `K_ij = ∇f(x_i) · ∇f(x_j)` over all parameters, f the sum of the outputs for one input; its rank
    is that of its eigenvalues, as `effective_rank` takes it of singular values. Tang et al. 2025
    (arXiv 2506.00592) follow the rank of this kernel; Wang et al. 2026 (arXiv 2605.09044) show
    networks that cannot be trained although it is high. The sum over outputs does not see
    directions in which they cancel. It is at most `rows`, and 0 where no gradient is other than 0.

    Args:
      apply: `apply(params, *inputs) -> (B, …)`.
      rows: inputs that are used, the first ones; each takes memory for a gradient.

    Raises:
      ValueError: unless `apply` is a function and `rows` a whole number of at least 1; when
        measured, if no input has rows.
    """
    check_function("apply", apply)
    check_count("rows", rows, 1)

    def output(params: Any, *inputs: Any) -> jax.Array:
        return jnp.sum(jnp.asarray(apply(params, *inputs), jnp.float32))

    def measure(graph, inputs):
        gradients = one_by_one(output, inputs.params, examples_of(output, inputs, rows))
        scale = jnp.max(jnp.abs(gradients))
        gradients = gradients / jnp.where(scale > 0, scale, 1.0)
        kernel = jnp.matmul(gradients, gradients.T, precision=jax.lax.Precision.HIGHEST)
        eigenvalues = jnp.linalg.eigvalsh(jnp.where(jnp.isfinite(scale), kernel, 0.0))
        rank = effective_rank_of(jnp.maximum(eigenvalues, 0.0))
        return jnp.where(jnp.isfinite(scale), rank, jnp.nan)

    return Measure(
        "ntk_rank",
        "effective rank of the products of the outputs' gradients for single inputs"
        " (Tang et al. 2025)",
        NETWORK,
        measure,
        frozenset({APPLY}),
        expensive=True,
    )


def _after_and_before(apply: Apply, inputs: MeasureInputs) -> tuple[jax.Array, jax.Array]:
    """The outputs on the measured inputs in float32, now and with the parameters before."""
    after, before = (
        jnp.asarray(apply(params, *inputs.inputs), jnp.float32)
        for params in (inputs.params, inputs.previous)
    )
    return after, before

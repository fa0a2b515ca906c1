# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How the gradients of single inputs agree, and how sharply the loss is curved.

These measures are made with a loss, `loss(params, *inputs) -> ()`, the mean over the rows of the
measured inputs. What else it needs, such as targets, it has from its closure or makes itself."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dormant.checks import check_count, check_function
from dormant.measures.examples import examples_of, flat_parameters, one_by_one
from dormant.measures.measure import LOSS, NETWORK, Measure

Loss = Callable[..., jax.Array]


def gradient_covariance(loss: Loss, rows: int = 32) -> Measure:
    """The mean of `g_i · g_j / (‖g_i‖ ‖g_j‖)` over pairs of different inputs, in [-1, 1].

    Lyle et al. 2023 (arXiv 2303.01486) draw this matrix. Near 1 the gradients are collinear: what
    is learned of one input is done to all. Near 0 each input has its own. Pairs with a gradient
    that is 0 do not count; NaN where there is no pair. The mean does not tell clusters from noise.

    Args:
      loss: `loss(params, *inputs) -> ()`, called with one row at a time.
      rows: inputs that are used, the first ones; each takes memory for a gradient.

    Raises:
      ValueError: unless `loss` is a function and `rows` a whole number of at least 2; when
        measured, if no input has rows.
    """
    check_function("loss", loss)
    check_count("rows", rows, 2)

    def measure(graph, inputs):
        gradients = one_by_one(loss, inputs.params, examples_of(loss, inputs, rows))
        largest = jnp.max(jnp.abs(gradients), axis=1, keepdims=True)
        scaled = gradients / jnp.where(largest > 0, largest, 1.0)
        norms = jnp.linalg.norm(scaled, axis=1, keepdims=True)
        units = scaled / jnp.where(norms > 0, norms, 1.0)
        # Of n unit vectors: |their sum|^2 = n + the sum over ordered pairs.
        count = jnp.sum(largest > 0, dtype=jnp.float32)
        pairs = jnp.sum(jnp.square(jnp.sum(units, axis=0))) - count
        known = (count > 1) | jnp.isnan(pairs)
        return jnp.where(known, pairs / jnp.maximum(count * (count - 1), 1.0), jnp.nan)

    return Measure(
        "gradient_covariance",
        "mean cosine between the gradients for different inputs (Lyle et al. 2023)",
        NETWORK,
        measure,
        frozenset({LOSS}),
        expensive=True,
    )


def optimization_readiness(loss: Loss, rows: int = 64, batch: int = 4) -> Measure:
    """`(‖g‖² / L) (‖g‖² / E‖g_B‖²)`: the strength of the gradient times its reliability.

    Wang et al. 2026 (arXiv 2605.09044), who show that it bounds what one step can gain of the loss
    L >= 0. g is the gradient on all used rows, g_B that on a batch of `batch` of them; the paper
    draws 128 batches of 4 from 10 000 rows with replacement, here they are the disjoint groups of
    the used rows. The reliability lies in [0, 1], the product is at least 0. 0 where the loss or
    its gradient is 0; NaN of fewer rows than a batch has. With few rows g is noisy itself, which
    makes the reliability too high.

    Args:
      loss: `loss(params, *inputs) -> ()`, at least 0, a mean over rows.
      rows: inputs that are used, the first ones, in whole batches; each batch takes memory for a
        gradient.
      batch: rows of a batch.

    Raises:
      ValueError: unless `loss` is a function and the others whole numbers of at least 1, `rows` no
        less than `batch`; when measured, if no input has rows.
    """
    check_function("loss", loss)
    check_count("batch", batch, 1)
    check_count("rows", rows, int(batch))

    def measure(graph, inputs):
        used = examples_of(loss, inputs, rows, batch)
        gradients = one_by_one(loss, inputs.params, used, batch)
        if not len(gradients):
            return jnp.nan
        value = jnp.asarray(loss(inputs.params, *used.inputs), jnp.float32)
        whole = jnp.sum(jnp.square(jnp.mean(gradients, axis=0)))
        expected = jnp.mean(jnp.sum(jnp.square(gradients), axis=1))
        is_zero = (value == 0) | (expected == 0)
        strength = whole / jnp.where(is_zero, 1.0, value)
        return jnp.where(is_zero, 0.0, strength * (whole / jnp.where(is_zero, 1.0, expected)))

    return Measure(
        "optimization_readiness",
        "strength times reliability of the gradient, which bounds the gain of one step"
        " (Wang et al. 2026)",
        NETWORK,
        measure,
        frozenset({LOSS}),
        expensive=True,
    )


def hessian_eigenvalue(loss: Loss, iterations: int = 10) -> Measure:
    """The largest eigenvalue of the loss's Hessian in the parameters, by Lanczos' iteration.

    The sharpness that Lyle et al. 2023 (arXiv 2303.01486) follow. Each iteration is one product of
    the Hessian with a vector, from the same random start at every measurement; every vector is kept
    and made orthogonal to all before. The value is a Rayleigh quotient: it never lies above the
    largest eigenvalue and reaches it from below as the iterations grow. It sees no curvature that
    lies in the kinks of ReLU. Below 0 where the loss curves down in all directions.

    Args:
      loss: `loss(params, *inputs) -> ()`, twice differentiable.
      iterations: products with the Hessian; as many copies of the parameters are kept.

    Raises:
      ValueError: unless `loss` is a function and `iterations` a whole number of at least 1.
    """
    check_function("loss", loss)
    check_count("iterations", iterations, 1)

    def measure(graph, inputs):
        vector, tree = flat_parameters(inputs.params)
        gradient = jax.grad(lambda vector: loss(tree(vector), *inputs.inputs).astype(jnp.float32))
        _, product = jax.linearize(gradient, vector)
        start = jax.random.normal(jax.random.key(0), vector.shape, vector.dtype)
        start = start / jnp.linalg.norm(start)
        return _largest_eigenvalue(product, start, min(iterations, vector.size))

    return Measure(
        "hessian_eigenvalue",
        "largest eigenvalue of the loss's Hessian (Lyle et al. 2023)",
        NETWORK,
        measure,
        frozenset({LOSS}),
        expensive=True,
    )


def _largest_eigenvalue(
    product: Callable[[jax.Array], jax.Array], start: jax.Array, iterations: int
) -> jax.Array:
    """Of a symmetric matrix, of which `product` takes products with vectors."""
    basis = [start]
    diagonal: list[jax.Array] = []
    off_diagonal: list[jax.Array] = []
    size, reached = jnp.float32(0), jnp.bool_(True)
    # Not a `lax.scan`, in which XLA takes nine times as long for convolutions on a CPU.
    for _ in range(iterations):
        image = product(basis[-1])
        # Beyond an exhausted space a row would add the eigenvalue 0.
        diagonal.append(jnp.where(reached, basis[-1] @ image, diagonal[0] if diagonal else 0.0))
        for vector in basis * 2:  # once leaves what rounding put in
            image = image - (vector @ image) * vector
        length = jnp.linalg.norm(image)
        size = jnp.maximum(size, jnp.maximum(jnp.abs(diagonal[-1]), length))
        # The space is exhausted where nothing but rounding is left.
        reached = reached & ~(length <= 1e-5 * size)
        off_diagonal.append(jnp.where(reached, length, 0.0))
        basis.append(jnp.where(reached, image / jnp.where(reached, length, 1.0), 0.0))
    sides = jnp.stack(off_diagonal)[:-1]
    bands = jnp.diag(jnp.stack(diagonal)) + jnp.diag(sides, 1) + jnp.diag(sides, -1)
    known = jnp.all(jnp.isfinite(bands))
    largest = jnp.linalg.eigvalsh(jnp.where(known, bands, 0.0))[-1]
    return jnp.where(known, largest, jnp.nan)

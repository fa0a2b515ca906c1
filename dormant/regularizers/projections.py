# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Projections of the kernels after every step: on a box, or on a sphere."""

import math

import jax
import jax.numpy as jnp
import optax

from dormant.checks import check_choice, check_number
from dormant.graph import NeuronGraph
from dormant.interventions.structures import check_optimizer
from dormant.regularizers.kernels import Kernel, precise, transform_kernels

BOUNDS = ("fan_in", "initial")


def weight_clipping(
    optimizer: optax.GradientTransformation,
    graph: NeuronGraph,
    kappa: float = 1.0,
    *,
    bound: str = "fan_in",
    output_layers: bool = True,
) -> optax.GradientTransformation:
    """Clips every weight after each step (Elsayed, Lan, Lyle & Mahmood, RLC 2024, arXiv
    2407.01704).

    The weights of a kernel stay within `kappa` times the bound of the distribution that they are
    initialized from. The authors' code clips biases to the bound of their layer besides; here
    biases and normalization parameters are left alone.

    Args:
      optimizer: any optax transformation.
      graph: the network's neuron graph.
      kappa: above 0.
      bound: `"fan_in"`, the authors' `1 / sqrt(fan-in)`, where PyTorch's uniform distribution ends
        (Flax's default initializers reach further, up to 2.3 times, and are clipped at the first
        step); or `"initial"`, the largest absolute value that the kernel has in `init`. A kernel
        that is 0 there is not clipped.
      output_layers: whether the kernels of output layers are clipped too.

    Raises:
      ValueError: if an option is not valid; from `init` and `update`, if the parameters are not the
        graph's.
    """
    check_optimizer(optimizer)
    check_number("kappa", kappa, above=0)
    check_choice("bound", bound, BOUNDS)

    def begin(kernel: Kernel, array: jax.Array) -> jax.Array:
        matrix = kernel.matrix(array)
        if bound == "fan_in":
            return jnp.full((), kappa / math.sqrt(kernel.fan_in), matrix.dtype)
        largest = jnp.max(jnp.abs(matrix))
        return jnp.where(largest > 0, kappa * largest, jnp.inf)

    def change(kernel, limit, array, update, step):
        allowed = kernel.where(limit, jnp.inf)
        new = precise(array) + precise(update)
        clipped = jnp.clip(new, -allowed, allowed)
        # A weight that is not clipped takes the optimizer's own step, to the bit.
        return jnp.where(clipped == new, precise(update), clipped - precise(array)), limit

    clip = transform_kernels(graph, change, begin, output_layers=output_layers)
    return optax.chain(optimizer, clip)


def norm_projection(
    optimizer: optax.GradientTransformation,
    graph: NeuronGraph,
    *,
    output_layers: bool = False,
) -> optax.GradientTransformation:
    """Scales every kernel back to its initial Euclidean norm after each step: the projection of
    Normalize-and-Project (NaP; Lyle et al., NeurIPS 2024, arXiv 2407.01800).

    It keeps the effective learning rate constant, but only where the scale of a kernel does not
    change the network: NaP has a normalization without bias before it, such as `nn.LayerNorm`
    between every kernel of a hidden layer and its activation, which is the network's part and not
    done here. What an output layer puts out does depend on its scale, hence the default. Scales and
    offsets of normalization layers, which the paper regularizes or normalizes, are left alone.

    A recycle leaves the norms that are kept as they are: the next step scales the whole kernel, of
    which some columns are fresh and some rows 0.

    Args:
      optimizer: any optax transformation.
      graph: the network's neuron graph.
      output_layers: whether the kernels of output layers are projected too.

    Returns:
      A transformation whose state keeps the norm of each kernel in `init`. A kernel that is 0 there
      is left alone, as it could never learn.

    Raises:
      ValueError: if an option is not valid; from `init` and `update`, if the parameters are not the
        graph's.
    """
    check_optimizer(optimizer)

    def begin(kernel: Kernel, array: jax.Array) -> jax.Array:
        return jnp.linalg.norm(kernel.matrix(array))

    def change(kernel, initial, array, update, step):
        new = precise(array) + precise(update)
        norm = jnp.linalg.norm(kernel.matrix(new))
        possible = (initial > 0) & (norm > 0)
        factor = jnp.where(possible, initial / jnp.where(possible, norm, 1), 1)
        return new * kernel.where(factor, 1) - precise(array), initial

    project = transform_kernels(graph, change, begin, output_layers=output_layers)
    return optax.chain(optimizer, project)

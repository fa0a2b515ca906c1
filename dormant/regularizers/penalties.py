# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Penalties on the parameters, as gradients before the optimizer or as steps beside it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dormant.checks import check_count, check_number
from dormant.graph import NeuronGraph
from dormant.interventions.decay import check_decay
from dormant.interventions.structures import check_optimizer, check_params
from dormant.interventions.timing import value_at
from dormant.regularizers.kernels import Kernel, precise, transform_kernels


class L2InitState(NamedTuple):
    """State of `l2_init`'s own part.

    Attributes:
      step: int32 (), updates so far.
      initial: the parameters at initialization, same structure, shapes and dtypes.
    """

    step: jax.Array
    initial: Any


def l2_init(
    optimizer: optax.GradientTransformation,
    coefficient: float,
    *,
    kind: str = "l2",
    learning_rate: float | optax.Schedule | None = None,
) -> optax.GradientTransformation:
    """Pulls every parameter toward its initial value: L2 Init, or regenerative regularization
    (Kumar, Marklund & Van Roy, arXiv 2308.11958).

    `"l2"` is the paper's: it adds the gradient of `coefficient * ||params - initial||^2`, which is
    `2 * coefficient * (params - initial)`, so that it passes through the moments. `"decoupled"`
    subtracts `learning_rate * coefficient * (params - initial)` from the optimizer's own update, as
    `dormant.weight_decay` does with its kind of that name.

    The initial values are those that `init` is given. When neurons are recycled, the values of the
    rewritten entries are replaced by what the recycle wrote, as `dormant.reset_moments` makes an
    entry's state what `init` of the new parameters holds there: fresh weights are pulled to
    themselves, outgoing ones to 0, not back to the neuron that died. Outside of a recycle these
    values never change.

    Args:
      optimizer: any optax transformation.
      coefficient: at least 0; 0 returns the optimizer itself.
      kind: `"l2"` or `"decoupled"`.
      learning_rate: of the optimizer, for `"decoupled"` only: a number or a schedule of its steps.

    Raises:
      ValueError: if an option is not valid; from `update`, if `params` is None.
    """
    check_decay(optimizer, coefficient, kind, learning_rate)
    if coefficient == 0:
        return optimizer

    def init(params: optax.Params) -> L2InitState:
        # Copies, so that parameters and state can both be donated.
        return L2InitState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, params))

    def update(updates, state: L2InitState, params=None):
        check_params(params)
        factor = 2 * coefficient
        if kind == "decoupled":
            factor = -coefficient * _rate(learning_rate, state.step)

        def pulled(update: jax.Array, param: jax.Array, initial: jax.Array) -> jax.Array:
            return _plus(update, factor * (precise(param) - precise(initial)))

        updates = jax.tree.map(pulled, updates, params, state.initial)
        return updates, L2InitState(optax.safe_increment(state.step), state.initial)

    pull = optax.GradientTransformation(init, update)
    return optax.chain(pull, optimizer) if kind == "l2" else optax.chain(optimizer, pull)


def spectral_regularization(
    optimizer: optax.GradientTransformation,
    graph: NeuronGraph,
    coefficient: float,
    *,
    power: int = 2,
    iterations: int = 1,
    output_layers: bool = True,
) -> optax.GradientTransformation:
    """Keeps the largest singular value of every kernel close to 1 (Lewandowski et al., ICLR 2025,
    arXiv 2406.06811).

    Adds the gradient of `coefficient * sum((sigma ** power - 1) ** 2)` over the kernels. Sigma and
    its singular vectors come from power iteration; the right vector is state and goes on from step
    to step, so that the first steps take sigma for smaller than it is. It starts in a fixed
    direction: nothing is random. The paper also pulls biases to 0, for which there is
    `dormant.weight_decay` in `optax.masked`.

    Args:
      optimizer: any optax transformation.
      graph: the network's neuron graph.
      coefficient: at least 0; 0 returns the optimizer itself.
      power: k in the formula, at least 1.
      iterations: of the power method, per step.
      output_layers: whether the kernels of output layers are regularized too.

    Raises:
      ValueError: if an option is not valid; from `init` and `update`, if the parameters are not the
        graph's.
    """
    check_optimizer(optimizer)
    check_number("coefficient", coefficient, 0)
    check_count("power", power, 1)
    check_count("iterations", iterations, 1)

    def begin(kernel: Kernel, array: jax.Array) -> jax.Array:
        matrix = kernel.matrix(array)
        right = jax.random.normal(jax.random.key(0), matrix.shape[1:], matrix.dtype)
        if kernel.groups == 1:
            return _unit(right)
        return jax.vmap(_unit)(right.reshape(kernel.groups, -1))

    def gradient(matrix: jax.Array, right: jax.Array) -> tuple[jax.Array, jax.Array]:
        def iterate(_: Any, right: jax.Array) -> jax.Array:
            image = _unit(matrix @ right) @ matrix
            return jnp.where(jnp.any(image != 0), _unit(image), right)  # zeros have no direction

        right = jax.lax.fori_loop(0, iterations, iterate, right)
        left = matrix @ right
        sigma = jnp.linalg.norm(left)
        slope = 2 * power * (sigma**power - 1) * sigma ** (power - 1)
        return coefficient * slope * jnp.outer(_unit(left), right), right

    def change(kernel, right, array, update, step):
        pull, right = kernel.of_each_group(gradient)(kernel.matrix(array), right)
        return _plus(update, kernel.array(pull)), right

    penalty = transform_kernels(graph, change, begin, output_layers=output_layers)
    return optimizer if coefficient == 0 else optax.chain(penalty, optimizer)


def parseval_regularization(
    optimizer: optax.GradientTransformation,
    graph: NeuronGraph,
    coefficient: float,
    *,
    scale: float = 2.0,
    output_layers: bool = False,
) -> optax.GradientTransformation:
    """Keeps the weight vectors of a layer's neurons orthogonal and of one norm (Chung, Cherif,
    Meger & Precup, NeurIPS 2024, arXiv 2412.07224).

    Adds the gradient of `coefficient * sum(||W W^T - scale * I||_F^2)`, where the rows of W are the
    neurons: W is the transpose of Flax's kernel K (fan-in, fan-out). The gradient by K is `4 K (K^T
    K - scale * I)`. It is the same by whichever side is multiplied out, as the two penalties differ
    by a constant, so that a kernel with more neurons than inputs becomes one with orthogonal rows;
    the smaller side is computed. The authors' code multiplies the coefficient by (64 / width)^2,
    which is left to the caller here.

    Args:
      optimizer: any optax transformation.
      graph: the network's neuron graph.
      coefficient: at least 0; 0 returns the optimizer itself.
      scale: s in the formula, the squared gain of an orthogonal initializer; the authors' is 2.
      output_layers: whether the kernels of output layers are regularized too.

    Raises:
      ValueError: if an option is not valid; from `init` and `update`, if the parameters are not the
        graph's.
    """
    check_optimizer(optimizer)
    check_number("coefficient", coefficient, 0)
    check_number("scale", scale, above=0)

    def change(kernel, kept, array, update, step):
        gradient = coefficient * _gram_gradient(kernel, array, scale)
        return _plus(update, kernel.array(gradient)), kept

    penalty = transform_kernels(graph, change, output_layers=output_layers)
    return optimizer if coefficient == 0 else optax.chain(penalty, optimizer)


def isometry_decay(
    optimizer: optax.GradientTransformation,
    graph: NeuronGraph,
    coefficient: float,
    *,
    learning_rate: float | optax.Schedule | None = None,
    output_layers: bool = True,
) -> optax.GradientTransformation:
    """Decays every kernel toward an isometry, beside the optimizer: with Adam it is AdamO (Rosseau,
    Müller & Nowé, ICML 2026, arXiv 2606.09762).

    Subtracts `learning_rate * coefficient * r` from the optimizer's own update, where r is the
    gradient of `||K^T K - I||_F^2`, or of `||K K^T - I||_F^2` where that is the smaller side. The
    moments see the gradient of the task alone. The formula follows a published summary of the
    paper and public reimplementations, not the paper's own text: what it does with
    convolutions, here matrices (fan-in, fan-out), and with output layers is not verified.

    Args:
      optimizer: any optax transformation.
      graph: the network's neuron graph.
      coefficient: at least 0; 0 returns the optimizer itself. With singular values up to sigma,
        `learning_rate * coefficient` must stay well below `1 / (4 sigma^2)`, else it diverges.
      learning_rate: the optimizer's, a number or a schedule of its steps; None for 1.
      output_layers: whether the kernels of output layers decay too.

    Raises:
      ValueError: if an option is not valid; from `init` and `update`, if the parameters are not the
        graph's.
    """
    check_decay(optimizer, coefficient, "decoupled", learning_rate)

    def change(kernel, kept, array, update, step):
        rate = coefficient * _rate(learning_rate, step)
        return _plus(update, kernel.array(-rate * _gram_gradient(kernel, array, 1.0))), kept

    decay = transform_kernels(graph, change, output_layers=output_layers)
    return optimizer if coefficient == 0 else optax.chain(optimizer, decay)


def _gram_gradient(kernel: Kernel, array: jax.Array, scale: float) -> jax.Array:
    """The gradient of ||K^T K - scale * I||_F^2, which is that of ||K K^T - scale * I||_F^2."""

    def gradient(matrix: jax.Array, kept: tuple[()]) -> tuple[jax.Array, tuple[()]]:
        rows, columns = matrix.shape
        if rows < columns:
            return gradient(matrix.T, kept)[0].T, kept
        gram = matrix.T @ matrix - scale * jnp.eye(columns, dtype=matrix.dtype)
        return 4 * matrix @ gram, kept

    return kernel.of_each_group(gradient)(kernel.matrix(array), ())[0]


def _unit(vector: jax.Array) -> jax.Array:
    """The vector at length 1; a vector of zeros stays one."""
    norm = jnp.linalg.norm(vector)
    return vector / jnp.where(norm > 0, norm, 1)


def _plus(update: jax.Array, term: jax.Array) -> jax.Array:
    """The sum, in the update's dtype."""
    return (precise(update) + term).astype(update.dtype)


def _rate(learning_rate: float | optax.Schedule | None, step: jax.Array) -> Any:
    return value_at(1.0 if learning_rate is None else learning_rate, step)

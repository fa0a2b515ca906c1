# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Weight decay in both of its senses, from optax's own pieces (paper, figures 1 and 14)."""

import jax
import optax

from dormant.checks import check, check_choice, check_number, is_number
from dormant.interventions.structures import check_optimizer

WEIGHT_DECAY_KINDS = ("l2", "decoupled")


def weight_decay(
    optimizer: optax.GradientTransformation,
    coefficient: float,
    *,
    kind: str = "l2",
    learning_rate: float | optax.Schedule | None = None,
) -> optax.GradientTransformation:
    """Adds weight decay to an optimizer (Loshchilov & Hutter, ICLR 2019).

    `"l2"` adds `coefficient * params` to the gradient, so that it passes through the moments: the
    released code's and the paper's, best at 1e-5. `"decoupled"` subtracts `learning_rate *
    coefficient * params` from the optimizer's own update, as `optax.adamw` does; without a learning
    rate it is `coefficient * params`, as in that article's Algorithm 2 with eta = 1. Every
    parameter decays, biases too.

    Args:
      optimizer: any optax transformation; `optax.MultiSteps` belongs outside, around the result.
      coefficient: at least 0; 0 returns the optimizer itself.
      kind: `"l2"` or `"decoupled"`.
      learning_rate: of the optimizer, for `"decoupled"` only: a number or a schedule of its steps.

    Raises:
      ValueError: if an option is not valid.
    """
    check_decay(optimizer, coefficient, kind, learning_rate)
    if coefficient == 0:
        return optimizer
    if kind == "l2":
        return optax.chain(optax.add_decayed_weights(coefficient), optimizer)
    if not callable(learning_rate):
        rate = 1.0 if learning_rate is None else learning_rate
        return optax.chain(optimizer, optax.add_decayed_weights(-coefficient * rate))

    def decay(step: jax.Array) -> jax.Array:
        return -learning_rate(step) * coefficient

    return optax.chain(optimizer, optax.add_decayed_weights(decay))


def check_decay(
    optimizer: optax.GradientTransformation,
    coefficient: float,
    kind: str,
    learning_rate: float | optax.Schedule | None,
) -> None:
    """Raises ValueError unless these are valid for a decay of one of the two kinds."""
    check_optimizer(optimizer)
    check_number("coefficient", coefficient, 0)
    check_choice("kind", kind, WEIGHT_DECAY_KINDS)
    if kind == "l2":
        check(learning_rate is None, "learning_rate", "None with kind 'l2'", learning_rate)
    is_rate = (
        learning_rate is None
        or callable(learning_rate)
        or (is_number(learning_rate) and 0 <= learning_rate < float("inf"))
    )
    check(is_rate, "learning_rate", "None, a number >= 0 or a schedule", learning_rate)

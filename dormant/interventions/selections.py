# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which neurons to act on: by threshold (fixed, scheduled, adaptive), by budget, whole layers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dormant.checks import (
    check,
    check_choice,
    check_count,
    check_number,
    check_schedule,
    clip_to_int32,
    is_number,
)
from dormant.interventions.masks import check_tau, dormant_masks
from dormant.interventions.scores import Scores
from dormant.interventions.timing import value_at

ORDERS = ("lowest", "random", "highest")
Masks = dict[str, jax.Array]  # {layer: (H,) bool}


class Selection(NamedTuple):
    """Which neurons an intervention acts on.

    Attributes:
      init: `init(layers) -> state`, with {name: neurons} of the layers that the action can act on.
      select: `select(scores, state, step, key) -> (masks, state)` with scores and masks of those
        layers, (H,) each, and the gradient step. The key is consumed.
      thresholds: `thresholds(layers, state, step) -> {layer: float32 ()}`, what `select` compares
        scores with; empty where it compares them with nothing.
      fixed_taus: thresholds that are the same at every step; they are reported with the others.
    """

    init: Callable[[Mapping[str, int]], Any]
    select: Callable[[Scores, Any, jax.Array, jax.Array], tuple[Masks, Any]]
    thresholds: Callable[[Sequence[str], Any, jax.Array], dict[str, jax.Array]] = (
        lambda layers, state, step: {}
    )
    fixed_taus: tuple[float, ...] = ()


class ThresholdRule(NamedTuple):
    """A threshold of its own for every layer, which follows the scores; see `adaptive_tau`.

    Attributes:
      init: `init(layers) -> {layer: float32 ()}`, with {name: neurons}.
      update: `update(taus, scores) -> taus`, after a selection with `taus`.
    """

    init: Callable[[Mapping[str, int]], dict[str, jax.Array]]
    update: Callable[[dict[str, jax.Array], Scores], dict[str, jax.Array]]


def below_threshold(tau: float | optax.Schedule | ThresholdRule = 0.1) -> Selection:
    """The neurons with score at most tau (paper, Definition 3.1).

    Args:
      tau: at least 0; or a schedule of the gradient step; or `dormant.adaptive_tau(...)`. A scalar
        array may be traced, such as one tau of several under `jax.vmap`.

    Raises:
      ValueError: if `tau` is none of these.
    """
    if isinstance(tau, ThresholdRule):

        def select_adaptively(scores, taus, step, key):
            del step, key
            masks = {name: score <= taus[name] for name, score in scores.items()}
            updated = tau.update(taus, scores)
            known = are_known(scores)
            return masks, {name: jnp.where(known[name], updated[name], taus[name]) for name in taus}

        return Selection(tau.init, select_adaptively, lambda layers, taus, step: dict(taus))
    besides = ", a schedule of the gradient step, called, or `adaptive_tau(...)`"
    if callable(tau):
        check_schedule("tau", tau, f"a number >= 0{besides}")
    else:
        check_tau(tau, besides=besides)
    is_known = not callable(tau) and not isinstance(tau, jax.core.Tracer)
    threshold = float(tau) if is_known else tau

    def select(scores, state, step, key):
        del key
        return dormant_masks(scores, value_at(threshold, step)), state

    def thresholds(layers, state, step):
        del state
        return dict.fromkeys(layers, jnp.asarray(value_at(threshold, step), jnp.float32))

    return Selection(lambda layers: (), select, thresholds, (threshold,) if is_known else ())


def capped(selection: Selection, max_fraction: float | optax.Schedule) -> Selection:
    """At most a fraction of every layer out of what another selection takes.

    Args:
      selection: which neurons, such as `parts.below_threshold(0.1)`.
      max_fraction: of the layer's neurons, rounded down, in [0, 1], or a schedule of the gradient
        step; of what is selected the lowest scores stay, and of equal scores the first ones.

    Raises:
      ValueError: if `max_fraction` lies outside [0, 1].
    """
    check(isinstance(selection, Selection), "selection", "a Selection", selection)
    _check_fraction("max_fraction", max_fraction)

    def select(scores, state, step, key):
        masks, state = selection.select(scores, state, step, key)
        # A thousandth of a neuron, since a third of three neurons is one and float32 is not exact.
        share = value_at(max_fraction, step)
        most = {name: jnp.floor(share * mask.shape[0] + 1e-3) for name, mask in masks.items()}
        return {
            name: mask & (_rank(jnp.where(mask, scores[name], jnp.inf)) < most[name])
            for name, mask in masks.items()
        }, state

    return selection._replace(select=select)


def over_network(selection: Selection) -> Selection:
    """Another selection with all layers taken for one: a budget or quantile over the whole network.

    For scores that mean the same in every layer, as those do that are divided by a layer's mean.
    Where one layer has no scores, nothing is selected in any.

    Args:
      selection: such as `parts.budget(0.1)`.

    Raises:
      ValueError: if `selection` is none.
    """
    check(isinstance(selection, Selection), "selection", "a Selection", selection)
    whole = "network"

    def select(scores, state, step, key):
        joined = {whole: jnp.concatenate([*scores.values()])} if scores else {}
        masks, state = selection.select(joined, state, step, key)
        found, place = {}, 0
        for name, score in scores.items():
            found[name] = masks[whole][place : place + score.shape[0]]
            place += score.shape[0]
        known = are_known(joined)
        return {name: mask & known[whole] for name, mask in found.items()}, state

    def thresholds(layers, state, step):
        at = selection.thresholds((whole,), state, step)
        return dict.fromkeys(layers, at[whole]) if at else {}

    def init(layers: Mapping[str, int]) -> Any:
        return selection.init({whole: sum(layers.values())} if layers else {})

    return selection._replace(init=init, select=select, thresholds=thresholds)


def below_quantile(fraction: float | optax.Schedule = 0.1) -> Selection:
    """The neurons whose score is at most the layer's quantile of that order.

    Unlike `budget`, neurons whose scores tie at the limit are all taken.

    Args:
      fraction: in [0, 1], or a schedule of the gradient step; 0 takes those of the lowest score.

    Raises:
      ValueError: if `fraction` is neither.
    """
    _check_fraction("fraction", fraction)

    def select(scores, state, step, key):
        del key
        order = jnp.asarray(value_at(fraction, step), jnp.float32)
        # Of the scores themselves, so that rounding puts none of them on the wrong side.
        return {
            name: score <= jnp.quantile(score, order, method="lower")
            for name, score in scores.items()
        }, state

    return Selection(lambda layers: (), select)


class Maturity(NamedTuple):
    """State of `mature_and_rare`, by layer that was scored."""

    age: dict[str, jax.Array]  # int32 (H,): scorings since the neuron was selected
    owed: dict[str, jax.Array]  # float32 (): neurons to select, in fractions that add up


def mature_and_rare(rate: float | optax.Schedule = 1e-4, maturity: int = 100) -> Selection:
    """Continual backprop's rule: at each scoring a small share of the mature neurons, the lowest.

    Every layer owes `rate` times the number of its neurons that are older than `maturity` scorings,
    each scoring; whole neurons of the lowest scores among those are selected as soon as they are
    owed, and their age begins anew (Dohare et al. 2024, Nature). Use it with `parts.every(1)`.

    Args:
      rate: share of the mature neurons at each scoring, in [0, 1], or a schedule of the gradient
        step.
      maturity: scorings before a neuron may be selected, at least 0.

    Raises:
      ValueError: if an option is not valid.
    """
    _check_fraction("rate", rate)
    check_count("maturity", maturity, 0)
    maturity = clip_to_int32(maturity)

    def init(layers: Mapping[str, int]) -> Maturity:
        return Maturity(
            {name: jnp.zeros(neurons, jnp.int32) for name, neurons in layers.items()},
            {name: jnp.zeros((), jnp.float32) for name in layers},
        )

    def select(scores, state, step, key):
        del key
        share = jnp.asarray(value_at(rate, step), jnp.float32)
        known = are_known(scores)
        masks, ages, owed = {}, {}, {}
        for name, score in scores.items():
            age = state.age[name] + 1
            mature = (age > maturity) & known[name]
            due = state.owed[name] + share * jnp.sum(mature)
            masks[name] = mature & (_rank(jnp.where(mature, score, jnp.inf)) < jnp.floor(due))
            owed[name] = due - jnp.sum(masks[name])
            ages[name] = jnp.where(masks[name], 0, age)
        return masks, Maturity(ages, owed)

    return Selection(init, select)


def _check_fraction(name: str, fraction: Any) -> None:
    """Raises ValueError unless it is a number in [0, 1] or a schedule."""
    if callable(fraction) or not (is_number(fraction) and 0 <= fraction <= 1):
        allowed = "a number in [0, 1] or a schedule of the gradient step, called"
        check_schedule(name, fraction, allowed)


def are_known(scores: Scores) -> dict[str, jax.Array]:
    """bool () of each layer: whether all its neurons have scores; what has none is NaN."""
    return {name: ~jnp.any(jnp.isnan(score)) for name, score in scores.items()}


def _rank(scores: jax.Array) -> jax.Array:
    """(H,) int32: the place of each score among them, from the lowest; equal ones as they stand."""
    return jnp.argsort(jnp.argsort(scores, stable=True), stable=True)


def adaptive_tau(
    target_fraction: float = 0.05,
    initial: float = 0.1,
    step_size: float = 0.5,
    minimum: float = 1e-4,
    maximum: float = 1.0,
) -> ThresholdRule:
    """Thresholds that settle where a given fraction of a layer lies at or below them.

    After every scoring, for each layer, `tau <- tau exp(step_size (target_fraction - f))` with f
    the fraction of its neurons that scored at most tau, clipped to [minimum, maximum]. It is a
    Robbins-Monro iteration for the quantile of the scores, made multiplicative because scores lie
    on a ratio scale. An adaptive threshold is an open question of the paper (section 7); this rule
    is ours. A layer with more silent neurons than the target ends at `minimum`. On two MinAtar
    games (`results/minatar_tau`, period 1,000) its score was 0.011 [-0.003, 0.027] below that of
    tau 0.1, which decides nothing, with 13 instead of 9 % dormant in Space Invaders.

    Args:
      target_fraction: fraction of each layer to select, in [0, 1].
      initial: the first tau.
      step_size: gain, more than 0: tau changes by at most this factor's exponential at a time.
      minimum: least tau, more than 0.
      maximum: largest tau.

    Raises:
      ValueError: if an option is not valid.
    """
    check_number("target_fraction", target_fraction, 0, 1)
    check_number("step_size", step_size, above=0)
    check_number("minimum", minimum, above=0)
    is_above = is_number(maximum) and maximum >= minimum
    check(is_above, "maximum", f"at least `minimum`, {minimum}", maximum)
    check_number("initial", initial, minimum, maximum)

    def init(layers: Mapping[str, int]) -> dict[str, jax.Array]:
        return {name: jnp.array(initial, jnp.float32) for name in layers}

    def update(taus: dict[str, jax.Array], scores: Scores) -> dict[str, jax.Array]:
        def follow(tau: jax.Array, score: jax.Array) -> jax.Array:
            fraction = jnp.mean(score <= tau, dtype=jnp.float32)
            tau = tau * jnp.exp(step_size * (target_fraction - fraction))
            return jnp.clip(tau, minimum, maximum)

        return {name: follow(taus[name], score) for name, score in scores.items()}

    return ThresholdRule(init, update)


def budget(fraction: float | optax.Schedule = 0.1, order: str = "lowest") -> Selection:
    """A fixed number of neurons of every layer, whatever their scores (paper, figure 15).

    `round(fraction H)` of the H neurons of a layer, and at least one while the fraction is above 0,
    as in the released code. Unlike there, neurons whose scores tie at the limit are not all taken,
    but the first ones, so that the number is exact; in a random order the scores do not matter.

    Args:
      fraction: in [0, 1], or a schedule of the gradient step such as `dormant.cosine_fraction`.
      order: which neurons: `"lowest"` scores, `"highest"` scores, or `"random"` ones.

    Raises:
      ValueError: if an option is not valid.
    """
    _check_fraction("fraction", fraction)
    check_choice("order", order, ORDERS)

    def select(scores, state, step, key):
        share = jnp.asarray(value_at(fraction, step), jnp.float32)
        masks = {}
        for number, (name, score) in enumerate(scores.items()):
            if order == "random":
                score = jax.random.uniform(jax.random.fold_in(key, number), score.shape)
            score = -score if order == "highest" else score
            rank = _rank(score)
            count = jnp.maximum(1, jnp.round(share * score.shape[0]))
            masks[name] = rank < jnp.where(share > 0, count, 0)
        return masks, state

    return Selection(lambda layers: (), select)


def cosine_fraction(initial: float, end_step: int) -> optax.Schedule:
    """`initial cos(pi/2 step / end_step)`: the released schedule of the budget, 0 from `end_step`.

    Args:
      initial: the fraction at step 0, in [0, 1].
      end_step: the gradient step at which it reaches 0, at least 1.

    Raises:
      ValueError: if an option is not valid.
    """
    check_number("initial", initial, 0, 1)
    check_number("end_step", end_step, 1)

    def schedule(step: jax.Array) -> jax.Array:
        progress = jnp.clip(step / end_step, 0.0, 1.0)
        # Rounding leaves cos(pi/2) a little off 0, which would still select one neuron.
        return jnp.where(progress < 1, initial * jnp.cos(0.5 * jnp.pi * progress), 0.0)

    return schedule


def whole_layers() -> Selection:
    """Every neuron of all layers that the action can act on."""

    def select(scores, state, step, key):
        del step, key
        return {name: jnp.ones(score.shape, bool) for name, score in scores.items()}, state

    return Selection(lambda layers: (), select)

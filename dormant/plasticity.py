# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The plasticity probe: can a network still learn what a fresh one learns?"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dormant.checks import (
    as_inputs,
    check,
    check_arrays,
    check_count,
    check_function,
    check_key,
    check_rows,
    errors_of_network,
    shown_shapes,
)
from dormant.graph import ParameterTree
from dormant.interventions.structures import check_optimizer

_ADAM = optax.adam(1e-3)
_LEVEL = 0.95


class Fits(NamedTuple):
    """How well one kind of targets was learned, from the parameters and from fresh ones. S seeds.

    A loss is the share of the targets' variance that is not learned yet: 1 at the start.

    Attributes:
      current: float32 (S, steps + 1): before each step and after the last.
      fresh: float32 (S, steps + 1): the same from a fresh initialization.
      difference: float32 (S,): final loss from the parameters less that from fresh ones.
      mean: float32 (): of the differences; above 0 where plasticity was lost.
      low: float32 (): lower end of the mean's 95 % interval, Student's t over the seeds.
      high: float32 (): upper end.
    """

    current: jax.Array
    fresh: jax.Array
    difference: jax.Array
    mean: jax.Array
    low: jax.Array
    high: jax.Array


class PlasticityProbe(NamedTuple):
    """What `plasticity_probe` found, for each kind of targets.

    Attributes:
      random: of targets drawn apart for every input.
      network: of targets that are the outputs of another fresh network.
    """

    random: Fits
    network: Fits


def plasticity_probe(
    apply: Callable,
    params: Any,
    init: Callable[[jax.Array], Any],
    inputs: Any,
    key: jax.Array,
    *,
    optimizer: optax.GradientTransformation = _ADAM,
    steps: int = 200,
    seeds: int = 10,
) -> PlasticityProbe:
    """The loss after some steps on new targets, from these parameters and from fresh ones.

    Plasticity measured as what it is: each seed draws targets and a fresh initialization and
    regresses on the targets twice, with the same optimizer begun anew, on all inputs at every step.
    Targets are drawn from a standard normal (`random`), or are the outputs of a third network from
    `init` (`network`), each output brought to mean 0 and variance 1 over the inputs. What is
    fitted to them is the change of the outputs since the start, so that both fits start at the
    same loss, whatever the scale of the network's outputs. The two differences of a seed are
    paired by the targets, and Student's interval of their mean is over the seeds.

    Such fits are the target-fitting capacity of Lyle, Rowland and Dabney (2022, arXiv:2204.09560)
    and Lyle et al. (2023, arXiv:2303.01486); Sokar et al. 2023, figure 8, train networks on what
    another one has learned. Fitting the change is ours, and so are the interval and the pairing.

    What it cannot show: how the network would learn another task than these two, other inputs, or
    with another optimizer or learning rate; what the optimizer's own state does in the run; and the
    spread over training runs, as these parameters are one: another fresh network, too, differs from
    the mean of fresh ones a little, and larger weights alone fit faster. Proxies need not agree:
    networks with many dormant neurons can learn a very different task as well as fresh ones
    ("Rethinking Plasticity", arXiv:2603.21173).

    Args:
      apply: `apply(params, *inputs) -> outputs`, any tree of arrays whose first axis is the batch;
        those that are not floating are left out.
      params: parameter tree of floating arrays.
      init: `init(key) -> params`, the network's own initializer.
      inputs: the other arguments of `apply`, a tuple; or the one that there is.
      key: consumed.
      optimizer: of both fits.
      steps: gradient steps of each.
      seeds: S, at least 2.

    Returns:
      A `PlasticityProbe`. Everything is NaN where a fit diverges.

    Raises:
      ValueError: if an argument is not valid, if `init` does not give the structure and shapes of
        `params`, or if the network has no floating output of the inputs.
    """
    check_function("apply", apply, "(params, *inputs)")
    check_function("init", init, "(key)", 1)
    check_optimizer(optimizer)
    check_arrays("params", params)
    check_key("key", key)
    check_count("steps", steps, 1)
    check_count("seeds", seeds, 2)
    inputs = as_inputs(inputs)
    check_arrays("inputs", inputs)
    check_rows("inputs", inputs)
    leaves = jax.tree.leaves(params)
    floating = all(jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in leaves)
    check(floating and len(leaves) > 0, "params", "a tree of floating arrays", shown_shapes(params))
    ParameterTree.of(params).leaves("init(key)", jax.eval_shape(init, key))
    with errors_of_network(inputs):
        shape = jax.eval_shape(functools.partial(_outputs, apply), params, inputs).shape
    check(shape[0] > 1 and shape[1] > 0, "inputs", "a batch with floating outputs", shape)
    return _probe(apply, init, optimizer, int(steps), int(seeds), params, inputs, key)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _probe(apply, init, optimizer, steps, seeds, params, inputs, key) -> PlasticityProbe:
    params = jax.tree.map(jnp.asarray, params)

    def fit(start: Any, targets: jax.Array) -> jax.Array:
        """(steps + 1,): the losses on targets (B, D) for the change of the outputs."""
        goal = _outputs(apply, start, inputs) + targets

        def loss(params: Any) -> jax.Array:
            return jnp.mean(jnp.square(_outputs(apply, params, inputs) - goal))

        def step(carry, _):
            params, state = carry
            value, gradient = jax.value_and_grad(loss)(params)
            updates, state = optimizer.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), value

        (end, _), losses = jax.lax.scan(step, (start, optimizer.init(start)), length=steps)
        return jnp.append(losses, loss(end))

    def one_seed(key: jax.Array) -> jax.Array:
        """(2, 2, steps + 1): by targets, random or of a network, and by start."""
        fresh_key, network_key, random_key = jax.random.split(key, 3)
        fresh = jax.tree.map(lambda new, old: new.astype(old.dtype), init(fresh_key), params)
        made = _outputs(apply, init(network_key), inputs)
        targets = jnp.stack([jax.random.normal(random_key, made.shape), made])
        starts = jax.tree.map(lambda *leaves: jnp.stack(leaves), params, fresh)
        by_start = jax.vmap(fit, in_axes=(0, None))
        return jax.vmap(by_start, in_axes=(None, 0))(starts, jax.vmap(_standardized)(targets))

    losses = jax.vmap(one_seed)(jax.random.split(key, seeds))
    return PlasticityProbe(*(_fits(losses[:, kind, 0], losses[:, kind, 1]) for kind in range(2)))


def _outputs(apply: Callable, params: Any, inputs: tuple[Any, ...]) -> jax.Array:
    """(B, D) float32: all floating outputs of the network, side by side."""
    leaves = map(jnp.asarray, jax.tree.leaves(apply(params, *inputs)))
    kept = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.ndim]
    rows = [leaf.astype(jnp.float32).reshape(leaf.shape[0], -1) for leaf in kept]
    return jnp.concatenate(rows, axis=1) if rows else jnp.zeros((0, 0))


def _standardized(values: jax.Array) -> jax.Array:
    """(B, D) with mean 0 and variance 1 over B; 0 where they do not vary."""
    centered = values - jnp.mean(values, axis=0)
    deviation = jnp.sqrt(jnp.mean(jnp.square(centered), axis=0))
    return centered / jnp.where(deviation > 0, deviation, 1.0)


def _fits(current: jax.Array, fresh: jax.Array) -> Fits:
    difference = current[:, -1] - fresh[:, -1]
    seeds, mean = difference.shape[0], jnp.mean(difference)
    error = jnp.std(difference, ddof=1) / jnp.sqrt(seeds)
    half = _student_quantile(seeds - 1) * error
    return Fits(current, fresh, difference, mean, mean - half, mean + half)


def _student_quantile(freedom: int) -> jax.Array:
    """float32 (): the t that a Student variable exceeds in absolute value with 1 - 0.95."""

    def halve(_, ends):
        middle = (ends[0] + ends[1]) / 2
        beyond = jax.scipy.special.betainc(freedom / 2, 0.5, freedom / (freedom + middle**2))
        is_low = beyond > 1 - _LEVEL
        return jnp.where(is_low, middle, ends[0]), jnp.where(is_low, ends[1], middle)

    # With one degree of freedom, where it is largest, it is 12.7.
    return jax.lax.fori_loop(0, 40, halve, (jnp.float32(0), jnp.float32(16)))[1]

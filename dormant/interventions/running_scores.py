# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Scores with a past: running averages, how long a neuron has not fired, how far its weights
moved."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.checks import LARGEST_COUNT, check_count, check_number, clip_to_int32
from dormant.graph import NeuronGraph
from dormant.interventions.scores import (
    Score,
    ScoreFunction,
    ScoreInputs,
    Scores,
    as_score,
    relative_to_layer,
    sums_of_weights,
)


class RunningAverage(NamedTuple):
    """State of `running_average`."""

    average: dict[str, jax.Array]  # float32 (H,), without correction for its beginning at 0
    scorings: dict[str, jax.Array]  # int32 (H,), since the start or since the neuron was acted on
    inner: Any  # state of the score that is averaged


def running_average(score: Score | ScoreFunction, decay: float = 0.99) -> Score:
    """The exponential average of a score over all scorings, as continual backprop's utility.

    `u <- decay u + (1 - decay) s`, divided by `1 - decay^scorings` (Dohare et al. 2024, Nature). A
    neuron that was acted on begins anew. Where a score is NaN the average stays and is not known
    this once.

    Args:
      score: what is averaged, such as `parts.contribution_score`.
      decay: in [0, 1); 0 for the score itself.

    Raises:
      ValueError: if `decay` lies outside [0, 1) or `score` is none.
    """
    inner = as_score(score)
    check_number("decay", decay, 0, below=1)

    def init(graph: NeuronGraph) -> RunningAverage:
        sizes = graph.neurons
        return RunningAverage(
            {name: jnp.zeros(size, jnp.float32) for name, size in sizes.items()},
            {name: jnp.zeros(size, jnp.int32) for name, size in sizes.items()},
            inner.init(graph),
        )

    def measure(graph: NeuronGraph, inputs: ScoreInputs, state: RunningAverage):
        scores, inner_state = inner.measure(graph, inputs, state.inner)
        average, scorings, found = {}, {}, {}
        for name, score in scores.items():
            known = jnp.isfinite(score)
            moved = decay * state.average[name] + (1 - decay) * score
            average[name] = jnp.where(known, moved, state.average[name])
            scorings[name] = state.scorings[name] + known
            # In the logarithm, as a decay near 1 is 1 in float32.
            correction = -jnp.expm1(scorings[name] * math.log(decay)) if decay else 1.0
            corrected = average[name] / correction
            found[name] = jnp.where(known, corrected, jnp.nan)
        return found, RunningAverage(average, scorings, inner_state)

    def reset(state: RunningAverage, masks: dict[str, jax.Array]) -> RunningAverage:
        return RunningAverage(
            _without(state.average, masks),
            _without(state.scorings, masks),
            inner.reset(state.inner, masks),
        )

    return Score(measure, init, reset, inner.needs)


class FiringTimes(NamedTuple):
    """State of `inter_firing_score`. K is the number of bins."""

    age: dict[str, jax.Array]  # int32 (H,): samples since the neuron last fired
    gaps: dict[str, jax.Array]  # float32 (H, K): how many of its gaps were of each length


# Lengths of gaps are counted in bins whose bounds are a quarter of an octave apart.
_BINS_PER_OCTAVE, _BINS = 4, 96


def inter_firing_score(maximum_age: int = 1_000_000) -> Score:
    """How usual it is for a neuron not to have fired for so long (SNR; Farias & Jozefiak 2025).

    Time passes in batches, as in the released code: a neuron fires where any sample of the batch,
    in a convolution anywhere in space, has an activation above 0, and where none has it becomes
    older by the number of samples. A gap is the time from one batch on which it fires to the next.
    The score is `(1 + longer) / (1 + gaps)`, of all gaps so far and those that are longer than its
    age: with the one that is added, as is usual in Monte Carlo tests, few gaps reject nothing. It
    is 1 for a neuron that fires on this batch. Self-normalized resets act where the score is at
    most eta: `parts.below_threshold(eta)`; after one a neuron is young, but its gaps are kept, with
    the silence that the reset ended among them.

    Gaps are counted in bins, a quarter of an octave wide; all of one bin count as alike. The score
    cannot see what a neuron that fires is good for. What it knows is what the scorings have shown:
    use it with `parts.every(1)`, or read ages as samples that were scored.

    Args:
      maximum_age: of which no neuron is too young to be dead: it scores 0; in samples, at least 1.
        It alone finds the neurons that have fired on fewer than about 1 / eta batches.

    Raises:
      ValueError: if `maximum_age` is not a whole number >= 1.
    """
    check_count("maximum_age", maximum_age, 1)
    maximum_age = clip_to_int32(maximum_age)

    def init(graph: NeuronGraph) -> FiringTimes:
        sizes = graph.neurons
        return FiringTimes(
            {name: jnp.zeros(size, jnp.int32) for name, size in sizes.items()},
            {name: jnp.zeros((size, _BINS), jnp.float32) for name, size in sizes.items()},
        )

    def measure(graph: NeuronGraph, inputs: ScoreInputs, state: FiringTimes):
        found, ages, gaps = {}, {}, {}
        for name, activation in inputs.activations.items():
            samples = activation.shape[0] if activation.ndim > 1 else 1
            fired = jnp.any(activation.reshape(-1, activation.shape[-1]) > 0, axis=0)
            # Of a silence that goes on the next batch is the first that may end it.
            length = _at_most_largest(state.age[name], samples)
            ages[name] = jnp.where(fired, 0, length)
            gaps[name] = state.gaps[name] + _in_its_bin(length, fired)
            next_length = _at_most_largest(ages[name], samples)
            at_least = jnp.arange(_BINS)[None] >= _bin(next_length)[:, None]
            longer = jnp.sum(jnp.where(at_least, gaps[name], 0.0), axis=-1)
            share = (1 + longer) / (1 + jnp.sum(gaps[name], axis=-1))
            share = jnp.where(ages[name] >= maximum_age, 0.0, jnp.where(fired, 1.0, share))
            found[name] = jnp.where(jnp.all(jnp.isfinite(activation)), share, jnp.nan)
        return found, FiringTimes(ages, gaps)

    def reset(state: FiringTimes, masks: dict[str, jax.Array]) -> FiringTimes:
        ended = {name: _in_its_bin(age, masks[name]) for name, age in state.age.items()}
        gaps = {name: counts + ended[name] for name, counts in state.gaps.items()}
        return FiringTimes(_without(state.age, masks), gaps)

    return Score(measure, init, reset)


class LastWeights(NamedTuple):
    """State of `stagnation_score`."""

    weights: dict[str, Any]  # {path: array} of the parameters at the last scoring
    scored: jax.Array  # bool (): whether there was one


def stagnation_score() -> Score:
    """How far a neuron's incoming weights moved since the last scoring, over its layer's mean.

    `s_i = (|w_i - w_i'| / |w_i|) / mean_k (...)` with Euclidean norms: stagnant units, whose
    weights stay where they are, score 0 (KNIFE, 2026, arXiv:2606.25335). It sees what does not
    learn, whether or not it is silent, and cannot tell a neuron that is stuck from one that has
    converged. Nothing is known at the first scoring, and nothing is done then.

    The state keeps a copy of the parameters that feed the scored layers.
    """

    def arrays(graph: NeuronGraph) -> dict[str, tuple[int, ...]]:
        shapes = graph.parameters.shape_of
        kernels = [e for layer in graph.layers for e in layer.incoming if e.role == "kernel"]
        return {entries.path: shapes[entries.path] for entries in kernels}

    def init(graph: NeuronGraph) -> LastWeights:
        zeros = {path: jnp.zeros(shape, jnp.float32) for path, shape in arrays(graph).items()}
        return LastWeights(zeros, jnp.zeros((), bool))

    def measure(graph: NeuronGraph, inputs: ScoreInputs, state: LastWeights):
        leaves = graph.parameters.leaves("params", inputs.params)
        now = {path: leaves[path].astype(jnp.float32) for path in state.weights}
        moved = {path: jnp.square(now[path] - old) for path, old in state.weights.items()}
        sizes = {path: jnp.square(value) for path, value in now.items()}
        found: Scores = {}
        for layer in graph.layers:
            change = sums_of_weights(moved, layer, "incoming")
            size = sums_of_weights(sizes, layer, "incoming")
            relative = jnp.sqrt(change / jnp.where(size > 0, size, 1.0))
            found[layer.name] = jnp.where(state.scored, relative_to_layer(relative[None]), jnp.nan)
        return found, LastWeights(now, jnp.ones((), bool))

    return Score(measure, init)


def _without(values: dict[str, jax.Array], masks: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Values of each neuron, (H,), with 0 for those of the masks."""
    return {
        name: jnp.where(masks[name], jnp.zeros((), value.dtype), value)
        for name, value in values.items()
    }


def _in_its_bin(length: jax.Array, counted: jax.Array) -> jax.Array:
    """float32 (H, K): 1 in the bin of the length of each neuron that is counted."""
    return jax.nn.one_hot(_bin(length), _BINS, dtype=jnp.float32) * counted[:, None]


def _at_most_largest(age: jax.Array, samples: int) -> jax.Array:
    """The age after further samples; ages are int32."""
    return jnp.minimum(age, LARGEST_COUNT - samples) + samples


def _bin(length: jax.Array) -> jax.Array:
    """int32: the bin of a length in samples; 0 and 1 are in the first."""
    octave = jnp.log2(jnp.maximum(length, 1).astype(jnp.float32))
    return jnp.clip(jnp.floor(_BINS_PER_OCTAVE * octave), 0, _BINS - 1).astype(jnp.int32)

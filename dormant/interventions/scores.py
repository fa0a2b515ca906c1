# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How much a neuron does: what a score is, dormancy scores (paper, Eq. 1), utility, variability."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.checks import check, check_choice, check_function, check_mapping
from dormant.graph import Layer, NeuronGraph
from dormant.interventions.structures import as_traced

Scores = dict[str, jax.Array]  # {layer: (H,) float32}
# score(graph, params, activations) -> {layer: (H,) float32}
ScoreFunction = Callable[[NeuronGraph, Any, Mapping[str, jax.Array]], Scores]

_TINY = jnp.finfo(jnp.float32).tiny
# What a score may need besides parameters and activations, by its keyword of `update`.
GRADIENT, PRE_ACTIVATION_GRADIENTS = "gradient", "pre_activation_gradients"
GRADIENTS = (GRADIENT, PRE_ACTIVATION_GRADIENTS)
GRADIENTS_OF = ("pre_activations", "weights")


class ScoreInputs(NamedTuple):
    """What a score is computed from, of the layers that are scored.

    Attributes:
      params: parameter tree of the traced network.
      activations: {layer: (B, …, H)}, as `graph.activations` returns.
      gradient: of the loss, a tree like params; None unless the score needs it.
      pre_activation_gradients: {layer: (B, …, H)}; None unless the score needs them.
    """

    params: Any
    activations: Mapping[str, jax.Array]
    gradient: Any = None
    pre_activation_gradients: Mapping[str, jax.Array] | None = None


class Score(NamedTuple):
    """How much each neuron does, in whatever sense; the lowest are acted on.

    Attributes:
      measure: `measure(graph, inputs, state) -> ({layer: (H,) float32}, state)` with `ScoreInputs`.
      init: `init(graph) -> state`, for the layers that the action can act on.
      reset: `reset(state, masks) -> state`, with masks {layer: (H,)} bool of the neurons that were
        just acted on, whose past is that of other weights.
      needs: which of "gradient" and "pre_activation_gradients" it reads.
    """

    measure: Callable[[NeuronGraph, ScoreInputs, Any], tuple[Scores, Any]]
    init: Callable[[NeuronGraph], Any] = lambda graph: ()
    reset: Callable[[Any, dict[str, jax.Array]], Any] = lambda state, masks: state
    needs: tuple[str, ...] = ()


def as_score(score: Score | ScoreFunction) -> Score:
    """A plain function of parameters and activations as a `Score`; ValueError if it is neither."""
    if isinstance(score, Score):
        return score
    check_function("score", score, "(graph, params, activations)", 3)

    def measure(graph: NeuronGraph, inputs: ScoreInputs, state: Any) -> tuple[Scores, Any]:
        return score(graph, inputs.params, inputs.activations), state

    return Score(measure)


def check_gradients(needs: tuple[str, ...], gradients: Mapping[str, Any]) -> dict[str, Any]:
    """Those of an update's keywords that a score needs; ValueError where one is missing."""
    for name in gradients:
        check(name in GRADIENTS, "update", f"given {' or '.join(GRADIENTS)} by keyword", name)
    for name in needs:
        allowed = "given to `update`, as the score reads it"
        check(gradients.get(name) is not None, name, allowed, gradients.get(name))
    return {name: gradients[name] for name in needs}


def _computed(graph: NeuronGraph, name: str, value: Any) -> Any:
    if not callable(value):
        return value
    arguments = (graph,) if name == PRE_ACTIVATION_GRADIENTS else ()
    check_function(name, value, "(graph)" if arguments else "()", len(arguments))
    return value(*arguments)


def score_inputs(
    graph: NeuronGraph,
    needs: tuple[str, ...],
    params: Any,
    activations: Mapping[str, jax.Array],
    gradients: Mapping[str, Any],
) -> ScoreInputs:
    """What a score is given; computes the gradients that come as functions."""
    found = {name: _computed(graph, name, value) for name, value in gradients.items()}
    if GRADIENT in needs:
        found[GRADIENT] = as_traced(graph.parameters, found[GRADIENT], GRADIENT)
    if PRE_ACTIVATION_GRADIENTS in needs:
        signals = found[PRE_ACTIVATION_GRADIENTS]
        check_mapping(PRE_ACTIVATION_GRADIENTS, signals, "{layer: (B, …, H)}")
        missing = [name for name in graph.names if name not in signals]
        check(not missing, PRE_ACTIVATION_GRADIENTS, f"of {', '.join(missing)} too", [*signals])
        for layer in graph.layers:
            shape, of_layer = jnp.shape(signals[layer.name]), f"of {layer.neurons} neurons"
            fits = shape[-1:] == (layer.neurons,)
            check(fits, f"{PRE_ACTIVATION_GRADIENTS}[{layer.name!r}]", of_layer, shape)
    return ScoreInputs(params, activations, **found)


def magnitudes(activation: jax.Array) -> jax.Array:
    """Absolute activations in float32, also of complex ones."""
    return jnp.abs(activation).astype(jnp.float32)


def dormancy_scores(activations: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """A neuron's mean absolute activation over its layer's: `s_i = E|h_i| / mean_k E|h_k|`.

    Sokar et al. 2023, Eq. 1. The scores of a layer average 1. The mean runs over the batch and,
    for a convolution, over space. Each is at least 0 and at most H. As they are relative, they do
    not see a layer all of whose neurons shrink alike, nor a neuron that is stuck at a value other
    than 0.

    Args:
      activations: `{layer: (B, …, H)}` of any floating dtype, as `graph.activations` returns.

    Returns:
      `{layer: (H,)}` float32. A wholly silent layer scores 0 everywhere, and a neuron scores
      exactly 0 if and only if it is silent on the whole batch. A layer with an activation that is
      not finite has no mean: NaN everywhere.
    """
    check_mapping("activations", activations, "{layer: (B, …, H)}")
    return {
        name: relative_to_layer(magnitudes(activation)) for name, activation in activations.items()
    }


def activation_score(
    graph: NeuronGraph, params: Any, activations: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """`dormancy_scores`, as a score that `dormant.intervene` takes."""
    del graph, params
    return dormancy_scores(activations)


def contribution_utility(
    graph: NeuronGraph, params: Any, activations: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """Continual backprop's utility: `u_i = E|h_i - E h_i| sum|w_out| / sum|w_in|` (figure 25).

    The variant of Dohare et al. (2024, Eq. 1) that the released code scores with, divided by the
    layer's mean so that a threshold on it means the same for every layer; the order within a layer
    is the released one. The sums run over kernel entries: over all columns that feed the neuron,
    over all positions of a flatten and over all layers that read it. A noisy layer's means and
    deviations both count. A neuron without incoming weights is not divided.

    Args:
      graph: the network's neuron graph.
      params: parameter tree.
      activations: `{layer: (B, …, H)}` of any floating dtype, as `graph.activations` returns.

    Returns:
      `{layer: (H,)}` float32 with mean 1; 0 for a neuron that does not vary over the batch or that
      nothing reads with a weight other than 0. NaN everywhere in a layer with an activation or a
      weight that is not finite.

    Raises:
      ValueError: if a layer has no weights of its own to sum: nothing reads its neurons, or they
        share their incoming or outgoing weights.
    """
    leaves = graph.parameters.leaves("params", params)
    found = {}
    for name, activation in activations.items():
        layer = graph[name]
        outgoing = sums_of_weights(leaves, layer, "outgoing")
        incoming = sums_of_weights(leaves, layer, "incoming")
        contribution = relative_to_layer(_deviation(activation)) * outgoing
        utility = contribution / jnp.where(incoming > 0, incoming, 1.0)
        mean = jnp.mean(utility)
        known = jnp.isfinite(mean) & jnp.all(jnp.isfinite(incoming))
        found[name] = jnp.where(known, utility / jnp.where(mean > 0, mean, 1.0), jnp.nan)
    return found


def contribution_score(
    graph: NeuronGraph, params: Any, activations: Mapping[str, jax.Array]
) -> Scores:
    """Continual backprop's contribution `E|h_i| sum|w_out|`, equation 1 of Dohare et al. 2024.

    In the units of what it adds to the next layer, not divided by the layer's mean, so it is for
    selections that compare neurons of one layer: `parts.budget`, `parts.mature_and_rare`. With
    `parts.running_average` it is that article's utility.

    Args:
      graph, params, activations: as for `contribution_utility`.

    Returns:
      `{layer: (H,)}` float32, at least 0; NaN for a neuron that is not finite.

    Raises:
      ValueError: if a layer's neurons have no outgoing weights of their own.
    """
    leaves = graph.parameters.leaves("params", params)
    found = {}
    for name, activation in activations.items():
        layer = graph[name]
        magnitude = magnitudes(activation)
        mean = jnp.mean(magnitude, axis=tuple(range(magnitude.ndim - 1)))
        found[name] = mean * sums_of_weights(leaves, layer, "outgoing")
    return found


def variability_score(
    graph: NeuronGraph, params: Any, activations: Mapping[str, jax.Array]
) -> Scores:
    """A neuron's standard deviation over its layer's mean: `s_i = std(h_i) / mean_k std(h_k)`.

    For activations that do not rest at 0, such as tanh, sigmoid, cosine, or swish, of which a
    saturated neuron has a large mean absolute activation and says nothing of its input: Eq. 1 calls
    it active, this score dormant. It cannot see that a neuron has no influence because nothing
    reads it. What is recycled at a score of 0 is constant on the batch, not silent, so outputs
    change by that constant times the outgoing weights.

    Args:
      graph, params: not read.
      activations: `{layer: (B, …, H)}`; the deviation runs over the batch and over space.

    Returns:
      `{layer: (H,)}` float32 with mean 1; 0 exactly for a neuron that is constant on the batch; NaN
      in a layer with an activation that is not finite.
    """
    del graph, params
    return {
        name: relative_to_layer(_root_mean_square(_deviation(activation)))
        for name, activation in activations.items()
    }


def gradient_score(of: str = "pre_activations") -> Score:
    """GraMa: a neuron's mean absolute gradient over its layer's (Liu et al. 2025, 2505.24061).

    `s_i = E|dL/dz_i| / mean_k E|dL/dz_k|`. A neuron that gets no gradient does not learn, whatever
    its activation: this score sees units that are saturated, and also those that nothing reads. It
    depends on the batch and on what the loss still has to correct: where the loss is fitted, all of
    a layer's gradients are small and their ratio is noise.

    Args:
      of: `"pre_activations"`, for `update(..., pre_activation_gradients=)`, over batch and space;
        or `"weights"`, the mean absolute gradient of the kernel entries that feed the neuron, for
        `update(..., gradient=)`, which costs no pass of its own and in which the rows of the batch
        may cancel out.

    Returns:
      A `Score` with mean 1 in each layer; 0 for a neuron without any gradient. The paper selects at
      tau = 0.01.

    Raises:
      ValueError: if `of` is neither.
    """
    check_choice("of", of, GRADIENTS_OF)

    def of_pre_activations(graph: NeuronGraph, inputs: ScoreInputs, state: Any):
        gradients = inputs.pre_activation_gradients or {}
        sizes = {name: jnp.abs(gradients[name].astype(jnp.float32)) for name in graph.names}
        return {name: relative_to_layer(size) for name, size in sizes.items()}, state

    def of_weights(graph: NeuronGraph, inputs: ScoreInputs, state: Any):
        leaves = graph.parameters.leaves("gradient", inputs.gradient)
        found = {}
        for layer in graph.layers:
            sums = sums_of_weights(leaves, layer, "incoming")
            found[layer.name] = relative_to_layer(sums[None])
        return found, state

    if of == "weights":
        return Score(of_weights, needs=(GRADIENT,))
    return Score(of_pre_activations, needs=(PRE_ACTIVATION_GRADIENTS,))


def _root_mean_square(deviation: jax.Array) -> jax.Array:
    """(1, H) of (B, …, H)."""
    # By the largest, so that squares do not underflow.
    largest = jnp.max(jnp.abs(deviation))
    scale = jnp.where(largest > 0, largest, 1.0)
    axes = tuple(range(deviation.ndim - 1))
    return (scale * jnp.sqrt(jnp.mean(jnp.square(deviation / scale), axis=axes)))[None]


def _deviation(activation: jax.Array) -> jax.Array:
    """Distance from the neuron's mean; exactly 0 for a constant, whatever the mean rounds to."""
    activation = activation.astype(jnp.float32)
    axes = tuple(range(activation.ndim - 1))
    most, least = jnp.max(activation, axis=axes), jnp.min(activation, axis=axes)
    # Their difference is 0, or NaN where they are not finite.
    return jnp.where(
        most > least, jnp.abs(activation - jnp.mean(activation, axis=axes)), most - least
    )


def sums_of_weights(leaves: Mapping[str, jax.Array], layer: Layer, side: str) -> jax.Array:
    """(H,) float32: the sum of the absolute values of the kernel entries on one side of a neuron,
    "incoming" or "outgoing"; ValueError where there are none."""
    found = tuple(entries for entries in getattr(layer, side) if entries.role == "kernel")
    if not found:
        raise ValueError(
            "the score needs a layer whose neurons have incoming and outgoing weights of their own;"
            f" got {layer.name!r} without {side} ones"
        )
    total = jnp.zeros(layer.neurons, jnp.float32)
    for entries in found:
        total += entries.sums(jnp.abs(leaves[entries.path].astype(jnp.float32)), layer.neurons)
    return total


def relative_to_layer(magnitude: jax.Array) -> jax.Array:
    """(H,): each neuron's mean of a (B, …, H) magnitude over the layer's mean of the same."""
    # Dividing by the largest value first cannot overflow, whatever the scale. It is quartered
    # when large, because XLA may multiply by the reciprocal, which vanishes above 2 ** 126.
    quarter = jnp.where(jnp.max(magnitude) > 1, 0.25, 1.0)
    largest = jnp.max(magnitude * quarter)
    scaled = magnitude * quarter / jnp.where(largest > 0, largest, 1.0)
    batch_axes = tuple(range(magnitude.ndim - 1))
    mean = jnp.mean(scaled, axis=batch_axes)
    layer_mean = jnp.mean(mean)
    scores = mean / jnp.where(layer_mean > 0, layer_mean, 1.0)
    # A score that underflows must not make a live neuron look silent.
    silent = jnp.all(magnitude == 0, axis=batch_axes)
    scores = jnp.where(silent, 0.0, jnp.maximum(scores, _TINY))
    return jnp.where(jnp.isfinite(largest), scores, jnp.nan)

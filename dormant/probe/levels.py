# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The levels of evidence: what each needs, what it measures and what it cannot show."""

import inspect
import math
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import dormant
from dormant import interventions, measures
from dormant.checks import check, first_line
from dormant.graph import Entries
from dormant.interventions.scores import ScoreInputs, gradient_score
from dormant.measures.measure import DEFAULT_TAUS
from dormant.plasticity import PlasticityProbe, plasticity_probe
from dormant.probe.networks import Network

LEVELS = ("weights", "activations", "gradients", "plasticity")
_MEASURES = (
    measures.srank(),
    measures.effective_rank(),
    measures.stable_rank(),
    measures.fau(),
    measures.low_variability_units(),
    measures.feature_norm(),
)
GRADIENT_TAUS = (0.0, 0.01, 0.1)
# Rows of the inputs that the plasticity probe fits, at most.
PLASTICITY_ROWS = 128
# Activations beyond this, of functions with values in [-1, 1], count as saturated.
SATURATED = 0.95
CANNOT_SHOW = {
    "weights": (
        "Weights alone do not show what the network does on its inputs: a unit with ordinary"
        " weights may be silent on all of them, and which layer reads which is told from names and"
        " shapes. The scale of weights means little behind a normalization."
    ),
    "activations": (
        "Activations show these inputs alone: a unit that is silent on them may be active on"
        " others, and one that is active need not be of use. A low rank or many dormant units do"
        " not prove that the network cannot learn: such networks can match fresh ones on a very"
        " different task (arXiv:2603.21173)."
    ),
    "gradients": (
        "Gradients show one batch of one loss: a small one may be that of a loss that is solved."
    ),
    "plasticity": (
        "The probe shows how these parameters fit two kinds of new targets on these inputs, with"
        " an optimizer begun anew: not the task itself, not the optimizer's own state, and not the"
        " spread over training runs. Larger weights alone fit faster."
    ),
}


class Measured(NamedTuple):
    """What was measured of one checkpoint, up to a level; None beyond it."""

    weights: dict[str, dict[str, Any]]  # {array: {what: number}}
    layers: dict[str, dict[str, Any]] | None = None  # {layer: {what: number}}
    scores: dict[str, np.ndarray] | None = None  # {layer: (H,)}
    gradients: dict[str, dict[str, Any]] | None = None
    inactivity: dict[str, np.ndarray] | None = None  # {layer: (H,)}, GraMa
    plasticity: PlasticityProbe | None = None
    warnings: tuple[str, ...] = ()


def measure_activations(network: Network, params: Any, measured: Measured) -> Measured:
    """With dormancy, ranks, shares and norms of every hidden layer on the inputs."""
    graph = network.graph
    activations = jax.jit(graph.activations)(params, *network.inputs)
    scores = dormant.dormancy_scores(activations)
    given = measures.MeasureInputs(params, activations, network.inputs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = measures.measured(graph, _MEASURES, given)
    caps = measures.rank_cap(graph, activations)
    leaves = graph.parameters.leaves("params", params)
    layers = {}
    for layer in graph.layers:
        name = layer.name
        layers[name] = {
            "neurons": layer.neurons,
            "recyclable": layer.recyclable,
            "obstacle": layer.obstacle,
            "dormant": {f"{tau:g}": _share(scores[name], tau) for tau in DEFAULT_TAUS},
            "saturated": _saturated(np.asarray(activations[name], np.float32)),
            "no_incoming": _without(leaves, layer.incoming, layer.neurons),
            "no_outgoing": _without(leaves, layer.outgoing, layer.neurons),
            **{measure: float(values[name]) for measure, values in found.items() if name in values},
            **({"rank_cap": caps[name]} if name in caps else {}),
        }
    told = [first_line(each.message) for each in caught if isinstance(each.message, UserWarning)]
    return measured._replace(
        layers=layers,
        scores={name: np.asarray(score) for name, score in scores.items()},
        warnings=(*measured.warnings, *told, *_about_layers(network, params, layers)),
    )


def measure_gradients(network: Network, params: Any, measured: Measured) -> Measured:
    """With the norm of each layer's gradient, and how little that of each unit's weights is.

    The latter is `parts.gradient_score("weights")`, of the layers that have weights of their own.
    """
    assert network.gradient is not None
    gradient = network.gradient(params)
    graph = network.graph
    activations = jax.jit(graph.activations)(params, *network.inputs)
    metrics = dormant.network_metrics(graph, params, activations, gradient)
    own = graph.select([layer.name for layer in graph.layers
                        if any(each.role == "kernel" for each in layer.incoming)])  # fmt: skip
    given = ScoreInputs(params, activations, gradient)
    inactivity = gradient_score("weights").measure(own, given, ())[0]
    rows: dict[str, dict[str, Any]] = {}
    for name, norm in metrics.gradient_norm.items():
        rows[name] = {"gradient_norm": float(norm), "weight_norm": float(metrics.weight_norm[name])}
        if name in inactivity:
            shares = {f"{tau:g}": _share(inactivity[name], tau) for tau in GRADIENT_TAUS}
            rows[name]["inactive"] = shares
    rows["(all)"] = {
        "gradient_norm": float(metrics.gradient_norm_total),
        "weight_norm": float(metrics.weight_norm_total),
    }
    known = {name: np.asarray(score) for name, score in inactivity.items()}
    return measured._replace(gradients=rows, inactivity=known)


def measure_plasticity(
    network: Network, params: Any, measured: Measured, *, steps: int, seeds: int
) -> Measured:
    """With `dormant.plasticity_probe` on the first rows of the inputs."""
    inputs = _fitted_rows(network)
    found = plasticity_probe(
        network.apply, params, network.init, inputs, jax.random.key(0), steps=steps, seeds=seeds
    )
    return measured._replace(plasticity=jax.tree.map(np.asarray, found))


def plasticity_work(network: Network, params: Any, *, steps: int, seeds: int) -> float:
    """Floating-point operations of `measure_plasticity`, roughly; NaN where they cannot be told."""
    lowered = jax.jit(network.apply).lower(params, *_fitted_rows(network))
    costs = lowered.cost_analysis() or {}
    # Two starts for two kinds of targets; a gradient costs about three forward passes.
    return float(costs.get("flops", math.nan)) * 3 * 4 * steps * seeds


def _fitted_rows(network: Network) -> tuple[jax.Array, ...]:
    return tuple(jnp.asarray(each)[:PLASTICITY_ROWS] for each in network.inputs)


class WhatIf(NamedTuple):
    """What an intervention would do."""

    recycled: dict[str, int]  # {layer: units}
    largest_change: float  # of an output on the inputs
    largest_output: float  # of them before, in absolute value
    notes: tuple[str, ...]


def what_if(network: Network, params: Any, name: str, options: Mapping[str, Any]) -> WhatIf:
    """Applies an intervention once, to a copy.

    Raises:
      ValueError: an option is not allowed, or there is no loss for an intervention that needs one.
    """
    optimizer = optax.identity()
    make = getattr(interventions, name)
    taken = inspect.signature(make).parameters
    given: dict[str, Any] = {"graph": network.graph, "init": network.init, "optimizer": optimizer}
    given |= {"period": 1, "of": "weights"}
    given = {option: value for option, value in given.items() if option in taken}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        intervention = make(**given, **options)
    gradients: dict[str, Any] = {}
    if "gradient" in intervention.needs:
        check(network.gradient is not None, "loss", f"given, as {name} needs a gradient", None)
        gradients["gradient"] = network.gradient(params)  # type: ignore[misc]
    state = intervention.init(jax.random.key(0))
    update = jax.jit(intervention.update)
    changed, _, state = update(params, optimizer.init(params), state, *network.inputs, **gradients)
    before, after = (
        [
            np.asarray(leaf, np.float64)
            for leaf in jax.tree.leaves(network.apply(each, *network.inputs))
        ]
        for each in (params, changed)
    )
    changes = [np.abs(new - old).max(initial=0.0) for old, new in zip(before, after, strict=True)]
    sizes = [np.abs(old).max(initial=0.0) for old in before]
    return WhatIf(
        {layer: int(count) for layer, count in state.report.recycled.items()},
        float(max(changes, default=0.0)),
        float(max(sizes, default=0.0)),
        tuple(first_line(each.message) for each in caught),
    )


def pooled(scores: Mapping[str, np.ndarray], tau: float) -> float:
    """The share of all units with a score of at most tau; NaN where one has none."""
    return _share(np.concatenate([np.ravel(score) for score in scores.values()]), tau)


def compared(
    network: Network | None,
    params: tuple[Any, Any],
    arrays: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]],
    measured: Measured,
) -> dict[str, Any]:
    """How a checkpoint, the first of each pair, differs from another."""
    own, other = arrays
    shared = [name for name in own if name in other and own[name].shape == other[name].shape]
    squares = sum(_squares(own[name], other[name]) for name in shared)
    found: dict[str, Any] = {
        "arrays": len(shared),
        "distance": float(np.sqrt(squares)),
        "norm": float(np.sqrt(sum(_squares(other[name]) for name in shared))),
    }
    if network is None or measured.scores is None:
        return found
    others = dormant.dormancy_scores(jax.jit(network.graph.activations)(params[1], *network.inputs))
    found["dormant"] = {f"{tau:g}": pooled({n: np.asarray(s) for n, s in others.items()}, tau)
                        for tau in DEFAULT_TAUS}  # fmt: skip
    overlaps: dict[str, Any] = {}
    own_scores = jax.tree.map(jnp.asarray, measured.scores)
    for tau in DEFAULT_TAUS:
        masks = [dormant.dormant_masks(scores, tau) for scores in (own_scores, others)]
        by_layer = dormant.overlap_coefficient(*masks)
        overlaps[f"{tau:g}"] = {name: float(value) for name, value in by_layer.items()}
    return found | {"overlap": overlaps}


def _squares(array: np.ndarray, other: Any = 0.0) -> float:
    return float(np.square(np.asarray(array, np.float64) - np.asarray(other, np.float64)).sum())


def _share(scores: Any, tau: float) -> float:
    scores = np.asarray(scores)
    return float(np.nan) if np.isnan(scores).any() else float(np.mean(scores <= np.float32(tau)))


def _saturated(values: np.ndarray) -> float:
    """The share of activations at an end of [-1, 1]; 0 where they go beyond it or stay away."""
    is_bounded = np.isfinite(values).all() and 0.9 < np.abs(values).max(initial=0.0) <= 1.0
    return float(np.mean(np.abs(values) > SATURATED)) if is_bounded else 0.0


def _without(leaves: Mapping[str, Any], entries: tuple[Entries, ...], neurons: int) -> float:
    """The share of units all of whose kernel entries are 0."""
    total = jnp.zeros(neurons, jnp.float32)
    kernels = [each for each in entries if each.role == "kernel"]
    for each in kernels:
        total += each.sums((leaves[each.path] != 0).astype(jnp.float32), neurons)
    return float(jnp.mean(total == 0)) if kernels else 0.0


def _about_layers(
    network: Network, params: Any, layers: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    program = str(jax.make_jaxpr(network.apply)(params, *network.inputs))
    bounded = "tanh" in program or "logistic" in program or "sigmoid" in program
    told = [
        f"{name}: {100 * row['saturated']:.0f} % of the activations are at an end of their range,"
        " where dormancy counts them as active: see the units of low variability"
        for name, row in layers.items()
        if bounded and row["saturated"] >= 0.01
    ]
    for obstacle, names in network.graph.obstacles.items():
        told.append(f"not recycled: {dormant.graph.some_names(names)}, as {obstacle}")
    return [*told, *network.graph.notes]

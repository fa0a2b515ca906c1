# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Weight sharing: over-active neurons give dormant ones their weights and a share of their work."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dormant.checks import check, check_count, check_number, is_number
from dormant.graph import Entries, Layer, NeuronGraph, check_graph
from dormant.interventions.actions import Action, Initializer, actable_layers, check_training
from dormant.interventions.layer_entries import have_finite
from dormant.interventions.moments import reset_moments
from dormant.interventions.recycling import recycle_usable


class _Groups(NamedTuple):
    """Who shares with whom in a layer of H neurons."""

    donor: jax.Array  # int32 (H,): whose weights each neuron gets; its own number where nobody's
    receives: jax.Array  # bool (H,)
    scale: jax.Array  # float32 (H,): factor of what feeds it; 1 where it does not receive


def weight_sharing(
    graph: NeuronGraph,
    init: Initializer,
    optimizer: optax.GradientTransformation,
    *,
    threshold: float = 3.0,
    receivers: int = 5,
    scales: tuple[float, float] = (1.0, 1.0),
    moments: str = "reset",
) -> Action:
    """ReBorn's action: selected neurons take over from over-active ones (Qin et al., NeurIPS 2024).

    Every selected neuron gets what feeds a donor of its layer, times a random `a`; a donor is a
    neuron with a score of at least `threshold` that is not selected. What reads the donor is split
    among it and its receivers: each gets a random share, receivers divide theirs by `a`, and the
    shares of every single entry sum to 1 (a softmax of normal numbers). So outputs stay, up to
    rounding, if the selected neurons were silent: with scales of 1 whatever the non-linearity, with
    others where it is positively homogeneous, as relu is, and no normalization lies before it.
    Where several kernels feed a layer, or an array that is no summand, as a scale or the slope of a
    PReLU, `a` is 1: factors would multiply up. Selected neurons for which there is no donor are
    recycled, and so are all where a grouped convolution is or reads the layer: its neurons read, or
    are read by, others.

    As in the released code (github.com/xmu-rl-3dv/ReBorn), except that moments are reset, and that
    donors are dealt out in turn, not drawn one by one. A constant that the network multiplies
    single neurons with is not followed.

    Args:
      graph: the network's neuron graph.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: the optimizer whose state is reset with the selected neurons; donors keep theirs,
        as their gradients stay.
      threshold: least score of an over-active neuron, more than 0.
      receivers: most neurons that one donor gives to, at least 1.
      scales: `a` is drawn from this interval, uniformly; more than 0. ReBorn's is (0.3, 0.8).
      moments: `"reset"` or `"keep"`: the optimizer's moments of the selected neurons' entries.

    Raises:
      ValueError: if an option is not valid, if `init` does not give the graph's parameters, or
        gives such as are not finite, or if the neurons of a layer have different numbers of
        entries.

    Warns:
      UserWarning: as `parts.recycling` does.
    """
    check_graph(graph)
    check_number("threshold", threshold, above=0)
    check_count("receivers", receivers, 1)
    is_interval = (
        isinstance(scales, list | tuple)
        and len(scales) == 2
        and all(is_number(each) for each in scales)
        and 0 < scales[0] <= scales[1] < float("inf")
    )
    check(is_interval, "scales", "two numbers > 0, the least and the largest", scales)
    check_training(graph, init, optimizer, moments)
    layers = actable_layers(graph)
    places = {
        entries: _places(name, entries, graph[name].neurons)
        for name in layers
        for entries in (*graph[name].incoming, *graph[name].outgoing)
    }
    scaled = {name for name in layers if _is_linear_in_what_feeds_it(graph[name])}
    grouped = {
        name
        for name in layers
        if any(each.groups > 1 for each in (*graph[name].incoming, *graph[name].outgoing))
    }
    wiring: dict[str, Any] = {"flatten_layout": "channels_last", "also": ()}

    def act(params, opt_state, masks, key, state, scores):
        fresh_key, *keys = jax.random.split(key, 1 + 2 * len(layers))
        old = graph.parameters.leaves("params", params)
        groups = {}
        for name, own_key in zip(layers, keys[: len(layers)], strict=True):
            layer = graph[name]
            own = [(entries, old[entries.path]) for entries in (*layer.incoming, *layer.outgoing)]
            # A weight that is not finite is not handed on.
            donors = (scores[name] >= threshold) & ~masks[name] & have_finite(own, layer.neurons)
            donors &= name not in grouped
            own_scales = scales if name in scaled else (1.0, 1.0)
            groups[name] = _drawn_groups(own_key, masks[name], donors, receivers, own_scales)
        left = {name: masks[name] & ~groups[name].receives for name in layers}
        params, recycled = recycle_usable(
            graph, params, init(fresh_key), left, outgoing="zero", **wiring
        )
        new = graph.parameters.leaves("params", params)
        # What feeds comes before what reads: an entry between two receivers is taken over first.
        for name, group in groups.items():
            for entries in graph[name].incoming:
                new[entries.path] = _taken_over(places[entries], entries, group, new[entries.path])
        for (name, group), own_key in zip(groups.items(), keys[len(layers) :], strict=True):
            for number, entries in enumerate(graph[name].outgoing):
                normal_key = jax.random.fold_in(own_key, number)
                value = new[entries.path]
                new[entries.path] = _split(places[entries], entries, group, value, normal_key)
        params = graph.parameters.unflatten(new)
        acted = {name: recycled[name] | groups[name].receives for name in layers}
        if moments == "reset":
            opt_state = reset_moments(optimizer, graph, opt_state, acted, params=params)
        return params, opt_state, acted, state

    return Action(layers, act)


def _drawn_groups(
    key: jax.Array,
    selected: jax.Array,
    donors: jax.Array,
    receivers: int,
    scales: tuple[float, float],
) -> _Groups:
    """Deals the selected neurons out to the donors in turn, both in random order."""
    neurons = selected.shape[0]
    order_key, scale_key = jax.random.split(key)
    # One sort: the selected neurons come first, then the donors.
    behind = jnp.where(selected, 0.0, jnp.where(donors, 1.0, 2.0))
    order = jnp.argsort(behind + jax.random.uniform(order_key, (neurons,))).astype(jnp.int32)
    wanting, giving = jnp.sum(selected), jnp.sum(donors)
    rank = jnp.arange(neurons)
    most = min(receivers, neurons)  # more would overflow int32
    receives_by_rank = rank < jnp.minimum(wanting, most * giving)
    donor_of_rank = order[wanting + rank % jnp.maximum(giving, 1)]
    donor = jnp.zeros_like(order).at[order].set(jnp.where(receives_by_rank, donor_of_rank, order))
    receives = jnp.zeros_like(selected).at[order].set(receives_by_rank)
    scale = jax.random.uniform(scale_key, (neurons,), minval=scales[0], maxval=scales[1])
    return _Groups(donor, receives, jnp.where(receives, scale, 1.0))


def _is_linear_in_what_feeds_it(layer: Layer) -> bool:
    """Whether its linear map is multiplied by `a` where all that feeds it is."""
    kernels = {entries.path for entries in layer.incoming if entries.role == "kernel"}
    return len(kernels) == 1 and all(entries.adds for entries in layer.incoming)


def _places(name: str, entries: Entries, neurons: int) -> np.ndarray:
    """(H, m): the m positions of each neuron along the entries' axes, flattened, ascending."""
    owner = entries.index.array.ravel()
    counts = np.bincount(owner[owner >= 0], minlength=neurons)
    if counts.min() != counts.max():
        raise ValueError(
            f"weights are shared in layers whose neurons have as many entries each; got {name!r}"
            f" with {counts.min()} to {counts.max()} in {entries.path}"
        )
    in_order = np.argsort(owner, kind="stable")
    return in_order[np.sum(owner < 0) :].reshape(neurons, -1)


def _by_neuron(places: np.ndarray, entries: Entries, value: jax.Array) -> jax.Array:
    """(H, m, others): the entries of each neuron."""
    others = tuple(axis for axis in range(value.ndim) if axis not in entries.axes)
    return value.transpose((*entries.axes, *others)).reshape(entries.index.array.size, -1)[places]


def _written(
    places: np.ndarray, entries: Entries, by_neuron: jax.Array, value: jax.Array
) -> jax.Array:
    """`value` with the entries of each neuron in it."""
    others = tuple(axis for axis in range(value.ndim) if axis not in entries.axes)
    order = (*entries.axes, *others)
    moved = value.transpose(order)
    flat = moved.reshape(entries.index.array.size, -1).at[places].set(by_neuron)
    return flat.reshape(moved.shape).transpose(np.argsort(order))


def _taken_over(
    places: np.ndarray, entries: Entries, group: _Groups, value: jax.Array
) -> jax.Array:
    """What feeds the receivers, from their donors."""
    old = _by_neuron(places, entries, value)
    scaled = (old[group.donor] * group.scale[:, None, None]).astype(old.dtype)
    return _written(places, entries, jnp.where(group.receives[:, None, None], scaled, old), value)


def _split(
    places: np.ndarray, entries: Entries, group: _Groups, value: jax.Array, key: jax.Array
) -> jax.Array:
    """What reads the donors, split among them and their receivers."""
    old = _by_neuron(places, entries, value)
    weights = jnp.exp(jax.random.normal(key, old.shape))
    totals = jnp.zeros_like(weights).at[group.donor].add(weights)
    shares = weights / totals[group.donor] / group.scale[:, None, None]
    gives = jnp.zeros_like(group.receives).at[group.donor].max(group.receives)
    changes = (group.receives | gives)[:, None, None]
    new = jnp.where(changes, (old[group.donor] * shares).astype(old.dtype), old)
    return _written(places, entries, new, value)

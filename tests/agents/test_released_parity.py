# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Scores, masks and recycling against the released `weight_recyclers.NeuronRecycler`, side by side.
What differs is stated too: the flatten, the reader of a ResNet's Conv_3, and biases' moments."""

import functools
import itertools
import types
import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

import dormant
from benchmarks import released_redo
from dormant.learners import ImpalaResNet, NatureCNN

with warnings.catch_warnings():
    # Gym and tensorflow-probability warn about themselves while they are imported.
    warnings.simplefilter("ignore")
    released_redo.install_released_redo()
    from dopamine.labs.redo import networks, recycled_dqn_agents, weight_recyclers

TAUS = (0.025, 0.1, 0.3)
BATCH, ACTIONS = 16, 6
KEY = jax.random.PRNGKey(3)
OPTIMIZER = optax.adam(6.25e-5, eps=1.5e-4)
STACKS = ("Stack_0", "Stack_1", "Stack_2")


class Case(NamedTuple):
    """One network in both libraries, with the same parameters on the same states."""

    ours: nn.Module
    theirs: nn.Module
    network: str  # as the released agent calls it
    layers: tuple[str, ...]  # that the released code records, in its order; the last is the output
    params: Any
    states: jax.Array
    intermediates: Any  # as the released agent captures them
    graph: dormant.NeuronGraph


@functools.cache
def case(network: str) -> Case:
    """The nature CNN at a quarter of its width, or the ResNet on small images: fast to compile."""
    ours, theirs, size = {
        "nature": (
            NatureCNN(ACTIONS, width=0.25),
            networks.ScalableNatureDQNNetwork(ACTIONS, width=0.25),
            84,
        ),
        "resnet": (ImpalaResNet(ACTIONS), networks.ScalableDQNResNet(ACTIONS, width=1), 12),
    }[network]
    rng = np.random.default_rng(0)
    states = jnp.asarray(rng.integers(0, 256, (BATCH, size, size, 4), dtype=np.uint8))
    shapes = jax.eval_shape(theirs.init, KEY, states[0])
    params = params_with_dormant_neurons(shapes, rng)
    # The agent's own method, given all that it reads of an agent.
    agent = types.SimpleNamespace(network_def=theirs, _sample_batch_for_statistics=lambda: states)
    intermediates = recycled_dqn_agents.RecycledDQNAgent.get_intermediates(agent, params)
    graph = dormant.trace(ours.apply, shapes, states)
    layers = tuple(type(theirs).layer_names)
    return Case(ours, theirs, network, layers, params, states, intermediates, graph)


def params_with_dormant_neurons(shapes: Any, rng: np.random.Generator) -> Any:
    """Random parameters of which each hidden layer has neurons of every score, and silent ones."""
    layers = {}
    for path, shape in flatten_dict(shapes).items():
        if path[-1] != "kernel":
            continue
        fan_in, neurons = np.prod(shape.shape[:-1]), shape.shape[-1]
        hidden = "final_layer" not in path
        scale = 10 ** rng.uniform(-3, 0, neurons) if hidden else np.ones(neurons)
        bias = 0.01 * scale * rng.normal(size=neurons)
        if hidden:
            bias[rng.choice(neurons, neurons // 8, replace=False)] = -30.0
        kernel = 3 * scale * rng.normal(size=shape.shape) / np.sqrt(fan_in)
        layers[path] = jnp.asarray(kernel, jnp.float32)
        layers[*path[:-1], "bias"] = jnp.asarray(bias, jnp.float32)
    return unflatten_dict(layers)


def recycler(network: str, tau: float, **options) -> weight_recyclers.NeuronRecycler:
    names = list(case(network).layers)
    return weight_recyclers.NeuronRecycler(
        names, network=network, dead_neurons_threshold=tau, reset_period=1, **options
    )


def opt_state_of_ones(params: Any) -> Any:
    """Adam's state with every moment 1, so that an entry whose moment was reset shows."""
    ones = jax.tree.map(jnp.ones_like, params)
    return optax.tree_utils.tree_set(OPTIMIZER.init(params), mu=ones, nu=ones, count=7)


class Recycled(NamedTuple):
    """Parameters and moments after a recycle, by path."""

    params: dict[str, jax.Array]
    mu: dict[str, jax.Array]
    nu: dict[str, jax.Array]
    count: int

    @classmethod
    def of(cls, params: Any, opt_state: Any) -> "Recycled":
        def get(name):
            return optax.tree_utils.tree_get(opt_state, name)

        return cls(by_path(params), by_path(get("mu")), by_path(get("nu")), int(get("count")))


def by_path(tree: Any) -> dict[str, Any]:
    return flatten_dict(tree["params"], sep="/")


@functools.cache
def released_recycle(network: str, tau: float, **options) -> Recycled:
    params = case(network).params
    opt_state = opt_state_of_ones(params)
    update = recycler(network, tau, **options).maybe_update_weights
    # It compiles anew at every call; unoptimized programs give the same bits and compile faster.
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        return Recycled.of(*update(1, case(network).intermediates, params, KEY, opt_state))
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


@functools.cache
def released_fresh(network: str) -> Any:
    """The parameters that the released code draws with KEY.

    It draws kernels of recycled layers only; the others are NaN here, so that using one shows.
    """
    key = KEY
    fresh = {
        path: jnp.full_like(leaf, jnp.nan) for path, leaf in by_path(case(network).params).items()
    }
    for layer in recycler(network, 0.0).reset_layers:
        key, subkey = jax.random.split(key)
        kernel = fresh[f"{layer}/kernel"]
        fresh[f"{layer}/kernel"] = nn.initializers.xavier_uniform()(subkey, kernel.shape)
        fresh[f"{layer}/bias"] = jnp.zeros_like(fresh[f"{layer}/bias"])
    return {"params": unflatten_dict(fresh, sep="/")}


@functools.cache
def our_scores(network: str) -> dict[str, jax.Array]:
    this = case(network)
    measure = jax.jit(lambda *inputs: dormant.dormancy_scores(this.graph.activations(*inputs)))
    return measure(this.params, this.states)


def our_masks(network: str, tau: float) -> dict[str, jax.Array]:
    """Of the layers that the released code recycles; ours leaves the same others alone."""
    masks = dormant.dormant_masks(our_scores(network), tau)
    return {layer: masks[layer] for layer in recycler(network, tau).reset_layers}


@functools.cache
def our_recycle(
    graph: dormant.NeuronGraph,
    network: str,
    tau: float,
    *,
    flatten_layout: str = "released_code",
    incoming_scale: str = "fresh",
) -> Recycled:
    params, fresh = case(network).params, released_fresh(network)
    recycle = compiled_recycle(graph, flatten_layout, incoming_scale)
    return Recycled.of(*recycle(params, fresh, opt_state_of_ones(params), our_masks(network, tau)))


@functools.cache
def compiled_recycle(graph: dormant.NeuronGraph, layout: str, incoming_scale: str) -> Any:
    @jax.jit
    def recycle(params, fresh, opt_state, masks):
        return (
            dormant.recycle(
                graph, params, fresh, masks, incoming_scale=incoming_scale, flatten_layout=layout
            ),
            dormant.reset_moments(OPTIMIZER, graph, opt_state, masks, flatten_layout=layout),
        )

    return recycle


def released_graph(network: str) -> dormant.NeuronGraph:
    """The network as the released code wires it: each layer is read by the next it recorded."""
    this, released = case(network), recycler(network, 0.0)
    wiring = {
        layer: (
            [f"params/{layer}/kernel", f"params/{layer}/bias"],
            [f"params/{released.next_layers[layer]}/kernel"],
        )
        for layer in released.reset_layers
    }
    return dormant.manual_graph(this.params, this.graph.activations, wiring)


def q_values(network: str, params: dict[str, jax.Array]) -> np.ndarray:
    apply = jax.jit(case(network).ours.apply)
    return np.asarray(apply({"params": unflatten_dict(params, sep="/")}, case(network).states))


def assert_equal(ours: dict[str, jax.Array], theirs: dict[str, jax.Array]) -> None:
    assert ours.keys() == theirs.keys()
    for path, value in ours.items():
        np.testing.assert_array_equal(value, theirs[path], err_msg=path)


def assert_equal_moments(ours: Recycled, theirs: Recycled, paths: Iterable[str]) -> None:
    for path in paths:
        np.testing.assert_array_equal(ours.mu[path], theirs.mu[path], err_msg=path)
        np.testing.assert_array_equal(ours.nu[path], theirs.nu[path], err_msg=path)


def is_kernel(path: str) -> bool:
    return path.endswith("/kernel")


def full_masks(tree: Any, network: str) -> dict[str, np.ndarray]:
    params = by_path(case(network).params)
    return {path: np.broadcast_to(mask, params[path].shape) for path, mask in by_path(tree).items()}


@pytest.mark.parametrize("network", ["nature", pytest.param("resnet", marks=pytest.mark.slow)])
def test_scores(network):
    this, estimate = case(network), recycler(network, 0.0).estimate_neuron_score
    captured = flatten_dict(this.intermediates, sep="/")
    for layer in this.layers[:-1]:
        (activation,) = captured[f"{layer}_act/__call__"]
        expected = estimate(activation)
        # On the same activations nothing but the released 1e-9 in the denominator differs.
        (scores,) = dormant.dormancy_scores({layer: activation}).values()
        np.testing.assert_allclose(scores, expected, rtol=2e-6)
        np.testing.assert_array_equal(scores == 0, expected == 0)
        np.testing.assert_allclose(our_scores(network)[layer], expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("network", ["nature", "resnet"])
def test_layers(network):
    """The trace measures each Conv_4 of the ResNet besides, and recycles the same layers."""
    graph, recorded = case(network).graph, case(network).layers[:-1]
    besides = {f"{stack}/Conv_4" for stack in STACKS} if network == "resnet" else set()
    assert set(graph.names) == {*recorded, *besides}
    recyclable = [layer.name for layer in graph.layers if layer.recyclable]
    assert recyclable == recycler(network, 0.0).reset_layers


def test_score_of_a_nearly_silent_layer_differs():
    """The released 1e-9 pulls the scores of tiny activations down; Eq. 1 does not know of scale."""
    activation = jnp.asarray([[1.0, 3.0, 2.0, 2.0]]) * 1e-9
    estimate = recycler("nature", 0.0).estimate_neuron_score
    np.testing.assert_allclose(estimate(activation), np.asarray([1, 3, 2, 2]) / 3, rtol=1e-5)
    (scores,) = dormant.dormancy_scores({"layer": activation}).values()
    np.testing.assert_allclose(scores, np.asarray([1, 3, 2, 2]) / 2, rtol=1e-5)
    for silent in (estimate(0 * activation), dormant.dormancy_scores({"": 0 * activation})[""]):
        np.testing.assert_array_equal(silent, np.zeros(4))


@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("network", ["nature", "resnet"])
def test_masks(network, tau):
    captured = flatten_dict(case(network).intermediates, sep="/")
    masks = dormant.dormant_masks(our_scores(network), tau)
    for layer in case(network).layers[:-1]:
        (activation,) = captured[f"{layer}_act/__call__"]
        expected = recycler(network, tau)._score2mask(activation, None, None, KEY)
        np.testing.assert_array_equal(masks[layer], expected)
    for layer, mask in our_masks(network, tau).items():
        assert 0 < mask.sum() < mask.size, f"{layer} shows nothing at tau {tau}"


@pytest.mark.parametrize("tau", TAUS)
def test_nature_recycles_the_same_entries(tau):
    before, after = by_path(case("nature").params), released_recycle("nature", tau)
    touched = dormant.parts.touched_entries(
        case("nature").graph, our_masks("nature", tau), flatten_layout="released_code"
    )
    incoming, outgoing = (full_masks(tree, "nature") for tree in touched)
    for path, old in before.items():
        found, either = after.params[path], incoming[path] | outgoing[path]
        np.testing.assert_array_equal(found != old, either, err_msg=path)
        if is_kernel(path):
            for moment in (after.mu[path], after.nu[path]):
                np.testing.assert_array_equal(moment == 0, either, err_msg=path)
        np.testing.assert_array_equal(found[outgoing[path]], 0.0)


@pytest.mark.parametrize("tau", TAUS)
def test_nature_recycles_to_the_same_parameters_and_moments(tau):
    """To the bit. Ours resets the moments of recycled biases besides."""
    ours = our_recycle(case("nature").graph, "nature", tau)
    theirs = released_recycle("nature", tau)
    assert_equal(ours.params, theirs.params)
    assert ours.count == theirs.count == 7
    masks = our_masks("nature", tau)
    for found, expected in ((ours.mu, theirs.mu), (ours.nu, theirs.nu)):
        for path, moment in expected.items():
            layer = path.removesuffix("/bias")
            if not is_kernel(path):
                assert (moment == 1).all()  # the released code leaves them as they are
                moment = jnp.where(masks[layer], 0.0, 1.0) if layer in masks else moment
            np.testing.assert_array_equal(found[path], moment, err_msg=path)


def test_nature_scales_incoming_weights_to_the_same_norm():
    """Figure 23. The released code draws the same weights and scales those."""
    ours = our_recycle(case("nature").graph, "nature", 0.1, incoming_scale="live_norm")
    theirs = released_recycle("nature", 0.1, weight_scaling=True)
    for path, value in ours.params.items():
        np.testing.assert_allclose(value, theirs.params[path], rtol=1e-5, err_msg=path)


def test_redo_does_in_one_call_what_the_released_agent_does():
    """An intervention scores, recycles and resets moments as the released code with its layout."""
    this, tau = case("nature"), 0.1
    redo = dormant.intervene(
        this.graph,
        selection=dormant.parts.below_threshold(tau),
        action=dormant.parts.recycling(
            this.graph,
            lambda _: released_fresh("nature"),
            OPTIMIZER,
            flatten_layout="released_code",
        ),
        when=dormant.parts.every(1),
    )
    opt_state = opt_state_of_ones(this.params)
    params, opt_state, state = jax.jit(redo.update)(
        this.params, opt_state, redo.init(KEY), this.states
    )
    ours, theirs = Recycled.of(params, opt_state), released_recycle("nature", tau)
    assert_equal(ours.params, theirs.params)
    assert ours.count == theirs.count
    assert_equal_moments(ours, theirs, filter(is_kernel, theirs.mu))
    assert state.report.recycled_total == sum(m.sum() for m in our_masks("nature", tau).values())


@pytest.mark.slow
def test_resnet_recycles_the_same_entries_where_the_links_agree():
    ours = our_recycle(case("resnet").graph, "resnet", 0.1)
    theirs = released_recycle("resnet", 0.1)
    agreeing = [f"{stack}/Conv_{i}" for stack in STACKS for i in (1, 2, 3)]
    kernels = [f"{layer}/kernel" for layer in [*agreeing, "final_layer"]]
    assert all((theirs.mu[path] == 0).any() for path in kernels)
    assert_equal_moments(ours, theirs, kernels)
    for path, value in theirs.params.items():
        if path in kernels or not is_kernel(path):
            np.testing.assert_array_equal(ours.params[path], value, err_msg=path)


def test_resnet_differs_in_the_reader_of_conv_3():
    """Conv_4 reads Conv_3; the released code takes the next stack's Conv_0, or Dense_0."""
    ours = our_recycle(case("resnet").graph, "resnet", 0.1)
    theirs = released_recycle("resnet", 0.1)
    masks, before = our_masks("resnet", 0.1), by_path(case("resnet").params)
    for stack in STACKS:
        path = f"{stack}/Conv_4/kernel"
        np.testing.assert_array_equal(theirs.params[path], before[path])
        assert (ours.params[path][:, :, masks[f"{stack}/Conv_3"]] == 0).all()
    for stack, next_stack in itertools.pairwise(STACKS):
        path = f"{next_stack}/Conv_0/kernel"
        assert (theirs.params[path][:, :, masks[f"{stack}/Conv_3"]] == 0).all()
        np.testing.assert_array_equal(ours.params[path], before[path])
    # On both sides Dense_0 draws its own neurons' columns; only the released one zeroes rows too.
    silenced = theirs.params["Dense_0/kernel"] != ours.params["Dense_0/kernel"]
    rows = np.repeat(masks["Stack_2/Conv_3"], silenced.shape[0] // 64)
    np.testing.assert_array_equal(silenced.all(axis=1), rows)
    np.testing.assert_array_equal(silenced.any(axis=1), rows)


@pytest.mark.parametrize("network", ["nature", "resnet"])
def test_the_graph_that_states_the_released_links_recycles_alike(network):
    ours = our_recycle(released_graph(network), network, 0.1)
    theirs = released_recycle(network, 0.1)
    assert_equal(ours.params, theirs.params)
    assert_equal_moments(ours, theirs, filter(is_kernel, theirs.mu))


@pytest.mark.parametrize("network", ["nature", "resnet"])
def test_at_tau_0_only_the_released_recycle_moves_q(network):
    """Its `repeat` at the flatten, and in the ResNet its reader of Conv_3, silence live weights."""
    before = q_values(network, by_path(case(network).params))
    assert all(mask.any() for mask in our_masks(network, 0.0).values())
    released = q_values(network, released_recycle(network, 0.0).params)
    assert np.abs(released - before).max() > 0.01 * np.abs(before).max()

    ours = our_recycle(case(network).graph, network, 0.0, flatten_layout="channels_last")
    np.testing.assert_array_equal(q_values(network, ours.params), before)
    old = by_path(case(network).params)
    assert any((value != old[path]).any() for path, value in ours.params.items())


def test_at_tau_0_the_flatten_is_all_that_moves_q_of_nature():
    ours = our_recycle(case("nature").graph, "nature", 0.0, flatten_layout="channels_last")
    theirs = released_recycle("nature", 0.0)
    differing = {path for path in ours.params if (ours.params[path] != theirs.params[path]).any()}
    assert differing == {"Dense_0/kernel"}
    silent = np.asarray(our_masks("nature", 0.0)["Conv_2"])
    rows = theirs.params["Dense_0/kernel"].shape[0]
    positions = rows // silent.size
    live = ~np.asarray(our_masks("nature", 0.0)["Dense_0"])
    for found, dropped in (
        (ours.params["Dense_0/kernel"], np.tile(silent, positions)),
        (theirs.params["Dense_0/kernel"], np.repeat(silent, positions)),
    ):
        np.testing.assert_array_equal((found[:, live] == 0).all(axis=1), dropped)

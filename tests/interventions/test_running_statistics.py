# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Networks with running statistics: those of a recycled neuron begin anew with its weights.
Four of sixteen neurons are silent, with weights of 0, so that their running variance is about 0."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import dormant
from dormant.graph import ParameterTree
from tests.small_networks import same_bits

X = jax.random.normal(jax.random.key(0), (64, 5))
DEAD = np.arange(16) < 4
KEY = jax.random.key(3)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Dense(16)(x))
        return nn.Dense(3)(nn.relu(x))


@jax.jit
def evaluate(variables, x):
    return Net().apply(variables, x, False)


@jax.jit
def init(key):
    return Net().init(key, X, False)


@functools.cache
def variables():
    """After training in which four neurons had died."""
    params = init(jax.random.key(1))["params"]
    params["Dense_0"]["kernel"] = jnp.where(DEAD, 0.0, params["Dense_0"]["kernel"])
    params["BatchNorm_0"]["bias"] = jnp.where(DEAD, -1.0, params["BatchNorm_0"]["bias"])
    found = {"params": params, "batch_stats": init(jax.random.key(1))["batch_stats"]}

    @jax.jit
    def averaged(found):
        return found | Net().apply(found, X, True, mutable=["batch_stats"])[1]

    for _ in range(200):
        found = averaged(found)
    return found


@functools.cache
def graph():
    return dormant.trace(evaluate, variables(), X)


@jax.jit
def activations(variables):
    return graph().activations(variables, X)


@functools.partial(jax.jit, static_argnums=0)
def after_one_step(optimizer, params):
    ones = jax.tree.map(jnp.ones_like, params)
    return optimizer.update(ones, optimizer.init(params), params)[1]


def check(new):
    """Statistics of the four are the initial ones, all others are kept, and activations usable."""
    found, old = (tree["batch_stats"]["BatchNorm_0"] for tree in (new, variables()))
    assert (old["var"][:4] < 1e-6).all()
    np.testing.assert_array_equal(found["mean"], np.where(DEAD, 0.0, old["mean"]))
    np.testing.assert_array_equal(found["var"], np.where(DEAD, 1.0, old["var"]))
    sizes = np.abs(activations(new)["Dense_0"]).mean(0)
    assert 0 < sizes[:4].min() and sizes[:4].max() < 5 * sizes[4:].mean()
    np.testing.assert_array_equal(evaluate(new, X), evaluate(variables(), X))


def test_recycle_resets_the_statistics_of_recycled_neurons():
    scores = dormant.dormancy_scores(activations(variables()))
    masks = dormant.dormant_masks(scores, 0.0)
    np.testing.assert_array_equal(masks["Dense_0"], DEAD)
    recycle = jax.jit(functools.partial(dormant.recycle, graph()))
    check(recycle(variables(), init(KEY), masks))


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adam(1e-3),
        dormant.per_entry_counts(optax.adam(1e-3)),
        optax.adamw(1e-3, mask={"Dense_0": True, "BatchNorm_0": False, "Dense_1": True}),
        optax.contrib.schedule_free_adamw(1e-3),
    ],
    ids=["adam", "per_entry_counts", "adamw in a mask", "schedule_free"],
)
def test_redo_takes_all_variables_beside_the_state_of_the_parameters(optimizer):
    params = variables()["params"]
    opt_state = after_one_step(optimizer, params)
    redo = dormant.redo(graph(), init, optimizer, tau=0.0, period=1)
    new, found, state = jax.jit(redo.update)(variables(), opt_state, redo.init(KEY), X)
    assert int(state.report.recycled_total) == 4
    check(new)
    assert jax.tree.structure(found) == jax.tree.structure(opt_state)
    moments = optax.tree_utils.tree_get(found, "nu")
    np.testing.assert_array_equal(moments["Dense_0"]["bias"] == 0, DEAD)
    np.testing.assert_array_equal(moments["Dense_1"]["kernel"][:, 0] == 0, DEAD)
    if "z" in getattr(found, "_fields", ()):
        kernel = new["params"]["Dense_0"]["kernel"]
        np.testing.assert_array_equal(found.z["Dense_0"]["kernel"][:, :4], kernel[:, :4])


def test_an_optimizer_of_all_variables_is_taken_as_well():
    optimizer = optax.sgd(0.1, momentum=0.9)
    opt_state = optimizer.update(variables(), optimizer.init(variables()))[1]
    redo = dormant.redo(graph(), init, optimizer, tau=0.0, period=1)
    new, found, _ = jax.jit(redo.update)(variables(), opt_state, redo.init(KEY), X)
    check(new)
    trace = found[0].trace["batch_stats"]["BatchNorm_0"]["var"]
    np.testing.assert_array_equal(trace == 0, DEAD)


def test_a_state_of_neither_is_refused():
    optimizer = optax.adam(1e-3)
    opt_state = optimizer.init(variables()["params"]["Dense_0"])
    with pytest.raises(ValueError, match="^`opt_state` must be a state of the intervention's"):
        dormant.reset_moments(optimizer, graph(), opt_state, {"Dense_0": jnp.asarray(DEAD)})


def test_a_whole_reset_takes_the_statistics_too():
    optimizer = optax.adam(1e-3)
    reset = dormant.layer_reset(graph(), init, optimizer, "all", period=1)
    opt_state = optimizer.init(variables()["params"])
    new, _, _ = jax.jit(reset.update)(variables(), opt_state, reset.init(KEY), X)
    np.testing.assert_array_equal(new["batch_stats"]["BatchNorm_0"]["var"], np.ones(16))


class Library(NamedTuple):
    """The same network in another library, and where its arrays stand."""

    variables: Callable[[jax.Array], Any]  # key -> initial ones
    parameters: Callable[[Any], Any]  # what of them an optimizer is of
    evaluate: Callable[[Any, jax.Array], jax.Array]
    paths: tuple[str, ...]  # of the hidden kernel, the bias behind it, mean and variance


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(5, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, use_running_average=True, rngs=rngs)
        self.head = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.relu(self.norm(self.hidden(x))))


def of_nnx():
    def evaluate(state, x):
        return nnx.merge(nnx.graphdef(NnxNet(nnx.Rngs(0))), state)(x)

    return Library(
        lambda key: nnx.state(NnxNet(nnx.Rngs(key))),
        lambda state: nnx.filter_state(state, nnx.Param),
        evaluate,
        ("hidden/kernel/value", "norm/bias/value", "norm/mean/value", "norm/var/value"),
    )


def haiku_net():
    def network(x, is_training):
        x = hk.BatchNorm(True, True, 0.9)(hk.Linear(16)(x), is_training)
        return hk.Linear(3)(jax.nn.relu(x))

    return hk.without_apply_rng(hk.transform_with_state(network))


def of_haiku():
    net = haiku_net()
    averages = (f"1/batch_norm/~/{name}_ema/average" for name in ("mean", "var"))
    return Library(
        lambda key: net.init(key, X, True),
        lambda variables: variables[0],
        lambda variables, x: net.apply(*variables, x, False)[0],
        ("0/linear/w", "0/batch_norm/offset", *averages),
    )


class EquinoxNet(eqx.Module):
    hidden: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    head: eqx.nn.Linear

    def __init__(self, key):
        first, second = jax.random.split(key)
        self.hidden = eqx.nn.Linear(5, 16, key=first)
        self.norm = eqx.nn.BatchNorm(16, "batch", mode="ema", inference=True)
        self.head = eqx.nn.Linear(16, 3, key=second)

    def __call__(self, x, state):
        x, state = self.norm(self.hidden(x), state)
        return self.head(jax.nn.relu(x)), state


def of_equinox():
    make = eqx.nn.make_with_state(EquinoxNet)
    static = eqx.filter(make(jax.random.key(0)), eqx.is_array, inverse=True)

    def evaluate(variables, x):
        model, state = eqx.combine(variables, static)
        return jax.vmap(lambda x: model(x, state)[0], axis_name="batch")(x)

    return Library(
        lambda key: eqx.filter(make(key), eqx.is_array),
        lambda variables: variables[0],
        evaluate,
        ("0/hidden/weight", "0/norm/bias", "1/1/0", "1/1/1"),
    )


@pytest.mark.parametrize("library", [of_nnx, of_haiku, of_equinox])
def test_other_libraries_reset_statistics_and_moments(library):
    library = library()
    library = library._replace(
        variables=jax.jit(library.variables), evaluate=jax.jit(library.evaluate)
    )
    kernel, bias, mean, var = library.paths
    structure = ParameterTree.of(library.variables(KEY))
    old = structure.leaves("variables", library.variables(jax.random.key(1)))
    rows = old[kernel].shape[0] == 16
    old[kernel] = np.where(DEAD[:, None] if rows else DEAD, 0.0, old[kernel])
    old[bias] = np.where(DEAD, -1.0, old[bias])
    old[mean] = np.where(DEAD, 1.0, 0.25).reshape(old[mean].shape)
    old[var] = np.where(DEAD, 1e-7, 4.0).reshape(old[var].shape)
    old = jax.tree.map(jnp.asarray, old)
    variables = structure.unflatten(old)
    graph = dormant.trace(library.evaluate, variables, X)

    adam = optax.adam(1e-3)
    params = library.parameters(variables)
    opt_state = after_one_step(adam, params)
    redo = dormant.redo(graph, library.variables, adam, tau=0.0, period=1)
    new, found, state = jax.jit(redo.update)(variables, opt_state, redo.init(KEY), X)
    assert int(state.report.recycled_total) == 4
    assert jax.tree.structure((new, found)) == jax.tree.structure((variables, opt_state))
    np.testing.assert_array_equal(library.evaluate(new, X), library.evaluate(variables, X))

    fresh = library.variables(jax.random.fold_in(redo.init(KEY).key, 1))
    masks = {name: jnp.asarray(DEAD) for name in graph.names}
    expected = jax.jit(functools.partial(dormant.recycle, graph))(variables, fresh, masks)
    new, fresh, expected = (structure.leaves("tree", tree) for tree in (new, fresh, expected))
    for path, value in expected.items():
        kept = np.asarray(value == old[path])
        assert same_bits(np.asarray(new[path])[kept], np.asarray(old[path])[kept])
        # What is drawn is drawn in a compiled program, which rounds otherwise.
        np.testing.assert_allclose(new[path], value, rtol=1e-5, atol=1e-6)
    for path in library.paths:
        dead = DEAD[:, None] if path == kernel and rows else DEAD
        drawn = jnp.where(dead, fresh[path], old[path])
        np.testing.assert_array_equal(expected[path], drawn, path)

    places = {path: place for place, path in enumerate(structure.paths)}
    numbers = library.parameters(jax.tree.unflatten(structure.treedef, range(len(places))))
    for moments in (found[0].mu, found[0].nu):
        of = dict(zip(jax.tree.leaves(numbers), jax.tree.leaves(moments), strict=True))
        np.testing.assert_array_equal(jnp.ravel(of[places[bias]] == 0), DEAD)
        zeros = (of[places[kernel]] == 0).all(1 if rows else 0)
        np.testing.assert_array_equal(zeros, DEAD)
        assert places[mean] not in of


def test_the_sums_that_haiku_averages_begin_anew():
    """`average` is computed from `hidden`, which evaluation does not read."""
    net = haiku_net()
    train = jax.jit(lambda params, state, x: net.apply(params, state, x, True)[1])
    params, state = net.init(KEY, X, True)
    for _ in range(20):
        state = train(params, state, 5 * X + 3)
    graph = dormant.trace(lambda v, x: net.apply(*v, x, False)[0], (params, state), X)
    masks = {"0/linear": jnp.asarray(DEAD)}
    fresh = net.init(jax.random.key(7), X, True)
    params, recycled = dormant.recycle(graph, (params, state), fresh, masks)
    old, drawn, new = (tree["batch_norm/~/mean_ema"] for tree in (state, fresh[1], recycled))
    for name in ("average", "hidden"):
        np.testing.assert_array_equal(new[name], np.where(DEAD, drawn[name], old[name]))
    means = (X @ params["linear"]["w"] + params["linear"]["b"]).mean(0)
    average = np.ravel(train(params, recycled, X)["batch_norm/~/mean_ema"]["average"])
    weight = 0.1 / (1 - 0.9**21)  # of the one step since, without the bias towards 0
    np.testing.assert_allclose(average[DEAD], weight * means[DEAD], rtol=1e-4)


def test_an_optimizer_of_another_part_is_refused():
    """Of two networks in one tree the moments of both must be given."""
    adam = optax.adam(1e-3)
    both = {"actor": init(KEY)["params"], "critic": {"w": jnp.ones((5, 6)), "v": jnp.ones((6, 1))}}

    def apply(both, x):
        hidden = nn.relu(nn.Dense(16).apply({"params": both["actor"]["Dense_0"]}, x))
        actor = nn.Dense(3).apply({"params": both["actor"]["Dense_1"]}, hidden)
        return actor, nn.relu(x @ both["critic"]["w"]) @ both["critic"]["v"]

    graph = dormant.trace(apply, both, X)
    masks = {name: jnp.zeros(graph[name].neurons, bool) for name in graph.names}
    dormant.reset_moments(adam, graph, adam.init(both), masks)
    with pytest.raises(ValueError, match="^`opt_state` must be a state of the intervention's"):
        dormant.reset_moments(adam, graph, adam.init(both["actor"]), masks)


def test_an_optimizer_that_intervenes_is_given_parameters_alone_and_says_so():
    adam = optax.adam(1e-3)
    redo = dormant.redo(graph(), init, adam, period=1)
    optimizer = dormant.as_transformation(adam, redo, KEY)
    params = variables()["params"]
    with pytest.raises(ValueError, match="^`params` must be all variables .* `as_transformation`"):
        optimizer.update(params, optimizer.init(params), params, inputs=X)


def frozen_statistics(variables):
    return {name: jax.tree.map(lambda _, name=name: name, each) for name, each in variables.items()}


OF_PARTS = {
    "of the parameters": (optax.adam(1e-2), lambda variables: variables["params"]),
    "multi_transform": (
        optax.multi_transform(
            {"params": optax.adam(1e-2), "batch_stats": optax.set_to_zero()}, frozen_statistics
        ),
        lambda variables: variables,
    ),
    "masked": (
        optax.masked(
            optax.adam(1e-2), lambda v: jax.tree.map(lambda name: name == "params",
                                                     frozen_statistics(v))
        ),
        lambda variables: variables,
    ),
}  # fmt: skip


@pytest.mark.parametrize("of", OF_PARTS)
@pytest.mark.parametrize("noise", ["init", "normal"])
def test_what_shrinks_and_perturbs_weights_leaves_statistics(noise, of):
    """A variance that normal noise is added to may be below 0."""
    graph = dormant.trace(lambda found, x: evaluate(found, x), variables(), X)
    (adam, part), before = OF_PARTS[of], variables()
    method = dormant.interventions.shrink_and_perturb(graph, init, adam, period=1, noise=noise)
    opt_state = adam.init(part(before))
    after, *_ = jax.jit(method.update)(before, opt_state, method.init(KEY), X)
    assert same_bits(after["batch_stats"], before["batch_stats"])
    for layer in ("Dense_0", "Dense_1"):
        assert (after["params"][layer]["kernel"] != before["params"][layer]["kernel"]).any()
    assert jnp.isfinite(evaluate(after, X)).all()


def test_what_draws_layers_anew_draws_their_statistics_too():
    graph = dormant.trace(lambda found, x: evaluate(found, x), variables(), X)
    adam, before = optax.adam(1e-2), variables()
    reset = dormant.intervene(
        graph,
        selection=dormant.parts.whole_layers(),
        action=dormant.parts.redrawing(graph, init, adam, layers="all"),
        when=dormant.parts.every(1),
    )
    after, *_ = jax.jit(reset.update)(before, adam.init(before["params"]), reset.init(KEY), X)
    assert same_bits(after["batch_stats"], init(KEY)["batch_stats"])

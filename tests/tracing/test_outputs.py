# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which outputs a recycle must keep: state and logs, chosen outputs, objects that are no arrays."""

import dataclasses

import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import dormant
from tests.traced_networks import (
    VECTOR,
    check_promise,
    quick_compilation,  # noqa: F401  (a fixture)
    recyclable,
    relu,
)

KEY = jax.random.key(0)


def init(key):
    shapes = {"hidden": (7, 6), "second": (6, 5), "head": (5, 2), "aux": (6, 3)}
    keys = dict(zip(shapes, jax.random.split(key, len(shapes)), strict=True))
    return {name: jax.random.normal(keys[name], shape) for name, shape in shapes.items()}


def layers(params, x):
    hidden = relu(x @ params["hidden"])
    second = relu(hidden @ params["second"])
    return hidden, second, second @ params["head"]


def recycled_neurons(graph, apply, *inputs):
    """Parameters with silent neurons in `hidden` and `second`, before and after a recycle."""
    params = init(KEY)
    params["hidden"] = params["hidden"].at[:, :2].set(0)
    params["second"] = params["second"].at[:, :2].set(0)
    masks = dormant.dormant_masks(dormant.dormancy_scores(graph.activations(params, *inputs)), 0.0)
    return params, dormant.recycle(graph, params, init(jax.random.key(1)), masks)


# -- state and logs -------------------------------------------------------------------------------


class Normalized(nn.Module):
    @nn.compact
    def __call__(self, x):
        h = relu(nn.BatchNorm(use_running_average=False)(nn.Dense(6)(x)))
        self.sow("intermediates", "features", h)
        self.sow("losses", "penalty", jnp.mean(h**2))
        return nn.Dense(2)(h)


@pytest.mark.parametrize("mutable", [["batch_stats"], ["batch_stats", "intermediates", "losses"]])
def test_flax_collections_are_no_outputs(mutable):
    network = Normalized()
    variables = network.init(KEY, VECTOR)
    stats = variables["batch_stats"]

    def apply(params, stats, x):
        return network.apply({"params": params, "batch_stats": stats}, x, mutable=mutable)

    graph = dormant.trace(apply, variables["params"], stats, VECTOR)
    assert recyclable(graph) == {"Dense_0": True}
    params = variables["params"]
    params["BatchNorm_0"]["bias"] = params["BatchNorm_0"]["bias"].at[:3].set(-50.0)
    masks = dormant.dormant_masks(
        dormant.dormancy_scores(graph.activations(params, stats, VECTOR)), 0.0
    )
    assert masks["Dense_0"].tolist() == [True] * 3 + [False] * 3
    fresh = network.init(jax.random.key(1), VECTOR)["params"]
    recycled = dormant.recycle(graph, params, fresh, masks)
    before, _ = apply(params, stats, VECTOR)
    after, _ = apply(recycled, stats, VECTOR)
    np.testing.assert_array_equal(before, after)


def test_running_statistics_of_haiku_are_no_outputs():
    def function(x):
        h = hk.BatchNorm(True, True, 0.9)(hk.Linear(6)(x), is_training=True)
        return hk.Linear(2)(relu(h))

    network = hk.without_apply_rng(hk.transform_with_state(function))
    params, state = network.init(KEY, VECTOR)
    graph = dormant.trace(network.apply, params, state, VECTOR)
    assert recyclable(graph) == {"linear": True}


def test_a_carry_that_comes_back_is_an_output():
    def apply(params, carry, x):
        hidden, _, out = layers(params, x)
        return hidden + carry, out

    graph = dormant.trace(apply, init(KEY), jnp.zeros((5, 6)), VECTOR)
    assert graph["hidden"].obstacle == "its activations are also an output of the network, [0]"


# -- chosen outputs -------------------------------------------------------------------------------


def with_logs(params, x):
    hidden, second, out = layers(params, x)
    return {"q": out, "logs": {"hidden": hidden, "penalty": jnp.mean(second**2)}}


def with_auxiliary_head(params, x):
    hidden, _, out = layers(params, x)
    return out, jnp.exp(hidden + 1) @ params["aux"]


def test_the_output_is_named():
    graph = dormant.trace(with_logs, init(KEY), VECTOR)
    reason = "its activations are also an output of the network, ['logs']['"
    assert graph["hidden"].obstacle == reason + "hidden']"
    assert graph["second"].obstacle == reason + "penalty']"


CHOSEN = {
    "logs": (with_logs, lambda out: out["q"]),
    "auxiliary head": (with_auxiliary_head, lambda out: out[0]),
    "computed from": (with_logs, lambda out: out["q"].argmax(-1)),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_chosen_outputs_are_kept(name):
    apply, chosen = CHOSEN[name]
    graph = dormant.trace(apply, init(KEY), VECTOR, outputs=chosen)
    assert recyclable(graph) == {"hidden": True, "second": True}
    params, recycled = recycled_neurons(graph, apply, VECTOR)
    before, after = chosen(apply(params, VECTOR)), chosen(apply(recycled, VECTOR))
    np.testing.assert_array_equal(before, after)
    assert (recycled["hidden"] != params["hidden"]).any(0).tolist() == [True] * 2 + [False] * 4


def test_readers_that_lead_to_other_outputs_are_cut_too():
    chosen = lambda out: out[0]  # noqa: E731
    assert not dormant.trace(with_auxiliary_head, init(KEY), VECTOR)["hidden"].recyclable
    graph = dormant.trace(with_auxiliary_head, init(KEY), VECTOR, outputs=chosen)
    assert set(graph["hidden"].read_by) == {"second", "aux"}
    _, recycled = recycled_neurons(graph, with_auxiliary_head, VECTOR)
    np.testing.assert_array_equal(recycled["aux"][:2], 0)


def test_what_is_chosen_stays_an_output():
    graph = dormant.trace(with_logs, init(KEY), VECTOR, outputs=lambda out: out["logs"]["hidden"])
    assert not graph["hidden"].recyclable and graph["second"].recyclable


def test_graphs_with_chosen_outputs_compare():
    chosen = lambda out: out["q"]  # noqa: E731
    first, second = (dormant.trace(with_logs, init(KEY), VECTOR, outputs=chosen) for _ in range(2))
    assert first == second and hash(first) == hash(second)
    assert first != dormant.trace(with_logs, init(KEY), VECTOR)


def test_outputs_must_be_a_function():
    with pytest.raises(ValueError, match="`outputs` must be.*got 'q'"):
        dormant.trace(with_logs, init(KEY), VECTOR, outputs="q")


def test_a_mistake_in_outputs_is_not_one_of_the_inputs():
    message = r"`outputs` must be a function of what `apply` returns, here .*: 'r'"
    with pytest.raises(dormant.TraceError, match=message):
        dormant.trace(with_logs, init(KEY), VECTOR, outputs=lambda out: out["r"])


@pytest.mark.parametrize("chosen", [None, {}, "q"])
def test_outputs_must_choose_an_array(chosen):
    with pytest.raises(dormant.TraceError, match="`outputs` must choose at least one array"):
        dormant.trace(with_logs, init(KEY), VECTOR, outputs=lambda out: chosen)


# -- objects --------------------------------------------------------------------------------------


class Categorical:
    """A distribution as an object that JAX does not know."""

    def __init__(self, logits):
        self.logits = logits


@jax.tree_util.register_pytree_node_class
class Normal:
    """A distribution that JAX knows, as those of distrax are."""

    def __init__(self, mean, scale):
        self.mean, self.scale = mean, scale

    def tree_flatten(self):
        return (self.mean, self.scale), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


def test_distributions_that_are_trees_are_accepted():
    apply = lambda params, x: Normal(layers(params, x)[2], 1.0)  # noqa: E731
    assert recyclable(check_promise(apply, init, VECTOR)) == {"hidden": True, "second": True}


def test_other_objects_need_a_choice():
    def apply(params, x):
        return layers(params, x)[1].sum(), Categorical(layers(params, x)[2])

    message = r"must return arrays; got a Categorical at \[1\]: choose arrays of it with `outputs`"
    with pytest.raises(dormant.TraceError, match=message):
        dormant.trace(apply, init(KEY), VECTOR)
    graph = dormant.trace(apply, init(KEY), VECTOR, outputs=lambda out: out[1].logits)
    assert recyclable(graph) == {"hidden": True, "second": True}
    assert graph.activations(init(KEY), VECTOR)["hidden"].shape == (5, 6)


def test_scalars_and_texts_among_the_outputs():
    apply = lambda params, x: (layers(params, x)[2], 3, 0.5, True, None, "name")  # noqa: E731
    graph = dormant.trace(apply, init(KEY), VECTOR)
    assert recyclable(graph) == {"hidden": True, "second": True}


def test_switches_among_the_inputs_stay_python_values():
    def apply(params, x, train, mode, times):
        hidden, _, out = layers(params, x)
        out = out if train else -out
        for _ in range(times):
            out = out + 1
        return out if mode == "plain" else jnp.tanh(out)

    inputs = (VECTOR, True, "plain", 2)
    graph = dormant.trace(apply, init(KEY), *inputs)
    assert recyclable(graph) == {"hidden": True, "second": True}
    found = graph.activations(init(KEY), *inputs)["hidden"]
    np.testing.assert_allclose(found, layers(init(KEY), VECTOR)[0], rtol=1e-5, atol=1e-6)
    assert graph.activations(init(KEY), VECTOR, False, "other", 1)["second"].shape == (5, 5)


def test_a_switch_decides_what_is_measured():
    def apply(params, x, shifted):
        return relu(x @ params["hidden"] + (5.0 if shifted else 0.0)) @ params["second"]

    params = init(KEY)
    graph = dormant.trace(apply, params, VECTOR, False)
    for shift in (False, True):
        expected = relu(VECTOR @ params["hidden"] + 5.0 * shift)
        found = graph.activations(params, VECTOR, shift)["hidden"]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# -- modules that hold their parameters -----------------------------------------------------------


def test_a_whole_nnx_module():
    class Model(nnx.Module):
        def __init__(self, rngs):
            self.hidden = nnx.Linear(7, 6, rngs=rngs)
            self.norm = nnx.BatchNorm(6, rngs=rngs)
            self.head = nnx.Linear(6, 2, rngs=rngs)

        def __call__(self, x):
            return self.head(nnx.relu(self.norm(self.hidden(x))))

    def make(key):
        model = Model(nnx.Rngs(key))
        model.eval()
        return model

    model, fresh = make(0), make(1)
    model.norm.bias[...] = model.norm.bias[...].at[:2].set(-50.0)
    apply = lambda model, x: model(x)  # noqa: E731
    graph = dormant.trace(apply, model, VECTOR)
    assert recyclable(graph) == {"hidden": True}
    masks = dormant.dormant_masks(dormant.dormancy_scores(graph.activations(model, VECTOR)), 0.0)
    assert masks["hidden"].tolist() == [True] * 2 + [False] * 4
    recycled = dormant.recycle(graph, model, fresh, masks)
    np.testing.assert_array_equal(model(VECTOR), recycled(VECTOR))
    drawn, kernel = fresh.hidden.kernel[...], recycled.hidden.kernel[...]
    np.testing.assert_array_equal(kernel[:, :2], drawn[:, :2])


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Module:
    """A module whose tree holds a function, as those of Equinox do."""

    hidden: jax.Array
    activation: object
    head: jax.Array

    def __call__(self, x):
        return self.activation(x @ self.hidden) @ self.head


def test_a_module_that_holds_functions_says_what_to_wrap():
    module = Module(init(KEY)["second"].T @ init(KEY)["second"], relu, init(KEY)["head"])
    with pytest.raises(ValueError, match="got a function at activation: .*eqx.partition"):
        dormant.trace(lambda module, x: module(x), module, VECTOR[:, :5])
    params = {"hidden": module.hidden, "head": module.head}
    rebuilt = lambda params, x: Module(params["hidden"], relu, params["head"])(x)  # noqa: E731
    assert recyclable(dormant.trace(rebuilt, params, VECTOR[:, :5])) == {"hidden": True}

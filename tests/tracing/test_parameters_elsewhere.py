# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Parameters that reach the outputs beside the products of their layers, or as weights that are not
zero where they are: their layers are measured, and not recycled."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dormant
from tests.traced_networks import (
    VECTOR,
    check_promise,
    quick_compilation,  # noqa: F401  (a fixture)
    recyclable,
    relu,
)

WIDTH = VECTOR.shape[1]


def init(key):
    keys = iter(jax.random.split(key, 6))
    shapes = {"first": (WIDTH, 8), "second": (8, 8), "head": (8, 3)}
    weights = {name: jax.random.normal(next(keys), shape) for name, shape in shapes.items()}
    return weights | {"bias": jax.random.normal(next(keys), (8,))}


def hidden(params, x):
    return relu(relu(x @ params["first"]) @ params["second"] + params["bias"])


def read_by(weights):
    """A network whose head has the weights that a function makes of its parameter."""
    return lambda params, x: hidden(params, x) @ weights(params["head"])


FIXED = np.arange(24.0).reshape(8, 3) % 5 - 2

# Weights that are zero where their parameter is: ways to write them, with one that rounds.
ZERO_WITH_THEM = {
    "magnitude": jnp.abs,
    "tanh": jnp.tanh,
    "rounded": lambda w: w + jax.lax.stop_gradient(jnp.round(w * 4) / 4 - w),
    "masked": lambda w: jnp.where(FIXED > 0, w, 0),
    "triangular": jnp.tril,
    "leaky": lambda w: jnp.where(w >= 0, w, 0.1 * w),
    "at least, below zero": lambda w: jnp.maximum(w, -0.5),
    "bounded": lambda w: jnp.clip(w, -0.5, 0.5),
    "scaled": lambda w: w * FIXED / 3,
    "joined": lambda w: jnp.concatenate([w[:4] * 2, w[4:]]),
    "padded": lambda w: jnp.pad(w[:, :2], ((0, 0), (0, 1))),
    "half": lambda w: w.astype(jnp.bfloat16).astype(w.dtype),
}
# Zero with it too, but of no slope there: a neuron that is not read would never be read again.
FLAT_AT_ZERO = {
    "sign": jnp.sign,
    "square": jnp.square,
    "power": lambda w: w**3,
    "by its magnitude": lambda w: w * jnp.abs(w),
    "pruned": lambda w: jnp.where(jnp.abs(w) < 0.5, 0, w),
    "not negative": lambda w: jnp.maximum(w, 0),
    "rectified": relu,
    "from 0 on": lambda w: jnp.clip(w, 0, 1),
}
NOT_ZERO_WITH_THEM = {
    "softplus": jax.nn.softplus,
    "exponential": jnp.exp,
    "sigmoid": jax.nn.sigmoid,
    "cosine": jnp.cos,
    "shifted": lambda w: w + 0.1,
    "one less": lambda w: 1 - w,
    "identity beside it": lambda w: w + jnp.eye(8, 3),
    "fixed beside it": lambda w: w + FIXED,
    "binary": lambda w: jnp.where(w >= 0, 1.0, -1.0),
    "fixed elsewhere": lambda w: jnp.where(FIXED > 0, w, 0.3),
    "clipped away from zero": lambda w: jnp.clip(w, 0.1, 1),
    "at least": lambda w: jnp.maximum(w, 0.05),
    "joined with fixed ones": lambda w: jnp.concatenate([w[:4], FIXED[4:]]),
    "padded with ones": lambda w: jnp.pad(w[:, :2], ((0, 0), (0, 1)), constant_values=1),
}


@pytest.mark.parametrize("name", ZERO_WITH_THEM)
def test_weights_that_are_zero_with_their_parameters_are_cut(name):
    graph = check_promise(read_by(ZERO_WITH_THEM[name]), init, VECTOR)
    assert recyclable(graph) == {"first": True, "second": True}


@pytest.mark.parametrize("name", FLAT_AT_ZERO)
def test_weights_without_a_gradient_at_zero_are_named(name):
    graph = check_promise(read_by(FLAT_AT_ZERO[name]), init, VECTOR)
    assert "head have no gradient where their parameters are 0" in graph["second"].obstacle
    assert graph["first"].recyclable
    slopes = jax.grad(lambda w: jnp.sum(FIXED * FLAT_AT_ZERO[name](w)))(jnp.zeros((8, 3)))
    # Of two equal operands JAX gives each a half.
    assert name in ("not negative", "from 0 on") or not slopes.any()


@pytest.mark.parametrize("name", ZERO_WITH_THEM)
def test_weights_that_are_cut_have_a_gradient(name):
    slopes = jax.grad(lambda w: jnp.sum(FIXED * ZERO_WITH_THEM[name](w)))(jnp.zeros((8, 3)))
    assert slopes.any()


@pytest.mark.parametrize("name", NOT_ZERO_WITH_THEM)
def test_weights_that_are_not_are_named(name):
    graph = check_promise(read_by(NOT_ZERO_WITH_THEM[name]), init, VECTOR)
    reason = r"the weights of head(\[.*\])? are not 0 where their parameters are"
    assert re.fullmatch(reason, graph["second"].obstacle)
    assert graph["first"].recyclable


def scaled_by(scale):
    """A network whose second layer is scaled by what a function makes of another parameter."""

    def apply(params, x):
        h = relu(x @ params["first"]) @ params["second"]
        return relu(h * scale(params["share"])) @ params["head"]

    return apply


def init_shares(key):
    return init(key) | {"share": 1 + jnp.arange(8.0)}


@pytest.mark.parametrize("scale", [jnp.max, lambda share: jnp.sum(share, keepdims=True)])
def test_scales_that_are_of_all_neurons_together_stay_as_they_are(scale):
    graph = check_promise(scaled_by(scale), init_shares, VECTOR)
    assert recyclable(graph) == {"first": True, "second": True}
    assert "share" not in {entries.path for entries in graph["second"].incoming}


@pytest.mark.parametrize("scale", [jax.nn.softmax, lambda share: share / jnp.linalg.norm(share)])
def test_scales_that_are_normalized_are_named(scale):
    graph = check_promise(scaled_by(scale), init_shares, VECTOR)
    reason = "weight sharing: share is also used by a normalization of its entries"
    assert recyclable(graph)["first"] and graph["second"].obstacle == reason


def test_incoming_weights_may_be_anything():
    def apply(params, x):
        return relu(x @ jax.nn.softplus(params["first"]) - 9) @ params["second"]

    assert recyclable(check_promise(apply, init, VECTOR)) == {"first": True}


def test_weights_beside_what_is_left_out_are_named():
    def apply(params, x):
        return hidden(params, x) @ (params["frozen"] + params["head"])

    params = init(jax.random.key(0)) | {"frozen": jnp.asarray(FIXED)}
    both = dormant.trace(apply, params, VECTOR)
    assert both["second"].recyclable
    alone = dormant.trace(apply, params, VECTOR, leave_out=["frozen"])
    assert "are not 0 where their parameters are" in alone["second"].obstacle


# What a network computes beside the product of its head, and what is named.
BESIDE = {
    "norm of columns": (
        lambda params, h: h @ params["head"] / jnp.linalg.norm(params["head"], axis=0),
        "head is also used by reduce_sum",
    ),
    "norm of all": (
        lambda params, h: h @ params["head"] / jnp.sqrt(jnp.sum(params["head"] ** 2)),
        "head is also used by reduce_sum",
    ),
    "cosine": (
        lambda params, h: (
            h
            @ params["head"]
            / (1 + jnp.linalg.norm(h, axis=1, keepdims=True))
            / jnp.linalg.norm(params["head"], axis=0)
        ),
        "head is also used by reduce_sum",
    ),
    "sum of columns": (
        lambda params, h: h @ params["head"] + params["head"].sum(0),
        "head is also used by reduce_sum",
    ),
    "largest weight": (
        lambda params, h: h @ params["head"] * params["head"].max(),
        "head is also used by reduce_max",
    ),
    "sum of biases": (
        lambda params, h: (h * params["bias"].sum()) @ params["head"],
        "bias is also used by reduce_sum",
    ),
    "weights of what it is multiplied with": (
        lambda params, h: h @ params["head"] + VECTOR[:, :3] * params["second"].sum(),
        "second is also used by reduce_sum",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BESIDE)
def test_a_second_way_of_a_parameter_to_the_outputs_is_named(name):
    head, reason = BESIDE[name]
    graph = check_promise(lambda params, x: head(params, hidden(params, x)), init, VECTOR)
    assert graph["second"].obstacle == f"weight sharing: {reason}"


def test_inputs_of_another_layer_that_weights_scale_are_named():
    def apply(params, x):
        scaled = x * params["head"].sum()
        return hidden(params, x) @ params["head"] + scaled @ params["first"] @ params["head"]

    graph = check_promise(apply, init, VECTOR)
    assert not any(recyclable(graph).values())


def with_penalty(params, x):
    h = hidden(params, x)
    penalty = 1e-3 * jnp.sum(params["head"] ** 2)
    return {"q": h @ params["head"], "penalty": penalty, "bias": params["bias"]}


def test_weights_in_an_output_are_named_unless_others_are_chosen():
    graph = check_promise(with_penalty, init, VECTOR)
    reason = "weight sharing: head is also in an output of the network, ['penalty']"
    assert graph["second"].obstacle == reason and graph["first"].recyclable
    chosen = dormant.trace(
        with_penalty, init(jax.random.key(0)), VECTOR, outputs=lambda out: out["q"]
    )
    assert recyclable(chosen) == {"first": True, "second": True}


def test_parameters_that_come_back_as_they_are_are_no_outputs():
    def apply(params, x):
        return hidden(params, x) @ params["head"], params

    graph = dormant.trace(apply, init(jax.random.key(0)), VECTOR)
    assert recyclable(graph) == {"first": True, "second": True}


def test_a_use_that_leads_to_no_chosen_output_does_not_count():
    def apply(params, x):
        q = hidden(params, x) @ params["head"]
        return q, q / jnp.linalg.norm(params["head"], axis=0)

    params = init(jax.random.key(0))
    assert not dormant.trace(apply, params, VECTOR)["second"].recyclable
    assert dormant.trace(apply, params, VECTOR, outputs=lambda out: out[0])["second"].recyclable


def test_kernels_of_several_parameters_at_the_top_have_a_name_that_can_be_left_out():
    def apply(variables, x):
        p = variables["params"]
        h = relu(x @ (p["mean"] + 0.1 * p["deviation"]))
        return relu(h @ p["second"]) @ p["head"]

    params = init(jax.random.key(0))
    params = {"params": params | {"mean": params["first"], "deviation": params["first"]}}
    graph = dormant.trace(apply, params, VECTOR)
    assert graph.names == ("deviation", "second")
    assert dormant.trace(apply, params, VECTOR, leave_out="second").names == ("deviation",)

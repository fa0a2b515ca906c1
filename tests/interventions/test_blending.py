# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Blending with fresh values: shrink and perturb, and the resets of SR-SPR and BBF."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import interventions, parts
from tests.interventions.soft_networks import (
    ADAM,
    IMAGES,
    KEY,
    NETWORKS,
    VECTORS,
    acted,
    assert_near,
    assert_same,
    float64,
    initializer,
    neurons,
    some,
    traced,
    trained,
)
from tests.traced_networks import quick_compilation  # noqa: F401


def action_of(network, keep, fresh, **options):
    init = initializer(network)
    return parts.blending(traced(network), init, ADAM, keep=keep, fresh=fresh, **options)


def everybody(network):
    return some(network, 1.1)


def blended(network, keep, fresh, key=KEY):
    return jax.tree.map(
        lambda old, new: keep * old + fresh * new,
        float64(trained(network)[0]),
        float64(initializer(network)(key)),
    )


@pytest.mark.parametrize("keep, fresh", [(0.6, 0.01), (0.5, 0.5), (1.0, 0.1), (0.0, 2.0)])
@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_every_parameter_is_shrunk_and_gets_a_part_of_a_fresh_one(network, keep, fresh):
    params, opt_state, masks, _ = acted(
        action_of(network, keep, fresh), network, everybody(network)
    )
    assert_near(params, blended(network, keep, fresh))
    assert_same((opt_state, masks), (trained(network)[1], everybody(network)))


@pytest.mark.parametrize("noise", ["init", "normal"])
def test_counters_and_keys_are_not_weights(noise):
    def with_others(key):
        others = {"steps": jnp.int32(7), "key": jax.random.key(7)}
        return {"net": initializer("mlp")(key)} | others

    def network(params, x):
        return NETWORKS["mlp"][0].apply(params["net"], x)

    params, plain = with_others(KEY), optax.identity()
    graph = dormant.trace(network, params, VECTORS)
    method = interventions.shrink_and_perturb
    act = method(graph, with_others, plain, period=1, noise=noise)
    found, *_ = act.update(params, plain.init(params), act.init(KEY), VECTORS)
    others = (found.pop("steps"), jax.random.key_data(found.pop("key")))
    assert_same(others, (params.pop("steps"), jax.random.key_data(params.pop("key"))))
    same = jax.tree.map(np.array_equal, found, params)
    assert not all(jax.tree.leaves(same))


def test_moments_are_reset_on_request():
    state = acted(action_of("mlp", 0.5, 0.5, moments="reset"), "mlp", everybody("mlp"))[1]
    assert all((leaf == 0).all() for leaf in jax.tree.leaves((state[0].mu, state[0].nu)))


def test_keeping_all_and_adding_nothing_is_the_identity_to_the_bit():
    params, opt_state = trained("mlp")
    odd = jnp.asarray([-0.0, jnp.inf, jnp.nan, 1e-45, -1.0, 3e38])
    layers = params["params"]
    params = {"params": layers | {"Dense_1": layers["Dense_1"] | {"bias": odd}}}
    action = action_of("mlp", 1, 0)
    new = jax.jit(action.act)(params, opt_state, everybody("mlp"), KEY, (), {})[0]
    for old, found in zip(jax.tree.leaves(params), jax.tree.leaves(new), strict=True):
        assert np.asarray(old).tobytes() == np.asarray(found).tobytes()


def test_keeping_nothing_is_a_redraw():
    action = action_of("cnn", 0, 1, layers=("Conv_1", "Dense_0"), moments="reset")
    options = {"layers": ("Conv_1", "Dense_0")}
    redrawing = parts.redrawing(traced("cnn"), initializer("cnn"), ADAM, **options)
    masks = {"Conv_1": jnp.arange(5) < 3}
    assert action.layers == redrawing.layers == ("Conv_1",)
    assert_same(acted(action, "cnn", masks), acted(redrawing, "cnn", masks))


@pytest.mark.parametrize("network, head", [("mlp", ("Dense_1", "Dense_2")), ("cnn", ("Dense_0",))])
def test_the_head_is_drawn_anew_with_its_moments_and_the_rest_is_interpolated(network, head):
    inputs = {"mlp": VECTORS, "cnn": IMAGES}[network]
    given = "last_hidden" if network == "mlp" else head
    graph, init = traced(network), initializer(network)
    method = interventions.interpolated_reset(graph, init, ADAM, 0.7, 1, head=given)
    update = jax.jit(method.update)
    params, opt_state, state = update(*trained(network), method.init(KEY), inputs)
    key = jax.random.fold_in(KEY, 1)
    expected = blended(network, 0.7, 0.3, key)
    expected |= {name: float64(init(key))[name] for name in head}
    assert_near(params, expected)
    before = trained(network)[1]
    for name, layer in opt_state[0].mu["params"].items():
        kept = before[0].mu["params"][name]
        assert_same(layer, jax.tree.map(jnp.zeros_like, kept) if name in head else kept)
    assert int(state.report.recycled_total) == sum(neurons(network).values())


def test_shrink_and_perturb_with_the_networks_own_and_with_normal_noise():
    graph, init = traced("mlp"), initializer("mlp")
    key = jax.random.fold_in(KEY, 1)

    def run(**options):
        method = interventions.shrink_and_perturb(graph, init, ADAM, 0.8, 0.1, 1, **options)
        return jax.jit(method.update)(*trained("mlp"), method.init(KEY), VECTORS)

    assert_near(run()[0], blended("mlp", 0.8, 0.1, key))
    params, opt_state, _ = run(noise="normal")
    assert_same(opt_state, trained("mlp")[1])
    noise = jax.tree.map(
        lambda new, old: (new - 0.8 * old) / 0.1, float64(params), float64(trained("mlp")[0])
    )
    values = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(noise)])
    error = 5 / np.sqrt(values.size)
    assert abs(values.mean()) < error and abs(values.std() - 1) < error
    assert len(np.unique(values)) == values.size  # a key for each array
    only = run(layers=("Dense_0",))[0]["params"]
    assert_same(only["Dense_1"], trained("mlp")[0]["params"]["Dense_1"])


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_nothing_is_blended_with_what_is_not_finite(bad):
    init = initializer("mlp")

    def broken(key):
        is_first = jnp.all(jax.random.key_data(key) == jax.random.key_data(jax.random.key(0)))
        return jax.tree.map(
            lambda leaf: leaf.at[..., 0].add(jnp.where(is_first, 0.0, bad)), init(key)
        )

    for redrawn in ((), ("Dense_2",)):
        options = {"keep": 0.5, "fresh": 0.5, "redrawn": redrawn}
        action = parts.blending(traced("mlp"), broken, ADAM, **options)
        params, opt_state, masks, _ = acted(action, "mlp", everybody("mlp"))
        assert_same((params, opt_state), trained("mlp"))
        assert not any(mask.any() for mask in masks.values())


def test_a_float16_network_is_not_blended_beyond_its_largest_number():
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.float16), trained("mlp")[0])
    action = action_of("mlp", 0.5, 1e6)
    act = jax.jit(action.act)
    new, _, masks, _ = act(half, ADAM.init(half), everybody("mlp"), KEY, (), {})
    assert_same(new, half)
    assert not any(mask.any() for mask in masks.values())


@pytest.mark.parametrize("network", NETWORKS)
def test_a_target_network_takes_the_blended_entries(network):
    output = NETWORKS[network][3]
    action = action_of(network, 0.5, 0.5, layers="last_hidden", redrawn=(output,))
    params, target = trained(network)[0], jax.tree.map(lambda leaf: leaf + 1, trained(network)[0])
    masks = {name: jnp.ones(neurons(network)[name], bool) for name in action.layers}
    mirror = jax.jit(action.mirror)
    found = mirror(params, target, masks, True)["params"]
    for name, layer in found.items():
        source = params if name in (output, *traced(network).penultimate) else target
        assert_same(layer, source["params"][name])
    nobody = jax.tree.map(jnp.zeros_like, masks)
    assert_same(mirror(params, target, nobody, False), target)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"keep": 1.1}, r"`keep` must be a number in \[0, 1\]; got 1.1"),
        ({"fresh": -0.1}, "`fresh` must be a number >= 0; got -0.1"),
        ({"redrawn": ("Dense_7",)}, "`redrawn` must name layers among .*; got 'Dense_7'"),
        ({"layers": ()}, r"`layers` must name at least one layer of the graph; got \(\)"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        action_of("mlp", **{"keep": 0.5, "fresh": 0.5} | options)
    with pytest.raises(ValueError, match="`noise` must be one of 'normal', 'init'; got 'uniform'"):
        interventions.shrink_and_perturb(traced("mlp"), initializer("mlp"), ADAM, noise="uniform")

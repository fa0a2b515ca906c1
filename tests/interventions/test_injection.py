# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Plasticity injection: outputs at that moment to the bit, and afterwards what learns and what does
not. A dense network 7-8-6-3 and a small CNN, of which the last layers are injected or all."""

import functools

import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import parts
from tests.traced_networks import CNN, MLP, VECTOR, quick_compilation, silence

__all__ = ["quick_compilation"]  # a fixture

ADAM = optax.adam(1e-2)
ADAMW = optax.masked(optax.adamw(1e-2, weight_decay=0.3), parts.trainable)
STEP = 3
KEY = jax.random.key(2)
IMAGE = jax.random.normal(KEY, (2, 5, 5, 2))


class Scaled(nn.Module):
    """Its last operation is a product, which compilers fuse with a difference."""

    @nn.compact
    def __call__(self, x):
        return 1.7 * MLP(nn.swish)(x) * self.param("scale", nn.initializers.normal(), (3,))


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.relu(nn.Dense(9)(x))


def whole(module, x, dtype=jnp.float32):
    """A network that is injected as a whole: `apply`, `init`, inputs."""

    def init(key):
        return jax.tree.map(lambda leaf: leaf.astype(dtype), module.init(key, x))

    return *parts.injectable(module.apply, init), x.astype(dtype)


def with_encoder():
    head_apply, head_init = parts.injectable(MLP().apply, lambda key: MLP().init(key, ENCODED))

    def init(key):
        one, two = jax.random.split(key)
        return {"encoder": Encoder().init(one, VECTOR), "head": head_init(two)}

    def apply(params, x):
        return head_apply(params["head"], Encoder().apply(params["encoder"], x))

    return apply, init, VECTOR


ENCODED = jnp.ones((1, 9))
NETWORKS = {
    "MLP": lambda: whole(MLP(), VECTOR),
    "MLP, bfloat16": lambda: whole(MLP(dtype=jnp.bfloat16), VECTOR, jnp.bfloat16),
    "CNN": lambda: whole(CNN(), IMAGE),
    "CNN, bfloat16": lambda: whole(CNN(), IMAGE, jnp.bfloat16),
    "scaled": lambda: whole(Scaled(), VECTOR),
    "with an encoder": with_encoder,
}
TRACES = []


@functools.cache
def made(name):
    """`apply`, `init`, inputs and the graph of a network."""
    apply, init, x = NETWORKS[name]()
    init = jax.jit(init)
    graph = dormant.trace(apply, jax.eval_shape(init, KEY), x)

    def counted(params, x):
        TRACES.append(name)
        return apply(params, x)

    return counted, init, x, graph


@functools.cache
def compiled(name, optimizer=ADAM):
    """The intervention, and one gradient step with it."""
    apply, init, x, graph = made(name)
    injection = dormant.interventions.plasticity_injection(graph, init, optimizer, STEP)

    def loss(params, x):
        return jnp.mean(jnp.square(apply(params, x).astype(jnp.float32) - 0.5))

    @jax.jit
    def step(carry):
        params, opt_state, state = carry
        gradient = jax.grad(loss)(params, x)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        learned = optax.apply_updates(params, updates)
        return (*injection.update(learned, opt_state, state, x),), learned

    return injection, step


def start(name, optimizer=ADAM, seed=0):
    params = made(name)[1](jax.random.key(seed))
    state = compiled(name, optimizer)[0].init(jax.random.key(seed + 10))
    return params, optimizer.init(params), state


def run(name, carry, steps, optimizer=ADAM):
    learned = None
    for _ in range(steps):
        carry, learned = compiled(name, optimizer)[1](carry)
    return carry, learned


@functools.cache
def at_injection(name, optimizer=ADAM):
    """What is carried after the injection's step, and the parameters just before it."""
    return run(name, start(name, optimizer), STEP, optimizer)


def optimized(function, *arguments):
    """Compiled with all optimizations, which this file goes without elsewhere."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        return jax.jit(lambda *arguments: function(*arguments)).lower(*arguments).compile()
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


@functools.cache
def injected(name):
    """Parameters that are not fresh, before and after the injection, and its state."""
    _, init, x, _ = made(name)
    injection = compiled(name)[0]

    @jax.jit
    def inject(key, params):
        state = injection.init(key)._replace(step=jnp.int32(STEP - 1))
        return injection.update(params, ADAM.init(params), state, x)

    key = jax.random.key(0)
    # A program of its own: one that returns what it changes can round the two in two ways.
    before = moved(init(key))
    after, _, state = inject(key, before)
    return before, after, state


@jax.jit
def moved(params):
    """What is trained, changed a little."""
    return jax.tree.map(
        lambda leaf, trained: leaf * jnp.asarray(1.1, leaf.dtype) + 0.01 if trained else leaf,
        params,
        parts.trainable(params),
    )


def part(params):
    return params.get("head", params)


def dtypes(tree):
    return jax.tree.map(lambda leaf: leaf.dtype, tree)


def same_bits(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_do_not_change_at_the_injection(name):
    apply, _, x, _ = made(name)
    before, after, state = injected(name)
    others = jax.random.normal(jax.random.key(9), x.shape).astype(x.dtype)
    # Compiled as in use too, with the fusions that round differently.
    for function in (jax.jit(apply), optimized(apply, before, x)):
        for inputs in (x, others):
            np.testing.assert_array_equal(function(before, inputs), function(after, inputs))
    old, new = part(before), part(after)
    assert old["injected"] == 0 and new["injected"] == 1
    assert same_bits(new["old"], old["trained"]) and same_bits(new["trained"], new["copy"])
    assert not same_bits(new["trained"], old["trained"])
    assert dtypes(after) == dtypes(before)
    inside = [layer for layer in state.report.recycled if "encoder" not in layer]
    assert all(state.report.recycled[layer] == state.masks[layer].size for layer in inside)
    if name == "with an encoder":
        assert same_bits(after["encoder"], before["encoder"])
        assert "encoder/params/Dense_0" in state.report.by_layer
        assert int(state.report.recycled["encoder/params/Dense_0"]) == 0


@pytest.mark.parametrize("name", ["MLP", "CNN", "with an encoder"])
def test_afterwards_the_outputs_are_those_of_the_paper(name):
    apply, _, x, _ = made(name)
    params = moved(injected(name)[1])
    plain = CNN() if name == "CNN" else MLP()
    inputs = Encoder().apply(params["encoder"], x) if "encoder" in params else x
    plainly = jax.jit(plain.apply)
    old, new, copy = (
        np.asarray(plainly(part(params)[each], inputs), np.float64)
        for each in ("old", "trained", "copy")
    )
    np.testing.assert_allclose(apply(params, x), old + new - copy, rtol=1e-5, atol=1e-6)
    assert np.abs(new - copy).max() > 1e-3


@pytest.mark.parametrize("optimizer", [ADAM, ADAMW], ids=["adam", "adamw"])
def test_what_is_frozen_stays_and_the_rest_learns(optimizer):
    name = "with an encoder"
    carry, _ = at_injection(name, optimizer)
    (params, _, state), _ = run(name, carry, 4, optimizer)
    before, after = part(carry[0]), part(params)
    for frozen in ("old", "copy", "injected"):
        assert same_bits(before[frozen], after[frozen]), frozen
    differ = jax.tree.map(lambda a, b: np.any(a != b), *jax.device_get((before, after)))["trained"]
    assert all(jax.tree.leaves(differ))
    assert not same_bits(carry[0]["encoder"], params["encoder"])
    assert int(state.report.recycled_total) == 8 + 6  # once


def test_the_first_gradient_is_that_of_the_fresh_weights():
    """Although the difference of the fresh parts is 0, it has the gradient of the trained one."""
    apply, _, x, _ = made("MLP")
    params = injected("MLP")[1]
    weights = jax.random.normal(KEY, (5, 3))
    gradient = jax.jit(jax.grad(lambda params: jnp.sum(weights * apply(params, x))))(params)
    expected = jax.jit(jax.grad(lambda params: jnp.sum(weights * MLP().apply(params, x))))(
        params["trained"]
    )
    for one, other in zip(
        jax.tree.leaves(gradient["trained"]), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    for frozen in ("old", "copy", "injected"):
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient[frozen]))


def test_as_many_parameters_are_trained_as_before():
    params, after, _ = injected("MLP")
    plain = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(MLP().init, KEY, VECTOR)))
    for tree in (params, after):
        marked = zip(jax.tree.leaves(parts.trainable(tree)), jax.tree.leaves(tree), strict=True)
        assert sum(leaf.size for trained, leaf in marked if trained) == plain


def test_moments_of_what_is_trained_begin_anew():
    (_, opt_state, _), _ = at_injection("with an encoder")
    for moments in (opt_state[0].mu, opt_state[0].nu):
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(moments["head"]))
        assert all(np.any(leaf) for leaf in jax.tree.leaves(moments["encoder"]))
    (_, masked, _), _ = at_injection("with an encoder", ADAMW)
    moments = masked.inner_state[0].mu
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(moments["head"]["trained"]))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(moments["encoder"]))


def test_until_then_it_is_the_network_alone():
    plain, x = MLP(), VECTOR
    apply, init, _, _ = made("MLP")
    params = init(KEY)
    assert same_bits(params["trained"], jax.jit(plain.init)(KEY, x))
    np.testing.assert_array_equal(
        jax.jit(apply)(params, x), jax.jit(plain.apply)(params["trained"], x)
    )
    (found, _, _), _ = run("MLP", start("MLP"), STEP - 1)
    first = start("MLP")[0]
    assert found["injected"] == 0
    assert same_bits((found["old"], found["copy"]), (first["old"], first["copy"]))


def test_a_head_that_normalizes_gives_its_encoder_a_gradient():
    def head(params, x):
        return x @ params / jnp.linalg.norm(x @ params, axis=-1, keepdims=True)

    apply, init = parts.injectable(head, lambda key: jax.random.normal(key, (7, 3)))
    params = jax.jit(init)(KEY)
    gradient = jax.grad(lambda scale: jnp.sum(apply(params, scale * VECTOR) ** 3))(jnp.ones(7))
    expected = jax.grad(lambda scale: jnp.sum(head(params["trained"], scale * VECTOR) ** 3))
    np.testing.assert_array_equal(gradient, expected(jnp.ones(7)))


@pytest.mark.parametrize("name", ["projected", "by batch"])
def test_optimizers_that_read_shapes_or_a_batch_are_taken(name):
    apply, init, x, graph = made("MLP")
    trained = parts.trainable_layers(graph)
    optimizer = (
        dormant.regularizers.norm_projection(ADAM, trained)
        if name == "projected"
        else dormant.regularizers.churn_reduction(ADAM, apply, 0.1, lambda batch: batch)
    )
    intervention, params = injection(optimizer=optimizer), init(KEY)
    update = jax.jit(intervention.update)
    carry = params, optimizer.init(params), intervention.init(KEY)
    for _ in range(STEP):
        assert carry[0]["injected"] == 0
        carry = update(*carry, x)
    assert carry[0]["injected"] == 1 and not same_bits(carry[0]["trained"], params["trained"])


def test_a_target_network_keeps_its_outputs_and_gets_the_same_fresh_weights():
    apply, init, x, graph = made("MLP")
    action = parts.injecting(graph, init, ADAM)
    params, target = init(jax.random.key(0)), init(jax.random.key(1))
    masks = {name: jnp.ones(graph[name].neurons, bool) for name in action.layers}
    new, _, masks, _ = jax.jit(action.act)(params, ADAM.init(params), masks, KEY, (), {})
    mirror = jax.jit(action.mirror)
    mirrored = mirror(new, target, masks, True)
    assert same_bits(mirrored["trained"], new["trained"])
    assert same_bits(mirrored["old"], target["trained"])
    np.testing.assert_array_equal(jax.jit(apply)(mirrored, x), jax.jit(apply)(target, x))
    assert same_bits(mirror(new, target, masks, False), target)
    assert same_bits(mirror(new, mirrored, masks, True), mirrored)


def test_no_part_is_injected_twice_and_none_with_weights_that_are_not_finite():
    _, init, _, graph = made("MLP")
    action = parts.injecting(graph, init, ADAM)
    params = init(jax.random.key(0))
    masks = {name: jnp.ones(graph[name].neurons, bool) for name in action.layers}
    act = jax.jit(action.act)
    once = act(params, ADAM.init(params), masks, KEY, (), {})
    twice = act(*once[:2], masks, jax.random.key(7), (), {})
    assert same_bits(once[:2], twice[:2]) and not any(mask.any() for mask in twice[2].values())

    def sometimes(key):  # not for the key that it is tried with
        bad = jax.random.key_data(key)[-1] == 2
        return jax.tree.map(lambda leaf: jnp.where(bad, jnp.nan, leaf), init(key))

    action = parts.injecting(graph, sometimes, ADAM)
    found = jax.jit(action.act)(params, ADAM.init(params), masks, KEY, (), {})
    assert same_bits(found[0], params) and not any(mask.any() for mask in found[2].values())


def test_redo_recycles_what_is_trained_before_and_after():
    apply, init, x, graph = made("MLP")
    trained = parts.trainable_layers(graph)
    assert [name.rpartition("/")[2] for name in trained.names] == ["Dense_0", "Dense_1"]
    assert all(name.startswith("trained/") for name in trained.names)
    learned = run("MLP", at_injection("MLP")[0], 2)[0][0]

    @jax.jit
    def recycle(params, fresh):
        masks = dormant.dormant_masks(dormant.dormancy_scores(trained.activations(params, x)), 0.0)
        return masks, dormant.recycle(trained, params, fresh, masks)

    for params in (init(jax.random.key(0)), learned):
        params, silenced = silence(trained, params)
        masks, recycled = recycle(params, init(KEY))
        assert all((masks[name] | ~mask).all() for name, mask in silenced.items())
        assert not same_bits(recycled["trained"], params["trained"])
        assert same_bits((recycled["old"], recycled["copy"]), (params["old"], params["copy"]))
        function = jax.jit(apply)
        np.testing.assert_array_equal(function(params, x), function(recycled, x))


def test_one_compilation_serves_every_step_and_runs_are_the_same():
    carry, _ = run("MLP", start("MLP"), 1)
    at_injection("MLP")
    traces = len(TRACES)
    carry, _ = run("MLP", carry, STEP + 1)
    again, _ = run("MLP", at_injection("MLP")[0], 2)
    assert len(TRACES) == traces
    assert same_bits(carry[:2], again[:2])
    other, _ = run("MLP", (*carry[:2], start("MLP", seed=5)[2]), STEP)
    assert same_bits(other[0]["old"], carry[0]["old"])  # injected once already


def test_a_run_continues_from_a_checkpoint_to_the_bit():
    half, _ = run("MLP", start("MLP"), STEP - 1)
    for carry, steps in ((half, 3), (at_injection("MLP")[0], 2)):
        written = flax.serialization.to_bytes(carry[:2])
        restored = flax.serialization.from_bytes(start("MLP", seed=4)[:2], written)
        assert same_bits(restored, carry[:2])
        expected, _ = run("MLP", carry, steps)
        found, _ = run("MLP", (*jax.tree.map(jnp.asarray, restored), carry[2]), steps)
        assert same_bits(found[:2], expected[:2])


def test_seeds_side_by_side_are_injected_as_alone():
    starts = [start("MLP", seed=seed) for seed in (0, 1)]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)
    step = jax.jit(jax.vmap(compiled("MLP")[1]))
    for _ in range(STEP):
        together, learned = step(together)
    apply = jax.jit(jax.vmap(made("MLP")[0], (0, None)))
    np.testing.assert_array_equal(apply(learned, VECTOR), apply(together[0], VECTOR))
    for seed in (0, 1):
        expected, _ = run("MLP", starts[seed], STEP)
        for one, other in zip(
            jax.tree.leaves(together[0]), jax.tree.leaves(expected[0]), strict=True
        ):
            np.testing.assert_allclose(one[seed], other, rtol=1e-4, atol=1e-5)


def warmed_up():
    return optax.adamw(optax.linear_schedule(0.0, 1e-3, 10))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: parts.injectable(3, made("MLP")[1]), "`apply` must be a function"),
        (lambda: parts.injectable(MLP().apply, 3), "`init` must be a function"),
        (lambda: injection(step=0), "`step` must be a whole number .*got 0"),
        (lambda: injection(optimizer=optax.adamw(1e-3)), "`optimizer` must be .*parts.trainable"),
        (lambda: injection(optimizer=warmed_up()), "`optimizer` must be .*parts.trainable"),
        (
            lambda: injection(optimizer=optax.MultiSteps(optax.adamw(1e-3), 4)),
            "`optimizer` must be .*parts.trainable",
        ),
        (
            lambda: injection(optimizer=dormant.weight_decay(ADAM, 1e-3)),
            "`optimizer` must be .*parts.trainable",
        ),
        (lambda: injection(init=lambda key: MLP().init(key, VECTOR)), r"`init\(key\)` must have"),
        (lambda: injection(graph=plain_graph()), "`graph` must be of a network with a part made"),
        (lambda: parts.trainable_layers(plain_graph()), "`graph` must be of a network"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def plain_graph():
    return dormant.trace(MLP().apply, jax.eval_shape(MLP().init, KEY, VECTOR), VECTOR)


def injection(**changed):
    _, init, _, graph = made("MLP")
    given = {"graph": graph, "init": init, "optimizer": ADAM, "step": STEP} | changed
    return dormant.interventions.plasticity_injection(**given)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a user may get wrong when an intervention is made or called: one line that names it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import interventions, parts
from tests.small_networks import (
    NINE_STATES,
    init_nine,
    init_residual,
    nine_graph,
    residual_graph,
    same_bits,
)

KEY = jax.random.key(1)
ADAM = optax.adam(1e-3)
PARAMS = init_nine(jax.random.key(0))
MASKS = {"w1": jnp.zeros(5, bool), "w2": jnp.zeros(4, bool)}


def redo(tau=0.1, period=1, **options):
    return dormant.redo(nine_graph(), init_nine, ADAM, tau, period, **options)


def call(intervention, params=PARAMS, opt_state=None, state=None, inputs=(NINE_STATES,), **given):
    opt_state = ADAM.init(PARAMS) if opt_state is None else opt_state
    state = intervention.init(KEY) if state is None else state
    return intervention.update(params, opt_state, state, *inputs, **given)


def intervene(**changed):
    made = {
        "selection": parts.below_threshold(0.1),
        "action": parts.recycling(nine_graph(), init_nine, ADAM),
        "when": parts.every(1),
    }
    return dormant.intervene(nine_graph(), **(made | changed))


def regrama(gradients):
    made = interventions.regrama(nine_graph(), init_nine, ADAM, period=1)
    return call(made, pre_activation_gradients=gradients)


def gradient_scored(gradient):
    made = interventions.regrama(nine_graph(), init_nine, ADAM, period=1, of="weights")
    return call(made, gradient=gradient)


def tracked(**given):
    return call(dormant.track(nine_graph(), period=1), **given)


def of_another_network():
    return dormant.redo(residual_graph(), init_residual, ADAM).init(KEY)


def mask_of_zeros(graph, params, activations):
    return {name: jnp.all(values == 0, axis=0) for name, values in activations.items()}


WRONG = {
    "period": lambda: redo(period=np.array(2.5)),
    "start": lambda: parts.every(1, start=jnp.array([3])),
    "head": lambda: interventions.interpolated_reset(nine_graph(), init_nine, ADAM, head=None),
    "loss": lambda: nine_graph().pre_activation_gradients(3, PARAMS, NINE_STATES),
    "loss ": lambda: nine_graph().pre_activation_gradients(jnp.abs, PARAMS, NINE_STATES),
    "pre_activation_gradients": lambda: regrama(lambda: {}),
    "pre_activation_gradients['w1']": lambda: regrama({"w1": 1.0, "w2": jnp.ones((9, 4))}),
    "pre_activation_gradients['w2']": lambda: regrama({"w1": jnp.ones((9, 5)), "w2": jnp.ones(3)}),
    "gradient": lambda: gradient_scored(lambda graph: PARAMS),
    "update": lambda: tracked(gradients=PARAMS),
    "iterations": lambda: interventions.fire(nine_graph(), ADAM, iterations=2**40),
    "layers": lambda: interventions.fire(nine_graph(), ADAM, layers=np.ones(2)),
    "end": lambda: parts.every(1, end=jnp.array(2.5)),
    "score_batch": lambda: redo(score_batch=jnp.array(2.0)),
    "tau": lambda: redo(lambda step: 0.1 if step > 5 else 0.0),
    "taus": lambda: redo(taus=np.array(0.1)),
    "taus ": lambda: redo(taus="0.1"),
    "also": lambda: parts.recycling(nine_graph(), init_nine, ADAM, also="w1"),
    "also ": lambda: dormant.recycle(nine_graph(), PARAMS, PARAMS, MASKS, also=None),
    "also  ": lambda: parts.touched_entries(nine_graph(), MASKS, also="w1"),
    "graph": lambda: dormant.recycle(PARAMS, PARAMS, PARAMS, MASKS),
    "graph ": lambda: dormant.reset_moments(nine_graph(), ADAM, ADAM.init(PARAMS), MASKS),
    "graph  ": lambda: dormant.network_metrics(PARAMS, PARAMS, {}),
    "apply": lambda: dormant.trace(None, PARAMS, NINE_STATES),
    "activations": lambda: dormant.network_metrics(nine_graph(), PARAMS, {}),
    "activations ": lambda: dormant.dormancy_scores([NINE_STATES]),
    "scores": lambda: dormant.dormant_masks([NINE_STATES], 0.1),
    "masks": lambda: dormant.recycle(nine_graph(), PARAMS, PARAMS, None),
    "masks['w1']": lambda: dormant.dormant_fraction({"w1": jnp.zeros(5)}),
    "masks_a['w1']": lambda: dormant.overlap_coefficient({"w1": jnp.zeros(5, int)}, MASKS),
    "masks_b['w1']": lambda: dormant.overlap_coefficient(MASKS, MASKS | {"w1": np.ones(1, bool)}),
    "optimizer": lambda: dormant.as_transformation(redo(), redo(), KEY),
    "optimizer ": lambda: dormant.redo(nine_graph(), init_nine, optax.MultiSteps),
    "optimizer  ": lambda: dormant.redo(nine_graph(), init_nine, redo()),
    "intervention": lambda: dormant.as_transformation(ADAM, ADAM, KEY),
    "when": lambda: intervene(when=parts.every),
    "when ": lambda: intervene(when=lambda step: jnp.array([True, False])),
    "score": lambda: intervene(score=dormant.dormancy_scores),
    "score ": lambda: call(intervene(score=lambda graph, params, activations: {})),
    "score  ": lambda: call(intervene(score=lambda graph, params, activations: None)),
    "score   ": lambda: call(intervene(score=mask_of_zeros)),
    "selection": lambda: parts.capped(0.1, 0.5),
    "state": lambda: call(redo(), state=ADAM.init(PARAMS)),
    "state ": lambda: call(redo(), state=of_another_network()),
    "state  ": lambda: call(redo(), state=redo(taus=[0.5]).init(KEY)),
    "state   ": lambda: call(redo(dormant.adaptive_tau()), state=redo().init(KEY)),
    "state    ": lambda: call(dormant.track(nine_graph(), period=1), state=redo().init(KEY)),
    "state     ": lambda: call(dormant.combine(a=redo(), b=redo()), state={"a": 1}),
    "inputs": lambda: call(redo(), inputs=(jnp.zeros((4, 7)),)),
    "inputs ": lambda: call(redo(), inputs=(None,)),
    "inputs  ": lambda: call(redo(), inputs=(jnp.zeros((0, 3)),)),
    "inputs   ": lambda: call(redo(), inputs=(NINE_STATES, NINE_STATES)),
    "tau ": lambda: call(redo())[2].report.dormant_fraction(None),
    "tau  ": lambda: call(redo())[2].report.dormant_fraction(np.array([0.1, 0.2])),
    "layer": lambda: call(redo())[2].report.dormant_fraction(0.1, ["w1"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_one_line_that_names_it(name):
    with pytest.raises(ValueError) as error:
        WRONG[name]()
    text = str(error.value)
    assert text.startswith(f"`{name.strip()}` must "), text
    assert "; got " in text and "\n" not in text


def test_a_traced_tau_must_be_one_number():
    with pytest.raises(ValueError, match="^`tau` must be a number >= 0"):
        jax.jit(lambda tau: call(redo(tau)))(jnp.zeros(4))


def test_the_face_names_a_state_of_another_optimizer():
    face = dormant.as_transformation(ADAM, redo(), KEY)
    with pytest.raises(ValueError, match="^`state` must be what `init` returns; got "):
        face.update(PARAMS, ADAM.init(PARAMS), PARAMS, inputs=NINE_STATES)


def test_numbers_beyond_int32_are_steps_that_never_come():
    for step in (1, np.int32(1_000), jnp.int32(1_000)):
        assert not parts.every(10**12)(step)
        assert not parts.every(1, start=2**40)(step)
        assert parts.every(1, end=2**40)(step)
    given = (nine_graph(), init_nine, ADAM)
    for never in (
        interventions.continual_backprop(*given, 1.0, 2**40),
        interventions.self_normalized_resets(*given, 0.0, maximum_age=2**40),
    ):
        assert call(never)[2].step == 1


def test_a_large_whole_tau_selects_all():
    assert int(call(redo(2**40))[2].report.recycled_total) == 9


def test_options_may_be_numpy_or_jax_scalars():
    expected = call(redo(0.5, 1, score_batch=4))
    for integer, number in ((np.int64, np.float32), (jnp.int32, jnp.float32)):
        made = redo(number(0.5), integer(1), score_batch=integer(4))
        assert same_bits(call(made)[0], expected[0])


def test_a_donated_state_leaves_what_it_was_made_of_alone():
    key, initial = jax.random.key(5), jnp.float32(0.3)
    made = redo(dormant.adaptive_tau(initial=initial))
    face = dormant.as_transformation(ADAM, made, key)
    update = jax.jit(
        lambda state: face.update(PARAMS, state, PARAMS, inputs=NINE_STATES)[1], donate_argnums=0
    )
    first = update(face.init(PARAMS))
    again = update(face.init(PARAMS))
    assert same_bits(first, again)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The gin-configurable options of interventions and tracking: what is allowed, what they build."""

import dataclasses
import functools
import inspect
from pathlib import Path

import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import parts
from dormant.checks import ConfigurationError
from dormant.runs.interventions import (
    FIRE,
    AdaptiveTau,
    ContinualBackprop,
    FixedBudget,
    InterpolatedReset,
    PartialResets,
    PlasticityInjection,
    Prune,
    ReBorn,
    ReDo,
    ReGraMa,
    Reset,
    SelectiveWeightReinitialization,
    SelfNormalizedResets,
    ShrinkAndPerturb,
    Tracker,
)
from dormant.runs.options import LearnerOptions, updates_per_burst

INTERVENTIONS = (
    ReDo,
    FixedBudget,
    Reset,
    Prune,
    ReGraMa,
    ContinualBackprop,
    SelfNormalizedResets,
    PartialResets,
    ReBorn,
)
# Those that one factory makes whole, which says itself when and on whom it acts.
WHOLE = (SelectiveWeightReinitialization, ShrinkAndPerturb, InterpolatedReset, FIRE)


@pytest.fixture(autouse=True)
def empty_gin():
    gin.clear_config()
    yield
    gin.clear_config()


# Each option with a value that it refuses, and what the message says that it must be.
WRONG = [
    (ReDo, {"tau": -0.1}, "a number >= 0, a schedule of .*, called, or .*; got -0.1"),
    (ReDo, {"tau": float("nan")}, "a number >= 0.*; got nan"),
    (ReDo, {"tau": True}, "a number >= 0.*; got True"),
    (ReDo, {"tau": AdaptiveTau}, "a number .*, called, or .*; got <f.*"),
    (ReDo, {"tau": optax.linear_schedule}, "a number .*, called, or .*; got <f.*"),
    (ReDo, {"period": 0}, "a whole number >= 1; got 0"),
    (ReDo, {"period": 1e3}, "a whole number >= 1; got 1000.0"),
    (ReDo, {"start": -1}, "a whole number >= 0; got -1"),
    (ReDo, {"start": 5, "end": 5}, "a whole number >= 6; got 5"),
    (ReDo, {"outgoing": "random"}, "one of 'zero', 'fresh'; got 'random'"),
    (ReDo, {"incoming_scale": 1}, "one of 'fresh', 'live_norm'; got 1"),
    (ReDo, {"moments": None}, "one of 'reset', 'keep'; got None"),
    (ReDo, {"adam_count": "reset"}, "one of 'keep', 'per_entry'; got 'reset'"),
    (ReDo, {"flatten_layout": "tile"}, "one of 'channels_last', 'released_code'; got 'tile'"),
    (ReDo, {"max_fraction": 1.5}, r"a number in \[0, 1\] or a schedule .*; got 1.5"),
    (ReDo, {"score": "utility"}, "one of 'activation', 'contribution_utility', .*; got 'utility'"),
    (ReDo, {"score_decay": 1}, r"a number in \[0, 1\); got 1"),
    (ContinualBackprop, {"rate": -1}, r"a number in \[0, 1\] or a schedule .*; got -1"),
    (ContinualBackprop, {"maturity": 0.5}, "a whole number >= 0; got 0.5"),
    (ReDo, {"score_batch": 0}, "a whole number >= 1; got 0"),
    (FixedBudget, {"fraction": 1.5}, r"a number in \[0, 1\] or a schedule .*; got 1.5"),
    (FixedBudget, {"fraction": dormant.cosine_fraction}, "a number .*, called; got <f.*"),
    (FixedBudget, {"order": "first"}, "one of 'lowest', .*; got 'first'"),
    (FixedBudget, {"outgoing": "one"}, "one of 'zero', 'fresh'; got 'one'"),
    (PartialResets, {"rate": 2}, r"a number in \[0, 1\]; got 2"),
    (ReBorn, {"scales": (0.8, 0.3)}, "two numbers > 0, the least and the largest; got .*"),
    (SelectiveWeightReinitialization, {"utility": "w"}, "one of 'gradient', .*; got 'w'"),
    (ShrinkAndPerturb, {"shrink": 1.5}, r"a number in \[0, 1\]; got 1.5"),
    (ShrinkAndPerturb, {"layers": "some"}, "'last_hidden', 'all' or names of layers; got 'some'"),
    (InterpolatedReset, {"keep": -1}, r"a number in \[0, 1\]; got -1"),
    (FIRE, {"iterations": 0}, "a whole number >= 1; got 0"),
    (FIRE, {"period": 0}, "a whole number >= 1; got 0"),
    (PlasticityInjection, {"period": 0}, "a whole number >= 1; got 0"),
    (Reset, {"layers": "first"}, "'last_hidden', 'all' or names of layers; got 'first'"),
    (Reset, {"layers": ()}, r"at least one layer of the graph; got \(\)"),
    (Reset, {"layers": (1,)}, r"'last_hidden', 'all' or names of layers; got \(1,\)"),
    (Reset, {"moments": "old"}, "one of 'reset', 'keep'; got 'old'"),
    (Prune, {"tau": -1}, "a number >= 0.*; got -1"),
    (AdaptiveTau, {"target_fraction": 2}, r"a number in \[0, 1\]; got 2"),
    (AdaptiveTau, {"step_size": 0}, "a number > 0; got 0"),
    (AdaptiveTau, {"minimum": 0.0}, "a number > 0; got 0.0"),
    (AdaptiveTau, {"maximum": 1e-5}, "at least `minimum`, 0.0001; got 1e-05"),
    (AdaptiveTau, {"initial": 2.0}, r"a number in \[0.0001, 1.0\]; got 2.0"),
    (Tracker, {"tracking_period": 0}, "a whole number >= 1; got 0"),
    (Tracker, {"score_batch": -1}, "a whole number >= 1; got -1"),
    (Tracker, {"rank_threshold": 1.0}, r"a number in \(0, 1\); got 1.0"),
]


@pytest.mark.parametrize(("make", "options", "allowed"), WRONG)
def test_an_option_that_is_not_allowed_is_named_as_gin_does(make, options, allowed):
    name = "AdaptiveTau" if make is AdaptiveTau else make.__name__
    option = list(options)[-1]
    message = rf"^`{name}\.{option}` must (be |name )?{allowed}(\n|$)"
    with pytest.raises(ConfigurationError, match=message):
        make(**options)


@pytest.mark.parametrize("make", INTERVENTIONS)
@pytest.mark.parametrize("options", [{"period": 0}, {"start": -1}, {"end": 0}, {"score_batch": 0}])
def test_every_intervention_checks_when_it_acts(make, options):
    (name,) = options
    message = f"`{make.__name__}.{name}` must be a whole number"
    with pytest.raises(ConfigurationError, match=message):
        make(**options)


def test_names_of_layers_are_checked_once_there_is_a_network():
    graph, init, *_ = network()
    for options, message in (
        (Reset(layers=["Dense_9"]), "`Reset.layers` must name layers among hidden, output;"),
        (ReDo(also=["Dense_9"]), "`ReDo.also` must name layers among hidden;"),
    ):
        with pytest.raises(ConfigurationError, match=f"^{message} got 'Dense_9'$"):
            options.intervention(graph, init, optax.sgd(1e-3))


def test_defaults_are_the_papers():
    redo = ReDo()
    assert (redo.tau, redo.period, redo.score_batch) == (0.1, 1_000, 64)
    assert (redo.outgoing, redo.moments, redo.adam_count) == ("zero", "reset", "per_entry")
    assert (Reset().layers, Reset().period) == ("last_hidden", 100_000)
    assert (FixedBudget().fraction, FixedBudget().order) == (0.1, "lowest")
    assert Prune().tau == 0.0


@pytest.mark.parametrize(
    ("options", "made_of"),
    [
        (ReDo, (dormant.redo, parts.below_threshold, parts.recycling, parts.every)),
        (FixedBudget, (dormant.fixed_budget, parts.budget, parts.recycling, parts.every)),
        (Reset, (dormant.layer_reset, parts.redrawing)),
        (Prune, (dormant.prune,)),
        (PartialResets, (dormant.interventions.partial_resets, parts.partial_recycling)),
        (ReBorn, (dormant.interventions.reborn, parts.recycling, parts.every)),
        (
            SelectiveWeightReinitialization,
            (dormant.interventions.selective_weight_reinitialization,),
        ),
        (ShrinkAndPerturb, (dormant.interventions.shrink_and_perturb,)),
        (InterpolatedReset, (dormant.interventions.interpolated_reset,)),
        (FIRE, (dormant.interventions.fire,)),
        (ReGraMa, (dormant.interventions.regrama, parts.recycling)),
        (ContinualBackprop, (dormant.interventions.continual_backprop, parts.recycling)),
        (SelfNormalizedResets, (dormant.interventions.self_normalized_resets, parts.recycling)),
    ],
)
def test_defaults_are_those_of_the_core(options, made_of):
    fields = {field.name: field.default for field in dataclasses.fields(options)}
    compared = set()
    for factory in made_of:
        for name, parameter in inspect.signature(factory).parameters.items():
            # The core scores on all that it is given, and takes functions for scores.
            if name in fields and name not in ("score", "score_batch", "max_fraction"):
                assert fields[name] == parameter.default, name
                compared.add(name)
    unnamed = {"score", "score_decay", "score_batch", "start", "end", "adam_count", "max_fraction"}
    unnamed |= {"tau"} if options is SelfNormalizedResets else set()  # which the core calls eta
    assert set(fields) - compared <= unnamed


@pytest.mark.parametrize("make", WHOLE)
def test_what_one_factory_makes_acts_when_it_says(make):
    graph, init, params, inputs = network()
    optimizer = optax.adam(1e-3)
    # The usual share of single weights is none of so few.
    rate = {"rate": 0.5} if make is SelectiveWeightReinitialization else {}
    made = make(period=2, score_batch=16, **rate)
    intervention = made.intervention(graph, init, optimizer)
    state, opt_state, new = intervention.init(jax.random.key(2)), optimizer.init(params), params
    gradient = jax.tree.map(jnp.ones_like, params)
    update = jax.jit(intervention.update)
    for step in (1, 2):
        assert bool(made.is_due(step)) == (step == 2)
        new, opt_state, state = update(new, opt_state, state, inputs, gradient=gradient)
        changed = any(np.any(np.asarray(new[name]) != params[name]) for name in params)
        assert changed == (step == 2)
    with pytest.raises(ConfigurationError, match="whose action another network can mirror"):
        made.action(graph, init, optimizer)


def test_an_injection_asks_for_a_network_that_it_can_be_made_in():
    assert LearnerOptions().wrap is None and LearnerOptions(intervention=ReDo()).wrap is None
    injection = PlasticityInjection(period=2, score_batch=16)
    wrap = LearnerOptions(intervention=injection).wrap
    assert wrap is parts.injectable
    graph, init, _, inputs = network()
    with pytest.raises(ConfigurationError, match="`PlasticityInjection.graph` must be"):
        injection.intervention(graph, init, optax.adam(1e-3))


def test_an_adaptive_tau_has_the_defaults_of_the_core():
    assert inspect.signature(AdaptiveTau) == inspect.signature(dormant.adaptive_tau)


def test_gin_sets_the_options_and_schedules():
    gin.parse_config("""
        ReDo.tau = @optax.linear_schedule()
        optax.linear_schedule.init_value = 0.2
        optax.linear_schedule.end_value = 0.0
        optax.linear_schedule.transition_steps = 100
        ReDo.period = 10
        Tracker.tracking_period = 5
        Prune.tau = @AdaptiveTau()
        AdaptiveTau.initial = 0.05
        FixedBudget.fraction = @dormant.cosine_fraction()
        dormant.cosine_fraction.initial = 0.1
        dormant.cosine_fraction.end_step = 1000
        Reset.layers = ["hidden", "output"]
    """)
    assert float(Prune().tau.init(("hidden",))["hidden"]) == pytest.approx(0.05)
    assert float(FixedBudget().fraction(500)) == pytest.approx(0.1 * 0.5**0.5)
    assert Reset().layers == ["hidden", "output"]
    assert float(ReDo().tau(50)) == pytest.approx(0.1)
    assert ReDo().period == 10
    assert ReDo(period=20).period == 20
    assert Tracker().tracking_period == 5


def test_options_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ReDo().tau = 0.5


def test_due_steps_lie_between_start_and_end():
    redo = ReDo(period=10, start=15, end=40)
    assert [step for step in range(60) if redo.is_due(step)] == [20, 30]
    assert [step for step in range(30) if Tracker(tracking_period=10).is_due(step)] == [10, 20]


@functools.cache
def network():
    """A network of eight hidden neurons of which the first two are silent."""

    def apply(params, x):
        return jax.nn.relu(x @ params["hidden"]) @ params["output"]

    @jax.jit
    def init(key):
        first, second = jax.random.split(key)
        return {
            "hidden": jax.random.normal(first, (3, 8)), "output": jax.random.normal(second, (8, 2))
        }  # fmt: skip

    params = init(jax.random.key(0))
    params["hidden"] = jnp.abs(params["hidden"]).at[:, :2].set(0.0)
    inputs = jnp.abs(jax.random.normal(jax.random.key(1), (16, 3)))
    return dormant.trace(apply, params, inputs), init, params, inputs


@pytest.mark.parametrize(
    ("options", "acted_on", "changed"),
    [
        (ReDo(tau=0.0, period=2), 2, 2),
        (ReDo(tau=0.0, period=2, max_fraction=0.125), 1, 1),
        (ReDo(tau=AdaptiveTau(initial=1e-3), period=2), 2, 2),
        (ReDo(tau=0.0, period=2, max_fraction=0.0), 0, 0),
        (ReDo(tau=0.0, period=2, score="contribution_utility"), 2, 2),
        (ReDo(tau=0.0, period=1, start=3), 0, 0),
        (FixedBudget(fraction=0.5, period=2, order="highest"), 4, 4),
        (FixedBudget(fraction=dormant.cosine_fraction(0.5, 3), period=2), 2, 2),
        (ContinualBackprop(rate=0.5, maturity=1), 4, 4),
        (SelfNormalizedResets(), 0, 0),
        (Reset(period=2), 8, 8),
        (Reset(period=2, layers=["output"]), 0, 0),
        (Prune(tau=0.5, period=2), 2, 0),  # silent neurons: their weights are 0 already
        (Tracker(tracking_period=2), 0, 0),
    ],
    ids=[
        "redo", "capped", "adaptive", "capped at 0", "utility", "later", "highest", "cosine",
        "utility of the mature", "ages", "last hidden", "output", "prune", "track",
    ],
)  # fmt: skip
def test_interventions_act_as_configured(options, acted_on, changed):
    graph, init, params, inputs = network()
    optimizer = optax.adam(1e-3)
    arguments = (graph,) if isinstance(options, Tracker) else (graph, init, optimizer)
    intervention = options.intervention(*arguments)
    state = intervention.init(jax.random.key(2))
    new, opt_state = params, optimizer.init(params)
    update = jax.jit(intervention.update)
    # The inputs have fewer rows than the score batch where it is the default.
    inputs = np.tile(inputs, (4, 1))
    for _ in range(2):
        new, opt_state, state = update(new, opt_state, state, inputs)
    assert int(state.report.step) == (-1 if getattr(options, "start", 0) > 2 else 2)
    assert int(state.report.recycled_total) == acted_on
    differs = np.asarray(new["hidden"]) != np.asarray(params["hidden"])
    assert differs.any(axis=0).sum() == changed


@pytest.mark.parametrize("make", (*INTERVENTIONS, Tracker))
def test_scoring_is_on_the_first_rows_of_a_larger_batch(make):
    graph, init, params, inputs = network()
    optimizer = optax.sgd(1e-3)
    arguments = (graph,) if make is Tracker else (graph, init, optimizer)
    score = {"score": "activation"} if make is ReGraMa else {}  # which needs no gradient
    intervention = make(score_batch=8, **score).intervention(*arguments)
    run = (params, optimizer.init(params), intervention.init(jax.random.key(2)))
    jax.eval_shape(intervention.update, *run, inputs)
    with pytest.raises(ValueError, match="at least `score_batch` = 8 rows; got shape"):
        intervention.update(*run, inputs[:7])


def test_every_intervention_says_how_it_treats_adams_count():
    for make in set(INTERVENTIONS) - {Prune}:
        assert LearnerOptions(intervention=make()).per_entry_count
        assert not LearnerOptions(intervention=make(adam_count="keep")).per_entry_count
    assert not LearnerOptions(intervention=Prune()).per_entry_count
    with pytest.raises(TypeError, match="adam_count"):
        Prune(adam_count="per_entry")  # a pruned entry is not trained again


def test_an_option_of_the_action_reaches_it():
    graph, init, params, inputs = network()
    optimizer, found = optax.sgd(1e-3), {}
    for outgoing in ("zero", "fresh"):
        redo = ReDo(tau=0.0, period=1, outgoing=outgoing, score_batch=16)
        intervention = redo.intervention(graph, init, optimizer)
        new, *_ = jax.jit(intervention.update)(
            params, optimizer.init(params), intervention.init(jax.random.key(2)), inputs
        )
        found[outgoing] = new["output"][:2]
    assert not found["zero"].any() and found["fresh"].all()


@pytest.mark.parametrize(
    ("replay_ratio", "update_period", "updates"),
    [(0.25, 4, 1), (0.5, 4, 2), (1, 4, 4), (2, 4, 8), (1, 1, 1), (1 / 3, 3, 1), (0.1, 10, 1)],
)
def test_updates_of_one_burst(replay_ratio, update_period, updates):
    assert updates_per_burst(replay_ratio, update_period) == updates


@pytest.mark.parametrize(
    ("replay_ratio", "nearest"),
    [(0.3, "0.25 or 0.5"), (0.1, "0.25"), (0.0, "0.25"), (1.1, "1 or 1.25")],
)
def test_an_invalid_replay_ratio_names_the_nearest_valid_ones(replay_ratio, nearest):
    message = f"update_period 4 with {nearest}; got {replay_ratio}$"
    with pytest.raises(ConfigurationError, match=message):
        updates_per_burst(replay_ratio, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"replay_ratio": 0},
        {"target_update_unit": "frames"},
        {"weight_decay": -1e-5},
        {"weight_decay_kind": "l1"},
        {"intervention": True},
        {"tracker": True},
        {"seed": -1},
    ],
    ids=str,
)
def test_learner_options_are_checked(wrong):
    LearnerOptions(intervention=Reset(), tracker=Tracker(), seed=3)
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=f"{name}` must be"):
        LearnerOptions(**wrong)


def test_the_page_names_every_method_regularizer_and_layer_with_its_name_in_gin():
    page = (Path(__file__).parents[2] / "docs" / "interventions.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    named = {word for row in rows for word in row.replace("(", "`").split("`")}
    methods = set(dormant.interventions.__all__) - {"as_transformation"}
    functions = {name for name in dormant.regularizers.__all__ if name.islower()}
    assert methods | functions <= named
    assert {make.__name__ for make in (*INTERVENTIONS, *WHOLE, PlasticityInjection)} <= named
    parts_named = {name for name in parts.__all__ if name.endswith(("score", "ing", "ization"))}
    assert parts_named <= named

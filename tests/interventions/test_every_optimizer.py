# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Every optimizer that optax and optax.contrib export, by enumeration: after a recycle its step is
finite and no larger than a new optimizer's, or it is refused by name. A new one must be placed."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

import dormant
from tests.interventions.test_moments import MASKS, SHAPES, is_matrix, touched
from tests.small_networks import draw, mlp_graph

PREFIX = "scale_by_"
# Optax has some that it will rename.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
FROZEN = {name: name == "b1" for name in SHAPES}


def adam():
    return optax.adam(1e-2)


# What needs more than a learning rate.
MADE = {
    "MultiSteps": lambda: optax.MultiSteps(adam(), 2),
    "adaptive_grad_clip": lambda: optax.adaptive_grad_clip(0.1),
    "add_decayed_weights": lambda: optax.add_decayed_weights(1e-2),
    "add_noise": lambda: optax.add_noise(1e-9, 0.5, 0),
    "apply_every": lambda: optax.apply_every(2),
    "apply_if_finite": lambda: optax.apply_if_finite(adam(), 3),
    "chain": lambda: optax.chain(optax.clip(1.0), adam()),
    "clip": lambda: optax.clip(1.0),
    "clip_by_block_rms": lambda: optax.clip_by_block_rms(1.0),
    "clip_by_global_norm": lambda: optax.clip_by_global_norm(1.0),
    "conditionally_mask": lambda: optax.conditionally_mask(adam(), lambda step: step < 99),
    "conditionally_transform": lambda: optax.conditionally_transform(
        adam(), lambda step: step < 99
    ),
    "differentially_private_aggregate": lambda: contrib.differentially_private_aggregate(
        1.0, 0.0, 0
    ),
    "dpsgd": lambda: contrib.dpsgd(1e-2, 1.0, 0.0, 0),
    "ema": lambda: optax.ema(0.9),
    "flatten": lambda: optax.flatten(adam()),
    "freeze": lambda: optax.freeze(FROZEN),
    "inject_hyperparams": lambda: optax.inject_hyperparams(optax.adam)(1e-2),
    "inject_stateful_hyperparams": lambda: optax.inject_stateful_hyperparams(optax.adam)(
        learning_rate=1e-2
    ),
    "masked": lambda: optax.masked(adam(), is_matrix),
    "measure_with_ema": lambda: optax.measure_with_ema(lambda updates: updates, 0.9),
    "mechanize": lambda: contrib.mechanize(adam()),
    "multi_transform": lambda: optax.multi_transform({True: adam(), False: adam()}, is_matrix),
    "named_chain": lambda: optax.named_chain(("adam", adam())),
    "noisy_sgd": lambda: optax.noisy_sgd(1e-2, eta=1e-12),
    "partition": lambda: optax.partition({True: adam(), False: optax.sgd(0.1, 0.9)}, is_matrix),
    "sam": lambda: contrib.sam(adam(), optax.sgd(0.01), 2),
    "scale": lambda: optax.scale(-1.0),
    "scale_by_learning_rate": lambda: optax.scale_by_learning_rate(0.1),
    "scale_by_schedule": lambda: optax.scale_by_schedule(lambda step: -1.0),
    "schedule_free": lambda: contrib.schedule_free(optax.sgd(1e-2), 1e-2),
    "selective_transform": lambda: optax.selective_transform(adam(), freeze_mask=FROZEN),
    "snapshot": lambda: optax.snapshot("largest", lambda updates: jnp.float32(0)),
    "split_real_and_imaginary": lambda: contrib.split_real_and_imaginary(adam()),
    "stateless": lambda: optax.stateless(lambda updates, params: updates),
    "stateless_with_tree_map": lambda: optax.stateless_with_tree_map(lambda leaf, param: leaf),
    "trace": lambda: optax.trace(0.9),
    "with_extra_args_support": lambda: optax.with_extra_args_support(adam()),
}
# With a count per entry a recycled entry takes the step of a new optimizer; these take more, by:
FACTORS = {
    # the extrapolation from the step before, which a new optimizer's first step has not
    "optimistic_adam": 2.0,
    "optimistic_adam_v2": 2.0,
    "optimistic_gradient_descent": 2.0,
    "scale_by_optimistic_gradient": 2.0,
    # what the whole array's norm or second moment is now, and was at the start
    "lamb": 2.0,
    "novograd": 1.1,
    "scale_by_novograd": 1.1,
    "adafactor": 2.0,
    "muon": 1.5,
    # the rate that was estimated for the whole tree
    "dadapt_adamw": 2.0,
    "momo": 2.0,
}
# With optax's one count besides: (1 - b1) / sqrt(1 - b2), or what the docstring of each has.
ONE_COUNT = {"madgrad": 4.0, "scale_by_madgrad": 4.0, "momo": 7.0}
LARGEST_OF_ONE_COUNT = 3.7
REFUSED = {
    name: f"must keep its state in trees like the parameters; got {named}$"
    for name, named in {
        "flatten": "flatten",
        "lbfgs": "scale_by_lbfgs, scale_by_zoom_linesearch",
        "scale_by_backtracking_linesearch": "scale_by_backtracking_linesearch",
        "scale_by_lbfgs": "scale_by_lbfgs",
        "scale_by_sm3": "scale_by_sm3",
        "scale_by_zoom_linesearch": "scale_by_zoom_linesearch",
        "sm3": "scale_by_sm3",
    }.items()
}
NEED_THEIR_COUNT = {"acprop", "adopt", "scale_by_acprop", "scale_by_adopt"}
# Its parameters are no tree of the network's, but pairs of them.
OF_PAIRS = {"lookahead"}
# A part of `muon` that takes matrices alone.
NOT_STEPPED = {"scale_by_muon"}
NO_OPTIMIZERS = {"schedule_free_eval_params"}


def exported():
    """The names of all functions that return a transformation, and of everything in contrib."""
    found = {"MultiSteps"}
    for module in (optax, contrib):
        for name, value in vars(module).items():
            if inspect.isfunction(value) and not name.startswith("_"):
                returned = str(inspect.signature(value).return_annotation)
                if module is contrib or "GradientTransformation" in returned:
                    found.add(name)
    return sorted(found)


STEPPED = sorted(set(exported()) - {*REFUSED, *OF_PAIRS, *NOT_STEPPED, *NO_OPTIMIZERS})


def make(name):
    if name in MADE:
        return MADE[name]()
    function = getattr(optax, name, None) or getattr(contrib, name)
    needed = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    assert set(needed) <= {"learning_rate"}, f"{name} needs {needed}: place it in MADE"
    return function(**dict.fromkeys(needed, 1e-2))


def stepping(name, optimizer):
    extra = {} if name == "sam" else {"value": jnp.float32(1.0)}
    if name in ("sophia", "hutchinson_estimator_diag_hessian"):
        extra["obj_fn"] = lambda params: sum(
            jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params)
        )

    def step(gradients, state, params):
        if name in ("dpsgd", "differentially_private_aggregate"):
            gradients = jax.tree.map(lambda leaf: leaf[None], gradients)
        if isinstance(optimizer, optax.MultiSteps):
            return optimizer.update(gradients, state, params)
        given = optax.with_extra_args_support(optimizer)
        return given.update(gradients, state, params, **extra)

    return jax.jit(step)


def steps_after_a_recycle(name, optimizer):
    """The largest updates of recycled entries over four steps, and those of a new optimizer."""
    params, step = draw(SHAPES, 0), stepping(name, optimizer)
    state = optimizer.init(params)
    for seed in range(20):
        _, state = step(draw(SHAPES, 1 + seed), state, params)
    reset = functools.partial(dormant.reset_moments, optimizer, mlp_graph())
    state, fresh = jax.jit(reset)(state, MASKS, params=params), optimizer.init(params)
    largest, of_new = [], []
    for seed in range(100, 104):
        gradients = draw(SHAPES, seed)
        found, state = step(gradients, state, params)
        expected, fresh = step(gradients, fresh, params)
        for sizes, updates in ((largest, found), (of_new, expected)):
            sizes.append(
                max(np.abs(updates[leaf])[at].max() for leaf, at in touched().items() if at.any())
            )
    return np.array(largest), np.array(of_new)


def test_every_optimizer_of_optax_is_placed():
    names = set(exported())
    assert len(names) > 120
    placed = {*MADE, *FACTORS, *ONE_COUNT, *REFUSED, *NEED_THEIR_COUNT, *NOT_STEPPED, *OF_PAIRS}
    assert placed | NO_OPTIMIZERS <= names  # nothing is placed that does not exist
    for name in STEPPED:
        assert make(name).init


@pytest.mark.parametrize("name", STEPPED)
def test_a_recycled_entry_takes_the_step_of_a_new_optimizer(name):
    """With a count per entry; with one count it is bounded, where there is one."""
    optimizer, counted = make(name), dormant.per_entry_counts(make(name))
    largest, of_new = steps_after_a_recycle(name, counted)
    factor = FACTORS.get(name, 1.0)
    assert np.isfinite(largest).all()
    assert (largest <= factor * of_new * (1 + 1e-4)).all(), largest / of_new
    if counted.init(draw(SHAPES, 0)).counts == () or name in NEED_THEIR_COUNT:
        return
    largest, of_new = steps_after_a_recycle(name, optimizer)
    assert np.isfinite(largest).all()
    allowed = ONE_COUNT.get(name, LARGEST_OF_ONE_COUNT * factor) * of_new
    assert (largest <= allowed).all(), largest / of_new


@pytest.mark.parametrize("name", REFUSED)
def test_what_mixes_the_entries_is_refused_by_name(name):
    make_it = {
        "scale_by_backtracking_linesearch": lambda: optax.scale_by_backtracking_linesearch(5),
        "scale_by_zoom_linesearch": lambda: optax.scale_by_zoom_linesearch(5),
    }.get(name, lambda: make(name))
    for optimizer in (make_it(), dormant.per_entry_counts(make_it())):
        state = optimizer.init(draw(SHAPES, 0))
        with pytest.raises(ValueError, match=f"^`optimizer` {REFUSED[name]}"):
            dormant.reset_moments(optimizer, mlp_graph(), state, MASKS)


def test_what_keeps_two_copies_of_the_parameters_is_refused_before_training():
    graph, init = mlp_graph(), lambda key: draw(SHAPES, 0)
    (name,) = OF_PAIRS
    optimizer = getattr(optax, name)(optax.adam(1e-3), 5, 0.5)
    for wrapped in (optimizer, optax.chain(optax.clip(1.0), optimizer)):
        with pytest.raises(ValueError, match=f"one copy of the parameters.*got {name}$"):
            dormant.redo(graph, init, wrapped)
        with pytest.raises(ValueError, match=f"got {name}$"):
            dormant.as_transformation(wrapped, dormant.track(graph), jax.random.key(0))


@pytest.mark.parametrize("name", sorted(NEED_THEIR_COUNT))
def test_what_divides_by_the_moment_of_the_step_before_needs_a_count_per_entry(name):
    kind = name.removeprefix(PREFIX)
    wrapped = optax.chain(optax.clip(1.0), optax.apply_if_finite(make(name), 3))
    for optimizer in (make(name), wrapped):
        state = optimizer.init(draw(SHAPES, 0))
        named = f"^`optimizer` must be `dormant.per_entry_counts.*; got {PREFIX}{kind}$"
        with pytest.raises(ValueError, match=named):
            dormant.reset_moments(optimizer, mlp_graph(), state, MASKS)
        counted = dormant.per_entry_counts(optimizer)
        for named in (optimizer, counted):
            dormant.reset_moments(named, mlp_graph(), counted.init(draw(SHAPES, 0)), MASKS)

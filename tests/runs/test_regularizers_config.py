# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The regularizers' options in gin: what is allowed, and what they do to an optimizer."""

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant
from dormant import regularizers
from dormant.checks import ConfigurationError
from dormant.runs import regularizers as options
from dormant.runs.options import LearnerOptions

ALL = {
    "L2Init": (regularizers.l2_init, {"coefficient": 0.1}),
    "WeightClipping": (regularizers.weight_clipping, {"kappa": 0.5}),
    "Spectral": (regularizers.spectral_regularization, {"coefficient": 0.1}),
    "Parseval": (regularizers.parseval_regularization, {"coefficient": 0.1}),
    "IsometryDecay": (regularizers.isometry_decay, {"coefficient": 0.1}),
    "NormProjection": (regularizers.norm_projection, {}),
    "AdamRel": (regularizers.adam_rel, {"period": 2}),
}


@pytest.fixture(autouse=True)
def empty_gin():
    gin.clear_config()
    yield
    gin.clear_config()


def test_every_regularizer_of_the_room_has_a_name_in_gin():
    functions = {
        value
        for name, value in vars(regularizers).items()
        if inspect.isfunction(value) and "churn" not in name  # which needs the network
    }
    assert functions == {function for function, _ in ALL.values()}


def network():
    def apply(params, x):
        return jax.nn.relu(x @ params["hidden"]) @ params["output"]

    keys = jax.random.split(jax.random.key(0))
    params = {
        "hidden": jax.random.normal(keys[0], (3, 4)),
        "output": jax.random.normal(keys[1], (4, 2)),
    }
    return dormant.trace(apply, params, jnp.ones((5, 3))), params


@pytest.mark.parametrize("name", ALL)
def test_it_does_what_the_function_does(name):
    function, given = ALL[name]
    graph, params = network()
    bound = {f"{name}.{option}": value for option, value in given.items()}
    gin.parse_config([f"{option} = {value!r}" for option, value in bound.items()])
    gin.parse_config(f"LearnerOptions.regularizers = (@{name}(),)")
    found = LearnerOptions().finished(optax.adam(0.5), graph, 0.5)
    arguments = {"graph": graph, "learning_rate": 0.5} | given
    if name == "L2Init":
        arguments["learning_rate"] = None
    taken = inspect.signature(function).parameters
    expected = function(
        optax.adam(0.5), **{each: value for each, value in arguments.items() if each in taken}
    )
    gradient = jax.tree.map(jnp.ones_like, params)
    ours, theirs = found.init(params), expected.init(params)
    for _ in range(3):
        our_updates, ours = found.update(gradient, ours, params)
        their_updates, theirs = expected.update(gradient, theirs, params)
        jax.tree.map(np.testing.assert_array_equal, our_updates, their_updates)
    plain, _ = optax.adam(0.5).update(gradient, optax.adam(0.5).init(params), params)
    assert name == "AdamRel" or any((our_updates[leaf] != plain[leaf]).any() for leaf in params)


@pytest.mark.parametrize("name", ALL)
def test_defaults_are_those_of_the_function(name):
    taken = inspect.signature(ALL[name][0]).parameters
    for field in dataclasses.fields(getattr(options, name)):
        default = taken[field.name].default
        missing = default is inspect.Parameter.empty
        assert field.default is dataclasses.MISSING if missing else field.default == default


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: options.L2Init(coefficient=-1), "`L2Init.coefficient` must be"),
        (lambda: options.L2Init(0.1, kind="l1"), "`L2Init.kind` must be"),
        (lambda: options.WeightClipping(kappa=0), "`WeightClipping.kappa` must be"),
        (lambda: options.AdamRel(period=0), "`AdamRel.period` must be"),
        (lambda: LearnerOptions(regularizers=options.AdamRel), "`LearnerOptions.regularizers`"),
        (lambda: LearnerOptions(regularizers=(options.AdamRel,)), "`LearnerOptions.regularizers`"),
        (lambda: LearnerOptions(regularizers="l2"), "`LearnerOptions.regularizers`"),
    ],
)
def test_bad_options_are_named_as_in_gin(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_they_go_inside_of_the_count_of_each_entry_and_the_weight_decay():
    graph, params = network()
    made = LearnerOptions(
        regularizers=(options.AdamRel(2), options.L2Init(0.1)),
        weight_decay=0.1,
        intervention=dormant.runs.interventions.ReDo(),
    ).finished(optax.adam(0.1), graph, 0.1)
    assert "PerEntryCounts" in str(made.init(params))


def test_their_names_are_known_wherever_options_are():
    code = (
        "import gin, dormant.runs.options;"
        "gin.parse_config('L2Init.coefficient = 0.1\\nLearnerOptions.regularizers = (@L2Init(),)')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])

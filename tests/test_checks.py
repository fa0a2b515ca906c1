# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The checks of arguments: what each allows, its one wording, and whose mistake it reports."""

import math

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

from dormant import checks

NUMBERS = [0, -1.5, 10**40, np.float32(2), np.int64(3), jnp.float32(1), np.array(4.0)]
NO_NUMBERS = [True, np.True_, "1", None, 1j, [1.0], np.zeros(1), np.str_("1"), np.complex64(1)]


def test_one_number_of_python_numpy_or_jax_is_a_number():
    assert all(map(checks.is_number, [*NUMBERS, ml_dtypes.bfloat16(1)]))
    assert not any(map(checks.is_number, NO_NUMBERS))


def test_a_traced_value_is_no_number_that_could_be_compared():
    found = []
    jax.jit(lambda x: found.append(checks.is_number(x)) or x)(1.0)
    assert found == [False]


@pytest.mark.parametrize(
    ("bounds", "allowed", "inside", "outside"),
    [
        ({}, "a finite number", [-1e30, 0], [math.nan, math.inf, None]),
        ({"least": 0}, "a number >= 0", [0, 5], [-1, math.inf, True]),
        ({"least": 0, "most": 1}, "a number in [0, 1]", [0, 1], [-0.1, 1.1, "0.5"]),
        ({"above": 0}, "a number > 0", [1e-9, 3], [0, -1, math.nan]),
        ({"above": 0, "most": 1}, "a number in (0, 1]", [0.5, 1], [0, 1.5]),
        ({"least": 0, "below": 1}, "a number in [0, 1)", [0, 0.5], [-0.1, 1]),
        ({"above": 0, "below": 1}, "a number in (0, 1)", [0.5], [0, 1, None]),
        ({"most": 2}, "a number <= 2", [-5, 2], [3]),
        ({"below": 2}, "a number < 2", [-5, 1.9], [2]),
    ],
)
def test_a_number_within_its_bounds(bounds, allowed, inside, outside):
    for value in inside:
        checks.check_number("x", value, **bounds)
    for value in outside:
        with pytest.raises(ValueError) as error:
            checks.check_number("x", value, **bounds)
        assert str(error.value) == f"`x` must be {allowed}; got {value!r}"


@pytest.mark.parametrize(
    ("check", "value", "text"),
    [
        (checks.check_count, (0, 1), "`x` must be a whole number >= 1; got 0"),
        (checks.check_count, (True, 1), "`x` must be a whole number >= 1; got True"),
        (
            checks.check_count,
            (2.0, 1, "agent steps"),
            "a whole number of agent steps >= 1; got 2.0",
        ),
        (checks.check_choice, ("c", ("a", "b")), "`x` must be one of 'a', 'b'; got 'c'"),
        (checks.check_choice, (["a"], ("a", "b")), "`x` must be one of 'a', 'b'; got ['a']"),
        (checks.check_flag, (1,), "`x` must be True or False; got 1"),
        (checks.check_function, (3,), "`x` must be a function; got 3"),
        (checks.check_function, (3, "(key)"), "`x` must be a function (key); got 3"),
        (checks.check_init_and_update, (3,), "`x` must be a pair (init, update); got 3"),
        (checks.check, (False, "even", 3), "`x` must be even; got 3"),
    ],
)
def test_every_check_has_the_same_wording(check, value, text):
    with pytest.raises(ValueError) as error:
        if check is checks.check:
            condition, *rest = value
            check(condition, "x", *rest)
        else:
            check("x", *value)
    assert str(error.value).endswith(text)
    assert type(error.value) is ValueError


def test_what_is_allowed_passes():
    checks.check_count("x", np.int64(3), 3)
    checks.check_choice("x", "b", ("a", "b"))
    checks.check_flag("x", False)
    checks.check_function("x", len)
    checks.check_init_and_update("x", optax.sgd(0.1))


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), jnp.int32(3), np.array(3)])
def test_a_whole_number_may_be_of_python_numpy_or_jax(value):
    checks.check_count("x", value, 3)


@pytest.mark.parametrize(
    "value",
    [True, 3.0, np.float32(3), np.array(3.0), jnp.array(3.0), jnp.array(True), [3], int, np.int64]
    + [np.array([3]), jnp.array([3]), np.array([3, 4])],
    ids=repr,
)
def test_nothing_else_is_a_whole_number(value):
    with pytest.raises(ValueError, match="^`x` must be a whole number >= 1; got "):
        checks.check_count("x", value, 1)


def test_a_traced_number_is_no_count():
    with pytest.raises(ValueError, match="^`x` must be a whole number >= 1; got "):
        jax.jit(lambda x: checks.check_count("x", x, 1))(3)


def test_a_class_is_no_pair_of_functions():
    with pytest.raises(ValueError, match=r"^`x` must be a pair \(init, update\); got <class"):
        checks.check_init_and_update("x", optax.MultiSteps)


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_one_key_of_either_kind_is_a_key(make):
    checks.check_key("key", make(0))
    jax.vmap(lambda key: checks.check_key("key", key) or key)(jax.random.split(make(0), 3))
    no_keys = [jax.random.split(make(0), 3), jnp.zeros(3, jnp.uint32), jnp.zeros(2, jnp.int32), 0]
    for value in no_keys:
        with pytest.raises(ValueError, match="^`key` must be one key, .*; got ") as error:
            checks.check_key("key", value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda step: 0.1, "number"),
        (lambda step: step.astype(jnp.float32), "number"),
        (optax.linear_schedule(1.0, 0.0, 5), "number"),
        (lambda step: step > 5, "boolean"),
        (lambda step: True, "boolean"),
        (lambda step: 0.1 if step > 5 else 0.0, None),  # needs the step's value
        (lambda step: jnp.zeros(2), None),
        (lambda step: None, None),
        (lambda: 0.1, None),
        (float, None),
        (0.1, None),
    ],
)
def test_functions_of_a_traced_step(function, kind):
    def passes(check, *rest):
        try:
            check("x", function, *rest)
        except ValueError as error:
            assert str(error).startswith("`x` must be ")
            return False
        return True

    assert passes(checks.check_schedule, "a schedule") == (kind == "number")
    assert passes(checks.check_when) == (kind is not None)


def test_a_function_of_other_arguments_is_refused():
    checks.check_function("x", lambda a, b: a, "(a, b)", 2)
    checks.check_function("x", lambda *a: a, "(a, b)", 2)
    with pytest.raises(ValueError, match=r"^`x` must be a function \(a, b\); got <function"):
        checks.check_function("x", lambda a: a, "(a, b)", 2)


def test_a_long_value_is_shown_in_part_and_on_one_line():
    text = checks.shown(np.random.default_rng(0).normal(size=(40, 40)))
    assert len(text) == 400 and "\n" not in text and text.endswith("…")
    assert checks.shown("a\nb") == repr("a\nb")


@pytest.mark.parametrize(
    ("mask", "found"),
    [
        (np.zeros(3), r"float64 \(3,\)"),
        (jnp.zeros(3, jnp.int32), r"int32 \(3,\)"),
        (np.zeros(4, bool), r"bool \(4,\)"),
        (np.zeros((1, 3), bool), r"bool \(1, 3\)"),
        ([True, False, True], r"list of shape \(3,\)"),
        (None, r"NoneType of shape \(\)"),
    ],
)
def test_only_booleans_of_a_layers_shape_are_a_mask(mask, found):
    problem = rf"^`masks\['Dense_0'\]` must be a boolean array of shape \(3,\); got {found}$"
    with pytest.raises(ValueError, match=problem):
        checks.check_mask("masks['Dense_0']", mask, 3)


def test_a_traced_mask_is_checked_by_its_type():
    def check(mask):
        checks.check_mask("mask", mask, 3)
        return mask

    for mask in (np.zeros(3, bool), jnp.ones(3, bool)):
        checks.check_mask("mask", mask, 3)
        jax.jit(check)(mask)
        jax.jit(jax.vmap(check))(mask[None])
    with pytest.raises(ValueError, match=r"boolean array of shape \(3,\); got float32 \(3,\)"):
        jax.jit(check)(jnp.zeros(3))


def test_the_same_checks_tell_the_users_mistakes_from_others():
    for require, value in (
        (checks.require_number, ("a",)),
        (checks.require_count, (0, 1)),
        (checks.require_choice, ("c", ("a", "b"))),
        (checks.require_flag, (None,)),
    ):
        with pytest.raises(checks.ConfigurationError, match="^`Run.x` must be .*; got "):
            require("Run.x", *value)
    with pytest.raises(checks.ConfigurationError, match="^`Run.x` must be odd; got 2$"):
        checks.require(False, "Run.x", "odd", 2)
    checks.require_number("Run.x", 1.5, above=1)


def test_errors_of_other_parts_are_reported_as_the_users():
    problem = "^`Run.steps` must be a whole number >= 1; got 0$"
    with pytest.raises(checks.ConfigurationError, match=problem):
        with checks.errors_of("Run", {"period": "steps"}):
            checks.check_count("period", 0, 1)
    with pytest.raises(checks.ConfigurationError, match="^Run: no module$"):
        with checks.errors_of("Run"):
            raise ImportError("no module")
    with pytest.raises(checks.ConfigurationError, match="^`a` must be b; got 1$"):
        with checks.errors_of("Run"):
            checks.require(False, "a", "b", 1)
    with pytest.raises(TypeError):
        with checks.errors_of("Run"):
            raise TypeError("a mistake of ours")

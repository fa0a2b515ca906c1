# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The languages of --what_if and --fail_if: what is said is parsed, nothing is evaluated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormant.checks import ConfigurationError
from dormant.probe.expressions import parse_condition, parse_intervention


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("redo", "redo", {}),
        (" redo(tau=0.1) ", "redo", {"tau": 0.1}),
        ("fixed_budget(fraction=0.2, order='highest')", "fixed_budget",
         {"fraction": 0.2, "order": "highest"}),
        ("layer_reset(layers=['Dense_0'])", "layer_reset", {"layers": ["Dense_0"]}),
        ("prune(tau=0, score_batch=4)", "prune", {"tau": 0, "score_batch": 4}),
    ],
)  # fmt: skip
def test_an_intervention_is_a_name_with_literals(text, name, options):
    assert parse_intervention(text) == (name, options)


@pytest.mark.parametrize(
    "text",
    [
        "", "redo(", "redo(0.1)", "redo(taus=[1])", "redo(tau=open('/etc/passwd'))", "redo(**{})",
        "__import__('os')", "dormant.redo(tau=1)", "redo(tau=x)", "redo()()", "redo(period=3)",
        "redo(tau=0.1); 1", "trace()", "redo(tau=" + "(" * 400 + "1" + ")" * 400 + ")",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_what_is_allowed(text):
    with pytest.raises(
        ConfigurationError, match=r"--what_if must be one of fire\(.*redo\(tau, score_batch\)"
    ):
        parse_intervention(text)


def test_a_condition_compares_a_value_with_a_number():
    condition = parse_condition("dormant@0.1 > 0.5")
    assert (condition.name, condition.tau, condition.limit) == ("dormant", 0.1, 0.5)
    assert condition.holds(0.6) and not condition.holds(0.5)
    assert condition.holds(float("nan"))  # of a broken network
    assert parse_condition("fau<=1e-2").holds(0.01)
    assert parse_condition("plasticity_random >= .1").level == "plasticity"


@pytest.mark.parametrize(
    "text",
    ["", "dormant > 0.5", "dormant@0.1", "fau@0.1 > 1", "other > 1", "dormant@x > 1", "1 < fau",
     "fau > 1 > 2", "fau == 1", "fau > nan"],
)  # fmt: skip
def test_another_condition_is_refused_with_the_names(text):
    with pytest.raises(ConfigurationError, match="--fail_if must be NAME > NUMBER.*dormant@TAU"):
        parse_condition(text)


@given(st.text(max_size=40))
def test_no_text_raises_anything_else(text):
    for parse in (parse_condition, parse_intervention):
        try:
            parse(text)
        except ConfigurationError:
            pass

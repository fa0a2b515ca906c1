# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which neurons are dormant, how many of them, and how two sets overlap.
Every rule is checked on sets small enough to write down."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant import dormant_fraction, dormant_masks, overlap_coefficient


def masks(**layers):
    return {name: jnp.asarray(mask, bool) for name, mask in layers.items()}


def scores(*values):
    return {"layer": jnp.asarray(values, jnp.float32)}


def selected(values, tau):
    return np.asarray(dormant_masks(scores(*values), tau)["layer"]).tolist()


def test_tau_itself_is_dormant():
    mask = dormant_masks(scores(0.0, 0.1, 0.1000001, 2.0), 0.1)["layer"]
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, [True, True, False, False])


def test_tau_zero_selects_the_silent_neurons_only():
    tiny = float(jnp.finfo(jnp.float32).tiny)
    assert selected([0.0, tiny, 1.0], 0.0) == [True, False, False]


def test_every_layer_is_selected_by_itself():
    found = dormant_masks({"a": jnp.array([0.0, 2.0]), "b": jnp.array([0.05, 0.95, 2.0])}, 0.1)
    assert {name: mask.tolist() for name, mask in found.items()} == {
        "a": [True, False],
        "b": [True, False, False],
    }


def test_tau_may_be_an_array_under_jit():
    found = jax.jit(dormant_masks)(scores(0.0, 0.3, 1.0), jnp.float32(0.3))["layer"]
    np.testing.assert_array_equal(found, [True, True, False])


def test_dormant_fraction_is_pooled_over_neurons_not_over_layers():
    found = dormant_fraction(masks(small=[1, 1], large=[0, 0, 0, 0, 0, 1]))
    assert found.dtype == jnp.float32 and found.shape == ()
    np.testing.assert_allclose(found, 3 / 8)


def test_dormant_fraction_counts_exactly_in_wide_layers():
    wide = jnp.arange(100_001) < 99_999
    np.testing.assert_allclose(dormant_fraction({"wide": wide}), 99_999 / 100_001, rtol=1e-7)


@pytest.mark.parametrize(
    "first, second, expected",
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0),
        ([1, 1, 0, 0], [0, 0, 1, 1], 0.0),
        ([1, 1, 1, 0], [0, 0, 1, 1], 0.5),
        ([1, 1, 1, 1], [0, 0, 0, 1], 1.0),  # over the smaller set
        ([0, 0, 0, 0], [1, 1, 0, 0], np.nan),
        ([1, 0, 0, 0], [0, 0, 0, 0], np.nan),
        ([0, 0, 0, 0], [0, 0, 0, 0], np.nan),
    ],
)
def test_overlap_coefficient(first, second, expected):
    for one, other in ((first, second), (second, first)):
        found = jax.jit(overlap_coefficient)(masks(layer=one), masks(layer=other))["layer"]
        assert found.dtype == jnp.float32 and found.shape == ()
        np.testing.assert_array_equal(found, np.float32(expected))


def test_overlap_is_taken_layer_by_layer():
    first, second = masks(a=[1, 0], b=[1, 1]), masks(b=[0, 1], a=[0, 1])
    found = overlap_coefficient(first, second)
    assert {name: float(value) for name, value in found.items()} == {"a": 0.0, "b": 1.0}


@pytest.mark.parametrize(
    "call, named, value",
    [
        (lambda: dormant_masks(scores(1.0), -0.1), "`tau`", "-0.1"),
        (lambda: dormant_masks(scores(1.0), float("nan")), "`tau`", "nan"),
        (lambda: dormant_masks(scores(1.0), True), "`tau`", "True"),
        (lambda: dormant_masks(scores(1.0), None), "`tau`", "None"),
        (lambda: dormant_masks(scores(1.0), "0.1"), "`tau`", "'0.1'"),
        (lambda: dormant_masks(scores(1.0), (0.1,)), "`tau`", "(0.1,)"),
        (lambda: dormant_fraction({}), "`masks`", "{}"),
        (lambda: overlap_coefficient(masks(a=[1]), masks(b=[1])), "`masks_b`", "['b']"),
    ],
)
def test_errors_name_the_input_and_end_with_the_value(call, named, value):
    with pytest.raises(ValueError) as error:
        call()
    assert named in str(error.value)
    assert str(error.value).endswith(f"got {value}")

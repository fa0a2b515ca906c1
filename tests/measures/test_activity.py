# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Active, linear and constant units against loops over units, inputs and positions."""

import jax.numpy as jnp
import numpy as np
import pytest

from dormant import measures
from tests.measures.references import take
from tests.small_networks import CNN, IMAGES, MLP, STATES, cnn_graph, draw, mlp_graph


def units(activation):
    """The values of each unit, one after the other."""
    values = np.asarray(activation, np.float64)
    return values.reshape(-1, values.shape[-1]).T


def positive(unit):
    return sum(value > 0 for value in unit) / len(unit)


def deviation(unit):
    mean = sum(unit) / len(unit)
    return (sum((value - mean) ** 2 for value in unit) / len(unit)) ** 0.5


REFERENCES = {
    measures.fau(): lambda each: np.mean([positive(unit) for unit in each]),
    measures.linearized_units(): lambda each: np.mean([positive(unit) >= 0.9 for unit in each]),
    measures.linearized_units(0.5): lambda each: np.mean([positive(unit) >= 0.5 for unit in each]),
    measures.low_variability_units(0.8): lambda each: np.mean(
        [deviation(unit) <= 0.8 * np.mean([deviation(one) for one in each]) for unit in each]
    ),
}


@pytest.mark.parametrize("measure", REFERENCES, ids=lambda measure: measure.name)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_shares_equal_the_loops(measure, dtype):
    for graph, shapes, inputs in ((mlp_graph(), MLP, STATES), (cnn_graph(), CNN, IMAGES)):
        params = draw(shapes, 2, dtype)
        activations = graph.activations(params, inputs.astype(dtype))
        expected = {name: REFERENCES[measure](units(each)) for name, each in activations.items()}
        found = take(graph, measure, params, activations)
        assert list(found) == list(graph.names)
        np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-6)


def layer(*columns):
    return {"w1": jnp.asarray(columns, jnp.float32).T, "w2": jnp.ones((len(columns[0]), 5))}


def test_what_each_sees():
    silent, linear, stuck, rectified = [0, 0, 0, 0], [1, 2, 3, 4], [7, 7, 7, 7], [0, 0, 5, 9]
    activations = layer(silent, linear, stuck, rectified)
    assert take(mlp_graph(), measures.fau(), None, activations)["w1"] == (4 + 4 + 2) / 16
    assert take(mlp_graph(), measures.linearized_units(), None, activations)["w1"] == 0.5
    found = take(mlp_graph(), measures.low_variability_units(), None, activations)
    assert found == {"w1": 0.5, "w2": 1.0}  # a layer that does not vary at all
    constant = layer(*np.repeat(np.linspace(0.1, 0.9, 8)[:, None], 7, 1))  # means round off
    assert take(mlp_graph(), measures.low_variability_units(), None, constant)["w1"] == 1


def test_a_silent_layer_and_the_order_of_units_and_inputs():
    for measure in REFERENCES:
        silent = take(mlp_graph(), measure, None, layer(*[[0.0] * 4] * 4))["w1"]
        assert silent == (1.0 if "variability" in measure.name else 0.0)
        columns = np.random.default_rng(0).normal(size=(4, 6))
        expected = take(mlp_graph(), measure, None, layer(*columns))["w1"]
        shuffled = columns[[2, 0, 3, 1]][:, [3, 5, 1, 0, 2, 4]]
        np.testing.assert_allclose(
            take(mlp_graph(), measure, None, layer(*shuffled))["w1"], expected, rtol=1e-6
        )


def test_nan_is_nan_in_its_own_layer_alone():
    for measure in REFERENCES:
        found = take(mlp_graph(), measure, None, layer([1, 2], [3, np.nan], [4, 5], [0, 1]))
        assert np.isnan(found["w1"]) and np.isfinite(found["w2"])


def test_options_that_are_not_allowed():
    with pytest.raises(ValueError, match=r"^`share` must be a number in \(0, 1\]; got 0"):
        measures.linearized_units(0)
    with pytest.raises(ValueError, match="^`tau` must be a number >= 0; got -1"):
        measures.low_variability_units(-1)

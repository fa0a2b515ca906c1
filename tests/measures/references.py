# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The measures' formulas in slow float64 NumPy, and how the tests take one measure."""

import functools

import jax
import numpy as np

from dormant.measures import MeasureInputs, measured


@functools.cache
def compiled(measure):
    def values(graph, inputs):
        return measured(graph, (measure,), inputs)[measure.name]

    return jax.jit(values, static_argnums=0)


def take(graph, measure, params=None, activations=None, **given):
    """The value of one measure: {layer: float} or a float."""
    value = compiled(measure)(graph, MeasureInputs(params, activations, **given))
    if isinstance(value, dict):
        return {name: float(number) for name, number in value.items()}
    return float(value)


def singular(matrix):
    matrix = np.asarray(matrix, np.float64).reshape(len(matrix), -1)
    eigenvalues = np.linalg.eigvalsh(matrix @ matrix.T)
    return sorted((max(value, 0.0) ** 0.5 for value in eigenvalues), reverse=True)


def least_count(values, share):
    """How many of the descending values it takes to reach the share of their sum."""
    partial = 0.0
    for count, value in enumerate(values, start=1):
        partial += value
        if partial >= share * sum(values):
            return count
    return 0


def entropy_rank(values):
    shares = [value / sum(values) for value in values]
    return np.exp(-sum(share * np.log(share) for share in shares if share > 0))


def norm(*arrays):
    return sum(float(value) ** 2 for each in arrays for value in np.ravel(each)) ** 0.5


def cosines(rows):
    """The mean cosine over pairs of different rows."""
    found = []
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            if i != j:
                found.append(one @ other / (norm(one) * norm(other)))
    return np.mean(found)


def numeric_gradient(function, vector, step=1e-5):
    found = np.zeros_like(vector)
    for place in range(vector.size):
        shift = np.zeros_like(vector)
        shift[place] = step
        found[place] = (function(vector + shift) - function(vector - shift)) / (2 * step)
    return found

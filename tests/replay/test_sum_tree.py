# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The sum tree against plain arrays and running sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dormant.replay import SumTree

# Whole numbers, whose sums are exact, so that every tree has one right answer.
SIZES = st.integers(1, 70)


@settings(max_examples=100, deadline=None)
@given(SIZES, st.integers(0, 2**32 - 1))
def test_values_sums_and_finds_are_those_of_an_array(size, seed):
    rng = np.random.default_rng(seed)
    tree, values = SumTree(size), np.zeros(size)
    for _ in range(4):
        indices = rng.integers(0, size, rng.integers(0, 12))
        new = rng.integers(0, 4, len(indices)).astype(float)
        tree.set(indices, new)
        for index, value in zip(indices, new, strict=True):
            values[index] = value
        one = int(rng.integers(size))
        values[one] = rng.integers(0, 4)
        tree.set_one(one, values[one])
        np.testing.assert_array_equal(tree.get(np.arange(size)), values)
        assert tree.total == values.sum()
        if tree.total:
            targets = np.arange(0.0, tree.total, 0.5)
            found = tree.find(targets)
            np.testing.assert_array_equal(
                found, np.searchsorted(np.cumsum(values), targets, side="right")
            )


@settings(max_examples=50, deadline=None)
@given(SIZES, st.integers(0, 2**32 - 1))
def test_the_sums_are_those_of_the_values_whatever_came_before(size, seed):
    rng = np.random.default_rng(seed)
    tree, at_once = SumTree(size), SumTree(size)
    # Values of very different size, of which sums by differences would keep traces.
    for scale in (1e12, 1.0, 1e-9):
        tree.set(np.arange(size), scale * rng.random(size))
    at_once.set_all(tree.get(np.arange(size)))
    assert tree.total == at_once.total
    np.testing.assert_allclose(tree.total, tree.get(np.arange(size)).sum(), rtol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 64, 65, 1000])
def test_targets_close_to_the_total_find_no_zero(size):
    tree = SumTree(size)
    values = np.random.default_rng(size).random(size)
    values[size // 2 :] = 0.0
    values[0] = 0.1
    tree.set(np.arange(size), values)
    targets = np.nextafter(tree.total, 0.0) - np.arange(3) * 1e-16
    assert (tree.get(tree.find(targets)) > 0.0).all()
    # A uniform draw may round up to the total itself.
    assert tree.get(tree.find(np.array([tree.total]))) > 0.0


def test_bytes_are_those_of_the_nodes():
    for size in (1, 2, 3, 1000, 1024, 1025):
        assert SumTree.bytes_needed(size) == SumTree(size)._nodes.nbytes
        assert SumTree.bytes_needed(size) <= 32 * size


def test_an_empty_tree_is_refused():
    with pytest.raises(ValueError, match="`size` must be a whole number >= 1; got 0"):
        SumTree(0)

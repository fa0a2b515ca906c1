# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What weights alone tell, against slow NumPy."""

import ml_dtypes
import numpy as np
import pytest

from dormant.probe.weights import weight_table

RANDOM = np.random.default_rng(0)


def test_a_kernel_is_measured_by_its_columns():
    kernel = RANDOM.normal(size=(5, 8)).astype(np.float32)
    kernel[:, 2], kernel[:, 3], kernel[1] = 0, 1e-4, 0
    row = weight_table({"Dense_0/kernel": kernel})["Dense_0/kernel"]
    values = np.linalg.svd(kernel.astype(np.float64), compute_uv=False)
    shares = values / values.sum()
    shares = shares[shares > 1e-12]
    norms = np.linalg.norm(kernel, axis=0)
    assert row["units"] == 8 and row["shape"] == [5, 8]
    assert row["norm"] == pytest.approx(np.linalg.norm(kernel))
    assert row["column_norm"] == pytest.approx([0, np.median(norms), norms.max()])
    assert row["zero_incoming"] == 1 / 8 and row["near_zero_incoming"] == 2 / 8
    assert row["zero_outgoing"] == row["near_zero_outgoing"] == 1 / 5
    assert row["stable_rank"] == pytest.approx((values**2).sum() / values[0] ** 2, rel=1e-6)
    assert row["effective_rank"] == pytest.approx(
        np.exp(-(shares * np.log(shares)).sum()), rel=1e-4
    )
    gram = kernel.astype(np.float64) @ kernel.T
    assert row["isometry"] == pytest.approx(np.square(gram - np.eye(5)).sum())


def test_an_isometry_deviates_by_nothing_and_has_full_rank():
    rotation = np.linalg.qr(RANDOM.normal(size=(6, 6)))[0]
    row = weight_table({"kernel": rotation})["kernel"]
    assert row["isometry"] == pytest.approx(0, abs=1e-20)
    assert row["stable_rank"] == pytest.approx(6)
    assert row["effective_rank"] == pytest.approx(6)


@pytest.mark.parametrize(
    ("name", "shape", "dead", "read", "units_first"),
    [
        ("kernel", (3, 3, 4, 8), np.s_[..., 5], np.s_[:, :, 1], False),  # Flax: H, W, in, out
        ("weight", (8, 4, 3, 3), np.s_[5], np.s_[:, 1], False),  # PyTorch: out, in, H, W
        ("weight_hh", (8, 4), np.s_[5], np.s_[:, 1], False),
        ("3", (8, 4), np.s_[5], np.s_[:, 1], True),  # Equinox, whose arrays have no names
    ],
)
def test_units_and_what_they_read_are_found_in_each_layout(name, shape, dead, read, units_first):
    array = RANDOM.normal(size=shape)
    array[dead] = 0
    array[read] = 0
    row = weight_table({name: array}, units_first)[name]
    assert row["units"] == 8
    assert row["zero_incoming"] == 1 / 8 and row["zero_outgoing"] == 1 / 4


def test_what_is_no_kernel_has_a_norm_alone():
    arrays = {
        "bias": np.ones((2, 4)),
        "scale": np.ones(3),
        "count": np.int32(3),
        "ids": np.arange(4),
    }
    found = weight_table(arrays)
    assert set(found) == {"bias", "scale"} and "units" not in found["bias"]


def test_entries_that_are_not_finite_are_counted_and_left_out():
    kernel = np.ones((2, 3), ml_dtypes.bfloat16)
    kernel[0, 0], kernel[1, 1] = np.nan, np.inf
    row = weight_table({"kernel": kernel})["kernel"]
    assert row["non_finite"] == 2 and row["norm"] == pytest.approx(2)


def test_a_kernel_of_zeros_has_rank_0():
    row = weight_table({"kernel": np.zeros((2, 3))})["kernel"]
    assert row["stable_rank"] == row["effective_rank"] == 0 and row["zero_incoming"] == 1


def test_imaginary_parts_count():
    kernel = (RANDOM.normal(size=(4, 3)) + 1j * RANDOM.normal(size=(4, 3))).astype(np.complex64)
    row = weight_table({"kernel": kernel})["kernel"]
    values = np.linalg.svd(kernel, compute_uv=False)
    assert row["norm"] == pytest.approx(np.linalg.norm(kernel), rel=1e-6)
    assert row["stable_rank"] == pytest.approx((values**2).sum() / values[0] ** 2, rel=1e-5)
    assert weight_table({"kernel": np.full((4, 3), 1j)})["kernel"]["zero_incoming"] == 0
    kernel[1, 2] = complex(1, np.nan)
    assert weight_table({"kernel": kernel})["kernel"]["non_finite"] == 1


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_weights_whose_squares_are_no_numbers_are_measured(size):
    kernel = RANDOM.normal(size=(4, 3))
    row, scaled = (weight_table({"kernel": each})["kernel"] for each in (kernel, size * kernel))
    assert scaled["norm"] == pytest.approx(size * row["norm"])
    assert scaled["column_norm"] == pytest.approx([size * norm for norm in row["column_norm"]])
    for name in ("zero_incoming", "near_zero_outgoing", "stable_rank", "effective_rank"):
        assert scaled[name] == pytest.approx(row[name])
    assert scaled["isometry"] is None if size > 1 else scaled["isometry"] == pytest.approx(3)

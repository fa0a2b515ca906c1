# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What the GPU benchmark makes of its parts' results; its measuring is run with `--quick`."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import common, gpu, gpu_checks


def test_differences_are_relative_to_the_array():
    one = {"a": np.array([1.0, -4.0]), "b": np.array([0, 0])}
    other = {"a": np.array([1.0, -3.0]), "b": np.array([0, 0])}
    assert gpu_checks.largest_difference(one, one)[0] == 0
    assert gpu_checks.largest_difference(one, other) == (0.25, "['a']")


def test_nan_differs_from_a_number_but_not_from_nan():
    unmeasured = np.array([np.nan, 2.0])
    assert gpu_checks.largest_difference(unmeasured, unmeasured)[0] == 0
    assert math.isnan(gpu_checks.largest_difference(unmeasured, np.array([1.0, 2.0]))[0])


def test_bytes_tell_zeros_of_another_sign_apart():
    assert gpu_checks.differing_bytes(jnp.zeros(2), jnp.zeros(2)) == 0
    assert gpu_checks.differing_bytes(jnp.array([0.0, 0.0]), jnp.array([0.0, -0.0])) == 1


def record(title, name):
    table = common.Table(title, ["ours"], [common.Row(name, "ms", [[1.0]])])
    return common.record("gpu", {}, {}, [table])


def test_tables_of_one_title_are_one():
    tables = gpu.merged([record("runs", "1 seed"), record("other", "x"), record("runs", "2 seeds")])
    names = [[row["name"] for row in table["rows"]] for table in tables]
    assert names == [["1 seed", "2 seeds"], ["x"]]


@pytest.mark.parametrize("failed", [False, True])
def test_a_check_that_fails_is_the_exit_status(monkeypatch, tmp_path, failed):
    name = (gpu_checks.FAILED if failed else "passed: ") + "a check"
    found = record(gpu_checks.CHECKS, name) | {"machine": {"backend": "gpu"}}
    monkeypatch.setattr(gpu, "measure_all", lambda repeats, quick: ([found], []))
    arguments = ["--json", str(tmp_path / "gpu.json")]
    if failed:
        with pytest.raises(SystemExit, match="a check"):
            gpu.main(arguments)
    else:
        gpu.main(arguments)
    assert (tmp_path / "gpu.json").exists()

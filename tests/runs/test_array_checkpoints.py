# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Checkpoints of arrays: what is loaded is what was saved, and never a part of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant.runs.array_checkpoints import ArrayCheckpoints
from dormant.runs.host_arrays import forms_of
from dormant.checks import ConfigurationError


@pytest.fixture
def tree():
    return {
        "weights": jnp.linspace(0, 1, 5),
        "counts": (jnp.int32(7), jnp.array([True, False])),
        "key": jax.random.split(jax.random.key(3), 2),
        "nothing": (),
    }


def values(tree):
    def value(leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf).tolist()

    return jax.tree.map(value, tree)


def test_what_is_loaded_is_what_was_saved(tree, tmp_path):
    checkpoints = ArrayCheckpoints(tmp_path)
    assert checkpoints.numbers() == []
    checkpoints.save(3, tree)
    loaded = checkpoints.load(3, forms_of(tree))
    assert values(loaded) == values(tree)
    assert jax.tree.map(lambda leaf: leaf.dtype, loaded) == jax.tree.map(lambda x: x.dtype, tree)


def test_the_newest_two_are_kept(tree, tmp_path):
    checkpoints = ArrayCheckpoints(tmp_path)
    for number in (8, 9, 10):
        checkpoints.save(number, tree)
    assert checkpoints.numbers() == [9, 10]
    assert checkpoints.latest() == 10


def test_what_an_abandoned_continuation_left_is_dropped(tree, tmp_path):
    checkpoints = ArrayCheckpoints(tmp_path)
    assert checkpoints.latest() is None
    for number in (8, 9, 0):
        checkpoints.save(number, tree)
    assert checkpoints.numbers() == [0]


def test_a_loaded_tree_may_be_donated(tree, tmp_path):
    checkpoints = ArrayCheckpoints(tmp_path)
    checkpoints.save(0, tree)
    loaded = checkpoints.load(0, forms_of(tree))
    jax.jit(lambda weights: weights + 1, donate_argnums=0)(loaded["weights"])
    assert values(checkpoints.load(0, forms_of(tree))) == values(tree)


def test_a_save_that_was_killed_leaves_the_one_before(tree, tmp_path):
    checkpoints = ArrayCheckpoints(tmp_path)
    checkpoints.save(0, tree)
    (tmp_path / "process_0" / "1.part").write_bytes(b"PK")
    assert checkpoints.numbers() == [0]
    checkpoints.save(1, tree)
    assert checkpoints.numbers() == [0, 1]


@pytest.mark.parametrize(
    "other",
    [
        {"weights": jnp.zeros(6)},
        {"weights": jnp.zeros(5, jnp.int32)},
        {"more": jnp.zeros(1)},
    ],
)
def test_another_tree_is_refused(other, tree, tmp_path):
    checkpoints = ArrayCheckpoints(tmp_path)
    checkpoints.save(0, tree)
    with pytest.raises(ConfigurationError, match="with another number of runs, another net"):
        checkpoints.load(0, forms_of(tree | other))


@pytest.mark.parametrize("size", [0, 100])
def test_a_file_that_cannot_be_read_is_named(size, tree, tmp_path):
    checkpoints = ArrayCheckpoints(tmp_path)
    checkpoints.save(0, tree)
    path = tmp_path / "process_0" / "0.npz"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ConfigurationError, match="0.npz cannot be read"):
        checkpoints.load(0, forms_of(tree))

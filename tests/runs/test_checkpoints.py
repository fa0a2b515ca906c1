# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Checkpoints: what is loaded is what was saved, and never a part of it or something else."""

import json
import os
import pickle
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant.checks import ConfigurationError
from dormant.runs.checkpoints import Checkpoints, Damaged
from dormant.runs.host_arrays import forms_of


@pytest.fixture
def tree():
    return {
        "weights": jnp.linspace(0, 1, 5),
        "half": jnp.ones((2, 3), jnp.bfloat16),
        "counts": (jnp.int32(7), jnp.array([True, False])),
        "key": jax.random.split(jax.random.key(3), 2),
        "empty": jnp.zeros((0, 4)),
        "nothing": (),
    }


@pytest.fixture
def saved(tree, tmp_path):
    """Checkpoints 0 and 1 of a tree, and of another one with other weights."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(0, {**tree, "weights": jnp.zeros(5)})
    checkpoints.save(1, tree)
    return checkpoints


def values(tree):
    def value(leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf).tolist()

    return jax.tree.map(value, tree)


def test_what_is_loaded_is_what_was_saved(tree, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.numbers() == []
    checkpoints.save(3, tree)
    loaded = checkpoints.load_like(3, forms_of(tree))
    assert values(loaded) == values(tree)
    assert jax.tree.map(lambda leaf: leaf.dtype, loaded) == jax.tree.map(lambda x: x.dtype, tree)


def test_numbers_texts_and_none_stay_what_they_are(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    generator = np.random.default_rng(3).bit_generator.state
    tree = {"generator": generator, "none": None, "number": np.float32(0.1), "size": np.int64(3)}
    checkpoints.save(0, {**tree, "rows": np.arange(6).reshape(2, 3)[:, ::2]})
    loaded = checkpoints.load(0)
    np.testing.assert_array_equal(loaded.pop("rows"), [[0, 2], [3, 5]])
    assert loaded == tree
    assert not checkpoints.load(0)["rows"].flags.writeable


def test_the_newest_two_are_kept(tree, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.newest() is None
    for number in (8, 9, 10):
        checkpoints.save(number, tree)
    assert checkpoints.numbers() == [9, 10]
    assert checkpoints.newest() == 10


def test_some_stay_for_good(tree, tmp_path):
    checkpoints = Checkpoints(tmp_path, kept=3, keep_every=4)
    for number in range(10):
        checkpoints.save(number, tree)
    assert checkpoints.numbers() == [0, 4, 7, 8, 9]


def test_what_an_abandoned_continuation_left_is_dropped(tree, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for number in (8, 9, 0):
        checkpoints.save(number, tree)
    assert checkpoints.numbers() == [0]


def test_a_loaded_tree_may_be_donated(tree, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(0, tree)
    loaded = checkpoints.load_like(0, forms_of(tree))
    jax.jit(lambda weights: weights + 1, donate_argnums=0)(loaded["weights"])
    assert values(checkpoints.load_like(0, forms_of(tree))) == values(tree)


def test_what_killed_processes_left_goes_with_the_next_save(saved, tree):
    for name in ("2.part", "7.old.part"):
        (saved.own_folder / name).mkdir()
        (saved.own_folder / name / "arrays.bin").write_bytes(b"half")
    (saved.own_folder / "none_yet.part").touch()
    assert saved.newest() == 1
    saved.save(2, tree)
    assert sorted(os.listdir(saved.own_folder)) == ["1", "2"]


@pytest.mark.parametrize(
    "other",
    [
        {"weights": jnp.zeros(6)},
        {"weights": jnp.zeros(5, jnp.int32)},
        {"more": jnp.zeros(1)},
    ],
)
def test_another_tree_is_refused(other, tree, saved):
    with pytest.raises(ConfigurationError, match="with another number of runs, another net"):
        saved.load_like(1, forms_of(tree | other))


def _flipped(data, position):
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


DAMAGES = {
    "emptied": lambda data: b"",
    "cut short": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "first bit": lambda data: _flipped(data, 0),
    "middle bit": lambda data: _flipped(data, len(data) // 2),
    "last bit": lambda data: _flipped(data, -1),
    "deleted": None,
}


def damage(path, how):
    if DAMAGES[how] is None:
        path.unlink()
    else:
        path.write_bytes(DAMAGES[how](path.read_bytes()))


@pytest.mark.parametrize("name", ["arrays.bin", "manifest.json"])
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(name, how, saved, tree, capsys):
    damage(saved.own_folder / "1" / name, how)
    saved = Checkpoints(saved.folder)
    with pytest.raises(Damaged, match="1 is damaged"):
        saved.load(1)
    assert saved.newest() == 0
    assert "1 is damaged" in (error := capsys.readouterr().err)
    assert error.endswith("going on from checkpoint 0\n") and error.count("\n") == 1
    assert values(saved.load_like(0, forms_of(tree)))["weights"] == [0.0] * 5
    damage(saved.own_folder / "0" / name, how)
    saved = Checkpoints(saved.folder)
    with pytest.raises(ConfigurationError, match="no checkpoint in .* can be continued.*damaged"):
        saved.newest()


def test_every_flipped_bit_of_a_manifest_is_found(saved):
    path = saved.own_folder / "1" / "manifest.json"
    whole = path.read_bytes()
    expected = saved.load(1)
    for position in range(0, len(whole), 7):
        path.write_bytes(_flipped(whole, position))
        # White space and the case of an escape may change; a value may not.
        try:
            found = saved.load(1)
        except Damaged:
            continue
        assert jax.tree.all(jax.tree.map(np.array_equal, found, expected))


def test_a_checkpoint_of_another_format_is_refused(saved):
    path = saved.own_folder / "1" / "manifest.json"
    found = json.loads(path.read_text())
    found["content"]["format"] = 2
    path.write_text(json.dumps(found))
    with pytest.raises(Damaged, match="checksum"):
        saved.load(1)


def test_nothing_is_unpickled(saved):
    """What Dopamine's checkpoints are: a pickle runs code when it is read."""
    path = saved.own_folder / "1" / "arrays.bin"
    path.write_bytes(pickle.dumps({"learner": 1}))
    with pytest.raises(Damaged):
        saved.load(1)
    with pytest.raises(TypeError):
        saved.save(2, {"object": np.array([object()], object)})
    assert saved.numbers() == [0, 1]


def test_a_save_that_fails_leaves_those_before_it(saved, tree, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            saved.save(2, tree)
        # One that is written anew stays too.
        with pytest.raises(OSError, match="No space left"):
            saved.save(1, tree)
    assert sorted(os.listdir(saved.own_folder)) == ["0", "1"]
    saved.save(2, tree)
    assert saved.newest() == 2


def test_a_killed_save_is_no_checkpoint(saved, tree, monkeypatch):
    synced, folder_part = os.fsync, saved.own_folder / "2.part"
    # Both files, their folder, and the folder of checkpoints.
    for stop in range(1, 4):
        calls = []

        def killed_while_writing(descriptor, calls=calls, stop=stop):
            synced(descriptor)
            calls.append(descriptor)
            if len(calls) == stop:
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", killed_while_writing)
        with pytest.raises(KeyboardInterrupt):
            saved.save(2, tree)
        assert saved.numbers() == [0, 1] and not folder_part.exists()
    monkeypatch.undo()
    saved.save(2, tree)
    assert saved.numbers() == [1, 2]


def test_processes_keep_their_own(saved, tmp_path):
    shutil.copytree(saved.own_folder, tmp_path / "process_1")
    assert saved.folder == tmp_path
    assert saved.own_folder == tmp_path / "process_0"

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Checkpoints that the libraries themselves wrote, and files that are none or that are hostile."""

import io
import os
import pickle
import zipfile

import equinox as eqx
import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import serialization
from flax.training.train_state import TrainState

from dormant.checks import ConfigurationError
from dormant.probe.checkpoints import find_checkpoints, parameters_of, read_checkpoint
from tests.probe.small_network import Small, params

TREE = params()
NAMES = {f"params/Dense_{layer}/{leaf}" for layer in range(3) for leaf in ("kernel", "bias")}


def flat(separator="/"):
    return {
        separator.join(["params", layer, leaf]): array
        for layer, leaves in TREE["params"].items()
        for leaf, array in leaves.items()
    }


def train_state():
    return TrainState.create(apply_fn=Small().apply, params=TREE["params"], tx=optax.adam(1e-3))


def save_msgpack(folder):
    (folder / "net.msgpack").write_bytes(serialization.to_bytes(TREE))
    return folder / "net.msgpack"


def save_npz(folder):
    np.savez(folder / "net.npz", **flat("."))
    return folder / "net.npz"


def save_safetensors(folder):
    save = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    save.save_file(flat("."), folder / "net.safetensors")
    return folder / "net.safetensors"


def save_orbax(folder):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.absolute() / "net", TREE)
    return folder / "net"


def save_train_state(folder):
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(folder.absolute() / "state", train_state())
    return folder / "state"


def save_composite(folder):
    parts = ocp.args.Composite(net=ocp.args.StandardSave(TREE), extra=ocp.args.JsonSave({"a": 1}))
    with ocp.CheckpointManager(folder.absolute() / "run") as manager:
        manager.save(7, args=parts)
    return folder / "run"


@pytest.mark.parametrize(
    "save", [save_msgpack, save_npz, save_safetensors, save_orbax, save_composite]
)
def test_every_format_is_read_as_it_was_written(save, tmp_path):
    (path,) = find_checkpoints(save(tmp_path))
    found = read_checkpoint(path)
    assert set(found.arrays) == NAMES
    for name, array in flat().items():
        np.testing.assert_array_equal(found.arrays[name], array)
    assert found.step == (7 if save is save_composite else None)


def test_what_an_optimizer_keeps_is_left_out_and_can_be_asked_for(tmp_path):
    whole = read_checkpoint(save_train_state(tmp_path))
    found = parameters_of(whole, None)
    assert {name for name in found.arrays if name != "step"} == NAMES
    assert "arrays of the optimizer were left out" in found.notes[-1]
    moments = parameters_of(whole, "opt_state/0/mu")
    assert set(moments.arrays) == {name.removeprefix("params/") for name in NAMES}
    with pytest.raises(
        ConfigurationError, match="--part must be one of .*opt_state.*; got 'actor'"
    ):
        parameters_of(whole, "actor")
    (tmp_path / "state.msgpack").write_bytes(serialization.to_bytes(train_state()))
    again = parameters_of(read_checkpoint(tmp_path / "state.msgpack"), None)
    assert {name for name in again.arrays if name != "step"} == NAMES


def test_arrays_of_equinox_have_numbers(tmp_path):
    layer = eqx.nn.Linear(3, 2, key=jax.random.key(0))
    eqx.tree_serialise_leaves(tmp_path / "net.eqx", layer)
    found = read_checkpoint(tmp_path / "net.eqx")
    np.testing.assert_array_equal(found.arrays["0"], layer.weight)
    np.testing.assert_array_equal(found.arrays["1"], layer.bias)


def test_a_folder_is_in_the_order_of_its_steps(tmp_path):
    for step in (2, 10, 1):
        np.savez(tmp_path / f"ckpt_{step}.npz", w=np.full((2, 2), step))
    paths = find_checkpoints(tmp_path)
    assert [read_checkpoint(path).step for path in paths] == [1, 2, 10]


def test_steps_of_an_orbax_manager_are_checkpoints_of_their_own(tmp_path):
    with ocp.CheckpointManager(tmp_path.absolute() / "run") as manager:
        for step in (9, 10):
            manager.save(step, args=ocp.args.StandardSave(TREE))
    assert [path.name for path in find_checkpoints(tmp_path / "run")] == ["9", "10"]
    with ocp.PyTreeCheckpointer() as checkpointer:
        for step in (9, 10):
            checkpointer.save(tmp_path.absolute() / "plain" / str(step), TREE)
    assert [path.name for path in find_checkpoints(tmp_path / "plain")] == ["9", "10"]


class Harm:
    """Creates a file where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def harmful(tmp_path):
    harm = Harm()
    harm.path = tmp_path / "harm"
    return harm


def write_pickle(path, harm):
    path.write_bytes(pickle.dumps(harm))


def write_objects(path, harm):
    np.savez(path, w=np.array([harm], object))


def write_torch(path, harm):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(harm))


def write_stable_baselines(path, harm):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("_stable_baselines3_version", "2.7.0")
        file.writestr("data", "{}")
        file.writestr("policy.pth", pickle.dumps(harm))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (write_pickle, "flax.serialization.to_bytes"),
        (write_objects, "flax.serialization.to_bytes"),
        (write_torch, "safetensors.torch.save_file"),
        (write_stable_baselines, "model.policy.qf_state.params"),
    ],
)
@pytest.mark.parametrize("name", ["net.npz", "net.msgpack"])
def test_a_pickle_is_refused_whatever_its_name_and_never_run(write, said, name, tmp_path):
    path = tmp_path / name
    write(path, harmful(tmp_path))
    path = next(tmp_path.glob("net.*"))
    with pytest.raises(ConfigurationError, match="is refused: .* run code.*") as refused:
        read_checkpoint(path)
    assert said in str(refused.value)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("save", [save_msgpack, save_npz, save_safetensors])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.98])
def test_a_truncated_file_is_a_mistake_in_one_line(save, kept, tmp_path):
    path = save(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ConfigurationError, match=path.name):
        read_checkpoint(path)


def test_a_damaged_orbax_checkpoint_is_a_mistake(tmp_path):
    path = save_orbax(tmp_path)
    (path / "_METADATA").write_text("{")
    with pytest.raises(ConfigurationError, match="must be a whole checkpoint; orbax"):
        read_checkpoint(path)


def npy_of_objects():
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], object))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "of no known format"),
        (b"hello", "of no known format"),
        (b"contents\nof a text\n", "of no known format"),
        *(
            (pickle.dumps(each, protocol), "is refused: it is pickled")
            for each in ({"a": [1.5]}, [1.5], (1, 2))
            for protocol in (0, 1, 2)
        ),
        (npy_of_objects(), "is refused: it is pickled"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5, as Keras writes it"),
        (b"\x80", "must hold arrays; it is Flax msgpack without any"),
        (serialization.to_bytes({"name": "text"}), "without any"),
        (
            serialization.to_bytes({"a": {"w": np.ones(2)}, "a/w": np.zeros(2)}),
            "must hold arrays of different names; it has two of a/w",
        ),
        (b"\x93NUMPY" + bytes(20), "cannot be read as Equinox or npy"),
    ],
)
def test_other_files_are_named(content, said, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ConfigurationError, match=said):
        read_checkpoint(tmp_path / "file")


def test_folders_without_checkpoints_say_what_they_hold(tmp_path):
    with pytest.raises(ConfigurationError, match="holds nothing"):
        find_checkpoints(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigurationError, match=r"holds notes\.txt"):
        find_checkpoints(tmp_path)
    with pytest.raises(ConfigurationError, match="nowhere is not there"):
        find_checkpoints(tmp_path / "nowhere")

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Checkpoints of other libraries as named arrays. What is pickled is refused: no code is run."""

import contextlib
import logging
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization

from dormant.checks import ConfigurationError, first_line

ALLOWED = (
    "a run folder, an orbax checkpoint, a file of safetensors, Flax msgpack or npz, or a folder of"
    " such checkpoints"
)
EQUINOX = "Equinox or npy"
# What protocols 0 and 1 begin with: a list, dictionary, tuple, mark, text, bytes or global.
_OLDER_PICKLES = (b"]", b"}", b"(", b"V", b"X", b"c")
_ORBAX_FILE = "_METADATA"
# Branches of a training state that are no parameters.
_OF_TRAINING = frozenset({"opt_state", "optimizer", "optimizer_state", "opt"})
_EXPORT = (
    "it is pickled, and reading it would run code: export the parameters, such as"
    " Path('params.msgpack').write_bytes(flax.serialization.to_bytes(params))"
)
_EXPORT_SB3 = (
    "it is a save of Stable-Baselines3 or sbx, whose weights are pickled, and reading it would run"
    " code: load it yourself and export what is to be probed, of sbx with Path('params.msgpack')"
    ".write_bytes(flax.serialization.to_bytes(model.policy.qf_state.params)), of Stable-Baselines3"
    " with safetensors.torch.save_model(model.policy, 'policy.safetensors')"
)
_EXPORT_TORCH = (
    "it is a file of torch.save, which is pickled, and reading it would run code: export it with"
    " safetensors.torch.save_file(state_dict, 'params.safetensors')"
)


class Checkpoint(NamedTuple):
    """The arrays of one checkpoint.

    Attributes:
      path: what was read.
      kind: its format, for people.
      step: the number in its name; None without one.
      arrays: {path of names with slashes: array}, in the order of the checkpoint.
      notes: what was left out, and why.
    """

    path: Path
    kind: str
    step: int | None
    arrays: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()


def find_checkpoints(path: Path) -> list[Path]:
    """The checkpoints that a path names, the oldest first: itself, or those in a folder.

    Raises:
      ConfigurationError: it names none.
    """
    if not path.exists():
        raise ConfigurationError(f"RUN_OR_CHECKPOINT must be {ALLOWED}; {path} is not there")
    if path.is_file() or _orbax_items(path):
        return [path]
    inside = [each for each in path.iterdir() if not each.name.startswith(".")]
    found = [each for each in inside if _orbax_items(each) or _is_known_file(each)]
    if not found:
        names = ", ".join(sorted(each.name for each in inside)[:4]) or "nothing"
        raise ConfigurationError(f"RUN_OR_CHECKPOINT must be {ALLOWED}; {path} holds {names}")
    return sorted(found, key=lambda each: (_step(each) is not None, _step(each) or 0, each.name))


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads one checkpoint, whatever its name: the format is told by the first bytes.

    Raises:
      ConfigurationError: when it is of no known format, is damaged, or is pickled.
    """
    kind, read = ("orbax", _read_orbax) if path.is_dir() else _reader(path)
    try:
        tree = read(path)
    except ConfigurationError:
        raise
    except Exception as error:  # what these libraries raise for damaged files has no common base
        raise ConfigurationError(f"{path} cannot be read as {kind}: {first_line(error)}") from error
    arrays, others = {}, 0
    for name, leaf in _flat(tree):
        if _is_array(leaf):
            if name in arrays:
                raise ConfigurationError(
                    f"{path} must hold arrays of different names; it has two of {name}"
                )
            arrays[name] = np.asarray(leaf)
        else:
            others += leaf is not None
    if not arrays:
        raise ConfigurationError(f"{path} must hold arrays; it is {kind} without any")
    notes = (f"{others} entries that are no arrays were left out",) if others else ()
    return Checkpoint(path, kind, _step(path), arrays, notes)


def parameters_of(checkpoint: Checkpoint, part: str | None) -> Checkpoint:
    """The checkpoint's parameters: a named part of it, or all but what an optimizer keeps.

    Raises:
      ConfigurationError: there is no such part.
    """
    arrays = checkpoint.arrays
    if part is not None:
        prefix = part.strip("/") + "/"
        kept = {name[len(prefix) :]: each for name, each in arrays.items()
                if name.startswith(prefix)}  # fmt: skip
        if not kept:
            known = ", ".join(dict.fromkeys(_branches(arrays)))
            raise ConfigurationError(f"--part must be one of {known}; got {part!r}")
        return checkpoint._replace(arrays=kept)
    kept = {name: each for name, each in arrays.items()
            if _OF_TRAINING.isdisjoint(name.split("/"))}  # fmt: skip
    left_out = len(arrays) - len(kept)
    if not kept or not left_out:
        return checkpoint
    note = f"{left_out} arrays of the optimizer were left out; --part names another part"
    return checkpoint._replace(arrays=kept, notes=(*checkpoint.notes, note))


def _branches(arrays: Mapping[str, Any]) -> Iterator[str]:
    """The inner nodes of a tree of names, at most two deep."""
    for name in arrays:
        parts = name.split("/")[:-1]
        yield from ("/".join(parts[:depth]) for depth in range(1, min(2, len(parts)) + 1))


def _step(path: Path) -> int | None:
    numbers = re.findall(r"\d+", path.name.partition(".")[0])
    return int(numbers[-1]) if numbers else None


def _is_known_file(path: Path) -> bool:
    return path.is_file() and path.suffix in (".safetensors", ".msgpack", ".npz")


def _reader(path: Path) -> tuple[str, Callable[[Path], Any]]:
    """The format of a file and what reads it."""
    with open(path, "rb") as file:
        head = file.read(16)
    if head[:2] == b"PK":
        return _zip_reader(path)
    if head[8:9] == b"{":
        return "safetensors", _read_safetensors
    # A msgpack map of no entries begins alike, but is one byte long.
    is_pickled = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if is_pickled or (head[:1] in _OLDER_PICKLES and _is_pickled(path)):
        raise ConfigurationError(f"{path} is refused: {_EXPORT}")
    if head[:6] == b"\x93NUMPY":
        return EQUINOX, _read_npys
    is_hdf5 = head[:4] == b"\x89HDF"
    # A map of up to 15 entries, or of more with their number behind.
    if not is_hdf5 and head[:1] in map(
        bytes, ([first] for first in (*range(0x80, 0x90), 0xDE, 0xDF))
    ):
        return "Flax msgpack", lambda path: serialization.msgpack_restore(path.read_bytes())
    what = "HDF5, as Keras writes it" if is_hdf5 else "of no known format"
    raise ConfigurationError(f"RUN_OR_CHECKPOINT must be {ALLOWED}; {path} is {what}")


def _is_pickled(path: Path) -> bool:
    """Whether a file has pickle's operations up to the one that ends them; runs none."""
    with open(path, "rb") as file:
        try:
            return any(operation.name == "STOP" for operation, _, _ in pickletools.genops(file))
        except Exception:  # what it raises for other texts has no common base
            return False


def _zip_reader(path: Path) -> tuple[str, Callable[[Path], Any]]:
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except zipfile.BadZipFile as error:
        raise ConfigurationError(f"{path} cannot be read as npz: {first_line(error)}") from error
    if "_stable_baselines3_version" in names:
        raise ConfigurationError(f"{path} is refused: {_EXPORT_SB3}")
    if any(name.endswith("/data.pkl") for name in names):
        raise ConfigurationError(f"{path} is refused: {_EXPORT_TORCH}")
    if not names or not all(name.endswith(".npy") for name in names):
        found = ", ".join(names[:3]) or "nothing"
        raise ConfigurationError(
            f"RUN_OR_CHECKPOINT must be {ALLOWED}; {path} is a zip file of {found}"
        )
    return "npz", _read_npz


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file, _objects_refused(path):
        return _with_slashes({name: file[name] for name in file.files})


@contextlib.contextmanager
def _objects_refused(path: Path) -> Iterator[None]:
    """Inside, NumPy's arrays of objects, which are pickled, are answered with what to do."""
    try:
        yield
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise ConfigurationError(f"{path} is refused: {_EXPORT}") from error
        raise


def _read_npys(path: Path) -> dict[str, Any]:
    """Arrays one after the other, as `eqx.tree_serialise_leaves` writes them, by their numbers."""
    found: dict[str, Any] = {}
    size = path.stat().st_size
    with open(path, "rb") as file, _objects_refused(path):
        while file.tell() < size:
            found[str(len(found))] = np.load(file, allow_pickle=False)
    return found


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        import safetensors
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error}; what reads {path.name} is installed by: pip install 'dormant[probe]'"
        ) from error
    with safetensors.safe_open(path, "numpy") as file:
        return _with_slashes({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


def _orbax_items(folder: Path) -> list[Path]:
    """The trees of arrays that an orbax checkpoint holds, itself or by name; [] of others."""
    if not folder.is_dir():
        return []
    if (folder / _ORBAX_FILE).is_file():
        return [folder]
    items = sorted(each for each in folder.iterdir() if (each / _ORBAX_FILE).is_file())
    # Else its folders are checkpoints of their own.
    is_one = (folder / "_CHECKPOINT_METADATA").is_file() or any(
        item.name == "default" for item in items
    )
    return items if is_one else []


def _read_orbax(path: Path) -> Any:
    import orbax.checkpoint as ocp

    # It warns of metadata that a part of a checkpoint does not have.
    logging.getLogger("absl").setLevel(logging.ERROR)

    def restore(item: Path) -> Any:
        with ocp.PyTreeCheckpointer() as checkpointer:
            known = checkpointer.metadata(item.absolute()).item_metadata
            if known is None:
                raise ConfigurationError(
                    f"{item} must be a whole checkpoint; orbax cannot read what arrays it holds"
                )
            # On the host, whatever devices wrote it.
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), known.tree)
            return checkpointer.restore(item.absolute(), restore_args=as_numpy)

    items = _orbax_items(path)
    found = {item.name: restore(item) for item in items}
    return found if len(items) > 1 else found[items[0].name]


def _with_slashes(arrays: dict[str, Any]) -> dict[str, Any]:
    """Flat names with slashes where they have dots alone."""
    if any("/" in name for name in arrays):
        return arrays
    return {name.replace(".", "/"): array for name, array in arrays.items()}


def _flat(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries and lists, by their path."""
    if isinstance(tree, Mapping):
        children = [(str(name), child) for name, child in tree.items()]
    elif isinstance(tree, list | tuple):
        children = [(str(number), child) for number, child in enumerate(tree)]
    else:
        yield "/".join(path), tree
        return
    for name, child in children:
        yield from _flat(child, (*path, name))


def _is_array(leaf: Any) -> bool:
    if not isinstance(leaf, np.ndarray | np.generic | jax.Array | int | float):
        return False
    dtype = np.asarray(leaf).dtype  # NumPy alone does not know bfloat16
    return jnp.issubdtype(dtype, jnp.number) or dtype == np.bool_

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Checkpoints: one folder with the bytes of all arrays and a manifest that says what they are.

A folder gets its name when all in it is on disk, and what is read is what was written: both files
are held to their SHA-256. (Orbax reads most flipped bits as something else without a word:
benchmarks/checkpoints.py.)
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.experimental import multihost_utils

from dormant.checks import ConfigurationError
from dormant.records.files import naming, process_folder, sync_folder
from dormant.runs.host_arrays import is_form, place, to_host

_KEPT = 2
# A process that was killed while it saved may have one more.
_MOST = _KEPT + 1
_ARRAYS, _MANIFEST, _PART = "arrays.bin", "manifest.json", ".part"
_NONE_YET = "none_yet"
# Where an array begins, so that what reads it may use it in place.
_ALIGNMENT = 64
_FORMAT = 1


class Damaged(ValueError):
    """A checkpoint is not what was written."""


class Stored(NamedTuple):
    """Where an array lies in the file of arrays."""

    dtype: str
    shape: tuple[int, ...]
    start: int  # in bytes


class Checkpoints:
    """The newest checkpoints of this process, `FOLDER/process_<p>/<number>/`.

    A checkpoint holds a pytree whose leaves are arrays, JAX's or NumPy's, or numbers, texts and
    None. Of sharded arrays each process saves the part that it has.
    """

    def __init__(self, folder: str | Path, kept: int = _KEPT, keep_every: int | None = None):
        """Reads and creates nothing yet.

        Args:
          folder: where all processes of a run keep theirs.
          kept: how many stay, >= 2.
          keep_every: numbers divisible by it stay for good; None: none does.
        """
        self.folder = Path(folder)
        # Where this process keeps its own.
        self.own_folder = self.folder / process_folder(jax.process_index())
        # There until every process has a checkpoint: the records so far are then written anew.
        self.none_yet = self.own_folder / _NONE_YET
        self._kept, self._keep_every = kept, keep_every
        self._verified: set[int] = set()  # read whole by this process

    def numbers(self) -> list[int]:
        """The checkpoints there are, damaged or not, the oldest first."""
        if not self.own_folder.is_dir():
            return []
        return sorted(int(name) for name in os.listdir(self.own_folder) if name.isdigit())

    def save(self, number: int, tree: Any) -> None:
        """Writes what this process holds of a tree, then drops what is not kept.

        Newer ones, of a continuation that was given up, are dropped first, and what a process that
        was killed left half written.

        Raises:
          OSError: when it cannot be written; those before it stay, and no part of it is left.
        """
        self.own_folder.mkdir(parents=True, exist_ok=True)
        self._verified.clear()
        self.clean()
        for newer in (found for found in self.numbers() if found > number):
            self._drop(newer)
        part = self.own_folder / f"{number}{_PART}"
        try:
            part.mkdir()
            _write(part, tree)
            if self._path(number).exists():
                self._drop(number)
            os.replace(part, self._path(number))
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        sync_folder(self.own_folder)
        if jax.process_count() > 1:
            # Before any process drops a checkpoint all of them have a newer one.
            multihost_utils.sync_global_devices(f"checkpoint {number}")
        for old in self.numbers()[: -self._kept]:
            if self._keep_every is None or old % self._keep_every:
                self._drop(old)

    def clean(self) -> None:
        """Removes what processes that were killed left half written or half removed."""
        for left in self.own_folder.glob(f"*{_PART}"):
            left.unlink() if left.is_file() else shutil.rmtree(left)

    def newest(self) -> int | None:
        """The newest checkpoint that every process has whole; None where there never was one.

        Damaged ones that are newer are named on stderr.

        Raises:
          ConfigurationError: when there are checkpoints and none is whole, or some processes have
            one and others have not.
        """
        numbers, whole = self.numbers(), []
        problems: list[str] = []
        for number in reversed(numbers[-_MOST:]):
            try:
                self.load(number)
            except Damaged as error:
                problems.append(str(error))
            else:
                whole.append(number)
                if jax.process_count() == 1:
                    break
        found = _common(whole)
        has_one = found is None and _common(numbers, any_process=True) is not None
        # Those that were ended while they saved the first one start anew.
        if has_one and not _all(self.none_yet.exists()):
            what = "; ".join(problems) or f"{jax.process_count()} processes"
            raise ConfigurationError(
                f"no checkpoint in {self.folder} can be continued by every process of this run:"
                f" continue it with as many processes as before, or give another --base_dir; got"
                f" {what}"
            )
        for problem in problems:
            print(f"{problem}; going on from checkpoint {found}", file=sys.stderr)
        return found

    def drop_all(self) -> None:
        """Removes those that only some processes have, of a run that starts anew."""
        for number in self.numbers():
            self._drop(number)

    def load(self, number: int) -> dict[str, Any]:
        """What was saved, as nested dicts by the names of the tree's nodes.

        Arrays are NumPy's, read-only views of the file; of keys there is the uint32 data.

        Raises:
          Damaged: when it cannot be read or is not what was written.
        """
        folder = self._path(number)
        try:
            content = _read_manifest(folder / _MANIFEST)
            if number not in self._verified:
                with open(folder / _ARRAYS, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                if digest != content["arrays_sha256"]:
                    raise ValueError(f"{_ARRAYS} has another checksum than when it was written")
                self._verified.add(number)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Damaged(f"checkpoint {folder} is damaged ({error})") from error
        found = {tuple(path): value for path, value in content["values"]}
        size = os.path.getsize(folder / _ARRAYS)
        data = np.memmap(folder / _ARRAYS, np.uint8, "r") if size else np.zeros(0, np.uint8)
        for path, *stored in content["arrays"]:
            found[tuple(path)] = _view(data, Stored(*stored))
        return unflatten_dict(found)

    def load_like(self, number: int, template: Any) -> Any:
        """The tree that was saved, placed as the template says.

        Args:
          number: of a whole checkpoint.
          template: what `forms_of` returned for such a tree.

        Raises:
          ConfigurationError: when it is not a checkpoint of such a tree.
        """
        return placed(self.load(number), template, f"checkpoint {self._path(number)}")

    def _path(self, number: int) -> Path:
        return self.own_folder / str(number)

    def _drop(self, number: int) -> None:
        # Not whole from the first file on that is removed, so it loses its name first.
        removed = self.own_folder / f"{number}.old{_PART}"
        os.replace(self._path(number), removed)
        shutil.rmtree(removed)


def placed(found: dict[str, Any], template: Any, where: str) -> Any:
    """What `Checkpoints.load` found, or a part of it, placed as the template says.

    Args:
      found: nested dicts.
      template: what `forms_of` returned for such a tree.
      where: what holds it, for messages.

    Raises:
      ConfigurationError: when it is not such a tree.
    """
    # A tree of another kind may have an array here.
    stored = flatten_dict(found) if isinstance(found, dict) else {(): found}
    named = _named(template)
    try:
        if stored.keys() != {path for path, _ in named}:
            raise ValueError("other arrays")
        leaves = [place(leaf, stored[path]) for path, leaf in named]
    except ValueError as error:
        raise ConfigurationError(
            f"{where} was written with another number of runs, another network, optimizer,"
            " intervention, replay or environment, or on another number of devices; continue it"
            f" with its own gin file or give another --base_dir ({error})"
        ) from error
    structure = jax.tree.structure(template, is_leaf=is_form)
    return jax.tree.unflatten(structure, leaves)


def _write(folder: Path, tree: Any) -> None:
    arrays: list[tuple[Any, ...]] = []
    values: list[tuple[Any, ...]] = []
    digest, start = hashlib.sha256(), 0
    with _synced(folder / _ARRAYS) as file:
        for path, leaf in _named(tree):
            if not isinstance(leaf, (np.ndarray, jax.Array)):
                values.append((path, leaf.item() if isinstance(leaf, np.generic) else leaf))
                continue
            array = leaf if isinstance(leaf, np.ndarray) else to_host(leaf)
            arrays.append((path, *Stored(array.dtype.name, array.shape, start)))
            # As bytes: a view of them is written at once, whatever the dtype.
            data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
            for piece in (data, bytes(-len(data) % _ALIGNMENT)):
                file.write(piece)
                digest.update(piece)
                start += len(piece)
    content = {
        "format": _FORMAT,
        "arrays_sha256": digest.hexdigest(),
        "arrays": arrays,
        "values": values,
    }
    text = _canonical(content)
    checksum = hashlib.sha256(text.encode()).hexdigest()
    with _synced(folder / _MANIFEST) as file:
        file.write(json.dumps({"sha256": checksum, "content": content}, allow_nan=False).encode())
    sync_folder(folder)


def _read_manifest(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    content = found["content"]
    if hashlib.sha256(_canonical(content).encode()).hexdigest() != found["sha256"]:
        raise ValueError(f"{_MANIFEST} has another checksum than when it was written")
    if content["format"] != _FORMAT:
        raise ValueError(f"{_MANIFEST} must be of format {_FORMAT}; got {content['format']}")
    return content


def _canonical(content: Any) -> str:
    """A text that is the same for the same content, read back or not."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _named(tree: Any) -> list[tuple[tuple[str, ...], Any]]:
    """The leaves of a tree, None among them, with the names on the way to each."""
    leaves = jax.tree.leaves_with_path(tree, is_leaf=lambda node: node is None or is_form(node))
    return [(tuple(jax.tree_util.keystr((key,), simple=True) for key in path), leaf)
            for path, leaf in leaves]  # fmt: skip


def _view(data: np.ndarray, stored: Stored) -> np.ndarray:
    dtype = jnp.dtype(stored.dtype)  # NumPy alone does not know bfloat16
    size = int(np.prod(stored.shape, dtype=np.int64)) * dtype.itemsize
    return data[stored.start : stored.start + size].view(dtype).reshape(stored.shape)


def _common(numbers: Sequence[int], any_process: bool = False) -> int | None:
    """The highest number that every process has, or any."""
    each = np.asarray([(*[-1] * _MOST, *sorted(numbers))[-_MOST:]])
    if jax.process_count() > 1:
        each = np.atleast_2d(multihost_utils.process_allgather(each[0]))
    sets = [set(row.tolist()) - {-1} for row in each]
    return max(set.union(*sets) if any_process else set.intersection(*sets), default=None)


def _all(is_so: bool) -> bool:
    """Whether something is so of several processes, and of each; False where there is but one."""
    if jax.process_count() == 1:
        return False
    return bool(np.all(multihost_utils.process_allgather(np.asarray(is_so))))


@contextlib.contextmanager
def _synced(path: Path) -> Iterator[BinaryIO]:
    """A file to be written, whose bytes are on disk when it is closed."""
    with naming(path), open(path, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())

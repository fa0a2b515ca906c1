"""Checkpoints of a pytree of arrays, as npz files: each process saves the part that it holds.
A file gets its name when it is whole, so that a killed run leaves none that cannot be read."""

import os
import re
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dormant.runs.options import ConfigurationError
from dormant.vectorized.sharding import to_host

_KEPT = 2
_NAME = re.compile(r"(\d+)\.npz")


class ArrayCheckpoints:
    """The newest two checkpoints of this process, `FOLDER/process_<p>/<number>.npz`."""

    def __init__(self, folder: str | Path):
        """Reads and creates nothing yet.

        Args:
          folder: where all processes of a run keep theirs.
        """
        self._folder = Path(folder) / f"process_{jax.process_index()}"

    def numbers(self) -> list[int]:
        """The checkpoints there are, the oldest first."""
        if not self._folder.is_dir():
            return []
        matches = (_NAME.fullmatch(name) for name in os.listdir(self._folder))
        return sorted(int(match[1]) for match in matches if match)

    def save(self, number: int, tree: Any) -> None:
        """Writes what this process holds of a tree, then drops all but the newest two."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path, part = self._path(number), self._folder / f"{number}.part"
        arrays = {name: to_host(leaf) for name, leaf in _named(tree)}
        with open(part, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        for old in self.numbers()[:-_KEPT]:
            self._path(old).unlink()

    def load(self, number: int, template: Any) -> Any:
        """The tree that was saved, with the shapes, dtypes and devices of the template.

        Raises:
          ConfigurationError: when it is not a checkpoint of such a tree, or cannot be read.
        """
        path = self._path(number)
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
                found = {name: saved[name] for name in saved.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise ConfigurationError(
                f"checkpoint {path} cannot be read ({error}): remove it to continue from the one"
                " before"
            ) from error
        named = _named(template)
        expected = {name: to_host(leaf) for name, leaf in named}
        if {name: _form(a) for name, a in found.items()} != {
            name: _form(a) for name, a in expected.items()
        }:
            raise ConfigurationError(
                f"checkpoint {path} was written with other seeds, another network, optimizer,"
                " intervention, replay or environment, or on another number of devices; continue it"
                " with its own gin file or give another --base_dir"
            )
        leaves = [_placed(found[name], leaf) for name, leaf in named]
        return jax.tree.unflatten(jax.tree.structure(template), leaves)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.npz"


def _named(tree: Any) -> list[tuple[str, jax.Array]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree.leaves_with_path(tree)]


def _is_key(leaf: jax.Array) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _placed(array: np.ndarray, leaf: jax.Array) -> jax.Array:
    data = jax.random.key_data(leaf) if _is_key(leaf) else leaf
    # Copied: the state will be donated, and a NumPy array may be used in place.
    data = jax.make_array_from_process_local_data(data.sharding, array.copy(), data.shape)
    data = jax.numpy.copy(data)
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else data


def _form(array: np.ndarray) -> tuple:
    return array.shape, array.dtype

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

"""Checkpoints of a pytree of arrays, as npz files: each process saves the part that it holds.
A file gets its name when it is whole, so that a killed run leaves none that cannot be read."""

import os
import re
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from dormant.checks import ConfigurationError
from dormant.runs.host_arrays import is_form, place, to_host

_KEPT = 2
# A process that was killed while it saved may have one more.
_MOST = _KEPT + 1
_NAME = re.compile(r"(\d+)\.npz")


class ArrayCheckpoints:
    """The newest two checkpoints of this process, `FOLDER/process_<p>/<number>.npz`."""

    def __init__(self, folder: str | Path):
        """Reads and creates nothing yet.

        Args:
          folder: where all processes of a run keep theirs.
        """
        self.folder = Path(folder)
        self._folder = self.folder / f"process_{jax.process_index()}"

    def numbers(self) -> list[int]:
        """The checkpoints there are, the oldest first."""
        if not self._folder.is_dir():
            return []
        matches = (_NAME.fullmatch(name) for name in os.listdir(self._folder))
        return sorted(int(match[1]) for match in matches if match)

    def save(self, number: int, tree: Any) -> None:
        """Writes what this process holds of a tree, then drops all but the newest two.

        Newer ones, of a continuation that was given up, are dropped first.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for newer in (found for found in self.numbers() if found > number):
            self._path(newer).unlink()
        part = self._folder / f"{number}.part"
        arrays = {name: to_host(leaf) for name, leaf in _named(tree)}
        with open(part, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self._path(number))
        if jax.process_count() > 1:
            # Before any process drops a checkpoint all of them have a newer one.
            multihost_utils.sync_global_devices(f"checkpoint {number}")
        for old in self.numbers()[:-_KEPT]:
            self._path(old).unlink()

    def latest(self) -> int | None:
        """The newest checkpoint that every process has; None where there is none at all.

        Raises:
          ConfigurationError: when some processes have checkpoints and others have not.
        """
        own = ([-1] * _MOST + self.numbers())[-_MOST:]
        if jax.process_count() == 1:
            return None if own[-1] < 0 else own[-1]
        each = np.atleast_2d(multihost_utils.process_allgather(np.asarray(own)))
        common = set.intersection(*(set(row.tolist()) - {-1} for row in each))
        if not common and np.any(each >= 0):
            raise ConfigurationError(
                f"the processes of this run have no checkpoint in {self.folder} in common:"
                " continue it with as many processes as before, or give another --base_dir;"
                f" got {jax.process_count()} processes"
            )
        return max(common, default=None)

    def load(self, number: int, template: Any) -> Any:
        """The tree that was saved, placed as the template says.

        Args:
          number: of the checkpoint.
          template: what `forms_of` returned for such a tree.

        Raises:
          ConfigurationError: when it is not a checkpoint of such a tree, or cannot be read.
        """
        path = self._path(number)
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
                found = {name: saved[name] for name in saved.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise ConfigurationError(
                f"checkpoint {path} cannot be read ({error}): remove it to continue from the one"
                " before"
            ) from error
        named = _named(template)
        try:
            if found.keys() != {name for name, _ in named}:
                raise ValueError("other arrays")
            leaves = [place(leaf, found.pop(name)) for name, leaf in named]
        except ValueError as error:
            raise ConfigurationError(
                f"checkpoint {path} was written with another number of runs, another network,"
                " optimizer, intervention, replay or environment, or on another number of devices;"
                f" continue it with its own gin file or give another --base_dir ({error})"
            ) from error
        structure = jax.tree.structure(template, is_leaf=is_form)
        return jax.tree.unflatten(structure, leaves)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.npz"


def _named(tree: Any) -> list[tuple[str, Any]]:
    leaves = jax.tree.leaves_with_path(tree, is_leaf=is_form)
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves]

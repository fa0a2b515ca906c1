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

"""A checkpoint of arrays: one folder with one raw file an array and a JSON file of the rest.
A folder gets its name only when all in it is on disk, so that one with that name is whole."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from dormant.checks import check_count

_STATE = "replay.json"
_UNFINISHED = ".unfinished"


class DamagedCheckpoint(ValueError):
    """A checkpoint lacks something that every one has when it is written."""


def write(
    checkpoint_dir: str, iteration: int, arrays: Mapping[str, np.ndarray], state: str, keep: int
) -> None:
    """Writes arrays and a text to `checkpoint_dir/iteration`, in place of what is there.

    Args:
      checkpoint_dir: an existing folder.
      iteration: >= 0.
      arrays: by name, contiguous.
      state: JSON.
      keep: how many such folders stay, this one and those of the numbers before it, >= 1. The one
        before it always stays: what else belongs to this checkpoint may not be on disk yet.

    Raises:
      ValueError: when keep is not.
    """
    check_count("keep", keep, 1)
    parent = Path(checkpoint_dir)
    for left_behind in parent.glob(f"*{_UNFINISHED}"):
        shutil.rmtree(left_behind)
    unfinished = parent / f"{iteration}{_UNFINISHED}"
    unfinished.mkdir()
    for name, array in arrays.items():
        with _synced(unfinished / f"{name}.bin") as file:
            # As bytes: a view of them is written at once, whatever the dtype.
            file.write(array.reshape(-1).view(np.uint8).data)
    with _synced(unfinished / _STATE) as file:
        file.write(state.encode())
    final = parent / str(iteration)
    if final.exists():
        # Not whole from the first file on that is removed, so it loses its name first.
        removed = parent / f"{iteration}.old{_UNFINISHED}"
        os.replace(final, removed)
        shutil.rmtree(removed)
    _sync_folder(unfinished)
    os.replace(unfinished, final)
    _sync_folder(parent)
    # Higher numbers are not the past of this run: the one just written always stays.
    past = sorted(number for number in _saved(parent) if number <= iteration)
    for number in past[: -max(keep, 2)]:
        removed = parent / f"{number}{_UNFINISHED}"
        os.replace(parent / str(number), removed)
        shutil.rmtree(removed)


def find(checkpoint_dir: str, iteration: int) -> tuple[Path, str]:
    """The folder of a checkpoint, and its JSON.

    Raises:
      FileNotFoundError: when there is none.
    """
    folder = Path(checkpoint_dir) / str(iteration)
    return folder, (folder / _STATE).read_text(encoding="utf-8")


def read_into(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Fills contiguous arrays from the files of a checkpoint.

    Raises:
      DamagedCheckpoint: when a file is missing or has not the bytes of its array.
    """
    paths = {name: folder / f"{name}.bin" for name in arrays}
    # All are looked at before the first is read.
    for name, path in paths.items():
        found = path.stat().st_size if path.exists() else 0
        if found != arrays[name].nbytes:
            raise DamagedCheckpoint(f"{path} must have {arrays[name].nbytes} bytes; got {found}")
    for name, path in paths.items():
        with open(path, "rb", buffering=0) as file:
            buffer = arrays[name].reshape(-1).view(np.uint8).data
            while buffer:
                count = file.readinto(buffer)
                if not count:
                    raise DamagedCheckpoint(
                        f"{path} must hold {len(buffer)} more bytes; got its end"
                    )
                buffer = buffer[count:]


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Reports what fails in reading a checkpoint's JSON, and what it says, as its damage.

    Raises:
      DamagedCheckpoint: in place of the errors of a missing or wrong entry.
    """
    try:
        yield
    except DamagedCheckpoint:
        raise
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise DamagedCheckpoint(
            f"{folder / _STATE} must be as it was written; got {type(error).__name__}: {error}"
        ) from error


def _saved(parent: Path) -> list[int]:
    """Numbers of the whole checkpoints in a folder."""
    names = (path.parent.name for path in parent.glob(f"*/{_STATE}"))
    return [int(name) for name in names if name.isdigit()]


class _synced:
    """A file to be written whose bytes are on disk when it is closed."""

    def __init__(self, path: Path):
        self._file = open(path, "wb")

    def __enter__(self):
        return self._file

    def __exit__(self, *error: object) -> None:
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    # Windows cannot open a folder.
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

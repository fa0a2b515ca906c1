# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The DQN Replay data set of Atari (Agarwal et al., 2020): all that five DQN agents of each game
saw in 50M agent steps. A file is one array of a replay of 1M steps, a gzipped .npy, written when it
was full, by the replay of Dopamine 2, which puts three steps of zeros before every episode."""

import contextlib
import dataclasses
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gin
import numpy as np

from dormant.checks import ConfigurationError, is_count, require, require_count
from dormant.studies import frames

RUNS = 5
_OBSERVATION = re.compile(r"\$store\$_observation_ckpt\.(\d+)\.gz")
# {array: dtype and shape of a step}
_ARRAYS: dict[str, tuple[str, tuple[int, ...]]] = {
    "observation": ("uint8", frames.FRAME_SHAPE),
    "action": ("int32", ()),
    "reward": ("float32", ()),
    "terminal": ("uint8", ()),
}


@gin.configurable
@dataclasses.dataclass(frozen=True)
class DQNReplay:
    """Steps out of the DQN Replay data set: `DQNReplay.*` in gin.

    The first `steps_per_file` steps of each file, so that what is fitted to comes from the whole of
    the online agent's training and stays the same. Rewards are clipped to [-1, 1], as they were
    when they were logged.

    Attributes:
      folder: holds `<game>/<run>/replay_logs`, as the data set's own folder `dqn` does.
      run: 1 to 5, whose agent's; None for 1 + seed modulo 5.
      files: numbers of the files; None for all there are.
      steps_per_file: 7 056 bytes each, in the memory of the device.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    folder: str = "data/dqn_replay"
    run: int | None = None
    files: tuple[int, ...] | None = None
    steps_per_file: int = 20_000

    def __post_init__(self) -> None:
        name = "DQNReplay."
        require(isinstance(self.folder, str), f"{name}folder", "a path", self.folder)
        is_run = self.run is None or (is_count(self.run, 1) and self.run <= RUNS)
        require(is_run, f"{name}run", f"None or a whole number from 1 to {RUNS}", self.run)
        files = self.files
        distinct = isinstance(files, list | tuple) and 0 < len(set(files)) == len(files)
        whole = distinct and all(is_count(number, 0) for number in files or ())
        allowed = "None or a tuple of different whole numbers >= 0, such as (0, 10, 20)"
        require(files is None or whole, f"{name}files", allowed, files)
        least = frames.STACK + 1
        require_count(f"{name}steps_per_file", self.steps_per_file, least, "steps")

    def load(self, game: str, num_actions: int, seed: int) -> frames.Frames:
        """Reads the steps, as NumPy arrays.

        Args:
          game: as the data set names it, such as "DemonAttack".
          num_actions: A, of the game.
          seed: of the run.

        Raises:
          ConfigurationError: when a file is not there or is not as it should be, or the steps do
            not fit into memory.
        """
        run = 1 + seed % RUNS if self.run is None else self.run
        folder = Path(self.folder) / game / str(run) / "replay_logs"
        numbers = self._numbers(folder)
        frames.check_steps("DQNReplay.steps_per_file * files", len(numbers) * self.steps_per_file)
        lengths = [min(self.steps_per_file, _length(folder, number)) for number in numbers]
        # One array for all files: the frames are most of the machine's memory, and are read once.
        arrays = {
            name: np.empty((sum(lengths), *shape), dtype)
            for name, (dtype, shape) in _ARRAYS.items()
        }
        rows, start = [], 0
        for number, length in zip(numbers, lengths, strict=True):
            for name, array in arrays.items():
                _read_into(array[start : start + length], name, _path(folder, name, number))
            rows.append(start + _whole(arrays["terminal"][start : start + length]))
            start += length
        found = frames.Frames(
            frame=arrays["observation"],
            action=arrays["action"],
            reward=np.clip(arrays["reward"], -1.0, 1.0),
            terminal=arrays["terminal"] != 0,
            # Where frames are missing the data set has zeros.
            age=np.full(start, frames.STACK - 1, np.int32),
            row=np.concatenate(rows).astype(np.int32),
        )
        frames.check_frames(str(folder), found, num_actions)
        return found

    def _numbers(self, folder: Path) -> list[int]:
        """Of the files to read."""
        paths = folder.iterdir() if folder.is_dir() else ()
        matches = (_OBSERVATION.fullmatch(path.name) for path in paths)
        there = sorted(int(match[1]) for match in matches if match)
        if not there:
            raise ConfigurationError(
                "`DQNReplay.folder` must hold <game>/<run>/replay_logs of the DQN Replay data set"
                f" (docs/studies.md says where it is); found no {_path(folder, 'observation', 0)};"
                f" got {self.folder!r}"
            )
        missing = [number for number in self.files or () if number not in there]
        allowed = f"out of those in {folder}, {there[0]} to {there[-1]}"
        require(not missing, "DQNReplay.files", allowed, missing and missing[0])
        return there if self.files is None else sorted(self.files)


def _path(folder: Path, name: str, number: int) -> Path:
    stored = f"$store$_{name}" if name in _ARRAYS else name
    return folder / f"{stored}_ckpt.{number}.gz"


def _length(folder: Path, number: int) -> int:
    """The steps of a file, from row 0 on: what the ring's last turn wrote, whose count says so.

    A file was written one step before its ring was full, the last one of a run where that ended:
    from there on it holds what an earlier file has, or nothing.
    """
    with _open(_path(folder, "terminal", number)) as file:
        capacity = _header(file)[0][0]
    path = _path(folder, "add_count", number)
    if not path.is_file():
        return capacity - 1
    with _open(path) as file:
        count = np.lib.format.read_array(file, allow_pickle=False)
    is_whole = np.ndim(count) == 0 and np.issubdtype(np.asarray(count).dtype, np.integer)
    require(is_whole, str(path), "a whole number", getattr(count, "shape", count))
    return int(count) % capacity


def _whole(terminal: np.ndarray) -> np.ndarray:
    """The rows of consecutive steps whose stack is of one episode and that are followed by another.

    The zeros before an episode's first frame follow a terminal step, so that it is not in a stack.
    """
    ends = np.concatenate([[0], np.cumsum(terminal != 0)])
    rows = np.arange(frames.STACK - 1, len(terminal) - 1)
    return rows[ends[rows] == ends[rows - (frames.STACK - 1)]]


def _read_into(rows: np.ndarray, name: str, path: Path) -> None:
    """Fills rows with the first of the array in a file."""
    with _open(path) as file:
        shape, dtype = _header(file)
        if dtype != rows.dtype or shape[1:] != rows.shape[1:] or shape[0] < len(rows):
            raise ValueError(
                f"{name} of at least {len(rows)} steps must be {rows.dtype} {rows.shape[1:]} each;"
                f" got {dtype} {shape}"
            )
        content = file.read(rows.nbytes)
        if len(content) < rows.nbytes:
            raise EOFError(f"it ends {rows.nbytes - len(content)} bytes too early")
        rows[:] = np.frombuffer(content, dtype).reshape(rows.shape)


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of the array that follows in a .npy file."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"the .npy format must be version 1 or 2; got {version}")
    shape, in_columns, dtype = readers[version](file)
    if in_columns or dtype.hasobject or not shape:
        raise ValueError(f"it must hold plain rows; got {dtype} {shape}")
    return shape, dtype


@contextlib.contextmanager
def _open(path: Path) -> Iterator[gzip.GzipFile]:
    try:
        with gzip.open(path, "rb") as file:
            yield file
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error

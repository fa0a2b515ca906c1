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

"""What a run of `dormant.train` on Atari left: its network and its replay. No Dopamine, whose
checkpoints are pickles; of those nothing but plain values and NumPy's arrays is unpickled."""

import json
import pickle
import re
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import serialization

from dormant.checks import ConfigurationError, require
from dormant.records.files import CONFIG_FILE
from dormant.replay import ReplayBuffer, ReplayOptions
from dormant.studies import frames

_SENTINEL = re.compile(r"sentinel_checkpoint_complete\.(\d+)")
_GAME = re.compile(r"create_atari_environment\.game_name\s*=\s*\\?\s*['\"]([^'\"]+)['\"]")
# What an array consists of in a pickle, by NumPy's names now and before 2.0.
_SAFE = {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"))
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("numpy._core.numeric", "_frombuffer")}
_UNREADABLE = (OSError, AttributeError, KeyError, TypeError, ValueError)


class TrainedRun(NamedTuple):
    """The newest whole checkpoint of a run."""

    option: str  # the name in gin of the folder, for messages
    folder: Path
    number: int  # of the checkpoint

    def params(self, template: Any) -> Any:
        """The parameters of its network, NumPy arrays in the structure of a template.

        Args:
          template: of the arrays' shapes and dtypes, as the network's initializer makes them.

        Raises:
          ConfigurationError: when the checkpoint cannot be read or is of another network.
        """
        path = self._checkpoints / f"ckpt.{self.number}"
        try:
            with path.open("rb") as file:
                found = _Unpickler(file).load()["learner"]["params"]
        except (*_UNREADABLE, EOFError, pickle.UnpicklingError) as error:
            raise ConfigurationError(
                f"{self.option}: {path} cannot be read as a checkpoint of dormant.train: {error}"
            ) from error
        try:
            params = serialization.from_state_dict(template, found)
            pairs = zip(jax.tree.leaves(params), jax.tree.leaves(template), strict=True)
            alike = all((a.shape, a.dtype) == (b.shape, b.dtype) for a, b in pairs)
        except (AttributeError, KeyError, TypeError, ValueError):
            alike = False
        allowed = "a run whose network is VectorizedDQN.network for Atari.game"
        require(alike, self.option, allowed, str(self.folder))
        return params

    def frames(self, num_actions: int) -> frames.Frames:
        """Its replay, NumPy arrays.

        Args:
          num_actions: A, of the game.

        Raises:
          ConfigurationError: when it cannot be read, is no replay of Atari, or does not fit into
            memory.
        """
        try:
            text = (self._checkpoints / str(self.number) / "replay.json").read_text("utf-8")
            # The discount and the batch size of a draw are not stored, and no matter here.
            replay = ReplayBuffer(ReplayOptions(**json.loads(text)["fixed"]), 0)
            replay.load(str(self._checkpoints), self.number)
            found = replay.contents()
        except _UNREADABLE as error:
            raise ConfigurationError(
                f"{self.option}: the replay in {self._checkpoints / str(self.number)} cannot be"
                f" read: {error}"
            ) from error
        frame = found["observation"]
        expected = (frames.FRAME_SHAPE, np.uint8, frames.STACK)
        kind = (frame.shape[1:], frame.dtype, replay.options.stack_size)
        allowed = f"a run on Atari, whose frames are uint8 {frames.FRAME_SHAPE} in stacks of four"
        require(kind == expected, self.option, allowed, str(self.folder))
        frames.check_steps(self.option, len(frame))
        made = frames.Frames(
            frame=frame,
            action=found["action"],
            reward=found["reward"],
            terminal=found["terminal"],
            age=found["age"],
            row=found["row"].astype(np.int32),
        )
        frames.check_frames(self.option, made, num_actions)
        return made

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints"


def trained_run(option: str, folder: str, game: str) -> TrainedRun:
    """The run in a folder; reads nothing but names, and its game.

    Args:
      option: the folder's name in gin, for messages.
      folder: of a run of `dormant.train`.
      game: the game that it must be of.

    Raises:
      ConfigurationError: when there is no whole checkpoint, or the run is of another game.
    """
    path = Path(folder)
    checkpoints = path / "checkpoints"
    names = [entry.name for entry in checkpoints.iterdir()] if checkpoints.is_dir() else []
    numbers = [int(match[1]) for match in map(_SENTINEL.fullmatch, names) if match]
    allowed = "the folder of a run of dormant.train, with a checkpoint"
    require(bool(numbers), option, allowed, folder)
    config = path / CONFIG_FILE
    text = config.read_text("utf-8", errors="replace") if config.is_file() else ""
    found = _GAME.search(text)
    if found is not None:
        require(found[1] == game, option, f"a run on {game}, which Atari.game names", found[1])
    return TrainedRun(option, path, max(numbers))


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _SAFE:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in it")
        return super().find_class(module, name)

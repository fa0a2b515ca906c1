# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a run of `dormant.train` on Atari left: its network and its replay. No Dopamine."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dormant.checks import ConfigurationError, require
from dormant.records.files import CHECKPOINTS_FOLDER
from dormant.records.run_folders import read_config
from dormant.records.settings import UNKNOWN_GAME, game_of
from dormant.replay import ReplayBuffer
from dormant.runs.checkpoints import Checkpoints, placed
from dormant.runs.host_arrays import forms_of
from dormant.studies import frames


class TrainedRun(NamedTuple):
    """The newest whole checkpoint of a run."""

    option: str  # the name in gin of the folder, for messages
    folder: Path
    agent: dict[str, Any]  # what its agent saved

    def params(self, template: Any) -> Any:
        """The parameters of its network, in the structure of a template.

        Args:
          template: of the arrays' shapes and dtypes, as the network's initializer makes them.

        Raises:
          ConfigurationError: when the checkpoint is of another network.
        """
        try:
            return placed(self.agent["learner"]["params"], forms_of(template), str(self.folder))
        except (ConfigurationError, KeyError, TypeError) as error:
            allowed = "a run whose network is VectorizedDQN.network for Atari.game"
            raise ConfigurationError(
                f"`{self.option}` must be {allowed}; got {str(self.folder)!r}"
            ) from error

    def frames(self, num_actions: int) -> frames.Frames:
        """Its replay, NumPy arrays.

        Args:
          num_actions: A, of the game.

        Raises:
          ConfigurationError: when it is no replay of Atari, or does not fit into memory.
        """
        try:
            replay = ReplayBuffer.from_state(self.agent["replay"])
            found = replay.contents()
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{self.option}: the replay in {self.folder} cannot be read: {error}"
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


def trained_run(option: str, folder: str, game: str) -> TrainedRun:
    """The newest whole checkpoint of the run in a folder.

    Args:
      option: the folder's name in gin, for messages.
      folder: of a run of `dormant.train`.
      game: the game that it must be of.

    Raises:
      ConfigurationError: when there is no whole checkpoint, or the run is of another game.
    """
    path = Path(folder)
    checkpoints = Checkpoints(path / CHECKPOINTS_FOLDER)
    number = checkpoints.newest()
    agent = None if number is None else checkpoints.load(number)["state"].get("agent")
    allowed = "the folder of a run of dormant.train, with a checkpoint"
    if agent is None:
        raise ConfigurationError(f"`{option}` must be {allowed}; got {folder!r}")
    found = game_of(read_config(path))
    if found != UNKNOWN_GAME:
        require(found == game, option, f"a run on {game}, which Atari.game names", found)
    return TrainedRun(option, path, agent)

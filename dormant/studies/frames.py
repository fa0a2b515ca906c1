# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Steps of Atari episodes with one frame each, from which stacks are made when they are drawn.
Arrays of the device, whole for a study: where they came from no longer matters."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dormant.checks import require
from dormant.learners import Batch
from dormant.memory import device_memory, machine_memory, may_be_used
from dormant.xla_cpu import is_cpu

STACK = 4  # frames of a state
FRAME_SHAPE = (84, 84)
_STEP_BYTES = math.prod(FRAME_SHAPE) + 4 + 4 + 1 + 4 + 4  # of `Frames`


class Frames(NamedTuple):
    """C steps in the order in which they were taken, or a ring of them; E of them can be drawn.

    A step can be drawn where the frames of its state and, unless it is terminal, the frame that
    follows are among the C.
    """

    frame: Any  # uint8 (C, 84, 84), the newest of the state in which the action was taken
    action: Any  # int32 (C,)
    reward: Any  # float32 (C,), of the action
    terminal: Any  # bool (C,), whether the action ended the episode
    age: Any  # int32 (C,), frames before it in its episode; only whether it is below 3 matters
    row: Any  # int32 (E,), the steps that can be drawn


def draw(frames: Frames, key: jax.Array, count: int) -> jax.Array:
    """Rows int32 (count,), uniformly and with replacement. The key is consumed."""
    return frames.row[jax.random.randint(key, (count,), 0, frames.row.shape[0])]


def states(frames: Frames, rows: jax.Array) -> jax.Array:
    """uint8 (B, 84, 84, 4), the states at rows (B,), the newest frame last.

    Frames from before the start of the episode are zeros.
    """
    return _stacks(frames, rows, 0)


def batch(frames: Frames, rows: jax.Array) -> Batch:
    """The one-step transitions at rows (B,); the next state after a terminal step means nothing."""
    blocks = _stacks(frames, rows, 1)
    return Batch(
        state=blocks[..., :STACK],
        action=frames.action[rows],
        reward=frames.reward[rows],
        next_state=blocks[..., 1:],
        terminal=frames.terminal[rows],
    )


def _stacks(frames: Frames, rows: jax.Array, following: int) -> jax.Array:
    """The state's frames and those that follow it, uint8 (B, 84, 84, 4 + following)."""
    offsets = jnp.arange(1 - STACK, 1 + following)
    places = (rows[:, None] + offsets) % frames.frame.shape[0]
    missing = -offsets > frames.age[rows][:, None]
    found = jnp.where(missing[..., None, None], jnp.uint8(0), frames.frame[places])
    return jnp.moveaxis(found, 1, -1)


def check_steps(
    name: str, count: int, machine: int | None = None, device: int | None = None
) -> None:
    """Checks that so many steps fit into the memory of this machine and of its first device.

    Args:
      name: what says how many they are, for the message.
      count: C.
      machine, device: bytes; None for what they say.

    Raises:
      ConfigurationError: when they do not.
    """
    machine = machine_memory() if machine is None else machine
    if device is None:
        # A CPU has what was read and its own copy at one time, in the machine's memory.
        device = None if is_cpu() else device_memory()
    machine = machine and (machine if device else machine // 2)
    for memory, whose in ((machine, "machine's"), (device, "device's")):
        if memory is not None:
            most = may_be_used(memory) // _STEP_BYTES
            require(count <= most, name, f"at most {most} steps in this {whose} memory", count)


def check_frames(name: str, frames: Frames, num_actions: int) -> None:
    """Checks what a network would silently learn nonsense from.

    Args:
      name: where they were read, for the message.
      frames: NumPy arrays.
      num_actions: A, of the game.

    Raises:
      ConfigurationError: no step can be drawn, an action is none of the game's, or a reward is not
        finite.
    """
    require(frames.row.size > 0, name, "a step whose frames are all there", 0)
    actions, rewards = frames.action[frames.row], frames.reward[frames.row]
    inside = (actions >= 0) & (actions < num_actions)
    allowed = f"actions from 0 to {num_actions - 1}, those of the game"
    require(inside.all(), name, allowed, actions[np.argmin(inside)].item())
    finite = np.isfinite(rewards)
    require(finite.all(), name, "finite rewards", rewards[np.argmin(finite)].item())

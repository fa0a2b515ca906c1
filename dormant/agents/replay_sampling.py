"""Draws from Dopamine's replay: training batches through its sampler, score batches around it.
Scoring never advances the replay's own random state, so that tracking changes nothing trained."""

from typing import Any

import numpy as np
from dopamine.jax.replay_memory import elements
from dopamine.jax.replay_memory.replay_buffer import ReplayBuffer

from dormant.learners import Batch

# Keeps the score batches' random stream apart from every other use of the run's seed.
_SCORE_STREAM = 0x5C0E


def training_batch(replay: ReplayBuffer) -> Batch:
    """One batch of B transitions from the replay's own sampler, which it advances.

    Returns:
      state and next_state in the observations' dtype (B, ...), action int32 (B,), reward float32
      (B,), terminal bool (B,).
    """
    return to_batch(replay.sample())


def to_batch(sampled: elements.ReplayElement) -> Batch:
    """The learner's view of B transitions sampled from the replay."""
    return Batch(
        state=sampled.state,
        action=np.asarray(sampled.action, np.int32),
        reward=np.asarray(sampled.reward, np.float32),
        next_state=sampled.next_state,
        terminal=np.asarray(sampled.is_terminal, bool),
    )


def score_generator(seed: int, gradient_step: int) -> np.random.Generator:
    """The random stream of the score batch of one gradient step.

    It depends on nothing but its arguments: how often one tracks changes no batch that ReDo sees,
    and a resumed run has nothing to restore.
    """
    return np.random.default_rng([_SCORE_STREAM, seed, gradient_step])


def score_states(replay: ReplayBuffer, generator: np.random.Generator, size: int) -> Any:
    """States of `size` transitions drawn uniformly, with replacement, from all that are stored.

    Returns:
      The observations' dtype, (size, ...).
    """
    # Keys count the transitions ever added, and only the oldest are dropped.
    memory = replay._memory
    keys = generator.integers(replay.add_count - len(memory), replay.add_count, size=size)
    return np.stack([_state(memory[key]) for key in keys.tolist()])


def _state(element: elements.ReplayElement) -> np.ndarray:
    return elements.uncompress(element.state) if element.is_compressed else element.state

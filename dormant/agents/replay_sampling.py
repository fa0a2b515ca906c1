"""Draws from Dopamine's replay: training batches through its sampler, score batches around it.
Scoring never advances the replay's own random state, so that tracking changes nothing trained."""

from typing import Any

import numpy as np
from dopamine.jax.replay_memory import elements
from dopamine.jax.replay_memory.replay_buffer import ReplayBuffer

from dormant.learners import Batch, WeightedBatch

# Keeps the score batches' random stream apart from every other use of the run's seed.
SCORE_STREAM = 0x5C0E
# Dopamine's, so that no transition has priority 0 and no weight is infinite.
_EPSILON = 1e-10


def training_batch(replay: ReplayBuffer) -> Batch:
    """One batch of B transitions from the replay's own sampler, which it advances.

    Returns:
      state and next_state in the observations' dtype (B, ...), action int32 (B,), reward float32
      (B,), terminal bool (B,).
    """
    return to_batch(replay.sample())


def to_batch(sampled: elements.ReplayElement) -> Batch:
    """The learner's view of B transitions sampled from the replay."""
    # A discrete action is int32; a continuous one is float32 (B, …).
    action = np.asarray(sampled.action)
    kind = np.int32 if np.issubdtype(action.dtype, np.integer) else np.float32
    return Batch(
        state=sampled.state,
        action=action.astype(kind),
        reward=np.asarray(sampled.reward, np.float32),
        next_state=sampled.next_state,
        terminal=np.asarray(sampled.is_terminal, bool),
    )


def weighted_batch(replay: ReplayBuffer, prioritizes: bool) -> tuple[WeightedBatch, np.ndarray]:
    """One batch of B transitions with the weights that make up for how they were drawn.

    Args:
      replay: a replay with Dopamine's prioritized sampler.
      prioritizes: False gives every transition weight 1; all priorities are equal then.

    Returns:
      The batch, whose weights are float32 (B,): 1 / sqrt(probability), over their maximum, as in
      Dopamine; and the transitions' keys (B,), for `set_priorities`.
    """
    sampled, metadata = replay.sample(with_sample_metadata=True)
    batch = to_batch(sampled)
    weight = np.ones(batch.reward.shape, np.float32)
    if prioritizes:
        weight = 1.0 / np.sqrt(metadata.probabilities + _EPSILON)
        weight = (weight / weight.max()).astype(np.float32)
    return WeightedBatch(*batch, weight=weight), metadata.keys


def set_priorities(replay: ReplayBuffer, keys: np.ndarray, sample_loss: Any) -> None:
    """Sets the priorities of transitions to the root of their loss (B,), as Dopamine does."""
    replay.update(keys, priorities=np.sqrt(np.asarray(sample_loss, np.float64) + _EPSILON))


def score_generator(seed: int, gradient_step: int) -> np.random.Generator:
    """The random stream of the score batch of one gradient step.

    It depends on nothing but its arguments: how often one tracks changes no batch that ReDo sees,
    and a resumed run has nothing to restore.
    """
    return np.random.default_rng([SCORE_STREAM, seed, gradient_step])


def score_elements(
    replay: ReplayBuffer, generator: np.random.Generator, size: int
) -> list[elements.ReplayElement]:
    """`size` transitions drawn uniformly, with replacement, from all that are stored.

    The first of them do not depend on `size`.
    """
    # Keys count the transitions ever added, and only the oldest are dropped.
    memory = replay._memory
    keys = generator.integers(replay.add_count - len(memory), replay.add_count, size=size)
    return [memory[key] for key in keys.tolist()]


def score_states(replay: ReplayBuffer, generator: np.random.Generator, size: int) -> Any:
    """The states of `score_elements`: the observations' dtype, (size, ...)."""
    return stack_states(score_elements(replay, generator, size))


def stack_states(sampled: list[elements.ReplayElement]) -> np.ndarray:
    """The states of transitions: the observations' dtype, (B, ...)."""
    return np.stack([_state(element) for element in sampled])


def _state(element: elements.ReplayElement) -> np.ndarray:
    return elements.uncompress(element.state) if element.is_compressed else element.state

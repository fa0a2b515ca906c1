# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The replay of an agent: `dormant.replay` as Dopamine's gin names configure it, and draws from it.
Scoring never advances the replay's own random state, so that tracking changes nothing trained."""

from typing import Any

import numpy as np
from dopamine.jax.replay_memory import replay_buffer, samplers

from dormant.checks import errors_of, require, require_count, require_number
from dormant.learners import Batch
from dormant.replay import ReplayBuffer, ReplayOptions
from dormant.runs.options import bound_in_gin

# Keeps the score batches' random stream apart from every other use of the run's seed.
SCORE_STREAM = 0x5C0E
_UNIFORM, _PRIORITIZED = "ReplayBuffer", "PrioritizedSamplingDistribution"
_EXPONENT = f"{_PRIORITIZED}.priority_exponent"
# Parameters of Dopamine's buffer that have no meaning here, and why.
_WITHOUT_EFFECT = {
    f"{_UNIFORM}.compress": "False: each frame is stored once, as it is",
    f"{_UNIFORM}.transition_accumulator": "left out: stacks and n-step returns are made when drawn",
    f"{_UNIFORM}.sampling_distribution": "left out: the agent's replay_scheme says how to draw",
    f"{_PRIORITIZED}.seed": "left out: bind LearnerOptions.seed",
}


def create_replay(seed: int, prioritized: bool, **stored: Any) -> ReplayBuffer:
    """The replay that `ReplayBuffer.*` and `PrioritizedSamplingDistribution.*` in gin describe.

    Args:
      seed: of its draws.
      prioritized: whether transitions are drawn by priority.
      **stored: what is stored: the other fields of `dormant.replay.ReplayOptions`.

    Raises:
      ConfigurationError: when a binding is not allowed or has no effect, or when the full replay
        would not fit into this machine's memory.
    """
    for name, allowed in _WITHOUT_EFFECT.items():
        bound = bound_in_gin(name, None)
        require(bound is None or bound is False and "compress" in name, name, allowed, bound)
    batch_size = bound_in_gin(f"{_UNIFORM}.batch_size", None)
    require_count(f"{_UNIFORM}.batch_size", batch_size, 1)
    capacity = bound_in_gin(f"{_UNIFORM}.max_capacity", None)
    least = max(batch_size, stored["stack_size"] + stored["update_horizon"])
    require_count(f"{_UNIFORM}.max_capacity", capacity, least, "transitions")
    # The table of priorities always has the replay's size; Dopamine's files give it one.
    table = bound_in_gin(f"{_PRIORITIZED}.max_capacity", capacity)
    require_count(f"{_PRIORITIZED}.max_capacity", table, capacity, "transitions")
    exponent = bound_in_gin(_EXPONENT, 1.0)
    require_number(_EXPONENT, exponent, 0)
    # gin notes what a configurable is given when it is called: Dopamine's own, empty, is.
    replay_buffer.ReplayBuffer(None, None, compress=False)
    if prioritized:
        samplers.PrioritizedSamplingDistribution(0, max_capacity=1)
    options = ReplayOptions(
        capacity=capacity,
        batch_size=batch_size,
        prioritized=prioritized,
        priority_exponent=exponent,
        **stored,
    )
    with errors_of(_UNIFORM, {"capacity": "max_capacity"}):
        return ReplayBuffer(options, seed)


def check_checkpoints_kept() -> None:
    """Checks `ReplayBuffer.checkpoint_duration`: a replay is kept as long as its checkpoint.

    Raises:
      ConfigurationError: when it is bound to another number than that of the checkpoints.
    """
    name, of_checkpoints = f"{_UNIFORM}.checkpoint_duration", "Checkpointer.checkpoint_duration"
    kept = bound_in_gin(of_checkpoints, None)
    if kept is not None:
        require_count(of_checkpoints, kept, 1)
    bound = bound_in_gin(name, kept)
    allowed = f"left out, or as {of_checkpoints}, {kept}: a replay is part of its checkpoint"
    require(bound == kept, name, allowed, bound)


def check_no_exponent() -> None:
    """Checks that no priority exponent is bound, for an agent that draws uniformly."""
    bound = bound_in_gin(_EXPONENT, None)
    allowed = "left out where transitions are drawn uniformly: replay_scheme 'prioritized' has it"
    require(bound is None, _EXPONENT, allowed, bound)


def score_batch(replay: ReplayBuffer, seed: int, gradient_step: int, size: int) -> Batch:
    """`size` transitions drawn uniformly, with replacement, to score neurons at a gradient step.

    They depend on the arguments alone: how often one tracks changes no batch that ReDo sees, and a
    resumed run has nothing to restore. The first of them do not depend on `size`.
    """
    generator = np.random.default_rng([SCORE_STREAM, seed, gradient_step])
    return replay.gather(replay.draw_uniformly(generator, size))

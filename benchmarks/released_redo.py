# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Makes the released `dopamine.labs.redo` run, as a peer for benchmarks and parity tests only.

`install_released_redo()` applies what `RecycledDQNAgent` and its weight recyclers still need.
"""

import types
import typing

import jax

from dormant.agents import dopamine_compat
from dormant.agents.dopamine_compat import NOT_REPORTED, Shim


def install_released_redo() -> None:
    """Applies every shim that the released DQN agent with ReDo needs; again changes nothing.

    Afterwards `dopamine.labs.redo.recycled_dqn_agents.RecycledDQNAgent` trains and recycles, and
    the classes of `dopamine.labs.redo.weight_recyclers` take today's plain-dict parameters. The
    released Rainbow and Atari-100k variants need more and are left as they are.

    Raises:
      ImportError: as `dopamine_compat.install`.
    """
    dopamine_compat.install()
    for shim in RELEASED_REDO_SHIMS:
        if shim.needed():
            shim.apply()


def _replay_sample_needed() -> bool:
    from dopamine.jax.replay_memory import replay_buffer

    return not hasattr(replay_buffer.ReplayBuffer, "sample_transition_batch")


def _sample_batch_for_statistics(agent: typing.Any) -> typing.Any:
    """Preprocessed states of `batch_size_statistics` transitions, uint8 (B, 84, 84, 4) on Atari."""
    return agent.preprocess_fn(agent._replay.sample(agent.batch_size_statistics).state)


def _replay_sample_apply() -> None:
    from dopamine.labs.redo import recycled_dqn_agents

    agent = recycled_dqn_agents.RecycledDQNAgent
    agent._sample_batch_for_statistics = _sample_batch_for_statistics


def _plain_dict_needed() -> bool:
    from flax import core, linen

    parameters = jax.eval_shape(linen.Dense(1).init, jax.random.key(0), jax.numpy.ones(1))
    frozen = core.freeze(parameters)
    return jax.tree.structure(parameters) != jax.tree.structure(frozen)


def _plain_dict_apply() -> None:
    import flax
    from dopamine.labs.redo import weight_recyclers

    # Only this module's view of Flax: for everybody else `flax.core.freeze` stays what it is.
    weight_recyclers.flax = types.SimpleNamespace(
        core=types.SimpleNamespace(freeze=lambda tree: tree),
        traverse_util=flax.traverse_util,
    )


RELEASED_REDO_SHIMS = (
    Shim(
        name="sample_transition_batch",
        issue=NOT_REPORTED,
        reason=(
            "RecycledDQNAgent asks its replay for sample_transition_batch, which Dopamine's newer"
            " buffer does not have. The shim calls that buffer's sample and takes the states: the"
            " same uniform draw of batch_size_statistics transitions from the same sampler."
        ),
        needed=_replay_sample_needed,
        apply=_replay_sample_apply,
    ),
    Shim(
        name="plain_dict_parameters",
        issue=NOT_REPORTED,
        reason=(
            "weight_recyclers freezes parameters and masks into FrozenDict and maps them together"
            " with the optimizer state, where Flax has used plain dicts since 0.7. Without freezing"
            " all of them are dicts, of the same leaves in the same order."
        ),
        needed=_plain_dict_needed,
        apply=_plain_dict_apply,
    ),
)

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What an agent compiles on an accelerator: its policies, and its bursts of updates."""

from typing import Any

import numpy as np

from dormant.agents.burst import compiled_scan_of
from dormant.runs.compiling import CompiledFunction, on_one_chip


def compiled_functions(agent: Any) -> list[CompiledFunction]:
    """The compiled functions of a new `LearnerAgent`, for the hardware that is compiled for.

    Its replay, which must be empty, gets some transitions of zeros: what is drawn from it says what
    the arguments are.
    """
    options, replay = agent._options, agent.replay
    action = np.zeros(*agent._action_kind())
    for _ in range(2 * (agent.stack_size + agent.update_horizon)):
        replay.add(np.zeros_like(agent.state[..., -1]), action, 0.0, False, False)
    batches = tuple(agent._training_batch() for _ in range(agent._updates_per_burst))
    inputs = agent._score_inputs(1, options.score_batch)
    acting = (agent.learner_state, agent.state, agent._train_key, 0)
    burst = compiled_scan_of(agent._learner)
    called = {
        "act": (agent._act_in_training, acting, "agent step"),
        "act in evaluation": (agent._act_in_evaluation, acting, "agent step"),
        "updates": (burst, (agent.learner_state, batches, None), "gradient step"),
        "updates, neurons scored": (burst, (agent.learner_state, batches, inputs), "gradient step"),
    }
    steps = {"agent step": 1, "gradient step": len(batches)}
    return [
        CompiledFunction(name, function, on_one_chip(arguments), 1, steps[counted], counted)
        for name, (function, arguments, counted) in called.items()
    ]

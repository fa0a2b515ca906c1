# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What every agent compiles on an accelerator, listed on a machine that has none."""

import jax
import pytest

from dormant.agents.compiled_functions import compiled_functions
from dormant.hardware import Hardware, compiling_for


class Called(Exception):
    """Instead of a burst: what it was given."""


def burst(state, batches, score_inputs, due, after_update):
    raise Called((state, tuple(batches), score_inputs if any(due) else None))


def shapes(tree):
    return [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("family", ["dqn", "der", "sac"])
def test_the_compiled_functions_of_an_agent_are_what_its_run_calls(family, load_family, tmp_path):
    load_family(
        family, LearnerOptions__replay_ratio=2, Tracker__tracking_period=16, ReDo__period=16
    )
    from dormant.agents.runner import create_dormant_runner

    with compiling_for(Hardware("cuda", "cuda")):
        agent = create_dormant_runner(str(tmp_path)).agent
        found = {each.name: each for each in compiled_functions(agent)}
    updates = 2 * agent.update_period
    assert [each.steps for each in found.values()] == [1, 1, updates, updates]
    agent._burst = burst
    # Neurons are scored at gradient step 16, in another burst than the first.
    for step, name in ((0, "updates"), (16 - updates, "updates, neurons scored")):
        agent.gradient_step = step
        with pytest.raises(Called) as called:
            agent._update_burst()
        (arguments,) = called.value.args
        assert jax.tree.structure(arguments) == jax.tree.structure(found[name].arguments)
        assert shapes(arguments) == shapes(found[name].arguments)
        # The run's own program takes them.
        jax.eval_shape(found[name].function, *found[name].arguments)
    assert not list(tmp_path.iterdir())

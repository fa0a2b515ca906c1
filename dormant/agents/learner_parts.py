"""What an agent's options make of a network: optimizer, graph, tracker and intervention, ready to
be handed to any learner."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

import dormant
from dormant import learners
from dormant.learners.targets import target_rule_of


class LearnerParts(NamedTuple):
    """What an agent's options make of a network: the arguments that every learner takes."""

    init: Callable[[jax.Array], Any]  # init(key) -> params
    optimizer: optax.GradientTransformation
    graph: dormant.NeuronGraph
    tracker: dormant.Intervention
    intervention: dormant.Intervention | None
    target_period: int | None  # gradient steps; None: the agent syncs by agent steps

    def step_learner(self, step: Callable, policy: Callable) -> learners.Learner:
        """`learners.step_learner` around an existing optimizer step; see docs/add-an-agent.md."""
        return learners.step_learner(
            self.init,
            self.optimizer,
            step=step,
            policy=policy,
            target_rule=target_rule_of(self.target_period),
            tracker=self.tracker,
            intervention=self.intervention,
        )

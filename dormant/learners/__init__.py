# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Pure training states and updates: init, update, act and sync_target as functions of arrays.
Every algorithm shares the update skeleton of `step_learner`."""

from dormant.learners.batches import Batch, WeightedBatch
from dormant.learners.dqn_learner import dqn
from dormant.learners.finiteness import Finiteness
from dormant.learners.learner import (
    Gradients,
    Interventions,
    Learner,
    LearnerState,
    gradient_learner,
    step_learner,
)
from dormant.learners.losses import huber_loss, mse_loss
from dormant.learners.networks import ImpalaResNet, NatureCNN
from dormant.learners.q_learning import (
    epsilon_greedy,
    keyed_epsilon_greedy,
    linearly_decaying_epsilon,
)
from dormant.learners.rainbow_learner import RainbowOptions, project_distribution, rainbow
from dormant.learners.sac_learner import ActorCritic, mirror_in_target, sac
from dormant.learners.targets import keep_target, periodic_target, soft_target

__all__ = [
    "ActorCritic",
    "Batch",
    "Finiteness",
    "Gradients",
    "ImpalaResNet",
    "Interventions",
    "Learner",
    "LearnerState",
    "NatureCNN",
    "RainbowOptions",
    "WeightedBatch",
    "dqn",
    "epsilon_greedy",
    "gradient_learner",
    "huber_loss",
    "keep_target",
    "keyed_epsilon_greedy",
    "linearly_decaying_epsilon",
    "mirror_in_target",
    "mse_loss",
    "periodic_target",
    "project_distribution",
    "rainbow",
    "sac",
    "soft_target",
    "step_learner",
]

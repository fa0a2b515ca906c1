"""Pure training states and updates: init, update, act and sync_target as functions of arrays.
DQN is here; every algorithm shares the update skeleton of `gradient_learner`."""

from dormant.learners.dqn import (
    dqn,
    epsilon_greedy,
    huber_loss,
    linearly_decaying_epsilon,
    mse_loss,
)
from dormant.learners.learner import (
    Batch,
    Learner,
    LearnerState,
    gradient_learner,
    keep_target,
    periodic_target,
)
from dormant.learners.networks import ImpalaResNet, NatureCNN

__all__ = [
    "Batch",
    "ImpalaResNet",
    "Learner",
    "LearnerState",
    "NatureCNN",
    "dqn",
    "epsilon_greedy",
    "gradient_learner",
    "huber_loss",
    "keep_target",
    "linearly_decaying_epsilon",
    "mse_loss",
    "periodic_target",
]

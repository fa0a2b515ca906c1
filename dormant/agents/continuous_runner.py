# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Dopamine's runners for continuous actions, with all that `RunnerMixin` adds to the discrete ones.
Apart from those, so that a run on Atari need not import what these do."""

import types
from typing import Any

from dopamine.continuous_domains import run_experiment

from dormant.agents.runner_mixin import RunnerMixin


class _ContinuousMixin(RunnerMixin):
    """Leaves out the event file that Dopamine's continuous runners write on their own.

    It is created before the agent's options are checked, and its scalars are those that
    `CollectorDispatcher` writes as well.
    """

    def __init__(self, base_dir: str, agent: Any):
        tensorboard = run_experiment.tensorboard
        run_experiment.tensorboard = types.SimpleNamespace(SummaryWriter=lambda folder: None)
        try:
            super().__init__(base_dir, agent)
        finally:
            run_experiment.tensorboard = tensorboard

    def _save_tensorboard_summaries(self, *scalars: Any) -> None:
        pass


class DormantContinuousTrainRunner(_ContinuousMixin, run_experiment.ContinuousTrainRunner):
    """Trains without evaluating. Configured by `ContinuousRunner.*`, like Dopamine's."""


class DormantContinuousRunner(_ContinuousMixin, run_experiment.ContinuousRunner):
    """Trains and evaluates in turns. Configured by `ContinuousRunner.*`, like Dopamine's."""


CONTINUOUS_RUNNERS = {
    "continuous_train": DormantContinuousTrainRunner,
    "continuous_train_and_eval": DormantContinuousRunner,
}

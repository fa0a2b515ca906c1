# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""What tracks and what acts in a run, as its `LearnerOptions` say, and when each is due.
The only place where a host outside of Dopamine counts periods."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

import dormant
from dormant.learners import Interventions
from dormant.runs.interventions import tracker_of
from dormant.runs.options import LearnerOptions


def interventions_of(
    options: LearnerOptions,
    graph: dormant.NeuronGraph,
    init: Callable[[jax.Array], Any],
    optimizer: optax.GradientTransformation,
) -> Interventions:
    """What tracks and what acts in a run, as the learners' constructors take it.

    Args:
      options: of the run.
      graph: the network's neurons.
      init: `init(key) -> params`, the network's own initializer.
      optimizer: whose state is reset with the neurons.
    """
    acting = options.intervention
    return Interventions(
        tracker=tracker_of(options).intervention(graph),
        intervention=acting and acting.intervention(graph, init, optimizer),
    )


def is_due(options: LearnerOptions, gradient_step: jax.Array) -> jax.Array:
    """bool (): whether either does something at a gradient step, 1 for the first."""
    due = [part.is_due(gradient_step) for part in _parts(options)]
    return functools.reduce(jnp.logical_or, due)


def shared_period(options: LearnerOptions, *lengths: int) -> int:
    """The largest number of gradient steps that divides both periods and the lengths given."""
    acting = options.intervention
    periods = [] if acting is None else [acting.period]
    return math.gcd(tracking_period(options), *periods, *lengths)


def tracking_period(options: LearnerOptions) -> int:
    """Gradient steps between two tracking records."""
    return tracker_of(options).tracking_period


def score_batch(options: LearnerOptions) -> int:
    """Observations on which neurons are scored; each takes the first ones that it asks for."""
    return max(part.score_batch for part in _parts(options))


def _parts(options: LearnerOptions) -> list[Any]:
    """The tracker's options and, where something acts, the intervention's."""
    acting = options.intervention
    return [tracker_of(options), *([] if acting is None else [acting])]

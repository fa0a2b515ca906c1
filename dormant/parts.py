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

"""What interventions are composed of: scores, selections, actions, timing, and their types."""

from dormant.graph import Entries, IndexMap, Layer
from dormant.interventions.actions import Action, pruning, recycling, redrawing
from dormant.interventions.measures import NetworkMetrics
from dormant.interventions.recycling import touched_entries
from dormant.interventions.scores import Score, activation_score, contribution_utility
from dormant.interventions.selections import (
    Selection,
    ThresholdRule,
    below_threshold,
    budget,
    capped,
    whole_layers,
)
from dormant.interventions.state import InterventionState
from dormant.interventions.timing import When, every

__all__ = [
    "Action",
    "Entries",
    "IndexMap",
    "InterventionState",
    "Layer",
    "NetworkMetrics",
    "Score",
    "Selection",
    "ThresholdRule",
    "When",
    "activation_score",
    "below_threshold",
    "budget",
    "capped",
    "contribution_utility",
    "every",
    "pruning",
    "recycling",
    "redrawing",
    "touched_entries",
    "whole_layers",
]

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

"""Experience replay on the host, in NumPy: each frame stored once; stacks and n-step returns made
when sampled; uniform or prioritized. Pure but for NumPy and the learners' `Batch`."""

from dormant.replay.buffer import ReplayBuffer, Sample, importance_weights
from dormant.replay.memory import (
    bytes_needed,
    check_memory,
    describe_memory,
    machine_memory,
    shortage,
)
from dormant.replay.options import ReplayOptions
from dormant.replay.sum_tree import SumTree
from dormant.replay.transitions import TransitionStore

__all__ = (
    "ReplayBuffer",
    "ReplayOptions",
    "Sample",
    "SumTree",
    "TransitionStore",
    "bytes_needed",
    "check_memory",
    "describe_memory",
    "importance_weights",
    "machine_memory",
    "shortage",
)

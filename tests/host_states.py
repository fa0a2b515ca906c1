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

"""States of a learner on the host, to compare."""

import jax
import numpy as np

from dormant.runs.host_arrays import to_host


def numpy_state(state):
    """A pytree of arrays as numpy arrays of the host's own; keys become their uint32 data."""
    return jax.tree.map(np.array, to_host(state))

# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""States of a learner on the host, to compare."""

import jax
import numpy as np

from dormant.runs.host_arrays import to_host


def numpy_state(state):
    """A pytree of arrays as numpy arrays of the host's own; keys become their uint32 data."""
    return jax.tree.map(np.array, to_host(state))

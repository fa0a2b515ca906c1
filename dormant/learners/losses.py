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

"""Losses of one prediction against one target, elementwise, with their gin and option names."""

import jax
import jax.numpy as jnp


def huber_loss(targets: jax.Array, predictions: jax.Array) -> jax.Array:
    """Huber loss with delta 1, elementwise; x - 0.5 where x = |targets - predictions| > 1."""
    x = jnp.abs(targets - predictions)
    return jnp.where(x <= 1.0, 0.5 * x**2, 0.5 + (x - 1.0))


def mse_loss(targets: jax.Array, predictions: jax.Array) -> jax.Array:
    """Squared error, elementwise and without the factor 0.5."""
    return jnp.power(targets - predictions, 2)


LOSSES = {"huber": huber_loss, "mse": mse_loss}
